// Compiled for x86-64-v4 (CMakeLists.txt).
#include <cstdint>

constexpr std::int64_t lanes = 16, tile_rows = 14;  // 28 sums, 2 vectors of B and one of A in 32 registers

#include "kernels/matmul_loops.h"
#include "kernels/row_loops.h"

const steerlm::Loops steerlm::loops_avx512{multiply,     multiply_bf16, attend,        row_sums,
                                           exponentials, largest,       score_gradient};
