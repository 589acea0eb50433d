#include "steerlm/kernels/sampling.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"

namespace steerlm {

SampledToken sample_token(std::span<const float> logits, double temperature, std::int64_t top_k, double top_p,
                          double uniform) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  const double max_logit = static_cast<double>(*largest);
  double total = 0;
  bool finite = true;
  for (float logit : logits) {
    finite = finite && std::isfinite(logit);
    total += std::exp(static_cast<double>(logit) - max_logit);
  }
  if (!finite) return {0, std::numeric_limits<double>::quiet_NaN()};  // nothing can be sorted by them
  const auto result = [&](std::int32_t id) {
    return SampledToken{id, static_cast<double>(logits[id]) - max_logit - std::log(total)};
  };
  if (temperature == 0) return result(static_cast<std::int32_t>(largest - logits.begin()));

  // Candidates by falling logit; the smaller id first on a tie, so that the order does not depend on the sort.
  const auto before = [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  if (top_k > 0 && static_cast<size_t>(top_k) < ids.size()) {
    std::nth_element(ids.begin(), ids.begin() + top_k, ids.end(), before);
    ids.resize(static_cast<size_t>(top_k));
  }
  std::sort(ids.begin(), ids.end(), before);
  std::vector<double> weight(ids.size());
  double kept = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    weight[i] = std::exp((static_cast<double>(logits[ids[i]]) - max_logit) / temperature);
    kept += weight[i];
  }
  if (top_p < 1) {
    // The smallest prefix whose probability reaches top_p; at least one token.
    double prefix = 0;
    size_t count = 0;
    while (count < ids.size() && (count == 0 || prefix < top_p * kept)) prefix += weight[count++];
    ids.resize(count);
    kept = prefix;
  }
  double rest = uniform * kept;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    if (rest < weight[i]) return result(ids[i]);
    rest -= weight[i];
  }
  return result(ids.back());
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
