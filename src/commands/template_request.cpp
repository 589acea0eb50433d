#include "commands/template_request.h"

#include <iostream>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {

TemplateRequest parse_template(const std::string& name, const std::optional<std::string>& system) {
  TemplateRequest request;
  if (!name.empty()) {
    const std::vector<std::string> choices = enum_choices<TemplateName>();
    const auto value = enum_value<TemplateName>(name);
    if (!value) {
      fail(ExitCode::recipe, {.what = "unknown template",
                              .where = "--template",
                              .found = "'" + name + "'",
                              .expected = "one of " + join(choices),
                              .advice = suggest(name, choices)});
    }
    request.options.name = *value;
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
