// A model folder, contracts.md section 6: config.json, generation_config.json, safetensors,
// tokenizer files and steerlm.json. What is wrong with a folder throws model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/hf/adapter.h"
#include "steerlm/hf/chat_template_reading.h"
#include "steerlm/hf/model_card.h"
#include "steerlm/hf/options.h"
#include "steerlm/nn/parameters.h"
#include "steerlm/store/safetensors.h"
#include "steerlm/text/options.h"
#include "steerlm/text/template.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {

// What a folder's template comes from; open: its chat template is none of ours, and nobody has chosen.
enum class TemplateFrom { standard, steerlm_json, chat_template, request, open };

struct ModelFolder {
  Path path;
  ModelConfig config;
  HeadOptions head{.kind = HeadKind::language_model};
  AttributeOptions attributes;                          // no names: none declared
  TemplateOptions text_template;                        // what steerlm.json says; settle_template makes it whole
  TemplateGiven template_given;                         // which of it steerlm.json names
  TemplateFrom template_from = TemplateFrom::standard;  // these four: of settle_template
  std::optional<ChatTemplateReading> chat_template;
  std::string template_note;     // one line on the choice, "" where there is nothing to say
  std::string template_warning;  // likewise
  // "": steerlm.json names none, and nothing here was trained with the template. A head that was trained elsewhere
  // reads what it read there.
  std::string template_sha256;
  std::optional<Writes> writes;          // of a language model; none: steerlm.json does not say, or it writes both
  std::string method;                    // "": steerlm.json names none
  std::string dtype = "fp32";            // of the weights on disk: fp32, bf16 or fp16
  std::int64_t num_labels = 0;           // regression: rows of score.weight
  std::vector<std::string> label_names;  // regression: config.json's names of the rows, for a folder without attributes
  std::optional<std::int64_t> pad_token_id;  // config.json's
  std::vector<std::int64_t> eos_token_ids;   // generation_config.json's, else config.json's
  bool names_code = false;                   // config.json has an 'auto_map'; the code is never run
  std::optional<Adapter> adapter;            // PEFT's: config and trunk are those of its base
  Path weights_path;                         // folder of the trunk's weights: `path`, or the adapter's base
  Path tokenizer_path;  // folder of the tokenizer: `path`, or the base of an adapter that PEFT wrote without one
};

// Reads and checks the JSON files; of the weights at most the headers. `path` may be a LoRA adapter: what is not in its
// folder is its base's. `base` is taken instead of the one that the adapter names.
ModelFolder open_model_folder(const Path& path, const Path& base = {});

// What a user must be told of the folder and of its tokenizer, which every command that opens them does: code in it
// that is never run, files of the tokenizer that disagree.
std::vector<std::string> folder_notes(const ModelFolder& folder, const Tokenizer& tokenizer);

enum class Weights {
  language_model,  // trunk and lm_head (none where tied)
  trunk,           // without a head, of whatever folder
  regression,      // trunk, score.weight, score.bias
};
Weights own_weights(const ModelFolder& folder);  // with the head that it has
HeadShape head_shape(const ModelFolder& folder, Weights weights);

// Opens the files, checks that every tensor is there once in its shape and that none is left over
// (rotary_emb.inv_freq aside); reads no data.
void check_weights(const ModelFolder& folder, Weights weights);
// Throws model for a tensor that is not finite, here as in stream_weights.
// In the order of parameter_shapes, on the CPU, in `dtype`, else each in the dtype that it is stored in; an adapter is
// merged into the weights that it adapts, in fp32. Beside the result, memory for one tensor is needed.
NamedTensors read_weights(const ModelFolder& folder, Weights weights,
                          std::optional<at::ScalarType> dtype = std::nullopt);
// The same tensors, each read when it is asked for. The files stay open.
TensorSource stream_weights(const ModelFolder& folder, Weights weights);
// Whether the tensors' names lack "model.", as in folders that were saved from the bare trunk; they are read all the
// same.
bool has_bare_tensor_names(const ModelFolder& folder);
// The safetensors files that the folder's weights are in.
std::vector<Path> weight_paths(const Path& folder);

// More rows of the embedding than pieces are fine, fewer throw model.
void check_vocabulary(const ModelFolder& folder, const Tokenizer& tokenizer);
// The folder's template. Throws model when its bytes are not those that the model was trained with
// (template.sha256).
ConversationTemplate make_template(const ModelFolder& folder, const Tokenizer& tokenizer);

inline constexpr std::uint64_t default_max_shard_bytes = 5'000'000'000;  // of Transformers 4

// Writes a folder that Transformers and open_model_folder read: a temporary first, renamed as a
// whole; nothing or an empty folder may be at `path`. `folder.num_labels` is not used. Floating-point tensors are
// written in `folder.dtype`, in shards of at most `max_shard_bytes` where one file would be larger. With a `card`,
// which training gives, the folder gets a README.md, a chat template that renders what the template writes, and the
// template's hash; without, the chat template of the tokenizer's files, the sampling keys of generation_config.json and
// `template_sha256` stay as they are. Throws resources; model: a finite weight is infinite in that dtype.
void write_model_folder(const Path& path, const ModelFolder& folder, const TensorSource& tensors,
                        const Tokenizer& tokenizer, std::uint64_t max_shard_bytes = default_max_shard_bytes,
                        const std::optional<ModelCard>& card = std::nullopt);
// Writes PEFT's folder of an adapter: its own tensors (names of the model, model.layers.0.…) in fp32, tokenizer,
// steerlm.json, generation config and card of the adapted model, no config.json. Throws resources.
void write_adapter_folder(const Path& path, const ModelFolder& folder, const Adapter& adapter,
                          const NamedTensors& tensors, const Tokenizer& tokenizer,
                          const std::optional<ModelCard>& card);
inline void write_model_folder(const Path& path, const ModelFolder& folder, const NamedTensors& tensors,
                               const Tokenizer& tokenizer, std::uint64_t max_shard_bytes = default_max_shard_bytes,
                               const std::optional<ModelCard>& card = std::nullopt) {
  write_model_folder(path, folder, in_memory(tensors), tokenizer, max_shard_bytes, card);
}

}  // namespace steerlm
