#include "steerlm/data/order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "steerlm/core/error.h"
#include "steerlm/core/rng.h"

namespace steerlm {

Order::Order(std::uint64_t seed, std::int64_t count, bool shuffle) : seed_(seed), count_(count), shuffle_(shuffle) {
  if (count <= 0) fail(ExitCode::bug, {.what = "an order over no items"});
}

std::int64_t Order::item_at(std::int64_t position) {
  if (!shuffle_) return position % count_;
  const std::int64_t epoch = position / count_;
  if (epoch != epoch_) {
    // Fisher-Yates: every permutation is as likely.
    permutation_.resize(static_cast<size_t>(count_));
    std::iota(permutation_.begin(), permutation_.end(), std::int64_t{0});
    Rng rng(seed_, "order of training items", static_cast<std::uint64_t>(epoch));
    for (size_t i = permutation_.size() - 1; i > 0; --i) std::swap(permutation_[i], permutation_[rng.below(i + 1)]);
    epoch_ = epoch;
  }
  return permutation_[static_cast<size_t>(position % count_)];
}

std::int64_t item_at(std::uint64_t seed, std::int64_t count, std::int64_t position, bool shuffle) {
  return Order(seed, count, shuffle).item_at(position);
}

std::int64_t steps_per_epoch(std::int64_t count, std::int64_t batch_size) {
  return (count + batch_size - 1) / batch_size;
}

StepPositions step_positions(std::int64_t step, std::int64_t count, std::int64_t batch_size) {
  const std::int64_t steps = steps_per_epoch(count, batch_size);
  const std::int64_t begin = step % steps * batch_size;  // within the epoch
  return {step / steps * count + begin, std::min(batch_size, count - begin)};
}

}  // namespace steerlm
