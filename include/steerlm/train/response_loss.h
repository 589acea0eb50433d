// The loss of SteerLM 2.0 (HelpSteer2, arXiv 2406.08673, section 4.5). The responses y_1 … y_n of a prompt, sampled
// from Q', have weights w' (Example::weight) and log Q'(y_i|a,x) (Example::sampling_log_p), and b' is
//   b'_i = softmax_i(log Q_theta(y_i|a,x) - log Q'(y_i|a,x))
// The loss of a prompt is KL(w' || b') / T, T the mean number of targets of its responses (NeMo-Aligner's scaling,
// which the paper does not give); its gradient is -sum_i (w'_i - b'_i) / T grad log Q_theta(y_i|a,x). The mean is over
// prompts: the weights w' of a prompt sum to 1. Log-probabilities are sums over the targets, in fp64.
#pragma once

#include <span>
#include <vector>

#include "steerlm/data/example_set.h"
#include "steerlm/train/losses.h"

namespace steerlm {

// log Q_theta of each sequence of a batch that was made of these examples, every target of weight 1. Waits for the
// device.
std::vector<double> sequence_log_probabilities(const Transformer& model, const PackedBatch& batch,
                                               std::span<const Example* const> examples);

struct GroupLoss {
  double loss = 0;                   // KL(w' || b') / T
  double distance = 0;               // sum (w' + e) log((w' + e) / (b' + e)), e = 1e-8: NeMo-Aligner's monitor
  std::vector<double> coefficients;  // (w'_i - b'_i) / T: what the negative log-likelihood of response i is weighed by
};
// Of one group; log_q has log Q_theta of each of its examples. Not finite where one of them is not.
GroupLoss group_loss(std::span<const Example* const> group, std::span<const double> log_q);

extern const Loss response_objective;

// Mean loss and distance of the groups of examples.
struct MeanGroupLoss {
  double loss = 0, distance = 0;
};
MeanGroupLoss mean_group_loss(const Transformer& model, const ExampleSet& examples, std::int64_t batch_tokens);

}  // namespace steerlm
