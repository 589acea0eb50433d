#include "steerlm/data/example.h"

namespace steerlm {

std::vector<ExampleGroup> groups_of(std::span<const Example> examples) {
  std::vector<ExampleGroup> groups;
  for (size_t i = 0; i < examples.size(); ++i) {
    if (i > 0 && same_group(examples[i], examples[i - 1]))
      ++groups.back().size;
    else
      groups.push_back({.first = i});
  }
  return groups;
}

}  // namespace steerlm
