#include "steerlm/data/batch.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BatchTest, ShiftsTargetsInsideASequence) {
  const Example first{{5, 6, 7}, {1, 0, 1}, {}};
  const Example second{{8}, {1}, {}};
  const Example third{{9, 10}, {0, 1}, {}};
  const Batch batch = make_batch(std::vector<const Example*>{&first, &second, &third});
  EXPECT_THAT(batch.ids, ElementsAre(5, 6, 7, 8, 9, 10));
  EXPECT_THAT(batch.targets, ElementsAre(6, 7, 0, 0, 10, 0));
  EXPECT_THAT(batch.weights, ElementsAre(0, 1, 0, 0, 1, 0));
  EXPECT_THAT(batch.cu_seqlens, ElementsAre(0, 3, 4, 6));
  EXPECT_THAT(batch.labels, IsEmpty());
  // The first token of a sequence is never predicted, though it is marked.
  EXPECT_EQ(target_count(first), 1);
  EXPECT_EQ(target_count(second), 0);
  EXPECT_EQ(target_count(third), 1);
  EXPECT_EQ(target_weight(third), 1);
}

TEST(BatchTest, AWeightIsThatOfEachTarget) {
  Example first{{5, 6, 7}, {1, 1, 1}, {}}, second{{9, 10}, {0, 1}, {}};
  first.weight = 0.25;
  second.weight = -3;
  const Batch batch = make_batch(std::vector<const Example*>{&first, &second});
  EXPECT_THAT(batch.weights, ElementsAre(0.25f, 0.25f, 0, -3, 0));
  EXPECT_THAT(make_batch(std::vector<const Example*>{&first, &second}, false).weights, ElementsAre(1, 1, 0, 1, 0));
  EXPECT_EQ(target_weight(first), 0.5);
  EXPECT_EQ(target_weight(second), -3);
  EXPECT_EQ(target_count(first), 2);
}

TEST(BatchTest, Regression) {
  const float unknown = std::numeric_limits<float>::quiet_NaN();
  const Example first{{5, 6}, {}, {1, unknown}};
  const Example second{{7}, {}, {2, 3}};
  const Batch batch = make_batch(std::vector<const Example*>{&first, &second});
  EXPECT_THAT(batch.weights, ElementsAre(0, 0, 0));
  ASSERT_EQ(batch.labels.size(), 4u);
  EXPECT_EQ(batch.labels[0], 1);
  EXPECT_TRUE(std::isnan(batch.labels[1]));
  EXPECT_EQ(batch.labels[2], 2);
  EXPECT_EQ(label_count(first), 1);
  EXPECT_EQ(label_count(second), 2);
  EXPECT_EQ(target_count(first), 0);
}

TEST(BatchTest, EmptyExamplesAreABug) {
  const Example empty;
  EXPECT_NE(testing::message_of(ExitCode::bug, [&] { make_batch(std::vector<const Example*>{&empty}); }), "");
  EXPECT_THAT(make_batch({}).cu_seqlens, ElementsAre(0));
}

}  // namespace
}  // namespace steerlm
