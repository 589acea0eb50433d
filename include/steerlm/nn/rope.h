// Rotary frequencies of a model, stretched as its config says (RopeScaling). e head width.
#pragma once

#include <cstdint>
#include <vector>

#include "steerlm/kernels/rope.h"
#include "steerlm/nn/options.h"

namespace steerlm {

// e/2 inverse frequencies for a sequence of `length` tokens, rounded to fp32 as Transformers keeps them. The length
// matters to RopeKind::dynamic alone.
std::vector<float> inverse_frequencies(const ModelConfig& config, std::int64_t length);

// What cos and sin are multiplied by: 1 but for RopeKind::yarn.
double rope_attention_factor(const RopeScaling& scaling);

// Angles of packed sequences: a row for each token first_position … of each sequence (cu_seqlens: b+1), for a model of
// `dtype`.
RopeAngles rope_angles(const ModelConfig& config, const std::vector<std::int64_t>& cu_seqlens,
                       std::int64_t first_position, at::ScalarType dtype, at::Device device);

// Angles of one token a row, each at a position of its own, the last of its sequence.
RopeAngles rope_angles_of(const ModelConfig& config, const std::vector<std::int64_t>& positions, at::ScalarType dtype,
                          at::Device device);
// Whether the angles of a position depend on the length of its sequence (RopeKind::dynamic).
bool angles_depend_on_length(const ModelConfig& config);

}  // namespace steerlm
