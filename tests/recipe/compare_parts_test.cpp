// Recipes of runs within runs, whose run directories were moved together.
#include "recipe_support.h"
#include "steerlm/recipe/compare.h"

namespace steerlm {
namespace {

using Keys = std::vector<std::string>;

std::string part(const std::string& run_dir, const std::string& base, const std::string& data) {
  return dump_recipe(load("stage: sft\nrun_dir: \"" + run_dir + "\"\nmodel: {path: \"" + base +
                          "\"}\ndata: {train: [{path: \"" + data + "\"}]}\noptimizer: {learning_rate: 1e-3}\n"));
}

// The fine-tuning of a bootstrap that is a step of a pipeline: it reads what another step has made too.
TEST(ComparePartsTest, PathsInTheFolderAboveMoveWithIt) {
  const std::string before = part("runs/1/boot/sft", "runs/1/base/model", "runs/1/boot/annotated.jsonl");
  const std::string now = part("new/boot/sft", "new/base/model", "new/boot/annotated.jsonl");
  EXPECT_EQ(differing_keys(before, now, 2), Keys{});
  EXPECT_EQ(differing_keys(before, now, 1), Keys{"model.path: runs/1/base/model -> new/base/model"});
  EXPECT_EQ(differing_keys(before, now, 0).size(), 2u);
  EXPECT_EQ(differing_keys(before, part("new/boot/sft", "new/other", "new/boot/annotated.jsonl"), 2),
            Keys{"model.path: runs/1/base/model -> new/other"});
  EXPECT_EQ(differing_keys(before, part("my runs/boot/sft", "my runs/base/model", "my runs/boot/annotated.jsonl"), 2),
            Keys{})
      << "names that need quotes";
}

TEST(ComparePartsTest, TheFolderAbove) {
  const std::string recipe = part("my runs/1/boot/sft", "m", "a.jsonl");
  EXPECT_EQ(folder_above(recipe, 0), "");
  EXPECT_EQ(folder_above(recipe, 1), "my runs/1/boot");
  EXPECT_EQ(folder_above(recipe, 3), "my runs");
  EXPECT_EQ(folder_above(recipe, 4), "");
}

TEST(ComparePartsTest, ANameThatIsEscapedInARecipeIsTheNameItself) {
  const auto recipe = [](const std::string& folder) {
    return part(folder + "/boot/sft", folder + "/base/model", folder + "/boot/annotated.jsonl");
  };
  const std::string odd = recipe(R"(my \"runs\" \\ 1)");
  EXPECT_EQ(folder_above(odd, 2), R"(my "runs" \ 1)");
  EXPECT_EQ(differing_keys(odd, recipe("new"), 2), Keys{});
  EXPECT_EQ(differing_keys(recipe("new"), odd, 2), Keys{});
}

}  // namespace
}  // namespace steerlm
