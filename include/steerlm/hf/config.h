// config.json and generation_config.json of a Hugging Face folder <-> our structs. Untrusted input.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/hf/options.h"
#include "steerlm/nn/options.h"

namespace steerlm {

struct HfConfig {
  ModelConfig model;  // complete: no field is 0
  HeadKind head = HeadKind::language_model;
  std::int64_t num_labels = 0;           // regression: rows of score.weight
  std::vector<std::string> label_names;  // and what id2label calls them, LABEL_i where it does not
  std::string dtype = "fp32";            // fp32, bf16 or fp16; "": not named, it is that of the weights
  std::optional<std::int64_t> bos_token_id;
  std::optional<std::int64_t> pad_token_id;
  std::vector<std::int64_t> eos_token_ids;
  bool names_code = false;  // 'auto_map' names Python code of the model's own, which is never run
};

// LABEL_0 and so on, Transformers' names of rows that have none.
std::vector<std::string> numbered_labels(std::int64_t count);

// What can be read and written, as config.json's 'architectures' names it.
std::vector<std::string> supported_architectures();

// Reads both spellings: rope_theta, rope_scaling, torch_dtype (Transformers 4) and rope_parameters,
// dtype (5). Throws model for another architecture, a key that changes the computation and is not
// implemented, numbers that do not fit together or are absurd.
HfConfig parse_hf_config(const Json& json, const std::string& where);

// The same limits for a complete config that a recipe or a command line gives. Throws recipe.
void check_model_config(const ModelConfig& model, const std::string& where);

// The older spelling, which both read. `label_names`: one a row of a regression head, empty for a
// language model.
Json dump_hf_config(const HfConfig& config, const std::vector<std::string>& label_names);

// Sets 'dtype' and 'torch_dtype', whichever is there, else the older 'torch_dtype', to "float32" for
// fp32 and so on.
void set_hf_dtype(Json& config, const std::string& dtype);

// eos_token_id of generation_config.json or config.json: absent, null, one id or a list.
std::vector<std::int64_t> parse_eos_token_ids(const Json& json, std::int64_t vocab_size, const std::string& where);
Json dump_generation_config(const HfConfig& config);

}  // namespace steerlm
