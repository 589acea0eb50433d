#include "steerlm/data/statistics.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "steerlm/core/suggest.h"
#include "steerlm/text/label_advice.h"
#include "steerlm/text/template.h"

namespace steerlm {
namespace {

using LabelValues = std::vector<std::pair<std::string, int>>;

// "name:int,…" without knowing the names.
LabelValues parse_undeclared(const std::string& text, const std::string& where) {
  LabelValues values;
  for (const std::string& entry : text.empty() ? std::vector<std::string>() : split(text)) {
    const size_t colon = std::min(entry.find(':'), entry.size());
    const std::string name = entry.substr(0, colon);
    int value = 0;
    const char* last = entry.data() + entry.size();
    const auto parsed = colon < entry.size() ? std::from_chars(entry.data() + colon + 1, last, value)
                                             : std::from_chars_result{last, std::errc::invalid_argument};
    if (name.empty() || parsed.ec != std::errc{} || parsed.ptr != last) {
      fail(ExitCode::data, {.what = "an entry of the label cannot be read",
                            .where = where,
                            .found = "'" + entry + "'",
                            .expected = "name:integer, entries joined by commas",
                            .advice = advice_for_label_value(entry.substr(std::min(colon + 1, entry.size())))});
    }
    const bool twice =
        std::any_of(values.begin(), values.end(), [&](const auto& known) { return known.first == name; });
    if (twice)
      fail(ExitCode::data, {.what = "the label names an attribute twice", .where = where, .found = "'" + name + "'"});
    values.emplace_back(name, value);
  }
  return values;
}

LabelValues values_of(const Label& label, const Attributes& attributes, const std::string& where) {
  if (!attributes.declared()) return parse_undeclared(label.text, where);
  LabelValues values;
  for (size_t a = 0; a < label.values.size(); ++a) {
    if (!std::isnan(label.values[a]))
      values.emplace_back(attributes.names[a], static_cast<int>(std::lrint(label.values[a])));
  }
  return values;
}

std::int64_t characters(const std::string& utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string type_name(ConversationType type) {
  switch (type) {
    case ConversationType::value_to_text:
      return "VALUE_TO_TEXT";
    case ConversationType::text_to_value:
      return "TEXT_TO_VALUE";
    case ConversationType::none:
      break;
  }
  return "none";
}

}  // namespace

void Histogram::add(std::int64_t value) {
  ++counts_[static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value)))];
  ++count_;
  sum_ += value;
  max_ = std::max(max_, value);
}

double Histogram::mean() const { return static_cast<double>(sum_) / static_cast<double>(count_); }

std::vector<Histogram::Bin> Histogram::bins() const {
  std::vector<Bin> bins;
  for (const auto& [width, count] : counts_) {
    const std::int64_t first = width == 0 ? 0 : std::int64_t{1} << (width - 1);
    bins.push_back({first, width == 0 ? 0 : 2 * first - 1, count});
  }
  return bins;
}

std::int64_t LabelStatistics::count() const {
  std::int64_t count = 0;
  for (const auto& [value, times] : values) count += times;
  return count;
}

double LabelStatistics::mean() const {
  double sum = 0;
  for (const auto& [value, times] : values) sum += static_cast<double>(value) * static_cast<double>(times);
  return sum / static_cast<double>(count());
}

double LabelStatistics::standard_deviation() const {
  if (count() < 2) return std::numeric_limits<double>::quiet_NaN();
  double squares = 0;
  for (const auto& [value, times] : values) squares += std::pow(value - mean(), 2) * static_cast<double>(times);
  return std::sqrt(squares / static_cast<double>(count() - 1));
}

DataStatistics::DataStatistics(const Attributes& attributes) : attributes_(attributes) {
  for (const std::string& name : attributes.names) labels.emplace_back(name, LabelStatistics{});
}

void DataStatistics::add(const Record& record) {
  const std::vector<Turn>& record_turns = record.conversation.turns;
  std::vector<LabelValues> label_values;
  for (size_t t = 0; t < record_turns.size(); ++t) {
    if (record_turns[t].from != "Assistant" || !record_turns[t].label) continue;
    label_values.push_back(
        values_of(*record_turns[t].label, attributes_, where(record) + ", turn " + std::to_string(t + 1)));
  }
  ++records;
  ++types[type_name(record.conversation.type)];
  turns.add(static_cast<std::int64_t>(record_turns.size()));
  std::int64_t length = 0;
  for (const Turn& turn : record_turns) {
    length += steerlm::characters(turn.value);
    user_turns += turn.from == "User";
    assistant_turns += turn.from == "Assistant";
  }
  characters.add(length);
  for (const LabelValues& values : label_values) {
    labelled_turns += !values.empty();
    for (const auto& [name, value] : values) {
      auto found =
          std::find_if(labels.begin(), labels.end(), [&, key = name](const auto& entry) { return entry.first == key; });
      if (found == labels.end()) found = labels.insert(found, {name, LabelStatistics{}});
      ++found->second.values[value];
    }
  }
}

std::vector<size_t> turns_with_marker_text(const Conversation& conversation, TemplateName name) {
  std::vector<size_t> found;
  for (size_t t = 0; t < conversation.turns.size(); ++t) {
    const std::string& value = conversation.turns[t].value;
    for (const std::string_view marker : template_markers(name)) {
      if (value.find(marker) == std::string::npos) continue;
      found.push_back(t);
      break;
    }
  }
  return found;
}

}  // namespace steerlm
