#include "steerlm/stages/base_model.h"
#include "steerlm/nn/flat_parameters.h"

#include <fmt/format.h>

#include <algorithm>

#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/nn/device.h"
#include "steerlm/nn/init.h"

namespace steerlm {
namespace {

HeadShape head_shape(const HeadOptions& head, size_t attributes) {
  if (head.kind == HeadKind::language_model) return {.language_model = true};
  return {.attributes = static_cast<std::int64_t>(attributes), .bias = head.bias};
}

// What the trained folder will say of itself; `recipe` is settled.
void take_over(ModelFolder& folder, const Recipe& recipe, const Tokenizer& tokenizer) {
  folder.text_template = recipe.text_template;
  folder.template_sha256 = ConversationTemplate(folder.text_template, tokenizer).sha256();
  folder.attributes = recipe.text_template.name == TemplateName::plain ? AttributeOptions{} : recipe.attributes;
  folder.method = enum_name(recipe.method);
  folder.writes.reset();
}

// Without LoRA an adapter folder is a model like any other, merged. With LoRA the training of its matrices goes on.
NamedTensors read_base_weights(const Recipe& recipe, const ModelFolder& folder, HeadKind head, bool same_head) {
  const Weights wanted = head == HeadKind::language_model ? Weights::language_model
                         : same_head                      ? Weights::regression
                                                          : Weights::trunk;
  if (!recipe.lora) return read_weights(folder, wanted, at::kFloat);
  if (!folder.adapter) return read_weights(folder, wanted);
  const LoraOptions &ours = *recipe.lora, &theirs = folder.adapter->lora;
  const auto sorted = [](std::vector<std::string> names) { return std::ranges::sort(names), names; };
  if (ours.rank != theirs.rank || ours.alpha != theirs.alpha || sorted(ours.targets) != sorted(theirs.targets) ||
      head != folder.adapter->head || (head == HeadKind::regression && !same_head)) {
    fail(ExitCode::recipe,
         {.what = "the recipe's lora is another adapter than the one in model.path, whose training would go on",
          .where = "lora",
          .found = fmt::format("rank {}, alpha {}, {}", ours.rank, ours.alpha, join(ours.targets)),
          .expected = fmt::format("rank {}, alpha {}, {}", theirs.rank, theirs.alpha, join(theirs.targets)),
          .advice =
              "merge it first: steerlm model merge --model " + shell_word(folder.path.string()) + " --output DIR"});
  }
  const ModelFolder base = open_model_folder(folder.weights_path);
  NamedTensors tensors =
      read_weights(base, head == HeadKind::language_model ? Weights::language_model : Weights::trunk);
  for (auto& tensor : read_adapter_tensors(folder.path, *folder.adapter, folder.config))
    tensors.push_back(std::move(tensor));
  return tensors;
}

}  // namespace

TemplateRequest template_request(const Recipe& recipe) {
  const bool trains = recipe.stage == Stage::train_predictor || recipe.stage == Stage::sft;
  return {.options = recipe.text_template, .given = recipe.template_given, .recipe = true, .trains = trains};
}

BaseModel open_base_model(const Recipe& recipe, const HeadOptions& head) {
  const std::uint64_t seed = static_cast<std::uint64_t>(recipe.seed);
  if (recipe.model.init) {
    Tokenizer tokenizer = Tokenizer::load(recipe.model.tokenizer);
    ModelFolder folder;
    folder.config = complete_config(*recipe.model.init, tokenizer.vocab_size(), recipe.data.max_tokens);
    folder.dtype = "fp32";
    if (tokenizer.eos_id() >= 0) folder.eos_token_ids = {tokenizer.eos_id()};
    take_over(folder, recipe, tokenizer);
    folder.head = head;
    const HeadShape shape = head_shape(head, folder.attributes.names.size());
    Parameters weights = parameters_from(folder.config, shape, init_parameters(folder.config, shape, seed));
    std::vector<std::string> notes = tokenizer.notes();
    return {std::move(folder), shape, std::move(tokenizer), std::move(weights), {}, std::move(notes)};
  }

  auto [folder, tokenizer] = open_folder(recipe.model.path, template_request(recipe));
  if (folder.text_template.name != TemplateName::plain)
    make_template(folder, tokenizer);  // throws where its bytes have changed
  const auto rows = static_cast<std::int64_t>(recipe.attributes.names.size());
  const bool same_head =
      folder.head.kind == HeadKind::regression && head.kind == HeadKind::regression && folder.num_labels == rows;
  if (recipe.head.kind == PredictorKind::regression && same_head && folder.head.pooling != head.pooling) {
    fail(ExitCode::recipe,
         {.what = "the head of model.path reads the mean of hidden states over the scored turn; a head that is trained "
                  "reads those of the last token",
          .where = folder.path.string(),
          .found = "head.pooling '" + std::string(enum_name(folder.head.pooling)) + "' in its steerlm.json",
          .expected = std::string(enum_name(head.pooling)),
          .advice = "start from the model that this head was solved on, or from a head that was solved with "
                    "head.pooling: last; head.kind: ridge may start from this one"});
  }
  std::vector<std::string> notes = folder_notes(folder, tokenizer);
  if (folder.head.kind == HeadKind::regression && head.kind == HeadKind::regression && !same_head) {
    notes.push_back(
        fmt::format("{}: its score has {} rows for {}, the recipe has {} attributes: the score starts afresh",
                    folder.path.string(), folder.num_labels, join(folder.label_names), rows));
  }
  NamedTensors tensors = read_base_weights(recipe, folder, head.kind, same_head);
  take_over(folder, recipe, tokenizer);
  HeadOptions settled_head = head;
  if (same_head) settled_head.bias = folder.head.bias;  // a predictor is trained on with the head that it has
  folder.head = settled_head;
  const HeadShape shape = head_shape(settled_head, folder.attributes.names.size());
  if (shape.attributes > 0 && !same_head) {
    folder.config.tie_word_embeddings = false;  // a predictor has no output layer
    for (auto& tensor : init_score_head(folder.config, shape, seed)) tensors.push_back(std::move(tensor));
  }
  Parameters weights = parameters_from(folder.config, shape, tensors);
  if (recipe.lora)
    weights = with_lora(std::move(weights), *recipe.lora,
                        folder.adapter ? tensors : init_lora(folder.config, *recipe.lora, seed));
  for_each_parameter(weights, [&](const std::string& name, at::Tensor& tensor) {
    if (!recipe.lora || is_trained_by_lora(name)) tensor = tensor.to(at::kFloat).contiguous();
  });
  BaseModel base{std::move(folder), shape, std::move(tokenizer), std::move(weights), {}, std::move(notes)};
  if (recipe.lora)
    base.adapter = Adapter{.base = base.folder.weights_path.string(), .lora = *recipe.lora, .head = head.kind};
  base.folder.adapter.reset();
  return base;
}

bool computes_rows_alone(const OpenModel& model) {
  return model.transformer.device().is_cpu() && model.transformer.weights.embedding_vd.scalar_type() == at::kFloat;
}

Computing computing_of(const Recipe& recipe) { return choose_computing(recipe.device, recipe.precision, "device"); }

Transformer make_transformer(const ModelConfig& config, Parameters weights, const Computing& computing,
                             const std::string& where) {
  check_computable(config, computing.device, where);
  enter_device(computing.device);
  const at::ScalarType dtype = compute_dtype(computing.precision);
  // On a GPU side by side, so that projections of one input are one product.
  if (computing.device.is_cuda()) return {config, flatten(std::move(weights), dtype, computing.device).views};
  for_each_parameter(weights, [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(dtype); });
  return {config, std::move(weights)};
}

OpenModel open_model(const Path& path, const Computing& computing, const TemplateRequest& request) {
  auto [folder, tokenizer] = open_folder(path, request);
  const Attributes attributes = make_attributes(folder.attributes);
  const Weights weights = own_weights(folder);
  Parameters parameters = parameters_from(folder.config, head_shape(folder, weights),
                                          read_weights(folder, weights, compute_dtype(computing.precision)));
  Transformer transformer = make_transformer(folder.config, std::move(parameters), computing, path.string());
  std::vector<std::string> notes = folder_notes(folder, tokenizer);
  return {std::move(folder), attributes, std::move(tokenizer), std::move(transformer), std::move(notes)};
}

void warn_notes(const std::vector<std::string>& notes, const Context& context) {
  for (const std::string& note : notes) context.log->warn(note);
}

void tell_template(const ModelFolder& folder, const Context& context) {
  if (!folder.template_note.empty()) context.log->info(folder.path.string() + ": " + folder.template_note);
  if (!folder.template_warning.empty()) context.log->warn(folder.template_warning);
}

}  // namespace steerlm
