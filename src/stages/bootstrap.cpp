// Stage 4, bootstrapping (SteerLM section 3.4): the distinct labels of annotated data that have the selected values are
// drawn uniformly, one a prompt; the policy answers at that label; the predictor annotates the answers again (the label
// that was asked for is thrown away); fine-tuning on them. Three steps with run directories of their own: sample,
// annotate, sft.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "stages/bad_records.h"
#include "stages/sample_step.h"
#include "stages/settle.h"
#include "stages/train.h"
#include "stages/validation_metrics.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/rng.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/dataset.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/sample.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

constexpr const char* requested_key = "requested_label";

// Distinct label strings of annotated records, in the order of their bytes. Bad records are appended to `bad`, or the
// first one ends the run.
std::vector<Label> observed_labels(const std::string& path, const OpenModel& policy, const BadRecordOptions& options,
                                   std::vector<BadRecord>& bad) {
  std::map<std::string, Label> labels;
  std::int64_t records = 0;
  const size_t before = bad.size();
  RecordReader reader({{.path = path}}, policy.attributes, policy.folder.text_template.system);
  while (auto input = reader.next()) {
    ++records;
    if (BadRecord* each = std::get_if<BadRecord>(&*input)) {
      if (options.on_bad_record == OnBadRecord::stop) refuse_bad_record(each->file, each->line, each->reason);
      bad.push_back(std::move(*each));
      continue;
    }
    for (const Turn& turn : std::get<Record>(*input).conversation.turns) {
      if (turn.label && !turn.label->text.empty()) labels.emplace(turn.label->text, *turn.label);
    }
  }
  if (bad.size() > before) {
    check_bad_share(static_cast<std::int64_t>(bad.size() - before), records, options.max_bad_share,
                    place(path, bad[before].line), "here: " + bad[before].reason + list_all);
  }
  std::vector<Label> distinct;
  for (auto& [text, label] : labels) distinct.push_back(std::move(label));
  return distinct;
}

std::vector<Label> select_labels(std::vector<Label> labels, const BootstrapOptions& options,
                                 const Attributes& attributes, const Context& context) {
  for (const auto& [name, wanted] : options.select) {
    const size_t index = named_attribute(attributes, name, "select");
    float largest = -std::numeric_limits<float>::infinity();
    for (const Label& label : labels) largest = std::max(largest, label.values[index]);  // NaN never is
    const bool max = wanted == "max";
    if (max && std::isinf(largest)) {
      fail(ExitCode::data, {.what = fmt::format("no label of {} names {}", options.labels_from, name),
                            .where = "select." + name,
                            .advice = "take it out of select; `steerlm data stats` lists what the labels name"});
    }
    const float value = max ? largest : std::stof(wanted);
    if (!max && (value < static_cast<float>(attributes.min) || value > static_cast<float>(attributes.max))) {
      fail(ExitCode::recipe, {.what = "a value outside the range of " + name,
                              .where = "select." + name,
                              .found = wanted,
                              .expected = fmt::format("{} to {}, or max", attributes.min, attributes.max)});
    }
    if (max && largest < static_cast<float>(attributes.max)) {
      context.log->warn(fmt::format("the largest {} that occurs in {} is {}, the range goes to {}", name,
                                    options.labels_from, largest, attributes.max));
    }
    std::erase_if(labels, [&](const Label& label) { return !(label.values[index] == value); });
    if (labels.empty()) {
      fail(ExitCode::data, {.what = fmt::format("no label of {} has {} {}", options.labels_from, name, wanted),
                            .where = "select",
                            .advice = "select a value that occurs; `steerlm data stats` lists them"});
    }
  }
  if (labels.empty()) {
    fail(ExitCode::data, {.what = "no record has a label",
                          .where = options.labels_from,
                          .expected = "labels from which those to sample at are drawn",
                          .advice = "name in labels_from what `steerlm annotate` wrote"});
  }
  return labels;
}

std::string sampled_record(Conversation conversation, const Label& requested, const std::string& response) {
  conversation.type = ConversationType::value_to_text;
  conversation.turns.push_back({"Assistant", response, std::nullopt});
  Json json = to_json(conversation);
  json[requested_key] = requested.text;
  return dump_json(json) + "\n";
}

Outcome sample(const Recipe& recipe, const Recipe& step, const std::string& output_path, const Context& context) {
  const BootstrapOptions& options = recipe.bootstrap;
  std::optional<RunDirectory> run = begin_run(step, context);
  if (run->finished()) return Outcome::done;
  const OpenModel policy = open_model(options.policy, computing_of(recipe), template_request(recipe));
  tell_template(policy.folder, context);
  warn_notes(policy.notes, context);
  std::vector<BadRecord> bad;
  const std::vector<Label> labels = select_labels(observed_labels(options.labels_from, policy, recipe.bad_records, bad),
                                                  options, policy.attributes, context);
  const std::vector<Prompt> prompts =
      read_good_prompts(options.prompts, options.max_prompts, policy, recipe.bad_records, bad);
  context.log->info(fmt::format("{} distinct labels to draw from, {} prompts, {} samples each", labels.size(),
                                prompts.size(), options.samples_per_prompt));
  const std::uint64_t seed = static_cast<std::uint64_t>(recipe.seed);
  const SampleJob job{
      .model = policy,
      .sampling = options.sampling,
      .prompts = prompts.size(),
      .samples_per_prompt = options.samples_per_prompt,
      .requests =
          [&](size_t p) {
            const Label& label = labels[Rng(seed, "bootstrap label", p).below(labels.size())];
            return requests_of(prompts[p], p, options.samples_per_prompt, label);
          },
      .lines =
          [&](size_t p, std::span<const SampleRequest> requests, std::span<const GenerationResult> results) {
            SampledPrompt sampled{.sampled = std::ssize(results)};
            for (size_t i = 0; i < results.size(); ++i) {
              // A response that was cut off would teach the model to stop in the middle.
              if (results[i].stopped)
                sampled.lines += sampled_record(prompts[p].conversation, *requests[i].label, results[i].response);
              else
                ++sampled.unfinished;
            }
            return sampled;
          }};
  return sample_step(step, *run, output_path, bad, job, context);
}

// How far the predictor's labels of the samples are from the labels that were asked for.
std::string request_table(const std::string& path, const Attributes& attributes, Json& summary) {
  std::vector<double> distance(attributes.names.size(), 0), equal(attributes.names.size(), 0),
      known(attributes.names.size(), 0);
  RecordReader reader({{.path = path}}, attributes, "");
  while (const auto input = reader.next()) {
    const Record* record = std::get_if<Record>(&*input);
    if (record == nullptr) continue;
    const Json asked = record->json.contains(requested_key) ? record->json[requested_key] : Json();
    if (!asked.is_string())
      fail(ExitCode::data,
           {.what = std::string("the sample has no text '") + requested_key + "'", .where = where(*record)});
    const Label requested = parse_label(attributes, asked.get<std::string>(), where(*record));
    const auto& given = record->conversation.turns.back().label;
    if (!given) continue;
    for (size_t a = 0; a < attributes.names.size(); ++a) {
      const float difference = std::abs(requested.values[a] - given->values[a]);
      if (!(difference >= 0)) continue;
      known[a] += 1;
      distance[a] += static_cast<double>(difference);
      equal[a] += difference == 0 ? 1 : 0;
    }
  }
  std::vector<std::vector<std::string>> rows{{"attribute", "samples", "mean |requested - predicted|", "equal"}};
  for (size_t a = 0; a < attributes.names.size(); ++a) {
    if (known[a] == 0) continue;
    rows.push_back({attributes.names[a], format_count(static_cast<std::int64_t>(known[a])),
                    format_number(distance[a] / known[a], 3), format_number(equal[a] / known[a], 3)});
    summary[attributes.names[a]] = {{"mean_distance", distance[a] / known[a]}, {"equal", equal[a] / known[a]}};
  }
  return format_table(rows);
}

Recipe annotate_recipe(const Recipe& recipe, const std::string& input, const std::string& output) {
  Recipe step;
  step.stage = Stage::annotate;
  step.method = recipe.method;
  step.seed = recipe.seed;
  step.device = recipe.device;
  step.precision = recipe.precision;
  step.run_dir = recipe.run_dir + "/annotate";
  step.annotate.predictor = recipe.bootstrap.predictor;
  step.annotate.input = {{.path = input}};
  step.annotate.output = output;
  return step;
}

Recipe sft_recipe(const Recipe& recipe, const ModelFolder& policy, const std::string& annotated) {
  Recipe step = recipe;
  step.stage = Stage::sft;
  step.run_dir = recipe.run_dir + "/sft";
  step.without_effect.clear();  // said already
  step.attributes = policy.attributes;
  step.attributes_given = {.all = true};
  step.text_template = policy.text_template;
  step.template_given = {true, true, true};
  if (recipe.bootstrap.start_from == StartFrom::policy) step.model = {.path = recipe.bootstrap.policy};
  if (!recipe.bootstrap.mix_original) step.data.train.clear();
  step.data.train.insert(step.data.train.begin(), SourceOptions{.path = annotated});
  return step;
}

// Whether the models fit together; of weights the headers are read.
void check_folders(const Recipe& recipe) {
  const ModelFolder policy = open_folder(recipe.bootstrap.policy, template_request(recipe)).folder;
  require_language_model(policy, "policy");
  require_dials(policy);
  check_dials(policy, recipe);
  const TemplateRequest request = template_request(annotate_recipe(recipe, "", ""));
  const auto [predictor, tokenizer] = open_folder(recipe.bootstrap.predictor, request);
  require_predictor(predictor, tokenizer);
  check_labels(predictor, recipe);
  check_weights(predictor, own_weights(predictor));
  // The predictor's labels must be such that the policy can be trained on them.
  for (const std::string& name : predictor.attributes.names) {
    if (std::ranges::find(policy.attributes.names, name) != policy.attributes.names.end()) continue;
    fail(ExitCode::recipe, {.what = "the policy does not know the predictor's attribute '" + name + "'",
                            .where = predictor.path.string(),
                            .found = join(predictor.attributes.names),
                            .expected = join(policy.attributes.names),
                            .advice = "train predictor and policy on the same attributes"});
  }
  require_range(predictor, policy.attributes);
}

// What fine-tuning reads beside the samples, whose number is not known yet: the share of bad records among all is not
// judged. How many are bad is added to `bad`. False: stopped on request.
bool look_at_training(const Recipe& recipe, std::int64_t& bad, const Context& context) {
  const ModelFolder policy = open_folder(recipe.bootstrap.policy, template_request(recipe)).folder;
  const Recipe step = sft_recipe(recipe, policy, "");
  const BaseModel base = open_base_model(step, {.kind = HeadKind::language_model});
  const ConversationTemplate conversation_template(base.folder.text_template, base.tokenizer);
  const Attributes attributes = make_attributes(base.folder.attributes);
  DataOptions data = within_context(step.data, base.folder.config, context);
  // How many examples these sources give.
  const auto encode = [&](const std::vector<SourceOptions>& sources) -> std::optional<size_t> {
    DatasetBuilder builder(DatasetBuilder::Bytes::dropped);
    builder.puts_aside = recipe.bad_records.on_bad_record == OnBadRecord::quarantine;
    builder.on_record = [](std::int64_t) { return !stop_requested(); };
    data.validation = sources;
    if (!encode_validation(data, attributes, conversation_template, Objective::response, builder)) return std::nullopt;
    bad += std::ssize(builder.bad);
    return builder.validation.entries.size();
  };
  const std::optional<size_t> validation = encode(recipe.data.validation);
  if (!validation) return false;
  const bool empty = !recipe.data.validation.empty() && *validation == 0;
  if (empty && recipe.checkpoint.keep_best) refuse_empty_validation();
  return !recipe.bootstrap.mix_original || encode(recipe.data.train);
}

// All that the three steps will read, before anything is sampled. Throws as they would, and says what would be done.
Outcome look_at_inputs(const Recipe& recipe, const Context& context) {
  const BootstrapOptions& options = recipe.bootstrap;
  std::int64_t bad_in_training = 0;
  if (!look_at_training(recipe, bad_in_training, context)) return tell_stopped(context);
  const OpenModel policy = open_model(options.policy, computing_of(recipe), template_request(recipe));
  tell_template(policy.folder, context);
  warn_notes(policy.notes, context);
  std::vector<BadRecord> bad;
  const auto labels = select_labels(observed_labels(options.labels_from, policy, recipe.bad_records, bad), options,
                                    policy.attributes, context);
  const auto prompts = read_good_prompts(options.prompts, options.max_prompts, policy, recipe.bad_records, bad);
  std::vector<std::string> dialogues;
  for (const Prompt& prompt : prompts) {
    Json json = to_json(prompt.conversation);  // as sampled_record
    dialogues.push_back(parse_record(std::move(json), policy.attributes, "", prompt.file, prompt.line).dialogue);
  }
  if (!options.mix_original) check_split(recipe, dialogues);
  context.log->info(fmt::format("would sample {} responses at {} distinct labels; {} bad records",
                                prompts.size() * static_cast<size_t>(options.samples_per_prompt), labels.size(),
                                std::ssize(bad) + bad_in_training));
  return Outcome::done;
}

}  // namespace

Outcome run_bootstrap(const Recipe& recipe, const Context& context) {
  const BootstrapOptions& options = recipe.bootstrap;
  check_keep_best(recipe, context);
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;
  warn_notes(recipe.without_effect, context);
  check_folders(recipe);
  if (context.dry_run) return look_at_inputs(recipe, context);
  // Sampling may take hours. A run that has sampled has looked before; standard input can be read once.
  const bool has_sampled = !context.fresh && is_there(run->path() / "sample" / "done.json", ExitCode::resources);
  if (!has_sampled && !reads_standard_input(recipe)) {
    Log silent = Log::silent();
    if (look_at_inputs(recipe, look_ahead(context, silent)) == Outcome::stopped) return tell_stopped(context);
  }
  run->start();
  for (const char* step : {"sample", "annotate", "sft"}) run->files().enter_run(step);
  const std::string sampled = recipe.run_dir + "/sampled.jsonl", annotated = recipe.run_dir + "/annotated.jsonl";

  context.log->info("bootstrap 1/3: sampling");
  Recipe sample_step = recipe;
  sample_step.run_dir = recipe.run_dir + "/sample";
  if (sample(recipe, sample_step, sampled, context) == Outcome::stopped) return Outcome::stopped;
  context.log->info("bootstrap 2/3: annotation of the samples");
  if (run_annotate(annotate_recipe(recipe, sampled, annotated), context) == Outcome::stopped) return Outcome::stopped;
  const ModelFolder policy = open_folder(options.policy, template_request(recipe)).folder;
  Json summary;
  context.log->info(request_table(annotated, make_attributes(policy.attributes), summary));
  context.log->info("bootstrap 3/3: fine-tuning on the samples");
  if (run_sft(sft_recipe(recipe, policy, annotated), context) == Outcome::stopped) return Outcome::stopped;

  copy_model(*run, run->path() / "sft" / "model");
  run->finish(summary);
  return Outcome::done;
}

}  // namespace steerlm
