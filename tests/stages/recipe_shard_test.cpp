// Shards of a recipe are written into files: docs/batch.md.
#include "stages/recipe_shard.h"

#include <gmock/gmock.h>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

Recipe annotation(const std::string& shard, const std::string& output) {
  Recipe recipe;
  recipe.stage = Stage::annotate;
  recipe.annotate.shard = shard;
  recipe.annotate.output = output;
  return recipe;
}

TEST(RecipeShard, IsThatOfTheStage) {
  Recipe recipe = annotation("1/2", "out.jsonl");
  EXPECT_EQ(recipe_shard(recipe).index, 1);
  recipe.generate.shard = "2/3";
  recipe.generate.output = "out.jsonl";
  recipe.stage = Stage::generate;
  EXPECT_EQ(recipe_shard(recipe).index, 2);
  recipe.stage = Stage::sft;
  EXPECT_FALSE(recipe_shard(recipe).is_part());
}

TEST(RecipeShard, APartIsNotWrittenIntoAStream) {
  EXPECT_FALSE(recipe_shard(annotation("0/1", "-")).is_part());
  for (const char* stream : {"-", "/dev/null"}) {
    try {
      recipe_shard(annotation("0/2", stream));
      ADD_FAILURE() << stream;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::recipe);
      EXPECT_THAT(error.what(),
                  testing::HasSubstr("a shard is written into a file, beside which a second one describes"));
    }
  }
}

}  // namespace
}  // namespace steerlm
