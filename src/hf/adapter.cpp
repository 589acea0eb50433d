#include "steerlm/hf/adapter.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>

#include "hf/folder_json.h"
#include "hf/weight_files.h"
#include "steerlm/core/error.h"
#include "steerlm/core/json_fields.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/store/safetensors.h"

namespace steerlm {
namespace {

constexpr const char* config_file = "adapter_config.json";
constexpr const char* weight_file = "adapter_model.safetensors";
// PEFT wraps a model twice: base_model.model.<name in the model>.
constexpr std::string_view peft_prefix = "base_model.model.";

// Keys of PEFT's LoraConfig (0.21) that are read below, or that change nothing of W + s B A.
constexpr std::string_view known_keys[] = {
    "base_model_name_or_path", "r", "lora_alpha", "target_modules", "task_type", "modules_to_save", "use_rslora",
    // how it was trained or saved, and by what
    "lora_dropout", "inference_mode", "peft_version", "auto_mapping", "revision", "megatron_core", "qalora_group_size",
    "runtime_config", "ensure_weight_tying", "unsloth_version", "transformers_version"};

constexpr const char* merge_advice =
    "in Python load the adapter with PEFT, call merge_and_unload and save the whole model and its tokenizer with "
    "save_pretrained";

// Keys that change the computation, with the values that change nothing; null does not either.
struct Neutral {
  const char* key;
  std::vector<Json> values;
  bool merges = true;  // what PEFT merges and saves of such an adapter is a model folder that can be read
};

const std::vector<Neutral>& neutral_keys() {
  static const std::vector<Neutral> keys{
      {"peft_type", {"LORA"}, false},
      {"bias", {"none"}},
      {"use_dora", {false}},
      {"use_qalora", {false}, false},
      {"use_bdlora", {false}, false},
      {"lora_bias", {false}},
      {"fan_in_fan_out", {false}},
      {"rank_pattern", {Json::object()}},
      {"alpha_pattern", {Json::object()}},
      {"loftq_config", {Json::object()}},
      {"layers_to_transform", {}},
      {"layers_pattern", {}},
      {"layer_replication", {}, false},
      {"exclude_modules", {Json::array()}},
      {"target_parameters", {Json::array()}},
      {"trainable_token_indices", {}},
      {"alora_invocation_tokens", {}, false},
      {"megatron_config", {}, false},
      {"eva_config", {}},
      {"corda_config", {}},
      {"lora_ga_config", {}},
      {"arrow_config", {}, false},
      {"velora_config", {}, false},
      {"kasa_config", {}, false},
      {"monteclora_config", {}, false},
  };
  return keys;
}

// Only these leave the base as it was: the others (pissa, olora, corda, loftq, eva, lora_ga, mica …) take a part out of
// it before training, so that W of the base folder is not the W that the adapter was trained beside.
void check_initialisation(JsonFields& reader) {
  const Json* value = reader.find("init_lora_weights");
  if (value == nullptr || value->is_boolean() || *value == "gaussian" || *value == "orthogonal") return;
  reader.refuse(
      "'init_lora_weights' is not implemented: this initialisation changes the base's weights", dump_json(*value),
      "true, false, \"gaussian\" or \"orthogonal\"",
      "merge the adapter with PEFT (merge_and_unload) and save the whole model and its tokenizer, or save it with "
      "save_pretrained(folder, path_initial_model_for_weight_conversion=…)");
}

void check_neutral(const Neutral& neutral, JsonFields& reader) {
  const Json* value = reader.find(neutral.key);
  if (value == nullptr || std::ranges::find(neutral.values, *value) != neutral.values.end()) return;
  std::vector<std::string> choices;
  for (const Json& choice : neutral.values) choices.push_back(dump_json(choice));
  choices.emplace_back("null");
  reader.refuse("'" + std::string(neutral.key) + "' is not implemented", shortened_json(*value), join(choices, " or "),
                neutral.merges ? merge_advice : "");
}

void check_keys(JsonFields& reader) {
  for (const Neutral& neutral : neutral_keys()) check_neutral(neutral, reader);
  check_initialisation(reader);
  refuse_unknown_keys(reader.json(), reader.where(), "what the adapter computes", [](const std::string& key) {
    return key == "init_lora_weights" || std::ranges::find(known_keys, key) != std::end(known_keys) ||
           std::ranges::any_of(neutral_keys(), [&](const Neutral& neutral) { return key == neutral.key; });
  });
}

// A name of target_modules: the end of a module's name, or all of it, which "all-linear" becomes: q_proj,
// self_attn.q_proj, model.layers.0.self_attn.q_proj.
struct Target {
  std::string projection;
  std::optional<std::int64_t> layer;  // nothing: every layer
};

bool take(std::string_view& text, std::string_view front) {
  if (!text.starts_with(front)) return false;
  text.remove_prefix(front.size());
  return true;
}

// A name of another form is returned whole; lora_shapes refuses it.
Target split_target(const std::string& name) {
  std::string_view rest = name;
  Target target;
  if (take(rest, "model.layers.") || take(rest, "layers.")) {
    std::int64_t layer = -1;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    if (error != std::errc{} || layer < 0 || !take(rest, ".")) return {.projection = name, .layer = {}};
    target.layer = layer;
  }
  if (!take(rest, "self_attn.") && !take(rest, "mlp.") && target.layer) return {.projection = name, .layer = {}};
  target.projection = rest;
  return target;
}

std::vector<Target> read_targets(JsonFields& reader) {
  const Json* targets = reader.find("target_modules");
  if (targets == nullptr || !targets->is_array() || targets->empty()) {
    reader.refuse("'target_modules'", targets == nullptr ? "nothing" : dump_json(*targets), "a list of names",
                  merge_advice);
  }
  std::vector<Target> result;
  for (const Json& target : *targets) {
    if (!target.is_string()) reader.refuse_value("target_modules", target, "a name");
    result.push_back(split_target(target.get<std::string>()));
  }
  return result;
}

std::vector<std::string> projections_of(const std::vector<Target>& targets) {
  std::vector<std::string> names;
  for (const Target& target : targets) {
    if (std::ranges::find(names, target.projection) == names.end()) names.push_back(target.projection);
  }
  return names;
}

// A projection that target_modules names by layer must be named in every layer.
void check_layers(JsonFields& reader, std::int64_t layers) {
  const std::vector<Target> targets = read_targets(reader);
  for (const std::string& projection : projections_of(targets)) {
    std::set<std::int64_t> named;
    bool all = false;
    for (const Target& target : targets) {
      if (target.projection != projection) continue;
      if (target.layer) named.insert(*target.layer);
      all = all || !target.layer;
    }
    for (std::int64_t layer = 0; layer < layers && !all; ++layer) {
      if (named.contains(layer)) continue;
      reader.refuse("'target_modules' adapts a projection in some layers alone, which is not implemented",
                    "no " + projection + " of layer " + std::to_string(layer),
                    "each projection in all " + std::to_string(layers) + " layers", merge_advice);
    }
  }
}

[[noreturn]] void refuse_embedding(const std::string& where, const std::string& found) {
  fail(ExitCode::model,
       {.what =
            "the adapter brings a whole embedding or output layer of its own, as after tokens were added to the base, "
            "and such adapters are not read",
        .where = where,
        .found = found,
        .advice = "in Python resize the base (resize_token_embeddings), load the adapter with PEFT, call "
                  "merge_and_unload and save the whole model and its tokenizer with save_pretrained"});
}

HeadKind read_task(JsonFields& reader) {
  const Json* task = reader.find("task_type");
  const Json* saved = reader.find("modules_to_save");
  const Json modules = saved == nullptr ? Json::array() : *saved;
  if (!modules.is_array()) reader.refuse_value("modules_to_save", modules, "null or a list of names");
  // PEFT writes ["score", "classifier", "score"] for a model that has no classifier.
  bool score = false;
  for (const Json& module : modules) {
    if (module == "embed_tokens" || module == "lm_head") refuse_embedding(reader.where(), dump_json(*saved));
    if (module != "score" && module != "classifier")
      reader.refuse("'modules_to_save' is not implemented", dump_json(*saved), "null or [\"score\"]", merge_advice);
    score = score || module == "score";
  }
  if (task == nullptr || *task == "CAUSAL_LM") {
    if (score)
      reader.refuse("'modules_to_save' has a score, but 'task_type' is not a classification",
                    task == nullptr ? "null" : dump_json(*task));
    return HeadKind::language_model;
  }
  if (*task != "SEQ_CLS") reader.refuse("'task_type' is not implemented", dump_json(*task), "CAUSAL_LM or SEQ_CLS");
  if (!score)
    reader.refuse("an adapter of a predictor without its score", saved == nullptr ? "null" : dump_json(*saved),
                  "modules_to_save [\"score\"]");
  return HeadKind::regression;
}

SafetensorsFile open_weights(const Path& folder) {
  const Path path = folder / weight_file;
  if (!is_there(path, ExitCode::model)) {
    fail(ExitCode::model,
         {.what = "the folder is a PEFT adapter without adapter_model.safetensors",
          .where = folder.string(),
          .advice = "load the adapter with PEFT and save it with save_pretrained(folder), which writes safetensors"});
  }
  return SafetensorsFile::open(path);
}

}  // namespace

bool is_adapter_folder(const Path& folder) {
  constexpr ExitCode code = ExitCode::model;
  if (!is_there(folder / config_file, code)) return false;
  return !is_there(folder / "config.json", code) || (is_there(folder / weight_file, code) && !has_weight_files(folder));
}

Adapter read_adapter_config(const Path& folder) {
  const Path path = folder / config_file;
  const Json json = read_folder_json(path, "adapter config");
  JsonFields reader(json, path.string());
  check_keys(reader);
  Adapter adapter;
  const Json* base = reader.find("base_model_name_or_path");
  if (base == nullptr || !base->is_string() || base->get<std::string>().empty())
    reader.refuse("'base_model_name_or_path' is missing", "", "the folder of the model that is adapted");
  adapter.base = base->get<std::string>();
  adapter.lora.rank = reader.integer("r", 1, 65536);
  adapter.lora.alpha = reader.positive("lora_alpha");
  // Rank-stabilised (Kalajdzievski 2023): s = alpha / sqrt(r). The alpha that gives this s as alpha / r:
  if (reader.flag("use_rslora", false)) adapter.lora.alpha *= std::sqrt(static_cast<double>(adapter.lora.rank));
  adapter.lora.targets = projections_of(read_targets(reader));
  adapter.head = read_task(reader);
  return adapter;
}

Json dump_adapter_config(const Adapter& adapter) {
  const bool regression = adapter.head == HeadKind::regression;
  return {{"peft_type", "LORA"},
          {"task_type", regression ? "SEQ_CLS" : "CAUSAL_LM"},
          {"base_model_name_or_path", utf8_text(adapter.base)},
          {"r", adapter.lora.rank},
          {"lora_alpha", adapter.lora.alpha},
          {"lora_dropout", 0.0},
          {"target_modules", adapter.lora.targets},
          {"modules_to_save", regression ? Json::array({"score"}) : Json(nullptr)},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"use_rslora", false},
          {"use_dora", false},
          {"init_lora_weights", true},
          {"inference_mode", true},
          {"rank_pattern", Json::object()},
          {"alpha_pattern", Json::object()}};
}

HeadShape adapter_head(const Path& folder, const Adapter& adapter) {
  if (adapter.head == HeadKind::language_model) return {.language_model = true};
  const SafetensorsFile file = open_weights(folder);
  const std::string name = std::string(peft_prefix) + "score.weight";
  const TensorInfo& score = file.info(name);
  if (score.shape.size() != 2 || score.shape[0] < 1 || score.shape[0] > 4096)
    fail(ExitCode::model,
         {.what = "tensor '" + name + "' is not a head of 1 to 4096 attributes", .where = file.path().string()});
  const std::vector<std::string> names = file.names();
  return {.attributes = score.shape[0],
          .bias = std::ranges::find(names, std::string(peft_prefix) + "score.bias") != names.end()};
}

namespace {

// Names in the model and shapes of all that the adapter must hold.
NamedShapes expected_tensors(const Path& folder, const Adapter& adapter, const ModelConfig& config) {
  NamedShapes expected;
  try {
    expected = lora_shapes(config, adapter.lora);
  } catch (const Error& error) {  // the targets are the folder's, not a recipe's
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults) {
      fault.where = (folder / config_file).string() + ", target_modules";
      fault.advice = merge_advice;
    }
    throw Error(ExitCode::model, faults);
  }
  const Json json = read_folder_json(folder / config_file, "adapter config");
  JsonFields reader(json, (folder / config_file).string());
  check_layers(reader, config.num_hidden_layers);
  for (const auto& [name, shape] : parameter_shapes(config, adapter_head(folder, adapter))) {
    if (name.starts_with("score.")) expected.emplace_back(name, shape);
  }
  return expected;
}

SafetensorsFile open_adapter_file(const Path& folder, const NamedShapes& expected) {
  SafetensorsFile file = open_weights(folder);
  std::vector<std::string> left = file.names();
  for (const std::string& name : left) {
    if (name.find("embed_tokens.") != std::string::npos || name.find("lm_head.") != std::string::npos)
      refuse_embedding(file.path().string(), "tensor '" + name + "' of shape " + dump_json(file.info(name).shape));
  }
  for (const auto& [name, shape] : expected) {
    const std::string stored = std::string(peft_prefix) + name;
    const TensorInfo& info = file.info(stored);
    if (info.shape != shape) {
      fail(ExitCode::model, {.what = "tensor '" + stored + "' has not the shape that the base and the rank give it",
                             .where = file.path().string(),
                             .found = dump_json(info.shape),
                             .expected = dump_json(shape)});
    }
    if (info.dtype != "F32" && info.dtype != "BF16" && info.dtype != "F16" && info.dtype != "F64")
      fail(ExitCode::model, {.what = "tensor '" + stored + "' has a dtype that is not supported",
                             .where = file.path().string(),
                             .found = info.dtype});
    std::erase(left, stored);
  }
  if (!left.empty()) fail(ExitCode::model, {.what = "extra tensor '" + left[0] + "'", .where = file.path().string()});
  return file;
}

}  // namespace

void check_adapter_tensors(const Path& folder, const Adapter& adapter, const ModelConfig& config) {
  open_adapter_file(folder, expected_tensors(folder, adapter, config));
}

NamedTensors read_adapter_tensors(const Path& folder, const Adapter& adapter, const ModelConfig& config) {
  const NamedShapes expected = expected_tensors(folder, adapter, config);
  const SafetensorsFile file = open_adapter_file(folder, expected);
  NamedTensors tensors;
  for (const auto& [name, shape] : expected) {
    const std::string stored = std::string(peft_prefix) + name;
    tensors.emplace_back(name, file.read(stored));
    require_finite(tensors.back().second, stored, file.path());
  }
  return tensors;
}

NamedTensors with_peft_names(const NamedTensors& tensors) {
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) result.emplace_back(std::string(peft_prefix) + name, tensor);
  return result;
}

}  // namespace steerlm
