// What a recipe says about attributes and templates; model folders hold the same (contracts.md section 6).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fields.h"

namespace steerlm {

// Values travel as float: every integer of this size is one exactly.
inline constexpr std::int64_t largest_attribute_value = 1'000'000;

// The dials: names in the order in which labels are written, one integer range for all.
struct AttributeOptions {
  std::vector<std::string> names;  // empty: none declared, labels are used as written
  std::int64_t min = 0;
  std::int64_t max = 4;
  std::map<std::string, std::int64_t> defaults;  // for steering; a name without one gets min

  void fields(auto& field) {
    field("names", names,
          "attribute names, in the order in which labels are written; []: none, which sft takes by itself where no "
          "training record has a label");
    constexpr Range range = between(-largest_attribute_value, largest_attribute_value);
    field("min", min, range, "smallest value of every attribute");
    field("max", max, range, "largest value of every attribute");
    field("defaults", defaults, "values used for steering where none is asked for; a name without one gets min");
  }
};

enum class TemplateName { steerlm, plain, chatml, llama3 };
template <>
struct EnumNames<TemplateName> {
  static constexpr std::array<std::pair<TemplateName, std::string_view>, 4> table{{{TemplateName::steerlm, "steerlm"},
                                                                                   {TemplateName::plain, "plain"},
                                                                                   {TemplateName::chatml, "chatml"},
                                                                                   {TemplateName::llama3, "llama3"}}};
};

// How <extra_id_0..2> reach the model: as text that the tokenizer splits as it likes, or as pieces of their own.
enum class SpecialTokens { text, added };
template <>
struct EnumNames<SpecialTokens> {
  static constexpr std::array<std::pair<SpecialTokens, std::string_view>, 2> table{
      {{SpecialTokens::text, "text"}, {SpecialTokens::added, "added"}}};
};

// The Vicuna v1 system prompt, SYSTEM_PROMPT of NeMo-Aligner's examples/nlp/data/steerlm/common.py.
inline constexpr std::string_view default_system_prompt =
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite "
    "answers to the user's questions.";

struct TemplateOptions {
  TemplateName name = TemplateName::steerlm;
  std::string system = std::string(default_system_prompt);
  SpecialTokens special_tokens = SpecialTokens::text;

  void fields(auto& field) {
    field("name", name,
          "steerlm: the paper's template; plain: raw text for a base model; chatml, llama3: for a model "
          "that was tuned with the markers of these; not given: the model folder's");
    field("system", system, "system prompt of records that have none; not given: the model folder's");
    field("special_tokens", special_tokens,
          "text: the markers are ordinary text; added: they are pieces of the tokenizer; those of chatml "
          "and llama3 always are pieces");
  }
};

// Which keys of a template somebody has given; the others have their defaults.
struct TemplateGiven {
  bool name = false;
  bool system = false;
  bool special_tokens = false;

  explicit operator bool() const { return name || system || special_tokens; }
};

}  // namespace steerlm
