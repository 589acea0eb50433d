#include "steerlm/text/attributes.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"
#include "steerlm/text/label_advice.h"

namespace steerlm {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_name(std::string_view text) {
  return !text.empty() && is_letter(text[0]) &&
         std::ranges::all_of(text, [](char c) { return is_letter(c) || is_digit(c); });
}

std::string quoted(std::string_view text) { return std::string(1, '\'').append(text) + '\''; }

std::string range_text(std::int64_t min, std::int64_t max) {
  return "an integer from " + std::to_string(min) + " to " + std::to_string(max);
}

// -?(0|[1-9][0-9]*)
std::optional<std::int64_t> parse_integer(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.empty() || !std::ranges::all_of(digits, is_digit) || (digits[0] == '0' && digits.size() > 1))
    return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::numeric_limits<std::int64_t>::max();  // out of every range
  return value;
}

void check_names(const AttributeOptions& options, std::vector<Fault>& faults) {
  for (size_t i = 0; i < options.names.size(); ++i) {
    const std::string& name = options.names[i];
    const std::string where = "attributes.names[" + std::to_string(i) + "]";
    if (!is_name(name)) {
      faults.push_back({.what = "not a name for an attribute",
                        .where = where,
                        .found = quoted(name),
                        .expected = "letters, digits and '_', not starting with a digit"});
    } else if (std::find(options.names.begin(), options.names.begin() + static_cast<std::ptrdiff_t>(i), name) !=
               options.names.begin() + static_cast<std::ptrdiff_t>(i)) {
      faults.push_back({.what = "the attribute '" + name + "' is named twice", .where = where});
    }
  }
}

[[noreturn]] void fail_label(const std::string& what, const std::string& where, std::string_view found,
                             std::string expected, std::string advice = "") {
  fail(ExitCode::data, {.what = what,
                        .where = where,
                        .found = quoted(found),
                        .expected = std::move(expected),
                        .advice = std::move(advice)});
}

// What to do about a value that is an integer and not in the range.
std::string advice_for_range(const Attributes& attributes, std::int64_t value) {
  const bool above = value > attributes.max;
  if (value < -largest_attribute_value || value > largest_attribute_value) return "mend the rating";
  const std::string number = std::to_string(value);
  return "if ratings " + std::string(above ? "go up to " : "begin at ") + number + ", say so with attributes." +
         (above ? "max: " : "min: ") + number + " in a recipe, " + (above ? "--max " : "--min ") + number +
         " to `steerlm data`; for a model that is trained already bring them into its range";
}

// "name:integer"
void parse_entry(const Attributes& attributes, std::string_view entry, const std::string& where,
                 std::vector<float>& values) {
  const size_t colon = entry.find(':');
  if (colon == std::string_view::npos) {
    fail_label("the label has an entry without a value", where, entry, "name:integer, entries joined by commas");
  }
  const std::string_view name = entry.substr(0, colon);
  const std::string_view number = entry.substr(colon + 1);
  const auto index = attributes.index(name);
  if (!index) {
    fail_label("the label has an unknown attribute", where, name, "one of " + join(attributes.names),
               suggest(name, attributes.names));
  }
  const auto value = parse_integer(number);
  if (!value || *value < attributes.min || *value > attributes.max) {
    fail_label("the label's value of '" + std::string(name) + "' is " + (value ? "out of range" : "not an integer"),
               where, number, range_text(attributes.min, attributes.max),
               value ? advice_for_range(attributes, *value) : advice_for_label_value(number));
  }
  if (!std::isnan(values[*index]))
    fail_label("the label names an attribute twice", where, name, "each attribute at most once");
  values[*index] = static_cast<float>(*value);
}

}  // namespace

std::string advice_for_label_value(std::string_view number) {
  std::string written(number);
  std::erase(written, ' ');
  const std::string each = "jq -c '(.. | objects | .label | strings) |= ";
  if (written != number && parse_integer(written))
    return "write it without spaces: " + each + "gsub(\" \"; \"\")' FILE > NEW.jsonl";
  double real = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), real);
  if (error != std::errc{} || end != number.data() + number.size() || !std::isfinite(real)) return "";
  return "round it: " + each +
         "(split(\",\") | map(split(\":\") | \"\\(.[0]):\\(.[1] | tonumber | round)\") | join(\",\"))' FILE > "
         "NEW.jsonl";
}

std::optional<size_t> Attributes::index(std::string_view name) const {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<size_t>(found - names.begin());
}

Attributes make_attributes(const AttributeOptions& options) {
  std::vector<Fault> faults;
  check_names(options, faults);
  for (const auto& [key, value] :
       {std::pair{"attributes.min", options.min}, std::pair{"attributes.max", options.max}}) {
    if (value < -largest_attribute_value || value > largest_attribute_value) {
      faults.push_back({.what = "out of range",
                        .where = key,
                        .found = std::to_string(value),
                        .expected = range_text(-largest_attribute_value, largest_attribute_value)});
    }
  }
  if (options.min >= options.max) {
    faults.push_back({.what = "the range of the attributes is empty",
                      .where = "attributes.max",
                      .found = std::to_string(options.max),
                      .expected = "more than attributes.min, which is " + std::to_string(options.min)});
  }
  for (const auto& [name, value] : options.defaults) {
    const std::string where = "attributes.defaults." + name;
    if (std::ranges::find(options.names, name) == options.names.end()) {
      faults.push_back(
          {.what = "a default for '" + name + "', which is not an attribute",
           .where = where,
           .expected = options.names.empty() ? "none, as attributes.names is empty" : "one of " + join(options.names),
           .advice = suggest(name, options.names)});
    } else if (options.min < options.max && (value < options.min || value > options.max)) {
      faults.push_back({.what = "the default of '" + name + "' is out of range",
                        .where = where,
                        .found = std::to_string(value),
                        .expected = range_text(options.min, options.max)});
    }
  }
  if (!faults.empty()) throw Error(ExitCode::recipe, std::move(faults));

  Attributes attributes{
      .names = options.names, .min = static_cast<int>(options.min), .max = static_cast<int>(options.max)};
  for (const std::string& name : options.names) {
    const auto given = options.defaults.find(name);
    attributes.defaults.push_back(static_cast<int>(given == options.defaults.end() ? options.min : given->second));
  }
  return attributes;
}

size_t named_attribute(const Attributes& attributes, const std::string& name, const std::string& where) {
  const auto index = attributes.index(name);
  if (!index) {
    fail(ExitCode::recipe, {.what = "unknown attribute '" + name + "'",
                            .where = where,
                            .expected = "one of " + join(attributes.names),
                            .advice = suggest(name, attributes.names)});
  }
  return *index;
}

Label parse_label(const Attributes& attributes, std::string_view text, const std::string& where, LabelFaults faults) {
  if (!attributes.declared()) return {.text = std::string(text), .values = {}};
  std::vector<float> values(attributes.names.size(), std::numeric_limits<float>::quiet_NaN());
  for (const std::string& entry : text.empty() ? std::vector<std::string>() : split(text)) {
    try {
      parse_entry(attributes, entry, where, values);
    } catch (const Error&) {
      if (faults == LabelFaults::error) throw;
    }
  }
  return make_label(attributes, values);
}

Label make_label(const Attributes& attributes, std::span<const float> values) {
  Label label{.text = "", .values = {values.begin(), values.end()}};
  for (size_t i = 0; i < attributes.names.size(); ++i) {
    if (std::isnan(values[i])) continue;
    if (!label.text.empty()) label.text += ',';
    label.text += attributes.names[i] + ':' + std::to_string(std::lrint(values[i]));
  }
  return label;
}

int round_score(double score, const Attributes& attributes) {
  if (std::isnan(score)) {
    fail(ExitCode::model,
         {.what = "the predictor gives a score that is not a number", .advice = "its weights may be damaged"});
  }
  return static_cast<int>(std::clamp(std::nearbyint(score), double(attributes.min), double(attributes.max)));
}

}  // namespace steerlm
