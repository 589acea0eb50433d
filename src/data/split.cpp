#include "steerlm/data/split.h"

#include "steerlm/core/hash.h"

namespace steerlm {

bool is_validation(const std::string& dialogue, double fraction) {
  // 53 bits of the hash as a number in [0, 1).
  return static_cast<double>(hash64(dialogue) >> 11) * 0x1.0p-53 < fraction;
}

}  // namespace steerlm
