// Shards of a recipe are written into files: docs/batch.md.
#include "stages/recipe_shard.h"

#include <gmock/gmock.h>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

TEST(RecipeShard, APartIsNotWrittenIntoAStream) {
  EXPECT_EQ(recipe_shard("1/2", "out.jsonl").index, 1);
  EXPECT_FALSE(recipe_shard("0/1", "-").is_part());
  for (const char* stream : {"-", "/dev/null"}) {
    try {
      recipe_shard("0/2", stream);
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
