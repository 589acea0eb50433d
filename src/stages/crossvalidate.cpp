// Cross-validation of a predictor over dialogues (Stone 1974): a training for each fold, as a process of its own, and
// one table of what the trainings say of the answers that they have not seen.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>
#include <set>
#include <sstream>

#include "stages/keep_changed.h"
#include "stages/predictor_report.h"
#include "stages/settle.h"
#include "stages/step_process.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/version.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/data/split.h"
#include "steerlm/eval/correlation.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

constexpr const char *crossvalidate_stage = "crossvalidate", *text_name = "crossvalidation.txt",
                     *json_name = "crossvalidation.json";

// The held-out answers of a fold, as its training has written them.
struct HeldOut {
  std::vector<double> scores;    // (n, a) row-major
  std::vector<float> labels;     // (n, a), NaN unknown
  std::vector<double> baseline;  // (a): the mean labels of the training part
};

std::string fold_name(std::int64_t k) { return "fold-" + std::to_string(k); }

// Throws recipe where the recipe holds out data itself.
void require_open_split(const Recipe& recipe) {
  const DataOptions& data = recipe.data;
  if (data.validation.empty() && !holds_out(data)) return;
  const std::string key = !data.validation.empty() ? "data.validation"
                          : !data.fold.empty()     ? "data.fold"
                                                   : "data.validation_fraction";
  fail(ExitCode::recipe,
       {.what = "crossvalidate holds out each part of data.train once, and takes no '" + key + "'",
        .where = key,
        .advice = key == "data.validation_fraction" ? "leave it out, or add data.validation_fraction=0 to the command"
                                                    : "leave it out"});
}

// The training of fold k. What the model says of a sequence is the same in all folds: they share the features.
Recipe fold_recipe(const Recipe& recipe, std::int64_t k, std::int64_t folds) {
  Recipe fold = recipe;
  fold.run_dir = (Path(recipe.run_dir) / fold_name(k)).string();
  fold.data.fold = fmt::format("{}/{}", k, folds);
  if (recipe.head.kind == PredictorKind::ridge && recipe.head.features.empty())
    fold.head.features = (Path(recipe.run_dir) / "features").string();
  return fold;
}

[[noreturn]] void refuse_empty_fold(std::int64_t k, std::int64_t folds, const std::string& where) {
  fail(ExitCode::data, {.what = fmt::format("fold {} of {} holds out no answer with a label", k, folds),
                        .where = where,
                        .advice = "take fewer --folds, or more data"});
}

// Before anything is trained. A fold whose rated answers are all too long is seen when it has been trained.
void require_rated_folds(const Recipe& recipe, std::int64_t folds) {
  std::set<std::int64_t> rated;
  RecordReader reader(recipe.data.train, make_attributes(recipe.attributes), "");
  while (std::ssize(rated) < folds) {
    const auto entry = reader.next();
    if (!entry) break;
    const Record* const record = std::get_if<Record>(&*entry);  // a bad one is the training's to judge
    if (record != nullptr && std::ranges::any_of(record->conversation.turns, is_rated))
      rated.insert(fold_of(record->dialogue, folds));
  }
  for (std::int64_t k = 1; k <= folds; ++k) {
    if (!rated.contains(k)) refuse_empty_fold(k, folds, recipe.data.train.front().path);
  }
}

HeldOut read_fold(const Path& run_dir, const std::vector<std::string>& names, std::int64_t k, std::int64_t folds) {
  const Path path = run_dir / "validation.jsonl", done_path = run_dir / "done.json";
  if (!is_there(path, ExitCode::resources)) refuse_empty_fold(k, folds, run_dir.string());
  HeldOut held_out;
  const Json done =
      parse_json(read_file(done_path, ExitCode::resources, "end of the run"), done_path.string(), ExitCode::resources);
  if (!done.contains("training_means")) {
    fail(ExitCode::resources, {.what = "the fold's run does not say the mean labels of its training part",
                               .where = done_path.string(),
                               .expected = "the key 'training_means'",
                               .advice = "an earlier version made it: run all folds again with --fresh"});
  }
  for (const std::string& name : names) {
    const Json& mean = done["training_means"].at(name);
    held_out.baseline.push_back(mean.is_number() ? mean.get<double>() : std::nan(""));
  }
  std::istringstream lines(read_file(path, ExitCode::resources, "held-out answers"));
  for (std::string text; std::getline(lines, text);) {
    const Json line = parse_json(text, path.string(), ExitCode::resources);
    for (const std::string& name : names) {
      held_out.scores.push_back(line.at("scores").at(name).get<double>());
      const auto label = line.at("labels").find(name);
      held_out.labels.push_back(label == line.at("labels").end() ? std::nanf("") : label->get<float>());
    }
  }
  return held_out;
}

struct Figure {
  const char* name;
  double AttributeMetrics::*value;
};
constexpr Figure figures[] = {{"MAE", &AttributeMetrics::mae},           {"RMSE", &AttributeMetrics::rmse},
                              {"Pearson", &AttributeMetrics::pearson},   {"Spearman", &AttributeMetrics::spearman},
                              {"mean MAE", &AttributeMetrics::mean_mae}, {"mean RMSE", &AttributeMetrics::mean_rmse}};

// Over the folds where the figure is defined.
struct Spread {
  double mean = 0, deviation = 0;
};
Spread spread(const std::vector<std::vector<AttributeMetrics>>& folds, size_t attribute, double AttributeMetrics::*f) {
  std::vector<double> values;
  for (const auto& fold : folds) {
    if (std::isfinite(fold[attribute].*f)) values.push_back(fold[attribute].*f);
  }
  return {mean(values), standard_deviation(values)};
}

// The held-out answers of all folds as one set. Each fold has a baseline of its own, whose errors add up.
std::vector<AttributeMetrics> pool(const std::vector<HeldOut>& folds,
                                   const std::vector<std::vector<AttributeMetrics>>& metrics,
                                   const AttributeOptions& attributes) {
  HeldOut all;
  for (const HeldOut& fold : folds) {
    all.scores.insert(all.scores.end(), fold.scores.begin(), fold.scores.end());
    all.labels.insert(all.labels.end(), fold.labels.begin(), fold.labels.end());
  }
  all.baseline.assign(attributes.names.size(), std::nan(""));
  std::vector<AttributeMetrics> pooled =
      predictor_metrics(attributes.names, static_cast<int>(attributes.min), static_cast<int>(attributes.max),
                        all.scores, all.labels, all.baseline);
  for (size_t a = 0; a < pooled.size(); ++a) {
    double errors = 0, squares = 0;
    for (const auto& fold : metrics) {
      if (fold[a].count == 0) continue;
      const double count = static_cast<double>(fold[a].count);
      errors += count * fold[a].mean_mae;
      squares += count * fold[a].mean_rmse * fold[a].mean_rmse;
    }
    pooled[a].mean_mae = errors / static_cast<double>(pooled[a].count);
    pooled[a].mean_rmse = std::sqrt(squares / static_cast<double>(pooled[a].count));
  }
  return pooled;
}

struct Tables {
  std::string text;
  Json json;
};

Tables make_tables(const std::vector<HeldOut>& folds, const AttributeOptions& attributes) {
  std::vector<std::vector<AttributeMetrics>> metrics;
  for (const HeldOut& fold : folds)
    metrics.push_back(predictor_metrics(attributes.names, static_cast<int>(attributes.min),
                                        static_cast<int>(attributes.max), fold.scores, fold.labels, fold.baseline));
  const std::vector<AttributeMetrics> pooled = pool(folds, metrics, attributes);
  std::vector<std::vector<std::string>> over_folds(1, {"attribute"}), together(1, {"attribute", "count"});
  for (const Figure& figure : figures) {
    over_folds[0].emplace_back(figure.name);
    together[0].emplace_back(figure.name);
  }
  Tables tables;
  tables.json["folds"] = folds.size();
  for (size_t a = 0; a < pooled.size(); ++a) {
    const std::string& name = attributes.names[a];
    std::vector<std::string> row{name}, pooled_row{name, format_count(pooled[a].count)};
    Json& json = tables.json["attributes"][name];
    for (const auto& fold : metrics) json["each_fold"].push_back(to_json(fold[a]));
    json["pooled"] = to_json(pooled[a]);
    for (const Figure& figure : figures) {
      const Spread over = spread(metrics, a, figure.value);
      row.push_back(format_number(over.mean, 3) + " ± " + format_number(over.deviation, 3));
      pooled_row.push_back(format_number(pooled[a].*figure.value, 3));
      std::string key = figure.name;
      std::ranges::transform(key, key.begin(), [](char c) { return c == ' ' ? '_' : static_cast<char>(c | 0x20); });
      json["mean"][key] = number_or_null(over.mean);
      json["standard_deviation"][key] = number_or_null(over.deviation);
    }
    over_folds.push_back(std::move(row));
    together.push_back(std::move(pooled_row));
  }
  tables.text = fmt::format("held-out answers of {} folds: mean over the folds ± standard deviation\n", folds.size()) +
                format_table(over_folds) + "\nall held-out answers together\n" + format_table(together) +
                "mean MAE, mean RMSE: of the baseline that always predicts the mean label of the training part\n";
  return tables;
}

// With --fresh: folds of an earlier run that had more of them.
void remove_further_folds(RunFiles& files, std::int64_t folds) {
  for (std::int64_t k = folds + 1; files.owns_run(fold_name(k)); ++k) {
    const Path path = files.root() / fold_name(k);
    if (RunFiles::look(path).kind == RunFiles::Place::Kind::marked) remove_run(path);
    files.remove(fold_name(k));
  }
}

// Whether the run directory has both tables as they were written, of this recipe and of so many folds. What the folds
// are now, their own runs say.
bool is_finished(const Recipe& recipe, std::int64_t folds) {
  const RunFiles files = RunFiles::read(recipe.run_dir);
  for (std::int64_t k = 1; k <= folds; ++k) {
    if (!files.owns_run(fold_name(k))) return false;
  }
  return std::ranges::all_of(std::array{text_name, json_name},
                             [&](const char* name) { return files.owns(name) && files.differences(name).empty(); }) &&
         files.owns("recipe.yaml") && is_there(Path(recipe.run_dir) / "recipe.yaml", ExitCode::resources) &&
         read_file(Path(recipe.run_dir) / "recipe.yaml", ExitCode::resources, "recipe") == dump_recipe(recipe);
}

}  // namespace

int run_crossvalidation(const Recipe& given, std::int64_t folds, const std::string& program, const Context& context) {
  if (is_pairwise(given.head.loss)) {
    fail(ExitCode::recipe, {.what = "crossvalidate compares scores with labels, which preferences have none of",
                            .where = "head.loss",
                            .found = std::string(enum_name(given.head.loss)),
                            .expected = "mse",
                            .advice = "give data.fold to single trainings, whose metrics have the pairwise accuracy"});
  }
  refuse_standard_input(given, "crossvalidate");
  require_open_split(given);
  const Recipe recipe = settle_recipe(given);
  warn_notes(recipe.without_effect, context);
  if (recipe.checkpoint.keep_best)
    context.log->warn(
        "checkpoint.keep_best chooses each fold's weights by the answers that it is measured on: the figures flatter");
  const bool marked = RunFiles::holds_run_of(recipe.run_dir, crossvalidate_stage, "run_dir");
  require_rated_folds(recipe, folds);
  Recipe first = fold_recipe(recipe, 1, folds);
  first.without_effect.clear();                        // said above
  if (marked && !context.fresh && !context.dry_run) {  // before recipe.yaml says another recipe
    Log silent = Log::silent();
    report_run(first, look_ahead(context, silent));
  }
  if (context.fresh && !context.dry_run) {
    Log silent = Log::silent();
    run_settled_stage(first, look_ahead(context, silent));
  }
  if (context.dry_run) {
    Log silent = Log::silent();
    for (std::int64_t k = 1; k <= folds; ++k) report_run(fold_recipe(recipe, k, folds), look_ahead(context, silent));
    context.log->info(fmt::format("would train {} folds, each in {}/fold-K; the first one:", folds, recipe.run_dir));
    return run_settled_stage(first, context) == Outcome::done ? 0 : static_cast<int>(ExitCode::stopped);
  }

  std::optional<RunFiles> files;  // none of a finished run, which may be read-only, until it turns out to be another
  const auto open_files = [&] {
    files.emplace(
        RunFiles::open(recipe.run_dir, {{"made_by", "steerlm " + program_version()}, {"stage", crossvalidate_stage}}));
    for (const char* name : {"log.txt", "recipe.yaml", text_name, json_name}) files->refuse_foreign(name);
    context.log->open_file(files->grow("log.txt"));
  };
  if (context.fresh || !marked || !is_finished(recipe, folds)) {
    open_files();
    for (const char* name : {text_name, json_name}) keep_changed(*files, name, context);
    if (context.fresh) remove_further_folds(*files, folds);
    files->write("recipe.yaml", dump_recipe(recipe));
    if (recipe.head.kind == PredictorKind::ridge && recipe.head.features.empty()) files->enter_run("features");
  }

  std::vector<std::string> arguments{"run", "-"};
  if (context.fresh) arguments.push_back("--fresh");
  if (context.overwrite) arguments.push_back("--overwrite");
  if (context.quiet) arguments.push_back("--quiet");
  std::vector<HeldOut> held_out;
  for (std::int64_t k = 1; k <= folds; ++k) {
    if (files) files->enter_run(fold_name(k));
    const Recipe fold = fold_recipe(recipe, k, folds);
    const int code = run_step({fmt::format("fold {} of {}", k, folds), arguments, dump_recipe(fold)}, program, context);
    if (code != 0) return code;
    held_out.push_back(read_fold(fold.run_dir, recipe.attributes.names, k, folds));
    if (stop_requested() && k < folds) return static_cast<int>(ExitCode::stopped);
  }
  const Tables tables = make_tables(held_out, recipe.attributes);
  const std::string json = tables.json.dump(2) + "\n";
  const auto says = [&](const char* name, const std::string& text) {
    return read_file(Path(recipe.run_dir) / name, ExitCode::resources, "table") == text;
  };
  if (!files && !(says(text_name, tables.text) && says(json_name, json))) open_files();
  if (files) {
    files->write(text_name, tables.text);
    files->write(json_name, json);
    files->compact();
  }
  std::fputs(tables.text.c_str(), stdout);
  return 0;
}

}  // namespace steerlm
