// SteerLM 2.0 (HelpSteer2, arXiv 2406.08673, section 4.5). Each prompt gets n responses of the policy Q' at one label;
// three models say how probable each is, and the policy is trained until the responses are as probable under it as
// Bayes' rule wants: P(y|a,x) ~ P(a|x,y) P(y|x). The next iteration begins with the policy of the one before. Sampling,
// each of the three scores and the training are runs of their own in the run directory, one model in memory at a time.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "stages/bad_records.h"
#include "stages/encoded_data.h"
#include "stages/sample_step.h"
#include "stages/train.h"
#include "stages/validation_metrics.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/response_group.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/report/progress.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/response_scores.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/sample.h"
#include "steerlm/stages/stages.h"
#include "steerlm/train/response_loss.h"

namespace steerlm {
namespace {

// Before anything is sampled: the label of the policy must be one that the predictor can judge.
void check_folders(const Recipe& recipe, const Context& context) {
  const Steerlm2Options& options = recipe.steerlm2;
  const ModelFolder policy = open_folder(options.policy, template_request(recipe)).folder;
  require_language_model(policy, "policy");
  require_dials(policy);
  const ModelFolder prior = open_folder(options.prior, template_request(recipe)).folder;
  require_language_model(prior, "prior");
  if (!prior.attributes.names.empty())
    context.log->warn(
        options.prior + " has attributes (" + join(prior.attributes.names) +
        "): P(y|x) is read without a label, which a model has seen if it was trained with `labels: drop`");
  const auto [predictor, tokenizer] = open_folder(options.predictor);
  require_predictor(predictor, tokenizer);
  for (const ModelFolder& folder : {prior, predictor}) check_weights(folder, own_weights(folder));
  const AttributeOptions &ours = policy.attributes, &theirs = predictor.attributes;
  for (const std::string& name : ours.names) {
    if (std::ranges::find(theirs.names, name) != theirs.names.end()) continue;
    fail(ExitCode::recipe, {.what = "the predictor does not know the policy's attribute '" + name + "'",
                            .where = options.predictor,
                            .found = join(theirs.names),
                            .expected = join(ours.names),
                            .advice = "train predictor and policy on the same attributes"});
  }
  require_range(predictor, ours);
}

// {"system", "prompt_turns", "label", "responses"}
Json group_json(const Prompt& prompt, const Label& label, Json responses) {
  Json turns = Json::array();
  for (const Turn& turn : prompt.conversation.turns) {
    Json entry = {{"from", turn.from}, {"value", turn.value}};
    if (turn.label) entry["label"] = turn.label->text;
    turns.push_back(std::move(entry));
  }
  Json group = {{"system", prompt.conversation.system}, {"prompt_turns", std::move(turns)}, {"label", label.text}};
  if (prompt.json.contains("tree_id")) group["tree_id"] = prompt.json["tree_id"];  // what the validation split goes by
  group["responses"] = std::move(responses);
  return group;
}

// A line for the prompt. Cut-off responses are left out.
SampledPrompt sampled_group(const Prompt& prompt, const Label& label, std::span<const GenerationResult> results) {
  SampledPrompt sampled{.sampled = std::ssize(results)};
  Json responses = Json::array();
  for (const GenerationResult& result : results) {
    if (result.stopped)
      responses.push_back({{"from", "Assistant"}, {"value", result.response}});
    else
      ++sampled.unfinished;
  }
  if (!responses.empty()) sampled.lines = dump_json(group_json(prompt, label, std::move(responses))) + "\n";
  return sampled;
}

// y_1 … y_n ~ Q'(y|a,x) for each prompt.
Outcome sample(const Recipe& step, const std::string& output_path, const Context& context) {
  const Steerlm2Options& options = step.steerlm2;
  std::optional<RunDirectory> run = begin_run(step, context);
  if (run->finished()) return Outcome::done;
  const OpenModel policy = open_model(options.policy, computing_of(step), template_request(step));
  tell_template(policy.folder, context);
  warn_notes(policy.notes, context);
  const Label label = *dial_label(policy.attributes, options.set, options.policy);
  std::vector<BadRecord> bad;
  const std::vector<Prompt> prompts =
      read_good_prompts(options.prompts, options.max_prompts, policy, step.bad_records, bad);
  context.log->info(
      fmt::format("{} prompts, {} responses each at {}", prompts.size(), options.samples_per_prompt, label.text));
  const SampleJob job{
      .model = policy,
      .sampling = options.sampling,
      .prompts = prompts.size(),
      .samples_per_prompt = options.samples_per_prompt,
      .requests = [&](size_t p) { return requests_of(prompts[p], p, options.samples_per_prompt, label); },
      .lines = [&](size_t p, std::span<const SampleRequest>,
                   std::span<const GenerationResult> results) { return sampled_group(prompts[p], label, results); }};
  return sample_step(step, *run, output_path, bad, job, context);
}

// One of the three numbers of each response; the input is the one file of step.data.train.
Outcome score(const Recipe& step, ResponseScore what, const std::string& folder, const std::string& output_path,
              const Context& context) {
  std::optional<RunDirectory> run = begin_run(step, context);
  if (run->finished()) return Outcome::done;
  const OpenModel model = what == ResponseScore::label_given_response
                              ? open_model(folder, computing_of(step))
                              : open_model(folder, computing_of(step), template_request(step));
  tell_template(model.folder, context);
  warn_notes(model.notes, context);
  std::int64_t total = 0;
  for (ResponseGroupReader counting = read_groups(model, what, step.data.train); counting.next();) ++total;
  run->start();
  BlockOutput output(output_path, run->files().grow("ledger.jsonl"), output_identity(step, run->inputs()),
                     output_options(step, context));
  ResponseGroupReader reader = read_groups(model, what, step.data.train);
  for (std::int64_t skipped = 0; skipped < output.records_done(); ++skipped) reader.next();
  Progress progress("score", "prompts", total, progress_output(context), output.records_done());
  if (const auto share = reader.share_read()) progress.share(*share);
  const double begin = monotonic_seconds();
  const auto next_groups = [&] {
    std::vector<ResponseGroup> groups;
    while (groups.size() < scored_groups(model) && !stop_requested()) {
      std::optional<ResponseGroup> group = reader.next();
      if (!group) break;
      groups.push_back(std::move(*group));
    }
    return groups;
  };
  const auto tell_progress = [&] {
    if (const auto share = reader.share_read()) progress.share(*share);
    progress.update(output.records_done());
  };
  const std::optional<ScoredGroups> scored =
      score_into(output, model, what, step.steerlm2.beta, step.steerlm2.batch_tokens, next_groups, tell_progress);
  if (!scored) return tell_stopped(context);
  output.finish();
  progress.finish();
  tell_throughput(context, scored->responses, scored->tokens, monotonic_seconds() - begin);
  run->finish({{"prompts", total}}, {output_path});
  return Outcome::done;
}

void report_groups(const Dataset& dataset, const Context& context) {
  const auto part = [](const std::string& name, const DatasetCounts& counts) {
    std::string text = fmt::format("{}: {} prompts, whose weights leave {:.2f} effective responses each", name,
                                   counts.groups, counts.effective_responses);
    if (counts.single > 0)
      text += fmt::format(", {} prompts left out because fewer than two responses are left", counts.single);
    if (counts.alike > 0) text += fmt::format(", {} prompts with equal weights", counts.alike);
    return text;
  };
  context.log->info(part("training", dataset.train_counts));
  if (dataset.validation_counts.groups > 0) context.log->info(part("validation", dataset.validation_counts));
}

// The recipe with the policy as the model that is trained.
Recipe training_from(const Recipe& recipe, const ModelFolder& policy) {
  Recipe training = recipe;
  training.model = {.path = recipe.steerlm2.policy};
  training.attributes = policy.attributes;
  training.attributes_given = {.all = true};
  training.text_template = policy.text_template;
  training.template_given = {true, true, true};
  return training;
}

// From Q' with the loss of train/response_loss.h, on the responses of data.train.
Outcome train(const Recipe& recipe, const Context& context) {
  check_keep_best(recipe, context);
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;
  warn_notes(recipe.without_effect, context);

  const ModelFolder policy = open_folder(recipe.steerlm2.policy, template_request(recipe)).folder;
  require_language_model(policy, "policy");
  require_dials(policy);
  // Nothing is sampled at `set` here; a dial that the policy does not have is a mistake all the same.
  dial_label(make_attributes(policy.attributes), recipe.steerlm2.set, recipe.steerlm2.policy);
  const Recipe training = training_from(recipe, policy);
  BaseModel base = open_base_model(training, {.kind = HeadKind::language_model});
  base.folder.method = policy.method;
  warn_notes(base.notes, context);
  tell_template(policy, context);
  const ConversationTemplate conversation_template(base.folder.text_template, base.tokenizer);
  const DataOptions data = within_context(recipe.data, base.folder.config, context);
  const Attributes attributes = make_attributes(policy.attributes);
  std::optional<EncodedData> encoded = open_data(
      recipe, {"responses", data, attributes, conversation_template, base.tokenizer}, run ? &*run : nullptr,
      [&](DatasetBuilder& builder) { return encode_response_groups(data, attributes, conversation_template, builder); },
      context);
  if (!encoded) return Outcome::stopped;
  const Dataset& dataset = encoded->dataset;
  report_dataset(dataset, training, context);
  report_groups(dataset, context);
  if (context.dry_run) {
    report_forecast(training, base, dataset, context);
    return Outcome::done;
  }

  run->start();
  encoded->keep(recipe, *run, context);
  FitTask task{
      .examples = &dataset.train, .loss = response_objective, .validation_tokens = dataset.validation_counts.tokens};
  if (!dataset.validation.empty()) {
    task.validate = [&](const Transformer& model, std::int64_t batch_tokens) {
      const auto [loss, distance] = mean_group_loss(model, dataset.validation, batch_tokens);
      if (!std::isfinite(loss))
        fail(ExitCode::diverged, {.what = "the loss on the held-out prompts is not finite", .advice = beyond_range});
      return response_metrics(loss, distance);
    };
  }
  const std::optional<Json> summary = train_and_write(training, *run, std::move(base), dataset, task, context);
  if (!summary) return Outcome::stopped;
  finish_training(*run, *summary, context);
  return Outcome::done;
}

// The recipe of one part of an iteration, in a run directory of its own.
Recipe part_of(const Recipe& recipe, const std::string& name, const std::string& policy, const std::string& input) {
  Recipe step = recipe;
  step.run_dir = recipe.run_dir + "/" + name;
  step.steerlm2.policy = policy;
  step.data.train.clear();
  if (!input.empty()) step.data.train = {{.path = input}};
  return step;
}

Outcome iterate(const Recipe& recipe, std::int64_t iteration, const std::string& policy, const Context& context) {
  const Steerlm2Options& options = recipe.steerlm2;
  const std::vector<std::string> parts = steerlm2_parts(iteration), outputs = steerlm2_outputs(iteration);
  const auto output = [&](size_t part) { return recipe.run_dir + "/" + outputs[part]; };
  const auto announce = [&](size_t part, const std::string& what) {
    context.log->info(
        fmt::format("iteration {}/{}, {}/{}: {}", iteration, options.iterations, part + 1, parts.size(), what));
  };
  announce(0, "sampling");
  if (sample(part_of(recipe, parts[0], policy, ""), output(0), context) == Outcome::stopped) return Outcome::stopped;
  struct Score {
    ResponseScore what;
    std::string text, folder;
  };
  const Score scores[] = {{ResponseScore::response, "log P(y|x) of the prior", options.prior},
                          {ResponseScore::response_given_label, "log Q'(y|a,x) of the policy", policy},
                          {ResponseScore::label_given_response, "log P(a|x,y) of the predictor", options.predictor}};
  size_t part = 1;
  for (const Score& each : scores) {
    announce(part, each.text);
    const Recipe step = part_of(recipe, parts[part], policy, output(part - 1));
    if (score(step, each.what, each.folder, output(part), context) == Outcome::stopped) return Outcome::stopped;
    ++part;
  }
  announce(part, "training");
  Recipe training = part_of(recipe, parts[part], policy, output(part - 1));
  training.steerlm2 = {.policy = policy};
  training.without_effect.clear();  // said already
  return train(training, context);
}

// What training reads beside the samples, whose number is not known yet: the share of bad records among all is not
// judged. How many are bad is added to `bad`. False: stopped on request.
bool look_at_training(const Recipe& recipe, std::int64_t& bad, const Context& context) {
  const ModelFolder policy = open_folder(recipe.steerlm2.policy, template_request(recipe)).folder;
  const BaseModel base = open_base_model(training_from(recipe, policy), {.kind = HeadKind::language_model});
  DatasetBuilder builder(DatasetBuilder::Bytes::dropped);
  builder.puts_aside = recipe.bad_records.on_bad_record == OnBadRecord::quarantine;
  builder.on_record = [](std::int64_t) { return !stop_requested(); };
  if (!encode_validation_groups(within_context(recipe.data, base.folder.config, context),
                                make_attributes(policy.attributes), {base.folder.text_template, base.tokenizer},
                                builder))
    return false;
  bad += std::ssize(builder.bad);
  const bool empty = !recipe.data.validation.empty() && builder.validation.entries.empty();
  if (empty && recipe.checkpoint.keep_best) refuse_empty_validation();
  return true;
}

// All that the parts of the first iteration will read, before anything is sampled. Throws as they would, and says what
// would be done.
Outcome look_at_inputs(const Recipe& recipe, const Context& context) {
  const Steerlm2Options& options = recipe.steerlm2;
  std::int64_t bad_in_training = 0;
  if (!look_at_training(recipe, bad_in_training, context)) return tell_stopped(context);
  const OpenModel policy = open_model(options.policy, computing_of(recipe), template_request(recipe));
  tell_template(policy.folder, context);
  warn_notes(policy.notes, context);
  const Label label = *dial_label(policy.attributes, options.set, options.policy);
  std::vector<BadRecord> bad;
  const auto prompts = read_good_prompts(options.prompts, options.max_prompts, policy, recipe.bad_records, bad);
  std::vector<std::string> dialogues;
  for (const Prompt& prompt : prompts) {
    Json json = to_json(prompt.conversation);
    if (prompt.json.contains("tree_id")) json["tree_id"] = prompt.json["tree_id"];  // as group_json
    dialogues.push_back(parse_record(std::move(json), policy.attributes, "", prompt.file, prompt.line).dialogue);
  }
  check_split(recipe, dialogues);
  context.log->info(fmt::format("would sample {} responses at {} in each of {} iterations; {} bad records",
                                prompts.size() * static_cast<size_t>(options.samples_per_prompt), label.text,
                                options.iterations, std::ssize(bad) + bad_in_training));
  return Outcome::done;
}

}  // namespace

Outcome run_steerlm2(const Recipe& recipe, const Context& context) {
  const Steerlm2Options& options = recipe.steerlm2;
  if (options.prompts.empty()) return train(recipe, context);
  check_keep_best(recipe, context);
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;
  warn_notes(recipe.without_effect, context);
  check_folders(recipe, context);
  if (context.dry_run) return look_at_inputs(recipe, context);
  // Sampling may take hours. A run that has sampled has looked before; standard input can be read once.
  const bool has_sampled = !context.fresh && is_there(run->path() / "sample-1" / "done.json", ExitCode::resources);
  if (!has_sampled && !reads_standard_input(recipe)) {
    Log silent = Log::silent();
    if (look_at_inputs(recipe, look_ahead(context, silent)) == Outcome::stopped) return tell_stopped(context);
  }
  run->start();
  std::string policy = options.policy;
  for (std::int64_t k = 1; k <= options.iterations; ++k) {
    for (const std::string& part : steerlm2_parts(k)) run->files().enter_run(part);
    if (iterate(recipe, k, policy, context) == Outcome::stopped) return Outcome::stopped;
    policy = recipe.run_dir + "/train-" + std::to_string(k) + "/model";
  }
  copy_model(*run, policy);
  run->finish({{"iterations", options.iterations}});
  return Outcome::done;
}

}  // namespace steerlm
