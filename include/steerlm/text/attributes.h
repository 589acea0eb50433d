// The dials and their label strings: the one place where "quality:4,humor:0" is read and written, contracts.md sections
// 5 and 7.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/text/conversation.h"
#include "steerlm/text/options.h"

namespace steerlm {

struct Attributes {
  std::vector<std::string> names;  // in the order in which labels are written; empty: none declared
  int min = 0;
  int max = 0;
  std::vector<int> defaults;  // one a name

  bool declared() const { return !names.empty(); }
  std::optional<size_t> index(std::string_view name) const;
};

// The index of a name that a recipe or a command line gives. Throws recipe, at `where`, for one that is no attribute.
size_t named_attribute(const Attributes& attributes, const std::string& name, const std::string& where);

// Checks what a recipe or a model folder says. All faults at once, exit code recipe: a name that is not
// [A-Za-z_][A-Za-z0-9_]*, a name twice, min >= max, a default that is out of range or of no name.
Attributes make_attributes(const AttributeOptions& options);

enum class LabelFaults {
  error,
  leave_out,  // of a label that was written for other attributes: only what can be used is taken
};

// Reads "name:int,…" in any order, names may be missing. The label's text is canonical: the order of the names. ""
// gives an empty label. Without declared attributes the text stays as written and there are no values. Throws data, at
// `where`: an unknown or repeated name, a value that is no integer or out of range, a missing ':'.
Label parse_label(const Attributes& attributes, std::string_view text, const std::string& where,
                  LabelFaults faults = LabelFaults::error);

// The label of integer values, one an attribute; NaN: not named.
Label make_label(const Attributes& attributes, std::span<const float> values);

// Rounds half to even, then clamps to the range. Throws model for a NaN.
int round_score(double score, const Attributes& attributes);

}  // namespace steerlm
