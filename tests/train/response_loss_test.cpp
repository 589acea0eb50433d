// SteerLM 2.0: the gradient against autograd in fp64, and the estimator on a language whose 512 texts can be counted.
#include "steerlm/train/response_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "steerlm/core/rng.h"
#include "steerlm/data/batch.h"
#include "steerlm/nn/init.h"
#include "steerlm/train/step.h"
#include "support/autograd_reference.h"
#include "support/parameters.h"
#include "support/small_llama.h"
#include "support/train_step.h"

namespace steerlm {
namespace {

Training training_of(const ModelConfig& config, std::uint64_t seed, at::ScalarType dtype = at::kDouble) {
  const HeadShape head{.language_model = true};
  return make_training(config, cast(parameters_from(config, head, init_parameters(config, head, seed)), dtype), dtype,
                       at::kCPU, [](const std::string&) { return true; });
}

StepOptions options_of(double learning_rate, std::int64_t micro_batch_tokens = 1000) {
  StepOptions options{.total_steps = 1000, .micro_batch_tokens = micro_batch_tokens};
  options.optimizer.learning_rate = learning_rate;
  options.optimizer.weight_decay = 0;
  options.optimizer.clip_grad_norm = 0;
  return options;
}

double dot(const Parameters& a, const Parameters& b) {
  const auto x = to_list(a), y = to_list(b);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i].to(at::kDouble) * y[i].to(at::kDouble)).sum().item<double>();
  return sum;
}
double cosine(const Parameters& a, const Parameters& b) { return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b)); }

// Two prompts with three and two responses of different lengths; a weight that fp32 rounds to 0.
std::vector<Example> two_groups() {
  const double weights[] = {0.7, 0.3, 1e-60, 0.25, 0.75};
  std::vector<Example> examples;
  for (size_t s = 0; s < 5; ++s) {
    Rng rng(9, "example", s);
    Example example;
    for (size_t i = 0; i < 5 + s; ++i) {
      example.ids.push_back(static_cast<std::int32_t>(rng.below(37)));
      example.target.push_back(i >= 2);
    }
    example.weight = weights[s];
    example.group = s < 3 ? 0 : 1;
    example.sampling_log_p = -4.0 - 1.5 * static_cast<double>(s);
    examples.push_back(std::move(example));
  }
  return examples;
}

// mean over prompts of KL(w' || b') / T, and its gradient by autograd through b'.
double reference_loss(const ModelConfig& config, const Parameters& weights, const std::vector<Example>& examples,
                      reference::Weights& leaves) {
  torch::AutoGradMode enabled(true);
  for_each_parameter(weights, [&](const std::string& name, const at::Tensor& tensor) {
    leaves[name] = tensor.clone().requires_grad_(true);
  });
  auto loss = torch::zeros({}, torch::kDouble);
  const ExampleGroups groups{ExampleSet(examples)};
  for (size_t g = 0; g < groups.size(); ++g) {
    const ExampleGroup group = groups[g];
    std::vector<torch::Tensor> log_b;
    double targets = 0;
    for (size_t e = group.first; e < group.first + group.size; ++e) {
      const Example& example = examples[e];
      const std::vector<std::int64_t> ids(example.ids.begin(), example.ids.end());
      const auto log_p =
          torch::log_softmax(reference::hidden(config, leaves, ids).matmul(leaves["lm_head.weight"].t()), 1);
      auto log_q = torch::zeros({}, torch::kDouble);
      for (size_t i = 1; i < ids.size(); ++i) {
        if (example.target[i] != 0) log_q = log_q + log_p[static_cast<std::int64_t>(i) - 1][ids[i]];
      }
      log_b.push_back(log_q - example.sampling_log_p);
      targets += static_cast<double>(target_count(example));
    }
    const auto log_share = torch::log_softmax(torch::stack(log_b), 0);
    const double mean_targets = targets / static_cast<double>(group.size);
    for (size_t i = 0; i < group.size; ++i) {
      const double w = examples[group.first + i].weight;
      loss = loss + w * (std::log(w) - log_share[static_cast<std::int64_t>(i)]) / mean_targets;
    }
  }
  loss = loss / 2.0;
  loss.backward();
  return loss.item<double>();
}

TEST(ResponseLoss, GradientIsThatOfTheDistanceInFp64) {
  const ModelConfig config = small_llama(37, 0.4);
  const std::vector<Example> examples = two_groups();
  Training training = training_of(config, 7);
  reference::Weights leaves;
  const double expected = reference_loss(config, training.masters.views, examples, leaves);
  const StepResult step = train_step(training, pointers_to(examples), response_objective, options_of(0));
  EXPECT_TRUE(step.applied);
  EXPECT_NEAR(step.loss, expected, 1e-12 * expected);
  EXPECT_EQ(step.weight, 2) << "the mean is over prompts";
  EXPECT_EQ(step.targets, 3 + 4 + 5 + 6 + 7);
  for_each_parameter(training.gradients.views, [&](const std::string& name, const at::Tensor& ours) {
    const at::Tensor& theirs = leaves[name].grad();
    // (w' - b') / T is rounded to fp32, 6e-8, like every weight of a target.
    EXPECT_LE((ours - theirs).norm().item<double>(), 2e-7 * theirs.norm().item<double>()) << name;
  });
}

TEST(ResponseLoss, MicroBatchesMaySplitAGroup) {
  const std::vector<Example> examples = two_groups();
  Training whole = training_of(small_llama(37, 0.4), 7);
  const StepResult wanted = train_step(whole, pointers_to(examples), response_objective, options_of(1e-2));
  for (const std::int64_t tokens : {1, 12}) {
    Training parts = training_of(small_llama(37, 0.4), 7);
    const StepResult step = train_step(parts, pointers_to(examples), response_objective, options_of(1e-2, tokens));
    EXPECT_NEAR(step.loss, wanted.loss, 1e-12);
    EXPECT_NEAR(step.distance, wanted.distance, 1e-12);
    EXPECT_NEAR(step.gradient_norm, wanted.gradient_norm, 1e-10);
    const MeanGroupLoss held_out = mean_group_loss(parts.model, examples, tokens),
                        at_once = mean_group_loss(whole.model, examples, 1000);
    EXPECT_NEAR(held_out.loss, at_once.loss, 1e-9);
  }
}

TEST(ResponseLoss, ValidationMeasuresWhatTrainingMinimises) {
  const std::vector<Example> examples = two_groups();
  Training training = training_of(small_llama(37, 0.4), 7);
  const MeanGroupLoss before = mean_group_loss(training.model, examples, 1000);
  const StepResult step = train_step(training, pointers_to(examples), response_objective, options_of(1e-3));
  EXPECT_NEAR(step.loss, before.loss, 1e-12);
  EXPECT_NEAR(step.distance, before.distance, 1e-12);
  EXPECT_LT(mean_group_loss(training.model, examples, 1000).loss, before.loss);
}

// b' = softmax(1.5, 0.5) by hand.
TEST(ResponseLoss, OfAGroupByHand) {
  Example a{{0, 1, 2}, {0, 1, 1}, {}}, b{{0, 1, 2, 3, 4}, {0, 1, 1, 1, 1}, {}};
  a.weight = 0.4, a.sampling_log_p = -3, b.weight = 0.6, b.sampling_log_p = -2;
  const std::vector<const Example*> group{&a, &b};
  const GroupLoss loss = group_loss(group, std::vector<double>{-1.5, -1.5});
  const double b1 = 1 / (1 + std::exp(-1)), b2 = 1 - b1, mean_targets = 3;
  EXPECT_NEAR(loss.loss, (0.4 * std::log(0.4 / b1) + 0.6 * std::log(0.6 / b2)) / mean_targets, 1e-14);
  EXPECT_NEAR(loss.distance, 0.4 * std::log(0.4 / b1) + 0.6 * std::log(0.6 / b2), 1e-7);
  EXPECT_NEAR(loss.coefficients[0], (0.4 - b1) / mean_targets, 1e-14);
  EXPECT_NEAR(loss.coefficients[1], (0.6 - b2) / mean_targets, 1e-14);
  // With equal weights and shares there is nothing to learn.
  a.weight = b.weight = 0.5;
  const GroupLoss none = group_loss(group, std::vector<double>{-3, -2});
  EXPECT_NEAR(none.loss, 0, 1e-15);
  EXPECT_EQ(none.coefficients, (std::vector<double>{0, 0}));
  EXPECT_FALSE(std::isfinite(group_loss(group, std::vector<double>{NAN, -2}).loss));
  EXPECT_FALSE(std::isfinite(group_loss(group, std::vector<double>{-INFINITY, -2}).loss));
}

TEST(ResponseLoss, WhatIsNotFiniteIsNotApplied) {
  std::vector<Example> examples = two_groups();
  examples[1].sampling_log_p = NAN;
  Training training = training_of(small_llama(37, 0.4), 7);
  EXPECT_FALSE(train_step(training, pointers_to(examples), response_objective, options_of(1e-2)).applied);
}

// Texts of three symbols out of eight, given one symbol: 512, so that every probability is known.
class CountableLanguage : public testing::Test {
 protected:
  static constexpr int symbols = 8, texts = symbols * symbols * symbols;

  CountableLanguage() {
    const Training prior = training_of(config, 21);
    const std::vector<double> log_prior = log_probabilities(prior.model);
    double sum = 0;
    for (int y = 0; y < texts; ++y) sum += target.emplace_back(std::exp(log_prior[y] + log_likelihood(y)));
    for (double& p : target) p /= sum;
  }

  static Example text(int y) {
    const auto id = [](int value) { return static_cast<std::int32_t>(value % symbols); };
    return {{0, id(y / 64), id(y / 8), id(y)}, {0, 1, 1, 1}, {}};
  }
  // log P(a|x,y): the label wants a large sum of symbols.
  static double log_likelihood(int y) { return 0.25 * static_cast<double>(y / 64 % 8 + y / 8 % 8 + y % 8); }

  // Of all texts, exact.
  std::vector<double> log_probabilities(const Transformer& model) const {
    std::vector<Example> all;
    for (int y = 0; y < texts; ++y) all.push_back(text(y));
    return sequence_log_probabilities(model, pack_batch(model, make_batch(pointers_to(all), false)), pointers_to(all));
  }

  // KL(target || policy), exact.
  double divergence(const Transformer& policy) const {
    const std::vector<double> log_q = log_probabilities(policy);
    double sum = 0;
    for (int y = 0; y < texts; ++y) sum += target[y] * (std::log(target[y]) - log_q[y]);
    return sum;
  }

  // n texts of the policy, as one prompt of SteerLM 2.0.
  std::vector<Example> sample(const std::vector<double>& log_q, const std::vector<double>& log_prior, size_t n,
                              std::uint64_t key) const {
    std::vector<Example> examples;
    std::vector<double> log_w;
    double most = -INFINITY;
    std::vector<double> cumulative;
    for (const double log_p : log_q)
      cumulative.push_back(std::exp(log_p) + (cumulative.empty() ? 0 : cumulative.back()));
    for (size_t i = 0; i < n; ++i) {
      const double drawn = Rng(17, "text " + std::to_string(key), i).uniform();
      const int y =
          std::min(texts - 1, static_cast<int>(std::ranges::upper_bound(cumulative, drawn) - cumulative.begin()));
      Example example = text(y);
      example.group = static_cast<std::int64_t>(key);
      example.sampling_log_p = log_q[y];
      log_w.push_back(log_likelihood(y) + log_prior[y] - log_q[y]);
      most = std::max(most, log_w.back());
      examples.push_back(std::move(example));
    }
    double sum = 0;
    for (const double value : log_w) sum += std::exp(value - most);
    for (size_t i = 0; i < n; ++i) examples[i].weight = std::exp(log_w[i] - most) / sum;
    return examples;
  }

  ModelConfig config = small_llama(symbols, 0.3);
  std::vector<double> target;
};

TEST_F(CountableLanguage, ProbabilitiesOfAllTextsSumToOne) {
  double sum = 0;
  for (const double log_p : log_probabilities(training_of(config, 5).model)) sum += std::exp(log_p);
  EXPECT_NEAR(sum, 1, 1e-12);
}

// grad KL(P || Q) = -sum_y P(y) grad log Q(y); the estimator's cosine with it goes to 1.
TEST_F(CountableLanguage, TheEstimatorGoesToTheExactGradient) {
  Training policy = training_of(config, 5);
  const std::vector<double> log_q = log_probabilities(policy.model),
                            log_prior = log_probabilities(training_of(config, 21).model);
  std::vector<Example> all;
  for (int y = 0; y < texts; ++y) {
    all.push_back(text(y));
    all.back().weight = target[y];
  }
  Training exact = training_of(config, 5);
  train_step(exact, pointers_to(all), language_model_objective, options_of(0));
  std::vector<double> cosines;
  for (const size_t n : {16u, 256u, 2048u, 16'000u}) {
    const std::uint64_t draws = n > 256 ? 1 : 4;
    double mean = 0;
    for (std::uint64_t draw = 0; draw < draws; ++draw) {
      const std::vector<Example> examples = sample(log_q, log_prior, n, 10 * n + draw);
      train_step(policy, pointers_to(examples), response_objective, options_of(0, 100000));
      mean += cosine(policy.gradients.views, exact.gradients.views) / static_cast<double>(draws);
    }
    cosines.push_back(mean);
  }
  for (size_t i = 1; i < cosines.size(); ++i) EXPECT_GT(cosines[i], cosines[i - 1]);
  EXPECT_GT(cosines.back(), 0.97);  // 1 - cosine falls as 1/n
  EXPECT_LT(cosines.front(), 0.7);
}

TEST_F(CountableLanguage, TwoIterationsBringThePolicyCloserToTheTarget) {
  Training policy = training_of(config, 5, at::kFloat);
  const std::vector<double> log_prior = log_probabilities(training_of(config, 21).model);
  std::vector<double> divergences{divergence(policy.model)};
  for (std::uint64_t iteration = 0; iteration < 2; ++iteration) {
    const std::vector<double> log_q = log_probabilities(policy.model);
    double first = 0, last = 0;
    for (std::uint64_t step = 0; step < 40; ++step) {
      std::vector<Example> batch;
      for (std::uint64_t prompt = 0; prompt < 8; ++prompt) {
        // Two passes over the same prompts.
        const std::vector<Example> group = sample(log_q, log_prior, 16, 10'000 * iteration + 8 * (step % 20) + prompt);
        batch.insert(batch.end(), group.begin(), group.end());
      }
      const StepResult taken = train_step(policy, pointers_to(batch), response_objective, options_of(3e-3, 4096));
      (step == 0 ? first : last) = taken.distance;
    }
    EXPECT_LT(last, first) << "the distance of iteration " << iteration + 1;
    divergences.push_back(divergence(policy.model));
  }
  EXPECT_LT(divergences[1], 0.7 * divergences[0]);
  EXPECT_LT(divergences[2], 0.8 * divergences[1]);
}

}  // namespace
}  // namespace steerlm
