#pragma once

#include "steerlm/core/fields.h"

namespace steerlm {

// What a program can measure of a text; eval/text_measures.h has the formulas.
enum class TextMeasure {
  characters,
  words,
  sentences,
  flesch_kincaid,
  type_token_ratio,
  mtld,
  list_items,
  code_lines,
  question_marks,
  upper_case
};
template <>
struct EnumNames<TextMeasure> {
  static constexpr std::array<std::pair<TextMeasure, std::string_view>, 10> table{
      {{TextMeasure::characters, "characters"},
       {TextMeasure::words, "words"},
       {TextMeasure::sentences, "sentences"},
       {TextMeasure::flesch_kincaid, "flesch_kincaid"},
       {TextMeasure::type_token_ratio, "type_token_ratio"},
       {TextMeasure::mtld, "mtld"},
       {TextMeasure::list_items, "list_items"},
       {TextMeasure::code_lines, "code_lines"},
       {TextMeasure::question_marks, "question_marks"},
       {TextMeasure::upper_case, "upper_case"}}};
};

}  // namespace steerlm
