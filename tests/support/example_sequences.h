// Sequences of a fixture, {"ids": […], "target": […], "labels": […]}, as examples; null: an unknown label.
#pragma once

#include <cmath>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/data/example.h"

namespace steerlm {

inline std::vector<Example> examples_of(const Json& sequences) {
  std::vector<Example> examples;
  for (const Json& sequence : sequences) {
    Example example;
    example.ids = sequence.at("ids").get<std::vector<std::int32_t>>();
    if (sequence.contains("target")) example.target = sequence.at("target").get<std::vector<std::uint8_t>>();
    if (sequence.contains("labels")) {
      for (const Json& label : sequence.at("labels"))
        example.labels.push_back(label.is_null() ? NAN : label.get<float>());
    }
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace steerlm
