#include "steerlm/hf/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// Transformers' names of the dtypes that weights are kept in.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> dtype_names{
    {{"fp32", "float32"}, {"bf16", "bfloat16"}, {"fp16", "float16"}}};

constexpr std::array<std::pair<std::string_view, HeadKind>, 2> architectures{
    {{"LlamaForCausalLM", HeadKind::language_model},
     {"LlamaForSequenceClassification", HeadKind::regression}}};

// A JSON integer from 0 to `max`.
std::optional<std::int64_t> as_integer(const Json& value, std::int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(max))
    return std::nullopt;
  const auto number = value.get<std::int64_t>();
  return number >= 0 && number <= max ? std::optional(number) : std::nullopt;
}

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A config's keys, null being as good as absent.
class Reader {
 public:
  Reader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  [[noreturn]] void refuse(std::string what, std::string found = "", std::string expected = "",
                           std::string advice = "") const {
    fail(ExitCode::model, {.what = std::move(what),
                           .where = where_,
                           .found = std::move(found),
                           .expected = std::move(expected),
                           .advice = std::move(advice)});
  }
  const Json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  std::int64_t integer(const char* key, std::int64_t max,
                       std::optional<std::int64_t> otherwise = std::nullopt) const {
    const Json* value = find(key);
    if (value == nullptr) {
      if (!otherwise) refuse(std::string("no key '") + key + "'");
      return *otherwise;
    }
    const auto number = as_integer(*value, max);
    if (!number || *number < 1)
      refuse(std::string("'") + key + "'", text_of(*value),
             "an integer from 1 to " + std::to_string(max));
    return *number;
  }
  double positive(const char* key, double otherwise) const {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_number() || !(value->get<double>() > 0))
      refuse(std::string("'") + key + "'", text_of(*value), "a number above 0");
    return value->get<double>();
  }
  bool boolean(const char* key, bool otherwise) const {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean())
      refuse(std::string("'") + key + "'", text_of(*value), "true or false");
    return value->get<bool>();
  }
  // The key changes the computation, and only these values of it are implemented.
  void only(const char* key, std::initializer_list<Json> implemented) const {
    const Json* value = find(key);
    if (value == nullptr ||
        std::find(implemented.begin(), implemented.end(), *value) != implemented.end())
      return;
    std::vector<std::string> choices;
    for (const Json& choice : implemented) choices.push_back(text_of(choice));
    choices.push_back("null");
    refuse(std::string("'") + key + "' is not implemented", text_of(*value), join(choices, " or "));
  }
  const std::string& where() const { return where_; }

 private:
  const Json& json_;
  std::string where_;
};

void check_implemented(const Reader& reader) {
  reader.only("hidden_act", {"silu", "swish"});
  reader.only("attention_bias", {false});
  reader.only("mlp_bias", {false});
  reader.only("attention_dropout", {0.0});
  reader.only("sliding_window", {});
  reader.only("quantization_config", {});
  reader.only("partial_rotary_factor", {1.0});
  if (const Json* types = reader.find("layer_types")) {
    const bool full =
        types->is_array() && std::all_of(types->begin(), types->end(),
                                         [](const Json& type) { return type == "full_attention"; });
    if (!full)
      reader.refuse("'layer_types' is not implemented", text_of(*types),
                    "\"full_attention\" for every layer");
  }
}

// Transformers 4: rope_theta and rope_scaling; 5: rope_parameters with both.
double read_rope_theta(const Reader& reader) {
  std::optional<double> theta;
  const auto take = [&](const Reader& from) {
    if (from.find("rope_theta") == nullptr) return;
    const double value = from.positive("rope_theta", 0);
    if (theta && *theta != value)
      from.refuse("'rope_theta' is given twice", std::to_string(value), std::to_string(*theta));
    theta = value;
  };
  take(reader);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Json* section = reader.find(key);
    if (section == nullptr) continue;
    if (!section->is_object())
      reader.refuse(std::string("'") + key + "'", text_of(*section), "an object or null");
    const Reader inner(*section, reader.where() + ", " + key);
    for (const auto& [name, value] : section->items()) {
      if (value.is_object())
        inner.refuse(std::string("'") + key + "' for kinds of layers is not implemented",
                     text_of(*section));
    }
    inner.only("rope_type", {"default"});
    inner.only("type", {"default"});
    inner.only("partial_rotary_factor", {1.0});
    take(inner);
  }
  return theta.value_or(10000.0);
}

// Limits far above any real model and far below where a product of two sizes overflows.
ModelConfig read_model(const Reader& reader) {
  ModelConfig model;
  model.vocab_size = reader.integer("vocab_size", 1 << 24);
  model.hidden_size = reader.integer("hidden_size", 1 << 17);
  model.intermediate_size = reader.integer("intermediate_size", 1 << 20);
  model.num_hidden_layers = reader.integer("num_hidden_layers", 1024);
  model.num_attention_heads = reader.integer("num_attention_heads", 4096);
  model.num_key_value_heads =
      reader.integer("num_key_value_heads", 4096, model.num_attention_heads);
  if (reader.find("head_dim") == nullptr && model.hidden_size % model.num_attention_heads != 0) {
    reader.refuse(
        "'hidden_size' is not a multiple of 'num_attention_heads'",
        std::to_string(model.hidden_size) + " and " + std::to_string(model.num_attention_heads),
        "a multiple, or 'head_dim'");
  }
  model.head_dim = reader.integer(
      "head_dim", 4096, std::max<std::int64_t>(1, model.hidden_size / model.num_attention_heads));
  if (model.head_dim % 2 != 0)
    reader.refuse("the width of a head", std::to_string(model.head_dim),
                  "an even number, for rotary positions");
  if (model.num_attention_heads % model.num_key_value_heads != 0) {
    reader.refuse("'num_key_value_heads' does not divide 'num_attention_heads'",
                  std::to_string(model.num_key_value_heads) + " and " +
                      std::to_string(model.num_attention_heads));
  }
  model.max_position_embeddings = reader.integer("max_position_embeddings", 1 << 30, 2048);
  model.rope_theta = read_rope_theta(reader);
  model.rms_norm_eps = reader.positive("rms_norm_eps", 1e-6);
  model.tie_word_embeddings = reader.boolean("tie_word_embeddings", false);
  model.initializer_range = reader.positive("initializer_range", 0.02);
  return model;
}

HeadKind read_head(const Reader& reader) {
  const Json* names = reader.find("architectures");
  if (names == nullptr) return HeadKind::language_model;
  if (!names->is_array() || names->size() != 1)
    reader.refuse("'architectures'", text_of(*names), "a list of one name");
  for (const auto& [name, kind] : architectures) {
    if (names->at(0) == name) return kind;
  }
  reader.refuse("the architecture is not implemented", text_of(names->at(0)),
                join(supported_architectures(), " or "));
}

// Transformers writes id2label and leaves num_labels out; without either there are two.
std::int64_t read_num_labels(const Reader& reader) {
  constexpr std::int64_t most = 4096;
  const Json* labels = reader.find("id2label");
  if (labels == nullptr) return reader.integer("num_labels", most, 2);
  const auto count = static_cast<std::int64_t>(labels->size());
  if (!labels->is_object() || count < 1 || count > most) {
    reader.refuse("'id2label'", std::to_string(count) + " entries",
                  "an object of 1 to " + std::to_string(most));
  }
  if (reader.integer("num_labels", most, count) != count) {
    reader.refuse("'num_labels' and 'id2label' do not agree",
                  std::to_string(reader.integer("num_labels", most)), std::to_string(count));
  }
  return count;
}

std::string read_dtype(const Reader& reader) {
  const Json* value = reader.find("dtype");
  if (value == nullptr) value = reader.find("torch_dtype");
  if (value == nullptr) return "fp32";
  for (const auto& [ours, theirs] : dtype_names) {
    if (*value == theirs) return std::string(ours);
  }
  reader.refuse("'dtype' of the weights", text_of(*value), "float32, bfloat16 or float16");
}

}  // namespace

std::vector<std::string> supported_architectures() {
  std::vector<std::string> names;
  for (const auto& [name, kind] : architectures) names.emplace_back(name);
  return names;
}

std::vector<std::string> supported_dtypes() {
  std::vector<std::string> names;
  for (const auto& [ours, theirs] : dtype_names) names.emplace_back(ours);
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
  const Reader reader(json, where);
  if (!json.is_object()) reader.refuse("not a JSON object");
  const Json* type = reader.find("model_type");
  if (type == nullptr) reader.refuse("no key 'model_type'", "", "\"llama\"");
  if (*type != "llama")
    reader.refuse("the model type is not implemented", text_of(*type), "\"llama\"");
  check_implemented(reader);
  HfConfig config;
  config.head = read_head(reader);
  config.model = read_model(reader);
  if (config.head == HeadKind::regression) config.num_labels = read_num_labels(reader);
  config.dtype = read_dtype(reader);
  if (const Json* bos = reader.find("bos_token_id"))
    config.bos_token_id = as_integer(*bos, config.model.vocab_size - 1);
  config.eos_token_ids = parse_eos_token_ids(json, config.model.vocab_size, where);
  config.names_code = reader.find("auto_map") != nullptr;
  return config;
}

std::vector<std::int64_t> parse_eos_token_ids(const Json& json, std::int64_t vocab_size,
                                              const std::string& where) {
  const Reader reader(json, where);
  if (!json.is_object()) reader.refuse("not a JSON object");
  const Json* value = reader.find("eos_token_id");
  if (value == nullptr) return {};
  std::vector<std::int64_t> ids;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    const auto number = as_integer(id, vocab_size - 1);
    if (!number)
      reader.refuse("'eos_token_id'", text_of(*value),
                    "ids from 0 to " + std::to_string(vocab_size - 1));
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

Json dump_hf_config(const HfConfig& config, const std::vector<std::string>& label_names) {
  const ModelConfig& model = config.model;
  const bool regression = config.head == HeadKind::regression;
  Json json;
  json["architectures"] =
      Json::array({regression ? "LlamaForSequenceClassification" : "LlamaForCausalLM"});
  json["model_type"] = "llama";
  json["vocab_size"] = model.vocab_size;
  json["hidden_size"] = model.hidden_size;
  json["intermediate_size"] = model.intermediate_size;
  json["num_hidden_layers"] = model.num_hidden_layers;
  json["num_attention_heads"] = model.num_attention_heads;
  json["num_key_value_heads"] = model.num_key_value_heads;
  json["head_dim"] = model.head_dim;
  json["max_position_embeddings"] = model.max_position_embeddings;
  json["rope_theta"] = model.rope_theta;
  json["rope_scaling"] = nullptr;
  json["rms_norm_eps"] = model.rms_norm_eps;
  json["hidden_act"] = "silu";
  json["attention_bias"] = false;
  json["mlp_bias"] = false;
  json["attention_dropout"] = 0.0;
  json["tie_word_embeddings"] = model.tie_word_embeddings;
  json["initializer_range"] = model.initializer_range;
  json["use_cache"] = true;
  json["bos_token_id"] = config.bos_token_id ? Json(*config.bos_token_id) : Json(nullptr);
  json["eos_token_id"] = dump_ids(config.eos_token_ids);
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
