#include "steerlm/data/order.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace steerlm {
namespace {

std::vector<std::int64_t> epoch_of(std::uint64_t seed, std::int64_t count, std::int64_t epoch, bool shuffle) {
  Order order(seed, count, shuffle);
  std::vector<std::int64_t> items;
  for (std::int64_t i = 0; i < count; ++i) items.push_back(order.item_at(epoch * count + i));
  return items;
}

TEST(OrderTest, EveryEpochVisitsEveryItemOnce) {
  for (const std::int64_t count : {1, 2, 7, 100}) {
    for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
      const std::vector<std::int64_t> items = epoch_of(3, count, epoch, true);
      const std::set<std::int64_t> distinct(items.begin(), items.end());
      EXPECT_EQ(static_cast<std::int64_t>(distinct.size()), count);
      EXPECT_EQ(*distinct.begin(), 0);
      EXPECT_EQ(*distinct.rbegin(), count - 1);
    }
  }
}

// Golden: Fisher-Yates in Python with the generator of tools/fixture_support.py.
TEST(OrderTest, GoldenPermutations) {
  using Items = std::vector<std::int64_t>;
  EXPECT_EQ(epoch_of(1234, 10, 0, true), (Items{2, 3, 6, 4, 5, 7, 1, 8, 9, 0}));
  EXPECT_EQ(epoch_of(1234, 10, 1, true), (Items{7, 6, 3, 0, 1, 4, 9, 5, 8, 2}));
  EXPECT_EQ(epoch_of(7, 10, 0, true), (Items{5, 1, 0, 8, 2, 4, 3, 7, 9, 6}));
}

TEST(OrderTest, SeedAndEpochChangeThePermutation) {
  EXPECT_NE(epoch_of(3, 100, 0, true), epoch_of(3, 100, 1, true));
  EXPECT_NE(epoch_of(3, 100, 0, true), epoch_of(4, 100, 0, true));
  EXPECT_EQ(epoch_of(3, 100, 2, true), epoch_of(3, 100, 2, true));
}

TEST(OrderTest, NothingDependsOnWhatWasAskedBefore) {
  Order order(11, 13, true);
  for (const std::int64_t position : {40, 3, 39, 0, 1000, 41, 12})
    EXPECT_EQ(order.item_at(position), item_at(11, 13, position, true));
}

TEST(OrderTest, EveryPermutationOfThreeIsAsLikely) {
  std::map<std::vector<std::int64_t>, int> seen;
  for (std::int64_t epoch = 0; epoch < 6000; ++epoch) ++seen[epoch_of(5, 3, epoch, true)];
  ASSERT_EQ(seen.size(), 6u);
  for (const auto& [items, times] : seen) EXPECT_NEAR(times, 1000, 150);  // 5 standard deviations
}

TEST(OrderTest, FileOrder) {
  for (std::int64_t position = 0; position < 10; ++position) EXPECT_EQ(item_at(1, 4, position, false), position % 4);
}

TEST(OrderTest, TheLastBatchOfAnEpochIsSmaller) {
  EXPECT_EQ(steps_per_epoch(10, 4), 3);
  EXPECT_EQ(steps_per_epoch(8, 4), 2);
  EXPECT_EQ(steps_per_epoch(3, 4), 1);
  std::vector<std::pair<std::int64_t, std::int64_t>> steps;
  for (std::int64_t step = 0; step < 4; ++step) {
    const StepPositions positions = step_positions(step, 10, 4);
    steps.emplace_back(positions.first, positions.size);
  }
  EXPECT_EQ(steps, (std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 4}, {4, 4}, {8, 2}, {10, 4}}));
}

}  // namespace
}  // namespace steerlm
