// Cross-entropy of rows of logits and its gradient in place (table.h). A row is read once from memory: pass 1 keeps
// what fits of it in shared memory (up to 226 KiB on a 9.0), and pass 2 starts with the rest, which is still in L2.
// Memory traffic of k rows: k * v elements read, k * v written. The sums depend on v and the dtype alone, not on how
// much a card can keep.
#include <cfloat>

#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

// Vectors that a thread has in flight.
constexpr int in_flight = 4;

// exp(x) for x <= 0. ex2.approx of a product that is rounded once: 2 units in the last place for bf16 logits.
template <class T>
__device__ __forceinline__ float exponential(float x) {
  if constexpr (sizeof(T) == 2) return __expf(x);
  return expf(x);
}

// Maximum and sum of exp(x - maximum) so far. The maximum starts finite, so that rows with -inf give no inf - inf; a
// NaN passes by the maximum and stays in the sum.
struct Online {
  float largest = -FLT_MAX;
  float sum = 0;
};

template <class T, int count>
__device__ __forceinline__ void add(Online& online, const float (&x)[count]) {
  float largest = online.largest;
#pragma unroll
  for (int i = 0; i < count; ++i) largest = fmaxf(largest, x[i]);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < count; ++i) sum += exponential<T>(x[i] - largest);
  online.sum = online.sum * exponential<T>(online.largest - largest) + sum;
  online.largest = largest;
}

// The same value in all threads: over the lanes by a butterfly, then over the warps in the same way by each warp.
template <int threads, class Operation>
__device__ __forceinline__ float reduce(float value, float* shared, Operation operation) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value = operation(value, __shfl_xor_sync(0xffffffffu, value, offset));
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[threadIdx.x % 32 % (threads / 32)];
#pragma unroll
  for (int offset = threads / 64; offset > 0; offset /= 2)
    value = operation(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

// `kept`: vectors of a row in shared memory, a multiple of the threads or all of them. logits may be dlogits, so that
// neither is __restrict__.
template <class T, int threads>
__global__ void __launch_bounds__(threads, 1024 / threads)
    cross_entropy_rows(const T* logits_kv, int64_t row_stride, const int64_t* __restrict__ targets_k,
                       const float* __restrict__ weights_k, double scale, T* dlogits_kv, float* __restrict__ log_p_k,
                       int v, int kept) {
  constexpr int width = vector_size<T>;
  extern __shared__ uint4 cache[];
  __shared__ float shared[2][32];
  const int64_t row = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  const T* x = logits_kv + row * row_stride;
  T* dx = dlogits_kv == nullptr ? nullptr : dlogits_kv + row * row_stride;

  // Elements before the first multiple of 16 bytes and after the last one by themselves; all of them where the gradient
  // is aligned otherwise than the logits.
  const auto address = reinterpret_cast<uintptr_t>(x);
  int head = static_cast<int>((16 - address % 16) % 16 / sizeof(T));
  if (head > v || (dx != nullptr && (reinterpret_cast<uintptr_t>(dx) - address) % 16 != 0)) head = v;
  const int vectors = (v - head) / width;
  const int tail = head + vectors * width;
  const uint4* x_vectors = reinterpret_cast<const uint4*>(x + head);
  kept = min(kept, vectors);
  if (kept < vectors) kept -= kept % threads;

  const int64_t target = targets_k[row];
  const bool known = target >= 0 && target < v;
  const float x_target = static_cast<float>(x[known ? target : 0]);

  // Pass 1.
  Online online;
  int i = thread;
  for (; i + (in_flight - 1) * threads < vectors; i += in_flight * threads) {
    uint4 raw[in_flight];
#pragma unroll
    for (int u = 0; u < in_flight; ++u) raw[u] = x_vectors[i + u * threads];
#pragma unroll
    for (int u = 0; u < in_flight; ++u) {
      if (i + u * threads < kept) cache[i + u * threads] = raw[u];
      float values[width];
      unpack<T, width>(raw[u], values);
      add<T>(online, values);
    }
  }
  for (; i < vectors; i += threads) {
    const uint4 raw = x_vectors[i];
    if (i < kept) cache[i] = raw;
    float values[width];
    unpack<T, width>(raw, values);
    add<T>(online, values);
  }
  for (i = thread; i < head; i += threads) {
    const float value[1] = {static_cast<float>(x[i])};
    add<T>(online, value);
  }
  for (i = tail + thread; i < v; i += threads) {
    const float value[1] = {static_cast<float>(x[i])};
    add<T>(online, value);
  }

  const float largest = reduce<threads>(online.largest, shared[0], [](float a, float b) { return fmaxf(a, b); });
  // These barriers also stand between every thread's read of the target's logit and its being overwritten.
  const float sum = reduce<threads>(online.sum * exponential<T>(online.largest - largest), shared[1],
                                    [](float a, float b) { return a + b; });
  const float nan = __int_as_float(0x7fffffff);
  if (thread == 0) log_p_k[row] = known ? x_target - largest - logf(sum) : nan;
  if (dx == nullptr) return;

  // Pass 2: factor * softmax everywhere, then factor off the target.
  const float factor = known ? static_cast<float>(scale * static_cast<double>(weights_k[row])) : nan;
  const float share = factor / sum;
  const auto gradient = [&](float value) { return share * exponential<T>(value - largest); };
  uint4* dx_vectors = reinterpret_cast<uint4*>(dx + head);
  const auto write = [&](int index, uint4 raw) {
    float values[width];
    unpack<T, width>(raw, values);
#pragma unroll
    for (int c = 0; c < width; ++c) values[c] = gradient(values[c]);
    __stcs(dx_vectors + index, pack<T, width>(values));
  };
  // What is not in shared memory, the last read first. A thread reads again what it has read itself.
  int rest = kept + thread < vectors ? (vectors - 1 - kept - thread) / threads + 1 : 0;
  i = kept + thread + (rest - 1) * threads;
  for (; rest >= in_flight; rest -= in_flight, i -= in_flight * threads) {
    uint4 raw[in_flight];
#pragma unroll
    for (int u = 0; u < in_flight; ++u) raw[u] = x_vectors[i - u * threads];
#pragma unroll
    for (int u = 0; u < in_flight; ++u) write(i - u * threads, raw[u]);
  }
  for (; rest > 0; --rest, i -= threads) write(i, x_vectors[i]);
  for (i = thread; i < kept; i += threads) write(i, cache[i]);
  for (i = thread; i < head; i += threads) dx[i] = static_cast<T>(gradient(static_cast<float>(x[i])));
  for (i = tail + thread; i < v; i += threads) dx[i] = static_cast<T>(gradient(static_cast<float>(x[i])));
  __syncthreads();  // the element of the target has been written by another thread
  if (thread == 0 && known) dx[target] = static_cast<T>(gradient(x_target) - factor);
}

// loss_sum += sum of -w * log_p: rows of a thread in rising order, then a fixed tree.
constexpr int sum_threads = 1024;
__global__ void __launch_bounds__(sum_threads)
    sum_loss(const float* __restrict__ weights_k, const float* __restrict__ log_p_k, double* loss_sum, int64_t k) {
  __shared__ double sums[sum_threads];
  double sum = 0;
  for (int64_t row = threadIdx.x; row < k; row += sum_threads)
    sum -= static_cast<double>(weights_k[row]) * static_cast<double>(log_p_k[row]);
  sums[threadIdx.x] = sum;
  for (unsigned half = sum_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *loss_sum += sums[0];
}

template <class T, int threads>
cudaError_t launch(const void* logits, int64_t row_stride, const int64_t* targets, const float* weights, double scale,
                   void* dlogits, float* log_p, int64_t k, int64_t v, cudaStream_t stream) {
  int64_t kept = 0;
  if (dlogits != nullptr) {
    int device = 0, bytes = 0;
    cudaError_t status = cudaGetDevice(&device);
    if (status == cudaSuccess) status = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (status != cudaSuccess) return status;
    // 1 KiB is the reductions' (and, on a 9.0, the system's, which the attribute has left out).
    kept = (bytes - 1024) / 16;
    const int64_t vectors = v * static_cast<int64_t>(sizeof(T)) / 16;
    if (vectors <= kept)
      kept = vectors;
    else
      kept -= kept % threads;
    status = cudaFuncSetAttribute(cross_entropy_rows<T, threads>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(kept * 16));
    if (status != cudaSuccess) return status;
  }
  cross_entropy_rows<T, threads><<<static_cast<unsigned>(k), threads, static_cast<size_t>(kept) * 16, stream>>>(
      static_cast<const T*>(logits), row_stride, targets, weights, scale, static_cast<T*>(dlogits), log_p,
      static_cast<int>(v), static_cast<int>(kept));
  return cudaGetLastError();
}

// A row that two blocks of a 9.0 can keep beside each other gets a small block: one reads while the other writes.
template <class T>
cudaError_t launch(const void* logits, int64_t row_stride, const int64_t* targets, const float* weights, double scale,
                   void* dlogits, float* log_p, int64_t k, int64_t v, cudaStream_t stream) {
  constexpr int64_t half_of_a_card = 110 << 10;
  if (v * static_cast<int64_t>(sizeof(T)) <= half_of_a_card)
    return launch<T, 512>(logits, row_stride, targets, weights, scale, dlogits, log_p, k, v, stream);
  return launch<T, 1024>(logits, row_stride, targets, weights, scale, dlogits, log_p, k, v, stream);
}

}  // namespace

int cross_entropy(int dtype, const void* logits_kv, int64_t row_stride, const int64_t* targets_k,
                  const float* weights_k, double scale, void* dlogits_kv, float* log_p_k, double* loss_sum, int64_t k,
                  int64_t v, void* stream) {
  if (k == 0 || v == 0) return cudaSuccess;
  if (k > INT32_MAX || v > INT32_MAX / 2 || row_stride < v) return cudaErrorInvalidValue;
  const auto cuda_stream = as_stream(stream);
  cudaError_t status = cudaErrorInvalidValue;
  if (dtype == STEERLM_FLOAT32) {
    status = launch<float>(logits_kv, row_stride, targets_k, weights_k, scale, dlogits_kv, log_p_k, k, v, cuda_stream);
  } else if (dtype == STEERLM_BFLOAT16) {
    status = launch<bf16>(logits_kv, row_stride, targets_k, weights_k, scale, dlogits_kv, log_p_k, k, v, cuda_stream);
  }
  if (status != cudaSuccess || loss_sum == nullptr) return status;
  sum_loss<<<1, sum_threads, 0, cuda_stream>>>(weights_k, log_p_k, loss_sum, k);
  return cudaGetLastError();
}

}  // namespace steerlm_cuda
