#include "text/spm_model.h"

#include <cstdint>
#include <cstring>
#include <optional>

#include "steerlm/core/error.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

// protobuf.dev/programming-guides/encoding: a field is a varint tag (number << 3 | type) and a payload.
enum WireType : std::uint32_t { varint = 0, fixed64 = 1, length_delimited = 2, fixed32 = 5 };

struct Field {
  std::uint64_t number = 0;
  std::uint32_t type = 0;
  std::uint64_t value = 0;   // varint
  std::string_view payload;  // length_delimited
  std::string_view whole;    // tag and payload
};

std::optional<std::uint64_t> read_varint(std::string_view bytes, size_t& at) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at >= bytes.size()) return std::nullopt;
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// The field at `at`, which moves behind it; nothing where the bytes are no field.
std::optional<Field> read_field(std::string_view bytes, size_t& at) {
  const size_t begin = at;
  const auto tag = read_varint(bytes, at);
  if (!tag || *tag >> 3 == 0) return std::nullopt;
  Field field{.number = *tag >> 3, .type = static_cast<std::uint32_t>(*tag & 7)};
  std::uint64_t length = 0;
  if (field.type == varint || field.type == length_delimited) {
    const auto value = read_varint(bytes, at);
    if (!value) return std::nullopt;
    field.value = *value;
    if (field.type == length_delimited) length = *value;
  } else if (field.type == fixed64 || field.type == fixed32) {
    length = field.type == fixed64 ? 8 : 4;
  } else {
    return std::nullopt;
  }
  if (length > bytes.size() - at) return std::nullopt;
  field.payload = bytes.substr(at, length);
  at += length;
  field.whole = bytes.substr(begin, at - begin);
  return field;
}

// Calls use(field) for each field; false where the bytes are no message.
template <class Use>
bool read_message(std::string_view bytes, Use use) {
  for (size_t at = 0; at < bytes.size();) {
    const auto field = read_field(bytes, at);
    if (!field) return false;
    use(*field);
  }
  return true;
}

// ModelProto: 1 pieces, 2 trainer_spec, 3 normalizer_spec, 4 self_test_data, 5 denormalizer_spec. SentencePiece: 1
// piece, 2 score, 3 type. TrainerSpec: 3 model_type, 24 treat_whitespace_as_suffix, 44 unk_surface. NormalizerSpec: 1
// name, 2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces.
std::optional<SpmPiece> read_piece(std::string_view bytes) {
  SpmPiece piece;
  const bool whole = read_message(bytes, [&](const Field& field) {
    if (field.number == 1 && field.type == length_delimited) piece.text = field.payload;
    if (field.number == 2 && field.type == fixed32)
      std::memcpy(&piece.score, field.payload.data(), sizeof(float));  // little-endian
    if (field.number == 3 && field.type == varint) piece.type = static_cast<PieceType>(field.value);
  });
  if (!whole || piece.text.empty() || find_invalid_utf8(piece.text)) return std::nullopt;
  return piece;
}

void append_varint(std::uint64_t value, std::string& bytes) {
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  bytes += static_cast<char>(value);
}

void append_field(std::uint64_t number, std::string_view payload, std::string& bytes) {
  append_varint(number << 3 | length_delimited, bytes);
  append_varint(payload.size(), bytes);
  bytes += payload;
}

void append_field(std::uint64_t number, std::uint64_t value, std::string& bytes) {
  append_varint(number << 3 | varint, bytes);
  append_varint(value, bytes);
}

}  // namespace

std::string format_spm_model(const std::vector<SpmPiece>& pieces, const SpmSettings& settings) {
  std::string model;
  for (const SpmPiece& piece : pieces) {
    std::string bytes;
    append_field(1, piece.text, bytes);
    append_varint(2 << 3 | fixed32, bytes);
    bytes.append(reinterpret_cast<const char*>(&piece.score), sizeof piece.score);  // little-endian
    append_field(3, static_cast<std::uint64_t>(piece.type), bytes);
    append_field(1, bytes, model);
  }
  // TrainerSpec: 3 model_type (2: BPE), 4 vocab_size, 35 byte_fallback, 45 unk_piece, 46 bos_piece, 47 eos_piece
  constexpr std::uint64_t bpe = 2;
  std::string trainer;
  append_field(3, bpe, trainer);
  append_field(4, pieces.size(), trainer);
  append_field(35, std::uint64_t{settings.byte_fallback}, trainer);
  append_field(45, settings.unk, trainer);
  append_field(46, settings.bos, trainer);
  append_field(47, settings.eos, trainer);
  append_field(2, trainer, model);
  // NormalizerSpec: 1 name, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces
  std::string normalizer;
  append_field(1, "identity", normalizer);
  append_field(3, std::uint64_t{settings.add_dummy_prefix}, normalizer);
  append_field(4, std::uint64_t{settings.remove_extra_whitespaces}, normalizer);
  append_field(5, std::uint64_t{1}, normalizer);
  append_field(3, normalizer, model);
  return model;
}

SpmModel read_spm_model(std::string_view bytes, const std::string& where) {
  SpmModel model;
  bool sound = true;
  bool trainer = false;
  bool normalizer = false;
  sound &= read_message(bytes, [&](const Field& field) {
    if (field.type != length_delimited) return;
    if (field.number == 1) {
      auto piece = read_piece(field.payload);
      sound &= piece.has_value();
      if (piece) model.pieces.push_back(std::move(*piece));
    } else if (field.number == 2) {
      trainer = true;
      sound &= read_message(field.payload, [&](const Field& of_trainer) {
        if (of_trainer.number == 3 && of_trainer.type == varint) model.kind = static_cast<SpmKind>(of_trainer.value);
        if (of_trainer.number == 24) model.suffix_spaces = of_trainer.value != 0;
        if (of_trainer.number == 44 && of_trainer.type == length_delimited) model.unk_surface = of_trainer.payload;
      });
    } else if (field.number == 3) {
      normalizer = true;
      sound &= read_message(field.payload, [&](const Field& of_normalizer) {
        if (of_normalizer.number == 1) model.normalizer = of_normalizer.payload;
        if (of_normalizer.number == 2) model.charsmap = of_normalizer.payload;
        if (of_normalizer.number == 3) model.add_dummy_prefix = of_normalizer.value != 0;
        if (of_normalizer.number == 4) model.remove_extra_whitespaces = of_normalizer.value != 0;
        if (of_normalizer.number == 5) model.escape_whitespaces = of_normalizer.value != 0;
      });
    } else if (field.number == 5) {
      sound &= read_message(field.payload, [&](const Field& of_denormalizer) {
        if (of_denormalizer.number == 2) model.denormalizer = !of_denormalizer.payload.empty();
      });
    }
  });
  if (model.pieces.empty()) {
    fail(ExitCode::model, {.what = "not a sentencepiece model", .where = where, .expected = "a tokenizer.model file"});
  }
  if (!sound || !trainer || !normalizer) {
    fail(ExitCode::model, {.what = "the sentencepiece model is damaged or cut off",
                           .where = where,
                           .found = std::to_string(bytes.size()) + " bytes",
                           .advice = "copy or download the file again"});
  }
  return model;
}

std::string edit_spm_model(std::string_view bytes, const std::function<bool(const SpmPiece&)>& hide,
                           bool dummy_prefix) {
  // Of a field that occurs twice the last counts, and a message that occurs twice is merged: an edit is an addition.
  constexpr std::string_view is_control("\x18\x03", 2);
  constexpr std::string_view with_dummy_prefix("\x1a\x02\x18\x01", 4);
  constexpr std::string_view no_dummy_prefix("\x1a\x02\x18\x00", 4);
  std::string edited;
  edited.reserve(bytes.size() + 64);
  read_message(bytes, [&](const Field& field) {
    if (field.number == 4) return;  // self-tests hold for the model as it was
    const auto piece = field.number == 1 ? read_piece(field.payload) : std::nullopt;
    if (!piece || !hide(*piece)) {
      edited += field.whole;
      return;
    }
    edited += '\x0a';
    append_varint(field.payload.size() + is_control.size(), edited);
    edited += field.payload;
    edited += is_control;
  });
  edited += dummy_prefix ? with_dummy_prefix : no_dummy_prefix;
  return edited;
}

}  // namespace steerlm
