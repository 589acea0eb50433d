// A sentencepiece tokenizer and what its Hugging Face folder says of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

// The template's markers, steerlm.md section 2: start of the system block, of a turn, of a label.
inline constexpr std::string_view system_marker = "<extra_id_0>";
inline constexpr std::string_view turn_marker = "<extra_id_1>";
inline constexpr std::string_view label_marker = "<extra_id_2>";
// Those of the templates chatml and llama3.
inline constexpr std::string_view chat_markers[] = {"<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>",
                                                    "<|eot_id|>"};

// Immutable; copies share the model, all members may be called from several threads.
//
// Special are: the model's unk, bos and eos pieces, and the tokens that tokenizer_config.json, special_tokens_map.json or
// added_tokens.json of the folder name. encode_line matches them in the text, append_* never do: there such text is plain text.
// The template's markers as user-defined pieces of the model are plain text to append_* too; other user-defined pieces are
// matched by sentencepiece everywhere.
class Tokenizer {
 public:
  // A sentencepiece model file, or a folder with tokenizer.model in it. Throws model: missing, empty, truncated, over 1 GB, a Git
  // LFS pointer, something else than a sentencepiece model, a folder that has only a tokenizer.json, a damaged
  // tokenizer_config.json.
  static Tokenizer load(const Path& file_or_model_folder);

  std::int64_t vocab_size() const;  // ids are below it; pieces of the model, and added tokens behind them
  std::string piece(std::int32_t id) const;
  std::optional<std::int32_t> piece_id(std::string_view piece) const;  // the exact piece
  std::int32_t bos_id() const;                                         // -1: none
  std::int32_t eos_id() const;                                         // -1: none
  // Whether a text starts with BOS: add_bos_token of tokenizer_config.json; without the key true for a Llama tokenizer class, as
  // in Transformers; false for a file or folder without a tokenizer_config.json.
  bool add_bos() const;

  // `tokenizer encode`: as Transformers' LlamaTokenizer encodes one text, without BOS and EOS. sentencepiece's dummy prefix comes
  // before every stretch between special tokens; where tokenizer_config.json says `legacy: false`, only before a text that does
  // not start with a special token.
  std::vector<std::int32_t> encode_line(std::string_view line) const;

  // The start of a text: BOS if add_bos, sentencepiece's dummy prefix, the text.
  void append_first(std::string_view text, std::vector<std::int32_t>& ids) const;
  // The start of a text that begins with a piece of its own: BOS if add_bos, the dummy prefix, the piece.
  void append_first_piece(std::int32_t id, std::vector<std::int32_t>& ids) const;
  // What follows: no dummy prefix.
  void append_continuation(std::string_view text, std::vector<std::int32_t>& ids) const;

  // Special and control pieces give nothing, as in sentencepiece; bytes that are no UTF-8 give U+FFFD. Throws data for an id that
  // is not in the vocabulary.
  std::string decode(std::span<const std::int32_t> ids) const;
  // The bytes as they follow a text: a leading "▁" stays a space.
  std::string decode_continuation(std::span<const std::int32_t> ids) const;

  // Writes the tokenizer's files into a model folder: the same bytes; where there was no tokenizer_config.json one that makes
  // Transformers give the same ids. Throws resources.
  void copy_to(const Path& folder) const;
  std::string sha256() const;  // of the sentencepiece model
  const Path& path() const;    // the file that was read

 private:
  struct Model;
  explicit Tokenizer(std::shared_ptr<const Model> model);
  std::shared_ptr<const Model> model_;
};

}  // namespace steerlm
