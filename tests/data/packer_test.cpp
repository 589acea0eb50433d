#include "steerlm/data/packer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "steerlm/core/rng.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Bins = std::vector<std::vector<size_t>>;

// What pack() says it does, in the plainest way.
Bins first_fit_decreasing(const std::vector<std::int64_t>& lengths, std::int64_t budget) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
  Bins bins;
  std::vector<std::int64_t> used;
  for (const size_t i : order) {
    size_t bin = 0;
    while (bin < bins.size() && used[bin] + lengths[i] > budget) ++bin;
    if (bin == bins.size()) {
      bins.emplace_back();
      used.push_back(0);
    }
    bins[bin].push_back(i);
    used[bin] += lengths[i];
  }
  return bins;
}

TEST(PackerTest, Small) {
  EXPECT_THAT(pack({}, 10), IsEmpty());
  EXPECT_THAT(pack(std::vector<std::int64_t>{5, 7, 5, 3}, 10), ElementsAre(ElementsAre(1, 3), ElementsAre(0, 2)));
  EXPECT_THAT(pack(std::vector<std::int64_t>{10}, 10), ElementsAre(ElementsAre(0)));
}

TEST(PackerTest, EqualLengthsInInputOrder) {
  EXPECT_THAT(pack(std::vector<std::int64_t>{4, 4, 4, 4, 4}, 8),
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4)));
}

TEST(PackerTest, LongerThanTheBudgetIsAlone) {
  EXPECT_THAT(pack(std::vector<std::int64_t>{1, 11, 1, 12}, 10),
              ElementsAre(ElementsAre(3), ElementsAre(1), ElementsAre(0, 2)));
}

TEST(PackerTest, IsFirstFitDecreasing) {
  for (std::uint64_t round = 0; round < 200; ++round) {
    Rng rng(1, "packer test", round);
    std::vector<std::int64_t> lengths(rng.below(60));
    for (std::int64_t& length : lengths) length = 1 + static_cast<std::int64_t>(rng.below(110));
    EXPECT_EQ(pack(lengths, 100), first_fit_decreasing(lengths, 100));
  }
}

TEST(PackerTest, NearTheFewestBins) {
  Rng rng(2, "packer test", 0);
  std::vector<std::int64_t> lengths(3000);
  for (std::int64_t& length : lengths) length = 16 + static_cast<std::int64_t>(rng.below(1000));
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  const Bins bins = pack(lengths, 4096);
  const double fewest = std::ceil(static_cast<double>(total) / 4096);
  EXPECT_LE(static_cast<double>(bins.size()), 1.02 * fewest);
  size_t packed = 0;
  for (const auto& bin : bins) packed += bin.size();
  EXPECT_EQ(packed, lengths.size());
}

TEST(Spread, GivesTheNextLongestToTheBinThatHoldsLeast) {
  EXPECT_THAT(spread(std::vector<std::int64_t>{3, 9, 4, 4, 2}, 2),
              ElementsAre(ElementsAre(1, 4), ElementsAre(2, 3, 0)));
  EXPECT_THAT(spread(std::vector<std::int64_t>{5}, 3), ElementsAre(ElementsAre(0), IsEmpty(), IsEmpty()));
  EXPECT_THAT(spread({}, 1), ElementsAre(IsEmpty()));
}

TEST(Spread, IsWithinGrahamsBound) {
  for (std::uint64_t round = 0; round < 50; ++round) {
    Rng rng(5, "spread", round);
    std::vector<std::int64_t> lengths(40);
    for (std::int64_t& length : lengths) length = 1 + static_cast<std::int64_t>(rng.below(200));
    const std::int64_t sum = std::reduce(lengths.begin(), lengths.end());
    const std::int64_t longest = *std::ranges::max_element(lengths);
    std::vector<size_t> seen;
    for (const std::vector<size_t>& bin : spread(lengths, 8)) {
      std::int64_t tokens = 0;
      for (const size_t i : bin) tokens += lengths[i];
      // The best possible is at least the mean, and at least the longest.
      EXPECT_LE(static_cast<double>(tokens), 4.0 / 3 * static_cast<double>(std::max((sum + 7) / 8, longest)));
      seen.insert(seen.end(), bin.begin(), bin.end());
    }
    std::ranges::sort(seen);
    std::vector<size_t> all(lengths.size());
    std::iota(all.begin(), all.end(), size_t{0});
    EXPECT_EQ(seen, all);
  }
}

}  // namespace
}  // namespace steerlm
