// The forecast of a step's memory against what its tensors really hold at most.
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "steerlm/core/rng.h"
#include "steerlm/nn/cost.h"
#include "steerlm/nn/init.h"
#include "steerlm/train/step.h"

namespace steerlm {
namespace {

// The CPU's memory for tensors, counted.
class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* memory = c10::alloc_cpu(bytes);
    const std::lock_guard lock(mutex);
    held[memory] = bytes;
    now += static_cast<std::int64_t>(bytes);
    peak = std::max(peak, now);
    return {memory, memory, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  static inline std::mutex mutex;
  static inline std::map<void*, size_t> held;
  static inline std::int64_t now = 0, peak = 0;

 private:
  static void release(void* memory) {
    {
      const std::lock_guard lock(mutex);
      now -= static_cast<std::int64_t>(held[memory]);
      held.erase(memory);
    }
    c10::free_cpu(memory);
  }
};

struct Case {
  const char* name;
  std::int64_t key_value_heads = 8;
  std::int64_t vocab_size = 300;
  std::int64_t attributes = 0;
  at::ScalarType dtype = at::kFloat;
  bool recompute = false;
  bool qk_norm = false;
  std::int64_t threads = 0;  // 0: a micro-batch that adds to the step's gradients; else in turn, one a thread
  bool tied = false;
  std::int64_t intermediate_size = 160, layers = 4, sequences = 16;
};
class StepMemory : public testing::TestWithParam<Case> {};

TEST_P(StepMemory, IsWhatTheForecastSays) {
  const Case& test = GetParam();
  const ModelConfig config = complete_config({.vocab_size = test.vocab_size,
                                              .hidden_size = 64,
                                              .intermediate_size = test.intermediate_size,
                                              .num_hidden_layers = test.layers,
                                              .num_attention_heads = 8,
                                              .num_key_value_heads = test.key_value_heads,
                                              .tie_word_embeddings = test.tied,
                                              .qk_norm = test.qk_norm},
                                             test.vocab_size, 512);
  const HeadShape head{test.attributes == 0, test.attributes, test.attributes > 0};
  TrainWork work{
      .tokens = 0, .sequences = test.sequences, .bf16 = test.dtype == at::kBFloat16, .recompute = test.recompute};
  std::vector<Example> examples(static_cast<size_t>(work.sequences));
  for (size_t s = 0; s < examples.size(); ++s) {
    Rng rng(3, "example", s);
    for (size_t i = 0; i < 60 + s; ++i) {
      examples[s].ids.push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(test.vocab_size))));
      examples[s].target.push_back(i >= 20);
    }
    work.tokens += static_cast<std::int64_t>(examples[s].ids.size());
    work.target_rows += std::ranges::count(examples[s].target, 1);
    if (test.attributes == 0) continue;
    examples[s].target.clear();
    examples[s].labels.assign(static_cast<size_t>(test.attributes), 2.0f);
  }
  if (test.attributes > 0) work.target_rows = 0;
  work.step_tokens = work.tokens;
  work.trained = count_parameters(config, head);
  std::vector<const Example*> members;
  for (const Example& example : examples) members.push_back(&example);
  const Loss loss = test.attributes > 0 ? regression_objective : language_model_objective;
  StepOptions options{.total_steps = 10, .micro_batch_tokens = 100000, .recompute = test.recompute};
  const int threads = at::get_num_threads();
  if (test.threads > 0) {
    at::set_num_threads(static_cast<int>(test.threads));
    options.thread_tokens = (work.tokens + test.threads - 1) / test.threads;
    work.side_by_side = test.threads;
    work.tokens = options.thread_tokens;
    work.target_rows /= test.threads;
    work.sequences /= test.threads;
  }

  c10::Allocator* const usual = c10::GetCPUAllocator();
  static CountingAllocator counting;
  c10::SetCPUAllocator(&counting, 255);
  {
    Training training = make_training(config, parameters_from(config, head, init_parameters(config, head, 7)),
                                      test.dtype, at::kCPU, [](const std::string&) { return true; });
    StepInput input = prepare_step(training.model, members, loss, options);
    const StepInput next = prepare_step(training.model, members, loss, options);
    ASSERT_EQ(input.micro_batches.size(), static_cast<size_t>(std::max<std::int64_t>(1, test.threads)));
    CountingAllocator::peak = CountingAllocator::now;
    EXPECT_TRUE(finish_step(training, enqueue_step(training, input, loss, options)).applied);
  }
  c10::SetCPUAllocator(usual, 255);
  at::set_num_threads(threads);
  const TrainBytes bytes = train_bytes(config, work);
  const double forecast = static_cast<double>(bytes.tensors()), real = static_cast<double>(CountingAllocator::peak);
  // Two threads need not be at their largest moments together.
  EXPECT_LE(forecast / real, test.threads > 1 ? 1.2 : 1.03) << forecast << " forecast, " << real << " held";
  EXPECT_GE(forecast / real, 0.97) << forecast << " forecast, " << real << " held";
}

INSTANTIATE_TEST_SUITE_P(
    All, StepMemory,
    testing::Values(Case{"plain"}, Case{.name = "grouped", .key_value_heads = 2},
                    Case{.name = "recompute", .recompute = true},
                    Case{.name = "grouped_recompute", .key_value_heads = 2, .recompute = true},
                    Case{.name = "many_pieces", .vocab_size = 20000},
                    Case{.name = "many_pieces_recompute", .vocab_size = 20000, .recompute = true},
                    Case{.name = "norms_of_heads", .key_value_heads = 4, .qk_norm = true},
                    Case{.name = "norms_of_heads_recompute", .key_value_heads = 4, .recompute = true, .qk_norm = true},
                    Case{.name = "regression", .attributes = 3}, Case{.name = "in_turn", .threads = 1},
                    Case{.name = "in_turn_tied", .vocab_size = 5000, .threads = 1, .tied = true},
                    Case{.name = "in_turn_recompute", .recompute = true, .threads = 1},
                    Case{.name = "in_turn_bf16", .vocab_size = 5000, .dtype = at::kBFloat16, .threads = 1},
                    // The gradients of a block are much of it.
                    Case{.name = "in_turn_wide", .threads = 1, .intermediate_size = 4000, .layers = 1, .sequences = 2},
                    Case{.name = "side_by_side", .threads = 2},
                    Case{.name = "many_pieces_side_by_side", .vocab_size = 20000, .threads = 2},
                    Case{.name = "bf16", .key_value_heads = 2, .dtype = at::kBFloat16},
                    Case{.name = "bf16_many_pieces", .vocab_size = 20000, .dtype = at::kBFloat16}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace steerlm
