#include "stages/memory.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "stages/fit.h"
#include "steerlm/data/order.h"
#include "steerlm/kernels/device.h"
#include "steerlm/train/step.h"

namespace steerlm {
namespace {

constexpr std::int64_t token_step = 1024, most_tokens_on_cpu = 16384;

// A training pair is computed together, and is longer than its sequences.
bool keeps_groups(const Recipe& recipe) {
  return recipe.stage == Stage::train_predictor && is_pairwise(recipe.head.loss);
}

// The indices of the examples of each step of the first epoch, or of the run where that is shorter.
template <class Act>
void for_each_step(const Recipe& recipe, const ExampleSet& examples, Act&& act) {
  const ExampleGroups groups(examples);
  const auto count = static_cast<std::int64_t>(groups.size());
  if (count == 0) return;
  Order order(static_cast<std::uint64_t>(recipe.seed), count, recipe.data.shuffle);
  const std::int64_t steps = std::min(total_steps(recipe, count), steps_per_epoch(count, recipe.train.batch_size));
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto [first, size] = step_positions(step, count, recipe.train.batch_size);
    std::vector<size_t> members;
    for (std::int64_t i = first; i < first + size; ++i) {
      const ExampleGroup group = groups[static_cast<size_t>(order.item_at(i))];
      for (size_t e = group.first; e < group.first + group.size; ++e) members.push_back(e);
    }
    act(members);
  }
}

}  // namespace

TrainSettings::TrainSettings(const Recipe& recipe, const ModelConfig& model, const Parameters& weights,
                             const Computing& computing)
    : config(model), language_model(!weights.score_ad.defined()) {
  for_each_parameter(weights, [&](const std::string& name, const at::Tensor& tensor) {
    (!recipe.lora || is_trained_by_lora(name) ? work.trained : work.frozen) += tensor.numel();
  });
  if (computing.device.is_cuda())
    work.multiprocessors = cuda_cards().cards.at(static_cast<size_t>(computing.device.index())).multiprocessors;
  work.bf16 = computing.precision == Precision::bf16;
  work.recompute = recipe.train.recompute == Recompute::block;
}

std::int64_t TrainSettings::thread_tokens() const { return work.multiprocessors > 0 ? 0 : thread_tokens_for(at::kCPU); }

std::int64_t TrainSettings::at_once(std::int64_t micro_batch_tokens, std::int64_t largest, std::int64_t count) const {
  const StepOptions options{.micro_batch_tokens = micro_batch_tokens, .thread_tokens = thread_tokens()};
  return std::min(count, micro_batches_at_once(options, largest));
}

TrainBytes forecast_bytes(const Recipe& recipe, const TrainSettings& settings, const ExampleSet& examples,
                          std::int64_t micro_batch_tokens) {
  TrainBytes most;
  for_each_step(recipe, examples, [&](const std::vector<size_t>& members) {
    TrainWork work = settings.work;
    std::vector<SequenceSize> sizes;
    for (size_t member : members) sizes.push_back({examples.length(member), examples.continues_group(member)});
    for (const SequenceSize& size : sizes) work.step_tokens += size.tokens;
    const auto batches = micro_batches(sizes, micro_batch_tokens, keeps_groups(recipe), settings.thread_tokens());
    if (settings.thread_tokens() > 0) {
      std::int64_t largest = 0;
      for (const std::vector<size_t>& micro_batch : batches) {
        std::int64_t tokens = 0;
        for (const size_t i : micro_batch) tokens += sizes[i].tokens;
        largest = std::max(largest, tokens);
      }
      work.side_by_side = settings.at_once(micro_batch_tokens, largest, static_cast<std::int64_t>(batches.size()));
    }
    for (const std::vector<size_t>& micro_batch : batches) {
      work.tokens = work.target_rows = 0;
      work.sequences = static_cast<std::int64_t>(micro_batch.size());
      for (size_t i : micro_batch) {
        work.tokens += sizes[i].tokens;
        work.target_rows += examples.target_count(members[i]);
      }
      const TrainBytes bytes = train_bytes(settings.config, work);
      if (bytes.total() > most.total()) most = bytes;
    }
  });
  return most;
}

std::int64_t free_bytes(at::Device device) {
  if (device.is_cuda()) {
    release_free_memory(device);
    return free_gpu_bytes(device);
  }
  std::ifstream info("/proc/meminfo");
  for (std::string name, rest; info >> name && std::getline(info, rest);) {
    if (name == "MemAvailable:") return std::atoll(rest.c_str()) * 1024;
  }
  return std::numeric_limits<std::int64_t>::max();
}

std::int64_t resident_bytes() {
  ::malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  statm >> size >> resident;  // pages
  return resident * ::sysconf(_SC_PAGESIZE);
}

std::int64_t most_tokens_within(std::int64_t budget, std::int64_t least, std::int64_t most,
                                const std::function<std::int64_t(std::int64_t)>& bytes) {
  for (std::int64_t tokens = most; tokens > least; tokens = (tokens - 1) / token_step * token_step) {
    if (bytes(tokens) <= budget) return tokens;
  }
  return least;
}

std::int64_t choose_micro_batch_tokens(const Recipe& recipe, const TrainSettings& settings, const ExampleSet& examples,
                                       std::int64_t free) {
  TrainWork work = settings.work;
  for_each_step(recipe, examples, [&](const std::vector<size_t>& members) {
    std::int64_t tokens = 0;
    for (size_t member : members) tokens += examples.length(member);
    work.step_tokens = std::max(work.step_tokens, tokens);
  });
  std::int64_t longest = 1;
  for (size_t e = 0; e < examples.size(); ++e) longest = std::max(longest, examples.length(e));
  std::int64_t longest_together = longest;
  if (keeps_groups(recipe)) {
    const ExampleGroups groups(examples);
    for (size_t g = 0; g < groups.size(); ++g) {
      const auto [first, size] = groups[g];
      std::int64_t tokens = 0;
      for (size_t e = first; e < first + size; ++e) tokens += examples.length(e);
      longest_together = std::max(longest_together, tokens);
    }
  }
  const std::int64_t cap = work.multiprocessors > 0 ? work.step_tokens : std::min(work.step_tokens, most_tokens_on_cpu);
  return most_tokens_within(free / 10 * 9, longest_together, cap, [&](std::int64_t tokens) {
    // Long sequences are packed together, and the fewer there are the more attention takes.
    work.tokens = tokens;
    if (settings.thread_tokens() > 0) {
      work.tokens = std::min(tokens, std::max(settings.thread_tokens(), longest_together));
      work.side_by_side = settings.at_once(tokens, work.tokens, work.step_tokens / work.tokens + 1);
    }
    work.sequences = std::max<std::int64_t>(1, work.tokens / longest);
    work.target_rows = settings.language_model ? work.tokens : 0;
    return train_bytes(settings.config, work).total();
  });
}

}  // namespace steerlm
