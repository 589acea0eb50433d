// Stage 3, attribute-conditioned supervised fine-tuning (SteerLM section 3.3): the likelihood of responses given prompt
// and label line. With `template: plain` the same stage makes a base model from raw text.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "stages/encoded_data.h"
#include "stages/train.h"
#include "stages/validation_metrics.h"
#include "steerlm/core/suggest.h"
#include "steerlm/stages/stages.h"
#include "steerlm/train/losses.h"

namespace steerlm {
namespace {

// What the training data makes of the dials: a model learns them from labels alone.
void settle_dials(const Recipe& recipe, std::int64_t labelled, ModelFolder& folder, const Context& context) {
  if (folder.text_template.name == TemplateName::plain) {
    if (labelled > 0) {
      context.log->warn(
          fmt::format("{} answers have labels, but template.name is plain, which writes none: nothing is learned of "
                      "them, and the model has no dials; 'labels: drop' on a source says that this is meant",
                      labelled));
    }
    return;
  }
  const bool declared = !folder.attributes.names.empty();
  if (labelled > 0) {
    if (declared) return;
    context.log->warn(fmt::format(
        "{} answers have labels, but attributes.names is empty: their label lines are trained as they are written, and "
        "the model has no dials to ask for them; 'labels: drop' on a source leaves labels out",
        labelled));
    return;
  }
  const auto drops = [](const SourceOptions& source) { return source.labels == SourceLabels::drop; };
  if (!declared || !recipe.attributes_given) {
    folder.attributes = {};
    context.log->info("no training record has a label: the model gets no attributes and no dials");
  } else if (std::ranges::all_of(recipe.data.train, drops)) {
    context.log->warn("no label is read, as 'labels: drop' asks: the model declares " + join(folder.attributes.names) +
                      ", but nothing teaches it these dials");
  } else {
    fail(ExitCode::data,
         {.what = "no training record has a label, so that nothing teaches the dials",
          .where = recipe.data.train.front().path,
          .found = "attributes " + join(folder.attributes.names),
          .expected = "records with labels",
          .advice = "label them with `steerlm annotate`, or train without dials: attributes: {names: []}"});
  }
}

}  // namespace

Outcome run_sft(const Recipe& recipe, const Context& context) {
  check_keep_best(recipe, context);
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;
  warn_notes(recipe.without_effect, context);

  BaseModel base = open_base_model(recipe, {.kind = HeadKind::language_model});
  warn_notes(base.notes, context);
  tell_template(base.folder, context);
  const ConversationTemplate conversation_template(base.folder.text_template, base.tokenizer);
  const DataOptions data = within_context(recipe.data, base.folder.config, context);
  const Attributes attributes = make_attributes(base.folder.attributes);
  std::optional<EncodedData> encoded = open_data(
      recipe, {"response", data, attributes, conversation_template, base.tokenizer}, run ? &*run : nullptr,
      [&](DatasetBuilder& builder) {
        return encode_conversations(data, attributes, conversation_template, Objective::response, builder);
      },
      context);
  if (!encoded) return Outcome::stopped;
  const Dataset& dataset = encoded->dataset;
  report_dataset(dataset, recipe, context);
  settle_dials(recipe, dataset.train_counts.labelled_turns, base.folder, context);
  if (context.dry_run) {
    report_forecast(recipe, base, dataset, context);
    return Outcome::done;
  }

  run->start();
  encoded->keep(recipe, *run, context);
  FitTask task;
  task.examples = &dataset.train;
  task.loss = language_model_objective;
  task.validation_tokens = dataset.validation_counts.tokens;
  if (!dataset.validation.empty()) {
    task.validate = [&](const Transformer& model, std::int64_t batch_tokens) {
      return validate_language_model(model, dataset.validation, batch_tokens, ExitCode::diverged);
    };
  }
  const std::optional<Json> summary = train_and_write(recipe, *run, std::move(base), dataset, task, context);
  if (!summary) return Outcome::stopped;
  finish_training(*run, *summary, context);
  return Outcome::done;
}

}  // namespace steerlm
