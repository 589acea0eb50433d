// `data measure`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/data/options.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

struct MeasureInput {
  SourceOptions source;
  Method method = Method::steerlm;       // the names of the ratings of published sources, and the range
  bool method_given = false;             // else HelpSteer's ratings have their own names
  std::optional<std::int64_t> min, max;  // of every attribute; without `edges_path`
  std::vector<std::string> attributes;   // "name:measure"; without `edges_path`
  std::string edges_path;                // "": the quantiles of the input
  std::string output, write_edges_path;
  bool overwrite = false;
  bool overwrite_labels = false;
};

// Writes the records with labels that are measured from the text of each assistant turn (contracts.md section 5), and
// prints edges and turns of each level on standard error. Throws data at the first bad record, and for a turn that has
// a value of a measured attribute already, without `overwrite_labels`.
int measure_data(const MeasureInput& input);

}  // namespace steerlm
