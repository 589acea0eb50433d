// What a source says of its labels: `labels` and `without`.
#include <gmock/gmock.h>

#include "recipe/recipe_support.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

TEST(SourceLabelKeys, ShuffledLabelsTakeTheSeedOfTheRecipe) {
  const Recipe recipe =
      load("stage: sft\nrun_dir: r\nmodel: m\nseed: 5\ndata: {train: [{path: a, labels: shuffle}], validation: b}\n");
  EXPECT_EQ(recipe.data.train.at(0).labels, SourceLabels::shuffle);
  EXPECT_EQ(recipe.data.train.at(0).seed, 5u);
  EXPECT_EQ(recipe.data.validation.at(0).seed, 5u);
  EXPECT_THAT(faults("stage: annotate\nrun_dir: r\npredictor: p\ninput: [{path: a, labels: shuffle}]\noutput: b\n"),
              HasSubstr("nothing shuffles the labels of 'input[0]'"));
}

TEST(SourceLabelKeys, AttributesAreTakenOutOfLabelsThatAreRead) {
  const Recipe recipe =
      load("stage: sft\nrun_dir: r\nmodel: m\ndata: {train: [{path: a, without: [humor, quality]}]}\n");
  EXPECT_EQ(recipe.data.train.at(0).without, (std::vector<std::string>{"humor", "quality"}));
  EXPECT_THAT(faults("stage: annotate\nrun_dir: r\npredictor: p\ninput: [{path: a, without: [humor]}]\noutput: b\n"),
              HasSubstr("nothing takes attributes out of the labels of 'input[0]'"));
  load("stage: annotate\nrun_dir: r\npredictor: p\ninput: [{path: a, without: []}]\noutput: b\n");
  EXPECT_THAT(faults("stage: sft\nrun_dir: r\nmodel: m\ndata: {train: [{path: a, labels: drop, without: [humor]}]}\n"),
              HasSubstr("r.yaml:4:49: 'data.train[0]' has labels: drop"));
}

}  // namespace
}  // namespace steerlm
