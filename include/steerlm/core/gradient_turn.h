// Threads that compute micro-batches side by side add their gradients to one sum, weight by weight in the order of the
// micro-batches: its bits depend neither on which thread is faster nor on how many there are, and no thread needs
// gradients of a whole model to itself.
//
// A backward passes stages, numbered in the order in which it comes to them; it may leave some out. What belongs to a
// stage is added after the micro-batch before has passed it.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

namespace steerlm {

// The stages: parts of the output layer, or the attribute head as the first of them; then the trunk.
inline constexpr std::int32_t trunk_stage = 1 << 20, last_stage = std::numeric_limits<std::int32_t>::max();

class GradientOrder {
 public:
  explicit GradientOrder(std::int64_t micro_batches);

  // Until micro-batch `i` may add what belongs to `stage`. Throws Abandoned. Whoever waits for a micro-batch that no
  // thread has begun waits for ever: they are to be begun in their order.
  void wait(std::int64_t i, std::int32_t stage) const;
  void pass(std::int64_t i, std::int32_t stage);
  // One of them has failed: the others wait no more.
  void abandon();
  struct Abandoned {};

 private:
  std::vector<std::atomic<std::int32_t>> passed_;
  std::atomic<bool> abandoned_ = false;
};

// A micro-batch's place in the order; without one it is alone, and waits for nothing.
struct GradientTurn {
  GradientOrder* order = nullptr;
  std::int64_t micro_batch = 0;

  bool alone() const { return order == nullptr; }
  void wait(std::int32_t stage) const {
    if (order != nullptr) order->wait(micro_batch, stage);
  }
  void pass(std::int32_t stage) const {
    if (order != nullptr) order->pass(micro_batch, stage);
  }
};

}  // namespace steerlm
