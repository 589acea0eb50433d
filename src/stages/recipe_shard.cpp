#include "stages/recipe_shard.h"

#include "steerlm/core/error.h"
#include "steerlm/core/output.h"

namespace steerlm {

Shard recipe_shard(const Recipe& recipe) {
  if (recipe.stage != Stage::annotate && recipe.stage != Stage::generate) return {};
  const bool annotates = recipe.stage == Stage::annotate;
  const Shard parsed = parse_shard(annotates ? recipe.annotate.shard : recipe.generate.shard, "shard");
  const std::string& output = annotates ? recipe.annotate.output : recipe.generate.output;
  if (parsed.is_part() && find_output(output, {.make_folder = true}).through) {
    fail(ExitCode::recipe, {.what = "a shard is written into a file, beside which a second one describes it",
                            .where = "output",
                            .found = output});
  }
  return parsed;
}

}  // namespace steerlm
