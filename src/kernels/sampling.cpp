#include "steerlm/kernels/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

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

}  // namespace steerlm
