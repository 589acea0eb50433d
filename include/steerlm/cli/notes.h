// What commands of both halves say on standard error.
#pragma once

#include <string>
#include <vector>

#include "steerlm/data/record_reader.h"

namespace steerlm {

// One line each: what a model folder or its tokenizer makes it necessary to say.
void print_notes(const std::vector<std::string>& notes);
// "data.jsonl: not obeyed, though other programs act on it: 'tools' (3 lines)"; nothing where all is.
void print_unobeyed(const std::string& path, const ReadNotes& notes);
// "HelpSteer's own ratings are the attributes: helpfulness, …", with a line end.
std::string helpsteer_note(const Attributes& attributes);

}  // namespace steerlm
