// Losses of preference pairs: gradients against autograd in fp64 and in closed form; pairs stay together.
#include "steerlm/train/losses.h"
#include "steerlm/train/step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "steerlm/core/rng.h"
#include "steerlm/nn/init.h"
#include "support/autograd_reference.h"
#include "support/parameters.h"
#include "support/small_llama.h"
#include "support/tensor_operators.h"
#include "support/train_step.h"

namespace steerlm {
namespace {

constexpr std::int64_t attributes = 3;
const HeadShape head{.attributes = attributes, .bias = true};
const std::vector<double> weights_a{0.5, 0, -1.25};
const HeadLoss pairwise_losses[] = {HeadLoss::bradley_terry, HeadLoss::margin, HeadLoss::scaled};

ModelConfig config() { return small_llama(37, 0.3); }

Parameters exact_weights() {
  Parameters weights = cast(parameters_from(config(), head, init_parameters(config(), head, 7)), at::kDouble);
  for_each_parameter(weights, [](const std::string& name, at::Tensor& tensor) {
    if (name == "score.weight") tensor = tensor.mul(8);  // rewards that differ by about 1
  });
  return weights;
}

// Pairs of unlike lengths, with strengths 1, 2, 3, 1, …
std::vector<Example> pairs_of(size_t pairs) {
  std::vector<Example> examples;
  for (size_t s = 0; s < 2 * pairs; ++s) {
    Rng rng(5, "pair", s);
    Example example{.group = static_cast<std::int64_t>(s / 2), .strength = static_cast<double>(s / 2 % 3 + 1)};
    for (size_t i = 0; i < 3 + s % 5; ++i) example.ids.push_back(static_cast<std::int32_t>(rng.below(37)));
    examples.push_back(std::move(example));
  }
  return examples;
}

torch::Tensor log_of_sigmoid(const torch::Tensor& x) { return torch::log(torch::sigmoid(x)); }

// The loss as it stands in the paper.
torch::Tensor reference_loss(HeadLoss loss, const torch::Tensor& difference, double strength) {
  if (loss == HeadLoss::margin) return -log_of_sigmoid(difference - strength);
  return -(loss == HeadLoss::scaled ? strength : 1) * log_of_sigmoid(difference);
}

TEST(PairwiseLoss, GradientsEqualAutogradInFp64) {
  const std::vector<Example> examples = pairs_of(6);
  for (const HeadLoss loss : pairwise_losses) {
    const Parameters weights = exact_weights();
    reference::Weights leaves;
    double expected = 0;
    {
      torch::AutoGradMode enabled(true);
      for_each_parameter(weights, [&](const std::string& name, const at::Tensor& tensor) {
        leaves[name] = tensor.clone().requires_grad_(true);
      });
      auto sum = torch::zeros({}, torch::kDouble);
      const auto reward = [&](const Example& example) {
        const auto h = reference::hidden(config(), leaves, {example.ids.begin(), example.ids.end()});
        const auto score = leaves["score.weight"].matmul(h[h.size(0) - 1]) + leaves["score.bias"];
        return score.dot(torch::tensor(weights_a, torch::kDouble));
      };
      for (size_t i = 0; i < examples.size(); i += 2)
        sum = sum + reference_loss(loss, reward(examples[i]) - reward(examples[i + 1]), examples[i].strength);
      (sum * 0.25).backward();
      expected = sum.item<double>();
    }
    c10::InferenceMode guard;
    const Transformer model{config(), weights};
    Parameters gradients = zeros_like(weights, at::kDouble);
    const PackedBatch batch = pack_batch(model, make_batch(pointers_to(examples)));
    const double sum = pairwise_gradient(model, batch, loss, weights_a, 0.25, false, gradients).item<double>();
    EXPECT_NEAR(sum, expected, 1e-10 * expected) << enum_name(loss);
    for_each_parameter(gradients, [&](const std::string& name, const at::Tensor& ours) {
      const at::Tensor& theirs = leaves[name].grad();
      const double norm = theirs.norm().item<double>();
      EXPECT_GT(norm, name == "score.bias" ? -1 : 1e-6) << name << " has no gradient to speak of";
      EXPECT_LE((ours - theirs).norm().item<double>(), 1e-8 * norm + 1e-14) << enum_name(loss) << " " << name;
    });
  }
}

// d/d r(better) of the loss is -f (1 - sigmoid(d - margin)): of score.weight's row a that is w_a times it times the
// difference of the two hidden states.
TEST(PairwiseLoss, GradientOfTheScoreIsTheClosedForm) {
  c10::InferenceMode guard;
  std::vector<Example> examples = pairs_of(2);
  examples.erase(examples.begin(), examples.begin() + 2);  // of strength 2
  const Transformer model{config(), exact_weights()};
  const PackedBatch batch = pack_batch(model, make_batch(pointers_to(examples)));
  const at::Tensor last_bd = trunk_forward(model, batch.tokens, nullptr).index({batch.last_rows_b});
  const at::Tensor rewards_b = attribute_scores(model, last_bd).matmul(torch::tensor(weights_a, torch::kDouble));
  const double d = (rewards_b[0] - rewards_b[1]).item<double>();
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const std::map<HeadLoss, std::pair<double, double>> expected{
      // loss, d loss / d d
      {HeadLoss::bradley_terry, {-std::log(sigmoid(d)), sigmoid(d) - 1}},
      {HeadLoss::margin, {-std::log(sigmoid(d - 2)), sigmoid(d - 2) - 1}},
      {HeadLoss::scaled, {-2 * std::log(sigmoid(d)), 2 * (sigmoid(d) - 1)}}};
  for (const auto& [loss, values] : expected) {
    Parameters gradients = zeros_like(model.weights, at::kDouble);
    const double sum = pairwise_gradient(model, batch, loss, weights_a, 1, false, gradients).item<double>();
    EXPECT_NEAR(sum, values.first, 1e-12) << enum_name(loss);
    EXPECT_NEAR(pair_loss(loss, d, 2), values.first, 1e-12) << enum_name(loss);
    const at::Tensor wanted_ad =
        values.second * torch::outer(torch::tensor(weights_a, torch::kDouble), last_bd[0] - last_bd[1]);
    EXPECT_LE((gradients.score_ad - wanted_ad).abs().max().item<double>(), 1e-12) << enum_name(loss);
    EXPECT_LE(gradients.score_bias_a.abs().max().item<double>(), 1e-12) << "a bias moves no difference";
  }
}

TEST(PairwiseLoss, OfOnePairIsFiniteHoweverLargeTheDifference) {
  EXPECT_DOUBLE_EQ(pair_loss(HeadLoss::bradley_terry, -1e4, 1), 1e4);
  EXPECT_EQ(pair_loss(HeadLoss::bradley_terry, 1e4, 1), 0);
  EXPECT_DOUBLE_EQ(pair_loss(HeadLoss::scaled, -1e4, 3), 3e4);
  EXPECT_DOUBLE_EQ(pair_loss(HeadLoss::margin, -1e4, 3), 1e4 + 3);
  EXPECT_DOUBLE_EQ(pair_loss(HeadLoss::bradley_terry, 0, 3), std::log(2));
}

// The mean over pairs, whatever the micro-batches; a pair is in one of them.
TEST(PairwiseLoss, MicroBatchesChangeNothing) {
  const std::vector<Example> examples = pairs_of(7);
  for (const HeadLoss loss : pairwise_losses) {
    const auto step = [&](std::int64_t micro_batch_tokens) {
      Training training =
          make_training(config(), exact_weights(), at::kDouble, at::kCPU, [](const std::string&) { return true; });
      StepOptions options{.total_steps = 10, .micro_batch_tokens = micro_batch_tokens};
      options.optimizer.learning_rate = 1e-3;
      const StepResult result =
          train_step(training, pointers_to(examples), pairwise_objective(loss, weights_a), options);
      return std::pair{training, result};
    };
    const auto [whole, wanted] = step(1000);
    EXPECT_EQ(wanted.weight, 7) << "the mean is over pairs";
    EXPECT_EQ(wanted.targets, 14);
    double sum = 0;
    const Transformer model{config(), exact_weights()};
    Parameters unused = zeros_like(model.weights, at::kDouble);
    for (size_t i = 0; i < examples.size(); i += 2) {
      const std::vector<const Example*> pair{&examples[i], &examples[i + 1]};
      sum += pairwise_gradient(model, pack_batch(model, make_batch(pair)), loss, weights_a, 1, false, unused)
                 .item<double>();
    }
    EXPECT_NEAR(wanted.loss, sum / 7, 1e-12);
    for (const std::int64_t tokens : {1, 9, 20}) {
      const auto [parts, result] = step(tokens);
      EXPECT_NEAR(result.loss, wanted.loss, 1e-12) << tokens;
      EXPECT_NEAR(result.gradient_norm, wanted.gradient_norm, 1e-10) << tokens;
    }
  }
}

TEST(PairwiseLoss, RecomputedBlocksGiveTheSameBits) {
  const Transformer model{config(), cast(exact_weights(), at::kFloat)};
  const std::vector<Example> examples = pairs_of(5);
  const PackedBatch batch = pack_batch(model, make_batch(pointers_to(examples)));
  const Loss loss = pairwise_objective(HeadLoss::scaled, weights_a);
  Parameters kept = zeros_like(model.weights, at::kFloat), recomputed = zeros_like(model.weights, at::kFloat);
  EXPECT_TRUE(at::equal(loss.gradient(model, batch, 0.5, false, kept, {}),
                        loss.gradient(model, batch, 0.5, true, recomputed, {})));
  const std::vector<at::Tensor> a = to_list(kept), b = to_list(recomputed);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i], b[i])) << i;
}

}  // namespace
}  // namespace steerlm
