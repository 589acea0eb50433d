#pragma once

#include "steerlm/core/json.h"

namespace steerlm {

// Versions, compiler, machine, what it computes on and the given inputs: environment.json of a run.
Json describe_environment(const std::string& device, const Json& inputs);

// "AVX-512", "AVX2" or "SSE4.2": what ATen's kernels use here.
std::string cpu_features();

}  // namespace steerlm
