// A model folder that is another one with a change. What else the folder holds (configs, tokenizer, chat template,
// model card, licence) travels as it is; weights of other formats, Python code and 'auto_map', which names such code,
// do not. Tensors are streamed: beside them, memory for one tensor is needed (two where the vocabulary grows). Both
// throw model for an adapter or a folder that cannot be read, resources for one that cannot be written; nothing or an
// empty folder may be at `output`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "steerlm/hf/model_folder.h"

namespace steerlm {

// The same model in `dtype` (fp32, bf16 or fp16), rounded to nearest even. A finite weight that would become infinite
// throws model and is named.
void export_model_folder(const ModelFolder& folder, const Path& output, const std::string& dtype,
                         std::uint64_t max_shard_bytes);

struct AddedPiece {
  std::string text;
  std::int32_t id = 0;
  bool fresh = false;  // false: the tokenizer had it
};
struct GrownVocabulary {
  std::vector<AddedPiece> pieces;  // one an element of `tokens`
  std::int64_t rows_before = 0;    // of the embedding
  std::int64_t rows = 0;
};

// The same model with `tokens` as special tokens of its tokenizer, their ids behind those that it has. Their rows of
// the embedding and of an untied lm_head are the mean, in fp64, of the rows that had a piece. Rows that the embedding
// has to spare are used before it grows. Pieces that the tokenizer has and the embedding has no row for, a pad token
// that was added to the tokenizer alone, get rows in the same way.
GrownVocabulary add_tokens_to_folder(const ModelFolder& folder, const Tokenizer& tokenizer,
                                     const std::vector<std::string>& tokens, const Path& output,
                                     std::uint64_t max_shard_bytes);

}  // namespace steerlm
