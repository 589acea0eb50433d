#include "commands/template_request.h"

#include <iostream>

#include "steerlm/cli/choice.h"

namespace steerlm {

TemplateRequest parse_template(const std::string& name, const std::optional<std::string>& system) {
  TemplateRequest request;
  if (!name.empty()) {
    request.options.name = parse_choice<TemplateName>(name, "template", "--template");
    request.given.name = true;
  }
  if (system) {
    request.options.system = *system;
    request.given.system = true;
  }
  return request;
}

void print_template(const ModelFolder& folder) {
  if (!folder.template_note.empty()) std::cerr << folder.path.string() << ": " << folder.template_note << "\n";
  if (!folder.template_warning.empty()) std::cerr << "warning: " << folder.template_warning << "\n";
}

}  // namespace steerlm
