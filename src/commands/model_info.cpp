// steerlm model info.
#include <iostream>
#include <string>
#include <vector>

#include "commands/commands.h"
#include "commands/model_options.h"
#include "commands/template_request.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "steerlm/core/paths.h"
#include "steerlm/hf/config.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/nn/cost.h"

namespace steerlm {
namespace {

Json describe_files(const Path& path) {
  Json files = Json::object();
  for (const Path& file : files_of(path, ExitCode::model)) {
    const std::int64_t size = file_bytes(file, ExitCode::model);
    files[utf8_text(file.filename())] = {{"size", size}, {"sha256", sha256_file(file, ExitCode::model)}};
  }
  return files;
}

Json optional_id(std::int64_t id) { return id < 0 ? Json(nullptr) : Json(id); }

// config.json by Hugging Face's names, with Transformers' defaults filled in.
Json describe_config(const ModelFolder& folder) {
  const Path path = folder.weights_path / "config.json";
  HfConfig config = parse_hf_config(
      parse_json(read_file(path, ExitCode::model, "model config"), path.string(), ExitCode::model), path.string());
  config.head = folder.head.kind;  // an adapter's base may have another
  config.num_labels = folder.num_labels;
  config.dtype = folder.dtype;  // where config.json names none
  const bool regression = config.head == HeadKind::regression;
  const std::vector<std::string> labels = !regression                       ? std::vector<std::string>()
                                          : folder.attributes.names.empty() ? folder.label_names
                                                                            : folder.attributes.names;
  return dump_hf_config(config, labels);
}

// Weights alone for inference; weights, gradients and moments for training, activations aside.
Json describe_memory(const ModelConfig& config, const HeadShape& head) {
  const std::int64_t parameters = count_parameters(config, head);
  return {{"inference_fp32", 4 * parameters},
          {"inference_bf16", 2 * parameters},
          {"training_fp32", train_state_bytes(config, head, false)},
          {"training_bf16", train_state_bytes(config, head, true)}};
}

std::string why(const ModelFolder& folder) {
  switch (folder.template_from) {
    case TemplateFrom::standard:
      return "the default: the folder has no steerlm.json that names one, and no chat template";
    case TemplateFrom::steerlm_json:
      return "steerlm.json";
    case TemplateFrom::chat_template:
      return "the chat template writes it";
    case TemplateFrom::request:
      return "--template";
    case TemplateFrom::open:
      return "nothing says it: the chat template is none of this program's; --template NAME chooses one";
  }
  return "";
}

Json describe_chat_template(const ChatTemplateReading& reading) {
  Json json = {{"file", reading.file}, {"writes", reading.name ? std::string(enum_name(*reading.name)) : reading.kind}};
  if (!reading.name) return json;
  json["system"] = reading.system ? Json(*reading.system) : Json(nullptr);
  if (!reading.unreadable.empty()) json["unreadable"] = reading.unreadable;
  json["differences"] = reading.differences;
  return json;
}

Json describe_template(const ModelFolder& folder, const Tokenizer& tokenizer) {
  Json json = {{"name", nullptr}, {"why", why(folder)}};
  if (folder.template_from != TemplateFrom::open) {
    const ConversationTemplate text_template = make_template(folder, tokenizer);
    const std::string marker(text_template.turn_marker());
    const std::int32_t end = text_template.end_of_turn_id().value_or(tokenizer.eos_id());
    json["name"] = enum_name(folder.text_template.name);
    json["special_tokens"] = enum_name(folder.text_template.special_tokens);
    json["system"] = folder.text_template.system;
    json["end"] = marker.empty() ? tokenizer.piece(end) : marker;
    json["sha256"] = text_template.sha256();
  }
  if (folder.chat_template) json["chat_template"] = describe_chat_template(*folder.chat_template);
  return json;
}

// One JSON object: what the folder says of itself, held against its weights and its tokenizer.
}  // namespace

int commands::model_info(const ModelInfoArguments& arguments) {
  const std::string& path = arguments.model;
  TemplateRequest request = parse_template(arguments.text_template);
  request.required = false;
  ModelFolder folder = open_model_folder(path);
  const Weights weights = own_weights(folder);
  check_weights(folder, weights);
  const Tokenizer tokenizer = Tokenizer::load(folder.tokenizer_path);
  print_notes(folder_notes(folder, tokenizer));
  check_vocabulary(folder, tokenizer);
  settle_template(folder, tokenizer, request);
  print_template(folder);
  const HeadShape head = head_shape(folder, weights);
  const std::vector<Path> shards = weight_paths(folder.weights_path);
  std::int64_t weight_bytes = 0;
  for (const Path& shard : shards) weight_bytes += file_bytes(shard, ExitCode::model);

  const Json config = describe_config(folder);
  Json json;
  json["path"] = utf8_text(path);
  json["architecture"] = config.at("architectures").at(0);
  json["family"] = config.at("model_type");
  json["head"]["kind"] = enum_name(folder.head.kind);
  if (folder.writes) json["head"]["writes"] = enum_name(*folder.writes);
  if (weights == Weights::regression) {
    json["head"]["bias"] = folder.head.bias;
    json["head"]["pooling"] = enum_name(folder.head.pooling);
  }
  json["parameters"] = count_parameters(folder.config, head);
  json["bytes"] = weight_bytes;
  json["shards"] = shards.size();
  if (has_bare_tensor_names(folder)) json["tensor_names"] = "without 'model.', read as if they had it";
  json["dtype"] = folder.dtype;
  json["memory_bytes"] = describe_memory(folder.config, head);
  json["context_length"] = folder.config.context_length();
  json["vocabulary_rows"] = folder.config.vocab_size;
  json["tokenizer_pieces"] = tokenizer.vocab_size();
  if (folder.adapter) {
    const Adapter& adapter = *folder.adapter;
    json["adapter"] = {{"base", utf8_text(folder.weights_path)},
                       {"rank", adapter.lora.rank},
                       {"alpha", adapter.lora.alpha},
                       {"targets", adapter.lora.targets}};
  }
  json["special_tokens"] = {{"bos", optional_id(tokenizer.bos_id())}, {"eos", folder.eos_token_ids}};
  if (!folder.method.empty()) json["method"] = folder.method;
  if (folder.head.kind == HeadKind::regression && folder.attributes.names.empty()) json["labels"] = folder.label_names;
  json["attributes"] = nullptr;
  if (!folder.attributes.names.empty()) {
    json["attributes"] = {{"names", folder.attributes.names},
                          {"min", folder.attributes.min},
                          {"max", folder.attributes.max},
                          {"defaults", folder.attributes.defaults}};
  }
  json["template"] = describe_template(folder, tokenizer);
  json["config"] = config;
  json["files"] = describe_files(path);
  std::cout << json.dump(2) << "\n";
  return 0;
}

}  // namespace steerlm
