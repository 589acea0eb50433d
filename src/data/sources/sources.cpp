#include "data/sources/sources.h"

#include <cmath>
#include <limits>
#include <utility>

#include "data/json_access.h"

namespace steerlm {
namespace {

// `conversations` is both our key and ShareGPT's: the role of the first turn tells them apart.
Format conversations_or_sharegpt(const Json& object) {
  const Json& turns = object.at("conversations");
  if (!turns.is_array() || turns.empty() || !turns.front().is_object()) return Format::conversations;
  const Json* from = find_member(turns.front(), "from");
  if (from == nullptr || !from->is_string()) return Format::conversations;
  for (const char* role : {"human", "gpt", "user", "assistant", "system"}) {
    if (*from == role) return Format::sharegpt;
  }
  return Format::conversations;
}

}  // namespace

std::optional<Format> detect_format(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  const auto has = [&](std::string_view key) { return object.contains(key); };
  if (has("conversations")) return conversations_or_sharegpt(object);
  if (has("messages")) return Format::messages;
  if (has("chosen") && has("rejected")) return Format::hh_rlhf;
  if (has("prompt") && object.at("prompt").is_object()) return Format::oasst;
  // HelpSteer's rows have the same keys and no turns inside `prompt`: the reader of HelpSteer2 reads both.
  if (has("prompt") && (has("response") || has("response_1"))) return Format::helpsteer2;
  return std::nullopt;
}

std::vector<Json> convert(Format format, Json object, const Attributes& attributes, const std::string& where) {
  if (format != Format::text && !object.is_object()) {
    fail(ExitCode::data,
         {.what = "a line that is no object", .where = where, .found = kind_of(object), .expected = "a JSON object"});
  }
  switch (format) {
    case Format::conversations: {
      std::vector<Json> records;
      records.push_back(std::move(object));
      return records;
    }
    case Format::oasst:
      return from_oasst(object, attributes, where);
    case Format::hh_rlhf:
      return from_hh_rlhf(object, where);
    case Format::helpsteer:
      return from_helpsteer(object, attributes, where);
    case Format::helpsteer2:
      return from_helpsteer2(object, attributes, where);
    case Format::sharegpt:
      return from_sharegpt(std::move(object), where);
    case Format::messages:
      return from_messages(std::move(object), where);
    case Format::text:
      return from_text(object, where);
    case Format::auto_detect:
      break;
  }
  fail(ExitCode::bug, {.what = "a format that nobody has looked up", .where = where});
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

RatedLabel::RatedLabel(const Attributes& attributes, double low, double high)
    : attributes_(attributes),
      low_(low),
      high_(high),
      values_(attributes.names.size(), std::numeric_limits<float>::quiet_NaN()) {}

void RatedLabel::rate(const std::string& name, const Json& rating, const std::string& where) {
  const std::optional<size_t> index = attributes_.index(name);
  if (!index || rating.is_null()) return;
  const auto number = [](double value) { return Json(value).dump(); };
  if (!rating.is_number() || !(rating.get<double>() >= low_ && rating.get<double>() <= high_)) {
    fail(ExitCode::data, {.what = "the rating of '" + name + "' cannot be used",
                          .where = where,
                          .found = rating.is_number() ? rating.dump() : kind_of(rating),
                          .expected = "a number from " + number(low_) + " to " + number(high_)});
  }
  const double share = (rating.get<double>() - low_) / (high_ - low_);
  values_[*index] =
      static_cast<float>(round_score(attributes_.min + share * (attributes_.max - attributes_.min), attributes_));
  any_ = true;
}

Json RatedLabel::json() const { return any_ ? Json(make_label(attributes_, values_).text) : Json(nullptr); }

}  // namespace steerlm
