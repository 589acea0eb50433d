#include "data/sources/sources.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "data/json_access.h"

namespace steerlm {
namespace {

// Copies the members that are not in `taken`. The answer: those of which `to` has another value already.
std::vector<std::string> copy_members(const Json& from, std::span<const std::string_view> taken, Json& to) {
  std::vector<std::string> lost;
  for (const auto& [key, member] : from.items()) {
    if (std::ranges::find(taken, key) != taken.end()) continue;
    const bool there = to.contains(key);
    if (!there) to[key] = member;
    if (there && !member.is_null() && to[key] != member) lost.push_back(key);
  }
  return lost;
}

}  // namespace

std::optional<Format> conversations_or_sharegpt(const Json& turns) {
  if (!turns.is_array()) return std::nullopt;
  bool system = false;  // a role of ours that files in ShareGPT's format have in capitals too
  for (const Json& turn : turns) {
    if (!turn.is_object()) continue;
    const Json* from = find_member(turn, "from");
    if (from == nullptr && find_member(turn, "role") != nullptr) return Format::sharegpt;
    if (from == nullptr || !from->is_string()) continue;
    const std::string& role = from->get_ref<const std::string&>();
    const auto ours = our_role(role);
    if (ours && *ours != role) return Format::sharegpt;
    if (ours && role != "System") return Format::conversations;
    system |= role == "System";
  }
  return system ? std::optional(Format::conversations) : std::nullopt;
}

std::optional<Format> detect_format(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  const auto has = [&](std::string_view key) { return find_member(object, key) != nullptr; };
  if (is_generated(object) && !has("conversations") && !has("messages")) return Format::conversations;
  if (has("conversations")) return conversations_or_sharegpt(*find_member(object, "conversations"));
  if (has("messages")) return Format::messages;
  if (has("prompt_turns") && has("responses")) return Format::steerlm2;
  if (has("context") && has("response1") && has("response2")) return Format::helpsteer3;
  if (has("chosen") && has("rejected")) {
    // Marked texts hold their prompts; a row of RewardBench has it beside them, and names its subset.
    if (!has("prompt") || !has("subset")) return Format::hh_rlhf;
    return object.at("chosen").is_array() ? Format::reward_bench_2 : Format::reward_bench;
  }
  if (has("prompt") && object.at("prompt").is_object()) {
    const Json& root = object.at("prompt");
    const bool message = find_member(root, "role") != nullptr || find_member(root, "text") != nullptr;
    return message ? std::optional(Format::oasst) : std::nullopt;
  }
  // HelpSteer's rows have the same keys and no turns inside `prompt`: the reader of HelpSteer2 reads both.
  if (has("prompt") && (has("response") || has("response_1"))) return Format::helpsteer2;
  return std::nullopt;
}

std::vector<Json> convert(Format format, Json object, const Conversion& conversion) {
  if (format != Format::text && !object.is_object()) {
    fail(ExitCode::data, {.what = "a line that is not an object",
                          .where = conversion.where,
                          .found = kind_of(object),
                          .expected = "a JSON object"});
  }
  std::vector<Json> records;
  // A `response` is the last turn of a conversation; of rows of other formats it is what they make of it.
  if (format == Format::conversations || format == Format::sharegpt || format == Format::messages) {
    if (is_generated(object)) {
      records.push_back(from_generated(object, conversion));
      return records;
    }
    note_unused_response(object, conversion.unobeyed);
  }
  switch (format) {
    case Format::conversations: {
      // Behind records there may be lines whose roles are in small letters.
      const Json* turns = find_member(object, "conversations");
      if (turns != nullptr && conversations_or_sharegpt(*turns) == Format::sharegpt)
        return from_sharegpt(object, conversion);
      records.push_back(std::move(object));
      return records;
    }
    case Format::oasst:
      return from_oasst(object, conversion);
    case Format::hh_rlhf:
      return from_hh_rlhf(object, conversion);
    case Format::helpsteer:
      return from_helpsteer(object, conversion);
    case Format::helpsteer2:
      return from_helpsteer2(object, conversion);
    case Format::helpsteer3:
      return from_helpsteer3(object, conversion);
    case Format::reward_bench:
      return from_reward_bench(object, conversion);
    case Format::reward_bench_2:
      return from_reward_bench_2(object, conversion);
    case Format::sharegpt:
      return from_sharegpt(object, conversion);
    case Format::messages:
      return from_messages(object, conversion);
    case Format::steerlm2:
      return from_response_group(object, conversion);
    case Format::text:
      return from_text(object, conversion);
    case Format::auto_detect:
      break;
  }
  fail(ExitCode::bug, {.what = "a format that nobody has looked up", .where = conversion.where});
}

Json make_turn(std::string_view from, std::string_view value) {
  Json turn = Json::object();
  turn["from"] = from;
  turn["value"] = value;
  turn["label"] = nullptr;
  return turn;
}

Json make_record(Json turns) {
  Json record = Json::object();
  record["mask"] = "User";
  record["type"] = "VALUE_TO_TEXT";
  record["conversations"] = std::move(turns);
  return record;
}

void carry_over(const Json& object, std::span<const std::string_view> taken, Json& record,
                std::set<std::string>& unobeyed) {
  for (const std::string& key : copy_members(object, taken, record)) unobeyed.insert("'" + key + "'");
}

void carry_over_to_turn(const Json& entry, std::span<const std::string_view> taken, Json& turn,
                        std::set<std::string>& unobeyed) {
  for (const std::string& key : copy_members(entry, taken, turn)) unobeyed.insert("'" + key + "' of a turn");
}

RatedLabel::RatedLabel(const Conversion& conversion, double low, double high)
    : conversion_(conversion),
      low_(low),
      high_(high),
      values_(conversion.attributes.names.size(), std::numeric_limits<float>::quiet_NaN()) {}

bool RatedLabel::rate(const std::string& name, const Json& rating, const std::string& where,
                      std::string (*advice_for)(const std::string& name, const Json& rating)) {
  const Attributes& attributes = conversion_.attributes;
  const std::optional<size_t> index = attributes.index(name);
  if (!index || rating.is_null() || conversion_.labels == Labels::dropped) return false;
  const std::optional<double> number = number_of(rating);
  if (!number || !(*number >= low_ && *number <= high_)) {
    if (conversion_.labels == Labels::ignored) return false;  // it is written over, and travels as a key
    const bool text = rating.is_string();
    double digits = 0;
    const std::string written = text ? rating.get<std::string>() : "";
    const char* const end = written.data() + written.size();
    const std::from_chars_result read = std::from_chars(written.data(), end, digits);
    const bool in_quotes = text && read.ec == std::errc() && read.ptr == end;
    fail(ExitCode::data, {.what = "the rating of '" + name + "' cannot be used",
                          .where = where,
                          .found = text     ? "the text " + rating.dump()
                                   : number ? dump_json(rating)
                                            : kind_of(rating),
                          .expected = "a number from " + Json(low_).dump() + " to " + Json(high_).dump(),
                          .advice = in_quotes               ? "write it without quotes"
                                    : advice_for != nullptr ? advice_for(name, rating)
                                                            : ""});
  }
  const double share = (*number - low_) / (high_ - low_);
  values_[*index] =
      static_cast<float>(round_score(attributes.min + share * (attributes.max - attributes.min), attributes));
  return any_ = true;
}

Json RatedLabel::json() const { return any_ ? Json(make_label(conversion_.attributes, values_).text) : Json(nullptr); }

}  // namespace steerlm
