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

// Golden: computed by tools/fixture_support.py's generator, which shares no code. Whoever changes a bit of these
// changes every shuffle, initialisation and sample of every recipe.
TEST(RngTest, GoldenBits) {
  EXPECT_EQ(draws(Rng(1, "a", 2)),
            (std::vector<std::uint32_t>{0x352e176d, 0xdca96b65, 0x02d79415, 0x8f819358, 0x84a2765d, 0x7ffda4e5,
                                        0x6f64e051, 0xe0c76d07, 0xd5de9712}));
  EXPECT_EQ(draws(Rng((1ull << 40) + 7, "sample 3", (1ull << 33) + 5), 5),
            (std::vector<std::uint32_t>{0x81bfb57d, 0x38177705, 0x007be671, 0x6fbeaf4b, 0xb4657610}));
  Rng uniform(7, "uniform", 0), below(7, "below", 0), normal(7, "normal", 0);
  for (const double wanted : {0x1.d566764520e60p-1, 0x1.005bf2a668532p-2, 0x1.f4a91a6a3f424p-1})
    EXPECT_EQ(uniform.uniform(), wanted);
  for (const auto& [count, wanted] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {7, 5}, {7, 4}, {7, 2}, {1000, 686}, {1'000'000'000'000'000'000, 907617235370303876}})
    EXPECT_EQ(below.below(count), wanted);
  // log and cos are the C library's, which may round the last bit otherwise.
  for (const double wanted : {0.13249983609722177, -1.1274781775955558, 0.40601736230445984, -1.319968245221323})
    EXPECT_NEAR(normal.normal(), wanted, 1e-15);
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
