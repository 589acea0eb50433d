#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

constexpr int threads = 256;

// A thread an angle; the accurate sine and cosine, since an angle may be as large as the position.
__global__ void __launch_bounds__(threads) angles(const int32_t* positions, const float* frequencies, float scale,
                                                  float* cos, float* sin, int64_t n, int64_t half) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (index >= n * half) return;
  const int64_t row = index / half;
  float s, c;
  sincosf(__fmul_rn(static_cast<float>(positions[row]), frequencies[index - row * half]), &s, &c);
  cos[index] = __fmul_rn(c, scale);
  sin[index] = __fmul_rn(s, scale);
}

// (a, b) -> (a cos - b sin, b cos + a sin), with the same roundings wherever an element stands.
__device__ __forceinline__ void turn(float& a, float& b, float cos, float sin) {
  const float first = __fmaf_rn(a, cos, -__fmul_rn(b, sin));
  b = __fmaf_rn(b, cos, __fmul_rn(a, sin));
  a = first;
}

// Heads that a thread turns by the angles that it has loaded.
constexpr int heads_each = 4;

// A thread takes V pairs of `heads_each` heads of a token: unit u = the pairs u V …, heads first, first + groups, … A
// token's units times groups are shared by `team` threads, and `tokens` tokens by a block. Reads and writes
// n * heads * 2 half elements.
template <class T, int V>
__global__ void __launch_bounds__(threads)
    rotate(const T* x, int64_t x_stride, T* y, int64_t y_stride, const float* cos, const float* sin, int64_t n,
           int heads, int half, bool inverse, int groups, int team, int tokens) {
  const int place = static_cast<int>(threadIdx.x) / team;
  const int64_t token = static_cast<int64_t>(blockIdx.x) * tokens + place;
  if (place >= tokens || token >= n) return;
  const int units = half / V;
  const T* const from = x + token * x_stride;
  T* const to = y + token * y_stride;
  for (int work = static_cast<int>(threadIdx.x) - place * team; work < units * groups; work += team) {
    const int first = work / units, i = (work - first * units) * V;
    Bits<T, V> as[heads_each], bs[heads_each];
#pragma unroll
    for (int k = 0; k < heads_each; ++k) {
      const int head = first + k * groups;
      if (head >= heads) continue;
      const T* const a = from + static_cast<int64_t>(head) * 2 * half + i;
      as[k] = load<T, V>(a);
      bs[k] = load<T, V>(a + half);
    }
    float c[V], s[V];
    load_floats<V>(cos + token * half + i, c);
    load_floats<V>(sin + token * half + i, s);
#pragma unroll
    for (int v = 0; v < V; ++v) s[v] = inverse ? -s[v] : s[v];
#pragma unroll
    for (int k = 0; k < heads_each; ++k) {
      const int head = first + k * groups;
      if (head >= heads) continue;
      float a[V], b[V];
      unpack<T, V>(as[k], a);
      unpack<T, V>(bs[k], b);
#pragma unroll
      for (int v = 0; v < V; ++v) turn(a[v], b[v], c[v], s[v]);
      T* const turned = to + static_cast<int64_t>(head) * 2 * half + i;
      store<T, V>(turned, pack<T, V>(a));
      store<T, V>(turned + half, pack<T, V>(b));
    }
  }
}

template <class T, int V>
int launch_rotate(const void* x, int64_t x_stride, void* y, int64_t y_stride, const float* cos, const float* sin,
                  int64_t n, int64_t heads, int64_t half, bool inverse, cudaStream_t stream) {
  const int64_t groups = (heads + heads_each - 1) / heads_each, work = groups * (half / V);
  const int team = static_cast<int>(work < threads ? work : threads), tokens = threads / team;
  rotate<T, V><<<blocks_for(n, tokens), threads, 0, stream>>>(
      static_cast<const T*>(x), x_stride, static_cast<T*>(y), y_stride, cos, sin, n, static_cast<int>(heads),
      static_cast<int>(half), inverse, static_cast<int>(groups), team, tokens);
  return cudaGetLastError();
}

template <class T>
int choose_rotate(const void* x, int64_t x_stride, void* y, int64_t y_stride, const float* cos, const float* sin,
                  int64_t n, int64_t heads, int64_t half, bool inverse, cudaStream_t stream) {
  constexpr int V = vector_size<T>;
  const bool in_vectors = half % V == 0 && x_stride % V == 0 && y_stride % V == 0 && aligned({x, y, cos, sin});
  const auto launch = in_vectors ? launch_rotate<T, V> : launch_rotate<T, 1>;
  return launch(x, x_stride, y, y_stride, cos, sin, n, heads, half, inverse, stream);
}

}  // namespace

int rope_angles(const int32_t* positions_n, const float* frequencies, double scale, float* cos, float* sin, int64_t n,
                int64_t half, void* stream) {
  if (n == 0 || half == 0) return cudaSuccess;
  angles<<<blocks_for(n * half, threads), threads, 0, as_stream(stream)>>>(
      positions_n, frequencies, static_cast<float>(scale), cos, sin, n, half);
  return cudaGetLastError();
}

int rope_rotate(int dtype, const void* x, int64_t x_stride, void* y, int64_t y_stride, const float* cos,
                const float* sin, int64_t n, int64_t heads, int64_t half, int inverse, void* stream) {
  if (n == 0 || heads == 0 || half == 0) return cudaSuccess;
  if (heads * 2 * half > INT32_MAX) return cudaErrorInvalidValue;  // of one token
  const auto launch = dtype == STEERLM_BFLOAT16 ? choose_rotate<bf16> : choose_rotate<float>;
  return launch(x, x_stride, y, y_stride, cos, sin, n, heads, half, inverse != 0, as_stream(stream));
}

}  // namespace steerlm_cuda
