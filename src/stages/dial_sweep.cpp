#include "stages/dial_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "stages/dial_figures.h"
#include "stages/interval_format.h"
#include "steerlm/core/stop.h"
#include "steerlm/data/line_reader.h"
#include "steerlm/eval/readability.h"
#include "steerlm/eval/steerability.h"
#include "steerlm/eval/text_measures.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/predict.h"
#include "steerlm/toy/oracle.h"

namespace steerlm {
namespace {

std::vector<size_t> swept_dials(const DialOptions& options, const Attributes& attributes) {
  std::vector<size_t> dials;
  for (const std::string& name : options.attributes)
    dials.push_back(named_attribute(attributes, name, "dials.attributes"));
  if (dials.empty()) {
    for (size_t a = 0; a < attributes.names.size(); ++a) dials.push_back(a);
  }
  return dials;
}

// What is asked of each dial, ascending.
std::vector<int> swept_levels(const DialOptions& options, const Attributes& attributes) {
  std::vector<int> levels;
  for (std::int64_t level : options.levels) {
    if (level < attributes.min || level > attributes.max) {
      fail(ExitCode::recipe, {.what = "a level that the model's dials do not have",
                              .where = "dials.levels",
                              .found = std::to_string(level),
                              .expected = fmt::format("an integer from {} to {}", attributes.min, attributes.max)});
    }
    levels.push_back(static_cast<int>(level));
  }
  for (int level = attributes.min; options.levels.empty() && level <= attributes.max; ++level) levels.push_back(level);
  std::sort(levels.begin(), levels.end());
  return levels;
}

// What judge: text measures, in the order of the model's attributes; without edges where the recipe names measures.
MeasureBins text_measures(const DialOptions& options, const Attributes& attributes) {
  MeasureBins bins{.min = attributes.min, .max = attributes.max};
  std::vector<MeasuredAttribute> measured;
  for (const auto& [name, measure] : options.measures) measured.push_back({.name = name, .measure = measure});
  const std::string where = options.edges.empty() ? "dials.measures" : "dials.edges";
  if (!options.edges.empty()) {
    const MeasureBins given = read_measure_bins(options.edges);
    if (given.min != bins.min || given.max != bins.max) {
      fail(ExitCode::recipe, {.what = "edges of another range than the model's dials",
                              .where = options.edges,
                              .found = fmt::format("{} to {}", given.min, given.max),
                              .expected = fmt::format("{} to {}", bins.min, bins.max),
                              .advice = "give the file that the training data was measured with"});
    }
    measured = given.attributes;
  }
  for (const MeasuredAttribute& attribute : measured) named_attribute(attributes, attribute.name, where);
  for (const std::string& name : attributes.names) {
    const auto found = std::ranges::find(measured, name, &MeasuredAttribute::name);
    if (found != measured.end()) bins.attributes.push_back(std::move(*found));
  }
  return bins;
}

// The predictor's raw scores of the responses; fewer than these where `go_on` has said no.
std::vector<std::vector<double>> predicted_scores(const Sweep& sweep, const std::vector<GenerationResult>& results,
                                                  const OpenModel& predictor, const std::function<bool()>& go_on) {
  std::vector<Record> records;
  for (size_t i = 0; i < results.size(); ++i) {
    Record record;
    record.conversation = sweep.prompts[sweep.items[i].prompt].conversation;
    record.conversation.turns.push_back({"Assistant", results[i].response, std::nullopt});
    records.push_back(std::move(record));
  }
  std::vector<std::vector<double>> values;
  for (const RecordPrediction& prediction : predict_records(predictor, records, default_batch_tokens, go_on)) {
    values.emplace_back();
    if (!prediction.fault.empty()) continue;
    const auto& scores = prediction.turns.back().scores;
    values.back().assign(scores.begin(), scores.end());
  }
  return values;
}

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

// The place of a value on its scale, from 0 to 1.
double scaled(double value, double min, double max) { return std::clamp((value - min) / (max - min), 0.0, 1.0); }

// The values of judge: text of answer i, their levels, and the level that its own measure has.
void measure_answer(const Sweep& sweep, size_t i, const std::string& response, Judgement& judgement) {
  const MeasureBins& bins = sweep.measured;
  for (const MeasuredAttribute& attribute : bins.attributes) {
    const std::optional<double> value = measure_text(attribute.measure, response);
    judgement.values[i].push_back(value.value_or(undefined));
    const double level = value && !attribute.edges.empty() ? level_of(*value, attribute.edges, bins.min) : undefined;
    judgement.scaled[i].push_back(scaled(level, bins.min, bins.max));
    if (attribute.name == sweep.dials[sweep.items[i].dial]) judgement.own_levels[i] = level;
  }
}

// Nothing where `go_on` has said no.
std::optional<Judgement> judge(const DialOptions& options, const Sweep& sweep,
                               const std::vector<GenerationResult>& results, const OpenModel* predictor,
                               const std::function<bool()>& go_on) {
  Judgement judgement;
  judgement.values.resize(results.size());
  judgement.scaled.resize(results.size());
  judgement.own_levels.assign(results.size(), undefined);
  if (options.judge == Judge::toy) {
    judgement.measures.attributes = toy_attribute_names();
    for (size_t i = 0; i < results.size(); ++i) {
      const Conversation& prompt = sweep.prompts[sweep.items[i].prompt].conversation;
      judgement.values[i] = toy_oracle(prompt.turns.back().value, results[i].response);
      for (double value : judgement.values[i]) judgement.scaled[i].push_back(scaled(value, toy_min, toy_max));
    }
    return judgement;
  }
  judgement.measures.figures = {"characters", "words", "grade"};
  if (options.judge == Judge::text) {
    judgement.measures.own_units = true;
    for (const MeasuredAttribute& attribute : sweep.measured.attributes)
      judgement.measures.attributes.push_back(attribute.name);
    for (size_t i = 0; i < results.size(); ++i) measure_answer(sweep, i, results[i].response, judgement);
  }
  if (options.judge == Judge::predictor) {
    judgement.measures.attributes = predictor->attributes.names;
    judgement.values = predicted_scores(sweep, results, *predictor, go_on);
    if (judgement.values.size() < results.size()) return std::nullopt;
    const Attributes& attributes = predictor->attributes;
    for (size_t i = 0; i < results.size(); ++i) {
      for (double value : judgement.values[i])
        judgement.scaled[i].push_back(scaled(value, attributes.min, attributes.max));
    }
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (judgement.values[i].size() != judgement.measures.attributes.size()) continue;
    const Readability text = readability(results[i].response);
    judgement.values[i].insert(judgement.values[i].end(),
                               {static_cast<double>(text.characters), static_cast<double>(text.words), text.grade});
  }
  return judgement;
}

// {"name": value}; an attribute that has the name of a figure is not written twice.
Json named(std::span<const std::string> names, std::span<const double> values) {
  Json json = Json::object();
  for (size_t m = 0; m < names.size(); ++m) {
    if (!json.contains(names[m])) json[names[m]] = number_or_null(values[m]);
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
      if (row.own >= 0) level["own_interval"] = interval_json(row.own_mean_interval[l]);
      if (std::isfinite(row.steering_error)) level["steering_error"] = number_or_null(row.level_steering_error[l]);
      levels.push_back(level);
    }
    json[row.name] = {{"levels", levels},
                      {"spearman", named(table.measures, row.spearman)},
                      {"slope", named(table.measures, row.slope)},
                      {"own_spearman", number_or_null(row.own_spearman)},
                      {"own_slope", number_or_null(row.own_slope)},
                      {"own_slope_interval", interval_json(row.own_slope_interval)},
                      {"own_monotone", row.own_monotone},
                      {"side_share", number_or_null(row.side_share)}};
    if (!std::isfinite(row.steering_error)) continue;
    json[row.name]["steering_error"] = number_or_null(row.steering_error);
    json[row.name]["steering_error_interval"] = interval_json(row.steering_error_interval);
  }
  return json;
}

// What is measured of the attribute, "" where a judge gives it in the attribute's own range.
std::string measure_name(const Sweep& sweep, size_t m) {
  const std::vector<MeasuredAttribute>& measured = sweep.measured.attributes;
  return m < measured.size() ? std::string(enum_name(measured[m].measure)) : "";
}

// Of judge: text, each level of each dial that is measured: the mean with its interval, and how far the answers' levels
// are from what was asked.
std::string level_text(const DialTable& table, const Sweep& sweep) {
  if (sweep.measured.attributes.empty()) return "";
  std::vector<std::vector<std::string>> rows{
      {"dial", "measure", "level", "answers", "mean", "95 % of mean", "steering error"}};
  for (const DialRow& row : table.rows) {
    for (size_t l = 0; row.own >= 0 && l < row.levels.size(); ++l) {
      const auto own = static_cast<size_t>(row.own);
      rows.push_back({l == 0 ? row.name : "", l == 0 ? measure_name(sweep, own) : "", std::to_string(row.levels[l]),
                      format_count(row.count[l]), format_number(row.means[l][own], 2),
                      interval_text(row.own_mean_interval[l], 2),
                      std::isfinite(row.steering_error) ? format_number(row.level_steering_error[l], 2) : ""});
    }
    if (!std::isfinite(row.steering_error)) continue;
    rows.push_back({"", "", "all", "", "", "",
                    format_number(row.steering_error, 2) + " (" + interval_text(row.steering_error_interval, 2) + ")"});
  }
  return rows.size() > 1 ? format_table(rows) + "\n" : "";
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

// The keys of the prompt's line that answer_json loses. A `prompt` that is the last user turn is not lost.
std::vector<std::string> replaced_by_answers(const Prompt& prompt) {
  constexpr std::string_view written[] = {"response", "token_ids", "logprob", "finish", "dial",
                                          "level",    "sample",    "label",   "scores", "figures"};
  std::vector<std::string> replaced = replaced_keys(prompt.json, written);
  const auto text = prompt.json.find("prompt");
  if (text != prompt.json.end() && !text->is_null() && *text != prompt.conversation.turns.back().value)
    replaced.emplace_back("prompt");
  return replaced;
}

}  // namespace

std::string dial_text(const DialTable& table, const Sweep& sweep) {
  std::vector<std::vector<std::string>> rows{{"dial", "measure"}};
  if (table.rows.empty()) return "";
  std::set<int> levels;  // a row lacks those of which no answer could be judged
  for (const DialRow& row : table.rows) levels.insert(row.levels.begin(), row.levels.end());
  for (int level : levels) rows[0].push_back("at " + std::to_string(level));
  rows[0].insert(rows[0].end(), {"Spearman", "slope", "95 % of slope", "side effect"});
  for (const DialRow& row : table.rows) {
    for (size_t m = 0; m < table.measures.size(); ++m) {
      const bool own = row.own == static_cast<int>(m);
      const std::string measure = measure_name(sweep, m);
      const bool of_text = m >= table.attributes && table.measures[m] != "words" && sweep.measured.attributes.empty();
      if (!own && !of_text && measure.empty()) continue;
      std::vector<std::string> cells{row.name, table.measures[m] + (measure.empty() ? "" : " (" + measure + ")")};
      for (int level : levels) {
        const auto at = std::ranges::find(row.levels, level) - row.levels.begin();
        cells.push_back(at < std::ssize(row.levels) ? format_number(row.means[static_cast<size_t>(at)][m], 2) : "–");
      }
      cells.push_back(format_number(row.spearman[m], 3));
      cells.push_back(format_number(row.slope[m], 3));
      cells.push_back(own ? interval_text(row.own_slope_interval, 2) : "");
      cells.push_back(!own                                            ? ""
                      : row.steers() && std::isfinite(row.side_share) ? format_number(100 * row.side_share, 0) + " %"
                                                                      : "–");
      rows.push_back(std::move(cells));
    }
  }
  return format_table(rows);
}

Sweep plan_sweep(const Recipe& recipe, const OpenModel& model) {
  const DialOptions& options = *recipe.dials;
  const Attributes& attributes = model.attributes;
  require_dials(model.folder);
  Sweep sweep;
  sweep.prompts = read_prompts(options.prompts, attributes, model.folder.text_template.system, options.max_prompts);
  if (sweep.prompts.empty()) fail(ExitCode::data, {.what = "no prompt is there to answer", .where = "dials.prompts"});
  sweep.dials = attributes.names;
  sweep.measured = text_measures(options, attributes);
  const std::optional<ConversationTemplate> conversation_template = make_template(model.folder, model.tokenizer);
  const std::vector<int> levels = swept_levels(options, attributes);
  for (size_t dial : swept_dials(options, attributes)) {
    for (int level : levels) {
      const auto label = dial_label(attributes, {{attributes.names[dial], level}}, recipe.model.path);
      for (size_t p = 0; p < sweep.prompts.size(); ++p) {
        const SampleRequest request{&sweep.prompts[p], label, 0};
        if (const std::string fault = request_fault(model.folder, model.tokenizer, conversation_template, request);
            !fault.empty())
          fail(ExitCode::data, {.what = fault, .where = sweep.prompts[p].place()});
        for (std::int64_t s = 0; s < options.samples_per_prompt; ++s) {
          sweep.requests.push_back({&sweep.prompts[p], label, sample_key(p, options.samples_per_prompt, s)});
          sweep.items.push_back({dial, level, p, s});
        }
      }
    }
  }
  return sweep;
}

std::optional<std::vector<GenerationResult>> sample_sweep(const Recipe& recipe, const OpenModel& model,
                                                          const Sweep& sweep, const std::string& output_path,
                                                          BlockOutput& output, const Context& context) {
  const auto samples = static_cast<size_t>(recipe.dials->samples_per_prompt);
  const std::span<const SampleRequest> requests = sweep.requests;
  const SampleJob job{.model = model,
                      .sampling = recipe.dials->sampling,
                      .seed = static_cast<std::uint64_t>(recipe.seed),
                      .title = "dial sweep",
                      .prompts = requests.size() / samples,
                      .samples_per_prompt = recipe.dials->samples_per_prompt,
                      .requests =
                          [&](size_t p) {
                            const std::span own = requests.subspan(p * samples, samples);
                            return std::vector<SampleRequest>(own.begin(), own.end());
                          },
                      .lines =
                          [&](size_t p, std::span<const SampleRequest>, std::span<const GenerationResult> results) {
                            SampledPrompt sampled{.sampled = std::ssize(results)};
                            // Each dial and level asks all prompts again: once is enough to tell.
                            if (p < sweep.prompts.size()) sampled.replaced = replaced_by_answers(sweep.prompts[p]);
                            for (const GenerationResult& result : results)
                              sampled.lines += dump_json(response_json(Json::object(), result)) + "\n";
                            return sampled;
                          },
                      .no_response = {}};  // plan_sweep has looked
  if (sample_prompts(job, output, context) == Outcome::stopped) return std::nullopt;
  output.finish();
  std::vector<GenerationResult> results;
  LineReader lines(output_path);
  while (const std::optional<Line> line = lines.next()) {
    const Json json = parse_json(line->text, output_path, ExitCode::resources);
    results.push_back({.response = json.at("response").get<std::string>(),
                       .ids = json.at("token_ids").get<std::vector<std::int32_t>>(),
                       .logprob = json.at("logprob").get<double>(),
                       .stopped = json.at("finish") == "stop"});
  }
  return results;
}

std::optional<SweepReport> report_sweep(const Recipe& recipe, const OpenModel& model, const OpenModel* predictor,
                                        const OpenModel* other, const Sweep& sweep,
                                        const std::vector<GenerationResult>& results) {
  const DialOptions& options = *recipe.dials;
  const auto go_on = [] { return !stop_requested(); };
  const std::optional<Judgement> judged = judge(options, sweep, results, predictor, go_on);
  if (!judged) return std::nullopt;
  const Judgement& judgement = *judged;
  std::vector<std::optional<ResponseLikelihood>> likelihoods;
  if (other != nullptr) {
    std::vector<PromptedResponse> responses;
    for (size_t i = 0; i < results.size(); ++i) responses.push_back({sweep.requests[i].prompt, results[i].response});
    likelihoods = response_likelihoods(*other, responses, go_on);
    if (likelihoods.size() < responses.size()) return std::nullopt;
  }
  SweepReport report;
  std::vector<DialSample> samples;
  std::int64_t unfinished = 0, unjudged = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    report.answers += dump_json(answer_json(sweep, i, model.attributes, results[i], judgement)) + "\n";
    unfinished += results[i].stopped ? 0 : 1;
    unjudged += judgement.values[i].empty() ? 1 : 0;
    if (!judgement.values[i].empty())
      samples.push_back({sweep.items[i].dial, sweep.items[i].level, judgement.values[i], judgement.own_levels[i],
                         sweep.items[i].prompt});
  }
  DialTable table = make_dial_table(sweep.dials, judgement.measures, samples, static_cast<std::uint64_t>(recipe.seed));
  std::erase_if(table.rows, [](const DialRow& row) { return row.levels.empty(); });
  report.json = {
      {"dials", to_json(table)}, {"responses", results.size()}, {"unfinished", unfinished}, {"unjudged", unjudged}};
  for (size_t m = 0; m < sweep.measured.attributes.size(); ++m)
    report.json["measures"][table.measures[m]] = {{"measure", measure_name(sweep, m)},
                                                  {"spread", number_or_null(table.spread[m])}};
  report.text = fmt::format("dials, judged by {}: {} prompts, {} responses, {} did not end within max_new_tokens\n",
                            enum_name(options.judge), sweep.prompts.size(), results.size(), unfinished);
  if (unjudged > 0)
    report.text += fmt::format("{} responses are longer than the predictor's context and are left out\n", unjudged);
  report.text += dial_text(table, sweep);
  if (!sweep.measured.attributes.empty()) {
    report.text +=
        "side effect: mean effect on the other measures, in standard deviations of each within a level, as a share of "
        "the effect on the dial's own\n";
  }
  SteerabilityReport more = report_steerability(sweep, model.attributes, {results, judgement, likelihoods}, table);
  if (other != nullptr) {
    more.json["perplexity_model"] = {{"path", options.perplexity_model},
                                     {"template", enum_name(other->folder.text_template.name)}};
  }
  report.json["steerability"] = std::move(more.json);
  report.details = level_text(table, sweep) + more.text;
  return report;
}

}  // namespace steerlm
