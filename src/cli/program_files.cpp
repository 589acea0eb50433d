// Where the program and what comes with it are.
#include <filesystem>
#include <string>

#include "cli/commands.h"
#include "steerlm/cli/compute.h"
#include "steerlm/core/paths.h"

namespace steerlm {

std::string this_program(const std::string& advice) {
  std::error_code error;
  const Path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    fail(ExitCode::resources, {.what = "cannot find this program's own file: " + error.message(),
                               .where = "/proc/self/exe",
                               .expected = "a mounted /proc",
                               .advice = advice});
  }
  return program.string();
}

Path recipe_folder() {
  const Path beside = Path(this_program("name the folder of the recipes: 'steerlm recipe list DIR'")).parent_path();
  for (const Path& above : {beside, beside.parent_path()}) {
    Path place = above / "share" / "steerlm" / "configs";
    if (is_folder(place, ExitCode::recipe)) return place;
  }
  fail(ExitCode::recipe, {.what = "the program's recipes are not installed",
                          .where = (beside.parent_path() / "share" / "steerlm" / "configs").string(),
                          .expected = "a folder",
                          .advice = "name a folder of recipes: 'steerlm recipe list DIR'"});
}

}  // namespace steerlm
