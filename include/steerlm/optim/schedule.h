#pragma once

#include <cstdint>

#include "steerlm/optim/options.h"

namespace steerlm {

// The learning rate of step t (from 1) of `total`.
//   t <= warmup: learning_rate * t / warmup
//   then by kind, over the decay_steps after warm-up (0: to the end), down to min_learning_rate:
//   constant; linear; cosine (Loshchilov and Hutter 2017);
//   wsd: constant, linear over the last decay_steps (Hu et al. 2024)
double learning_rate_at(const OptimizerOptions& optimizer, const ScheduleOptions& schedule, std::int64_t t,
                        std::int64_t total);

}  // namespace steerlm
