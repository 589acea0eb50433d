// `data show-mask`.
#pragma once

#include <string>

#include "steerlm/data/options.h"
#include "steerlm/hf/folder_template.h"

namespace steerlm {

// Prints what of each record is trained under the model folder's template, or the one that is asked for: coloured text,
// or with `json` an object a record.
int show_mask(const std::string& model, const TemplateRequest& request, const SourceOptions& source, bool json);

}  // namespace steerlm
