#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

constexpr int threads = 256;
// Vectors of each array that a thread has in flight.
constexpr int each = 2;

struct Step {
  float decay, step, b1, b2, c2, eps, root;
};

__device__ __forceinline__ void update(float& w, float g, float& m, float& v, float factor, const Step& s) {
  const float gradient = g * factor;
  m += s.b1 * (gradient - m);
  v = s.b2 * v + s.c2 * gradient * gradient;
  w = w * s.decay - s.step * m / (sqrtf(v) / s.root + s.eps);
}

template <int V>
__device__ __forceinline__ void store_once(float* to, const float (&x)[V]) {
  if constexpr (V == 1) {
    __stcs(to, x[0]);
  } else {
    static_assert(V == 4);
    __stcs(reinterpret_cast<float4*>(to), make_float4(x[0], x[1], x[2], x[3]));
  }
}

// Reads w, g, m, v and writes w, m, v and the copy: 28 bytes an element, 30 with a copy. V is 4, or 1 where a pointer
// is no multiple of 16 bytes; the last elements that make no vector are done one by one by the last block.
template <int V>
__global__ void __launch_bounds__(threads)
    update_all(float* w, const float* g, float* m, float* v, bf16* copy, int64_t count, Step s, const double* loss_sum,
               const double* norm, double largest_norm) {
  __shared__ float shared_factor;  // NaN: nothing is written
  const int64_t vectors = count / V;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (threads * each) + threadIdx.x;
  Bits<float, V> ws[each], gs[each], ms[each], vs[each];
#pragma unroll
  for (int k = 0; k < each; ++k) {
    const int64_t j = (first + k * threads) * V;
    if (first + k * threads >= vectors) continue;
    ws[k] = load_once<float, V>(w + j);
    gs[k] = load_once<float, V>(g + j);
    ms[k] = load_once<float, V>(m + j);
    vs[k] = load_once<float, V>(v + j);
  }
  if (threadIdx.x == 0) {
    const double size = *norm, clipped = largest_norm / (size + 1e-6);
    const bool finite = isfinite(size) && isfinite(*loss_sum);
    shared_factor = !finite ? nanf("") : static_cast<float>(largest_norm > 0 && clipped < 1.0 ? clipped : 1.0);
  }
  __syncthreads();
  const float factor = shared_factor;
  if (isnan(factor)) return;
#pragma unroll
  for (int k = 0; k < each; ++k) {
    const int64_t j = (first + k * threads) * V;
    if (first + k * threads >= vectors) continue;
    float a[V], b[V], c[V], d[V];
    unpack<float, V>(ws[k], a);
    unpack<float, V>(gs[k], b);
    unpack<float, V>(ms[k], c);
    unpack<float, V>(vs[k], d);
#pragma unroll
    for (int i = 0; i < V; ++i) update(a[i], b[i], c[i], d[i], factor, s);
    store_once<V>(w + j, a);
    store_once<V>(m + j, c);
    store_once<V>(v + j, d);
    if (copy == nullptr) continue;
    if constexpr (V == 1) {
      copy[j] = __float2bfloat16_rn(a[0]);
    } else {
      *reinterpret_cast<uint2*>(copy + j) = make_uint2(round_pair(a[0], a[1]), round_pair(a[2], a[3]));
    }
  }
  const int64_t rest = vectors * V + threadIdx.x;
  if (blockIdx.x + 1 == gridDim.x && rest < count) {
    float a = w[rest], c = m[rest], d = v[rest];
    update(a, g[rest], c, d, factor, s);
    w[rest] = a;
    m[rest] = c;
    v[rest] = d;
    if (copy != nullptr) copy[rest] = __float2bfloat16_rn(a);
  }
}

// --- the norm -------------------------------------------------------------------------------------------------------

constexpr int norm_threads = 512;

template <int Threads>
__device__ __forceinline__ double sum_block(double x) {
  __shared__ double sums[Threads / 32];
  x = sum_lanes<32>(x);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
  __syncthreads();
  double total = 0;
#pragma unroll
  for (int i = 0; i < Threads / 32; ++i) total += sums[i];
  return total;
}

__device__ __forceinline__ double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

// A block sums the squares of a piece: thread t those of the vectors t, t + 512, …, one sum for each place in a vector.
// Reads 4 bytes an element.
template <int V>
__global__ void __launch_bounds__(norm_threads, 2) sum_pieces(const float* x, int64_t count, double* partial) {
  constexpr int64_t piece = STEERLM_NORM_PIECE;
  constexpr int ahead = V == 1 ? 16 : 8, steps = static_cast<int>(piece / V / norm_threads);
  static_assert(steps % ahead == 0);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * piece;
  const int64_t left = count - begin;
  const int length = static_cast<int>(left < piece ? left : piece), vectors = length / V;
  const int lane = static_cast<int>(threadIdx.x);
  double sums[V] = {};
#pragma unroll 1
  for (int first = 0; first < steps; first += ahead) {
    Bits<float, V> rows[ahead];
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      const int j = (first + k) * norm_threads + lane;
      rows[k] = j < vectors ? load_once<float, V>(x + begin + static_cast<int64_t>(j) * V) : Bits<float, V>{};
    }
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      float a[V];
      unpack<float, V>(rows[k], a);
#pragma unroll
      for (int i = 0; i < V; ++i) sums[i] += square(a[i]);
    }
  }
  double sum = 0;
#pragma unroll
  for (int i = 0; i < V; ++i) sum += sums[i];
  const int rest = vectors * V + lane;
  if (rest < length) sum += square(x[begin + rest]);
  const double total = sum_block<norm_threads>(sum);
  if (lane == 0) partial[blockIdx.x] = total;
}

__global__ void __launch_bounds__(1024) root_of_sum(const double* partial, int64_t pieces, double* norm) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < pieces; i += 1024) sum += partial[i];
  const double total = sum_block<1024>(sum);
  if (threadIdx.x == 0) *norm = sqrt(total);
}

}  // namespace

int adamw(float* w, const float* g, float* m, float* v, void* copy, int64_t count, double learning_rate, double decay,
          double beta1, double beta2, double eps, double correction1, double root_correction2, const double* loss_sum,
          const double* norm, double largest_norm, void* stream) {
  if (count == 0) return cudaSuccess;
  const Step step{static_cast<float>(1 - learning_rate * decay),
                  static_cast<float>(learning_rate / correction1),
                  static_cast<float>(1 - beta1),
                  static_cast<float>(beta2),
                  static_cast<float>(1 - beta2),
                  static_cast<float>(eps),
                  static_cast<float>(root_correction2)};
  constexpr int64_t share = threads * each;
  bf16* const rounded = static_cast<bf16*>(copy);
  if (aligned({w, g, m, v}) && reinterpret_cast<uintptr_t>(copy) % 8 == 0) {
    update_all<4><<<blocks_for((count + 3) / 4, share), threads, 0, as_stream(stream)>>>(
        w, g, m, v, rounded, count, step, loss_sum, norm, largest_norm);
  } else {
    update_all<1><<<blocks_for(count, share), threads, 0, as_stream(stream)>>>(w, g, m, v, rounded, count, step,
                                                                               loss_sum, norm, largest_norm);
  }
  return cudaGetLastError();
}

int global_norm(const float* x, int64_t count, double* partial, double* norm, void* stream) {
  if (count == 0) return cudaSuccess;
  const unsigned pieces = blocks_for(count, STEERLM_NORM_PIECE);
  const auto sum = aligned({x}) ? sum_pieces<4> : sum_pieces<1>;
  sum<<<pieces, norm_threads, 0, as_stream(stream)>>>(x, count, partial);
  const int status = cudaGetLastError();
  if (status != cudaSuccess) return status;
  root_of_sum<<<1, 1024, 0, as_stream(stream)>>>(partial, pieces, norm);
  return cudaGetLastError();
}

}  // namespace steerlm_cuda
