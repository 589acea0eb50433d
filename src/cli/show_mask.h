// `data show-mask`.
#pragma once

#include <string>

#include "steerlm/data/options.h"

namespace steerlm {

// Prints what of each record is trained under the model folder's template: coloured text, or with `json` an object a
// record.
int show_mask(const std::string& model, const SourceOptions& source, bool json);

}  // namespace steerlm
