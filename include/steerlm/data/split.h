// Which dialogues are held out: a function of their text or tree id alone, so that every stage holds out the same ones,
// whatever its seed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "steerlm/data/options.h"

namespace steerlm {

// Whether a dialogue (Record::dialogue) belongs to the validation part: its SHA-256, read as a number in [0, 1), is
// below `fraction`; a larger fraction holds out a superset.
bool is_validation(const std::string& dialogue, double fraction);

// Whether data.fold or data.validation_fraction holds the dialogue out of data.train. Of fold k/n that number lies in
// [(k - 1)/n, k/n): each dialogue is in one fold. Throws recipe for a fold that is not k/n.
bool is_held_out(const std::string& dialogue, const DataOptions& data);
// The fold of a dialogue among `count`, from 1.
std::int64_t fold_of(const std::string& dialogue, std::int64_t count);
// Whether one of these keys asks for that.
bool holds_out(const DataOptions& data);

// Parts 0 … `folds` - 1 of training examples, an entry an example, by the hash64 of their dialogues: the examples of a
// dialogue are in one part, and the numbers of dialogues in two parts differ by at most one. The parts depend on the
// set of dialogues alone.
std::vector<std::int64_t> dialogue_folds(std::span<const std::uint64_t> dialogues, std::int64_t folds);

}  // namespace steerlm
