// What --template asks of a model folder.
#pragma once

#include <optional>
#include <string>

#include "steerlm/hf/folder_template.h"

namespace steerlm {

// "": the folder's. Throws recipe for an unknown name.
TemplateRequest parse_template(const std::string& name, const std::optional<std::string>& system = std::nullopt);
// On standard error: which template was chosen for a folder that does not name one itself.
void print_template(const ModelFolder& folder);

}  // namespace steerlm
