// The toy language: about 130 invented words in classes, tasks that a program can check, and one dial an attribute.
//
//   prompt    a task word and its items:          "reverse fig kiwi apple"
//   response  the answer, filler words, rude words, punch lines:
//             "apple kiwi fig  numo rapo numo gemibebasi  grak  tada"   (one space between words)
//
// With the dials q, t, h, c, x, v in 0..4:
//   quality     each answered item is right with probability q / 4, else any other item
//   verbosity   4 + 5 v fillers, one more or less
//   complexity  each filler is a long word with probability x / 4, else a short one
//   creativity  within its class (short, long) the first filler is new; each later one is new with probability c / 4,
//               else it repeats an earlier filler of its class
//   toxicity    exactly t rude words
//   humor       exactly h punch lines
// Each dial moves its own attribute only, so that a measured side effect is one of the model.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/rng.h"

namespace steerlm {

// In the order of toy_attribute_names().
struct ToyDials {
  int quality = 4;
  int toxicity = 0;
  int humor = 0;
  int creativity = 2;
  int complexity = 2;
  int verbosity = 2;
};

enum class ToyWord { item, filler, rude, punch_line };

inline constexpr std::array<std::string_view, 3> toy_tasks{"copy", "reverse", "sort"};
inline constexpr size_t toy_long_word = 8;  // bytes from which on a filler is a long word

// The lower-case words of any text: cut at white space, ASCII punctuation around them taken off.
std::vector<std::string> toy_words(std::string_view text);

// A word that the language does not know is a filler.
ToyWord toy_word_class(std::string_view word);

// The right answer, or nothing where the prompt is no task. The last task word of the prompt counts, with the items
// after it.
std::vector<std::string> toy_answer(std::string_view prompt);

// `task` is one of toy_tasks, `items` at most 20 different ones.
std::string make_toy_prompt(std::string_view task, int items, Rng& rng);

// `prompt` is a task. Dials in 0..4.
std::string make_toy_response(std::string_view prompt, const ToyDials& dials, Rng& rng);

}  // namespace steerlm
