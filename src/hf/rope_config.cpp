#include "hf/rope_config.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "steerlm/core/fields.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

constexpr std::int64_t longest = 1 << 30;

RopeKind read_kind(JsonFields& section) {
  const Json* type = section.find("rope_type");
  const Json* older = section.find("type");
  if (type != nullptr && older != nullptr && *type != *older)
    section.refuse("'rope_type' and 'type' do not agree", dump_json(*type), dump_json(*older));
  if (type == nullptr) type = older;
  if (type == nullptr) return RopeKind::plain;
  const auto kind = type->is_string() ? enum_value<RopeKind>(type->get<std::string>()) : std::nullopt;
  if (!kind) section.refuse("'rope_type' is not implemented", dump_json(*type), join(enum_choices<RopeKind>(), " or "));
  return *kind;
}

// The keys of one kind; one that only another kind has changes nothing in Transformers either.
RopeScaling read_scaling(JsonFields& reader, JsonFields& section, const ModelConfig& model) {
  RopeScaling scaling{.kind = read_kind(section)};
  if (scaling.kind == RopeKind::plain) return scaling;
  scaling.factor = section.positive("factor");
  if (scaling.factor < 1) section.refuse_value("factor", *section.find("factor"), "a number from 1");
  if (scaling.kind == RopeKind::yarn || scaling.kind == RopeKind::llama3) {
    // Beside the section it wins over the section's own (modeling_rope_utils.py, standardize_rope_params).
    JsonFields& from = reader.find("original_max_position_embeddings") != nullptr ? reader : section;
    scaling.original_max_position_embeddings =
        from.integer("original_max_position_embeddings", 1, longest, model.max_position_embeddings);
  }
  if (scaling.kind == RopeKind::llama3) {
    scaling.low_freq_factor = section.positive("low_freq_factor");
    scaling.high_freq_factor = section.positive("high_freq_factor");
    if (scaling.high_freq_factor <= scaling.low_freq_factor)
      section.refuse_value("high_freq_factor", *section.find("high_freq_factor"), "more than 'low_freq_factor'");
  }
  if (scaling.kind == RopeKind::yarn) {
    scaling.beta_fast = section.positive("beta_fast", 32.0);
    scaling.beta_slow = section.positive("beta_slow", 1.0);
    if (section.has("attention_factor") && section.find("attention_factor") != nullptr)
      scaling.attention_factor = section.positive("attention_factor");
    scaling.mscale = section.optional_number("mscale");
    scaling.mscale_all_dim = section.optional_number("mscale_all_dim");
    // Transformers' get("truncate", True): a key that is null is false there.
    scaling.truncate = !section.has("truncate") || section.optional_flag("truncate").value_or(false);
  }
  return scaling;
}

// `finetuned` says that a model was trained with its scaling.
void check_known(JsonFields& section) {
  constexpr std::string_view known[] = {"rope_type",
                                        "type",
                                        "rope_theta",
                                        "factor",
                                        "beta_fast",
                                        "beta_slow",
                                        "mscale",
                                        "mscale_all_dim",
                                        "truncate",
                                        "attention_factor",
                                        "low_freq_factor",
                                        "high_freq_factor",
                                        "finetuned",
                                        "partial_rotary_factor",
                                        "original_max_position_embeddings"};
  for (const auto& [key, value] : section.json().items()) {
    if (value.is_null() || std::ranges::find(known, key) != std::end(known)) continue;
    section.refuse("the key '" + key + "' is not known, and might change the rotary frequencies", dump_json(value));
  }
}

bool same(const RopeScaling& a, const RopeScaling& b) {
  Json left, right;
  dump_rope({.rope_scaling = a}, left);
  dump_rope({.rope_scaling = b}, right);
  return left == right;
}

}  // namespace

void read_rope(JsonFields& reader, ModelConfig& model) {
  std::optional<double> theta;
  std::optional<RopeScaling> scaling;
  const auto take_theta = [&](JsonFields& from) {
    if (from.find("rope_theta") == nullptr) return;
    const double value = from.positive("rope_theta");
    if (theta && *theta != value)
      from.refuse("'rope_theta' is given twice", std::to_string(value), std::to_string(*theta));
    theta = value;
  };
  take_theta(reader);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Json* value = reader.find(key);
    if (value == nullptr) continue;
    if (!value->is_object()) reader.refuse(std::string("'") + key + "'", dump_json(*value), "an object or null");
    JsonFields section(*value, reader.where() + ", " + key);
    for (const auto& [name, entry] : value->items()) {
      if (entry.is_object())
        section.refuse(std::string("'") + key + "' for kinds of layers is not implemented", dump_json(*value));
    }
    section.only("partial_rotary_factor", {1.0});
    check_known(section);
    take_theta(section);
    const RopeScaling found = read_scaling(reader, section, model);
    if (scaling && !same(*scaling, found))
      section.refuse("'rope_parameters' and 'rope_scaling' do not agree", dump_json(*value));
    scaling = found;
  }
  model.rope_theta = theta.value_or(10000.0);
  model.rope_scaling = scaling.value_or(RopeScaling{});
  if (model.rope_scaling.kind == RopeKind::dynamic && model.head_dim <= 2)
    reader.refuse("'rope_type' dynamic needs wider heads", std::to_string(model.head_dim), "a head_dim above 2");
  // A ramp of yarn divides by the logarithm of theta.
  if (model.rope_scaling.kind == RopeKind::yarn && model.rope_theta <= 1)
    reader.refuse("'rope_theta'", std::to_string(model.rope_theta), "more than 1, for yarn");
}

void dump_rope(const ModelConfig& model, Json& json) {
  const RopeScaling& s = model.rope_scaling;
  json["rope_theta"] = model.rope_theta;
  json["rope_scaling"] = nullptr;
  if (s.kind == RopeKind::plain) return;
  Json& section = json["rope_scaling"] = {{"rope_type", enum_name(s.kind)}, {"factor", s.factor}};
  if (s.kind == RopeKind::llama3) {
    section["low_freq_factor"] = s.low_freq_factor;
    section["high_freq_factor"] = s.high_freq_factor;
  }
  if (s.kind == RopeKind::yarn || s.kind == RopeKind::llama3)
    section["original_max_position_embeddings"] = s.original_max_position_embeddings;
  if (s.kind != RopeKind::yarn) return;
  section["beta_fast"] = s.beta_fast;
  section["beta_slow"] = s.beta_slow;
  if (s.attention_factor) section["attention_factor"] = *s.attention_factor;
  if (s.mscale) section["mscale"] = *s.mscale;
  if (s.mscale_all_dim) section["mscale_all_dim"] = *s.mscale_all_dim;
  section["truncate"] = s.truncate;
}

}  // namespace steerlm
