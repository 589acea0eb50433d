#include "hf/steerlm_json.h"

#include <algorithm>
#include <map>
#include <type_traits>

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
  // Of an options struct: value.fields(section) reads its keys, which are named there and nowhere else.
  void operator()(const char* key, auto& value, const auto&... rest) {
    (void)sizeof...(rest);  // range and meaning of a recipe's key
    if (const Json* entry = find(key)) read(key, *entry, value);
  }
  void read(const std::string& key, const Json& entry, std::string& value) const { value = string(key, entry); }
  void read(const std::string& key, const Json& entry, std::int64_t& value) const { value = integer(key, entry); }
  void read(const std::string& key, const Json& entry, bool& value) const {
    if (!entry.is_boolean()) refuse("'" + key + "'", found(entry), "true or false");
    value = entry.get<bool>();
  }
  void read(const std::string& key, const Json& entry, std::vector<std::string>& value) const {
    if (!entry.is_array()) refuse("'" + key + "'", found(entry), "a list of " + key);
    for (const Json& item : entry) value.push_back(string(key, item));
  }
  void read(const std::string& key, const Json& entry, std::map<std::string, std::int64_t>& value) const {
    if (!entry.is_object()) refuse("'" + key + "'", found(entry), "an object");
    for (const auto& [name, number] : entry.items()) value[name] = integer(key, number);
  }
  template <class E>
  requires std::is_enum_v<E>
  void read(const std::string& key, const Json& entry, E& value) const {
    const std::string text = string(key, entry);
    const auto choice = enum_value<E>(text);
    if (!choice)
      refuse("'" + key + "'", found(entry), join(enum_choices<E>(), " or "), suggest(text, enum_choices<E>()));
    value = *choice;
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

// Writes the keys of an options struct.
struct Writer {
  Json& json;

  void operator()(const char* key, const auto& value, const auto&... rest) const {
    (void)sizeof...(rest);
    if constexpr (std::is_enum_v<std::remove_cvref_t<decltype(value)>>)
      json[key] = enum_name(value);
    else
      json[key] = value;
  }
};

AttributeOptions read_attributes(const Json& json, const std::string& where) {
  Section section(json, where + ", attributes");
  AttributeOptions options;
  if (!json.contains("names")) section.refuse("'names'", "nothing", "a list of names");
  options.fields(section);
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
  top("method", result.method);
  const Json* attributes = top.find("attributes");
  if (attributes == nullptr) top.refuse("no key 'attributes'");
  result.attributes = read_attributes(*attributes, where);
  if (const Json* entry = top.find("head")) {
    Section head(*entry, where + ", head");
    HeadOptions options;
    options.fields(head);
    head.finish();
    if (entry->contains("kind")) result.head_kind = options.kind;
    if (entry->contains("bias")) result.head_bias = options.bias;
  }
  if (const Json* entry = top.find("template")) {
    Section section(*entry, where + ", template");
    result.text_template.fields(section);
    section("sha256", result.template_sha256);
    section.finish();
    result.template_given = {entry->contains("name"), entry->contains("system"), entry->contains("special_tokens")};
  }
  top.finish();
  return result;
}

Json dump_steerlm_json(const SteerlmJson& value) {
  Json json;
  if (!value.method.empty()) json["method"] = value.method;
  Json& attributes = json["attributes"];
  if (value.attributes.names.empty()) {
    attributes["names"] = Json::array();
  } else {
    AttributeOptions options = value.attributes;
    const Attributes checked = make_attributes(options);
    for (size_t i = 0; i < checked.names.size(); ++i) options.defaults[checked.names[i]] = checked.defaults[i];
    Writer writer{attributes};
    options.fields(writer);
    attributes["defaults"] = Json::object();  // in the order of the names
    for (const std::string& name : options.names) attributes["defaults"][name] = options.defaults.at(name);
  }
  HeadOptions head{.kind = value.head_kind.value_or(HeadKind::language_model), .bias = value.head_bias.value_or(false)};
  Writer write_head{json["head"]};
  head.fields(write_head);
  json["head"].erase("loss");  // of the training, not of the model
  if (!value.head_bias) json["head"].erase("bias");
  TemplateOptions options = value.text_template;
  Json text_template = Json::object();
  Writer write_template{text_template};
  options.fields(write_template);
  if (!value.template_given.name) text_template.erase("name");
  if (!value.template_given.system) text_template.erase("system");
  if (!value.template_given.special_tokens) text_template.erase("special_tokens");
  if (!value.template_sha256.empty()) text_template["sha256"] = value.template_sha256;
  if (!text_template.empty()) json["template"] = text_template;
  return json;
}

}  // namespace steerlm
