// The files of the toy language: data for every stage of a recipe, made from nothing in a second.
#pragma once

#include <cstdint>

#include "steerlm/core/fs.h"

namespace steerlm {

// Writes into `directory`, each file whole or not at all; they get their names when all are
// written, train.jsonl last. The bytes depend
// on `count` and `seed` alone.
//   train.jsonl       `count` labelled conversations, one in ten of two tasks; 3-5 items a task
//   validation.jsonl  prompts that no training file has, labelled by the same annotators
//   truth.jsonl       validation.jsonl with the oracle's values, rounded, as labels
//   first.jsonl       a source whose annotators rate quality, toxicity, humor and creativity only
//   second.jsonl      one whose annotators rate complexity and verbosity only
//   unlabelled.jsonl  no labels; shifted prompts: 4-7 items, most of them to sort
//   control-none.jsonl, control-random.jsonl   the first half of train.jsonl without labels, and with random labels
//   pairs.jsonl       `count` / 2 pairs of responses as HelpSteer2's preferences; preferred is quality less half the
//                     toxicity, seen with an annotator's noise
//   pairs-truth.jsonl held-out pairs with the oracle's preference, which is never 0
//   prompts.jsonl     {"prompt": …}, likewise held out
//   base.txt          raw text for a plain base model: `count` prompts with their answers, every other one also with a
//                     response
//   tokenizer.txt     what a tokenizer should know: texts, label lines, the template's markers
// A label is what one of five annotators says: the oracle's value of the text plus the annotator's bias and noise,
// rounded half to even and clamped to 0-4; 10-40 % of an annotator's values are missing. Records carry `annotator` and
// `oracle`, a list with the true values of each assistant turn, which no stage reads. Throws recipe when `count` is
// below 1; resources when a file cannot be written, or, before anything is written, when one of these files is there
// and `overwrite` is not given.
void make_toy_data(const Path& directory, std::int64_t count, std::uint64_t seed, bool overwrite = false);

}  // namespace steerlm
