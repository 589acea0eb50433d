#include "steerlm/nn/rope.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "steerlm/kernels/device.h"

namespace steerlm {
namespace {

// Dimension whose wave turns `rotations` times within `length` positions (YaRN, equation 17 and its inverse).
double correction_dimension(double rotations, double dimensions, double theta, double length) {
  return dimensions * std::log(length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
}

// YaRN, section 3.2: dimensions that turn often keep their frequency, those that turn little are interpolated, a ramp
// lies between.
void stretch_yarn(const ModelConfig& config, std::vector<double>& frequencies) {
  const RopeScaling& s = config.rope_scaling;
  const auto dimensions = static_cast<double>(config.head_dim),
             length = static_cast<double>(s.original_max_position_embeddings);
  double low = correction_dimension(s.beta_fast, dimensions, config.rope_theta, length);
  double high = correction_dimension(s.beta_slow, dimensions, config.rope_theta, length);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dimensions - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double interpolated = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= interpolated / s.factor + (1 - interpolated);
  }
}

// Llama 3.1: waves longer than original / low_freq_factor are interpolated, those shorter than original /
// high_freq_factor are kept.
void stretch_llama3(const RopeScaling& s, std::vector<double>& frequencies) {
  const auto length = static_cast<double>(s.original_max_position_embeddings);
  for (double& frequency : frequencies) {
    const double waves = length * frequency / (2 * std::numbers::pi);  // that fit into the original context
    const double kept = std::clamp((waves - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor), 0.0, 1.0);
    frequency *= (1 - kept) / s.factor + kept;
  }
}

double mscale(double factor, double weight) { return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1; }

}  // namespace

std::vector<float> inverse_frequencies(const ModelConfig& config, std::int64_t length) {
  const RopeScaling& s = config.rope_scaling;
  const auto dimensions = static_cast<double>(config.head_dim);
  double theta = config.rope_theta;
  if (s.kind == RopeKind::dynamic && length > config.max_position_embeddings) {
    const double ratio = static_cast<double>(length) / static_cast<double>(config.max_position_embeddings);
    theta *= std::pow(s.factor * ratio - (s.factor - 1), dimensions / (dimensions - 2));
  }
  std::vector<double> frequencies(static_cast<size_t>(config.head_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / dimensions);
  if (s.kind == RopeKind::linear) {
    for (double& frequency : frequencies) frequency /= s.factor;
  }
  if (s.kind == RopeKind::yarn) stretch_yarn(config, frequencies);
  if (s.kind == RopeKind::llama3) stretch_llama3(s, frequencies);
  return {frequencies.begin(), frequencies.end()};
}

double rope_attention_factor(const RopeScaling& s) {
  if (s.kind != RopeKind::yarn) return 1;
  if (s.attention_factor) return *s.attention_factor;
  // As Transformers has it, a mscale of 0 counts as absent.
  if (s.mscale.value_or(0) != 0 && s.mscale_all_dim.value_or(0) != 0)
    return mscale(s.factor, *s.mscale) / mscale(s.factor, *s.mscale_all_dim);
  return mscale(s.factor, 1);
}

bool angles_depend_on_length(const ModelConfig& config) { return config.rope_scaling.kind == RopeKind::dynamic; }

namespace {

// Positions on a GPU, where the frequencies do not depend on the length; otherwise the host computes the angles.
bool on_device(const ModelConfig& config, at::Device device) {
  return device.is_cuda() && !angles_depend_on_length(config);
}

RopeAngles device_angles(const ModelConfig& config, const std::vector<std::int32_t>& positions, at::Device device) {
  return rope_angles_at(to_device(positions, device), to_device(inverse_frequencies(config, 0), device),
                        rope_attention_factor(config.rope_scaling));
}

RopeAngles empty_angles(const ModelConfig& config, std::int64_t rows, at::ScalarType dtype) {
  const at::ScalarType angle_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  return {at::empty({rows, config.head_dim / 2}, angle_dtype), at::empty({rows, config.head_dim / 2}, angle_dtype)};
}

}  // namespace

RopeAngles rope_angles(const ModelConfig& config, const std::vector<std::int64_t>& cu_seqlens,
                       std::int64_t first_position, at::ScalarType dtype, at::Device device) {
  if (on_device(config, device)) {
    std::vector<std::int32_t> positions;
    positions.reserve(static_cast<size_t>(cu_seqlens.back()));
    for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
      for (std::int64_t i = 0; i < cu_seqlens[s + 1] - cu_seqlens[s]; ++i)
        positions.push_back(static_cast<std::int32_t>(first_position + i));
    }
    return device_angles(config, positions, device);
  }
  RopeAngles angles = empty_angles(config, cu_seqlens.back(), dtype);
  const double scale = rope_attention_factor(config.rope_scaling);
  std::vector<float> frequencies = inverse_frequencies(config, 0);
  for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    const std::int64_t length = cu_seqlens[s + 1] - cu_seqlens[s];
    if (config.rope_scaling.kind == RopeKind::dynamic)
      frequencies = inverse_frequencies(config, first_position + length);
    rope_fill(angles, cu_seqlens[s], first_position, length, frequencies, scale);
  }
  return {angles.cos_ne2.to(device), angles.sin_ne2.to(device)};
}

RopeAngles rope_angles_of(const ModelConfig& config, const std::vector<std::int64_t>& positions, at::ScalarType dtype,
                          at::Device device) {
  if (on_device(config, device)) return device_angles(config, {positions.begin(), positions.end()}, device);
  const auto rows = static_cast<std::int64_t>(positions.size());
  RopeAngles angles = empty_angles(config, rows, dtype);
  std::vector<float> frequencies = inverse_frequencies(config, 0);
  for (std::int64_t row = 0; row < rows; ++row) {
    if (config.rope_scaling.kind == RopeKind::dynamic) frequencies = inverse_frequencies(config, positions[row] + 1);
    rope_fill(angles, row, positions[row], 1, frequencies, rope_attention_factor(config.rope_scaling));
  }
  return {angles.cos_ne2.to(device), angles.sin_ne2.to(device)};
}

}  // namespace steerlm
