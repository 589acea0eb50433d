#include "steerlm/nn/rope.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <numbers>

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

RopeAngles rope_angles(const ModelConfig& config, const std::vector<std::int64_t>& cu_seqlens,
                       std::int64_t first_position, at::ScalarType dtype) {
  const at::ScalarType angle_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const std::int64_t n = cu_seqlens.back(), half = config.head_dim / 2;
  RopeAngles angles{at::empty({n, half}, angle_dtype), at::empty({n, half}, angle_dtype)};
  const double scale = rope_attention_factor(config.rope_scaling);
  std::vector<float> frequencies = inverse_frequencies(config, 0);
  for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    const std::int64_t length = cu_seqlens[s + 1] - cu_seqlens[s];
    if (config.rope_scaling.kind == RopeKind::dynamic)
      frequencies = inverse_frequencies(config, first_position + length);
    rope_fill(angles, cu_seqlens[s], first_position, length, frequencies, scale);
  }
  return angles;
}

}  // namespace steerlm
