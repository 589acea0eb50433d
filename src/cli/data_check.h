// `data check` and `data stats`.
#pragma once

#include <string>
#include <vector>

#include "steerlm/data/options.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/text/options.h"

namespace steerlm {

// What `data` commands are given to read: a recipe, or a file.
struct DataInput {
  std::string recipe;
  std::vector<std::string> overrides;
  SourceOptions source;
  Attributes attributes;  // no names: labels are taken as written, ratings become labels as `reading` says
  ReadOptions reading;
};

// "data.jsonl: not obeyed, though other programs act on it: 'tools' (3 lines)" on standard error; nothing where all is.
void print_unobeyed(const std::string& path, const ReadNotes& notes);
Format parse_format(const std::string& name);  // of --format
// "HelpSteer's own ratings are the attributes: helpfulness, …", with a line end.
std::string helpsteer_note(const Attributes& attributes);

// Goes through all records; prints every bad one, every value with marker text, counts, histograms and label
// statistics. Throws data at the end if a record was bad.
int check_data(const DataInput& input);
// Counts and label statistics. Throws data at the first bad record.
int print_statistics(const DataInput& input);

}  // namespace steerlm
