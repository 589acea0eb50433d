// Figures of a predictor and of a model: agreement with labels, perplexity, and how well each dial steers.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>

#include "stages/dial_sweep.h"
#include "stages/perplexity.h"
#include "stages/predictor_report.h"
#include "stages/preference_report.h"
#include "stages/settle.h"
#include "stages/train.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/sample.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

// What stands in evaluation.txt between the tables that are printed and those that are not.
constexpr std::string_view details_heading = "\nin detail\n\n";

// evaluation.txt up to its details, and where they are.
void print_tables(const std::string& text, const Path& file) {
  const size_t details = text.find(details_heading);
  std::fputs(text.substr(0, details).c_str(), stdout);
  if (details != std::string::npos) std::fputs(("\nmore tables are in " + file.string() + "\n\n").c_str(), stdout);
}

std::vector<Example> perplexity_examples(const Recipe& recipe, const OpenModel& model, DatasetCounts& counts,
                                         const Context& context) {
  const std::vector<Record> records =
      read_records(recipe.data.validation, model.attributes, model.folder.text_template.system);
  const DataOptions data = within_context(recipe.data, model.folder.config, context);
  std::vector<Example> examples = encode_dataset(records, make_template(model.folder, model.tokenizer),
                                                 {Objective::response, data.max_tokens, data.over_length}, counts);
  if (examples.empty())
    fail(ExitCode::data, {.what = "no validation record is left to measure perplexity on", .where = "data.validation"});
  return examples;
}

bool has_rating(const Record& record) { return std::ranges::any_of(record.conversation.turns, is_rated); }

// What one of the measurements gives to evaluation.json and evaluation.txt.
struct Part {
  Json json;
  std::string text;
};

constexpr const char *predictor_file = "predictor.part.json", *pairs_file = "pairs.part.json",
                     *perplexity_file = "perplexity.part.json";

// A measurement that an earlier process of this run has made, or else `measure`, which gives nothing where a stop was
// requested. It is kept in `file` of the run directory until the run is done.
std::optional<Part> kept_part(RunDirectory& run, const std::string& file, const Json& identity,
                              const std::function<std::optional<Part>()>& measure) {
  const Path path = run.path() / file;
  if (run.files().owns(file) && is_there(path, ExitCode::resources)) {
    const Json kept =
        parse_json(read_file(path, ExitCode::resources, "measurement"), path.string(), ExitCode::resources);
    if (kept.at("identity") == identity) return Part{kept.at("json"), kept.at("text").get<std::string>()};
  }
  std::optional<Part> part = measure();
  if (!part) return std::nullopt;
  run.files().write(file, Json{{"identity", identity}, {"json", part->json}, {"text", part->text}}.dump() + "\n");
  note_progress();
  return part;
}

// Adds it where there is one.
bool add(const std::optional<Part>& part, Part& all) {
  if (!part) return false;
  all.json.update(part->json);
  all.text += part->text;
  return true;
}

bool goes_on() { return !stop_requested(); }

// The three measurements that are kept; nothing where a stop was requested.
std::optional<Part> measure_predictor(const Recipe& recipe, const OpenModel& predictor,
                                      const std::vector<Record>& records, const Context& context) {
  const double begin = monotonic_seconds();
  const auto predictions = predict_records(predictor, records, default_batch_tokens, goes_on);
  if (predictions.size() < records.size()) return std::nullopt;
  std::int64_t tokens = 0;
  for (const RecordPrediction& prediction : predictions) tokens += prediction.tokens;
  tell_throughput(context, std::ssize(records), tokens, monotonic_seconds() - begin, "predictor");
  const PredictorReport report = report_predictions(predictor.attributes, records, predictions, {}, context);
  return Part{{{"predictor", report.json}}, "predictor " + recipe.predictor + "\n" + report.table + "\n"};
}

std::optional<Part> measure_pairs(const Recipe& recipe, const OpenModel& predictor,
                                  const std::vector<Preference>& preferences, const std::vector<double>& weights,
                                  const Context& context) {
  const auto report =
      report_preferences(predictor, preferences, weights, static_cast<std::uint64_t>(recipe.seed), context, goes_on);
  if (!report) return std::nullopt;
  return Part{{{"pairs", report->json}}, report->text + "\n"};
}

std::optional<Part> measure_perplexity(const OpenModel& model, const std::vector<Example>& examples,
                                       const DatasetCounts& counts, const Context& context) {
  const double begin = monotonic_seconds();
  const Metrics metrics = validate_language_model(
      model.transformer, examples, scored_at_once(model, default_batch_tokens), ExitCode::model, goes_on);
  if (metrics.empty()) return std::nullopt;
  tell_throughput(context, counts.examples, counts.tokens, monotonic_seconds() - begin, "perplexity");
  Part part{Json::object(), "perplexity on " + describe(counts) + "\n"};
  for (const auto& [name, value] : metrics) {
    part.json[name] = value;
    part.text += fmt::format("{}  {:.4f}\n", name, value);
  }
  part.text += "\n";
  return part;
}

}  // namespace

Outcome run_evaluate(const Recipe& recipe, const Context& context) {
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) {
    const Path file = run->path() / "evaluation.txt";
    print_tables(read_file(file, ExitCode::resources, "evaluation"), file);
    return Outcome::done;
  }
  warn_notes(recipe.without_effect, context);
  std::optional<OpenModel> predictor, model, other;  // other: what the answers' perplexity is measured under
  // The recipe's template is the model's; the predictor's where nothing says that.
  TemplateRequest request = template_request(recipe);
  if (!recipe.model.path.empty()) model = open_model(recipe.model.path, computing_of(recipe), request);
  request.yields = model.has_value();
  if (!recipe.predictor.empty()) predictor = open_model(recipe.predictor, computing_of(recipe), request);
  for (const auto& opened : {std::cref(model), std::cref(predictor)}) {
    if (opened.get()) tell_template(opened.get()->folder, context);
  }
  if (predictor) check_labels(predictor->folder, recipe);
  if (model) check_dials(model->folder, recipe);
  if (predictor) warn_notes(predictor->notes, context);
  if (model) warn_notes(model->notes, context);
  if (recipe.dials && !recipe.dials->perplexity_model.empty())
    other = open_perplexity_model(recipe.dials->perplexity_model, computing_of(recipe), context);
  // Of a predictor that declares no attributes a reward can be made, but no label.
  const bool predicts = predictor && !recipe.data.validation.empty();
  if (predictor && (predicts || recipe.dials)) require_predictor(*predictor);
  if (model) require_language_model(model->folder, "model");
  std::vector<Record> records;
  std::vector<Example> examples;
  DatasetCounts counts;
  Sweep sweep;
  std::vector<Preference> preferences;
  std::vector<double> weights;
  if (recipe.pairs) {
    if (predictor->folder.head.kind == HeadKind::language_model) require_predictor(*predictor);
    weights = reward_weights(score_names(*predictor), recipe.pairs->attribute_weights, "pairs.attribute_weights");
    preferences = read_preferences(recipe.pairs->sources, predictor->folder.text_template.system);
  }
  if (predicts)
    records = validation_records(predictor->attributes, predictor->folder.text_template.system, recipe.data,
                                 OnBadRecord::stop);
  if (predicts && records.empty())
    fail(ExitCode::data, {.what = "no record is there to predict the labels of", .where = "data.validation"});
  if (predicts) leave_out_long_records(*predictor, recipe.data, records, context);
  if (predicts && !model && !recipe.pairs && std::ranges::none_of(records, has_rating))
    fail(ExitCode::data, {.what = "no record has a label to measure the predictor on", .where = "data.validation"});
  if (recipe.pairs) check_countable(*predictor, preferences);
  if (model) examples = perplexity_examples(recipe, *model, counts, context);
  if (recipe.dials) sweep = plan_sweep(recipe, *model);
  if (other) check_perplexity_model(*other, sweep.prompts);
  if (context.dry_run) {
    if (predicts)
      context.log->info(
          fmt::format("would predict the labels of {} records with {}", records.size(), recipe.predictor));
    if (recipe.pairs) {
      context.log->info(fmt::format("would score the responses of {} lines by {}", preferences.size(),
                                    describe_reward(score_names(*predictor), weights)));
    }
    if (model)
      context.log->info(fmt::format("would measure the perplexity of {} on {}", recipe.model.path, describe(counts)));
    if (recipe.dials) {
      context.log->info(fmt::format("would sample {} responses of at most {} tokens to {} prompts",
                                    sweep.requests.size(), recipe.dials->sampling.max_new_tokens,
                                    sweep.prompts.size()));
    }
    if (other) context.log->info("would measure the perplexity of the responses under " + other->folder.path.string());
    return Outcome::done;
  }

  run->start();
  const Json identity = output_identity(recipe, run->inputs());
  Part all;
  const auto measured = [&](const std::string& file, const std::function<std::optional<Part>()>& measure) {
    return add(kept_part(*run, file, identity, measure), all);
  };
  if (predicts && !measured(predictor_file, [&] { return measure_predictor(recipe, *predictor, records, context); }))
    return tell_stopped(context);
  if (recipe.pairs &&
      !measured(pairs_file, [&] { return measure_pairs(recipe, *predictor, preferences, weights, context); }))
    return tell_stopped(context);
  if (model && !measured(perplexity_file, [&] { return measure_perplexity(*model, examples, counts, context); }))
    return tell_stopped(context);
  const std::string sweep_file = (run->path() / "sweep.jsonl").string();
  if (recipe.dials) {
    BlockOutputOptions options = output_options(recipe, context);
    options.counts = sampled_counts;
    BlockOutput output(sweep_file, run->files().grow("ledger.jsonl"), identity, options);
    const auto results = sample_sweep(recipe, *model, sweep, sweep_file, output, context);
    if (!results) return tell_stopped(context);
    const std::optional<SweepReport> report =
        report_sweep(recipe, *model, predictor ? &*predictor : nullptr, other ? &*other : nullptr, sweep, *results);
    if (!report) return tell_stopped(context);
    add(Part{report->json, report->text + std::string(details_heading) + report->details + "\n"}, all);
    run->files().write("answers.jsonl", report->answers);
  }
  run->files().write("evaluation.txt", all.text);
  run->files().write("evaluation.json", all.json.dump(2) + "\n");
  print_tables(all.text, run->path() / "evaluation.txt");
  for (const char* file : {predictor_file, pairs_file, perplexity_file}) run->files().remove(file);
  if (recipe.dials) {
    remove_file(sweep_file);
    run->files().remove("ledger.jsonl");
  }
  run->finish(Json::object());
  return Outcome::done;
}

}  // namespace steerlm
