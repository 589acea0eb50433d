#include "steerlm/infer/beta_law.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace steerlm {
namespace {

constexpr double least_share = 1e-3;
constexpr double infinity = std::numeric_limits<double>::infinity();

// log(1 - e^x) for x <= 0 (Maechler 2012, "Accurately computing log(1 - exp(-|a|))").
double log1m_exp(double x) { return x > -0.6931471805599453 ? std::log(-std::expm1(x)) : std::log1p(-std::exp(x)); }

// log I_x(a, b) by the continued fraction of DLMF 8.17.22, evaluated by Lentz's method; it converges fast below
// (a + 1) / (a + b + 2).
double log_by_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300, precision = 1e-16;
  double c = 1, d = 1 / std::max(1 - (a + b) * x / (a + 1), tiny), fraction = d;
  for (int m = 1; m < 10000; ++m) {
    const auto step = [&](double numerator) {
      d = 1 + numerator * d;
      c = 1 + numerator / c;
      d = 1 / (std::abs(d) < tiny ? tiny : d);
      if (std::abs(c) < tiny) c = tiny;
      fraction *= c * d;
      return c * d;
    };
    step(m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)));
    if (std::abs(step(-(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))) - 1) < precision) break;
  }
  const double log_beta = std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
  return a * std::log(x) + b * std::log1p(-x) - log_beta - std::log(a) + std::log(fraction);
}

// log I_x(a, b).
double log_lower(double a, double b, double x) {
  if (x <= 0) return -infinity;
  if (x >= 1) return 0;
  if (x < (a + 1) / (a + b + 2)) return std::min(0.0, log_by_fraction(a, b, x));
  return log1m_exp(std::min(0.0, log_by_fraction(b, a, 1 - x)));
}

}  // namespace

double log_beta_between(double alpha, double beta, double x1, double x2) {
  const double mean = alpha / (alpha + beta);
  // In a tail the difference is taken of what is beyond the two edges, seen from outside; else of what both leave out.
  if (x2 <= mean) {
    const double outer = log_lower(alpha, beta, x1), inner = log_lower(alpha, beta, x2);
    return inner + log1m_exp(outer - inner);
  }
  const double above_x2 = log_lower(beta, alpha, 1 - x2);
  if (x1 >= mean) {
    const double above_x1 = log_lower(beta, alpha, 1 - x1);
    return above_x1 + log1m_exp(above_x2 - above_x1);
  }
  return std::log1p(-std::exp(log_lower(alpha, beta, x1)) - std::exp(above_x2));
}

double beta_log_probability(double score, int value, int min, int max, const BetaOptions& options) {
  if (std::isnan(score) || value < min || value > max || min >= max)
    throw std::logic_error("beta_log_probability: a score and a value of the range");
  const double range = max - min, share = std::clamp((score - min) / range, least_share, 1 - least_share);
  const double alpha = options.concentration * share, beta = options.concentration - alpha;
  // X_k, k from 0 to range + 1
  const auto edge = [&](int k) {
    if (options.edges == BetaEdges::equal) return k / (range + 1);
    return std::clamp((k - 0.5) / range, 0.0, 1.0);
  };
  return log_beta_between(alpha, beta, edge(value - min), edge(value - min + 1));
}

double label_log_probability(std::span<const float> scores, const Label& label, const Attributes& attributes,
                             const BetaOptions& options) {
  if (scores.size() != attributes.names.size() || label.values.size() != scores.size())
    throw std::logic_error("label_log_probability: a score and a value for each attribute");
  double sum = 0;
  int named = 0;
  for (size_t a = 0; a < scores.size(); ++a) {
    if (std::isnan(label.values[a])) continue;
    ++named;
    sum += beta_log_probability(static_cast<double>(scores[a]), static_cast<int>(label.values[a]), attributes.min,
                                attributes.max, options);
  }
  if (named == 0) throw std::logic_error("label_log_probability: the label names no attribute");
  return options.combination == BetaCombination::product ? sum : sum / named;
}

}  // namespace steerlm
