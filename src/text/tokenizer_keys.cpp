#include "text/tokenizer_keys.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "steerlm/core/json_fields.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

constexpr const char* changes_ids = "the ids of a text";

// Read by tokenizer_config.cpp.
constexpr std::string_view read_keys[] = {"tokenizer_class",
                                          "add_bos_token",
                                          "add_eos_token",
                                          "add_prefix_space",
                                          "legacy",
                                          "split_special_tokens",
                                          "added_tokens_decoder",
                                          "additional_special_tokens",
                                          "extra_special_tokens",
                                          "model_specific_special_tokens"};

// They change no ids of a single text: names and places, what batches, chat templates and lengths need, offsets, and
// what decoding does to spaces, which Transformers 5 leaves alone for BPE.
constexpr std::string_view harmless_keys[] = {"backend",
                                              "name_or_path",
                                              "_name_or_path",
                                              "is_local",
                                              "local_files_only",
                                              "init_inputs",
                                              "tokenizer_file",
                                              "vocab_file",
                                              "merges_file",
                                              "special_tokens_map_file",
                                              "added_tokens_file",
                                              "_commit_hash",
                                              "_from_auto",
                                              "transformers_version",
                                              "unsloth_version",
                                              "model_type",
                                              "tokenizer_type",
                                              "version",
                                              "vocab_size",
                                              "max_lenght",
                                              "library_name",
                                              "language",
                                              "processor_class",
                                              "auto_map",
                                              "use_fast",
                                              "from_slow",
                                              "trust_remote_code",
                                              "verbose",
                                              "device_map",
                                              "torch_dtype",
                                              "model_max_length",
                                              "max_length",
                                              "max_len",
                                              "max_model_input_sizes",
                                              "stride",
                                              "truncation",
                                              "truncation_side",
                                              "truncation_strategy",
                                              "padding",
                                              "padding_side",
                                              "padding_strategy",
                                              "pad_to_multiple_of",
                                              "pad_token_type_id",
                                              "return_token_type_ids",
                                              "return_tensors",
                                              "model_input_names",
                                              "chat_template",
                                              "response_template",
                                              "response_schema",
                                              "default_chat_template",
                                              "use_default_system_prompt",
                                              "clean_up_tokenization_spaces",
                                              "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
                                              "spaces_between_special_tokens",
                                              "errors",
                                              "trim_offsets",
                                              "suffix_first",
                                              "bos_token_id",
                                              "eos_token_id",
                                              "pad_token_id",
                                              "unk_token_id",
                                              "sep_token_id",
                                              "cls_token_id",
                                              "mask_token_id"};

// These values of keys that change ids in some tokenizer change nothing; null does not either.
struct Neutral {
  const char* key;
  std::vector<Json> values;
};

const std::vector<Neutral>& neutral_keys() {
  static const std::vector<Neutral> keys{
      {"do_lower_case", {false}},
      {"do_basic_tokenize", {false}},
      {"strip_accents", {false}},
      {"remove_space", {false}},
      {"sp_model_kwargs", {Json::object()}},
      {"fix_mistral_regex", {false}},
      {"fast_tokenizer_files", {Json::array()}},
      {"dropout", {0.0}},
  };
  return keys;
}

}  // namespace

bool is_token_key(const std::string& key) {
  return key.ends_with("_token") && key != "add_bos_token" && key != "add_eos_token";
}

void check_tokenizer_config_keys(const Json& json, const std::string& where) {
  for (const Neutral& neutral : neutral_keys()) {
    const auto value = json.find(neutral.key);
    if (value == json.end() || value->is_null() || std::ranges::find(neutral.values, *value) != neutral.values.end())
      continue;
    std::vector<std::string> choices;
    for (const Json& choice : neutral.values) choices.push_back(dump_json(choice));
    choices.emplace_back("null");
    fail(ExitCode::model, {.what = std::string("'") + neutral.key + "' is not implemented",
                           .where = where,
                           .found = shortened_json(*value),
                           .expected = join(choices, " or ")});
  }
  refuse_unknown_keys(json, where, changes_ids, [](const std::string& key) {
    return is_token_key(key) || std::ranges::find(read_keys, key) != std::end(read_keys) ||
           std::ranges::find(harmless_keys, key) != std::end(harmless_keys) ||
           std::ranges::any_of(neutral_keys(), [&](const Neutral& neutral) { return key == neutral.key; });
  });
}

void check_special_tokens_map_keys(const Json& json, const std::string& where) {
  refuse_unknown_keys(json, where, changes_ids, [](const std::string& key) {
    return is_token_key(key) || key == "additional_special_tokens" || key == "extra_special_tokens";
  });
}

}  // namespace steerlm
