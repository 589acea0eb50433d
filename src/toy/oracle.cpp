#include "steerlm/toy/oracle.h"

#include <algorithm>
#include <set>

#include "toy/language.h"

namespace steerlm {
namespace {

double quality(const std::vector<std::string>& answer, const std::vector<std::string>& given) {
  const size_t places = std::max(answer.size(), given.size());
  if (answer.empty()) return 0;
  size_t right = 0;
  for (size_t i = 0; i < std::min(answer.size(), given.size()); ++i) right += answer[i] == given[i] ? 1 : 0;
  return 4.0 * static_cast<double>(right) / static_cast<double>(places);
}

}  // namespace

const std::vector<std::string>& toy_attribute_names() {
  static const std::vector<std::string> names{"quality", "toxicity", "humor", "creativity", "complexity", "verbosity"};
  return names;
}

std::vector<double> toy_oracle(std::string_view prompt, std::string_view response) {
  std::vector<std::string> given;
  std::set<std::string> different;
  int fillers = 0, long_fillers = 0, rude = 0, punch_lines = 0;
  for (std::string& word : toy_words(response)) {
    switch (toy_word_class(word)) {
      case ToyWord::item:
        given.push_back(std::move(word));
        break;
      case ToyWord::rude:
        ++rude;
        break;
      case ToyWord::punch_line:
        ++punch_lines;
        break;
      case ToyWord::filler:
        ++fillers;
        long_fillers += word.size() >= toy_long_word ? 1 : 0;
        different.insert(std::move(word));
        break;
    }
  }
  const int classes = (long_fillers > 0 ? 1 : 0) + (fillers > long_fillers ? 1 : 0);
  const int choices = fillers - classes;
  return {quality(toy_answer(prompt), given),
          std::min(rude, 4) + 0.0,
          std::min(punch_lines, 4) + 0.0,
          choices == 0 ? 2.0 : 4.0 * (static_cast<int>(different.size()) - classes) / choices,
          fillers == 0 ? 0.0 : 4.0 * long_fillers / fillers,
          std::clamp((fillers - 4) / 5.0, 0.0, 4.0)};
}

bool is_toy_task(std::string_view prompt) { return !toy_answer(prompt).empty(); }

double toy_utility(std::string_view prompt, std::string_view response) {
  return toy_utility(toy_oracle(prompt, response));
}

double toy_utility(const std::vector<double>& values) { return values[0] - values[1] / 2; }

}  // namespace steerlm
