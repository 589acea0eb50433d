#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace steerlm {

// "did you mean 'learning_rate'?" for the name nearest to `wrong` (Damerau-Levenshtein, at most a third of its length),
// else "".
// `above` stands before the name: "optimizer." gives "did you mean 'optimizer.learning_rate'?".
std::string suggest(std::string_view wrong, const std::vector<std::string>& names, const std::string& above = "");

// "a, b, c"
std::string join(const std::vector<std::string>& names, std::string_view separator = ", ");
// "a,,b" -> "a", "", "b"; one empty text of "".
std::vector<std::string> split(std::string_view text, char separator = ',');

}  // namespace steerlm
