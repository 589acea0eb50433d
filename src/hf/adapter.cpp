#include "steerlm/hf/adapter.h"

#include <algorithm>

#include "hf/config_reader.h"
#include "steerlm/core/error.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/store/safetensors.h"

namespace steerlm {
namespace {

constexpr const char* config_file = "adapter_config.json";
constexpr const char* weight_file = "adapter_model.safetensors";
// PEFT wraps a model twice: base_model.model.<name in the model>.
constexpr std::string_view peft_prefix = "base_model.model.";

// Keys of PEFT's LoraConfig that change the computation, with the values that change nothing.
void check_plain_lora(const ConfigReader& reader) {
  reader.only("peft_type", {"LORA"});
  for (const char* key : {"use_dora", "use_rslora", "use_qalora", "fan_in_fan_out", "lora_bias", "use_bdlora"})
    reader.only(key, {false});
  reader.only("bias", {"none"});
  for (const char* key : {"rank_pattern", "alpha_pattern", "loftq_config"}) reader.only(key, {Json::object()});
  for (const char* key : {"layers_to_transform", "layers_pattern", "layer_replication", "exclude_modules",
                          "target_parameters", "trainable_token_indices", "alora_invocation_tokens", "megatron_config",
                          "arrow_config", "velora_config", "kasa_config", "monteclora_config"})
    reader.only(key, {});
}

std::vector<std::string> read_targets(const ConfigReader& reader) {
  const Json* targets = reader.find("target_modules");
  if (targets == nullptr || !targets->is_array() || targets->empty())
    reader.refuse("'target_modules'", targets == nullptr ? "nothing" : text_of(*targets), "a list of names");
  std::vector<std::string> names;
  for (const Json& target : *targets) {
    if (!target.is_string()) reader.refuse("'target_modules'", text_of(target), "a name");
    names.push_back(target.get<std::string>());
  }
  return names;
}

HeadKind read_task(const ConfigReader& reader) {
  const Json* task = reader.find("task_type");
  const Json* saved = reader.find("modules_to_save");
  // PEFT writes ["score", "classifier", "score"] for a model that has no classifier.
  bool score = false;
  for (const Json& module : saved != nullptr && saved->is_array() ? *saved : Json::array()) {
    if (module != "score" && module != "classifier")
      reader.refuse("'modules_to_save' is not implemented", text_of(*saved), "null or [\"score\"]");
    score = score || module == "score";
  }
  if (task == nullptr || *task == "CAUSAL_LM") {
    if (score)
      reader.refuse("'modules_to_save' has a score, but 'task_type' is no classification",
                    task == nullptr ? "null" : text_of(*task));
    return HeadKind::language_model;
  }
  if (*task != "SEQ_CLS") reader.refuse("'task_type' is not implemented", text_of(*task), "CAUSAL_LM or SEQ_CLS");
  if (!score)
    reader.refuse("an adapter of a predictor without its score", saved == nullptr ? "null" : text_of(*saved),
                  "modules_to_save [\"score\"]");
  return HeadKind::regression;
}

}  // namespace

bool is_adapter_folder(const Path& folder) {
  return is_there(folder / config_file, ExitCode::model) && !is_there(folder / "config.json", ExitCode::model);
}

Adapter read_adapter_config(const Path& folder) {
  const Path path = folder / config_file;
  const Json json = parse_json(read_file(path, ExitCode::model, "adapter config"), path.string(), ExitCode::model);
  const ConfigReader reader(json, path.string());
  if (!json.is_object()) reader.refuse("not a JSON object");
  check_plain_lora(reader);
  Adapter adapter;
  const Json* base = reader.find("base_model_name_or_path");
  if (base == nullptr || !base->is_string() || base->get<std::string>().empty())
    reader.refuse("no key 'base_model_name_or_path'", "", "the folder of the model that is adapted");
  adapter.base = base->get<std::string>();
  adapter.lora.rank = reader.integer("r", 65536);
  adapter.lora.alpha = reader.positive("lora_alpha");
  adapter.lora.targets = read_targets(reader);
  adapter.head = read_task(reader);
  return adapter;
}

Json dump_adapter_config(const Adapter& adapter) {
  const bool regression = adapter.head == HeadKind::regression;
  return {{"peft_type", "LORA"},
          {"task_type", regression ? "SEQ_CLS" : "CAUSAL_LM"},
          {"base_model_name_or_path", adapter.base},
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
  const SafetensorsFile file = SafetensorsFile::open(folder / weight_file);
  const std::string name = std::string(peft_prefix) + "score.weight";
  const TensorInfo& score = file.info(name);
  if (score.shape.size() != 2 || score.shape[0] < 1 || score.shape[0] > 4096)
    fail(ExitCode::model,
         {.what = "tensor '" + name + "' is no head of 1 to 4096 attributes", .where = file.path().string()});
  const std::vector<std::string> names = file.names();
  return {.attributes = score.shape[0],
          .bias = std::ranges::find(names, std::string(peft_prefix) + "score.bias") != names.end()};
}

NamedTensors read_adapter_tensors(const Path& folder, const Adapter& adapter, const ModelConfig& config) {
  const SafetensorsFile file = SafetensorsFile::open(folder / weight_file);
  NamedShapes expected;
  try {
    expected = lora_shapes(config, adapter.lora);
  } catch (const Error& error) {  // the targets are the folder's, not a recipe's
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults) fault.where = (folder / config_file).string() + ", target_modules";
    throw Error(ExitCode::model, faults);
  }
  for (const auto& [name, shape] : parameter_shapes(config, adapter_head(folder, adapter))) {
    if (name.starts_with("score.")) expected.emplace_back(name, shape);
  }
  std::vector<std::string> left = file.names();
  NamedTensors tensors;
  for (const auto& [name, shape] : expected) {
    const std::string stored = std::string(peft_prefix) + name;
    if (file.info(stored).shape != shape) {
      fail(ExitCode::model, {.what = "tensor '" + stored + "' has not the shape that the base and the rank give it",
                             .where = file.path().string(),
                             .found = text_of(file.info(stored).shape),
                             .expected = text_of(shape)});
    }
    tensors.emplace_back(name, file.read(stored));
    if (!tensors.back().second.is_floating_point())
      fail(ExitCode::model,
           {.what = "tensor '" + stored + "' has a dtype that is not supported", .where = file.path().string()});
    std::erase(left, stored);
  }
  if (!left.empty()) fail(ExitCode::model, {.what = "extra tensor '" + left[0] + "'", .where = file.path().string()});
  return tensors;
}

NamedTensors with_peft_names(const NamedTensors& tensors) {
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) result.emplace_back(std::string(peft_prefix) + name, tensor);
  return result;
}

}  // namespace steerlm
