#include "steerlm/data/preference.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/json_access.h"
#include "steerlm/data/split.h"

namespace steerlm {
namespace {

std::string text_member(const Json& json, std::string_view key) {
  const Json* value = find_member(json, key);
  if (value == nullptr) return "";
  return value->is_string() ? value->get<std::string>() : dump_json(*value);
}

// -3 … 3: below 0 the first response is better, above 0 the second (HelpSteer2-Preference, arXiv 2410.01257, section
// 2).
double signed_strength(const Json& json, std::string_view key, const std::string& where) {
  const Json* value = find_member(json, key);
  const std::optional<double> number = value == nullptr ? std::nullopt : number_of(*value);
  if (number && *number >= -3 && *number <= 3) return *number;
  fail(ExitCode::data, {.what = "'" + std::string(key) + "' cannot be used",
                        .where = where,
                        .found = value == nullptr     ? "nothing"
                                 : value->is_string() ? "the text " + value->dump()
                                                      : kind_of(*value),
                        .expected = "a number from -3 (response 1 is much better) to 3 (response 2 is)"});
}

// Reads what the records of a line say of their order.
void settle(Preference& preference) {
  const Json& first = preference.responses.front().json;
  const std::string response = text_member(first, "response");
  preference.subset = text_member(first, "subset");
  preference.id = text_member(first, "id");
  preference.best_of_n = response == "chosen[0]";
  const bool by_strength = response == "response_1" || response == "response1";
  if (!by_strength && response != "chosen" && !preference.best_of_n) {
    fail(ExitCode::data,
         {.what = "a line that holds no preference between responses",
          .where = preference.place(),
          .expected = "a row of HelpSteer2 or HelpSteer3 preference, hh-rlhf or RewardBench (docs/data.md)"});
  }
  if (preference.responses.size() < 2) {
    fail(ExitCode::data, {.what = "one response of a preference, without the other",
                          .where = preference.place(),
                          .expected = "a row with both responses",
                          .advice = "name the file as it was published; 'data convert' takes pairs apart"});
  }
  if (by_strength) {
    const std::string_view key = response == "response1" ? "overall_preference" : "preference_strength";
    const double strength = signed_strength(first, key, preference.place());
    preference.strength = std::abs(strength);
    preference.better = strength == 0 ? 0 : 1;
    if (strength > 0) std::swap(preference.responses[0], preference.responses[1]);
    return;
  }
  preference.better = static_cast<size_t>(std::ranges::count_if(preference.responses, [](const Record& record) {
    return text_member(record.json, "response").starts_with("chosen");
  }));
  const Json* right = find_member(first, "num_correct");
  if (preference.best_of_n && right != nullptr && number_of(*right) != preference.better) {
    fail(ExitCode::data, {.what = "'num_correct' is not the number of right answers",
                          .where = preference.place(),
                          .found = dump_json(*right),
                          .expected = std::to_string(preference.better) + ", as 'chosen' has"});
  }
}

void check_responses(const Preference& preference) {
  for (const Record& record : preference.responses) {
    const std::vector<Turn>& turns = record.conversation.turns;
    if (!turns.empty() && turns.back().from == "Assistant") continue;
    fail(ExitCode::data, {.what = "a response that is no turn of the assistant",
                          .where = preference.place() + ", '" + text_member(record.json, "response") + "'",
                          .found = turns.empty() ? "no turn" : "a last turn of '" + turns.back().from + "'",
                          .advice = "take the line out"});
  }
}

// `group`: a number of its own.
void encode_pair(const Preference& preference, std::int64_t group, const ConversationTemplate& conversation_template,
                 const EncodeOptions& options, DatasetBuilder& builder, DatasetBuilder::Part& part) {
  ++part.counts.conversations;
  if (preference.better == 0) {
    ++part.counts.without_preference;
    return;
  }
  if (!preference.is_pair()) refuse_several_responses(preference);
  std::vector<Example> examples;
  DatasetCounts counts;
  for (const Record& record : preference.responses)
    encode_record(record, conversation_template, options, examples, counts);
  part.counts.longest = std::max(part.counts.longest, counts.longest);
  part.counts.marker_text += counts.marker_text;
  if (examples.size() < preference.responses.size()) {
    ++part.counts.dropped_over_length;
    return;
  }
  ++part.counts.pairs;
  part.counts.examples += counts.examples;
  part.counts.tokens += counts.tokens;
  part.counts.target_tokens += counts.examples;
  for (Example& example : examples) {
    example.group = group;
    example.strength = preference.strength;
    builder.add(part, example);
  }
}

// `split`: the keys that hold dialogues out.
bool encode_sources(const std::vector<SourceOptions>& sources, const DataOptions& split, const DataOptions& data,
                    const ConversationTemplate& conversation_template, const EncodeOptions& options,
                    DatasetBuilder& builder, DatasetBuilder::Part& part, DatasetBuilder::Part& held_out) {
  PreferenceReader reader(sources, conversation_template.options().system, builder.puts_aside);
  std::int64_t group = 0;
  while (const auto line = reader.next_or_bad()) {
    if (const BadRecord* bad = std::get_if<BadRecord>(&*line)) {
      builder.refuse_or_put_aside(*bad, data);
    } else {
      const Preference& preference = std::get<Preference>(*line);
      const Record& first = preference.responses.front();
      DatasetBuilder::Part& its = is_held_out(first.dialogue, split) ? held_out : part;
      builder.encode_or_put_aside(its.counts, first, data, [&] {
        encode_pair(preference, group++, conversation_template, options, builder, its);
      });
    }
    if (!builder.record_read()) return false;
  }
  part.counts.unobeyed = reader.notes().unobeyed;
  return true;
}

}  // namespace

std::string Preference::place() const { return steerlm::place(responses.front().file, responses.front().line); }

PreferenceReader::PreferenceReader(std::vector<SourceOptions> sources, std::string default_system, bool text)
    : reader_(std::move(sources), {}, std::move(default_system),
              {.labels = Labels::dropped, .text = text, .weights = false}) {}

std::optional<std::variant<Preference, BadRecord>> PreferenceReader::next_or_bad() {
  Preference preference;
  do {
    auto entry = reader_.next();
    if (!entry) return std::nullopt;
    if (BadRecord* bad = std::get_if<BadRecord>(&*entry)) return std::move(*bad);
    preference.responses.push_back(std::move(std::get<Record>(*entry)));
  } while (preference.responses.back().part + 1 < preference.responses.back().parts);
  const Json& json = preference.responses.front().json;
  strengths_ += text_member(json, "response") == "response_1" && find_member(json, "preference_strength") != nullptr;
  try {
    settle(preference);
    check_responses(preference);
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;
    const Record& first = preference.responses.front();
    return bad_record(error, first.file, first.line, first.text);
  }
  return preference;
}

ReadNotes PreferenceReader::notes() const {
  ReadNotes notes = reader_.notes();
  const auto strength = notes.unobeyed.find("'preference_strength'");
  if (strength != notes.unobeyed.end() && (strength->second -= strengths_) <= 0) notes.unobeyed.erase(strength);
  return notes;
}

std::optional<Preference> PreferenceReader::next() {
  auto line = next_or_bad();
  if (!line) return std::nullopt;
  if (const BadRecord* bad = std::get_if<BadRecord>(&*line))
    fail(ExitCode::data, {.what = bad->reason, .where = steerlm::place(bad->file, bad->line)});
  return std::move(std::get<Preference>(*line));
}

void refuse_several_responses(const Preference& preference) {
  fail(ExitCode::data,
       {.what = "more than two responses: such a line has no pair to train on",
        .where = preference.place(),
        .found = std::to_string(preference.responses.size()) + " responses",
        .expected = "two",
        .advice = "RewardBench 2 is there to be measured on: name it under `pairs` of an evaluate recipe"});
}

bool encode_preferences(const DataOptions& data, const ConversationTemplate& conversation_template,
                        DatasetBuilder& builder) {
  const EncodeOptions options{Objective::preference, data.max_tokens, data.over_length};
  const bool own = !data.validation.empty();
  if (!encode_sources(data.train, own ? DataOptions{} : data, data, conversation_template, options, builder,
                      builder.train, builder.validation))
    return false;
  if (builder.train.entries.empty()) {
    fail(ExitCode::data, {.what = "the training data has no pair of which one response is preferred",
                          .where = data.train.empty() ? "" : data.train.front().path,
                          .found = describe_empty(builder),
                          .expected = "one pair or more"});
  }
  return !own || encode_sources(data.validation, DataOptions{}, data, conversation_template, options, builder,
                                builder.validation, builder.validation);
}

}  // namespace steerlm
