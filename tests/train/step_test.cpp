// One optimiser step: micro-batches, clipping, the schedule, frozen weights, numbers that are not finite.
#include "steerlm/train/step.h"
#include "steerlm/kernels/adamw.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/linear.h"
#include "support/batches.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <utility>

#include "steerlm/core/rng.h"
#include "steerlm/nn/init.h"
#include "steerlm/optim/schedule.h"
#include "support/parameters.h"
#include "support/small_llama.h"
#include "support/tensor_operators.h"
#include "support/train_step.h"

namespace steerlm {
namespace {

ModelConfig small_config() { return small_llama(37, 0.3); }

// Sequences of 3, 4, … tokens; with `attributes` labels, some of them unknown.
std::vector<Example> examples_of(size_t count, size_t attributes) {
  std::vector<Example> examples;
  for (size_t s = 0; s < count; ++s) {
    Rng rng(5, "example", s);
    Example example;
    for (size_t i = 0; i < 3 + s; ++i) {
      example.ids.push_back(static_cast<std::int32_t>(rng.below(37)));
      example.target.push_back(i > 0 && rng.uniform() < 0.7);
    }
    for (size_t a = 0; a < attributes; ++a)
      example.labels.push_back((s + a) % 3 == 0 ? NAN : static_cast<float>(rng.below(5)));
    if (attributes > 0) example.target.clear();
    examples.push_back(std::move(example));
  }
  return examples;
}

bool all_of_them(const std::string&) { return true; }

at::Tensor random_numbers(const std::vector<std::int64_t>& shape, const std::string& name) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  Rng rng(3, name, 0);
  float* data = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) data[i] = static_cast<float>(0.1 * rng.normal());
  return tensor;
}

Training fresh(at::ScalarType masters, at::ScalarType dtype, std::int64_t attributes = 0) {
  const HeadShape head{attributes == 0, attributes, attributes > 0};
  const Parameters weights = parameters_from(small_config(), head, init_parameters(small_config(), head, 7));
  return make_training(small_config(), cast(weights, masters), dtype, at::kCPU, all_of_them);
}

StepOptions options_of(double learning_rate, std::int64_t micro_batch_tokens = 1000) {
  StepOptions options{.total_steps = 10, .micro_batch_tokens = micro_batch_tokens};
  options.optimizer.learning_rate = learning_rate;
  return options;
}

double largest_difference(const Parameters& a, const Parameters& b) {
  const auto x = to_list(a), y = to_list(b);
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i)
    largest = std::max(largest, (x[i].to(at::kDouble) - y[i].to(at::kDouble)).abs().max().item<double>());
  return largest;
}

// In fp64, where AdamW's division by small gradients leaves nothing of rounding to speak of.
TEST(TrainStep, MicroBatchesChangeNothing) {
  for (const std::int64_t attributes : {0, 3}) {
    const Loss& loss = attributes == 0 ? language_model_objective : regression_objective;
    const std::vector<Example> examples = examples_of(9, static_cast<size_t>(attributes));
    const auto run = [&](std::int64_t micro_batch_tokens) {
      Training training = fresh(at::kDouble, at::kDouble, attributes);
      std::vector<StepResult> steps;
      for (int t = 0; t < 5; ++t)
        steps.push_back(train_step(training, pointers_to(examples), loss, options_of(1e-2, micro_batch_tokens)));
      return std::pair{training, steps};
    };
    const auto [whole, whole_steps] = run(1000);
    EXPECT_GT(whole_steps[0].loss, 1.05 * whole_steps[4].loss) << "nothing is learnt";
    for (const std::int64_t tokens : {1, 8, 20}) {
      const auto [parts, steps] = run(tokens);
      for (size_t t = 0; t < steps.size(); ++t) {
        EXPECT_NEAR(steps[t].loss, whole_steps[t].loss, 1e-10 * whole_steps[t].loss);
        EXPECT_NEAR(steps[t].gradient_norm, whole_steps[t].gradient_norm, 1e-10 * whole_steps[t].gradient_norm);
        EXPECT_EQ(steps[t].targets, whole_steps[t].targets);
        EXPECT_EQ(steps[t].tokens, 63);
      }
      EXPECT_LE(largest_difference(parts.masters.views, whole.masters.views), 1e-9) << tokens << " tokens at once";
    }
    StepOptions side_by_side = options_of(1e-2);
    side_by_side.thread_tokens = 8;
    Training training = fresh(at::kDouble, at::kDouble, attributes);
    EXPECT_EQ(prepare_step(training.model, pointers_to(examples), loss, side_by_side).micro_batches.size(), 8u);
    for (size_t t = 0; t < whole_steps.size(); ++t) {
      const StepResult step = train_step(training, pointers_to(examples), loss, side_by_side);
      EXPECT_NEAR(step.loss, whole_steps[t].loss, 1e-10 * whole_steps[t].loss);
      EXPECT_NEAR(step.gradient_norm, whole_steps[t].gradient_norm, 1e-10 * whole_steps[t].gradient_norm);
    }
    EXPECT_LE(largest_difference(training.masters.views, whole.masters.views), 1e-9) << "threads side by side";
  }
}

// On a GPU each read waits for all that was given to it.
TEST(TrainStep, ReadsItsNumbersOnce) {
  for (const size_t attributes : {0u, 3u}) {
    const std::vector<Example> examples = examples_of(8, attributes);
    const Loss& loss = attributes == 0 ? language_model_objective : regression_objective;
    Training training = fresh(at::kFloat, at::kFloat, static_cast<std::int64_t>(attributes));
    const StepOptions options = options_of(1e-3, 20);
    const std::int64_t before = host_reads();
    StepInput input = prepare_step(training.model, pointers_to(examples), loss, options);
    EXPECT_GT(input.micro_batches.size(), 1u);
    EXPECT_EQ(input.tokens, 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10);
    EXPECT_EQ(input.squared_lengths, 9 + 16 + 25 + 36 + 49 + 64 + 81 + 100);
    const PendingStep pending = enqueue_step(training, input, loss, options);
    EXPECT_EQ(host_reads(), before);
    EXPECT_TRUE(finish_step(training, pending).applied);
    EXPECT_EQ(host_reads(), before + 1);
  }
}

struct BitsCase {
  const char* name;
  void (*edit)(ModelConfig&);
  std::int64_t attributes = 0;
  bool recompute = false, lora = false;
  std::int64_t thread_tokens = 200;
};
class TrainStepBits : public testing::TestWithParam<BitsCase> {};

// Large enough that the products and the loops of a step are dealt out to threads. Of 7 threads and 8 micro-batches one
// is left over, which all threads share.
TEST_P(TrainStepBits, InFp32DoNotDependOnTheNumberOfThreads) {
  if (!rows_are_independent(at::kFloat)) GTEST_SKIP() << "a processor without AVX2 takes ATen's products";
  const BitsCase& test = GetParam();
  ModelConfig config = small_config();
  config.hidden_size = 128;
  config.intermediate_size = 200;
  config.head_dim = 32;
  test.edit(config);
  const std::vector<Example> examples = examples_of(50, static_cast<size_t>(test.attributes));
  const Loss& loss = test.attributes == 0 ? language_model_objective : regression_objective;
  const HeadShape head{test.attributes == 0, test.attributes, test.attributes > 0};
  NamedTensors tensors = init_parameters(config, head, 7);
  Parameters weights = parameters_from(config, head, tensors);
  if (test.lora) {
    NamedTensors matrices;
    for (const auto& [name, shape] : lora_shapes(config, {})) matrices.emplace_back(name, random_numbers(shape, name));
    weights = with_lora(weights, {}, matrices);
  }
  StepOptions options = options_of(1e-2);
  options.thread_tokens = test.thread_tokens;
  options.recompute = test.recompute;
  const int before = at::get_num_threads();
  Parameters first;
  for (const int threads : {1, 2, 3, 7}) {
    at::set_num_threads(threads);
    Parameters copy = cast(weights, at::kFloat);
    for_each_parameter(copy, [](const std::string&, at::Tensor& tensor) { tensor = tensor.clone(); });
    Training training = make_training(config, copy, at::kFloat, at::kCPU,
                                      [&](const std::string& name) { return !test.lora || is_trained_by_lora(name); });
    const StepInput input = prepare_step(training.model, pointers_to(examples), loss, options);
    EXPECT_EQ(input.micro_batches.size(), test.thread_tokens > 0 ? 8u : 2u);
    for (int t = 0; t < 3; ++t) EXPECT_TRUE(train_step(training, pointers_to(examples), loss, options).applied);
    if (threads == 1)
      first = training.masters.views;
    else
      EXPECT_EQ(largest_difference(training.masters.views, first), 0) << threads << " threads";
  }
  at::set_num_threads(before);
}

INSTANTIATE_TEST_SUITE_P(
    All, TrainStepBits,
    testing::Values(BitsCase{"shared", [](ModelConfig&) {}, 0, false, false, 0}, BitsCase{"plain", [](ModelConfig&) {}},
                    BitsCase{"tied", [](ModelConfig& c) { c.tie_word_embeddings = true; }},
                    BitsCase{"biases", [](ModelConfig& c) { c.qkv_bias = c.o_bias = c.mlp_bias = true; }},
                    BitsCase{"norms_of_heads", [](ModelConfig& c) { c.qk_norm = true; }},
                    BitsCase{"regression", [](ModelConfig&) {}, 3}, BitsCase{"recompute", [](ModelConfig&) {}, 0, true},
                    BitsCase{"lora", [](ModelConfig&) {}, 0, false, true}),
    [](const auto& test) { return std::string(test.param.name); });

// The gradient of a tied embedding is that of the output layer and that of the tokens, each with a sum of its own.
TEST(TrainStep, ThreadsGiveTheGradientOfATiedEmbedding) {
  ModelConfig config = small_config();
  config.tie_word_embeddings = true;
  const HeadShape head{true, 0, false};
  const std::vector<Example> examples = examples_of(9, 0);
  const auto gradients = [&](std::int64_t thread_tokens) {
    Training training =
        make_training(config, cast(parameters_from(config, head, init_parameters(config, head, 7)), at::kDouble),
                      at::kDouble, at::kCPU, all_of_them);
    StepOptions options = options_of(1e-2);
    options.thread_tokens = thread_tokens;
    for (int t = 0; t < 2; ++t) train_step(training, pointers_to(examples), language_model_objective, options);
    return training.gradients.views;
  };
  EXPECT_LE(largest_difference(gradients(8), gradients(0)), 1e-12);
}

// What a thread throws is what the step throws, whichever micro-batches wait for that one.
TEST(TrainStep, AFailureOfOneThreadIsThatOfTheStep) {
  const std::vector<Example> examples = examples_of(9, 0);
  Loss failing = language_model_objective;
  failing.gradient = [](const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                        Parameters& gradients, const GradientTurn& turn) {
    if (turn.micro_batch == 1) throw std::runtime_error("the second");
    return language_model_gradient(model, batch, scale, recompute, gradients, turn);
  };
  ModelConfig config = small_config();
  config.tie_word_embeddings = true;
  const HeadShape head{true, 0, false};
  const auto begin = [&] {
    return make_training(config, parameters_from(config, head, init_parameters(config, head, 7)), at::kFloat, at::kCPU,
                         all_of_them);
  };
  StepOptions options = options_of(1e-2);
  options.thread_tokens = 8;
  const int before = at::get_num_threads();
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    Training training = begin(), untroubled = begin();
    try {
      train_step(training, pointers_to(examples), failing, options);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "the second");
    }
    // What it had added counts for nothing.
    train_step(training, pointers_to(examples), language_model_objective, options);
    train_step(untroubled, pointers_to(examples), language_model_objective, options);
    EXPECT_EQ(largest_difference(training.masters.views, untroubled.masters.views), 0);
  }
  at::set_num_threads(before);
}

TEST(TrainStep, ThreadsComputeWholeMicroBatchesWithinTheirLimits) {
  const int before = at::get_num_threads();
  at::set_num_threads(4);
  const StepOptions options{.micro_batch_tokens = 4096, .thread_tokens = 512};
  EXPECT_EQ(micro_batches_at_once(options, 512), 4);   // a thread each
  EXPECT_EQ(micro_batches_at_once(options, 1500), 2);  // 3,000 of 4,096 tokens
  EXPECT_EQ(micro_batches_at_once(options, 9000), 1);  // one that is too long
  EXPECT_EQ(micro_batches_at_once({.micro_batch_tokens = 4096}, 512), 1);
  at::set_num_threads(before);
  EXPECT_EQ(thread_tokens_for(at::kCPU), 512);
  EXPECT_EQ(thread_tokens_for(at::Device(at::kCUDA, 0)), 0);
  // A micro-batch of several is never longer than micro_batch_tokens, whatever a thread should have.
  std::vector<SequenceSize> sizes;
  for (std::int64_t tokens = 3; tokens <= 11; ++tokens) sizes.push_back({tokens});
  for (const std::int64_t budget : {4, 12, 20, 63}) {
    for (const std::int64_t thread_tokens : {1, 16, 100}) {
      std::vector<size_t> members;
      for (const std::vector<size_t>& bin : micro_batches(sizes, budget, false, thread_tokens)) {
        std::int64_t tokens = 0;
        for (const size_t i : bin) tokens += sizes[i].tokens;
        EXPECT_FALSE(bin.empty());
        EXPECT_TRUE(bin.size() == 1 || tokens <= budget) << tokens << " of " << budget;
        members.insert(members.end(), bin.begin(), bin.end());
      }
      std::ranges::sort(members);
      EXPECT_EQ(members, (std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
    }
  }
}

TEST(TrainStep, OfExamplesIsTheGradientOfTheirMean) {
  const std::vector<Example> examples = examples_of(4, 0);
  Training training = fresh(at::kDouble, at::kDouble);
  const Transformer before{small_config(), cast(training.masters.views, at::kDouble)};
  const Batch batch = make_batch(pointers_to(examples));
  Parameters gradients = zeros_like(training.masters.views, at::kDouble);
  const double count = target_count(batch);
  const double mean = language_model_gradient(before, batch, 1 / count, gradients) / count;
  StepOptions options = options_of(1e-3);
  options.optimizer.clip_grad_norm = 0;
  const StepResult step = train_step(training, pointers_to(examples), language_model_objective, options);
  EXPECT_TRUE(step.applied);
  EXPECT_DOUBLE_EQ(step.loss, mean);
  EXPECT_EQ(static_cast<double>(step.targets), count);
  EXPECT_LE(largest_difference(training.gradients.views, gradients), 1e-15);
  EXPECT_EQ(training.steps, 1);
}

// Twice the weight is the example twice, in the loss, its denominator and the gradient.
TEST(TrainStep, AWeightIsHowOftenAnExampleCounts) {
  std::vector<Example> weighted = examples_of(4, 0), repeated = weighted;
  weighted[2].weight = 2;
  repeated.push_back(repeated[2]);
  StepOptions options = options_of(1e-3);
  Training a = fresh(at::kDouble, at::kDouble), b = fresh(at::kDouble, at::kDouble);
  const StepResult once = train_step(a, pointers_to(weighted), language_model_objective, options),
                   twice = train_step(b, pointers_to(repeated), language_model_objective, options);
  EXPECT_NEAR(once.loss, twice.loss, 1e-12);
  EXPECT_EQ(once.weight, twice.weight);
  EXPECT_LT(once.targets, twice.targets);
  EXPECT_LE(largest_difference(a.gradients.views, b.gradients.views), 1e-12);
  // A denominator that is no whole number.
  for (Example& example : weighted) example.weight *= 0.3;
  Training c = fresh(at::kDouble, at::kDouble);
  const StepResult scaled = train_step(c, pointers_to(weighted), language_model_objective, options);
  EXPECT_NEAR(scaled.weight, 0.3 * once.weight, 1e-12);
  EXPECT_NEAR(scaled.loss, once.loss, 1e-6) << "weights of targets are fp32";
}

TEST(TrainStep, MicroBatchesHoldWholeGroupsWhereTheLossNeedsThem) {
  std::vector<Example> examples = examples_of(6, 0);  // of 3, 4, … 8 tokens
  const std::int64_t groups[] = {0, 0, -1, 1, 1, 1};
  for (size_t i = 0; i < examples.size(); ++i) examples[i].group = groups[i];
  using Bins = std::vector<std::vector<size_t>>;
  const Training training = fresh(at::kFloat, at::kFloat);
  Loss loss = language_model_objective;
  const auto members = [&] {
    return prepare_step(training.model, pointers_to(examples), loss, options_of(0, 12)).members;
  };
  loss.whole_groups = true;
  EXPECT_EQ(members(), (Bins{{3, 4, 5}, {0, 1, 2}}));
  loss.whole_groups = false;
  EXPECT_EQ(members(), (Bins{{5, 1}, {4, 2}, {3, 0}}));
}

TEST(TrainStep, ClipsByTheGlobalNormAndReportsTheNormBefore) {
  const std::vector<Example> examples = examples_of(4, 0);
  StepOptions options = options_of(1e-3);
  options.optimizer.clip_grad_norm = 0;
  Training free = fresh(at::kDouble, at::kDouble), clipped = fresh(at::kDouble, at::kDouble);
  const double norm = train_step(free, pointers_to(examples), language_model_objective, options).gradient_norm;
  options.optimizer.clip_grad_norm = norm / 4;
  EXPECT_DOUBLE_EQ(train_step(clipped, pointers_to(examples), language_model_objective, options).gradient_norm, norm);
  double squares = 0;
  for (const at::Tensor& gradient : to_list(clipped.gradients.views)) squares += gradient.square().sum().item<double>();
  EXPECT_NEAR(std::sqrt(squares), norm, 1e-12 * norm) << "the gradients are those before clipping";
  // The moments took the clipped gradient.
  const double moment = to_list(clipped.adamw.first_moment.views)[0].norm().item<double>(),
               unclipped = to_list(free.adamw.first_moment.views)[0].norm().item<double>();
  EXPECT_NEAR(moment, unclipped / 4, 1e-5 * unclipped);
}

// torch.nn.utils.clip_grad_norm_
TEST(ClipFactor, IsThatOfTorch) {
  EXPECT_EQ(clip_factor(0.5, 1), 1);
  EXPECT_EQ(clip_factor(0, 1), 1);
  EXPECT_DOUBLE_EQ(clip_factor(4, 1), 1 / 4.000001);
  EXPECT_DOUBLE_EQ(clip_factor(1, 1), 1 / 1.000001);
  EXPECT_EQ(clip_factor(100, 0), 1);
}

TEST(TrainStep, TakesTheRateOfTheSchedule) {
  const std::vector<Example> examples = examples_of(2, 0);
  StepOptions options = options_of(1e-2);
  options.total_steps = 4;
  options.schedule = {.kind = ScheduleKind::linear, .warmup_steps = 1};
  Training training = fresh(at::kFloat, at::kFloat);
  for (const double wanted : {1e-2, 1e-2, 2e-2 / 3, 1e-2 / 3})
    EXPECT_DOUBLE_EQ(train_step(training, pointers_to(examples), language_model_objective, options).learning_rate,
                     wanted);
}

TEST(TrainStep, LeavesFrozenWeightsAlone) {
  const std::vector<Example> examples = examples_of(3, 0);
  const HeadShape head{.language_model = true};
  const Parameters weights = parameters_from(small_config(), head, init_parameters(small_config(), head, 7));
  const Parameters before = cast(cast(weights, at::kDouble), at::kFloat);
  const auto is_trained = [](const std::string& name) { return name == "lm_head.weight"; };
  const auto others = [&](const std::string& name) { return !is_trained(name); };
  Training training = make_training(small_config(), weights, at::kFloat, at::kCPU, is_trained);
  train_step(training, pointers_to(examples), language_model_objective, options_of(1e-2));
  EXPECT_EQ(to_list(training.masters.views).size(), 1u);
  EXPECT_EQ(largest_difference(select(training.model.weights, others), select(before, others)), 0);
  EXPECT_GT(largest_difference(training.masters.views, select(before, is_trained)), 5e-3);
}

TEST(TrainStep, AppliesNothingThatIsNotFinite) {
  const std::vector<Example> examples = examples_of(3, 0);
  Training training = fresh(at::kFloat, at::kFloat);
  train_step(training, pointers_to(examples), language_model_objective, options_of(1e-2));
  training.masters.views.norm_d[3] = NAN;
  const Parameters weights = cast(cast(training.masters.views, at::kDouble), at::kFloat),
                   moments = cast(cast(training.adamw.first_moment.views, at::kDouble), at::kFloat);
  const StepResult step = train_step(training, pointers_to(examples), language_model_objective, options_of(1e-2));
  EXPECT_FALSE(step.applied);
  EXPECT_FALSE(std::isfinite(step.loss) && std::isfinite(step.gradient_norm));
  EXPECT_EQ(training.steps, 1);
  EXPECT_EQ(largest_difference(training.adamw.first_moment.views, moments), 0);
  training.masters.views.norm_d[3] = 0;
  weights.norm_d[3] = 0;
  EXPECT_EQ(largest_difference(training.masters.views, weights), 0);
}

// bf16 computes, fp32 remembers: changes that bf16 cannot hold add up in the masters.
TEST(TrainStep, InBf16KeepsMastersAndMomentsInFp32) {
  const std::vector<Example> examples = examples_of(4, 0);
  Training training = fresh(at::kFloat, at::kBFloat16), exact = fresh(at::kDouble, at::kDouble);
  const Parameters before = cast(cast(training.masters.views, at::kDouble), at::kFloat);
  for (int t = 0; t < 3; ++t) {
    const StepResult step = train_step(training, pointers_to(examples), language_model_objective, options_of(1e-5)),
                     wanted = train_step(exact, pointers_to(examples), language_model_objective, options_of(1e-5));
    EXPECT_NEAR(step.loss, wanted.loss, 0.02 * wanted.loss);
    EXPECT_NEAR(step.gradient_norm, wanted.gradient_norm, 0.05 * wanted.gradient_norm);
  }
  const double moved = largest_difference(training.masters.views, before);
  EXPECT_EQ(training.model.dtype(), at::kBFloat16);
  EXPECT_TRUE(at::equal(training.copy.flat, training.masters.flat.to(at::kBFloat16)))
      << "what is computed with is not the masters, rounded";
  training.masters.views.norm_d.fill_(1.01);
  round_masters(training);
  EXPECT_TRUE(at::equal(training.model.weights.norm_d, training.masters.views.norm_d.to(at::kBFloat16)));
  for (const at::Tensor& tensor : to_list(training.masters.views)) EXPECT_EQ(tensor.scalar_type(), at::kFloat);
  for (const at::Tensor& tensor : to_list(training.adamw.second_moment.views))
    EXPECT_EQ(tensor.scalar_type(), at::kFloat);
  EXPECT_GT(moved, 2e-5);
  EXPECT_LT(moved, 4e-5);
}

}  // namespace
}  // namespace steerlm
