#include <algorithm>
#include <cmath>

#include "recipe/describe.h"
#include "recipe/resolve.h"
#include "steerlm/core/json.h"
#include "steerlm/recipe/reference.h"

namespace steerlm {
namespace {

Json object_schema(const std::vector<KeyInfo>& keys);

Json number_json(double value) {
  return value == std::floor(value) && std::fabs(value) < 1e15 ? Json(static_cast<std::int64_t>(value)) : Json(value);
}

void add_range(const Range& range, Json& schema) {
  if (range.min != Range{}.min) schema[range.open_min ? "exclusiveMinimum" : "minimum"] = number_json(range.min);
  if (range.max != Range{}.max) schema[range.open_max ? "exclusiveMaximum" : "maximum"] = number_json(range.max);
}

Json scalar_schema(KeyInfo::Type type, const Range& range) {
  Json schema = Json::object();
  switch (type) {
    case KeyInfo::Type::boolean:
      schema["type"] = "boolean";
      break;
    case KeyInfo::Type::integer:
      schema["type"] = "integer";
      break;
    case KeyInfo::Type::number:
      schema["type"] = "number";
      break;
    default:
      schema["type"] = "string";
  }
  if (type == KeyInfo::Type::integer || type == KeyInfo::Type::number) add_range(range, schema);
  return schema;
}

Json value_json(const Yaml& node) {
  if (node.kind == Yaml::Kind::sequence) {
    Json list = Json::array();
    for (const Yaml& item : node.items) list.push_back(value_json(item));
    return list;
  }
  if (node.kind == Yaml::Kind::mapping) {
    Json map = Json::object();
    for (const YamlEntry& entry : node.entries) map[entry.key] = value_json(entry.value);
    return map;
  }
  return node.quoted ? Json(node.text) : Json::parse(node.text);
}

Json list_schema(const KeyInfo& key) {
  Json item = key.item == KeyInfo::Type::section ? object_schema(key.children) : scalar_schema(key.item, key.range);
  if (key.item == KeyInfo::Type::section) {
    item["required"] = Json::array({"path"});
    item = {{"anyOf", Json::array({Json{{"type", "string"}}, item})}};
  }
  Json schema = {{"type", "array"}, {"items", item}};
  if (key.length > 0) schema["minItems"] = schema["maxItems"] = key.length;
  if (key.shape == Shape::one_or_list) {
    Json forms = key.item == KeyInfo::Type::section ? item["anyOf"] : Json::array({item});
    forms.push_back(schema);
    return {{"anyOf", forms}};
  }
  if (key.shape == Shape::all_or_list) return {{"anyOf", Json::array({Json{{"const", "all"}}, schema})}};
  return schema;
}

Json key_schema(const KeyInfo& key) {
  Json schema;
  switch (key.type) {
    case KeyInfo::Type::section:
      schema = object_schema(key.children);
      break;
    case KeyInfo::Type::list:
      schema = list_schema(key);
      break;
    case KeyInfo::Type::choice:
      schema["enum"] = key.choices;
      break;
    case KeyInfo::Type::map:
      schema = {{"type", "object"},
                {"additionalProperties", {{"type", key.item == KeyInfo::Type::number ? "number" : "integer"}}}};
      if (key.item == KeyInfo::Type::text) {
        schema["additionalProperties"] = {{"anyOf", Json::array({Json{{"type", "integer"}}, Json{{"const", "max"}}})}};
      }
      if (key.item == KeyInfo::Type::choice) schema["additionalProperties"] = {{"enum", key.choices}};
      break;
    default:
      schema = scalar_schema(key.type, key.range);
      if (key.shape == Shape::count_or_auto) schema = {{"anyOf", Json::array({Json{{"const", "auto"}}, schema})}};
  }
  if (key.shape == Shape::path_or_section && key.type == KeyInfo::Type::section) {
    schema = {{"anyOf", Json::array({Json{{"type", "string"}}, schema})}};
  } else if (key.shape == Shape::path_or_section) {
    const Json section = {{"type", "object"},
                          {"properties", {{"path", {{"type", "string"}}}}},
                          {"required", Json::array({"path"})},
                          {"additionalProperties", false}};
    schema = {{"anyOf", Json::array({schema, section})}};
  }
  schema["description"] = key.meaning;
  const bool empty_text = key.type == KeyInfo::Type::text && key.value.text.empty();
  const bool has_default =
      key.type != KeyInfo::Type::section && key.type != KeyInfo::Type::list && key.type != KeyInfo::Type::map;
  if (has_default && !key.off && !empty_text) schema["default"] = value_json(key.value);
  return schema;
}

Json object_schema(const std::vector<KeyInfo>& keys) {
  Json properties = Json::object();
  for (const KeyInfo& key : keys) properties[key.name] = key_schema(key);
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
}

Json method_schema(Stage stage, Method method) {
  Recipe recipe{.stage = stage, .method = method};
  apply_method_defaults(recipe);
  return object_schema(describe(recipe));
}

// A default that depends on the method is none that a schema can tell.
void drop_unequal_defaults(Json& schema, const Json& other) {
  if (!schema.is_object()) return;
  if (schema.contains("default") && !schema["default"].is_object() &&
      schema.value("default", Json()) != other.value("default", Json()))
    schema.erase("default");
  for (auto& [key, value] : schema.items()) {
    if (other.contains(key)) drop_unequal_defaults(value, other[key]);
  }
}

// One stage; `step`: as a step of a pipeline, which has a name and no run_dir.
Json stage_schema(Stage stage, bool step) {
  Json schema = method_schema(stage, Method::steerlm);
  for (const Method other : {Method::helpsteer, Method::helpsteer2})
    drop_unequal_defaults(schema, method_schema(stage, other));
  if (has_folder_attributes(stage))
    schema["properties"]["attributes"]["properties"]["min"].erase("default");  // it is the model folder's
  const std::string name(enum_name(stage));
  Json required = Json::array({"stage"});
  for (std::string_view path : required_keys(stage)) {
    const std::string top(path.substr(0, path.find('.')));
    const bool listed = std::find(required.begin(), required.end(), Json(top)) != required.end();
    if (!listed && (!step || top != "run_dir")) required.push_back(top);
  }
  schema["properties"]["stage"] = {{"const", name}};
  if (step) {
    schema["properties"].erase("run_dir");
    schema["properties"]["name"] = {{"type", "string"}, {"pattern", "^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$"}};
    required.push_back("name");
  }
  if (stage == Stage::pipeline) {
    Json steps = Json::array();
    for (const auto& [other, other_name] : EnumNames<Stage>::table) {
      if (other != Stage::pipeline) steps.push_back({{"$ref", "#/$defs/step-" + std::string(other_name)}});
    }
    schema["properties"]["steps"] = {{"type", "array"}, {"minItems", 1}, {"items", {{"oneOf", steps}}}};
  }
  schema["required"] = required;
  return schema;
}

}  // namespace

std::string recipe_schema() {
  Json stages = Json::array();
  Json definitions = Json::object();
  for (const auto& [stage, name] : EnumNames<Stage>::table) {
    stages.push_back({{"$ref", "#/$defs/" + std::string(name)}});
    definitions[std::string(name)] = stage_schema(stage, false);
    if (stage != Stage::pipeline) definitions["step-" + std::string(name)] = stage_schema(stage, true);
  }
  const Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                       {"title", "steerlm recipe"},
                       {"oneOf", stages},
                       {"$defs", definitions}};
  return schema.dump(2) + "\n";
}

}  // namespace steerlm
