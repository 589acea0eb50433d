// Stage 3, attribute-conditioned supervised fine-tuning (SteerLM section 3.3): the likelihood of responses given prompt
// and label line. With `template: plain` the same stage makes a base model from raw text.
#include <optional>

#include "stages/train.h"
#include "steerlm/stages/stages.h"
#include "steerlm/train/losses.h"

namespace steerlm {

Outcome run_sft(const Recipe& recipe, const Context& context) {
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;

  BaseModel base = open_base_model(recipe, {.kind = HeadKind::language_model});
  if (base.folder.names_code) context.log->warn(code_note(base.folder));
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
  task.count = [](const Example& example) { return target_count(example); };
  task.gradient = language_model_gradient;
  if (!dataset.validation.empty()) {
    task.validate = [&](const Transformer& model) {
      return validate_language_model(model, dataset.validation, recipe.train.micro_batch_tokens);
    };
  }
  return train_and_publish(recipe, *run, std::move(base), dataset, task, context);
}

}  // namespace steerlm
