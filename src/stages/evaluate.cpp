// Figures of a predictor and of a model: agreement with labels, perplexity, and how well each dial steers.
#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "stages/predictor_report.h"
#include "stages/train.h"
#include "steerlm/core/suggest.h"
#include "steerlm/eval/readability.h"
#include "steerlm/eval/steerability.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/sample.h"
#include "steerlm/stages/stages.h"
#include "steerlm/toy/oracle.h"

namespace steerlm {
namespace {

constexpr std::int64_t batch_tokens = 16384;

// What is measured of each response of a sweep.
struct Measured {
  std::vector<std::string> names;
  std::vector<std::vector<double>> values;  // one row a response
  std::int64_t unfinished = 0;
};

struct SweepItem {
  size_t dial;
  int level;
  size_t prompt;
};

std::vector<size_t> swept_dials(const DialOptions& options, const Attributes& attributes) {
  std::vector<size_t> dials;
  for (const std::string& name : options.attributes) {
    const auto index = attributes.index(name);
    if (!index) {
      fail(ExitCode::recipe, {.what = "unknown attribute '" + name + "'",
                              .where = "dials.attributes",
                              .expected = "one of " + join(attributes.names),
                              .advice = suggest(name, attributes.names)});
    }
    dials.push_back(*index);
  }
  if (dials.empty()) {
    for (size_t a = 0; a < attributes.names.size(); ++a) dials.push_back(a);
  }
  return dials;
}

Measured judge(const DialOptions& options, const std::vector<Prompt>& prompts, const std::vector<SweepItem>& items,
               const std::vector<GenerationResult>& results, const OpenModel* predictor) {
  Measured measured;
  if (options.judge == Judge::toy) {
    measured.names = toy_attribute_names();
    for (size_t i = 0; i < items.size(); ++i) {
      measured.values.push_back(
          toy_oracle(prompts[items[i].prompt].conversation.turns.back().value, results[i].response));
    }
    return measured;
  }
  if (options.judge == Judge::predictor) {
    std::vector<Record> records;
    for (size_t i = 0; i < items.size(); ++i) {
      Record record;
      record.conversation = prompts[items[i].prompt].conversation;
      record.conversation.turns.push_back({"Assistant", results[i].response, std::nullopt});
      records.push_back(std::move(record));
    }
    measured.names = predictor->attributes.names;
    const auto predictions = predict_records(*predictor, records, batch_tokens);
    for (const RecordPrediction& prediction : predictions) {
      if (!prediction.fault.empty()) {
        measured.values.emplace_back(measured.names.size(), NAN);
        continue;
      }
      const auto& scores = prediction.turns.back().scores;
      measured.values.emplace_back(scores.begin(), scores.end());
    }
  } else {
    measured.values.resize(items.size());
  }
  measured.names.insert(measured.names.end(), {"characters", "words", "grade"});
  for (size_t i = 0; i < items.size(); ++i) {
    const Readability text = readability(results[i].response);
    measured.values[i].insert(measured.values[i].end(),
                              {static_cast<double>(text.characters), static_cast<double>(text.words), text.grade});
  }
  return measured;
}

Json to_json(const DialTable& table) {
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
  Json json = Json::object();
  for (const DialRow& row : table.rows) {
    Json means = Json::array();
    for (size_t l = 0; l < row.levels.size(); ++l) {
      Json level = {{"level", row.levels[l]}, {"count", row.count[l]}};
      for (size_t m = 0; m < table.measures.size(); ++m) level[table.measures[m]] = number(row.means[l][m]);
      means.push_back(level);
    }
    Json spearman = Json::object(), slope = Json::object();
    for (size_t m = 0; m < table.measures.size(); ++m) {
      spearman[table.measures[m]] = number(row.spearman[m]);
      slope[table.measures[m]] = number(row.slope[m]);
    }
    json[row.name] = {{"levels", means},
                      {"spearman", spearman},
                      {"slope", slope},
                      {"own_spearman", number(row.own_spearman)},
                      {"own_slope", number(row.own_slope)},
                      {"own_slope_interval", {number(row.own_slope_interval.low), number(row.own_slope_interval.high)}},
                      {"own_monotone", row.own_monotone},
                      {"side_share", number(row.side_share)}};
  }
  return json;
}

// Requested level x measured mean of the dial's own attribute; without one, of every measure.
std::string dial_text(const DialTable& table) {
  std::vector<std::vector<std::string>> rows{{"dial", "measure"}};
  if (table.rows.empty()) return "";
  for (int level : table.rows[0].levels) rows[0].push_back("at " + std::to_string(level));
  rows[0].insert(rows[0].end(), {"Spearman", "slope", "95 % of slope", "side effect"});
  for (const DialRow& row : table.rows) {
    for (size_t m = 0; m < table.measures.size(); ++m) {
      const bool own = row.own == static_cast<int>(m);
      const bool of_text = table.measures[m] == "characters" || table.measures[m] == "grade";
      if (!own && !of_text) continue;
      std::vector<std::string> cells{row.name, table.measures[m]};
      for (size_t l = 0; l < row.levels.size(); ++l) cells.push_back(format_number(row.means[l][m], 2));
      cells.push_back(format_number(row.spearman[m], 3));
      cells.push_back(format_number(row.slope[m], 3));
      cells.push_back(own ? format_number(row.own_slope_interval.low, 2) + " to " +
                                format_number(row.own_slope_interval.high, 2)
                          : "");
      cells.push_back(!own                                            ? ""
                      : row.steers() && std::isfinite(row.side_share) ? format_number(100 * row.side_share, 0) + " %"
                                                                      : "–");
      rows.push_back(std::move(cells));
    }
  }
  return format_table(rows);
}

// Each dial over all levels, the others at their defaults, the same prompts and random numbers at every level.
struct Sweep {
  std::vector<Prompt> prompts;
  std::vector<SampleRequest> requests;  // of prompts
  std::vector<SweepItem> items;         // one a request
};

Sweep plan_sweep(const Recipe& recipe, const OpenModel& model) {
  const DialOptions& options = *recipe.dials;
  const Attributes& attributes = model.attributes;
  require_dials(model);
  Sweep sweep;
  sweep.prompts = read_prompts(options.prompts, attributes, model.folder.text_template.system, options.max_prompts);
  for (size_t dial : swept_dials(options, attributes)) {
    for (int level = attributes.min; level <= attributes.max; ++level) {
      const auto label = dial_label(attributes, {{attributes.names[dial], level}}, recipe.model.path);
      for (size_t p = 0; p < sweep.prompts.size(); ++p) {
        for (std::int64_t s = 0; s < options.samples_per_prompt; ++s) {
          sweep.requests.push_back({&sweep.prompts[p], label, sample_key(p, options.samples_per_prompt, s)});
          sweep.items.push_back({dial, level, p});
        }
      }
    }
  }
  return sweep;
}

std::string run_sweep(const Recipe& recipe, const OpenModel& model, const OpenModel* predictor, const Sweep& sweep,
                      Json& json, const Context& context) {
  const DialOptions& options = *recipe.dials;
  const auto results = sample_responses(model, sweep.requests, options.sampling,
                                        static_cast<std::uint64_t>(recipe.seed), "dial sweep", context);
  const Measured measured = judge(options, sweep.prompts, sweep.items, results, predictor);
  std::vector<DialSample> samples;
  std::int64_t unfinished = 0;
  for (size_t i = 0; i < sweep.items.size(); ++i) {
    samples.push_back({sweep.items[i].dial, sweep.items[i].level, measured.values[i]});
    unfinished += results[i].stopped ? 0 : 1;
  }
  DialTable table =
      make_dial_table(model.attributes.names, measured.names, samples, static_cast<std::uint64_t>(recipe.seed));
  std::erase_if(table.rows, [](const DialRow& row) { return row.levels.empty(); });
  json["dials"] = to_json(table);
  json["responses"] = results.size();
  json["unfinished"] = unfinished;
  return fmt::format("dials, judged by {}: {} prompts, {} responses, {} did not end within max_new_tokens\n{}",
                     enum_name(options.judge), sweep.prompts.size(), results.size(), unfinished, dial_text(table));
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

}  // namespace

Outcome run_evaluate(const Recipe& recipe, const Context& context) {
  std::optional<RunDirectory> run;
  if (!context.dry_run) run.emplace(recipe, context);
  const auto print = [](const std::string& text) { std::fputs(text.c_str(), stdout); };
  if (run && run->state() == RunDirectory::State::finished) {
    context.log->info(recipe.run_dir + ": evaluated already, nothing to do (--fresh starts over)");
    print(read_file(run->path() / "evaluation.txt", ExitCode::resources, "evaluation"));
    return Outcome::done;
  }
  std::optional<OpenModel> predictor, model;
  // The recipe's template is the model's; the predictor's where nothing says that.
  TemplateRequest request = template_request(recipe);
  if (!recipe.model.path.empty()) model = open_model(recipe.model.path, recipe.precision, request);
  request.yields = model.has_value();
  if (!recipe.predictor.empty()) predictor = open_model(recipe.predictor, recipe.precision, request);
  for (const auto& opened : {std::cref(model), std::cref(predictor)}) {
    if (opened.get()) tell_template(opened.get()->folder, context);
  }
  if (model && model->folder.head.kind != HeadKind::language_model) {
    fail(ExitCode::model,
         {.what = "the model is no language model", .where = recipe.model.path, .advice = "name it as `predictor`"});
  }
  std::vector<Record> records;
  std::vector<Example> examples;
  DatasetCounts counts;
  Sweep sweep;
  if (predictor)
    records = validation_records(predictor->attributes, predictor->folder.text_template.system, recipe.data);
  if (model) examples = perplexity_examples(recipe, *model, counts, context);
  if (recipe.dials) sweep = plan_sweep(recipe, *model);
  if (context.dry_run) {
    if (predictor)
      context.log->info(
          fmt::format("would predict the labels of {} records with {}", records.size(), recipe.predictor));
    if (model)
      context.log->info(fmt::format("would measure the perplexity of {} on {}", recipe.model.path, describe(counts)));
    if (recipe.dials) {
      context.log->info(fmt::format("would sample {} responses of at most {} tokens to {} prompts",
                                    sweep.requests.size(), recipe.dials->sampling.max_new_tokens,
                                    sweep.prompts.size()));
    }
    return Outcome::done;
  }

  Json json = Json::object();
  std::string text;
  if (predictor) {
    const PredictorReport report = report_predictor(*predictor, records, {}, context);
    json["predictor"] = report.json;
    text += "predictor " + recipe.predictor + "\n" + report.table + "\n";
  }
  if (model) {
    text += "perplexity on " + describe(counts) + "\n";
    for (const auto& [name, value] : validate_language_model(model->transformer, examples, batch_tokens)) {
      json[name] = value;
      text += fmt::format("{}  {:.4f}\n", name, value);
    }
    text += "\n";
  }
  if (recipe.dials) text += run_sweep(recipe, *model, predictor ? &*predictor : nullptr, sweep, json, context) + "\n";
  write_file_atomic(run->path() / "evaluation.txt", text);
  write_file_atomic(run->path() / "evaluation.json", json.dump(2) + "\n");
  print(text);
  run->finish(Json::object());
  return Outcome::done;
}

}  // namespace steerlm
