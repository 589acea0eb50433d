#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;
// Vectors that a lane has in flight.
constexpr int each = 4;

// A warp copies a row of `count` units (16 bytes, or one element): y[i] = x[rows[i]], or y[rows[i]] = x[i].
template <class Unit, bool Scatter>
__global__ void __launch_bounds__(threads)
    copy_rows(const int64_t* rows, const Unit* x, Unit* y, int64_t k, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  if (i >= k) return;
  const int64_t other = rows[i];
  const Unit* const from = x + (Scatter ? i : other) * count;
  Unit* const to = y + (Scatter ? other : i) * count;
  for (int64_t first = threadIdx.x % 32; first < count; first += 32 * each) {
    Unit units[each];
#pragma unroll
    for (int u = 0; u < each; ++u) {
      if (first + 32 * u < count) units[u] = from[first + 32 * u];
    }
#pragma unroll
    for (int u = 0; u < each; ++u) {
      if (first + 32 * u < count) to[first + 32 * u] = units[u];
    }
  }
}

template <class Unit, bool Scatter>
int launch(const int64_t* rows, const void* x, void* y, int64_t k, int64_t count, cudaStream_t stream) {
  copy_rows<Unit, Scatter><<<blocks_for(k, warps), threads, 0, stream>>>(rows, static_cast<const Unit*>(x),
                                                                         static_cast<Unit*>(y), k, count);
  return cudaGetLastError();
}

template <bool Scatter>
int choose(int dtype, const int64_t* rows, const void* x, void* y, int64_t k, int64_t d, void* stream) {
  if (k == 0 || d == 0) return cudaSuccess;
  const int64_t size = dtype == STEERLM_BFLOAT16 ? 2 : 4, bytes = d * size;
  if (bytes % 16 == 0 && aligned({x, y})) return launch<uint4, Scatter>(rows, x, y, k, bytes / 16, as_stream(stream));
  if (size == 2) return launch<unsigned short, Scatter>(rows, x, y, k, d, as_stream(stream));
  return launch<unsigned, Scatter>(rows, x, y, k, d, as_stream(stream));
}

}  // namespace

int gather_rows(int dtype, const int64_t* rows_k, const void* x_nd, void* y_kd, int64_t k, int64_t d, void* stream) {
  return choose<false>(dtype, rows_k, x_nd, y_kd, k, d, stream);
}

int scatter_rows(int dtype, const int64_t* rows_k, const void* x_kd, void* y_nd, int64_t k, int64_t d, void* stream) {
  return choose<true>(dtype, rows_k, x_kd, y_nd, k, d, stream);
}

}  // namespace steerlm_cuda
