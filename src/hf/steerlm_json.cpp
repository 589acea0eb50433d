#include "hf/steerlm_json.h"

#include <algorithm>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

// One object of the file: typed access to its keys, and a complaint about keys that nobody asked
// for.
class Section {
 public:
  Section(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json_.is_object()) refuse("not an object", found(json_));
  }

  [[noreturn]] void refuse(std::string what, std::string found_text = "", std::string expected = "",
                           std::string advice = "") const {
    fail(ExitCode::model, {.what = std::move(what),
                           .where = where_,
                           .found = std::move(found_text),
                           .expected = std::move(expected),
                           .advice = std::move(advice)});
  }
  const Json* find(const std::string& key) {
    known_.push_back(key);
    const auto entry = json_.find(key);
    return entry == json_.end() ? nullptr : &*entry;
  }
  void read(const std::string& key, std::string& value) {
    if (const Json* entry = find(key)) value = string(key, *entry);
  }
  void read(const std::string& key, std::int64_t& value) {
    if (const Json* entry = find(key)) value = integer(key, *entry);
  }
  template <class E>
  std::optional<E> choice(const std::string& key) {
    const Json* entry = find(key);
    if (entry == nullptr) return std::nullopt;
    const std::string text = string(key, *entry);
    const auto value = enum_value<E>(text);
    if (!value)
      refuse("'" + key + "'", found(*entry), join(enum_choices<E>(), " or "), suggest(text, enum_choices<E>()));
    return value;
  }
  std::string string(const std::string& key, const Json& entry) const {
    if (!entry.is_string()) refuse("'" + key + "'", found(entry), "a string");
    return entry.get<std::string>();
  }
  std::int64_t integer(const std::string& key, const Json& entry) const {
    const bool fits =
        entry.is_number_integer() && (!entry.is_number_unsigned() || entry.get<std::uint64_t>() <= 1'000'000'000u);
    if (!fits) refuse("'" + key + "'", found(entry), "an integer");
    return entry.get<std::int64_t>();
  }
  void finish() const {
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        refuse("unknown key '" + key + "'", "", join(known_), suggest(key, known_));
      }
    }
  }
  static std::string found(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

 private:
  const Json& json_;
  std::string where_;
  std::vector<std::string> known_;
};

AttributeOptions read_attributes(const Json& json, const std::string& where) {
  Section section(json, where + ", attributes");
  AttributeOptions options;
  const Json* names = section.find("names");
  if (names == nullptr || !names->is_array())
    section.refuse("'names'", names == nullptr ? "nothing" : Section::found(*names), "a list of names");
  for (const Json& name : *names) options.names.push_back(section.string("names", name));
  section.read("min", options.min);
  section.read("max", options.max);
  if (const Json* defaults = section.find("defaults")) {
    if (!defaults->is_object()) section.refuse("'defaults'", Section::found(*defaults), "an object");
    for (const auto& [name, value] : defaults->items()) options.defaults[name] = section.integer("defaults", value);
  }
  section.finish();
  try {
    const Attributes checked = make_attributes(options);
    for (size_t i = 0; i < checked.names.size(); ++i) options.defaults[checked.names[i]] = checked.defaults[i];
  } catch (const Error& error) {  // the same rules as in a recipe, but the folder is at fault
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults) fault.where = where + (fault.where.empty() ? "" : ", " + fault.where);
    throw Error(ExitCode::model, faults);
  }
  return options;
}

}  // namespace

SteerlmJson parse_steerlm_json(const Json& json, const std::string& where) {
  SteerlmJson result;
  Section top(json, where);
  top.read("method", result.method);
  const Json* attributes = top.find("attributes");
  if (attributes == nullptr) top.refuse("no key 'attributes'");
  result.attributes = read_attributes(*attributes, where);
  if (const Json* entry = top.find("head")) {
    Section head(*entry, where + ", head");
    result.head_kind = head.choice<HeadKind>("kind");
    head.choice<HeadLoss>("loss");
    if (const Json* bias = head.find("bias")) {
      if (!bias->is_boolean()) head.refuse("'bias'", Section::found(*bias), "true or false");
      result.head_bias = bias->get<bool>();
    }
    head.finish();
  }
  if (const Json* entry = top.find("template")) {
    Section section(*entry, where + ", template");
    result.text_template.name = section.choice<TemplateName>("name").value_or(TemplateName::steerlm);
    result.text_template.special_tokens = section.choice<SpecialTokens>("special_tokens").value_or(SpecialTokens::text);
    section.read("system", result.text_template.system);
    section.read("sha256", result.template_sha256);
    section.finish();
  }
  top.finish();
  return result;
}

Json dump_steerlm_json(const SteerlmJson& value) {
  Json json;
  if (!value.method.empty()) json["method"] = value.method;
  json["attributes"]["names"] = value.attributes.names;
  if (!value.attributes.names.empty()) {
    json["attributes"]["min"] = value.attributes.min;
    json["attributes"]["max"] = value.attributes.max;
    const Attributes attributes = make_attributes(value.attributes);
    for (size_t i = 0; i < attributes.names.size(); ++i)
      json["attributes"]["defaults"][attributes.names[i]] = attributes.defaults[i];
  }
  json["head"]["kind"] = enum_name(value.head_kind.value_or(HeadKind::language_model));
  if (value.head_bias) json["head"]["bias"] = *value.head_bias;
  json["template"] = {{"name", enum_name(value.text_template.name)},
                      {"special_tokens", enum_name(value.text_template.special_tokens)},
                      {"system", value.text_template.system}};
  if (!value.template_sha256.empty()) json["template"]["sha256"] = value.template_sha256;
  return json;
}

}  // namespace steerlm
