// What people said of a turn, beside what a model or a measure says of it.
#pragma once

#include "steerlm/core/json.h"
#include "steerlm/text/attributes.h"

namespace steerlm {

// Null where nobody said anything: `gt_label` where the label is a model's or was measured anew, else the label, and
// what a `gt_label` beside it says of other attributes. `attributes`: the range of the labels.
Json human_label(const Json& turn, const Attributes& attributes);

}  // namespace steerlm
