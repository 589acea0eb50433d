#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "steerlm/optim/options.h"

namespace steerlm {

// The learning rate of step t (from 1) of `total`; no step has a rate of 0 unless decay_steps ends a decay early.
//   t <= warmup: learning_rate * t / warmup
//   then by kind, with s = t - 1 steps taken and p the share of the decay that they are, as in Transformers'
//   schedulers: constant; linear: min + (learning_rate - min) * (1 - p); cosine: min + (learning_rate - min) * (1 +
//   cos(pi p)) / 2 (Loshchilov and Hutter 2017), both over the decay_steps after warm-up (0: to the end); wsd:
//   constant, linear over the last decay_steps, all after warm-up where that is less (Hu et al. 2024)
// Transformers' warm-up is one step behind: its first step has a rate of 0 and changes nothing.
double learning_rate_at(const OptimizerOptions& optimizer, const ScheduleOptions& schedule, std::int64_t t,
                        std::int64_t total);

// What of a schedule does not fit a run of `total` steps, a sentence each; empty: all of it does.
std::vector<std::string> schedule_warnings(const OptimizerOptions& optimizer, const ScheduleOptions& schedule,
                                           std::int64_t total);

}  // namespace steerlm
