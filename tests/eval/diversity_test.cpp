#include "steerlm/eval/diversity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace steerlm {
namespace {

Diversity of(const std::vector<std::string_view>& answers) { return diversity(answers); }

TEST(Diversity, ByHand) {
  // Words: the cat saw the cat | the dog | the dog. 9 of them, 4 different; pairs: the cat, cat saw, saw the, the cat,
  // the dog, the dog: 6, 4 different. The second and the third answer are one.
  const Diversity found = of({"The cat saw the CAT!", "the dog", "the dog"});
  EXPECT_DOUBLE_EQ(found.distinct_1, 4.0 / 9);
  EXPECT_DOUBLE_EQ(found.distinct_2, 4.0 / 6);
  EXPECT_DOUBLE_EQ(found.repeated, 2.0 / 3);
}

TEST(Diversity, APairSpansNoTwoAnswersAndHasAnOrder) {
  const Diversity apart = of({"a b", "b a"});
  EXPECT_DOUBLE_EQ(apart.distinct_1, 0.5);
  EXPECT_DOUBLE_EQ(apart.distinct_2, 1) << "a b and b a; b b would be one more";
  EXPECT_DOUBLE_EQ(apart.repeated, 0);
}

TEST(Diversity, AnswersAreTheSameByteForByte) {
  EXPECT_DOUBLE_EQ(of({"Yes.", "yes.", "Yes. "}).repeated, 0);
  EXPECT_DOUBLE_EQ(of({"Yes.", "Yes.", "Yes.", "no"}).repeated, 0.75);
  EXPECT_DOUBLE_EQ(of({"", ""}).repeated, 1);
}

TEST(Diversity, WithoutWordsNothingIsDistinct) {
  EXPECT_TRUE(std::isnan(of({"", "!!"}).distinct_1));
  EXPECT_TRUE(std::isnan(of({"one", "word"}).distinct_2)) << "no two words stand side by side";
  EXPECT_DOUBLE_EQ(of({"one", "word"}).distinct_1, 1);
  EXPECT_TRUE(std::isnan(of({}).repeated));
}

}  // namespace
}  // namespace steerlm
