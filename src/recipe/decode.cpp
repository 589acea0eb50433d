#include "recipe/decode.h"

#include <charconv>

#include "recipe/hints.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

std::string found_text(const Yaml& node) {
  if (node.kind == Yaml::Kind::sequence) return "a list";
  if (node.kind == Yaml::Kind::mapping) return "a section";
  if (is_null(node)) return "nothing";
  std::string text = node.text.substr(0, std::min<size_t>(node.text.find('\n'), 60));
  while (find_invalid_utf8(text)) text.pop_back();  // cut inside a character
  if (text.size() < node.text.size()) text += "…";
  return node.quoted ? "the text '" + text + "'" : "'" + text + "'";
}

bool is_scalar(const Yaml& node) { return node.kind == Yaml::Kind::scalar && !node.quoted; }

std::string_view without_plus(std::string_view text) { return text.substr(text.starts_with('+') ? 1 : 0); }

// data.train[0].path -> data.train.path
std::string without_indices(std::string path) {
  for (size_t open = path.find('['); open != std::string::npos; open = path.find('['))
    path.erase(open, path.find(']', open) - open + 1);
  return path;
}

// "train: {steps: …}" of train.steps.
std::string written_out(const std::string& path) {
  std::string text, end;
  for (size_t begin = 0; begin < path.size();) {
    const size_t dot = std::min(path.find('.', begin), path.size());
    text += path.substr(begin, dot - begin) + ": " + (dot < path.size() ? "{" : "…");
    if (dot < path.size()) end += "}";
    begin = dot + 1;
  }
  return text + end;
}

bool is_override(const std::string& where) { return where.starts_with("override '"); }

// The key of an override as it was given: of a step of a pipeline the path here is another one.
std::string given_key(const std::string& where) {
  const size_t begin = where.find('\'') + 1;
  return where.substr(begin, where.find('=') - begin);
}

// How a value is given that the command line takes for another one: the shell takes a pair of quotes off. A value in a
// list or a section that is given as a whole is quoted in there.
std::string quoted_for_shell(const Yaml& node) {
  if (!node.where.ends_with("=" + node.text + "'"))
    return "quote it: \"" + node.text + "\", and put the whole override into single quotes for the shell";
  return "quote it, and for the shell once more: " + shell_word(given_key(node.where) + "=\"" + node.text + "\"");
}

// What an override writes before `end`, the end of its key; "" where that is no key of an override.
std::string given_before(const std::string& where, const std::string& end) {
  if (!is_override(where)) return "";
  const std::string key = given_key(where);
  const std::string above = key.ends_with(end) ? key.substr(0, key.size() - end.size()) : "";
  return above.ends_with('.') ? above : "";
}

// Texts of one form, of which a check of their own says what is expected: none becomes right by quotes.
bool has_a_form(const std::string& path) {
  const std::string key = without_indices(path);
  return key == "device" || key == "shard" || key == "data.fold" || key == "attributes.names" || key == "lora.targets";
}

}  // namespace

void Decoder::note(const std::string& path, Fault fault) {
  faulty_.insert(path.substr(0, path.find_first_of(".[")));
  faults_.push_back(std::move(fault));
}

void Decoder::wrong(const Yaml& node, const std::string& path, const std::string& expected, std::string advice) {
  if (node.kind == Yaml::Kind::refused) return;
  note(path, {.what = "wrong value of '" + path + "'",
              .where = node.where,
              .found = found_text(node),
              .expected = expected,
              .advice = std::move(advice)});
}

void Decoder::wrong_choice(const Yaml& node, const std::string& path, const std::vector<std::string>& choices) {
  wrong(node, path, "one of " + join(choices), node.kind == Yaml::Kind::scalar ? suggest(node.text, choices) : "");
}

void Decoder::unknown_key(const YamlEntry& entry, const std::string& section, const std::vector<std::string>& known) {
  const std::string path = section.empty() ? entry.key : section + "." + entry.key;
  const std::string stage(enum_name(stage_));
  const std::vector<std::string> users = stages_with(without_indices(path));
  // On the command line a key is named from the root of the recipe, "steps.sft." in front.
  const std::string above = given_before(entry.where, path);
  std::string elsewhere = path_ending_in(describe({.stage = stage_}), entry.key);
  if (!elsewhere.empty()) elsewhere = above + elsewhere;
  if (!users.empty() && entry.key.find('.') != std::string::npos) {
    note(path, {.what = "unknown key '" + entry.key + "'",
                .where = entry.where,
                .advice = "dots are for the command line; here it is " + written_out(entry.key)});
    return;
  }
  if (!users.empty()) {
    note(path,
         {.what = "the stage '" + stage + "' has no key '" + path + "'",
          .where = entry.where,
          .advice = "it belongs to " + join(users) + (elsewhere.empty() ? "" : "; here there is '" + elsewhere + "'")});
    return;
  }
  std::string advice = foreign_advice(entry.key, stage_, above);
  if (advice.empty()) advice = suggest(entry.key, known, given_before(entry.where, entry.key));
  if (advice.empty() && !elsewhere.empty()) advice = "did you mean '" + elsewhere + "'?";
  if (advice.empty()) advice = "known are " + join(known);
  note(path, {.what = "unknown key '" + path + "'", .where = entry.where, .advice = advice});
}

bool Decoder::in_range(const Yaml& node, double number, const std::string& path, const KeyInfo& limits) {
  const Range& range = limits.range;
  const bool low = range.open_min ? number > range.min : number >= range.min;
  const bool high = range.open_max ? number < range.max : number <= range.max;
  if (!low || !high)
    note(path, {.what = "'" + path + "' is out of range",
                .where = node.where,
                .found = node.text,
                .expected = expected_text(limits)});
  return low && high;
}

void Decoder::value(const Yaml& node, bool& out, const std::string& path, const KeyInfo&) {
  if (is_scalar(node) && (node.text == "true" || node.text == "false"))
    out = node.text == "true";
  else
    wrong(node, path, "true or false");
}

void Decoder::value(const Yaml& node, std::int64_t& out, const std::string& path, const KeyInfo& limits) {
  KeyInfo info = limits;
  info.type = KeyInfo::Type::integer;
  const bool has_auto = limits.shape == Shape::count_or_auto && node.kind == Yaml::Kind::scalar;
  if (has_auto && node.text == "auto") {
    out = 0;
    return;
  }
  if (!is_scalar(node) || !looks_like_integer(node.text)) {
    wrong(node, path, expected_text(info), has_auto ? suggest(node.text, {"auto"}) : "");
    return;
  }
  const std::string_view digits = without_plus(node.text);
  std::int64_t number = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc{}) {
    wrong(node, path, "an integer of 64 bits");
  } else if (in_range(node, static_cast<double>(number), path, info)) {
    out = number;
  }
}

void Decoder::value(const Yaml& node, double& out, const std::string& path, const KeyInfo& limits) {
  KeyInfo info = limits;
  info.type = KeyInfo::Type::number;
  if (!is_scalar(node) || !looks_like_number(node.text)) {
    wrong(node, path, expected_text(info));
    return;
  }
  const std::string_view digits = without_plus(node.text);
  double number = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc{}) {
    wrong(node, path, "a number that a double can hold");
  } else if (in_range(node, number, path, info)) {
    out = number;
  }
}

void Decoder::value(const Yaml& node, std::string& out, const std::string& path, const KeyInfo& limits) {
  if (limits.shape == Shape::path_or_section && node.kind == Yaml::Kind::mapping) {
    for (const YamlEntry& entry : node.entries) {
      if (entry.key == "path")
        value(entry.value, out, path + ".path", {});
      else
        unknown_key(entry, path, {"path"});
    }
    return;
  }
  if (node.kind != Yaml::Kind::scalar || is_null(node)) {
    KeyInfo info = limits;
    info.type = KeyInfo::Type::text;
    const bool empty = is_override(node.where) && node.kind == Yaml::Kind::scalar && node.text.empty();
    wrong(node, path, expected_text(info), empty ? "for an empty text " + quoted_for_shell(node) : "");
  } else if (!node.quoted && !has_a_form(path) &&
             (looks_like_number(node.text) || node.text == "true" || node.text == "false")) {
    wrong(node, path, "a text", is_override(node.where) ? quoted_for_shell(node) : "quote it: \"" + node.text + "\"");
  } else {
    out = node.text;
  }
}

void Decoder::value(const Yaml& node, std::map<std::string, std::int64_t>& out, const std::string& path,
                    const KeyInfo& limits) {
  out.clear();
  if (node.kind != Yaml::Kind::mapping) {
    wrong(node, path, expected_text({.type = KeyInfo::Type::map, .item = KeyInfo::Type::integer}));
    return;
  }
  for (const YamlEntry& entry : node.entries) value(entry.value, out[entry.key], path + "." + entry.key, limits);
}

void Decoder::value(const Yaml& node, std::map<std::string, double>& out, const std::string& path,
                    const KeyInfo& limits) {
  out.clear();
  if (node.kind != Yaml::Kind::mapping) {
    wrong(node, path, expected_text({.type = KeyInfo::Type::map, .item = KeyInfo::Type::number}));
    return;
  }
  for (const YamlEntry& entry : node.entries) value(entry.value, out[entry.key], path + "." + entry.key, limits);
}

void Decoder::value(const Yaml& node, std::map<std::string, std::string>& out, const std::string& path,
                    const KeyInfo&) {
  out.clear();
  if (node.kind != Yaml::Kind::mapping) {
    wrong(node, path, expected_text({.type = KeyInfo::Type::map, .item = KeyInfo::Type::text}));
    return;
  }
  for (const YamlEntry& entry : node.entries) {
    const bool scalar = entry.value.kind == Yaml::Kind::scalar;
    std::int64_t number = 0;
    if (scalar && entry.value.text == "max") {
      out[entry.key] = "max";
    } else if (is_scalar(entry.value) && looks_like_integer(entry.value.text)) {
      value(entry.value, number, path + "." + entry.key, {});
      out[entry.key] = std::to_string(number);
    } else {
      wrong(entry.value, path + "." + entry.key, "an integer or max", scalar ? suggest(entry.value.text, {"max"}) : "");
    }
  }
}

}  // namespace steerlm
