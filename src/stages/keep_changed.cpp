#include "stages/keep_changed.h"

namespace steerlm {

void keep_changed(RunFiles& files, const std::string& name, const Context& context) {
  for (const RunFiles::Difference& other : files.differences(name)) {
    if (other.gone) continue;
    const Path kept = files.set_aside(other.path);
    context.log->warn(other.path.string() + " was changed after it was written: it is kept as " + kept.string() +
                      " and made again");
  }
}

}  // namespace steerlm
