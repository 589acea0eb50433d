#include "steerlm/core/gradient_turn.h"

namespace steerlm {

GradientOrder::GradientOrder(std::int64_t micro_batches) : passed_(static_cast<size_t>(micro_batches)) {
  for (std::atomic<std::int32_t>& passed : passed_) passed = -1;
}

void GradientOrder::wait(std::int64_t i, std::int32_t stage) const {
  if (i == 0) return;
  const std::atomic<std::int32_t>& before = passed_[static_cast<size_t>(i - 1)];
  for (std::int32_t passed = before; !abandoned_ && passed < stage; passed = before) before.wait(passed);
  if (abandoned_) throw Abandoned{};
}

void GradientOrder::pass(std::int64_t i, std::int32_t stage) {
  std::atomic<std::int32_t>& passed = passed_[static_cast<size_t>(i)];
  passed = stage;
  passed.notify_all();
}

void GradientOrder::abandon() {
  abandoned_ = true;
  for (size_t i = 0; i < passed_.size(); ++i) pass(static_cast<std::int64_t>(i), last_stage);
}

}  // namespace steerlm
