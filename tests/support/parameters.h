// Sets of parameters for tests, tensor by tensor.
#pragma once

#include <ATen/ops/zeros.h>

#include "steerlm/nn/parameters.h"

namespace steerlm {

// Zeros of the same shapes in `dtype`.
inline Parameters zeros_like(Parameters parameters, at::ScalarType dtype) {
  for_each_parameter(parameters, [&](const std::string&, at::Tensor& tensor) {
    tensor = at::zeros(tensor.sizes(), tensor.options().dtype(dtype));
  });
  return parameters;
}

// The same values in `dtype`; shares storage where the dtype is already right.
inline Parameters cast(Parameters parameters, at::ScalarType dtype) {
  for_each_parameter(parameters, [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(dtype); });
  return parameters;
}

inline void move_to(Parameters& parameters, at::Device device) {
  for_each_parameter(parameters, [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(device); });
}

}  // namespace steerlm
