#include <algorithm>
#include <map>
#include <stdexcept>

#include "hf/chat_template.h"
#include "hf/folder_json.h"
#include "hf/steerlm_json.h"
#include "hf/weight_files.h"
#include "steerlm/core/paths.h"
#include "steerlm/hf/chat_template_reading.h"
#include "steerlm/hf/config.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/store/safetensors.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

// The caller's tensors must be those of the config: a folder that nobody can open must not be
// written.
void check_tensors(const ModelFolder& folder, const HeadShape& head, const TensorSource& tensors) {
  std::map<std::string, std::vector<std::int64_t>> given;
  for (const TensorSource::Entry& entry : tensors.entries) given[entry.name] = entry.shape;
  const auto expected = parameter_shapes(folder.config, head);
  if (given.size() != expected.size() || given.size() != tensors.entries.size())
    throw std::logic_error("write_model_folder: wrong set of tensors");
  for (const auto& [name, shape] : expected) {
    const auto found = given.find(name);
    if (found == given.end() || found->second != shape)
      throw std::logic_error("write_model_folder: no tensor " + name + " of the right shape");
  }
}

std::vector<std::string> label_names(const ModelFolder& folder, std::int64_t count) {
  if (!folder.attributes.names.empty()) {
    if (count > 0 && static_cast<std::int64_t>(folder.attributes.names.size()) != count) {
      throw std::logic_error("write_model_folder: a row of score.weight an attribute");
    }
    return folder.attributes.names;
  }
  if (static_cast<std::int64_t>(folder.label_names.size()) == count) return folder.label_names;
  return numbered_labels(count);
}

// What ends a response: ids, and text where the template's marker is no piece.
Json generation_config(const HfConfig& config, const ConversationTemplate& conversation_template) {
  Json json = dump_generation_config(config);
  const bool writes = config.head == HeadKind::language_model;
  if (writes && !conversation_template.turn_marker().empty() && !conversation_template.end_of_turn_id())
    json["stop_strings"] = Json::array({conversation_template.turn_marker()});
  return json;
}

// With what the files of the folder, and of an adapter's base, say beside it: temperature, top_p …
Json with_sampling_keys(const Json& generation, const ModelFolder& folder) {
  Json json = Json::object();
  for (const Path& path : {folder.weights_path, folder.path}) {
    const Path file = path / "generation_config.json";
    if (is_there(file, ExitCode::model)) json.update(read_folder_json(file, "generation config"));
  }
  for (const auto& [key, value] : generation.items()) {
    if (!value.is_null() || !json.contains(key)) json[key] = value;
  }
  return json;
}

// Those of the folder that `tokenizer` was copied from; of an adapter that has none its base's, as settle_template
// reads them.
void copy_chat_templates(const ModelFolder& folder, const Tokenizer& tokenizer, const Path& to) {
  const Path beside = tokenizer.path().parent_path(), named = "additional_chat_templates";
  const bool from_base =
      folder.adapter && beside != folder.weights_path && !read_folder_chat_template(beside, tokenizer);
  const Path from = from_base ? folder.weights_path : beside;
  std::error_code error;
  for (const char* name : {"chat_template.jinja", "chat_template.json"}) {
    if (std::filesystem::is_regular_file(from / name, error))
      write_file_atomic(to / name, read_file(from / name, ExitCode::model, "chat template"));
  }
  if (is_folder(from / named, ExitCode::model)) {
    make_directory(to / named);
    for (const Path& file : files_of(from / named, ExitCode::model))
      write_file_atomic(to / named / file.filename(), read_file(file, ExitCode::model, "chat template"));
  }
  const Path config = from / "tokenizer_config.json";
  if (!from_base || !std::filesystem::exists(config, error)) return;
  const Json json = read_folder_json(config, "tokenizer files");
  if (json.is_object() && json.contains("chat_template")) set_chat_template(to, json["chat_template"]);
}

std::string pretty(const Json& json) { return json.dump(2) + "\n"; }

// Everything of a folder but its weights. An adapter's config.json is its base's.
void write_texts(const Path& part, const ModelFolder& folder, const HeadShape& head, const Tokenizer& tokenizer,
                 const std::optional<ModelCard>& card, bool with_config) {
  HfConfig config{
      .model = folder.config, .head = folder.head.kind, .dtype = folder.dtype, .eos_token_ids = folder.eos_token_ids};
  if (tokenizer.bos_id() >= 0) config.bos_token_id = tokenizer.bos_id();
  if (config.eos_token_ids.empty() && tokenizer.eos_id() >= 0) config.eos_token_ids = {tokenizer.eos_id()};
  const bool regression = folder.head.kind == HeadKind::regression;
  SteerlmJson own{.method = folder.method,
                  .attributes = folder.attributes,
                  .head_kind = folder.head.kind,
                  .head_writes = regression ? std::nullopt : folder.writes,
                  .head_loss = folder.head.loss,
                  .head_pooling = folder.head.pooling,
                  .text_template = folder.text_template,
                  .template_given = card ? TemplateGiven{true, true, true} : folder.template_given,
                  .template_sha256 = card ? "" : folder.template_sha256};
  if (regression) own.head_bias = head.bias;
  Json generation = dump_generation_config(config);
  if (own.template_given.name) {  // else the folder says nothing of a template, and gets none
    const ConversationTemplate conversation_template(folder.text_template, tokenizer);
    // Weights that nothing was trained into bind no template: a recipe may choose another. A score has read one.
    if (card && (card->steps > 0 || regression)) own.template_sha256 = conversation_template.sha256();
    std::vector<std::int64_t>& stop_ids = config.eos_token_ids;
    if (const auto id = conversation_template.end_of_turn_id();
        id && std::ranges::find(stop_ids, *id) == stop_ids.end())
      stop_ids.push_back(*id);
    generation = generation_config(config, conversation_template);
  }
  // Where Transformers scores depends on it. A head that was trained here reads the template's end marker, which may be
  // the base's padding.
  if (own.template_sha256.empty()) config.pad_token_id = folder.pad_token_id;

  tokenizer.copy_to(part);
  if (!card) {
    copy_chat_templates(folder, tokenizer, part);
    generation = with_sampling_keys(generation, folder);
  }
  if (card) {
    set_chat_template(part, Json(chat_template(folder, tokenizer, card->predictor)));
    write_file_atomic(part / "README.md", model_card(folder, tokenizer, *card));
  }
  write_file_atomic(part / "generation_config.json", pretty(generation));
  write_file_atomic(part / "steerlm.json", pretty(dump_steerlm_json(own)));
  if (with_config)
    write_file_atomic(part / "config.json", pretty(dump_hf_config(config, label_names(folder, head.attributes))));
}

}  // namespace

void write_model_folder(const Path& path, const ModelFolder& folder, const TensorSource& tensors,
                        const Tokenizer& tokenizer, std::uint64_t max_shard_bytes,
                        const std::optional<ModelCard>& card) {
  HeadShape head{.language_model = folder.head.kind == HeadKind::language_model};
  for (const TensorSource::Entry& entry : tensors.entries) {
    if (entry.name == "score.weight") head.attributes = entry.shape.at(0);
    if (entry.name == "score.bias") head.bias = true;
  }
  check_tensors(folder, head, tensors);
  label_names(folder, head.attributes);  // throws where they do not fit
  TensorSource weights = tensors;
  weights.set_floating_dtype(scalar_type(folder.dtype));
  write_directory_atomic(path, [&](const Path& part) {
    write_weight_files(part, weights, max_shard_bytes);
    write_texts(part, folder, head, tokenizer, card, true);
  });
}

void write_adapter_folder(const Path& path, const ModelFolder& folder, const Adapter& adapter,
                          const NamedTensors& tensors, const Tokenizer& tokenizer,
                          const std::optional<ModelCard>& card) {
  write_directory_atomic(path, [&](const Path& part) {
    write_safetensors(part / "adapter_model.safetensors", with_peft_names(tensors), {{"format", "pt"}});
    write_file_atomic(part / "adapter_config.json", pretty(dump_adapter_config(adapter)));
    write_texts(part, folder, {.bias = folder.head.bias}, tokenizer, card, false);
  });
}

}  // namespace steerlm
