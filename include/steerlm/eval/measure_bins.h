// From what is measured of a text to the levels of an attribute, and the file that keeps where one level ends.
//
//   {"min": 0, "max": 4, "attributes": {"verbosity": {"measure": "characters", "edges": [80, 160, 320, 640]}}}
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/eval/options.h"

namespace steerlm {

// An attribute whose value is measured. `edges`: max - min of them, none smaller than the one before; empty while they
// are not known.
struct MeasuredAttribute {
  std::string name;
  TextMeasure measure = TextMeasure::characters;
  std::vector<double> edges;
};

struct MeasureBins {
  int min = 0, max = 0;
  std::vector<MeasuredAttribute> attributes;
};

// The quantiles k / levels of the values, k = 1 … levels - 1, between two values linearly (type 7 of Hyndman and Fan
// 1996, as numpy.quantile). At least one value; at least one level.
std::vector<double> quantile_edges(std::span<const float> values, int levels);

// min + the number of edges below the value: one that stands on an edge has the lower level. Where many values are
// equal several edges may coincide; the levels between them then get nothing, and the smallest value has the level min.
// Value and edge are compared as floats, which is how the values that gave the edges were kept: 0.8 stands on an edge
// of 0.8.
int level_of(double value, std::span<const double> edges, int min);

Json to_json(const MeasureBins& bins);
// Throws data, naming file and key, for a file that is not as above.
MeasureBins read_measure_bins(const std::string& path);

}  // namespace steerlm
