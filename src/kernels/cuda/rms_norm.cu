#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

// A team of threads shares a row, which stays in registers as `per` vectors of 16 bytes a thread: thread `lane` has the
// vectors lane, lane + team, … Rows of more vectors than the last shape holds, and rows that are no whole number of
// vectors, go through the kernels named …_any, which walk the row in memory.
template <int Team, int Per>
struct Shape {
  static constexpr int team = Team, per = Per;
};
constexpr int64_t most_vectors = 2048;

template <class Launch>
void with_shape(int64_t vectors, Launch&& launch) {
  if (vectors <= 8) return launch(Shape<4, 2>{});
  if (vectors <= 16) return launch(Shape<8, 2>{});
  if (vectors <= 32) return launch(Shape<16, 2>{});
  if (vectors <= 64) return launch(Shape<32, 2>{});
  if (vectors <= 96) return launch(Shape<32, 3>{});
  if (vectors <= 128) return launch(Shape<32, 4>{});
  if (vectors <= 256) return launch(Shape<128, 2>{});
  if (vectors <= 512) return launch(Shape<256, 2>{});
  if (vectors <= 1024) return launch(Shape<512, 2>{});
  return launch(Shape<512, 4>{});
}

// Sum over a team. `sums`: one float a warp of the team, in shared memory. A team of more than a warp meets at the
// barrier `barrier` once.
template <int Team>
__device__ __forceinline__ float sum_team(float x, float* sums, int lane, int barrier) {
  if constexpr (Team <= 32) {
    return sum_lanes<Team>(x);
  } else {
    x = sum_lanes<32>(x);
    if (lane % 32 == 0) sums[lane / 32] = x;
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(Team) : "memory");
    float total = 0;
#pragma unroll
    for (int i = 0; i < Team / 32; ++i) total += sums[i];
    return total;
  }
}

// Of the forward pass and of the recomputation: the same bits.
__device__ __forceinline__ float normed(float x, float rstd, float w) { return __fmul_rn(__fmul_rn(x, rstd), w); }

__device__ __forceinline__ float reciprocal_root(float squares, int64_t d, float eps) {
  return 1.0f / sqrtf(squares / static_cast<float>(d) + eps);
}

template <int Team>
constexpr int forward_threads = Team <= 32 ? 256 : Team;

// Reads x (and residual) once, writes y (and sum): 2 n d elements, 4 n d with a residual.
template <class T, int Team, int Per, bool Recompute>
__global__ void __launch_bounds__(forward_threads<Team>)
    forward_rows(const T* x, const T* residual, const T* w, T* sum, T* y, float* rstd, int64_t n, int64_t d,
                 float eps) {
  constexpr int V = vector_size<T>, rows = forward_threads<Team> / Team;
  __shared__ float sums[Team > 32 ? Team / 32 : 1];
  const int lane = static_cast<int>(threadIdx.x) % Team, vectors = static_cast<int>(d / V);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * rows + threadIdx.x / Team;
  const bool exists = row < n;  // the lanes of rows that do not exist take part in the shuffles
  const int64_t begin = row * d;
  Bits<T, V> kept[Per];
#pragma unroll
  for (int p = 0; p < Per; ++p) {
    const int j = lane + p * Team;
    kept[p] = exists && j < vectors ? load<T, V>(x + begin + j * V) : Bits<T, V>{};
  }
  if (!Recompute && residual != nullptr) {
    Bits<T, V> other[Per];
#pragma unroll
    for (int p = 0; p < Per; ++p) {
      const int j = lane + p * Team;
      other[p] = exists && j < vectors ? load<T, V>(residual + begin + j * V) : Bits<T, V>{};
    }
#pragma unroll
    for (int p = 0; p < Per; ++p) {
      float a[V], b[V];
      unpack<T, V>(kept[p], a);
      unpack<T, V>(other[p], b);
#pragma unroll
      for (int i = 0; i < V; ++i) a[i] += b[i];
      kept[p] = pack<T, V>(a);  // the norm is that of the rounded sum
      const int j = lane + p * Team;
      if (exists && j < vectors) store<T, V>(sum + begin + j * V, kept[p]);
    }
  }
  float scale;
  if constexpr (Recompute) {
    scale = exists ? rstd[row] : 0.0f;
  } else {
    float squares = 0;
#pragma unroll
    for (int p = 0; p < Per; ++p) {
      float a[V];
      unpack<T, V>(kept[p], a);
#pragma unroll
      for (int i = 0; i < V; ++i) squares += a[i] * a[i];
    }
    scale = reciprocal_root(sum_team<Team>(squares, sums, lane, 1), d, eps);
    if (exists && lane == 0) rstd[row] = scale;
  }
#pragma unroll
  for (int p = 0; p < Per; ++p) {
    const int j = lane + p * Team;
    if (!exists || j >= vectors) continue;
    float a[V], weight[V];
    unpack<T, V>(kept[p], a);
    unpack<T, V>(load<T, V>(w + j * V), weight);
#pragma unroll
    for (int i = 0; i < V; ++i) a[i] = normed(a[i], scale, weight[i]);
    store<T, V>(y + begin + j * V, pack<T, V>(a));
  }
}

constexpr int any_threads = 256;

template <class T>
__device__ __forceinline__ float element(const T* from) {
  float x[1];
  unpack<T, 1>(load<T, 1>(from), x);
  return x[0];
}
template <class T>
__device__ __forceinline__ void put(T* to, float value) {
  const float x[1] = {value};
  store<T, 1>(to, pack<T, 1>(x));
}

// A block a row.
template <class T, bool Recompute>
__global__ void __launch_bounds__(any_threads)
    forward_any(const T* x, const T* residual, const T* w, T* sum, T* y, float* rstd, int64_t d, float eps) {
  __shared__ float sums[any_threads / 32];
  const int64_t row = blockIdx.x, begin = row * d;
  float scale;
  if constexpr (Recompute) {
    scale = rstd[row];
  } else {
    float squares = 0;
    for (int64_t j = threadIdx.x; j < d; j += any_threads) {
      float a = element(x + begin + j);
      if (residual != nullptr) {
        put(sum + begin + j, a + element(residual + begin + j));
        a = element(sum + begin + j);
      }
      squares += a * a;
    }
    scale = reciprocal_root(sum_team<any_threads>(squares, sums, static_cast<int>(threadIdx.x), 1), d, eps);
    if (threadIdx.x == 0) rstd[row] = scale;
  }
  const T* normalised = !Recompute && residual != nullptr ? sum : x;
  for (int64_t j = threadIdx.x; j < d; j += any_threads)
    put(y + begin + j, normed(element(normalised + begin + j), scale, element(w + j)));
}

// dx of one element; `mean` is that of dy * w * x_hat over the row.
__device__ __forceinline__ float gradient(float dy, float x, float w, float rstd, float mean) {
  return rstd * (dy * w - x * rstd * mean);
}

constexpr int backward_threads = 512;

// Reads dy, x (and dresidual) once and writes dx: 3 n d elements, 4 n d with a residual. Team t of block b takes the
// rows b * teams + t, that plus blocks * teams, …: fixed by n and d. Each thread adds up the weight gradients of its
// columns over these rows; then the teams are added in their order, which gives row b of `partial`.
template <class T, int Team, int Per>
__global__ void __launch_bounds__(backward_threads, Per <= 2 ? 2 : 1)
    backward_rows(const T* dy, const T* x, const T* w, const float* rstd, const T* dresidual, T* dx, float* partial,
                  int64_t n, int64_t d) {
  constexpr int V = vector_size<T>, teams = backward_threads / Team;
  __shared__ float sums[2][backward_threads / 32];
  const int lane = static_cast<int>(threadIdx.x) % Team, team = static_cast<int>(threadIdx.x) / Team;
  const int vectors = static_cast<int>(d / V);
  float dw[Per][V] = {};
  int turn = 0;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * teams; first < n;
       first += static_cast<int64_t>(STEERLM_RMS_NORM_BLOCKS) * teams) {
    const int64_t row = first + team, begin = row * d;
    const bool exists = row < n;
    Bits<T, V> dys[Per], xs[Per], others[Per];
#pragma unroll
    for (int p = 0; p < Per; ++p) {
      const int j = lane + p * Team;
      const bool inside = exists && j < vectors;
      dys[p] = inside ? load<T, V>(dy + begin + j * V) : Bits<T, V>{};
      xs[p] = inside ? load<T, V>(x + begin + j * V) : Bits<T, V>{};
      others[p] = inside && dresidual != nullptr ? load<T, V>(dresidual + begin + j * V) : Bits<T, V>{};
    }
    const float scale = exists ? rstd[row] : 0.0f;
    float dot = 0;
#pragma unroll
    for (int p = 0; p < Per; ++p) {
      const int j = lane + p * Team;
      if (j >= vectors) continue;
      float a[V], b[V], weight[V];
      unpack<T, V>(dys[p], a);
      unpack<T, V>(xs[p], b);
      unpack<T, V>(load<T, V>(w + j * V), weight);
#pragma unroll
      for (int i = 0; i < V; ++i) dot += a[i] * weight[i] * b[i];
    }
    // Two buffers in turn: who writes the sums of the next row but one has met all readers of this one at a barrier.
    float* const team_sums = sums[turn] + (Team > 32 ? team * (Team / 32) : 0);
    turn ^= 1;
    const float mean = sum_team<Team>(dot, team_sums, lane, team + 1) * scale / static_cast<float>(d);
#pragma unroll
    for (int p = 0; p < Per; ++p) {
      const int j = lane + p * Team;
      if (!exists || j >= vectors) continue;
      float a[V], b[V], weight[V], added[V];
      unpack<T, V>(dys[p], a);
      unpack<T, V>(xs[p], b);
      unpack<T, V>(load<T, V>(w + j * V), weight);
      unpack<T, V>(others[p], added);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        dw[p][i] += a[i] * (b[i] * scale);
        a[i] = added[i] + gradient(a[i], b[i], weight[i], scale, mean);
      }
      store<T, V>(dx + begin + j * V, pack<T, V>(a));
    }
  }
  if (partial == nullptr) return;
  // First the teams of a warp, by shuffles, then the groups of threads that hold whole rows, one after the other.
  if constexpr (Team < 32) {
#pragma unroll
    for (int p = 0; p < Per; ++p) {
#pragma unroll
      for (int i = 0; i < V; ++i) {
#pragma unroll
        for (int offset = Team; offset < 32; offset *= 2) dw[p][i] += __shfl_xor_sync(0xffffffffu, dw[p][i], offset);
      }
    }
  }
  constexpr int group_size = Team < 32 ? 32 : Team, groups = backward_threads / group_size;
  __shared__ float columns[groups == 1 ? 1 : Team * Per * V];
  const int group = static_cast<int>(threadIdx.x) / group_size;
  const bool speaks = static_cast<int>(threadIdx.x) % group_size < Team;
  for (int g = 0; g < groups; ++g) {
    if (group == g && speaks) {
#pragma unroll
      for (int p = 0; p < Per; ++p) {
        if constexpr (groups > 1) {
#pragma unroll
          for (int i = 0; i < V; ++i) {
            float* const column = columns + (p * V + i) * Team + lane;
            if (g > 0) dw[p][i] += *column;
            *column = dw[p][i];
          }
        }
        const int j = lane + p * Team;
        if (g == groups - 1 && j < vectors)
          store_floats<V>(partial + static_cast<int64_t>(blockIdx.x) * d + j * V, dw[p]);
      }
    }
    __syncthreads();
  }
}

// A block takes the rows b, b + blocks, …, and adds to its row of `partial` in memory.
template <class T>
__global__ void __launch_bounds__(any_threads)
    backward_any(const T* dy, const T* x, const T* w, const float* rstd, const T* dresidual, T* dx, float* partial,
                 int64_t n, int64_t d) {
  __shared__ float sums[2][any_threads / 32];
  float* const dw = partial == nullptr ? nullptr : partial + static_cast<int64_t>(blockIdx.x) * d;
  if (dw != nullptr) {
    for (int64_t j = threadIdx.x; j < d; j += any_threads) dw[j] = 0;
  }
  int turn = 0;
  for (int64_t row = blockIdx.x; row < n; row += STEERLM_RMS_NORM_BLOCKS) {
    const int64_t begin = row * d;
    const float scale = rstd[row];
    float dot = 0;
    for (int64_t j = threadIdx.x; j < d; j += any_threads)
      dot += element(dy + begin + j) * element(w + j) * element(x + begin + j);
    const float mean =
        sum_team<any_threads>(dot, sums[turn], static_cast<int>(threadIdx.x), 1) * scale / static_cast<float>(d);
    turn ^= 1;
    for (int64_t j = threadIdx.x; j < d; j += any_threads) {
      const float a = element(dy + begin + j), b = element(x + begin + j);
      const float added = dresidual == nullptr ? 0.0f : element(dresidual + begin + j);
      if (dw != nullptr) dw[j] += a * (b * scale);
      put(dx + begin + j, added + gradient(a, b, element(w + j), scale, mean));
    }
  }
}

// dw[j] += the sum of partial[0 … 255][j]: warp y of a block adds 8 of them in order for 32 columns, then the 32 sums
// of the warps are added in order.
__global__ void __launch_bounds__(1024) add_partial(const float* partial, float* dw, int64_t d) {
  constexpr int each = STEERLM_RMS_NORM_BLOCKS / 32;
  __shared__ float sums[32][32];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  float sum = 0;
  if (column < d) {
    float terms[each];
#pragma unroll
    for (int i = 0; i < each; ++i) terms[i] = partial[static_cast<int64_t>(threadIdx.y * each + i) * d + column];
#pragma unroll
    for (int i = 0; i < each; ++i) sum += terms[i];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= d) return;
  float total = 0;
#pragma unroll
  for (int i = 0; i < 32; ++i) total += sums[i][threadIdx.x];
  dw[column] += total;
}

template <class T>
bool in_vectors(int64_t d, std::initializer_list<const void*> pointers) {
  return d % vector_size<T> == 0 && d / vector_size<T> <= most_vectors && aligned(pointers);
}

template <class T, bool Recompute>
int launch_forward(const void* x_nd, const void* residual_nd, const void* w_d, void* sum_nd, void* y_nd, float* rstd_n,
                   int64_t n, int64_t d, float eps, cudaStream_t stream) {
  const T *x = static_cast<const T*>(x_nd), *residual = static_cast<const T*>(residual_nd),
          *w = static_cast<const T*>(w_d);
  T *sum = static_cast<T*>(sum_nd), *y = static_cast<T*>(y_nd);
  if (in_vectors<T>(d, {x_nd, residual_nd, w_d, sum_nd, y_nd})) {
    with_shape(d / vector_size<T>, [&](auto shape) {
      constexpr int team = decltype(shape)::team, threads = forward_threads<team>;
      forward_rows<T, team, decltype(shape)::per, Recompute>
          <<<blocks_for(n, threads / team), threads, 0, stream>>>(x, residual, w, sum, y, rstd_n, n, d, eps);
    });
  } else {
    forward_any<T, Recompute><<<blocks_for(n, 1), any_threads, 0, stream>>>(x, residual, w, sum, y, rstd_n, d, eps);
  }
  return cudaGetLastError();
}

template <class T>
int launch_backward(const void* dy_nd, const void* x_nd, const void* w_d, const float* rstd_n, const void* dresidual_nd,
                    void* dx_nd, float* partial, float* dw_d, int64_t n, int64_t d, cudaStream_t stream) {
  const T *dy = static_cast<const T*>(dy_nd), *x = static_cast<const T*>(x_nd), *w = static_cast<const T*>(w_d),
          *dresidual = static_cast<const T*>(dresidual_nd);
  T* dx = static_cast<T*>(dx_nd);
  float* const sums = dw_d == nullptr ? nullptr : partial;
  if (in_vectors<T>(d, {dy_nd, x_nd, w_d, dresidual_nd, dx_nd, sums})) {
    with_shape(d / vector_size<T>, [&](auto shape) {
      backward_rows<T, decltype(shape)::team, decltype(shape)::per>
          <<<STEERLM_RMS_NORM_BLOCKS, backward_threads, 0, stream>>>(dy, x, w, rstd_n, dresidual, dx, sums, n, d);
    });
  } else {
    backward_any<T><<<STEERLM_RMS_NORM_BLOCKS, any_threads, 0, stream>>>(dy, x, w, rstd_n, dresidual, dx, sums, n, d);
  }
  const int status = cudaGetLastError();
  if (status != cudaSuccess || dw_d == nullptr) return status;
  add_partial<<<blocks_for(d, 32), dim3(32, 32), 0, stream>>>(partial, dw_d, d);
  return cudaGetLastError();
}

}  // namespace

int rms_norm_forward(int dtype, const void* x_nd, const void* residual_nd, const void* w_d, void* sum_nd, void* y_nd,
                     float* rstd_n, int64_t n, int64_t d, double eps, void* stream) {
  if (n == 0 || d == 0) return cudaSuccess;
  const auto launch = dtype == STEERLM_BFLOAT16 ? launch_forward<bf16, false> : launch_forward<float, false>;
  return launch(x_nd, residual_nd, w_d, sum_nd, y_nd, rstd_n, n, d, static_cast<float>(eps), as_stream(stream));
}

int rms_norm_recompute(int dtype, const void* x_nd, const void* w_d, const float* rstd_n, void* y_nd, int64_t n,
                       int64_t d, void* stream) {
  if (n == 0 || d == 0) return cudaSuccess;
  const auto launch = dtype == STEERLM_BFLOAT16 ? launch_forward<bf16, true> : launch_forward<float, true>;
  return launch(x_nd, nullptr, w_d, nullptr, y_nd, const_cast<float*>(rstd_n), n, d, 0, as_stream(stream));
}

int rms_norm_backward(int dtype, const void* dy_nd, const void* x_nd, const void* w_d, const float* rstd_n,
                      const void* dresidual_nd, void* dx_nd, float* partial, float* dw_d, int64_t n, int64_t d,
                      void* stream) {
  if (n == 0 || d == 0) return cudaSuccess;
  const auto launch = dtype == STEERLM_BFLOAT16 ? launch_backward<bf16> : launch_backward<float>;
  return launch(dy_nd, x_nd, w_d, rstd_n, dresidual_nd, dx_nd, partial, dw_d, n, d, as_stream(stream));
}

}  // namespace steerlm_cuda
