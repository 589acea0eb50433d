#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

// 1 / (1 + exp(-x)), 0 and 1 at the ends. The fast exponential and quotient are within 2^-20 of it, far below a
// rounding to bf16; fp32 gets the accurate ones.
template <class T>
__device__ __forceinline__ float sigmoid(float x) {
  if constexpr (sizeof(T) == 2) return __fdividef(1.0f, 1.0f + __expf(-x));
  return 1.0f / (1.0f + expf(-x));
}

// Vectors of each input that a thread has in flight.
constexpr int each = 2;

// A row is dealt to `chunks` blocks, of whose threads each takes `each` vectors. Reads 2 n f elements, writes n f.
template <class T, int V>
__global__ void __launch_bounds__(256)
    forward(const T* gate, const T* up, int64_t stride, T* y, int64_t f, unsigned chunks) {
  const unsigned row = blockIdx.x / chunks, chunk = blockIdx.x - row * chunks;
  const int64_t vectors = f / V, first = static_cast<int64_t>(chunk) * blockDim.x * each + threadIdx.x;
  Bits<T, V> gates[each], ups[each];
#pragma unroll
  for (int k = 0; k < each; ++k) {
    const int64_t j = first + k * blockDim.x;
    if (j >= vectors) continue;
    gates[k] = load<T, V>(gate + row * stride + j * V);
    ups[k] = load<T, V>(up + row * stride + j * V);
  }
#pragma unroll
  for (int k = 0; k < each; ++k) {
    const int64_t j = first + k * blockDim.x;
    if (j >= vectors) continue;
    float g[V], u[V];
    unpack<T, V>(gates[k], g);
    unpack<T, V>(ups[k], u);
#pragma unroll
    for (int i = 0; i < V; ++i) g[i] = g[i] * sigmoid<T>(g[i]) * u[i];
    store<T, V>(y + row * f + j * V, pack<T, V>(g));
  }
}

// Reads 3 n f elements, writes 3 n f. dgate and dup may be gate and up: a thread writes what it alone has read.
template <class T, int V>
__global__ void __launch_bounds__(256) backward(const T* dy, const T* gate, const T* up, int64_t stride, T* dgate,
                                                T* dup, int64_t gradient_stride, T* y, int64_t f, unsigned chunks) {
  const unsigned row = blockIdx.x / chunks, chunk = blockIdx.x - row * chunks;
  const int64_t vectors = f / V, first = static_cast<int64_t>(chunk) * blockDim.x * each + threadIdx.x;
  Bits<T, V> dys[each], gates[each], ups[each];
#pragma unroll
  for (int k = 0; k < each; ++k) {
    const int64_t j = first + k * blockDim.x;
    if (j >= vectors) continue;
    dys[k] = load<T, V>(dy + row * f + j * V);
    gates[k] = load<T, V>(gate + row * stride + j * V);
    ups[k] = load<T, V>(up + row * stride + j * V);
  }
#pragma unroll
  for (int k = 0; k < each; ++k) {
    const int64_t j = first + k * blockDim.x;
    if (j >= vectors) continue;
    float d[V], g[V], u[V], p[V];
    unpack<T, V>(dys[k], d);
    unpack<T, V>(gates[k], g);
    unpack<T, V>(ups[k], u);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float s = sigmoid<T>(g[i]), dy_up = d[i] * u[i], silu = g[i] * s;
      p[i] = silu * u[i];                             // y
      u[i] = d[i] * silu;                             // dup
      g[i] = dy_up * s * (1.0f + g[i] * (1.0f - s));  // dgate
    }
    store<T, V>(dgate + row * gradient_stride + j * V, pack<T, V>(g));
    store<T, V>(dup + row * gradient_stride + j * V, pack<T, V>(u));
    store<T, V>(y + row * f + j * V, pack<T, V>(p));
  }
}

// Threads of a block and blocks of a row: whole warps, at most 256 threads, `each` vectors a thread.
struct Cut {
  unsigned threads, chunks;
};
Cut cut_of(int64_t vectors) {
  const int64_t wanted = (vectors + each - 1) / each, warps = (wanted + 31) / 32;
  const unsigned threads = static_cast<unsigned>(warps > 8 ? 256 : warps * 32);
  return {threads, blocks_for(vectors, static_cast<int64_t>(threads) * each)};
}

template <class T, int V>
int launch_forward(const void* gate, const void* up, int64_t stride, void* y, int64_t n, int64_t f,
                   cudaStream_t stream) {
  const Cut cut = cut_of(f / V);
  forward<T, V><<<blocks_for(n * cut.chunks, 1), cut.threads, 0, stream>>>(
      static_cast<const T*>(gate), static_cast<const T*>(up), stride, static_cast<T*>(y), f, cut.chunks);
  return cudaGetLastError();
}

template <class T, int V>
int launch_backward(const void* dy, const void* gate, const void* up, int64_t stride, void* dgate, void* dup,
                    int64_t gradient_stride, void* y, int64_t n, int64_t f, cudaStream_t stream) {
  const Cut cut = cut_of(f / V);
  backward<T, V><<<blocks_for(n * cut.chunks, 1), cut.threads, 0, stream>>>(
      static_cast<const T*>(dy), static_cast<const T*>(gate), static_cast<const T*>(up), stride, static_cast<T*>(dgate),
      static_cast<T*>(dup), gradient_stride, static_cast<T*>(y), f, cut.chunks);
  return cudaGetLastError();
}

template <class T>
int choose_forward(const void* gate, const void* up, int64_t stride, void* y, int64_t n, int64_t f,
                   cudaStream_t stream) {
  constexpr int V = vector_size<T>;
  const bool in_vectors = f % V == 0 && stride % V == 0 && aligned({gate, up, y});
  return (in_vectors ? launch_forward<T, V> : launch_forward<T, 1>)(gate, up, stride, y, n, f, stream);
}

template <class T>
int choose_backward(const void* dy, const void* gate, const void* up, int64_t stride, void* dgate, void* dup,
                    int64_t gradient_stride, void* y, int64_t n, int64_t f, cudaStream_t stream) {
  constexpr int V = vector_size<T>;
  const bool in_vectors =
      f % V == 0 && stride % V == 0 && gradient_stride % V == 0 && aligned({dy, gate, up, dgate, dup, y});
  const auto launch = in_vectors ? launch_backward<T, V> : launch_backward<T, 1>;
  return launch(dy, gate, up, stride, dgate, dup, gradient_stride, y, n, f, stream);
}

}  // namespace

int swiglu_forward(int dtype, const void* gate, const void* up, int64_t stride, void* y_nf, int64_t n, int64_t f,
                   void* stream) {
  if (n == 0 || f == 0) return cudaSuccess;
  const auto launch = dtype == STEERLM_BFLOAT16 ? choose_forward<bf16> : choose_forward<float>;
  return launch(gate, up, stride, y_nf, n, f, as_stream(stream));
}

int swiglu_backward(int dtype, const void* dy_nf, const void* gate, const void* up, int64_t stride, void* dgate,
                    void* dup, int64_t gradient_stride, void* y_nf, int64_t n, int64_t f, void* stream) {
  if (n == 0 || f == 0) return cudaSuccess;
  const auto launch = dtype == STEERLM_BFLOAT16 ? choose_backward<bf16> : choose_backward<float>;
  return launch(dy_nf, gate, up, stride, dgate, dup, gradient_stride, y_nf, n, f, as_stream(stream));
}

}  // namespace steerlm_cuda
