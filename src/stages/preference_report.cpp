#include "stages/preference_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "stages/interval_format.h"
#include "stages/validation_metrics.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/packer.h"
#include "steerlm/eval/correlation.h"
#include "steerlm/eval/intervals.h"
#include "steerlm/eval/reward_bench.h"
#include "steerlm/infer/score.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/predict.h"
#include "steerlm/train/losses.h"

namespace steerlm {
namespace {

double weighted_sum(std::span<const float> scores, const std::vector<double>& weights) {
  double reward = 0;
  for (size_t a = 0; a < weights.size(); ++a)
    if (weights[a] != 0) reward += weights[a] * static_cast<double>(scores[a]);
  return reward;
}

// The scores of each response, line by line; none for one that is longer than the context. Nothing where `go_on` has
// said no. `tokens`: how many the predictor has read.
std::optional<std::vector<std::vector<float>>> response_scores(const OpenModel& predictor,
                                                               std::span<const Preference> preferences,
                                                               const std::function<bool()>& go_on,
                                                               std::int64_t& tokens) {
  std::vector<std::vector<float>> scores;
  if (predictor.folder.head.kind == HeadKind::language_model) {
    std::vector<Record> records;
    for (const Preference& preference : preferences)
      records.insert(records.end(), preference.responses.begin(), preference.responses.end());
    for (const RecordPrediction& prediction : predict_records(predictor, records, default_batch_tokens, go_on)) {
      tokens += prediction.tokens;
      scores.push_back(prediction.fault.empty() ? prediction.turns.back().scores : std::vector<float>());
    }
    return scores.size() == records.size() ? std::optional(scores) : std::nullopt;
  }
  const ConversationTemplate conversation_template = make_template(predictor.folder, predictor.tokenizer);
  std::vector<Example> examples;
  std::vector<size_t> places;
  for (const Preference& preference : preferences) {
    for (const Record& record : preference.responses) {
      const Conversation& conversation = record.conversation;
      Example example = scored_example(
          scored_turn(predictor.folder, conversation_template, conversation, conversation.turns.size() - 1));
      scores.emplace_back();
      if (static_cast<std::int64_t>(example.ids.size()) > predictor.folder.config.context_length()) continue;
      tokens += std::ssize(example.ids);
      examples.push_back(std::move(example));
      places.push_back(scores.size() - 1);
    }
  }
  std::vector<size_t> ends;
  for (size_t e = 0; e < examples.size(); ++e) ends.push_back(e + 1);
  auto own = attribute_scores(predictor.transformer, predictor.folder.head.pooling, std::span<const Example>(examples),
                              {scored_at_once(predictor, default_batch_tokens), ends},
                              [&](std::span<const AttributeScores>) { return go_on(); });
  if (!own.empty() && own.back().empty()) return std::nullopt;
  for (size_t i = 0; i < places.size(); ++i) scores[places[i]] = std::move(own[i]);
  return scores;
}

// The rewards of the responses of each line, in its order; none for a line of which one is too long. Nothing where
// `go_on` has said no.
using Rewards = std::vector<std::vector<double>>;
std::optional<Rewards> rewards_of(const OpenModel& predictor, std::span<const Preference> preferences,
                                  const std::vector<double>& weights, const Context& context,
                                  const std::function<bool()>& go_on) {
  const double begin = monotonic_seconds();
  std::int64_t tokens = 0;
  const auto scored = response_scores(predictor, preferences, go_on, tokens);
  if (!scored) return std::nullopt;
  tell_throughput(context, std::ssize(*scored), tokens, monotonic_seconds() - begin, "pairs");
  const std::vector<std::vector<float>>& scores = *scored;
  Rewards rewards;
  size_t next = 0;
  for (const Preference& preference : preferences) {
    const std::span own = std::span(scores).subspan(next, preference.responses.size());
    next += own.size();
    std::vector<double>& line = rewards.emplace_back();
    if (std::ranges::any_of(own, [](const std::vector<float>& each) { return each.empty(); })) continue;
    for (const std::vector<float>& each : own) {
      line.push_back(weighted_sum(each, weights));
      if (std::isfinite(line.back())) continue;
      fail(ExitCode::model, {.what = "the predictor's score of a response is not finite",
                             .where = preference.place(),
                             .advice = beyond_range});
    }
  }
  return rewards;
}

// One a line: 1 right, 0 wrong, between them where a tie is shared.
using Credits = std::vector<double>;
using Subsets = std::map<std::string, Credits>;

struct Accuracy {
  double mean = 0;
  Interval interval;
};
Accuracy accuracy_of(const Credits& credits, std::uint64_t seed) {
  return {mean(credits), bootstrap_interval_of_mean(credits, seed)};
}

// A row of the table and of the JSON.
void add_subset(const std::string& name, const Credits& credits, std::uint64_t seed,
                std::vector<std::vector<std::string>>& rows, Json& json) {
  const Accuracy accuracy = accuracy_of(credits, seed);
  const auto count = static_cast<std::int64_t>(credits.size());
  json["count"] = count;
  json["accuracy"] = accuracy.mean;
  json["interval"] = {accuracy.interval.low, accuracy.interval.high};
  rows.push_back({name, format_count(count), format_number(accuracy.mean, 3), interval_text(accuracy.interval, 3)});
}

bool is_ties(const Preference& preference) {
  return preference.best_of_n && (preference.subset == "Ties" || preference.subset == "ties");
}

// What the id of a row of the subset Ties says, "tied:12"; without scores.
TiesPrompt ties_prompt(const Preference& preference) {
  const std::string& id = preference.id;
  const size_t colon = id.find(':');
  const std::string kind = id.substr(0, colon);
  TiesPrompt prompt{.tied = kind == "tied"};
  const char* const end = id.data() + id.size();
  const bool numbered = colon != std::string::npos && colon + 1 < id.size() &&
                        std::from_chars(id.data() + colon + 1, end, prompt.number).ptr == end;
  if (!numbered || (kind != "tied" && kind != "ref") || prompt.tied != (preference.better > 1)) {
    fail(ExitCode::data, {.what = "a row of the subset Ties that has no part in its score",
                          .where = preference.place(),
                          .found = fmt::format("id '{}' with {} right answers", id, preference.better),
                          .expected = "'ref:N' with one right answer, or 'tied:N' with two or more"});
  }
  return prompt;
}

// What is counted of the lines.
struct Counted {
  Credits pairs;
  Subsets pair_subsets;  // of pairs that have one
  Subsets best_of_n;     // RewardBench 2 without Ties
  std::vector<TiesPrompt> ties;
  std::string ties_name;
  std::int64_t equal = 0;  // pairs whose rewards are equal
  std::int64_t without_preference = 0;
  std::int64_t too_long = 0;
};

Counted count_lines(std::span<const Preference> preferences, const std::vector<std::vector<double>>& rewards) {
  Counted counted;
  for (size_t p = 0; p < preferences.size(); ++p) {
    const Preference& preference = preferences[p];
    const std::vector<double>& own = rewards[p];
    if (preference.better == 0) {
      ++counted.without_preference;
    } else if (own.empty()) {
      ++counted.too_long;
    } else if (is_ties(preference)) {
      counted.ties_name = preference.subset;
      const auto right = own.begin() + static_cast<std::ptrdiff_t>(preference.better);
      TiesPrompt prompt = ties_prompt(preference);
      prompt.correct.assign(own.begin(), right);
      prompt.incorrect.assign(right, own.end());
      counted.ties.push_back(std::move(prompt));
    } else if (preference.best_of_n) {
      counted.best_of_n[preference.subset].push_back(best_of_n_credit(own[0], std::span(own).subspan(1)));
    } else {
      const double credit = own[0] > own[1] ? 1 : 0;
      counted.equal += own[0] == own[1];
      counted.pairs.push_back(credit);
      if (!preference.subset.empty()) counted.pair_subsets[preference.subset].push_back(credit);
    }
  }
  return counted;
}

[[noreturn]] void refuse_uncountable(std::int64_t without_preference, std::int64_t too_long) {
  fail(ExitCode::data,
       {.what = "no line of pairs can be counted",
        .where = "pairs.sources",
        .found = fmt::format("{} without a preference, {} over the context", without_preference, too_long)});
}

void report_pairs(const Counted& counted, std::uint64_t seed, PreferenceReport& report) {
  if (counted.pairs.empty()) return;
  std::vector<std::vector<std::string>> rows{{"subset", "pairs", "accuracy", "95 % interval"}};
  add_subset("all", counted.pairs, seed, rows, report.json);
  report.json["equal_scores"] = counted.equal;
  std::map<std::string, double> accuracies;
  for (const auto& [name, credits] : counted.pair_subsets) {
    add_subset(name, credits, seed, rows, report.json["subsets"][name]);
    accuracies[name] = mean(credits);
  }
  report.text += format_table(rows);
  const std::vector<RewardBenchSection> sections = reward_bench_sections(accuracies);
  if (std::ranges::all_of(sections, [](const RewardBenchSection& section) { return std::isnan(section.score); }))
    return;
  rows = {{"RewardBench", "score"}};
  Json& json = report.json["reward_bench"];
  for (const RewardBenchSection& section : sections) {
    rows.push_back({std::string(section.name), format_number(section.score, 3)});
    json["sections"][std::string(section.name)] = number_or_null(section.score);
  }
  const double score = reward_bench_score(sections);
  rows.push_back({"mean", format_number(score, 3)});
  json["score"] = number_or_null(score);
  report.text += "\n" + format_table(rows);
}

void report_best_of_n(const Counted& counted, std::uint64_t seed, PreferenceReport& report) {
  if (counted.best_of_n.empty() && counted.ties.empty()) return;
  std::vector<std::vector<std::string>> rows{{"RewardBench 2", "rows", "score", "95 % interval"}};
  Json& json = report.json["reward_bench_2"];
  std::vector<double> scores;
  for (const auto& [name, credits] : counted.best_of_n) {
    add_subset(name, credits, seed, rows, json["subsets"][name]);
    scores.push_back(mean(credits));
  }
  if (!counted.ties.empty()) {
    scores.push_back(ties_score(counted.ties));
    const auto count = static_cast<std::int64_t>(counted.ties.size());
    json["subsets"][counted.ties_name] = {{"count", count}, {"score", number_or_null(scores.back())}};
    rows.push_back({counted.ties_name, format_count(count), format_number(scores.back(), 3), ""});
  }
  rows.push_back({"mean of subsets", "", format_number(mean(scores), 3), ""});
  json["score"] = number_or_null(mean(scores));
  report.text += (report.text.empty() ? "" : "\n") + format_table(rows);
}

}  // namespace

std::vector<double> reward_weights(const std::vector<std::string>& names, const std::map<std::string, double>& given,
                                   const std::string& key) {
  std::vector<double> weights(names.size(), 0);
  if (given.empty()) {
    const auto helpfulness = std::ranges::find(names, "helpfulness");
    weights.at(helpfulness == names.end() ? 0 : static_cast<size_t>(helpfulness - names.begin())) = 1;
    return weights;
  }
  for (const auto& [name, weight] : given) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      fail(ExitCode::recipe, {.what = "the predictor has no score of this name",
                              .where = key + "." + name,
                              .found = "'" + name + "'",
                              .expected = "one of " + join(names),
                              .advice = suggest(name, names)});
    }
    weights[static_cast<size_t>(found - names.begin())] = weight;
  }
  return weights;
}

std::string describe_reward(const std::vector<std::string>& names, const std::vector<double>& weights) {
  std::string text;
  for (size_t a = 0; a < names.size(); ++a) {
    if (weights[a] == 0) continue;
    const bool negative = weights[a] < 0;
    text += text.empty() ? (negative ? "-" : "") : (negative ? " - " : " + ");
    text += (std::abs(weights[a]) == 1 ? "" : fmt::format("{} ", std::abs(weights[a]))) + names[a];
  }
  return text;
}

Metrics validate_preferences(const Transformer& model, const ExampleSet& pairs, HeadLoss loss,
                             const std::vector<double>& weights, std::int64_t tokens) {
  std::vector<double> rewards(pairs.size()), strengths(pairs.size());
  for (const std::vector<size_t>& members : pack(pairs.lengths(), tokens)) {
    const std::vector<Example> batch = pairs.read(members);
    const std::vector<std::vector<float>> scores =
        attribute_scores(model, HeadPooling::last, std::span<const Example>(batch), tokens);
    for (size_t s = 0; s < members.size(); ++s) {
      rewards[members[s]] = weighted_sum(scores[s], weights);
      strengths[members[s]] = batch[s].strength;
    }
  }
  double sum = 0, right = 0;
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const double difference = rewards[i] - rewards[i + 1];
    sum += pair_loss(loss, difference, strengths[i]);
    right += difference > 0;
  }
  if (!std::isfinite(sum)) {
    fail(ExitCode::diverged, {.what = "the model's loss on the validation pairs is not finite",
                              .found = fmt::format("{}", sum),
                              .advice = beyond_range});
  }
  const double count = static_cast<double>(pairs.size()) / 2;
  return preference_metrics(sum / count, right / count);
}

std::vector<Preference> read_preferences(const std::vector<SourceOptions>& sources, const std::string& system) {
  PreferenceReader reader(sources, system);
  std::vector<Preference> preferences;
  while (auto line = reader.next_or_bad()) {
    if (const BadRecord* bad = std::get_if<BadRecord>(&*line)) {
      fail(ExitCode::data, {.what = bad->reason,
                            .where = place(bad->file, bad->line),
                            .advice = "`steerlm data check` with this recipe lists every bad line"});
    }
    Preference& preference = std::get<Preference>(*line);
    if (is_ties(preference)) ties_prompt(preference);  // throws, before anything is scored
    preferences.push_back(std::move(preference));
  }
  if (preferences.empty()) refuse_empty_input("compare", sources);
  return preferences;
}

void check_countable(const OpenModel& predictor, std::span<const Preference> preferences) {
  const ConversationTemplate conversation_template = make_template(predictor.folder, predictor.tokenizer);
  std::int64_t without_preference = 0, too_long = 0;
  for (const Preference& preference : preferences) {
    const bool fits = std::ranges::all_of(preference.responses, [&](const Record& response) {
      const std::vector<std::int64_t> needed =
          context_needed(predictor.folder, predictor.tokenizer, conversation_template, response);
      return needed.back() <= predictor.folder.config.context_length();
    });
    if (preference.better > 0 && fits) return;
    (preference.better == 0 ? without_preference : too_long) += 1;
  }
  refuse_uncountable(without_preference, too_long);
}

std::optional<PreferenceReport> report_preferences(const OpenModel& predictor, std::span<const Preference> preferences,
                                                   const std::vector<double>& weights, std::uint64_t seed,
                                                   const Context& context, const std::function<bool()>& go_on) {
  const std::optional<Rewards> rewards = rewards_of(predictor, preferences, weights, context, go_on);
  if (!rewards) return std::nullopt;
  const Counted counted = count_lines(preferences, *rewards);
  if (counted.too_long > 0)
    context.log->warn(
        fmt::format("{} lines of pairs have a response that is longer than the predictor's context; they "
                    "were left out",
                    counted.too_long));
  if (counted.pairs.empty() && counted.best_of_n.empty() && counted.ties.empty()) {
    refuse_uncountable(counted.without_preference, counted.too_long);
  }
  PreferenceReport report;
  const std::vector<std::string>& names = score_names(predictor);
  for (size_t a = 0; a < names.size(); ++a)
    if (weights[a] != 0) report.json["attribute_weights"][names[a]] = weights[a];
  report.json["without_preference"] = counted.without_preference;
  report.json["too_long"] = counted.too_long;
  report_pairs(counted, seed, report);
  report_best_of_n(counted, seed, report);
  report.text =
      "share of lines whose best response has the highest " + describe_reward(names, weights) + "\n" + report.text;
  return report;
}

}  // namespace steerlm
