#include "steerlm/train/losses.h"

#include <ATen/ops/dot.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "steerlm/kernels/device.h"
#include "steerlm/kernels/linear.h"
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
      to_device(std::vector<double>(batch.labels.begin(), batch.labels.end()), device).view({sequences, attributes}),
      to_device(batch.strengths, device)};
}

at::Tensor language_model_gradient(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                                   Parameters& gradients, const GradientTurn& turn) {
  TrunkSaved saved{.recompute = recompute};
  const at::Tensor hidden_nd = trunk_forward(model, batch.tokens, &saved);
  const LinearCrossEntropy loss =
      linear_cross_entropy(hidden_nd, model.weights.output_vd(), batch.targets, scale, gradients.output_vd(), turn);
  trunk_backward(model, batch.tokens, loss.dx_nd, saved, gradients, turn);
  return loss.loss_sum;
}

at::Tensor language_model_loss(const Transformer& model, const PackedBatch& batch) {
  const at::Tensor log_p_k =
      linear_log_probabilities(trunk_forward(model, batch.tokens, nullptr), model.weights.output_vd(), batch.targets);
  return at::dot(log_p_k.to(at::kDouble), batch.targets.weights_k.to(at::kDouble)).neg().view({1});
}

namespace {

// The attribute head at the last token of each sequence, and what its backward needs.
struct Scored {
  TrunkSaved saved;
  at::Tensor hidden_nd;
  at::Tensor last_bd;
  at::Tensor scores_ba;
};

Scored score_forward(const Transformer& model, const PackedBatch& batch, bool recompute) {
  Scored scored{.saved = {.recompute = recompute}};
  scored.hidden_nd = trunk_forward(model, batch.tokens, &scored.saved);
  scored.last_bd = gather_rows(scored.hidden_nd, batch.last_rows_b);
  scored.scores_ba = attribute_scores(model, scored.last_bd);
  return scored;
}

// dscores_ba in fp64
void score_backward(const Transformer& model, const PackedBatch& batch, Scored& scored, const at::Tensor& exact_ba,
                    Parameters& gradients, const GradientTurn& turn) {
  const at::ScalarType dtype = scored.scores_ba.scalar_type();
  const at::Tensor dscores_ba = exact_ba.to(dtype);
  turn.wait(0);
  linear_backward_weight(dscores_ba, scored.last_bd.to(dtype), 1, gradients.score_ad);
  if (gradients.score_bias_a.defined()) gradients.score_bias_a.add_(dscores_ba.sum(0));
  turn.pass(0);

  const at::Tensor dlast_bd =
      linear_backward_input(dscores_ba, model.weights.score_ad.to(dtype)).to(scored.hidden_nd.scalar_type());
  trunk_backward(model, batch.tokens, scatter_rows(dlast_bd, batch.last_rows_b, scored.hidden_nd.size(0)), scored.saved,
                 gradients, turn);
}

}  // namespace

at::Tensor regression_gradient(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                               Parameters& gradients, const GradientTurn& turn) {
  Scored scored = score_forward(model, batch, recompute);
  // dscore = scale * 2 (score - label) where the label is known
  const at::Tensor difference_ba =
      scored.scores_ba.to(at::kDouble).sub(batch.labels_ba).masked_fill_(at::isnan(batch.labels_ba), 0);
  score_backward(model, batch, scored, difference_ba.mul(scale * 2), gradients, turn);
  return at::sum(difference_ba.square()).view({1});
}

double pair_loss(HeadLoss loss, double difference, double strength) {
  const double x = loss == HeadLoss::margin ? difference - strength : difference;
  const double log_loss = std::max(-x, 0.0) + std::log1p(std::exp(-std::abs(x)));  // -log sigmoid(x)
  return loss == HeadLoss::scaled ? strength * log_loss : log_loss;
}

at::Tensor pairwise_gradient(const Transformer& model, const PackedBatch& batch, HeadLoss loss,
                             const std::vector<double>& weights_a, double scale, bool recompute, Parameters& gradients,
                             const GradientTurn& turn) {
  Scored scored = score_forward(model, batch, recompute);
  const at::Tensor w_a = to_device(weights_a, model.device());
  const at::Tensor rewards_p2 = at::mv(scored.scores_ba.to(at::kDouble), w_a).view({-1, 2});
  at::Tensor x_p = rewards_p2.select(1, 0).sub(rewards_p2.select(1, 1));
  const at::Tensor strength_p = batch.strengths_b.view({-1, 2}).select(1, 0);
  if (loss == HeadLoss::margin) x_p = x_p.sub(strength_p);

  // dx = -factor sigmoid(-x); the better response's reward has the gradient dx, the other's -dx
  at::Tensor loss_p = at::log_sigmoid(x_p).neg(), dx_p = at::sigmoid(x_p.neg()).neg();
  if (loss == HeadLoss::scaled) {
    loss_p = loss_p.mul(strength_p);
    dx_p = dx_p.mul(strength_p);
  }
  const at::Tensor drewards_b = at::stack({dx_p, dx_p.neg()}, 1).view({-1});
  score_backward(model, batch, scored, at::outer(drewards_b, w_a).mul(scale), gradients, turn);
  return at::sum(loss_p).view({1});
}

const Loss language_model_objective{target_count, target_weight, language_model_gradient};
const Loss regression_objective{
    label_count, [](const Example& example) { return static_cast<double>(label_count(example)); }, regression_gradient};

Loss pairwise_objective(HeadLoss loss, std::vector<double> weights_a) {
  return {
      .count = [](const Example&) { return std::int64_t{1}; },
      .weight = [](const Example&) { return 0.5; },
      .gradient =
          [loss, weights_a = std::move(weights_a)](const Transformer& model, const PackedBatch& batch, double scale,
                                                   bool recompute, Parameters& gradients, const GradientTurn& turn) {
            return pairwise_gradient(model, batch, loss, weights_a, scale, recompute, gradients, turn);
          },
      .whole_groups = true};
}

}  // namespace steerlm
