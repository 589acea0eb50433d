#include "steerlm/kernels/sampling.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"
#include "kernels/loops.h"

namespace steerlm {

namespace {

RowSums sums_of_row(std::span<const float> logits, double temperature) {
  // Finite in fp32 too: of the largest, infinity would make 0 * infinity.
  const double sharpest = static_cast<double>(std::numeric_limits<float>::max());
  const double sharpness = temperature == 0 ? 1 : std::min(1 / temperature, sharpest);
  if (loops() != nullptr)
    return loops()->row_sums(logits.data(), static_cast<std::int64_t>(logits.size()), static_cast<float>(sharpness));
  RowSums sums{*std::ranges::max_element(logits), true, 0, 0};
  for (const float logit : logits) {
    const double below = static_cast<double>(logit) - static_cast<double>(sums.largest);
    sums.finite = sums.finite && std::isfinite(logit);
    sums.sum += std::exp(below);
    sums.sharpened += std::exp(below * sharpness);
  }
  return sums;
}

// The ids of a row by falling logit, the smaller id first on a tie, so that the order does not depend on the sort. Most
// draws end among the few of the largest probabilities, so they are sorted band by band, as far as they are asked for.
class FallingLogits {
 public:
  FallingLogits(std::span<const float> logits, float largest, double temperature)
      : logits_(logits), largest_(largest), band_(8 * std::max(temperature, 0.01)) {}

  // The place of the next `count` ids, of all if there are fewer.
  std::span<const std::int32_t> first(size_t count) {
    count = std::min(count, logits_.size());
    while (ids_.size() < count) sort_next_band();
    return std::span(ids_).first(count);
  }

 private:
  void sort_next_band() {
    const float lowest = static_cast<float>(static_cast<double>(largest_) - band_);
    const auto sorted = static_cast<std::ptrdiff_t>(ids_.size());
    for (size_t i = 0; i < logits_.size(); ++i) {
      if (logits_[i] >= lowest && logits_[i] < above_) ids_.push_back(static_cast<std::int32_t>(i));
    }
    std::sort(ids_.begin() + sorted, ids_.end(), [&](std::int32_t a, std::int32_t b) {
      return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
    });
    above_ = lowest;
    band_ *= 2;
  }

  std::span<const float> logits_;
  float largest_, above_ = std::numeric_limits<float>::infinity();  // what is sorted: all that is not below
  double band_;                                                     // of what is sorted next, below the largest
  std::vector<std::int32_t> ids_;
};

}  // namespace

SampledToken sample_token(std::span<const float> logits, double temperature, std::int64_t top_k, double top_p,
                          double uniform) {
  const RowSums sums = sums_of_row(logits, temperature);
  if (!sums.finite) return {0, std::numeric_limits<double>::quiet_NaN()};  // nothing can be sorted by them
  const double largest = static_cast<double>(sums.largest);
  const auto result = [&](std::int32_t id) {
    return SampledToken{id, static_cast<double>(logits[id]) - largest - std::log(sums.sum)};
  };
  if (temperature == 0)
    return result(static_cast<std::int32_t>(std::ranges::find(logits, sums.largest) - logits.begin()));

  FallingLogits falling(logits, sums.largest, temperature);
  const auto weight = [&](std::int32_t id) {
    return std::exp((static_cast<double>(logits[id]) - largest) / temperature);
  };
  size_t candidates = logits.size();
  double kept = sums.sharpened;
  if (top_k > 0 && static_cast<size_t>(top_k) < candidates) {
    candidates = static_cast<size_t>(top_k);
    kept = 0;
    for (const std::int32_t id : falling.first(candidates)) kept += weight(id);
  }
  if (top_p < 1) {
    // The smallest prefix whose probability reaches top_p; at least one token.
    double prefix = 0;
    size_t count = 0;
    while (count < candidates && (count == 0 || prefix < top_p * kept))
      prefix += weight(falling.first(count + 1).back()), ++count;
    candidates = count;
    kept = prefix;
  }
  double rest = uniform * kept;
  for (size_t i = 0;; ++i) {
    const std::int32_t id = falling.first(i + 1).back();
    const double own = weight(id);
    if (rest < own || i + 1 == candidates) return result(id);
    rest -= own;
  }
}

SampledTokens sample_tokens(const at::Tensor& logits_rv, const at::Tensor& uniform_r, double temperature,
                            std::int64_t top_k, double top_p) {
  require(logits_rv.dim() == 2 && logits_rv.is_contiguous() && uniform_r.scalar_type() == at::kDouble &&
              uniform_r.numel() == logits_rv.size(0),
          "sample_tokens: logits are (r, v), a draw a row");
  require_one_device("sample_tokens: logits and draws on one device", logits_rv, uniform_r);
  const std::int64_t rows = logits_rv.size(0), v = logits_rv.size(1);
  SampledTokens tokens{at::empty({rows}, uniform_r.options().dtype(at::kInt)), at::empty({rows}, uniform_r.options())};
  if (logits_rv.is_cuda()) {
    require(uniform_r.is_contiguous(), "sample_tokens: contiguous draws");
    check_launch(cuda().sample(cuda_dtype(logits_rv), logits_rv.const_data_ptr(), v, uniform_r.const_data_ptr<double>(),
                               temperature, top_k, top_p, tokens.ids_r.mutable_data_ptr<std::int32_t>(),
                               tokens.logprobs_r.mutable_data_ptr<double>(), rows, v, stream_of(logits_rv.device())),
                 "sample");
    return tokens;
  }
  const float* logits = logits_rv.const_data_ptr<float>();
  const double* uniform = uniform_r.const_data_ptr<double>();
  std::int32_t* ids = tokens.ids_r.mutable_data_ptr<std::int32_t>();
  double* logprobs = tokens.logprobs_r.mutable_data_ptr<double>();
  at::parallel_for(0, rows, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      ids[row] = -1;
      logprobs[row] = 0;
      if (uniform[row] < 0) continue;
      const SampledToken token =
          sample_token({logits + row * v, static_cast<size_t>(v)}, temperature, top_k, top_p, uniform[row]);
      ids[row] = token.id;
      logprobs[row] = token.logprob;
    }
  });
  return tokens;
}

}  // namespace steerlm
