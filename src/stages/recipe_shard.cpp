#include "stages/recipe_shard.h"

#include "steerlm/core/error.h"
#include "steerlm/core/output.h"

namespace steerlm {

Shard recipe_shard(const std::string& shard, const std::string& output) {
  const Shard parsed = parse_shard(shard, "shard");
  if (parsed.is_part() && find_output(output, {.make_folder = true}).through) {
    fail(ExitCode::recipe, {.what = "a shard is written into a file, beside which a second one describes it",
                            .where = "output",
                            .found = output});
  }
  return parsed;
}

}  // namespace steerlm
