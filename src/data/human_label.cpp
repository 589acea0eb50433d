#include "steerlm/data/human_label.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "data/json_access.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

std::string name_of(const std::string& entry) { return entry.substr(0, entry.find(':')); }

bool has_entry(const std::string& label, const std::string& entry) {
  return ("," + label + ",").find("," + entry + ",") != std::string::npos;
}

bool has_name(const std::string& label, const std::string& name) {
  return ("," + label).find("," + name + ":") != std::string::npos;
}

// How far the mean of a distribution over integers can be above its most probable value, where `room` values are: it is
// furthest where that value and the k largest ones share the probability, (room + … + (room - k + 1)) / (k + 1).
double furthest_mean(int room) {
  double furthest = 0, sum = 0;
  for (int k = 1; k <= room; ++k) {
    sum += room - k + 1;
    if (sum / (k + 1) <= furthest) break;
    furthest = sum / (k + 1);
  }
  return furthest;
}

// Whether a predictor says `value` where its score is `score`: the rounded score (regression), or the most probable
// value, of which the score is the mean (language model). A predictor of another range is believed the rounded score.
bool is_of_score(int value, double score, const Attributes& attributes) {
  const double rounded = std::nearbyint(score);
  if (value == rounded || value == std::clamp<double>(rounded, attributes.min, attributes.max)) return true;
  if (value < attributes.min || value > attributes.max) return false;
  constexpr double tolerance = 1e-3;  // scores are floats
  return score - value <= furthest_mean(attributes.max - value) + tolerance &&
         value - score <= furthest_mean(value - attributes.min) + tolerance;
}

// Whether an annotation wrote `label` and `scores` of the turn: a number for each attribute of the label, in its order,
// and each value one that the number stands for, or a person's (`gt_label`). `data measure` may have added values.
bool is_annotated(const Json& turn, const Attributes& attributes) {
  const Json* label = find_member(turn, "label");
  const Json* scores = find_member(turn, "scores");
  const Json* kept = find_member(turn, "gt_label");
  const Json* measures = find_member(turn, "measures");
  if (label == nullptr || !label->is_string() || scores == nullptr || !scores->is_object() || scores->empty())
    return false;
  auto score = scores->begin();
  for (const std::string& entry : split(label->get<std::string>())) {
    const std::string name = name_of(entry);
    const bool measured = measures != nullptr && measures->is_object() && measures->contains(name);
    if (score == scores->end() || name != score.key()) {
      if (!measured) return false;
      continue;
    }
    int value = 0;
    const char* end = entry.data() + entry.size();
    const auto [stop, error] = std::from_chars(entry.data() + std::min(name.size() + 1, entry.size()), end, value);
    const std::optional<double> number = number_of(*score);
    if (error != std::errc{} || stop != end || !number) return false;
    const bool given = kept != nullptr && kept->is_string() && has_entry(kept->get<std::string>(), entry);
    if (!measured && !given && !is_of_score(value, *number, attributes)) return false;
    ++score;
  }
  return score == scores->end();
}

// Whether `data measure` replaced a value of the label that people gave, and kept that label in `gt_label`.
bool is_measured_anew(const Json& turn, const std::string& kept) {
  const Json* measures = find_member(turn, "measures");
  if (measures == nullptr || !measures->is_object()) return false;
  for (const auto& [name, value] : measures->items()) {
    if (has_name(kept, name)) return true;
  }
  return false;
}

}  // namespace

Json human_label(const Json& turn, const Attributes& attributes) {
  const auto said = [&](const char* key) {
    const Json* label = find_member(turn, key);
    return label == nullptr || *label == "" ? Json(nullptr) : *label;
  };
  Json label = said("label"), kept = said("gt_label");
  if (label.is_null() || is_annotated(turn, attributes)) return kept;
  if (!kept.is_string()) return label;
  const std::string more = kept;
  if (is_measured_anew(turn, more)) return kept;
  if (!label.is_string()) return label;
  std::string both = label;
  for (const std::string& entry : split(more)) {
    if (!has_name(both, name_of(entry))) both += "," + entry;
  }
  return both;
}

}  // namespace steerlm
