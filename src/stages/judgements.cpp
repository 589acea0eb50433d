#include "steerlm/stages/judgements.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "stages/interval_format.h"
#include "steerlm/core/json_fields.h"
#include "steerlm/data/line_reader.h"
#include "steerlm/data/place.h"
#include "steerlm/data/prompt_line.h"
#include "steerlm/data/record.h"
#include "steerlm/eval/judgements.h"
#include "steerlm/eval/text_measures.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"
#include "steerlm/toy/oracle.h"

namespace steerlm {
namespace {

// Calls act(object, line number) for each line that is not blank. Throws data where a line is no object.
template <class Act>
void for_each_object(const std::string& path, Act act) {
  LineReader reader(path);
  while (const std::optional<Line> line = reader.next()) {
    if (is_blank(line->text)) continue;
    const std::string where = place(path, line->number);
    if (line->too_long)
      fail(ExitCode::data, {.what = "a line over 16 MiB", .where = where, .expected = "one JSON object a line"});
    Json object = parse_json(line->text, where, ExitCode::data);
    if (!object.is_object())
      fail(ExitCode::data, {.what = "a line that is no JSON object", .where = where, .found = shortened_json(object)});
    act(std::move(object), line->number);
  }
}

const std::string& text_at(const Json& object, const char* key, const std::string& where, const std::string& advice) {
  const auto found = object.find(key);
  if (found != object.end() && found->is_string()) return found->get_ref<const std::string&>();
  fail(ExitCode::data, {.what = std::string("'") + key + (found == object.end() ? "' is missing" : "' is no text"),
                        .where = where,
                        .found = found == object.end() ? "" : shortened_json(*found),
                        .advice = advice});
}

// One line of a file of answers.
struct Answer {
  Json earlier = Json::array();  // turns before the last user turn, {from, value}
  Json system;                   // null: the line has none
  std::string prompt;            // the last user turn
  std::string response;
  std::string where;

  bool same_prompt(const Answer& other) const {
    return prompt == other.prompt && earlier == other.earlier && system == other.system;
  }
};

const char* const answers_advice = "give a file that `steerlm generate` wrote";

Answer parse_answer(const Json& object, const std::string& path, std::int64_t line) {
  const std::string where = place(path, line);
  Answer answer{.where = where};
  answer.response = text_at(object, "response", where, answers_advice);
  if (const auto system = object.find("system"); system != object.end() && !system->is_null())
    answer.system = text_at(object, "system", where, answers_advice);
  const auto has = [&](const char* key) { return object.contains(key) && !object[key].is_null(); };
  std::vector<std::pair<std::string, std::string>> turns;
  if (has("conversations")) {
    const Record record = parse_record(object, {}, "", path, line, Labels::dropped);
    for (const Turn& turn : record.conversation.turns) turns.emplace_back(turn.from, turn.value);
  } else if (has("prompt") || has("turns")) {
    for (const Json& turn : turns_of_prompt(object, where))
      turns.emplace_back(turn["from"].get<std::string>(), turn["value"].get<std::string>());
  }
  while (!turns.empty() && turns.back().first != "User") turns.pop_back();
  if (turns.empty()) {
    fail(ExitCode::data, {.what = "a line without a prompt",
                          .where = where,
                          .expected = "'prompt', 'turns' or 'conversations', with a turn of the user",
                          .advice = answers_advice});
  }
  answer.prompt = turns.back().second;
  turns.pop_back();
  for (const auto& [from, value] : turns) answer.earlier.push_back({{"from", from}, {"value", value}});
  return answer;
}

std::vector<Answer> read_answers(const std::string& path) {
  std::vector<Answer> answers;
  for_each_object(path,
                  [&](const Json& object, std::int64_t line) { answers.push_back(parse_answer(object, path, line)); });
  if (answers.empty())
    fail(ExitCode::data, {.what = "no answer is in the file", .where = path, .advice = answers_advice});
  return answers;
}

void check_same_prompts(const std::vector<Answer>& first, const std::vector<Answer>& other,
                        const std::string& first_path, const std::string& other_path) {
  const std::string advice = "generate both files from the same --input, with as many answers to each prompt";
  for (size_t i = 0; i < std::min(first.size(), other.size()); ++i) {
    if (first[i].same_prompt(other[i])) continue;
    fail(ExitCode::data, {.what = "answers to different prompts",
                          .where = other[i].where,
                          .found = shortened_json(Json(other[i].prompt)),
                          .expected = "the prompt of " + first[i].where + ", " + shortened_json(Json(first[i].prompt)) +
                                      ", with the same system prompt and earlier turns",
                          .advice = advice});
  }
  if (first.size() == other.size()) return;
  fail(ExitCode::data, {.what = "files with different numbers of answers",
                        .where = other_path,
                        .found = std::to_string(other.size()),
                        .expected = std::to_string(first.size()) + ", as in " + first_path,
                        .advice = advice});
}

std::string oracle_winner(const Answer& first, const Answer& second) {
  if (!is_toy_task(first.prompt)) {
    fail(ExitCode::data, {.what = "the oracle of the toy language cannot judge this prompt, which is no task of it",
                          .where = first.where,
                          .found = shortened_json(Json(first.prompt)),
                          .advice = "leave --judge out, and have the comparisons judged by a judge that can"});
  }
  const double a = toy_utility(first.prompt, first.response), b = toy_utility(second.prompt, second.response);
  return a > b ? "first" : a < b ? "second" : "tie";
}

// ---- What the judge says.

struct Comparison {
  Json line;
  Judgement judgement;  // the score is of the judge
  std::string where;
  bool judged = false;
};

struct Comparisons {
  std::vector<std::string> systems;  // in the order of the file
  std::vector<Comparison> lines;
  std::map<std::string, size_t> by_id;
};

const char* const comparisons_advice = "give the file that `steerlm judgements write` wrote, as it was";

double characters(const std::string& text) { return measure_text(TextMeasure::characters, text).value_or(0); }

size_t index_of(std::vector<std::string>& names, const std::string& name) {
  const auto found = std::ranges::find(names, name);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  names.push_back(name);
  return names.size() - 1;
}

std::string comparison_id(std::int64_t number, const std::string& first, const std::string& second) {
  return fmt::format("{}/{}/{}", number, first, second);
}

// The same prompt in both orders, and each response on the other side.
void check_other_order(const Comparison& comparison, const Comparison& other) {
  const std::pair<const char*, const char*> same[] = {{"prompt", "prompt"},
                                                      {"system", "system"},
                                                      {"earlier_turns", "earlier_turns"},
                                                      {"first_response", "second_response"},
                                                      {"second_response", "first_response"}};
  const auto value = [](const Comparison& of, const char* key) {
    const auto found = of.line.find(key);
    return found == of.line.end() ? Json() : *found;
  };
  const auto refuse = [&](const char* key, const Json& expected) {
    fail(ExitCode::data, {.what = std::string("'") + key + "' is not that of the comparison in the other order",
                          .where = comparison.where,
                          .found = shortened_json(value(comparison, key), 80),
                          .expected = shortened_json(expected, 80) + ", as at " + other.where,
                          .advice = comparisons_advice});
  };
  for (const auto& [key, of_other] : same) {
    if (value(comparison, key) != value(other, of_other)) refuse(key, value(other, of_other));
  }
  const Json order = value(comparison, "order"), of_other = value(other, "order");
  if (order != 1 && order != 2) refuse("order", of_other == 1 ? 2 : 1);
  if (order == of_other) refuse("order", order == 1 ? 2 : 1);
}

Comparisons read_comparisons(const std::string& path) {
  Comparisons all;
  for_each_object(path, [&](Json object, std::int64_t line) {
    const std::string where = place(path, line);
    const auto text = [&](const char* key) -> const std::string& {
      return text_at(object, key, where, comparisons_advice);
    };
    const std::string &id = text("id"), &first = text("first"), &second = text("second");
    const auto number = object.contains("number") ? as_integer(object["number"], 0, INT64_MAX - 1) : std::nullopt;
    if (!number || id != comparison_id(*number, first, second) || first == second) {
      fail(ExitCode::data, {.what = "the id of the comparison is not that of its number and systems",
                            .where = where,
                            .found = "'" + id + "'",
                            .expected = "NUMBER/FIRST/SECOND",
                            .advice = comparisons_advice});
    }
    if (!all.by_id.emplace(id, all.lines.size()).second) {
      fail(ExitCode::data, {.what = "a comparison that is there twice",
                            .where = where,
                            .found = "'" + id + "'",
                            .advice = comparisons_advice});
    }
    Comparison comparison{.where = where};
    comparison.judgement = {.prompt = static_cast<size_t>(*number),
                            .first = index_of(all.systems, first),
                            .second = index_of(all.systems, second),
                            .first_length = characters(text("first_response")),
                            .second_length = characters(text("second_response"))};
    comparison.line = std::move(object);
    all.lines.push_back(std::move(comparison));
  });
  if (all.lines.empty())
    fail(ExitCode::data, {.what = "no comparison is in the file", .where = path, .advice = comparisons_advice});
  for (const Comparison& comparison : all.lines) {
    const Json& line = comparison.line;
    const std::string other = comparison_id(line["number"], line["second"], line["first"]);
    if (const auto found = all.by_id.find(other); found != all.by_id.end()) {
      check_other_order(comparison, all.lines[found->second]);
      continue;
    }
    fail(ExitCode::data, {.what = "a comparison without the one in the other order",
                          .where = comparison.where,
                          .expected = "also a line with the id '" + other + "'",
                          .advice = comparisons_advice});
  }
  return all;
}

// The score of the answer that was shown first.
double parse_score(const Json& judged, const Comparison& comparison, const std::string& where) {
  const auto winner = judged.find("winner"), preference = judged.find("preference");
  const bool has_winner = winner != judged.end(), has_preference = preference != judged.end();
  if (has_winner == has_preference) {
    fail(ExitCode::data, {.what = has_winner ? "both 'winner' and 'preference'" : "no judgement",
                          .where = where,
                          .expected = "one of 'winner' and 'preference'",
                          .advice = has_winner ? "leave one of the two out" : "have this comparison judged"});
  }
  const std::string first = comparison.line["first"], second = comparison.line["second"];
  if (has_winner) {
    const std::string text = winner->is_string() ? winner->get<std::string>() : "";
    if (text == "first" || text == first) return 1;
    if (text == "second" || text == second) return 0;
    if (text == "tie") return 0.5;
    fail(ExitCode::data, {.what = "'winner' is no answer of the comparison",
                          .where = where,
                          .found = shortened_json(*winner),
                          .expected = fmt::format("first or {}, second or {}, or tie", first, second),
                          .advice = "a judge that could not decide says tie"});
  }
  const double value = preference->is_number() ? preference->get<double>() : 0;
  if (value < 1 || value > 2) {
    fail(ExitCode::data, {.what = "'preference' is no preference between two answers",
                          .where = where,
                          .found = shortened_json(*preference),
                          .expected = "a number from 1 (the first answer) to 2 (the second); 1.5 is a tie"});
  }
  return 2 - value;
}

// A judge that kept the keys of the comparison kept their values.
void check_unchanged(const Json& judged, const Comparison& comparison, const std::string& where) {
  for (const auto& [key, value] : comparison.line.items()) {
    const auto found = judged.find(key);
    if (key == "winner" || found == judged.end() || *found == value) continue;
    fail(ExitCode::data, {.what = "'" + key + "' is not that of the comparison with this id",
                          .where = where,
                          .found = shortened_json(*found, 80),
                          .expected = shortened_json(value, 80) + ", as at " + comparison.where,
                          .advice = "give the comparisons that this judge was shown, or leave the key out"});
  }
}

void read_judged(const std::string& path, const std::string& comparisons_path, Comparisons& all) {
  for_each_object(path, [&](const Json& given, std::int64_t line) {
    const std::string where = place(path, line);
    Json object = Json::object();  // null is the same as missing
    for (const auto& [key, value] : given.items()) {
      if (!value.is_null()) object[key] = value;
    }
    const std::string& id =
        text_at(object, "id", where, "keep the 'id' of the comparison in what the judge says of it");
    const auto found = all.by_id.find(id);
    if (found == all.by_id.end()) {
      fail(ExitCode::data, {.what = "an unknown comparison",
                            .where = where,
                            .found = "id '" + id + "'",
                            .expected = "an id of " + comparisons_path,
                            .advice = "give the comparisons that this judge was shown"});
    }
    Comparison& comparison = all.lines[found->second];
    if (comparison.judged) {
      fail(ExitCode::data, {.what = "a comparison that is judged twice",
                            .where = where,
                            .found = "id '" + id + "'",
                            .advice = "keep one of its lines"});
    }
    check_unchanged(object, comparison, where);
    comparison.judgement.score = parse_score(object, comparison, where);
    comparison.judged = true;
  });
  const auto missing = std::ranges::count(all.lines, false, &Comparison::judged);
  if (missing == 0) return;
  const auto first = std::ranges::find(all.lines, false, &Comparison::judged);
  fail(ExitCode::data, {.what = fmt::format("{} of {} comparisons have no judgement", missing, all.lines.size()),
                        .where = path,
                        .found = "none for the id " + first->line["id"].dump(),
                        .expected = "one for each comparison, in both orders",
                        .advice = "have the missing ones judged; a judge that could not decide says tie"});
}

// The mean length of each system's answers; each is in as many comparisons as any other of it.
std::vector<double> mean_lengths(const Comparisons& all) {
  std::vector<double> sums(all.systems.size()), counts(all.systems.size());
  for (const Comparison& comparison : all.lines) {
    const Judgement& game = comparison.judgement;
    sums[game.first] += game.first_length;
    sums[game.second] += game.second_length;
    ++counts[game.first];
    ++counts[game.second];
  }
  for (size_t s = 0; s < sums.size(); ++s) sums[s] /= counts[s];
  return sums;
}

void report_elo(const Comparisons& all, std::span<const Judgement> judgements, std::uint64_t seed,
                JudgementReport& report) {
  const std::vector<EloRating> ratings = elo_ratings(all.systems.size(), judgements, seed);
  const std::vector<double> lengths = mean_lengths(all);
  std::vector<std::vector<std::string>> rows{{"system", "Elo", "95 % interval", "characters"}};
  for (size_t s = 0; s < all.systems.size(); ++s) {
    rows.push_back({all.systems[s], format_number(ratings[s].rating, 0), interval_text(ratings[s].interval, 0),
                    format_number(lengths[s], 1)});
    report.json["systems"].push_back({{"name", all.systems[s]},
                                      {"elo", number_or_null(ratings[s].rating)},
                                      {"elo_interval", interval_json(ratings[s].interval)},
                                      {"mean_characters", lengths[s]}});
  }
  report.text += format_table(rows);
}

void report_pairs(const Comparisons& all, std::span<const Judgement> judgements, std::uint64_t seed,
                  JudgementReport& report) {
  std::vector<std::vector<std::string>> rows{{"system", "against", "prompts", "won", "tied", "lost", "win rate",
                                              "95 % interval", "equal lengths", "same in both orders"}};
  for (size_t a = 0; a < all.systems.size(); ++a) {
    for (size_t b = a + 1; b < all.systems.size(); ++b) {
      const WinRate rate = win_rate(judgements, a, b, seed);
      if (rate.prompts == 0) continue;  // two systems that no comparison brings together
      std::int64_t won = 0, tied = 0, lost = 0;
      for (const Judgement& game : judgements) {
        const bool ahead = game.first == a && game.second == b;
        if (!ahead && !(game.first == b && game.second == a)) continue;
        const double score = ahead ? game.score : 1 - game.score;
        ++(score > 0.5 ? won : score < 0.5 ? lost : tied);
      }
      rows.push_back({all.systems[a], all.systems[b], format_count(rate.prompts), format_count(won), format_count(tied),
                      format_count(lost), format_number(rate.rate, 3), interval_text(rate.interval, 3),
                      rate.length_controlled ? format_number(*rate.length_controlled, 3) : "–",
                      fmt::format("{} of {}", rate.consistent, rate.both_orders)});
      report.json["pairs"].push_back(
          {{"first", all.systems[a]},
           {"second", all.systems[b]},
           {"prompts", rate.prompts},
           {"won", won},
           {"tied", tied},
           {"lost", lost},
           {"win_rate", number_or_null(rate.rate)},
           {"interval", interval_json(rate.interval)},
           {"length_controlled", rate.length_controlled ? Json(*rate.length_controlled) : Json()},
           {"both_orders", rate.both_orders},
           {"consistent", rate.consistent}});
    }
  }
  report.text += format_table(rows);
}

}  // namespace

std::vector<AnswerFile> parse_answer_files(const std::vector<std::string>& texts) {
  const auto refuse = [](const std::string& what, const std::string& found, const std::string& expected) {
    fail(ExitCode::recipe, {.what = what, .where = "--answers", .found = "'" + found + "'", .expected = expected});
  };
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  std::vector<AnswerFile> files;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    if (equals == std::string::npos || equals + 1 == text.size())
      refuse("not the answers of a system", text, "NAME=FILE");
    if (name.empty() || name.find_first_not_of(allowed) != std::string::npos)
      refuse("a system needs another name", name, "letters, digits, '.', '_' and '-'");
    if (name == "first" || name == "second" || name == "tie")
      refuse("a system needs another name", name, "a name that no judge says of either");
    if (std::ranges::find(files, name, &AnswerFile::system) != files.end())
      refuse("two systems of one name", name, "a name of its own for each");
    files.push_back({name, text.substr(equals + 1)});
  }
  if (files.size() < 2) {
    fail(ExitCode::recipe, {.what = "nothing to compare",
                            .where = "--answers",
                            .found = std::to_string(files.size()) + " of them",
                            .expected = "two or more, NAME=FILE each"});
  }
  return files;
}

std::string make_comparisons(const std::vector<AnswerFile>& files, bool by_toy_oracle) {
  std::vector<std::vector<Answer>> answers;
  for (const AnswerFile& file : files) {
    answers.push_back(read_answers(file.path));
    check_same_prompts(answers.front(), answers.back(), files.front().path, file.path);
  }
  std::string lines;
  for (size_t i = 0; i < answers.front().size(); ++i) {
    for (size_t a = 0; a < files.size(); ++a) {
      for (size_t b = a + 1; b < files.size(); ++b) {
        for (const int order : {1, 2}) {
          const size_t first = order == 1 ? a : b, second = order == 1 ? b : a;
          const Answer &one = answers[first][i], &other = answers[second][i];
          Json line = {{"id", comparison_id(static_cast<std::int64_t>(i), files[first].system, files[second].system)},
                       {"number", i}};
          if (!one.system.is_null()) line["system"] = one.system;
          if (!one.earlier.empty()) line["earlier_turns"] = one.earlier;
          line.update({{"prompt", one.prompt},
                       {"first", files[first].system},
                       {"second", files[second].system},
                       {"order", order},
                       {"first_response", one.response},
                       {"second_response", other.response}});
          if (by_toy_oracle) line["winner"] = oracle_winner(one, other);
          lines += dump_json(line) + "\n";
        }
      }
    }
  }
  return lines;
}

JudgementReport report_judgements(const std::string& comparisons, const std::string& judged, std::uint64_t seed) {
  Comparisons all = read_comparisons(comparisons);
  read_judged(judged, comparisons, all);
  std::vector<Judgement> judgements;
  for (const Comparison& comparison : all.lines) judgements.push_back(comparison.judgement);
  JudgementReport report{
      .json = {
          {"judgements", judgements.size()}, {"seed", seed}, {"systems", Json::array()}, {"pairs", Json::array()}}};
  report_elo(all, judgements, seed, report);
  report.text += "\n";
  report_pairs(all, judgements, seed, report);
  return report;
}

}  // namespace steerlm
