#include "steerlm/data/split.h"

#include <gtest/gtest.h>

namespace steerlm {
namespace {

// Golden: a change of the hash moves dialogues from validation to training and spoils every earlier held-out figure.
TEST(SplitTest, DoesNotChange) {
  std::string held_out;
  for (int i = 0; i < 60; ++i) held_out += is_validation("dialogue " + std::to_string(i), 0.1) ? '1' : '0';
  EXPECT_EQ(held_out, "000000100000010001000000000000000010000000000000000000000000");
}

TEST(SplitTest, ShareAndSubsets) {
  int small = 0, large = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string dialogue = "dialogue " + std::to_string(i);
    small += is_validation(dialogue, 0.05);
    large += is_validation(dialogue, 0.2);
    if (is_validation(dialogue, 0.05)) {
      EXPECT_TRUE(is_validation(dialogue, 0.2));
    }
    EXPECT_FALSE(is_validation(dialogue, 0.0));
    EXPECT_TRUE(is_validation(dialogue, 1.0));
  }
  EXPECT_NEAR(small, 1000, 155);  // 5 standard deviations
  EXPECT_NEAR(large, 4000, 283);
}

}  // namespace
}  // namespace steerlm
