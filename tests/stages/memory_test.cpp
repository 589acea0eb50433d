#include "stages/memory.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>

#include "steerlm/nn/init.h"
#include "support/small_llama.h"

namespace steerlm {
namespace {

TEST(MostTokensWithin, IsAllOrAMultipleOf1024OrTheLeast) {
  const auto bytes = [](std::int64_t tokens) { return 1000 + 10 * tokens; };
  EXPECT_EQ(most_tokens_within(1'000'000, 100, 50'000, bytes), 50'000);
  EXPECT_EQ(most_tokens_within(501'000, 100, 50'000, bytes), 50'000);
  EXPECT_EQ(most_tokens_within(500'999, 100, 50'000, bytes), 49'152);
  EXPECT_EQ(most_tokens_within(1000 + 10'240, 100, 50'000, bytes), 1024);
  EXPECT_EQ(most_tokens_within(1000 + 10'239, 100, 50'000, bytes), 100);
  EXPECT_EQ(most_tokens_within(0, 100, 50'000, bytes), 100);
  EXPECT_EQ(most_tokens_within(1000 + 10'240, 2000, 50'000, bytes), 2000) << "less than the longest example";
  EXPECT_EQ(most_tokens_within(1'000'000, 700, 700, bytes), 700);
  EXPECT_EQ(most_tokens_within(1'000'000, 700, 600, bytes), 700);
}

TEST(MostTokensWithin, LooksBeyondWhatFewSequencesTakeMore) {
  const auto bytes = [](std::int64_t tokens) { return tokens < 4096 ? 100 : tokens < 8192 ? 50 : 100; };
  EXPECT_EQ(most_tokens_within(60, 10, 20'000, bytes), 7168);
}

class ChooseMicroBatchTokens : public testing::Test {
 protected:
  ChooseMicroBatchTokens() {
    recipe.stage = Stage::sft;
    recipe.train.epochs = 1;
    recipe.train.batch_size = 8;
    config.hidden_size = 256;
    config.num_hidden_layers = 8;
    // Steps of 8 examples: 8 x 1,000 tokens, and 8 x 3,000 in one.
    for (int i = 0; i < 24; ++i) {
      const size_t length = i < 16 ? 1000 : 3000;
      examples.push_back({.ids = std::vector<std::int32_t>(length), .target = std::vector<std::uint8_t>(length, 1)});
    }
    recipe.data.shuffle = false;
  }

  // Of a device that computes one micro-batch after the other.
  TrainSettings settings() const {
    TrainSettings gpu = side_by_side();
    gpu.work.multiprocessors = 132;
    return gpu;
  }
  TrainSettings side_by_side() const {
    const HeadShape head{.language_model = true};
    const Parameters weights = parameters_from(config, head, init_parameters(config, head, 1));
    return {recipe, config, weights, {c10::Device(c10::DeviceType::CPU), Precision::fp32}};
  }

  static constexpr std::int64_t plenty = std::numeric_limits<std::int64_t>::max();
  Recipe recipe;
  ModelConfig config = small_llama(100, 0.02);
  std::vector<Example> examples;
};

TEST_F(ChooseMicroBatchTokens, TakesTheLargestStepWhereThatFits) {
  EXPECT_EQ(choose_micro_batch_tokens(recipe, settings(), examples, plenty), 24'000);
  EXPECT_EQ(choose_micro_batch_tokens(recipe, side_by_side(), examples, plenty), 16'384)
      << "a CPU gains nothing beyond";
  recipe.train.steps = 2;
  EXPECT_EQ(choose_micro_batch_tokens(recipe, settings(), examples, plenty), 8000) << "a run of two steps";
}

TEST_F(ChooseMicroBatchTokens, TakesWhatFitsAndTheLongestExampleAtLeast) {
  EXPECT_EQ(choose_micro_batch_tokens(recipe, settings(), examples, 0), 3000);
  // What 8,192 tokens take, in 90 %.
  TrainSettings given = settings();
  given.work.tokens = given.work.target_rows = 8192;
  given.work.step_tokens = 24'000;
  given.work.sequences = 2;
  const std::int64_t exact = train_bytes(config, given.work).total() / 9 * 10;
  EXPECT_EQ(choose_micro_batch_tokens(recipe, settings(), examples, exact + 1000), 8192);
  EXPECT_EQ(choose_micro_batch_tokens(recipe, settings(), examples, exact - 1000), 7168);
  recipe.train.recompute = Recompute::block;
  EXPECT_GT(choose_micro_batch_tokens(recipe, settings(), examples, exact), 8192);
}

TEST_F(ChooseMicroBatchTokens, TheForecastIsThatOfTheLargestMicroBatchThatThereIs) {
  const auto total = [&](std::int64_t tokens) { return forecast_bytes(recipe, settings(), examples, tokens).total(); };
  EXPECT_EQ(total(24'000), total(1'000'000));
  EXPECT_LT(total(8192), total(24'000));
  EXPECT_EQ(total(1), total(3000)) << "the longest example is computed by itself";
  recipe.train.steps = 1;
  EXPECT_EQ(total(8000), total(1'000'000));
}

// Of micro-batches of about 512 tokens a thread no more tokens are computed at the same time than the recipe says.
TEST_F(ChooseMicroBatchTokens, TheForecastCountsTheMicroBatchesOfAllThreads) {
  const int before = at::get_num_threads();
  const auto bytes = [&](int threads, std::int64_t micro_batch_tokens) {
    at::set_num_threads(threads);
    return forecast_bytes(recipe, side_by_side(), examples, micro_batch_tokens);
  };
  const TrainBytes one = bytes(1, 16'384), two = bytes(2, 16'384);
  EXPECT_EQ(two.state, one.state);
  EXPECT_EQ(two.block_backward, 2 * one.block_backward);
  EXPECT_EQ(two.activations, 2 * one.activations);
  EXPECT_EQ(bytes(4, 6000).activations, 2 * one.activations) << "the longest example has 3,000 tokens";
  EXPECT_EQ(bytes(4, 3000).activations, one.activations);
  at::set_num_threads(before);
}

TEST_F(ChooseMicroBatchTokens, APairIsComputedTogether) {
  for (size_t i = 0; i < examples.size(); ++i) {
    examples[i].group = static_cast<std::int64_t>(i / 2);
    examples[i].target.clear();
  }
  recipe.stage = Stage::train_predictor;
  EXPECT_EQ(choose_micro_batch_tokens(recipe, settings(), examples, 0), 3000);
  const std::int64_t single = forecast_bytes(recipe, settings(), examples, 3000).total();
  recipe.head.loss = HeadLoss::scaled;
  EXPECT_EQ(choose_micro_batch_tokens(recipe, settings(), examples, 0), 6000);
  EXPECT_GT(forecast_bytes(recipe, settings(), examples, 3000).total(), single);
  EXPECT_EQ(forecast_bytes(recipe, settings(), examples, 3000).total(),
            forecast_bytes(recipe, settings(), examples, 6000).total());
}

}  // namespace
}  // namespace steerlm
