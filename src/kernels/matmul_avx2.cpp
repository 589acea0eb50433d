// Compiled for x86-64-v3 (CMakeLists.txt).
#include <cstdint>

constexpr std::int64_t lanes = 8, tile_rows = 6;  // 12 sums, 2 vectors of B and one of A in 16 registers

#include "kernels/matmul_loops.h"

void steerlm::matmul_avx2(const MatmulOperands& operands, float* workspace) { multiply(operands, workspace); }
