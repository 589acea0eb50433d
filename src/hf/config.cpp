#include "steerlm/hf/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

#include "hf/config_keys.h"
#include "hf/rope_config.h"
#include "steerlm/core/error.h"
#include "steerlm/core/json_fields.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// What a family's code reads beside the common keys, and what it takes where a key is missing (Transformers 5.24,
// models/*/configuration_*.py).
struct Family {
  ModelFamily family;
  const char* class_prefix;  // of LlamaForCausalLM, LlamaForSequenceClassification
  std::int64_t max_position_embeddings;
  std::int64_t key_value_heads;  // 0: as many as query heads
  std::int64_t head_dim;         // 0: hidden_size / num_attention_heads
};
constexpr std::array<Family, 4> families{{
    {ModelFamily::llama, "Llama", 2048, 0, 0},
    {ModelFamily::mistral, "Mistral", 131072, 8, 0},
    {ModelFamily::qwen2, "Qwen2", 32768, 32, 0},
    {ModelFamily::qwen3, "Qwen3", 32768, 32, 128},
}};

const Family& family_of(ModelFamily wanted) {
  return *std::find_if(families.begin(), families.end(), [&](const Family& family) { return family.family == wanted; });
}

std::string architecture(const Family& family, HeadKind head) {
  return std::string(family.class_prefix) +
         (head == HeadKind::regression ? "ForSequenceClassification" : "ForCausalLM");
}

const Family& read_family(JsonFields& reader) {
  const std::string choices = join(enum_choices<ModelFamily>(), " or ");
  const Json* type = reader.find("model_type");
  if (type == nullptr) reader.refuse("'model_type' is missing", "", choices);
  const auto family = type->is_string() ? enum_value<ModelFamily>(type->get<std::string>()) : std::nullopt;
  if (!family) reader.refuse("the model type is not implemented", dump_json(*type), choices);
  return family_of(*family);
}

void read_biases(JsonFields& reader, ModelConfig& model) {
  const bool attention = reader.flag("attention_bias", false);
  model.qkv_bias = attention || model.family == ModelFamily::qwen2;
  model.o_bias = attention;
  model.mlp_bias = reader.flag("mlp_bias", false);
  model.qk_norm = model.family == ModelFamily::qwen3;
}

// layer_types, or what the family makes of sliding_window where the list is missing.
std::vector<bool> read_sliding_layers(JsonFields& reader, const ModelConfig& model, bool windowed) {
  const bool qwen = model.family == ModelFamily::qwen2 || model.family == ModelFamily::qwen3;
  std::vector<bool> sliding(static_cast<size_t>(model.num_hidden_layers), windowed && !qwen);
  if (windowed && qwen) {
    const std::int64_t first = reader.integer("max_window_layers", 0, 1 << 20, 28);
    for (std::int64_t i = first; i < model.num_hidden_layers; ++i) sliding[static_cast<size_t>(i)] = true;
  }
  const Json* types = reader.find("layer_types");
  if (types == nullptr) return sliding;
  std::vector<bool> listed;
  for (const Json& type : types->is_array() ? *types : Json::array()) {
    if (type != "full_attention" && type != "sliding_attention")
      reader.refuse("'layer_types' is not implemented", dump_json(type), "\"full_attention\" or \"sliding_attention\"");
    listed.push_back(type == "sliding_attention");
  }
  if (listed.size() != sliding.size())
    reader.refuse_value("layer_types", *types, "a list of " + std::to_string(sliding.size()) + " names");
  if (!windowed && std::find(listed.begin(), listed.end(), true) != listed.end())
    reader.refuse("'layer_types' asks for windows, but there is no 'sliding_window'", dump_json(*types));
  if (!qwen && listed != sliding)
    reader.refuse("'layer_types' and 'sliding_window' do not agree, and the family has one window for all layers",
                  dump_json(*types));
  return listed;
}

void read_windows(JsonFields& reader, ModelConfig& model) {
  const bool qwen = model.family == ModelFamily::qwen2 || model.family == ModelFamily::qwen3;
  const bool absent_means_windows = model.family == ModelFamily::mistral && !reader.has("sliding_window");
  const bool windowed = qwen ? reader.flag("use_sliding_window", false) &&
                                   (reader.find("sliding_window") || !reader.has("sliding_window"))
                             : absent_means_windows || reader.find("sliding_window") != nullptr;
  const std::vector<bool> sliding = read_sliding_layers(reader, model, windowed);
  if (std::find(sliding.begin(), sliding.end(), true) == sliding.end()) return;
  const std::int64_t window = reader.integer("sliding_window", 1, 1 << 30, 4096);
  for (const bool slides : sliding) model.windows.push_back(slides ? window : 0);
}

// Limits far above any real model and far below where a product of two sizes overflows.
ModelConfig read_model(JsonFields& reader, const Family& family) {
  ModelConfig model;
  model.family = family.family;
  model.vocab_size = reader.integer("vocab_size", 1, 1 << 24);
  model.hidden_size = reader.integer("hidden_size", 1, 1 << 17);
  model.intermediate_size = reader.integer("intermediate_size", 1, 1 << 20);
  model.num_hidden_layers = reader.integer("num_hidden_layers", 1, 1024);
  model.num_attention_heads = reader.integer("num_attention_heads", 1, 4096);
  const bool as_query_heads = reader.has("num_key_value_heads") || family.key_value_heads == 0;
  model.num_key_value_heads = reader.integer("num_key_value_heads", 1, 4096,
                                             as_query_heads ? model.num_attention_heads : family.key_value_heads);
  const bool derived = family.head_dim == 0 || reader.has("head_dim");
  if (derived && reader.find("head_dim") == nullptr && model.hidden_size % model.num_attention_heads != 0) {
    reader.refuse("'hidden_size' is not a multiple of 'num_attention_heads'",
                  std::to_string(model.hidden_size) + " and " + std::to_string(model.num_attention_heads),
                  "a multiple, or 'head_dim'");
  }
  model.head_dim = reader.integer(
      "head_dim", 1, 4096,
      derived ? std::max<std::int64_t>(1, model.hidden_size / model.num_attention_heads) : family.head_dim);
  if (model.head_dim % 2 != 0)
    reader.refuse("the width of a head", std::to_string(model.head_dim), "an even number, for rotary positions");
  if (model.num_attention_heads % model.num_key_value_heads != 0) {
    reader.refuse("'num_key_value_heads' does not divide 'num_attention_heads'",
                  std::to_string(model.num_key_value_heads) + " and " + std::to_string(model.num_attention_heads));
  }
  model.max_position_embeddings = reader.integer("max_position_embeddings", 1, 1 << 30, family.max_position_embeddings);
  read_rope(reader, model);
  read_biases(reader, model);
  read_windows(reader, model);
  model.rms_norm_eps = reader.positive("rms_norm_eps", 1e-6);
  model.tie_word_embeddings = reader.flag("tie_word_embeddings", false);
  model.initializer_range = reader.positive("initializer_range", 0.02);
  return model;
}

HeadKind read_head(JsonFields& reader, const Family& family) {
  const Json* names = reader.find("architectures");
  if (names == nullptr) return HeadKind::language_model;
  if (!names->is_array() || names->size() != 1) reader.refuse_value("architectures", *names, "a list of one name");
  for (const HeadKind head : {HeadKind::language_model, HeadKind::regression}) {
    if (names->at(0) == architecture(family, head)) return head;
  }
  if (names->at(0) == std::string(family.class_prefix) + "Model") {
    reader.refuse("the architecture is a bare trunk, which neither writes text nor scores", dump_json(names->at(0)),
                  architecture(family, HeadKind::language_model),
                  "where the embedding is the output layer ('tie_word_embeddings'), set 'architectures' to it");
  }
  reader.refuse("the architecture is not implemented", dump_json(names->at(0)),
                architecture(family, HeadKind::language_model) + " or " + architecture(family, HeadKind::regression));
}

// Transformers writes id2label and leaves num_labels out; without either there are two.
std::int64_t read_num_labels(JsonFields& reader) {
  constexpr std::int64_t most = 4096;
  const Json* labels = reader.find("id2label");
  if (labels == nullptr) return reader.integer("num_labels", 1, most, 2);
  const auto count = static_cast<std::int64_t>(labels->size());
  if (!labels->is_object() || count < 1 || count > most) {
    reader.refuse("'id2label'", std::to_string(count) + " entries", "an object of 1 to " + std::to_string(most));
  }
  if (reader.integer("num_labels", 1, most, count) != count) {
    reader.refuse("'num_labels' and 'id2label' do not agree", std::to_string(reader.integer("num_labels", 1, most)),
                  std::to_string(count));
  }
  return count;
}

// They name the scores of a model that declares no attributes, so each must be another.
std::vector<std::string> read_label_names(JsonFields& reader, std::int64_t count) {
  const Json* labels = reader.find("id2label");
  std::vector<std::string> names;
  for (std::int64_t row = 0; row < count && labels != nullptr; ++row) {
    const auto label = labels->find(std::to_string(row));
    if (label == labels->end() || !label->is_string()) break;
    const auto name = label->get<std::string>();
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  if (static_cast<std::int64_t>(names.size()) == count) return names;
  return numbered_labels(count);
}

std::string read_dtype(JsonFields& reader) {
  const Json* value = reader.find("dtype");
  if (value == nullptr) value = reader.find("torch_dtype");
  if (value == nullptr) return "";
  for (const auto& [ours, theirs] : dtype_names) {
    if (*value == theirs) return std::string(ours);
  }
  reader.refuse("'dtype' of the weights", dump_json(*value), "float32, bfloat16 or float16");
}

}  // namespace

std::vector<std::string> supported_architectures() {
  std::vector<std::string> names;
  for (const Family& family : families) {
    for (const HeadKind head : {HeadKind::language_model, HeadKind::regression})
      names.push_back(architecture(family, head));
  }
  return names;
}

std::vector<std::string> numbered_labels(std::int64_t count) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < count; ++i) names.push_back("LABEL_" + std::to_string(i));
  return names;
}

void set_hf_dtype(Json& config, const std::string& dtype) {
  for (const auto& [ours, theirs] : dtype_names) {
    if (dtype != ours) continue;
    const bool newer = config.contains("dtype");
    if (newer) config["dtype"] = theirs;
    if (!newer || config.contains("torch_dtype")) config["torch_dtype"] = theirs;
  }
}

HfConfig parse_hf_config(const Json& json, const std::string& where) {
  JsonFields reader(json, where);
  const Family& family = read_family(reader);
  check_config_keys(reader, family.family);
  HfConfig config;
  config.head = read_head(reader, family);
  config.model = read_model(reader, family);
  if (config.head == HeadKind::regression) {
    config.num_labels = read_num_labels(reader);
    config.label_names = read_label_names(reader, config.num_labels);
  }
  config.dtype = read_dtype(reader);
  config.names_code = reader.find("auto_map") != nullptr;
  if (const Json* bos = reader.find("bos_token_id"))
    config.bos_token_id = as_integer(*bos, 0, config.model.vocab_size - 1);
  if (const Json* pad = reader.find("pad_token_id"))
    config.pad_token_id = as_integer(*pad, 0, config.model.vocab_size - 1);
  config.eos_token_ids = parse_eos_token_ids(json, config.model.vocab_size, where);
  return config;
}

std::vector<std::int64_t> parse_eos_token_ids(const Json& json, std::int64_t vocab_size, const std::string& where) {
  JsonFields reader(json, where);
  const Json* value = reader.find("eos_token_id");
  if (value == nullptr) return {};
  std::vector<std::int64_t> ids;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    const auto number = as_integer(id, 0, vocab_size - 1);
    if (!number) reader.refuse_value("eos_token_id", *value, "ids from 0 to " + std::to_string(vocab_size - 1));
    ids.push_back(*number);
  }
  return ids;
}

namespace {

Json dump_ids(const std::vector<std::int64_t>& ids) {
  if (ids.empty()) return nullptr;
  return ids.size() == 1 ? Json(ids[0]) : Json(ids);
}

}  // namespace

namespace {

// The keys that the family's own code reads, no others.
void dump_features(const ModelConfig& model, Json& json) {
  const bool qwen = model.family == ModelFamily::qwen2 || model.family == ModelFamily::qwen3;
  if (model.family == ModelFamily::llama || model.family == ModelFamily::qwen3) json["attention_bias"] = model.o_bias;
  if (model.family == ModelFamily::llama) json["mlp_bias"] = model.mlp_bias;
  const auto first =
      std::find_if(model.windows.begin(), model.windows.end(), [](std::int64_t window) { return window > 0; });
  const bool windowed = first != model.windows.end();
  if (model.family != ModelFamily::llama) json["sliding_window"] = windowed ? Json(*first) : Json(nullptr);
  if (!qwen) return;
  json["use_sliding_window"] = windowed;
  json["max_window_layers"] = first - model.windows.begin();
  if (!windowed) json["max_window_layers"] = model.num_hidden_layers;
  for (std::int64_t i = 0; i < model.num_hidden_layers; ++i)
    json["layer_types"].push_back(model.window(i) > 0 ? "sliding_attention" : "full_attention");
}

}  // namespace

Json dump_hf_config(const HfConfig& config, const std::vector<std::string>& label_names) {
  const ModelConfig& model = config.model;
  const bool regression = config.head == HeadKind::regression;
  Json json;
  const Family& family = family_of(model.family);
  json["architectures"] = Json::array({architecture(family, config.head)});
  json["model_type"] = enum_name(model.family);
  json["vocab_size"] = model.vocab_size;
  json["hidden_size"] = model.hidden_size;
  json["intermediate_size"] = model.intermediate_size;
  json["num_hidden_layers"] = model.num_hidden_layers;
  json["num_attention_heads"] = model.num_attention_heads;
  json["num_key_value_heads"] = model.num_key_value_heads;
  json["head_dim"] = model.head_dim;
  json["max_position_embeddings"] = model.max_position_embeddings;
  dump_rope(model, json);
  json["rms_norm_eps"] = model.rms_norm_eps;
  json["hidden_act"] = "silu";
  dump_features(model, json);
  json["attention_dropout"] = 0.0;
  json["tie_word_embeddings"] = model.tie_word_embeddings;
  json["initializer_range"] = model.initializer_range;
  json["use_cache"] = true;
  json["bos_token_id"] = config.bos_token_id ? Json(*config.bos_token_id) : Json(nullptr);
  json["eos_token_id"] = dump_ids(config.eos_token_ids);
  if (config.pad_token_id) json["pad_token_id"] = *config.pad_token_id;
  for (const auto& [ours, theirs] : dtype_names) {
    if (config.dtype == ours) json["torch_dtype"] = theirs;
  }
  if (!regression) return json;
  json["problem_type"] = "regression";
  json["num_labels"] = label_names.size();
  for (size_t i = 0; i < label_names.size(); ++i) {
    json["id2label"][std::to_string(i)] = label_names[i];
    json["label2id"][label_names[i]] = i;
  }
  return json;
}

void check_model_config(const ModelConfig& model, const std::string& where) {
  try {
    parse_hf_config(dump_hf_config({.model = model}, {}), where);
  } catch (const Error& error) {
    throw Error(ExitCode::recipe, error.faults());
  }
}

Json dump_generation_config(const HfConfig& config) {
  return {{"bos_token_id", config.bos_token_id ? Json(*config.bos_token_id) : Json(nullptr)},
          {"eos_token_id", dump_ids(config.eos_token_ids)}};
}

}  // namespace steerlm
