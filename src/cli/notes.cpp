#include "steerlm/cli/notes.h"

#include <iostream>

#include "steerlm/core/suggest.h"

namespace steerlm {

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) std::cerr << "warning: " << note << "\n";
}

void print_unobeyed(const std::string& path, const ReadNotes& notes) {
  if (notes.unobeyed.empty()) return;
  std::cerr << (path == "-" ? "standard input" : path)
            << ": not obeyed, though other programs act on it: " << describe_unobeyed(notes.unobeyed) << "\n";
}

std::string helpsteer_note(const Attributes& attributes) {
  return "ratings of HelpSteer, which are the attributes: " + join(attributes.names) + ", " +
         std::to_string(attributes.min) + " to " + std::to_string(attributes.max) +
         " (--method or --attributes chooses others)\n";
}

}  // namespace steerlm
