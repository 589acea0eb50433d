// In which order training visits its items: an endless sequence of seeded permutations, a pure function of the
// position.
#pragma once

#include <cstdint>
#include <vector>

namespace steerlm {

// Remembers the permutation of one epoch; asking for positions in order costs one permutation an epoch.
class Order {
 public:
  // count > 0. shuffle false: file order, over and over.
  Order(std::uint64_t seed, std::int64_t count, bool shuffle);
  std::int64_t item_at(std::int64_t position);

 private:
  std::uint64_t seed_;
  std::int64_t count_;
  bool shuffle_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> permutation_;  // of epoch_
};

// The same without memory: O(count) each.
std::int64_t item_at(std::uint64_t seed, std::int64_t count, std::int64_t position, bool shuffle);

// An epoch is ceil(count / batch_size) steps, the last of which may be smaller.
std::int64_t steps_per_epoch(std::int64_t count, std::int64_t batch_size);

// The positions of a step (from 0): first … first + size.
struct StepPositions {
  std::int64_t first;
  std::int64_t size;
};
StepPositions step_positions(std::int64_t step, std::int64_t count, std::int64_t batch_size);

}  // namespace steerlm
