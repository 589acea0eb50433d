// Stage 3, attribute-conditioned supervised fine-tuning (SteerLM section 3.3): the likelihood of responses given prompt
// and label line. With `template: plain` the same stage makes a base model from raw text.
#include <optional>

#include "stages/train.h"
#include "steerlm/stages/stages.h"
#include "steerlm/train/losses.h"

namespace steerlm {

Outcome run_sft(const Recipe& recipe, const Context& context) {
  check_keep_best(recipe, context);
  std::optional<RunDirectory> run;
  if (!context.dry_run) run.emplace(recipe, context);
  if (run && is_done_already(*run, context)) return Outcome::done;

  BaseModel base = open_base_model(recipe, {.kind = HeadKind::language_model});
  warn_notes(base.notes, context);
  const ConversationTemplate conversation_template(base.folder.text_template, base.tokenizer);
  const DataOptions data = within_context(recipe.data, base.folder.config, context);
  const Dataset dataset =
      load_dataset(data, make_attributes(base.folder.attributes), conversation_template, Objective::response);
  report_dataset(dataset, recipe, context);
  if (context.dry_run) {
    report_forecast(recipe, base, dataset, context);
    return Outcome::done;
  }

  FitTask task;
  task.examples = &dataset.train;
  task.loss = language_model_objective;
  if (!dataset.validation.empty()) {
    task.validate = [&](const Transformer& model) {
      return validate_language_model(model, dataset.validation, recipe.train.micro_batch_tokens, ExitCode::diverged);
    };
  }
  return train_and_publish(recipe, *run, std::move(base), dataset, task, context);
}

}  // namespace steerlm
