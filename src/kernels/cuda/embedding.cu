#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

// The sorted ids are cut at every `piece` of them, wherever their runs of equal ids begin: the work of a warp does not
// depend on how often a token occurs. A run inside a piece is added to dw at once. Of a run that a cut divides, the
// piece it begins in keeps its part as `tail`, each later one as `head` (a piece that lies inside a run has only that),
// and a second kernel adds tail, head, head, … in their order. partial: (pieces, 2, d) fp32, heads at 0 and tails at 1.
constexpr int piece = STEERLM_EMBEDDING_ROWS;
static_assert(piece == 32, "a lane an id");
constexpr int threads = 128, warps = threads / 32;
// Rows of dy, and the rows of dw they end in, that are loaded before the first of them is added.
constexpr int ahead = 4;

// A warp sums a piece for 32 V columns. Reads n d elements of dy, reads and writes 8 bytes an element of dw's rows.
template <class T, int V>
__global__ void __launch_bounds__(threads) add_runs(const T* dy, const int64_t* ids, const int64_t* order, float* dw,
                                                    float* partial, int64_t n, int64_t d, unsigned chunks) {
  const int64_t task = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  const int64_t p = task / chunks, begin = p * piece;
  if (begin >= n) return;  // a whole warp
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t column = ((task - p * chunks) * 32 + lane) * V;
  const bool inside = column < d;
  const int count = static_cast<int>(n - begin < piece ? n - begin : piece);
  const int64_t my_id = lane < count ? ids[begin + lane] : -1, my_row = lane < count ? order[begin + lane] : 0;
  const int64_t next_id = lane < count && begin + lane + 1 < n ? ids[begin + lane + 1] : -1;
  // Bit l: a run ends at the piece's id l.
  const unsigned ends = __ballot_sync(0xffffffffu, lane < count && my_id != next_id);
  bool came_from_before = begin > 0 && ids[begin - 1] == __shfl_sync(0xffffffffu, my_id, 0);
  float sum[V] = {};
#pragma unroll 1
  for (int first = 0; first < count; first += ahead) {
    Bits<T, V> rows[ahead];
    float old[ahead][V];
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      const int at = first + k;
      const int64_t row = __shfl_sync(0xffffffffu, my_row, at), id = __shfl_sync(0xffffffffu, my_id, at);
      if (at >= count || !inside) continue;
      rows[k] = load_once<T, V>(dy + row * d + column);
      if (ends >> at & 1) load_floats<V>(dw + id * d + column, old[k]);
    }
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      const int at = first + k;
      const int64_t id = __shfl_sync(0xffffffffu, my_id, at);
      if (at >= count) continue;
      if (inside) {
        float x[V];
        unpack<T, V>(rows[k], x);
#pragma unroll
        for (int i = 0; i < V; ++i) sum[i] += x[i];
      }
      const bool run_ends = ends >> at & 1, last = at == count - 1;
      if (!run_ends && !last) continue;
      if (inside) {
        if (came_from_before) {
          store_floats<V>(partial + 2 * p * d + column, sum);
        } else if (!run_ends) {
          store_floats<V>(partial + (2 * p + 1) * d + column, sum);
        } else {
#pragma unroll
          for (int i = 0; i < V; ++i) old[k][i] += sum[i];
          store_floats<V>(dw + id * d + column, old[k]);
        }
      }
#pragma unroll
      for (int i = 0; i < V; ++i) sum[i] = 0;
      came_from_before = false;
    }
  }
}

// A warp looks whether a run begins in its piece and is cut at its end; if so it adds the parts for 32 V columns.
template <int V>
__global__ void __launch_bounds__(threads)
    add_parts(const int64_t* ids, float* dw, const float* partial, int64_t n, int64_t d, unsigned chunks) {
  const int64_t task = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  const int64_t p = task / chunks, begin = p * piece, end = begin + piece;
  if (end >= n) return;
  const int64_t id = ids[end - 1];
  if (ids[end] != id || (begin > 0 && ids[begin - 1] == id)) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t column = ((task - p * chunks) * 32 + lane) * V;
  const bool inside = column < d;
  float sum[V] = {};
  if (inside) load_floats<V>(partial + (2 * p + 1) * d + column, sum);
  // The pieces whose first id is this one, 32 at a time.
  for (int64_t next = p + 1;; next += 32) {
    const int64_t place = (next + lane) * piece;
    const unsigned others = ~__ballot_sync(0xffffffffu, place < n && ids[place] == id);
    const int parts = others == 0 ? 32 : __ffs(static_cast<int>(others)) - 1;
    for (int first = 0; first < parts && inside; first += ahead) {
      float heads[ahead][V];
#pragma unroll
      for (int k = 0; k < ahead; ++k) {
        if (first + k < parts) load_floats<V>(partial + 2 * (next + first + k) * d + column, heads[k]);
      }
#pragma unroll
      for (int k = 0; k < ahead; ++k) {
        if (first + k >= parts) continue;
#pragma unroll
        for (int i = 0; i < V; ++i) sum[i] += heads[k][i];
      }
    }
    if (parts < 32) break;
  }
  if (!inside) return;
  float old[V];
  load_floats<V>(dw + id * d + column, old);
#pragma unroll
  for (int i = 0; i < V; ++i) old[i] += sum[i];
  store_floats<V>(dw + id * d + column, old);
}

int64_t pieces_of(int64_t n) { return (n + piece - 1) / piece; }

template <class T, int V>
int launch(const T* dy, const int64_t* ids, const int64_t* order, float* dw, float* partial, int64_t n, int64_t d,
           cudaStream_t stream) {
  const unsigned chunks = blocks_for(d, 32 * V), blocks = blocks_for(pieces_of(n) * chunks, warps);
  add_runs<T, V><<<blocks, threads, 0, stream>>>(dy, ids, order, dw, partial, n, d, chunks);
  const int status = cudaGetLastError();
  if (status != cudaSuccess || n <= piece) return status;
  add_parts<V><<<blocks, threads, 0, stream>>>(ids, dw, partial, n, d, chunks);
  return cudaGetLastError();
}

template <class T>
int choose(const void* dy_nd, const int64_t* ids, const int64_t* order, float* dw, void* partial, int64_t n, int64_t d,
           cudaStream_t stream) {
  constexpr int V = vector_size<T>;
  const bool in_vectors = d % V == 0 && aligned({dy_nd, dw, partial});
  return (in_vectors ? launch<T, V> : launch<T, 1>)(static_cast<const T*>(dy_nd), ids, order, dw,
                                                    static_cast<float*>(partial), n, d, stream);
}

}  // namespace

int64_t embedding_workspace(int64_t n, int64_t d) { return pieces_of(n) * 2 * d * static_cast<int64_t>(sizeof(float)); }

int embedding_backward(int dtype, const void* dy_nd, const int64_t* sorted_ids_n, const int64_t* order_n, float* dw_vd,
                       void* partial, int64_t n, int64_t d, void* stream) {
  if (n == 0 || d == 0) return cudaSuccess;
  const auto launch_it = dtype == STEERLM_BFLOAT16 ? choose<bf16> : choose<float>;
  return launch_it(dy_nd, sorted_ids_n, order_n, dw_vd, partial, n, d, as_stream(stream));
}

}  // namespace steerlm_cuda
