// What a model costs, for forecasts and benches alike.
#pragma once

#include <cstdint>

#include "steerlm/nn/parameters.h"

namespace steerlm {

std::int64_t count_parameters(const ModelConfig& config, const HeadShape& head);

// Floating-point operations of forward and backward for one token in a sequence of `length`: 6 a matmul parameter
// (embedding left out, output layer counted), attention counted causally (half).
double train_flops_per_token(const ModelConfig& config, const HeadShape& head, double length);

// Bytes of weights, gradients and moments while training: fp32 masters, gradients and two moments, plus a compute copy
// in bf16.
std::int64_t train_state_bytes(const ModelConfig& config, const HeadShape& head, bool bf16);

// Bytes of what the forward of a micro-batch keeps for the backward.
std::int64_t activation_bytes(const ModelConfig& config, std::int64_t tokens, bool bf16);

}  // namespace steerlm
