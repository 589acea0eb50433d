#include "steerlm/optim/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace steerlm {

double learning_rate_at(const OptimizerOptions& optimizer, const ScheduleOptions& schedule, std::int64_t t,
                        std::int64_t total) {
  const double peak = optimizer.learning_rate, floor = schedule.min_learning_rate;
  if (t <= schedule.warmup_steps) return peak * static_cast<double>(t) / static_cast<double>(schedule.warmup_steps);
  if (schedule.kind == ScheduleKind::constant) return peak;

  const bool wsd = schedule.kind == ScheduleKind::wsd;
  const std::int64_t after_warmup = std::max<std::int64_t>(1, total - schedule.warmup_steps);
  std::int64_t decay = schedule.decay_steps > 0 ? schedule.decay_steps : after_warmup;
  if (wsd) decay = std::min(decay, after_warmup);
  const std::int64_t begin = wsd ? total - decay : schedule.warmup_steps;
  const double progress = std::clamp(static_cast<double>(t - 1 - begin) / static_cast<double>(decay), 0.0, 1.0);
  const double share =
      schedule.kind == ScheduleKind::cosine ? 0.5 * (1 + std::cos(std::numbers::pi * progress)) : 1 - progress;
  return floor + (peak - floor) * share;
}

std::vector<std::string> schedule_warnings(const OptimizerOptions& optimizer, const ScheduleOptions& schedule,
                                           std::int64_t total) {
  std::vector<std::string> warnings;
  if (optimizer.learning_rate == 0) warnings.emplace_back("optimizer.learning_rate is 0: no weight is changed");
  const std::int64_t warmup = schedule.warmup_steps, decay = schedule.decay_steps, after_warmup = total - warmup;
  const double peak = optimizer.learning_rate, last = learning_rate_at(optimizer, schedule, total, total);
  if (schedule.kind == ScheduleKind::constant) {
    if (decay > 0) warnings.push_back("schedule.decay_steps has no effect: schedule.kind is constant");
    if (schedule.min_learning_rate > 0)
      warnings.push_back("schedule.min_learning_rate has no effect: schedule.kind is constant");
  }
  if (warmup >= total && warmup > 0) {
    warnings.push_back(
        fmt::format("schedule.warmup_steps {} leaves nothing of the run's {} steps: the learning rate ends at {:.3g}, "
                    "optimizer.learning_rate is {:.3g}",
                    warmup, total, last, peak));
    return warnings;
  }
  if (schedule.kind == ScheduleKind::constant || decay == 0) return warnings;
  if (schedule.kind == ScheduleKind::wsd && decay > after_warmup) {
    warnings.push_back(
        fmt::format("schedule.decay_steps {} is more than the {} steps after warm-up: the decay takes all of them",
                    decay, after_warmup));
  } else if (decay > after_warmup) {
    warnings.push_back(fmt::format(
        "schedule.decay_steps {} is more than the {} steps after warm-up: the decay is cut off at a learning rate of "
        "{:.3g}",
        decay, after_warmup, last));
  } else if (schedule.kind != ScheduleKind::wsd && decay < after_warmup && schedule.min_learning_rate == 0) {
    warnings.push_back(
        fmt::format("the decay is over after step {}: the steps {} to {} have a learning rate of 0 and train nothing",
                    warmup + decay, warmup + decay + 1, total));
  }
  return warnings;
}

}  // namespace steerlm
