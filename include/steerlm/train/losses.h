// The two losses of SteerLM, each a sum over its entries; the caller divides by the count over the whole optimiser
// step, so that micro-batching never changes what is optimised. n tokens, d width, a attributes, b sequences.
#pragma once

#include "steerlm/data/batch.h"
#include "steerlm/nn/transformer.h"

namespace steerlm {

// A loss in pieces: mean = sum / count.
struct LossSum {
  double sum = 0;
  double count = 0;
};

// Entries that a batch adds to the count: targets, or known attribute values.
double target_count(const Batch& batch);
double label_count(const Batch& batch);

// Negative log-likelihood of the targets (SteerLM eq. 1 and 2). Adds d(sum * scale)/d(weights) to `gradients`.
double language_model_gradient(const Transformer& model, const Batch& batch, double scale, Parameters& gradients);
LossSum language_model_loss(const Transformer& model, const Batch& batch);

// Squared error of the known attribute values, read at the last token (HelpSteer section 4.4; NaN labels are masked).
double regression_gradient(const Transformer& model, const Batch& batch, double scale, Parameters& gradients);

// Scores of the attribute head at the last token of each sequence, (b, a) row-major.
std::vector<float> regression_scores(const Transformer& model, const Batch& batch);

}  // namespace steerlm
