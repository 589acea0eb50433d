// Answers of several models to the same prompts, written as comparisons for a judge of the user's, and what the judge
// says read back (docs/experiments.md has both formats).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "steerlm/core/json.h"

namespace steerlm {

// A file that `steerlm generate` wrote, and what the system that answered is called.
struct AnswerFile {
  std::string system;
  std::string path;
};

// "sft=answers.jsonl" each: two or more, with names of letters, digits, '.', '_' and '-', other than what a judgement
// says (first, second, tie). Throws recipe.
std::vector<AnswerFile> parse_answer_files(const std::vector<std::string>& texts);

// One JSON line a comparison: every two answers to a prompt, in both orders. The files answer the same prompts in the
// same order. by_toy_oracle: with `winner`, the answer whose toy_utility is larger. Throws data: a line that is no
// answer, answers to different prompts or different numbers of them, no answer at all, a prompt that is no toy task
// where the oracle is asked.
std::string make_comparisons(const std::vector<AnswerFile>& answers, bool by_toy_oracle);

struct JudgementReport {
  std::string text;  // tables
  Json json;
};
// Win rates of every two systems, and Elo, of the judged comparisons. `comparisons` is a file of make_comparisons(),
// `judged` one with a line for each of its comparisons, in any order. Throws data: a comparison without its other
// order; an unknown, repeated or missing id; a line that says otherwise than its comparison; no winner. A pure function
// of the files and the seed.
JudgementReport report_judgements(const std::string& comparisons, const std::string& judged, std::uint64_t seed);

}  // namespace steerlm
