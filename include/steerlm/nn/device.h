// Where and in what numbers the program computes: the one place that decides it.
#pragma once

#include <c10/core/ScalarType.h>

#include <string>

#include "steerlm/nn/options.h"

namespace steerlm {

// Throws resources at `where` for a device that this build cannot use: nothing is substituted silently.
void require_device(const std::string& device, const std::string& where);

// The dtype of weights and activations. `precision` is settled.
at::ScalarType compute_dtype(Precision precision);

}  // namespace steerlm
