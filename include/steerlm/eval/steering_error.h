// How far from what was asked for an answer lands, in a space of attributes that a program measures (Chang et al. 2025,
// "A course correction in steerability evaluation", SteerBench).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace steerlm {

// One request, each vector with a value for every measured attribute, scaled to [0, 1].
struct SteeringRequest {
  std::vector<double> source;   // z0: where the text was, or what the model does when nothing is asked
  std::vector<double> goal;     // z*: what was asked for; equal to the source where nothing was
  std::vector<double> reached;  // z^
};

// Over the `count` requests that say something of a figure; NaN where none does.
struct SteeringFigure {
  double median = 0;
  double lower_quartile = 0, upper_quartile = 0;
  std::int64_t count = 0;
};
struct SteeringErrors {
  SteeringFigure error;           // |z^ - z*|
  SteeringFigure miscalibration;  // |part of z* - z^ along z* - z0| / |z* - z0|; only requests that ask for a change
  // |part of z^ - z0 across z* - z0| / |z^ - z0|, 0 where nothing was changed; only requests that ask for a change, and
  // nothing where a single attribute is measured, which leaves no other direction.
  SteeringFigure side_effect;
};
SteeringErrors steering_errors(std::span<const SteeringRequest> requests);

// An answer of a dial sweep in that space. `request` numbers what the sweep repeats at every level: a prompt and a
// sample, which has the same random numbers at every level.
struct SweepPoint {
  size_t request = 0;
  std::vector<double> measured;  // one value an attribute; NaN: the answer does not have it
  size_t attribute = 0;          // of the dial that is swept, in `measured`; none: past its end
  double asked = 0;              // the level that was asked for, scaled as the attribute is
  bool at_defaults = false;      // all dials are at their defaults
};

// The requests that a sweep makes, one a point: its source is the answer to the same request with all dials at their
// defaults, its goal the source with the dial's own attribute at the level that was asked for. Nothing for a point that
// is at the defaults itself, has no such answer, or lacks an attribute, and for a dial whose attribute is not measured.
std::vector<std::optional<SteeringRequest>> steering_requests(std::span<const SweepPoint> points);

}  // namespace steerlm
