#include "hf/steerlm_json.h"

#include <type_traits>

#include "steerlm/core/error.h"
#include "steerlm/core/json_fields.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

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
  JsonFields section(json, where + ", attributes");
  AttributeOptions options;
  section.require("names");
  options.fields(section);
  section.end();
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
  JsonFields top(json, where);
  top("method", result.method);
  result.attributes = read_attributes(top.require("attributes"), where);
  if (const Json* entry = top.find("head")) {
    JsonFields head(*entry, where + ", head");
    HeadOptions options;
    options.fields(head);
    Writes writes{};
    head("writes", writes);
    head.end();
    result.head_loss = options.loss;
    result.head_pooling = options.pooling;
    if (head.find("kind")) result.head_kind = options.kind;
    if (head.find("bias")) result.head_bias = options.bias;
    if (head.find("writes")) result.head_writes = writes;
  }
  if (const Json* entry = top.find("template")) {
    JsonFields section(*entry, where + ", template");
    result.text_template.fields(section);
    section("sha256", result.template_sha256);
    section.end();
    const auto given = [&](const char* key) { return section.find(key) != nullptr; };
    result.template_given = {given("name"), given("system"), given("special_tokens")};
  }
  top.end();
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
  json["head"]["kind"] = enum_name(value.head_kind.value_or(HeadKind::language_model));
  if (value.head_writes) json["head"]["writes"] = enum_name(*value.head_writes);
  if (is_pairwise(value.head_loss)) json["head"]["loss"] = enum_name(value.head_loss);
  if (value.head_bias) json["head"]["bias"] = *value.head_bias;
  if (value.head_pooling != HeadPooling::last) json["head"]["pooling"] = enum_name(value.head_pooling);
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
