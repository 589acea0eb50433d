#include "steerlm/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace steerlm {

double learning_rate_at(const OptimizerOptions& optimizer, const ScheduleOptions& schedule, std::int64_t t,
                        std::int64_t total) {
  const double peak = optimizer.learning_rate, floor = schedule.min_learning_rate;
  if (t <= schedule.warmup_steps) return peak * static_cast<double>(t) / static_cast<double>(schedule.warmup_steps);
  if (schedule.kind == ScheduleKind::constant) return peak;

  const std::int64_t after_warmup = std::max<std::int64_t>(1, total - schedule.warmup_steps);
  const std::int64_t decay = schedule.decay_steps > 0 ? schedule.decay_steps : after_warmup;
  const std::int64_t begin =
      schedule.kind == ScheduleKind::wsd ? std::max(schedule.warmup_steps, total - decay) : schedule.warmup_steps;
  const double progress = std::clamp(static_cast<double>(t - begin) / static_cast<double>(decay), 0.0, 1.0);
  const double share =
      schedule.kind == ScheduleKind::cosine ? 0.5 * (1 + std::cos(std::numbers::pi * progress)) : 1 - progress;
  return floor + (peak - floor) * share;
}

}  // namespace steerlm
