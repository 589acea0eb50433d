#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "steerlm/core/fields.h"

namespace steerlm {

// What of the forward is computed again in the backward instead of being kept.
enum class Recompute { none, block };
template <>
struct EnumNames<Recompute> {
  static constexpr std::array<std::pair<Recompute, std::string_view>, 2> table{
      {{Recompute::none, "none"}, {Recompute::block, "block"}}};
};

struct TrainOptions {
  std::optional<std::int64_t> epochs;  // epochs and steps exclude each other
  std::optional<std::int64_t> steps;
  std::int64_t batch_size = 128;
  std::int64_t micro_batch_tokens = 16384;  // 0: auto
  Recompute recompute = Recompute::none;
  double max_minutes = 0;

  void fields(auto& field) {
    field("epochs", epochs, between(1, largest_count::epochs), "passes over the training data");
    field("steps", steps, between(1, largest_count::steps), "optimiser steps");
    field("batch_size", batch_size, between(1, largest_count::batch), "conversations of one optimiser step");
    field("micro_batch_tokens", micro_batch_tokens, Shape::count_or_auto,
          "tokens computed at once; bounds memory, never changes what is optimised; auto: as many as fit");
    field(
        "recompute", recompute,
        "block: a block keeps its input alone, and its backward computes the rest again; the same numbers to the bit, "
        "less memory, more time");
    field("max_minutes", max_minutes, at_least(0), "time limit, then a checkpoint and exit 75; 0: none");
  }
};

struct EvaluateOptions {
  std::int64_t every_steps = 0;
  void fields(auto& field) {
    field("every_steps", every_steps, between(0, largest_count::steps),
          "steps between validations; 0: at the end of each epoch");
  }
};

enum class MetricMode { min, max };
template <>
struct EnumNames<MetricMode> {
  static constexpr std::array<std::pair<MetricMode, std::string_view>, 2> table{
      {{MetricMode::min, "min"}, {MetricMode::max, "max"}}};
};

struct KeepBestOptions {
  std::string metric = "validation/loss";
  MetricMode mode = MetricMode::min;
  void fields(auto& field) {
    field("metric", metric, "validation metric, by its name in metrics.jsonl");
    field("mode", mode, "min: smaller is better");
  }
};

struct CheckpointOptions {
  std::int64_t every_steps = 100;
  std::int64_t keep = 2;
  std::optional<KeepBestOptions> keep_best;

  void fields(auto& field) {
    field("every_steps", every_steps, between(1, largest_count::steps), "steps between checkpoints");
    field("keep", keep, at_least(1), "checkpoints kept");
    field("keep_best", keep_best, "model/ gets the weights of the best validation instead of the last step's");
  }
};

}  // namespace steerlm
