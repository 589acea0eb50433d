#include "steerlm/train/losses.h"

#include <ATen/ops/dot.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

#include <cmath>

#include "steerlm/kernels/device.h"
#include "steerlm/kernels/rows.h"

namespace steerlm {

double target_count(const Batch& batch) {
  double count = 0;
  for (float weight : batch.weights) count += static_cast<double>(weight);
  return count;
}

double label_count(const Batch& batch) {
  double count = 0;
  for (float label : batch.labels) count += std::isnan(label) ? 0 : 1;
  return count;
}

PackedBatch pack_batch(const Transformer& model, const Batch& batch) {
  const at::Device device = model.device();
  const auto sequences = static_cast<std::int64_t>(batch.cu_seqlens.size()) - 1;
  const std::int64_t attributes = sequences > 0 ? static_cast<std::int64_t>(batch.labels.size()) / sequences : 0;
  return {
      pack_tokens(model, batch.ids, batch.cu_seqlens), target_rows(batch.targets, batch.weights, device),
      to_device(last_rows(batch.cu_seqlens), device),
      to_device(std::vector<double>(batch.labels.begin(), batch.labels.end()), device).view({sequences, attributes})};
}

at::Tensor language_model_gradient(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                                   Parameters& gradients) {
  TrunkSaved saved{.recompute = recompute};
  const at::Tensor hidden_nd = trunk_forward(model, batch.tokens, &saved);
  const LinearCrossEntropy loss =
      linear_cross_entropy(hidden_nd, model.weights.output_vd(), batch.targets, scale, gradients.output_vd());
  trunk_backward(model, batch.tokens, loss.dx_nd, saved, gradients);
  return loss.loss_sum;
}

at::Tensor language_model_loss(const Transformer& model, const PackedBatch& batch) {
  const at::Tensor log_p_k =
      linear_log_probabilities(trunk_forward(model, batch.tokens, nullptr), model.weights.output_vd(), batch.targets);
  return at::dot(log_p_k.to(at::kDouble), batch.targets.weights_k.to(at::kDouble)).neg().view({1});
}

at::Tensor regression_gradient(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                               Parameters& gradients) {
  TrunkSaved saved{.recompute = recompute};
  const at::Tensor hidden_nd = trunk_forward(model, batch.tokens, &saved);
  const at::Tensor last_bd = gather_rows(hidden_nd, batch.last_rows_b);
  const at::Tensor scores_ba = attribute_scores(model, last_bd);

  // dscore = scale * 2 (score - label) where the label is known
  const at::Tensor difference_ba =
      scores_ba.to(at::kDouble).sub(batch.labels_ba).masked_fill_(at::isnan(batch.labels_ba), 0);
  const at::Tensor sum = at::sum(difference_ba.square()).view({1});
  const at::ScalarType dtype = scores_ba.scalar_type();
  const at::Tensor dscores_ba = difference_ba.mul(scale * 2).to(dtype);
  gradients.score_ad.add_(at::mm(dscores_ba.t(), last_bd.to(dtype)));
  if (gradients.score_bias_a.defined()) gradients.score_bias_a.add_(dscores_ba.sum(0));

  const at::Tensor dlast_bd = at::mm(dscores_ba, model.weights.score_ad.to(dtype)).to(hidden_nd.scalar_type());
  trunk_backward(model, batch.tokens, scatter_rows(dlast_bd, batch.last_rows_b, hidden_nd.size(0)), saved, gradients);
  return sum;
}

}  // namespace steerlm
