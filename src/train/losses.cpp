#include "steerlm/train/losses.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "steerlm/kernels/linear_cross_entropy.h"

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

double language_model_gradient(const Transformer& model, const Batch& batch, double scale, Parameters& gradients) {
  const PackedTokens tokens = pack_tokens(model, batch.ids, batch.cu_seqlens);
  TrunkSaved saved;
  const at::Tensor hidden_nd = trunk_forward(model, tokens, &saved);
  const LinearCrossEntropy loss = linear_cross_entropy(hidden_nd, model.weights.output_vd(), batch.targets,
                                                       batch.weights, scale, gradients.output_vd());
  trunk_backward(model, tokens, loss.dx_nd, saved, gradients);
  return loss.loss_sum;
}

LossSum language_model_loss(const Transformer& model, const Batch& batch) {
  const at::Tensor hidden_nd = trunk_forward(model, pack_tokens(model, batch.ids, batch.cu_seqlens), nullptr);
  const std::vector<double> log_p =
      linear_log_probabilities(hidden_nd, model.weights.output_vd(), batch.targets, batch.weights);
  LossSum loss{0, target_count(batch)};
  for (size_t i = 0; i < log_p.size(); ++i) loss.sum -= static_cast<double>(batch.weights[i]) * log_p[i];
  return loss;
}

double regression_gradient(const Transformer& model, const Batch& batch, double scale, Parameters& gradients) {
  const PackedTokens tokens = pack_tokens(model, batch.ids, batch.cu_seqlens);
  TrunkSaved saved;
  const at::Tensor hidden_nd = trunk_forward(model, tokens, &saved);
  const at::Tensor last_bd = last_tokens(hidden_nd, batch.cu_seqlens);
  const at::Tensor scores_ba = attribute_scores(model, last_bd);

  // dscore = scale * 2 (score - label) where the label is known
  double sum = 0;
  std::vector<double> dscores(batch.labels.size(), 0.0);
  const at::Tensor scores = scores_ba.to(at::kDouble);
  const double* score = scores.const_data_ptr<double>();
  for (size_t i = 0; i < batch.labels.size(); ++i) {
    if (std::isnan(batch.labels[i])) continue;
    const double difference = score[i] - static_cast<double>(batch.labels[i]);
    sum += difference * difference;
    dscores[i] = scale * 2 * difference;
  }
  const at::Tensor dscores_ba = at::tensor(dscores, scores_ba.options()).view(scores_ba.sizes());
  const at::ScalarType dtype = scores_ba.scalar_type();
  gradients.score_ad.add_(at::mm(dscores_ba.t(), last_bd.to(dtype)));
  if (gradients.score_bias_a.defined()) gradients.score_bias_a.add_(dscores_ba.sum(0));

  at::Tensor dhidden_nd = at::zeros_like(hidden_nd);
  const at::Tensor dlast_bd = at::mm(dscores_ba, model.weights.score_ad.to(dtype)).to(hidden_nd.scalar_type());
  for (size_t s = 1; s < batch.cu_seqlens.size(); ++s) {
    dhidden_nd.select(0, batch.cu_seqlens[s] - 1).copy_(dlast_bd.select(0, static_cast<std::int64_t>(s) - 1));
  }
  trunk_backward(model, tokens, dhidden_nd, saved, gradients);
  return sum;
}

}  // namespace steerlm
