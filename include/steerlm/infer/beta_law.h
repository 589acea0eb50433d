// From a predictor's scores to the probability of a label: P(a|x,y) of SteerLM 2.0 (HelpSteer2, arXiv 2406.08673,
// section 4.5). The score s of an attribute gives r = (s - min) / (max - min), clamped to [1e-3, 1 - 1e-3], and a Beta
// distribution with alpha = c r, beta = c (1 - r), c = 24; the probability of value n is what it has between the edges
// of n's bin. The paper leaves the edges, the clamp and the combination of attributes open: BetaOptions.
#pragma once

#include <span>

#include "steerlm/infer/options.h"
#include "steerlm/text/attributes.h"

namespace steerlm {

// log (I_x2(alpha, beta) - I_x1(alpha, beta)), I the regularised incomplete beta function; 0 <= x1 < x2 <= 1, alpha and
// beta above 0. Exact in both tails, also where the probability is below what a double holds.
double log_beta_between(double alpha, double beta, double x1, double x2);

// log P(value | score) of one attribute. A score outside the range counts as its end. NaN throws std::logic_error.
double beta_log_probability(double score, int value, int min, int max, const BetaOptions& options);

// log P(a|x,y) of a label: over the attributes that it names (Label::values that are not NaN). `scores` has one entry
// an attribute. Throws std::logic_error where the label names none.
double label_log_probability(std::span<const float> scores, const Label& label, const Attributes& attributes,
                             const BetaOptions& options);

}  // namespace steerlm
