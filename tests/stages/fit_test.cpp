// The training loop where the memory of a GPU does not suffice, which the loss of these tests plays.
#include "stages/fit.h"

#include <ATen/ops/equal.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "steerlm/core/error.h"
#include "steerlm/core/rng.h"
#include "steerlm/nn/init.h"
#include "support/small_llama.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

std::int64_t tokens_that_fit = 0;

at::Tensor gradient_within_memory(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                                  Parameters& gradients, const GradientTurn& turn) {
  // Not at once: what a failed step has added to the gradients must not count.
  const at::Tensor loss = language_model_gradient(model, batch, scale, recompute, gradients, turn);
  if (batch.tokens.ids_n.numel() > tokens_that_fit)
    throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "CUDA out of memory");
  return loss;
}

// Batch sizes, steps and the order are of groups; the examples of one are taken in one step.
TEST(FitGroups, AStepTakesWholeGroups) {
  static std::vector<std::vector<std::int64_t>> steps;  // the first ids of the examples of each micro-batch
  steps.clear();
  const auto watching = [](const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                           Parameters& gradients, const GradientTurn& turn) {
    std::vector<std::int64_t> firsts;
    const std::vector<std::int64_t>& cu_seqlens = batch.tokens.sequences.cu_seqlens;
    for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s)
      firsts.push_back(batch.tokens.ids_n[cu_seqlens[s]].item<std::int64_t>());
    std::ranges::sort(firsts);
    steps.push_back(firsts);
    return language_model_gradient(model, batch, scale, recompute, gradients, turn);
  };
  std::vector<Example> examples;
  const std::int64_t groups[] = {7, 7, 7, -1, 3, 3};
  for (std::int32_t i = 0; i < 6; ++i) {
    Example example{{i, 8, 9}, {0, 1, 1}, {}};
    example.group = groups[i];
    examples.push_back(example);
  }
  TemporaryFolder folder;
  Recipe recipe;
  recipe.stage = Stage::sft;
  recipe.run_dir = (folder.path() / "run").string();
  recipe.device = "cpu";
  recipe.precision = Precision::fp32;
  recipe.train.epochs = 1;
  recipe.train.batch_size = 2;
  recipe.train.micro_batch_tokens = 1000;
  recipe.data.shuffle = false;
  Log log(true, false, [](std::string_view) {});
  const Context context{.quiet = true, .log = &log};
  RunDirectory run(recipe, context);
  run.start();
  const HeadShape head{.language_model = true};
  const ModelConfig config = small_llama(60, 0.2);
  const ExampleSet set(examples);
  const FitTask task{&set, {target_count, target_weight, watching}, {}};
  EXPECT_EQ(total_steps(recipe, 3), 2);
  fit(recipe, run, config, parameters_from(config, head, init_parameters(config, head, 1)), task, context);
  EXPECT_THAT(steps, testing::ElementsAre(testing::ElementsAre(0, 1, 2, 3), testing::ElementsAre(4, 5)));
}

class FitWithinMemory : public testing::Test {
 protected:
  FitWithinMemory() {
    for (std::uint64_t s = 0; s < 8; ++s) {
      Rng rng(4, "example", s);
      Example example;
      for (std::uint64_t i = 0; i < 8 + s; ++i) example.ids.push_back(static_cast<std::int32_t>(rng.below(60)));
      example.target.assign(example.ids.size(), 1);
      examples.push_back(example);
    }
  }

  // The weights after three steps of four examples.
  std::vector<at::Tensor> train(const std::string& name, std::int64_t micro_batch_tokens, std::int64_t fitting) {
    tokens_that_fit = fitting;
    Recipe recipe;
    recipe.stage = Stage::sft;
    recipe.run_dir = (folder.path() / name).string();
    recipe.device = "cpu";
    recipe.precision = Precision::fp32;
    recipe.optimizer.learning_rate = 1e-2;
    recipe.train.steps = 3;
    recipe.train.batch_size = 4;
    recipe.train.micro_batch_tokens = micro_batch_tokens;
    Log log(true, false, [this](std::string_view line) { said += line; });
    Context context{.quiet = true, .log = &log};
    RunDirectory run(recipe, context);
    run.start();
    const HeadShape head{.language_model = true};
    const ModelConfig config = small_llama(60, 0.2);
    const ExampleSet set(examples);
    const FitTask task{&set, {target_count, target_weight, gradient_within_memory, whole_groups}, {}};
    return to_list(
        fit(recipe, run, config, parameters_from(config, head, init_parameters(config, head, 1)), task, context)
            .weights);
  }

  TemporaryFolder folder;
  std::vector<Example> examples;
  bool whole_groups = false;
  std::string said;
};

TEST_F(FitWithinMemory, AStepThatDoesNotFitIsTakenInSmallerMicroBatches) {
  const std::vector<at::Tensor> wanted = train("small", 15, 1000);
  EXPECT_EQ(said, "");
  const std::vector<at::Tensor> found = train("large", 1000, 15);
  EXPECT_THAT(said, testing::HasSubstr("step 1 does not fit in the memory of the GPU"));
  EXPECT_THAT(said, testing::Not(testing::HasSubstr("step 2 does not fit"))) << "what is halved stays so";
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_LE(wanted[i].sub(found[i]).abs().max().item<double>(), 1e-5) << i;
}

TEST_F(FitWithinMemory, OneSequenceThatDoesNotFitEndsTheRun) {
  try {
    train("none", 1000, 5);
    FAIL() << "it fits";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::resources);
    EXPECT_THAT(format_fault(error.faults().front()), testing::HasSubstr("train.recompute: block"));
  }
}

TEST_F(FitWithinMemory, APairIsHalvedNoFurther) {
  whole_groups = true;
  for (size_t s = 0; s < examples.size(); ++s) examples[s].group = static_cast<std::int64_t>(s / 2);
  train("pairs", 1000, 29);  // 14 + 15 tokens: the longest pair by itself
  EXPECT_THAT(said, testing::HasSubstr("step 1 does not fit in the memory of the GPU"));
  try {
    train("none", 1000, 20);
    FAIL() << "it fits";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::resources);
    EXPECT_THAT(format_fault(error.faults().front()), testing::HasSubstr("one pair at a time"));
  }
}

}  // namespace
}  // namespace steerlm
