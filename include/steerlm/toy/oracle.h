// The judge of the toy language: measures the attributes of a text by counting words, with no model and no label. Every
// measure turns one dial of the construction (src/toy/language.h) back into its level, and does so without bias: the
// mean over texts made with a dial at level l is l (verbosity's ends, 0 and 4, lose 0.07 to the limits of the scale).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace steerlm {

// quality, toxicity, humor, creativity, complexity, verbosity
const std::vector<std::string>& toy_attribute_names();
inline constexpr double toy_min = 0, toy_max = 4;  // of every attribute

// One value an attribute, in the order of the names, each from toy_min to toy_max. `prompt` is the last user turn. Any
// bytes are accepted: words that the language does not know are fillers. Formulas, with n fillers in k classes (short,
// long), d of them different:
//   quality     4 x right places / max(places asked for, places given); 0 where the prompt is no task
//   toxicity    rude words, at most 4
//   humor       punch lines, at most 4
//   creativity  4 (d - k) / (n - k), the share of fillers that could have been repetitions and are not; 2 where n = k
//   complexity  4 x long fillers / n; 0 where n = 0
//   verbosity   (n - 4) / 5
std::vector<double> toy_oracle(std::string_view prompt, std::string_view response);

// Whether the prompt is a task of the language.
bool is_toy_task(std::string_view prompt);

// How much a response is preferred, by the annotators of the pairs without their noise: quality - toxicity / 2.
double toy_utility(std::string_view prompt, std::string_view response);
double toy_utility(const std::vector<double>& values);  // of toy_oracle()

}  // namespace steerlm
