#include "steerlm/core/rng.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace steerlm {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(RngTest, PhiloxKnownAnswers) {
  using Four = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

std::vector<std::uint32_t> draws(Rng rng, int count = 9) {
  std::vector<std::uint32_t> values;
  for (int i = 0; i < count; ++i) values.push_back(rng.bits());
  return values;
}

TEST(RngTest, ADrawIsAFunctionOfSeedPurposeAndIndex) {
  EXPECT_EQ(draws(Rng(1, "a", 2)), draws(Rng(1, "a", 2)));
  EXPECT_NE(draws(Rng(1, "a", 2)), draws(Rng(2, "a", 2)));
  EXPECT_NE(draws(Rng(1, "a", 2)), draws(Rng(1, "b", 2)));
  EXPECT_NE(draws(Rng(1, "a", 2)), draws(Rng(1, "a", 3)));
}

TEST(RngTest, UniformIsInTheUnitIntervalAndEven) {
  Rng rng(7, "uniform", 0);
  double sum = 0;
  for (int i = 0; i < 20000; ++i) {
    const double value = rng.uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / 20000, 0.5, 0.01);
}

TEST(RngTest, BelowReachesEveryValueEvenly) {
  Rng rng(7, "below", 0);
  std::array<int, 7> counts{};
  for (int i = 0; i < 14000; ++i) ++counts[rng.below(7)];
  for (int count : counts) EXPECT_NEAR(count, 2000, 200);
  EXPECT_EQ(rng.below(1), 0u);
  EXPECT_EQ(rng.below(0), 0u);
  for (int i = 0; i < 100; ++i) EXPECT_LT(rng.below(0xFFFFFFFFFFFFFFFFull), 0xFFFFFFFFFFFFFFFFull);
}

TEST(RngTest, NormalHasMeanZeroAndVarianceOne) {
  Rng rng(7, "normal", 0);
  double sum = 0, squares = 0;
  for (int i = 0; i < 20000; ++i) {
    const double value = rng.normal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / 20000, 0.0, 0.03);
  EXPECT_NEAR(squares / 20000, 1.0, 0.05);
}

TEST(RngTest, Fnv1aKnownAnswers) {
  EXPECT_EQ(fnv1a(""), 0xcbf29ce484222325ull);
  EXPECT_EQ(fnv1a("a"), 0xaf63dc4c8601ec8cull);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8ull);
}

}  // namespace
}  // namespace steerlm
