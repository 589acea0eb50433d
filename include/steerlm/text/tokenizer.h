// A tokenizer, sentencepiece's or a tokenizer.json's, and what its Hugging Face folder says of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

// The template's markers, contracts.md section 7: start of the system block, of a turn, of a label.
inline constexpr std::string_view system_marker = "<extra_id_0>";
inline constexpr std::string_view turn_marker = "<extra_id_1>";
inline constexpr std::string_view label_marker = "<extra_id_2>";
// Those of the templates chatml and llama3.
inline constexpr std::string_view chat_markers[] = {"<|im_start|>", "<|im_end|>", "<|start_header_id|>",
                                                    "<|end_header_id|>", "<|eot_id|>"};
inline bool is_template_marker(std::string_view text) {
  return text == system_marker || text == turn_marker || text == label_marker;
}

class JsonTokenizer;
class SpmTokenizer;

// Immutable; copies share the model, all members may be called from several threads.
//
// Two kinds of file: a sentencepiece model (tokenizer.model), and a tokenizer.json of the library `tokenizers`, of
// which are read byte-level BPE (GPT-2, Llama 3, Qwen 2 and 3) and BPE in the manner of sentencepiece (Llama 2,
// Mistral).
//
// The prefix of a text is sentencepiece's dummy prefix; of a tokenizer.json what Prepend, Metaspace's prepend_scheme or
// ByteLevel's add_prefix_space put before a text; many have none.
//
// Special are: the model's unk, bos and eos pieces, the tokens that tokenizer_config.json, special_tokens_map.json or
// added_tokens.json of the folder name, and the added tokens of a tokenizer.json that it marks so. encode_line matches
// them in the text, append_* never do: there such text is plain text. The template's markers are plain text to append_*
// too, whatever they are; other user-defined pieces of sentencepiece and other added tokens of a tokenizer.json are
// matched everywhere.
class Tokenizer {
 public:
  // A tokenizer file, or a folder with a tokenizer.model or tokenizer.json in it. Where a folder has both and they
  // agree, the tokenizer.model is read; where they disagree in vocabulary, added tokens, prefix or BOS the
  // tokenizer.json, which is the one that Transformers reads. Throws model: missing, empty, truncated, over 1 GB (JSON:
  // 256 MB), a Git LFS pointer, neither of the two kinds, a tokenizer.json that contradicts itself or has in it what
  // would change ids and is not implemented (other models than BPE, other normalizers and pre-tokenizers, dropout, …),
  // a damaged tokenizer_config.json.
  static Tokenizer load(const Path& file_or_model_folder);

  std::int64_t vocab_size() const;           // ids are below it; pieces of the model, and added tokens behind them
  std::string piece(std::int32_t id) const;  // as the file spells it; "": no such id
  std::optional<std::int32_t> piece_id(std::string_view piece) const;  // the exact piece
  std::int32_t bos_id() const;                                         // -1: none
  std::int32_t eos_id() const;                                         // -1: none
  // Whether a text starts with BOS. With a tokenizer.json what its post-processor does, as in Transformers 5. With a
  // sentencepiece model add_bos_token of tokenizer_config.json; without the key true for a Llama tokenizer class, as in
  // Transformers 4, and false without a tokenizer_config.json.
  bool add_bos() const;

  // `tokenizer encode`: as Transformers encodes one text, without BOS and EOS. sentencepiece (LlamaTokenizer of
  // Transformers 4): the dummy prefix comes before every stretch between special tokens; where tokenizer_config.json
  // says `legacy: false`, only before a text that does not start with a special token. tokenizer.json: as the library
  // `tokenizers` reads the file; for the classes LlamaTokenizer, Qwen2Tokenizer and GPT2Tokenizer with the steps that
  // Transformers 5 gives them. With `split_special_tokens` special tokens in the text are text.
  std::vector<std::int32_t> encode_line(std::string_view line) const;

  // The start of a text: BOS if add_bos, the prefix, the text.
  void append_first(std::string_view text, std::vector<std::int32_t>& ids) const;
  // The start of a text that begins with a piece of its own: BOS if add_bos, the prefix where the piece is one of a
  // sentencepiece model, the piece.
  void append_first_piece(std::int32_t id, std::vector<std::int32_t>& ids) const;
  // What follows: no prefix.
  void append_continuation(std::string_view text, std::vector<std::int32_t>& ids) const;

  // Special and control pieces give nothing, but for the template's markers. Bytes that are no UTF-8 give U+FFFD, as
  // many as in sentencepiece or `tokenizers`. Throws data for an id that is not in the vocabulary.
  std::string decode(std::span<const std::int32_t> ids) const;
  // The bytes as they follow a text: the space of a leading "▁" stays. An id of a row that the embedding has to spare
  // behind the vocabulary, which a model may sample, gives nothing, as in Transformers.
  std::string decode_continuation(std::span<const std::int32_t> ids) const;

  // Writes the tokenizer's files into a model folder: the same bytes; where there was no tokenizer_config.json one that
  // makes Transformers give the same ids. Throws resources.
  void copy_to(const Path& folder) const;
  std::string sha256() const;  // of the file
  // Of everything that may decide on ids: that file and those of its folder that say how it is read.
  std::string encoding_sha256() const;
  // What a user must be told, which every command that opens the tokenizer does: files of the folder that disagree,
  // keys that Transformers does not follow either.
  const std::vector<std::string>& notes() const { return notes_; }
  // The bytes of UTF-8 that a byte-level vocabulary has no piece for: they vanish from a text, or become unk. "": none.
  const std::string& bytes_without_piece() const;
  const Path& path() const;  // the file that was read

 private:
  using Kind = std::variant<std::shared_ptr<const SpmTokenizer>, std::shared_ptr<const JsonTokenizer>>;
  Tokenizer(Path file, Path folder, Kind kind);

  Path file_;
  Path folder_;  // empty: a bare file
  Kind kind_;
  std::vector<std::string> notes_;
};

}  // namespace steerlm
