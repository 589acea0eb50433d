#include "steerlm/core/suggest.h"

#include <gtest/gtest.h>

namespace steerlm {
namespace {

const std::vector<std::string> names{"learning_rate", "weight_decay", "betas", "eps", "train-predictor"};

TEST(SuggestTest, NearNames) {
  EXPECT_EQ(suggest("learning_rat", names), "did you mean 'learning_rate'?");
  EXPECT_EQ(suggest("learnign_rate", names), "did you mean 'learning_rate'?") << "swapped letters are one mistake";
  EXPECT_EQ(suggest("Betas", names), "did you mean 'betas'?");
  EXPECT_EQ(suggest("train_predictor", names), "did you mean 'train-predictor'?");
  EXPECT_EQ(suggest("ep", names), "did you mean 'eps'?");
}

TEST(SuggestTest, NothingIsNear) {
  EXPECT_EQ(suggest("momentum", names), "");
  EXPECT_EQ(suggest("", names), "");
  EXPECT_EQ(suggest("x", {}), "");
}

TEST(SuggestTest, TheNearestWins) {
  EXPECT_EQ(suggest("weight_decai", {"weight_delay", "weight_decay"}), "did you mean 'weight_decay'?");
}

TEST(SuggestTest, Join) {
  EXPECT_EQ(join({}), "");
  EXPECT_EQ(join({"a"}), "a");
  EXPECT_EQ(join({"a", "b"}), "a, b");
  EXPECT_EQ(join({"a", "b"}, "|"), "a|b");
}

TEST(SuggestTest, Split) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(split("a"), Texts{"a"});
  EXPECT_EQ(split("a,,b, c"), (Texts{"a", "", "b", " c"}));
  EXPECT_EQ(split("a,"), (Texts{"a", ""})) << "an empty last part is one too";
  EXPECT_EQ(split(""), Texts{""});
  EXPECT_EQ(split("a,b\nc", '\n'), (Texts{"a,b", "c"}));
}

}  // namespace
}  // namespace steerlm
