#include "steerlm/core/made_ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace steerlm {
namespace {

class MadeAheadWhen : public testing::TestWithParam<bool> {};

TEST_P(MadeAheadWhen, GivesTheItemsInOrderUntilTheEnd) {
  int made = 0;
  MadeAhead<int> items(GetParam(), [&]() -> std::optional<int> {
    if (made == 5) return std::nullopt;
    return made++;
  });
  std::vector<int> found;
  while (const std::optional<int> item = items.next()) found.push_back(*item);
  EXPECT_EQ(found, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_P(MadeAheadWhen, AFaultIsThrownInThePlaceOfItsItem) {
  int made = 0;
  MadeAhead<int> items(GetParam(), [&]() -> std::optional<int> {
    if (++made == 2) throw std::runtime_error("the second");
    return made;
  });
  EXPECT_EQ(items.next(), 1);
  EXPECT_THROW(items.next(), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(Made, MadeAheadWhen, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "ahead" : "when_asked"; });

TEST(MadeAhead, TheNextItemIsMadeWhileTheCallerHasTheLast) {
  std::atomic<int> made = 0;
  MadeAhead<int> items(true, [&]() -> std::optional<int> { return ++made; });
  EXPECT_EQ(items.next(), 1);
  while (made < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(made, 2) << "one ahead, not more";
}

TEST(MadeAhead, NothingIsMadeBeforeItIsAskedFor) {
  int made = 0;
  {
    MadeAhead<int> items(false, [&]() -> std::optional<int> { return ++made; });
    EXPECT_EQ(made, 0);
    EXPECT_EQ(items.next(), 1);
  }
  EXPECT_EQ(made, 1);
}

}  // namespace
}  // namespace steerlm
