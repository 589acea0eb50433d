// How far from what was asked for an answer lands, in a space of attributes that a program measures (Chang et al. 2025,
// "A course correction in steerability evaluation", SteerBench).
#pragma once

#include <span>
#include <vector>

namespace steerlm {

// One request, each vector with a value for every measured attribute, scaled to [0, 1].
struct SteeringRequest {
  std::vector<double> source;   // z0: where the text was, or what the model does when nothing is asked
  std::vector<double> goal;     // z*: what was asked for; equal to the source where nothing was
  std::vector<double> reached;  // z^
};

// Medians over the requests and the distance between their quartiles.
struct SteeringFigure {
  double median = 0;
  double spread = 0;
};
struct SteeringErrors {
  SteeringFigure error;  // |z^ - z*|
  SteeringFigure
      miscalibration;          // |part of z* - z^ along z* - z0| / |z* - z0|; requests that ask for no change left out
  SteeringFigure side_effect;  // |part of z^ - z0 across z* - z0| / |z^ - z0|; those that changed nothing left out
};
// NaN where no request says anything of a figure.
SteeringErrors steering_errors(std::span<const SteeringRequest> requests);

}  // namespace steerlm
