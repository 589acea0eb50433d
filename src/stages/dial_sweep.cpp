#include "stages/dial_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "steerlm/eval/readability.h"
#include "steerlm/eval/steerability.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/predict.h"
#include "steerlm/toy/oracle.h"

namespace steerlm {
namespace {

constexpr std::int64_t batch_tokens = 16384;

// What is measured of each response of a sweep.
struct Judgement {
  Measures measures;
  std::vector<std::vector<double>> values;  // a row a response; empty: it could not be judged
};

std::vector<size_t> swept_dials(const DialOptions& options, const Attributes& attributes) {
  std::vector<size_t> dials;
  for (const std::string& name : options.attributes)
    dials.push_back(named_attribute(attributes, name, "dials.attributes"));
  if (dials.empty()) {
    for (size_t a = 0; a < attributes.names.size(); ++a) dials.push_back(a);
  }
  return dials;
}

// The predictor's raw scores of the responses.
std::vector<std::vector<double>> predicted_scores(const Sweep& sweep, const std::vector<GenerationResult>& results,
                                                  const OpenModel& predictor) {
  std::vector<Record> records;
  for (size_t i = 0; i < results.size(); ++i) {
    Record record;
    record.conversation = sweep.prompts[sweep.items[i].prompt].conversation;
    record.conversation.turns.push_back({"Assistant", results[i].response, std::nullopt});
    records.push_back(std::move(record));
  }
  std::vector<std::vector<double>> values;
  for (const RecordPrediction& prediction : predict_records(predictor, records, batch_tokens)) {
    values.emplace_back();
    if (!prediction.fault.empty()) continue;
    const auto& scores = prediction.turns.back().scores;
    values.back().assign(scores.begin(), scores.end());
  }
  return values;
}

Judgement judge(const DialOptions& options, const Sweep& sweep, const std::vector<GenerationResult>& results,
                const OpenModel* predictor) {
  Judgement judgement;
  if (options.judge == Judge::toy) {
    judgement.measures.attributes = toy_attribute_names();
    for (size_t i = 0; i < results.size(); ++i) {
      const Conversation& prompt = sweep.prompts[sweep.items[i].prompt].conversation;
      judgement.values.push_back(toy_oracle(prompt.turns.back().value, results[i].response));
    }
    return judgement;
  }
  judgement.measures.figures = {"characters", "words", "grade"};
  judgement.values.resize(results.size());
  if (options.judge == Judge::predictor) {
    judgement.measures.attributes = predictor->attributes.names;
    judgement.values = predicted_scores(sweep, results, *predictor);
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (judgement.values[i].size() != judgement.measures.attributes.size()) continue;
    const Readability text = readability(results[i].response);
    judgement.values[i].insert(judgement.values[i].end(),
                               {static_cast<double>(text.characters), static_cast<double>(text.words), text.grade});
  }
  return judgement;
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

// {"name": value}; an attribute that has the name of a figure is not written twice.
Json named(std::span<const std::string> names, std::span<const double> values) {
  Json json = Json::object();
  for (size_t m = 0; m < names.size(); ++m) {
    if (!json.contains(names[m])) json[names[m]] = number(values[m]);
  }
  return json;
}

Json to_json(const DialTable& table) {
  Json json = Json::object();
  for (const DialRow& row : table.rows) {
    Json levels = Json::array();
    for (size_t l = 0; l < row.levels.size(); ++l) {
      Json level = {{"level", row.levels[l]}, {"count", row.count[l]}};
      level.update(named(table.measures, row.means[l]));
      levels.push_back(level);
    }
    json[row.name] = {{"levels", levels},
                      {"spearman", named(table.measures, row.spearman)},
                      {"slope", named(table.measures, row.slope)},
                      {"own_spearman", number(row.own_spearman)},
                      {"own_slope", number(row.own_slope)},
                      {"own_slope_interval", {number(row.own_slope_interval.low), number(row.own_slope_interval.high)}},
                      {"own_monotone", row.own_monotone},
                      {"side_share", number(row.side_share)}};
  }
  return json;
}

// Requested level x measured mean of the dial's own attribute, and of the figures that say most of a text.
std::string dial_text(const DialTable& table) {
  std::vector<std::vector<std::string>> rows{{"dial", "measure"}};
  if (table.rows.empty()) return "";
  for (int level : table.rows[0].levels) rows[0].push_back("at " + std::to_string(level));
  rows[0].insert(rows[0].end(), {"Spearman", "slope", "95 % of slope", "side effect"});
  for (const DialRow& row : table.rows) {
    for (size_t m = 0; m < table.measures.size(); ++m) {
      const bool own = row.own == static_cast<int>(m);
      const bool of_text = m >= table.attributes && table.measures[m] != "words";
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

// A line of answers.jsonl: the input line, what was asked of the model, what it answered, what the judge says.
Json answer_json(const Sweep& sweep, size_t i, const Attributes& attributes, const GenerationResult& result,
                 const Judgement& judgement) {
  const SweepItem& item = sweep.items[i];
  const Prompt& prompt = sweep.prompts[item.prompt];
  Json line = response_json(prompt.json, result);
  line["prompt"] = prompt.conversation.turns.back().value;
  line["dial"] = attributes.names[item.dial];
  line["level"] = item.level;
  line["sample"] = item.sample;
  line["label"] = sweep.requests[i].label->text;
  const std::vector<double>& values = judgement.values[i];
  const size_t scores = judgement.measures.attributes.size();
  line["scores"] = values.empty() ? Json() : named(judgement.measures.attributes, std::span(values).first(scores));
  line["figures"] = values.empty() ? Json() : named(judgement.measures.figures, std::span(values).subspan(scores));
  return line;
}

}  // namespace

Sweep plan_sweep(const Recipe& recipe, const OpenModel& model) {
  const DialOptions& options = *recipe.dials;
  const Attributes& attributes = model.attributes;
  require_dials(model);
  Sweep sweep;
  sweep.prompts = read_prompts(options.prompts, attributes, model.folder.text_template.system, options.max_prompts);
  if (sweep.prompts.empty()) fail(ExitCode::data, {.what = "no prompt is there to answer", .where = "dials.prompts"});
  for (size_t dial : swept_dials(options, attributes)) {
    for (int level = attributes.min; level <= attributes.max; ++level) {
      const auto label = dial_label(attributes, {{attributes.names[dial], level}}, recipe.model.path);
      for (size_t p = 0; p < sweep.prompts.size(); ++p) {
        for (std::int64_t s = 0; s < options.samples_per_prompt; ++s) {
          sweep.requests.push_back({&sweep.prompts[p], label, sample_key(p, options.samples_per_prompt, s)});
          sweep.items.push_back({dial, level, p, s});
        }
      }
    }
  }
  return sweep;
}

SweepReport run_sweep(const Recipe& recipe, const OpenModel& model, const OpenModel* predictor, const Sweep& sweep,
                      const Context& context) {
  const DialOptions& options = *recipe.dials;
  const std::vector<std::string>& names = model.attributes.names;
  const auto results = sample_responses(model, sweep.requests, options.sampling,
                                        static_cast<std::uint64_t>(recipe.seed), "dial sweep", context);
  const Judgement judgement = judge(options, sweep, results, predictor);
  SweepReport report;
  std::vector<DialSample> samples;
  std::int64_t unfinished = 0, unjudged = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    report.answers += dump_json(answer_json(sweep, i, model.attributes, results[i], judgement)) + "\n";
    unfinished += results[i].stopped ? 0 : 1;
    unjudged += judgement.values[i].empty() ? 1 : 0;
    if (!judgement.values[i].empty())
      samples.push_back({sweep.items[i].dial, sweep.items[i].level, judgement.values[i]});
  }
  DialTable table = make_dial_table(names, judgement.measures, samples, static_cast<std::uint64_t>(recipe.seed));
  std::erase_if(table.rows, [](const DialRow& row) { return row.levels.empty(); });
  report.json = {
      {"dials", to_json(table)}, {"responses", results.size()}, {"unfinished", unfinished}, {"unjudged", unjudged}};
  report.text = fmt::format("dials, judged by {}: {} prompts, {} responses, {} did not end within max_new_tokens\n",
                            enum_name(options.judge), sweep.prompts.size(), results.size(), unfinished);
  if (unjudged > 0)
    report.text += fmt::format("{} responses are longer than the predictor's context and are left out\n", unjudged);
  report.text += dial_text(table);
  return report;
}

}  // namespace steerlm
