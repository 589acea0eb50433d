#include "steerlm/data/split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "steerlm/core/error.h"
#include "steerlm/core/hash.h"

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

bool in_fold(const std::string& dialogue, const std::string& fold) {
  return is_held_out(dialogue, DataOptions{.fold = fold});
}

// Golden: folds of an earlier figure are the folds of a later one.
TEST(SplitTest, FoldsDoNotChange) {
  std::string folds;
  for (int i = 0; i < 40; ++i) {
    for (int k = 1; k <= 5; ++k) {
      if (in_fold("dialogue " + std::to_string(i), std::to_string(k) + "/5")) folds += std::to_string(k);
    }
  }
  EXPECT_EQ(folds, "1241441443422124415423433233424332133325");
}

TEST(SplitTest, EachDialogueIsInOneFold) {
  for (const int count : {2, 3, 7, 10}) {
    std::map<int, int> sizes;
    for (int i = 0; i < 7000; ++i) {
      int held_out = 0;
      for (int k = 1; k <= count; ++k) {
        const bool in = in_fold("dialogue " + std::to_string(i), std::to_string(k) + "/" + std::to_string(count));
        held_out += in;
        sizes[k] += in;
      }
      EXPECT_EQ(held_out, 1) << i;
    }
    for (const auto& [fold, size] : sizes) EXPECT_NEAR(size, 7000 / count, 5 * std::sqrt(7000 / count)) << fold;
  }
}

// The first of ten folds is the tenth that validation_fraction holds out.
TEST(SplitTest, TheFirstFoldIsThatShare) {
  for (int i = 0; i < 2000; ++i) {
    const std::string dialogue = "dialogue " + std::to_string(i);
    EXPECT_EQ(in_fold(dialogue, "1/10"), is_validation(dialogue, 0.1)) << i;
    EXPECT_EQ(is_held_out(dialogue, DataOptions{.validation_fraction = 0.1}), is_validation(dialogue, 0.1)) << i;
  }
  EXPECT_FALSE(holds_out(DataOptions()));
  EXPECT_TRUE(holds_out(DataOptions{.validation_fraction = 0.1}));
  EXPECT_TRUE(holds_out(DataOptions{.fold = "1/2"}));
}

TEST(SplitTest, WhatIsNoFoldIsRefused) {
  for (const char* fold : {"0/5", "6/5", "1", "1/", "/5", "1/5x", "a/b", "-1/5"})
    EXPECT_THROW(in_fold("dialogue", fold), Error) << fold;
}

TEST(SplitTest, PartsOfDialoguesAreEven) {
  std::vector<std::uint64_t> dialogues;
  for (int i = 0; i < 203; ++i) {
    for (int again = 0; again <= i % 3; ++again) dialogues.push_back(hash64("dialogue " + std::to_string(i)));
  }
  const std::vector<std::int64_t> parts = dialogue_folds(dialogues, 5);
  ASSERT_EQ(parts.size(), dialogues.size());
  std::map<std::uint64_t, std::set<std::int64_t>> of_dialogue;
  std::map<std::int64_t, std::set<std::uint64_t>> of_part;
  for (size_t i = 0; i < parts.size(); ++i) {
    of_dialogue[dialogues[i]].insert(parts[i]);
    of_part[parts[i]].insert(dialogues[i]);
  }
  for (const auto& [dialogue, own] : of_dialogue) EXPECT_EQ(own.size(), 1u);
  ASSERT_EQ(of_part.size(), 5u);
  for (const auto& [part, own] : of_part) EXPECT_TRUE(own.size() == 40 || own.size() == 41) << part;

  // Of the set alone, whatever the order.
  std::vector<std::uint64_t> reversed(dialogues.rbegin(), dialogues.rend());
  std::vector<std::int64_t> parts_of_reversed = dialogue_folds(reversed, 5);
  std::ranges::reverse(parts_of_reversed);
  EXPECT_EQ(parts_of_reversed, parts);

  // data.fold cuts by the upper bits of the same hash: what it leaves is spread over all parts.
  std::erase_if(dialogues, [](std::uint64_t hash) { return hash >> 62 == 0; });
  std::map<std::int64_t, std::set<std::uint64_t>> left;
  const std::vector<std::int64_t> parts_left = dialogue_folds(dialogues, 5);
  for (size_t i = 0; i < parts_left.size(); ++i) left[parts_left[i]].insert(dialogues[i]);
  EXPECT_EQ(left.size(), 5u);
}

}  // namespace
}  // namespace steerlm
