#pragma once

#include <array>
#include <cstdint>

#include "steerlm/core/fields.h"

namespace steerlm {

// AdamW (Loshchilov and Hutter 2019).
struct OptimizerOptions {
  double learning_rate = 5e-6;
  double weight_decay = 0.01;
  std::array<double, 2> betas{0.9, 0.98};
  double eps = 1e-8;
  double clip_grad_norm = 1.0;

  void fields(auto& field) {
    field("learning_rate", learning_rate, between(0, 1), "step size after warm-up");
    field("weight_decay", weight_decay, between(0, 1), "decoupled decay of parameters with two or more dimensions");
    field("betas", betas, half_open(0, 1), "decay of the first and second moment");
    field("eps", eps, above(0), "added to the root of the second moment");
    field("clip_grad_norm", clip_grad_norm, at_least(0), "largest global gradient norm; 0: no clipping");
  }
};

enum class ScheduleKind { constant, linear, cosine, wsd };
template <>
struct EnumNames<ScheduleKind> {
  static constexpr std::array<std::pair<ScheduleKind, std::string_view>, 4> table{{{ScheduleKind::constant, "constant"},
                                                                                   {ScheduleKind::linear, "linear"},
                                                                                   {ScheduleKind::cosine, "cosine"},
                                                                                   {ScheduleKind::wsd, "wsd"}}};
};

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::constant;
  std::int64_t warmup_steps = 0;
  double min_learning_rate = 0;
  std::int64_t decay_steps = 0;

  void fields(auto& field) {
    field("kind", kind, "shape after warm-up; wsd: constant, then a linear decay over the last decay_steps");
    field("warmup_steps", warmup_steps, between(0, largest_count::steps),
          "steps of linear warm-up; step k of them has k/warmup_steps of the rate");
    field("min_learning_rate", min_learning_rate, at_least(0),
          "where a decay goes to, at most learning_rate; the last step is one step before it");
    field("decay_steps", decay_steps, between(0, largest_count::steps), "steps of the decay; 0: all after warm-up");
  }
};

}  // namespace steerlm
