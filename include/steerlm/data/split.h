#pragma once

#include <string>

namespace steerlm {

// Whether a dialogue (Record::dialogue) belongs to the validation part: its SHA-256, read as a number in [0, 1), is
// below `fraction`. Independent of a recipe's seed, so that every stage holds out the same dialogues; a larger fraction
// holds out a superset.
bool is_validation(const std::string& dialogue, double fraction);

}  // namespace steerlm
