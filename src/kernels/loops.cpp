#include "kernels/loops.h"

namespace steerlm {

const Loops* loops() {
  static const Loops* const chosen = []() -> const Loops* {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      return &loops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &loops_avx2;
    return nullptr;
  }();
  return chosen;
}

}  // namespace steerlm
