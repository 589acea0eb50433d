// The losses of SteerLM, each a sum over its entries; the caller divides by the count over the whole optimiser step, so
// that micro-batching never changes what is optimised. n tokens, d width, a attributes, b sequences, p pairs.
#pragma once

#include <functional>
#include <vector>

#include "steerlm/data/batch.h"
#include "steerlm/kernels/linear_cross_entropy.h"
#include "steerlm/nn/transformer.h"

namespace steerlm {

// What a batch adds to the count: the weights of its targets, or its known attribute values.
double target_count(const Batch& batch);
double label_count(const Batch& batch);

// A batch on the device of the model.
struct PackedBatch {
  PackedTokens tokens;
  TargetRows targets;
  at::Tensor last_rows_b;  // int64
  at::Tensor labels_ba;    // fp64, NaN: unknown; (b, 0) without labels
  at::Tensor strengths_b;  // fp64
};
PackedBatch pack_batch(const Transformer& model, const Batch& batch);

// Negative log-likelihood of the targets, each times its weight (SteerLM eq. 1 and 2): the sum, (1) fp64 on the device.
// The gradient adds d(sum * scale)/d(weights) to `gradients`, in `turn` where other micro-batches add to them too.
// `recompute`: TrunkSaved's.
at::Tensor language_model_gradient(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                                   Parameters& gradients, const GradientTurn& turn = {});
at::Tensor language_model_loss(const Transformer& model, const PackedBatch& batch);

// Squared error of the known attribute values, read at the last token (HelpSteer section 4.4; NaN labels are masked).
at::Tensor regression_gradient(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                               Parameters& gradients, const GradientTurn& turn = {});

// Losses of pairs of responses (HelpSteer2-Preference, arXiv 2410.01257, section 3.2; Bradley and Terry 1952). With the
// reward r(y) = sum_a w_a score_a(y), the difference d = r(better) - r(worse) and the strength m > 0 of the preference:
//   bradley_terry  -log sigmoid(d)
//   margin         -log sigmoid(d - m)
//   scaled         -m log sigmoid(d)
// Of one pair:
double pair_loss(HeadLoss loss, double difference, double strength);
// The sum over the pairs of a batch, whose sequences 2p and 2p + 1 are the better and the worse response of pair p.
at::Tensor pairwise_gradient(const Transformer& model, const PackedBatch& batch, HeadLoss loss,
                             const std::vector<double>& weights_a, double scale, bool recompute, Parameters& gradients,
                             const GradientTurn& turn = {});

struct StepInput;

// A loss as a training step takes it.
struct Loss {
  std::int64_t (*count)(const Example& example);  // targets or known attribute values of an example
  double (*weight)(const Example& example);       // what the example adds to the mean's denominator
  std::function<at::Tensor(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                           Parameters& gradients, const GradientTurn& turn)>
      gradient;  // of a micro-batch: adds to `gradients` in its turn, stage after stage, and to none that it has passed
  bool whole_groups = false;  // a micro-batch holds all examples of a group side by side
  // A loss whose weights depend on the model: sets those of all micro-batches, and the step's loss and distance, before
  // the gradient. Until then every target weighs 1.
  void (*weigh)(const Transformer& model, StepInput& input) = nullptr;
};
extern const Loss language_model_objective, regression_objective;
// The mean is over pairs, also where they are scaled, as in NeMo-Aligner. Each of the two scores of a pair is a target.
Loss pairwise_objective(HeadLoss loss, std::vector<double> weights_a);

}  // namespace steerlm
