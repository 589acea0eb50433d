#include "steerlm/data/example_set.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "data/helpers.h"
#include "steerlm/data/batch.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Example example_of(size_t tokens, bool target, size_t labels) {
  Example example;
  for (size_t i = 0; i < tokens; ++i) {
    example.ids.push_back(static_cast<std::int32_t>(7 * i % 31));
    if (target) example.target.push_back(i % 3 == 1);
  }
  for (size_t a = 0; a < labels; ++a)
    example.labels.push_back(a % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(a) / 3);
  example.dialogue = 0xFEDCBA9876543210u - tokens;
  example.weight = 0.1 * static_cast<double>(tokens);
  example.group = static_cast<std::int64_t>(tokens) - 3;
  example.strength = -1.0 / static_cast<double>(tokens);
  example.sampling_log_p = -1e-7 * static_cast<double>(tokens);
  return example;
}

void expect_equal(const Example& a, const Example& b) {
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.target, b.target);
  ASSERT_EQ(a.labels.size(), b.labels.size());
  for (size_t i = 0; i < a.labels.size(); ++i)
    EXPECT_TRUE(a.labels[i] == b.labels[i] || (std::isnan(a.labels[i]) && std::isnan(b.labels[i])));
  EXPECT_EQ(a.dialogue, b.dialogue);
  EXPECT_EQ(a.weight, b.weight);
  EXPECT_EQ(a.group, b.group);
  EXPECT_EQ(a.strength, b.strength);
  EXPECT_EQ(a.sampling_log_p, b.sampling_log_p);
}

TEST(ExampleSetTest, ExamplesComeBackAsTheyWere) {
  std::vector<Example> examples;
  for (size_t tokens = 1; tokens < 20; ++tokens) {
    examples.push_back(example_of(tokens, true, 0));
    examples.push_back(example_of(tokens, false, 9));
    examples.push_back(example_of(tokens, true, 1));
  }
  const ExampleSet set(examples);
  ASSERT_EQ(set.size(), examples.size());
  for (size_t i = 0; i < examples.size(); ++i) {
    expect_equal(set[i], examples[i]);
    EXPECT_EQ(set.length(i), static_cast<std::int64_t>(examples[i].ids.size()));
    EXPECT_EQ(set.target_count(i), target_count(examples[i]));
  }
  const std::vector<Example> some = set.read(std::vector<size_t>{4, 0, 4});
  ASSERT_EQ(some.size(), 3u);
  expect_equal(some[0], examples[4]);
  expect_equal(some[1], examples[0]);
  expect_equal(some[2], examples[4]);
  EXPECT_EQ(set.lengths().back(), 19);
  EXPECT_TRUE(ExampleSet().empty());
}

// The layout that example_set.h promises.
TEST(ExampleSetTest, BytesOfAnExample) {
  std::string bytes;
  const ExampleEntry entry = append_example(example_of(9, true, 2), bytes);
  EXPECT_EQ(bytes.size(), 9 * 4 + 2 + 2 * 4 + 6 * 8u);
  EXPECT_EQ(example_bytes(entry), bytes.size());
  EXPECT_EQ(bytes.substr(4, 4), std::string("\x07\0\0\0", 4));
  EXPECT_EQ(bytes.substr(36, 2), std::string("\x92\x00", 2)) << "tokens 1, 4 and 7 are targets";
}

TEST(ExampleSetTest, NeighboursOfOneNumberAreAGroup) {
  const auto groups_of = [](std::initializer_list<std::int64_t> numbers) {
    std::vector<Example> examples;
    for (const std::int64_t number : numbers) {
      examples.push_back({.ids = {1}});
      examples.back().group = number;
    }
    const ExampleGroups groups{ExampleSet(examples)};
    std::vector<std::pair<size_t, size_t>> found;
    for (size_t g = 0; g < groups.size(); ++g) found.emplace_back(groups[g].first, groups[g].size);
    return found;
  };
  EXPECT_THAT(groups_of({-1, -1, 4, 4, 4, 0, -1}),
              ElementsAre(std::pair(0, 1), std::pair(1, 1), std::pair(2, 3), std::pair(5, 1), std::pair(6, 1)));
  EXPECT_THAT(groups_of({-1, 0, 1}), ElementsAre(std::pair(0, 1), std::pair(1, 1), std::pair(2, 1)));
  EXPECT_THAT(groups_of({5, 5}), ElementsAre(std::pair(0, 2)));
  EXPECT_THAT(groups_of({}), ::testing::IsEmpty());
}

}  // namespace
}  // namespace steerlm
