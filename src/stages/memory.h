// How much memory a training takes, and how many tokens at once fit.
#pragma once

#include <functional>

#include "steerlm/data/example_set.h"
#include "steerlm/nn/cost.h"
#include "steerlm/nn/device.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

// What of a training's memory does not depend on its data. `weights`: as they are before training.
struct TrainSettings {
  TrainSettings(const Recipe& recipe, const ModelConfig& config, const Parameters& weights, const Computing& computing);

  ModelConfig config;
  TrainWork work;  // without tokens, sequences, rows
  bool language_model = false;
  std::int64_t thread_tokens() const;  // StepOptions'

  // TrainWork::side_by_side of a step of `count` micro-batches of at most `largest` tokens.
  std::int64_t at_once(std::int64_t micro_batch_tokens, std::int64_t largest, std::int64_t count) const;
};

// Of the micro-batches of the run's first epoch the one that takes most.
TrainBytes forecast_bytes(const Recipe& recipe, const TrainSettings& settings, const ExampleSet& examples,
                          std::int64_t micro_batch_tokens);

// Bytes that can be had of the device now; on a CPU of the machine's memory. What freed tensors held of a GPU is given
// back first.
std::int64_t free_bytes(at::Device device);

// What of this process is in memory now, after what was freed has been given back.
std::int64_t resident_bytes();

// train.micro_batch_tokens: auto. The most tokens whose training fits in 90 % of `free`: all those of the largest step,
// else the largest multiple of 1,024, on a CPU at most 16,384, beyond which nothing is gained; never less than the
// longest example has.
std::int64_t choose_micro_batch_tokens(const Recipe& recipe, const TrainSettings& settings, const ExampleSet& examples,
                                       std::int64_t free);

// The choice alone: `most` where that fits, else the largest multiple of 1,024 below it that does, and at least
// `least`. `bytes` need not grow with the tokens.
std::int64_t most_tokens_within(std::int64_t budget, std::int64_t least, std::int64_t most,
                                const std::function<std::int64_t(std::int64_t tokens)>& bytes);

}  // namespace steerlm
