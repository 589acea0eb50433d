// Compiled for x86-64-v3 (CMakeLists.txt).
#include <cstdint>

constexpr std::int64_t lanes = 8, tile_rows = 6;  // 12 sums, 2 vectors of B and one of A in 16 registers

#include "kernels/matmul_loops.h"
#include "kernels/row_loops.h"

const steerlm::Loops steerlm::loops_avx2{multiply,     multiply_bf16, attend,        row_sums,
                                         exponentials, largest,       score_gradient};
