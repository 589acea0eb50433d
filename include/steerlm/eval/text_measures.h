// Measures of a text that need no model.
//
//   characters        Unicode code points
//   words             runs of letters, marks and digits (Unicode categories L, M, N) that begin with no mark;
//                     ' ’ and - join two of them, and so does the point of a decimal number
//   sentences         . ! ? behind a word, and what is left behind the last one
//   flesch_kincaid    grade of Kincaid et al. (1975): 0.39 words / sentences + 11.8 syllables / words - 15.59; made for
//                     English (eval/readability.h counts the syllables)
//   type_token_ratio  distinct words / words, in lower case; falls with the length of the text
//   mtld              measure of textual lexical diversity (McCarthy and Jarvis 2010), which hardly depends on the
//   length list_items        lines that begin, behind blanks, with - * + • or with up to nine digits and . or ), then a
//   blank
//                     and something else; outside of code, and no rule like "* * *"
//   code_lines        lines that are not blank between two fences ``` or ~~~ (CommonMark 0.31, section 4.5; a fence may
//   be
//                     indented, and one that is not closed goes on to the end)
//   question_marks    '?'
//   upper_case        capital letters (Lu, Lt) / letters that have a case (Lu, Lt, Ll)
//
// mtld: the words, in lower case, are read one by one; where distinct / read words has come down to 0.72, a factor is
// full and reading starts afresh. What is left at the end is (1 - ratio) / (1 - 0.72) of a factor. words / factors,
// once forwards and once backwards, and the mean of the two. A text that repeats no word has no factor; it gets its
// number of words, as if one factor were just full.
#pragma once

#include <optional>
#include <string_view>

#include "steerlm/eval/options.h"

namespace steerlm {

// Nothing where the text does not say it: flesch_kincaid, type_token_ratio and mtld of a text without words, upper_case
// of one without letters that have a case. The counts of an empty text are 0. Bytes that are not UTF-8 are neither
// letters nor code points.
std::optional<double> measure_text(TextMeasure measure, std::string_view text);

}  // namespace steerlm
