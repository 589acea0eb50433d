// Attention of one query row a slot against its cached keys and values, and the writing of the cache (table.h).
// The keys of a slot are split into pieces of STEERLM_DECODE_SPLIT ("flash decoding", Dao et al. 2023). One block takes
// a piece of one key/value head for up to 8 of the query heads that share it, so that K and V are read once: 2 * length
// * g * e elements a slot. The bits of a row depend on its own length, window and numbers only.
#include <cfloat>

#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

constexpr int split_keys = STEERLM_DECODE_SPLIT;
constexpr int threads = 128;
constexpr int warps = threads / 32;
constexpr unsigned all_lanes = 0xffffffffu;

// Keys first … end-1 are what a row attends to.
struct Span {
  int first, end;
};
__device__ __forceinline__ Span span_of(const int32_t* lengths_r, int64_t row, int64_t longest, int64_t t,
                                        int64_t window) {
  const int64_t length = max(int64_t{0}, min(int64_t{lengths_r[row]}, min(longest, t)));
  const int64_t first = window > 0 ? max(int64_t{0}, length - window) : 0;
  return {static_cast<int>(first), static_cast<int>(length)};
}

// Of workspace: r*h*splits rows of e sums, then as many pairs (maximum, sum of weights), all fp32.
struct Partial {
  float* sum;
  float2* weight;
};
__device__ __forceinline__ Partial partial_of(float* workspace, int64_t r, int64_t h, int64_t e, int64_t splits,
                                              int64_t row, int64_t head, int64_t split) {
  const int64_t index = (row * h + head) * splits + split;
  return {workspace + index * e, reinterpret_cast<float2*>(workspace + r * h * splits * e) + index};
}

// A key of e elements lies on `lanes` lanes, `vectors` of 16 bytes each (those beyond e are idle), 32/lanes keys beside
// each other in a warp. Scores are in powers of two: q is multiplied by scale * log2(e) when it is read.
template <class T, int lanes, int vectors, int heads>
__global__ void __launch_bounds__(threads, heads > 4 || vectors > 1 ? 3 : 4)
    attend(const T* __restrict__ q_rhe, int64_t q_stride, const T* __restrict__ k_rgte, const T* __restrict__ v_rgte,
           const int32_t* __restrict__ lengths_r, T* __restrict__ out_rhe, float* __restrict__ workspace, int64_t r,
           int64_t h, int64_t g, int64_t t, int64_t e, int64_t longest, int64_t window, float scale) {
  constexpr int width = vector_size<T>;
  constexpr int groups = 32 / lanes;
  constexpr int padded = lanes * vectors * width;
  constexpr int keys_in_flight = heads > 4 ? 2 : 4;  // of a group of lanes; more would not fit into the registers
  __shared__ float q_shared[heads][padded];
  __shared__ float sum_shared[warps][heads][padded];
  __shared__ float2 weight_shared[warps][heads];

  const int64_t row = blockIdx.z, split = blockIdx.x, splits = gridDim.x;
  const int64_t ratio = h / g, chunks = (ratio + heads - 1) / heads;
  const int64_t kv_head = blockIdx.y / chunks, chunk = blockIdx.y % chunks;
  const int64_t first_head = kv_head * ratio + chunk * heads;
  const int count = static_cast<int>(min(int64_t{heads}, ratio - chunk * heads));
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int group = lane / lanes, column = lane % lanes;

  const Span span = span_of(lengths_r, row, longest, t, window);
  const int begin = static_cast<int>(split) * split_keys;
  const int first = max(span.first, begin), end = min(span.end, begin + split_keys);
  if (first >= end) {
    // Without a merge the zeros of an empty row are written here.
    if (splits == 1 && span.end == 0) {
      for (int i = thread; i < count * static_cast<int>(e); i += threads)
        out_rhe[(row * h + first_head) * e + i] = static_cast<T>(0.0f);
    }
    return;
  }

  for (int i = thread; i < heads * padded; i += threads) {
    const int head = i / padded, c = i % padded;
    q_shared[head][c] =
        head < count && c < e ? static_cast<float>(q_rhe[row * q_stride + (first_head + head) * e + c]) * scale : 0;
  }
  __syncthreads();

  const int row_vectors = static_cast<int>(e) / width;
  const int64_t cache = (row * g + kv_head) * t * row_vectors;
  const uint4* k_vectors = reinterpret_cast<const uint4*>(k_rgte) + cache;
  const uint4* v_vectors = reinterpret_cast<const uint4*>(v_rgte) + cache;

  float largest[heads], total[heads], sum[heads][vectors][width];
#pragma unroll
  for (int head = 0; head < heads; ++head) {
    largest[head] = -FLT_MAX;  // finite: a piece without keys gives no inf - inf
    total[head] = 0;
#pragma unroll
    for (int j = 0; j < vectors; ++j)
#pragma unroll
      for (int c = 0; c < width; ++c) sum[head][j][c] = 0;
  }

  constexpr int tile = groups * keys_in_flight;
  for (int key0 = begin + warp * tile; key0 < end; key0 += warps * tile) {
    if (key0 + tile <= first) continue;
    uint4 k_raw[keys_in_flight][vectors], v_raw[keys_in_flight][vectors];
#pragma unroll
    for (int u = 0; u < keys_in_flight; ++u) {
      const int key = key0 + u * groups + group;
#pragma unroll
      for (int j = 0; j < vectors; ++j) {
        const int vector = column + j * lanes;
        // Memory beyond the length may hold anything, NaN included: it is not read.
        const bool inside = key >= first && key < end && vector < row_vectors;
        const int64_t place = static_cast<int64_t>(key) * row_vectors + vector;
        k_raw[u][j] = inside ? __ldg(k_vectors + place) : make_uint4(0, 0, 0, 0);
        v_raw[u][j] = inside ? __ldg(v_vectors + place) : make_uint4(0, 0, 0, 0);
      }
    }

    float score[keys_in_flight][heads];
#pragma unroll
    for (int u = 0; u < keys_in_flight; ++u) {
      float k[vectors][width];
#pragma unroll
      for (int j = 0; j < vectors; ++j) unpack<T, width>(k_raw[u][j], k[j]);
      const int key = key0 + u * groups + group;
#pragma unroll
      for (int head = 0; head < heads; ++head) {
        float dot = 0;
#pragma unroll
        for (int j = 0; j < vectors; ++j)
#pragma unroll
          for (int c = 0; c < width; ++c) dot = fmaf(q_shared[head][(column + j * lanes) * width + c], k[j][c], dot);
#pragma unroll
        for (int offset = lanes / 2; offset > 0; offset /= 2) dot += __shfl_xor_sync(all_lanes, dot, offset);
        score[u][head] = key >= first && key < end ? dot : -INFINITY;
      }
    }

#pragma unroll
    for (int head = 0; head < heads; ++head) {
      float now = largest[head];
#pragma unroll
      for (int u = 0; u < keys_in_flight; ++u) now = fmaxf(now, score[u][head]);
      const float old = exp2f(largest[head] - now);
      largest[head] = now;
      total[head] *= old;
#pragma unroll
      for (int j = 0; j < vectors; ++j)
#pragma unroll
        for (int c = 0; c < width; ++c) sum[head][j][c] *= old;
#pragma unroll
      for (int u = 0; u < keys_in_flight; ++u) {
        score[u][head] = exp2f(score[u][head] - now);
        total[head] += score[u][head];
      }
    }
#pragma unroll
    for (int u = 0; u < keys_in_flight; ++u) {
      float v[vectors][width];
#pragma unroll
      for (int j = 0; j < vectors; ++j) unpack<T, width>(v_raw[u][j], v[j]);
#pragma unroll
      for (int head = 0; head < heads; ++head)
#pragma unroll
        for (int j = 0; j < vectors; ++j)
#pragma unroll
          for (int c = 0; c < width; ++c) sum[head][j][c] = fmaf(score[u][head], v[j][c], sum[head][j][c]);
    }
  }

  // Over the groups of a warp by a butterfly, then over the warps in their order.
#pragma unroll
  for (int head = 0; head < heads; ++head) {
    float now = largest[head];
#pragma unroll
    for (int offset = lanes; offset < 32; offset *= 2) now = fmaxf(now, __shfl_xor_sync(all_lanes, now, offset));
    const float old = exp2f(largest[head] - now);
    float weight = total[head] * old;
#pragma unroll
    for (int offset = lanes; offset < 32; offset *= 2) weight += __shfl_xor_sync(all_lanes, weight, offset);
    if (lane == 0) weight_shared[warp][head] = make_float2(now, weight);
#pragma unroll
    for (int j = 0; j < vectors; ++j)
#pragma unroll
      for (int c = 0; c < width; ++c) {
        float part = sum[head][j][c] * old;
#pragma unroll
        for (int offset = lanes; offset < 32; offset *= 2) part += __shfl_xor_sync(all_lanes, part, offset);
        if (group == 0) sum_shared[warp][head][(column + j * lanes) * width + c] = part;
      }
  }
  __syncthreads();
  for (int i = thread; i < count * padded; i += threads) {
    const int head = i / padded, c = i % padded;
    if (c >= e) continue;
    float now = weight_shared[0][head].x;
    for (int w = 1; w < warps; ++w) now = fmaxf(now, weight_shared[w][head].x);
    float weight = 0, part = 0;
    for (int w = 0; w < warps; ++w) {
      const float factor = exp2f(weight_shared[w][head].x - now);
      weight = fmaf(factor, weight_shared[w][head].y, weight);
      part = fmaf(factor, sum_shared[w][head][c], part);
    }
    if (splits == 1) {
      out_rhe[(row * h + first_head + head) * e + c] = static_cast<T>(part / weight);
    } else {
      const Partial partial = partial_of(workspace, r, h, e, splits, row, first_head + head, split);
      partial.sum[c] = part;
      if (c == 0) *partial.weight = make_float2(now, weight);
    }
  }
}

// One block a row and head; the pieces in their order. Those without keys have not been written and are not read.
template <class T>
__global__ void __launch_bounds__(256)
    merge(float* __restrict__ workspace, const int32_t* __restrict__ lengths_r, T* __restrict__ out_rhe, int64_t r,
          int64_t h, int64_t t, int64_t e, int64_t splits, int64_t longest, int64_t window) {
  const int64_t row = blockIdx.y, head = blockIdx.x;
  const int c = static_cast<int>(threadIdx.x);
  if (c >= e) return;
  const Span span = span_of(lengths_r, row, longest, t, window);
  const int64_t place = (row * h + head) * e + c;
  if (span.first >= span.end) {
    out_rhe[place] = static_cast<T>(0.0f);
    return;
  }
  const int from = span.first / split_keys, to = (span.end - 1) / split_keys;
  const Partial partial = partial_of(workspace, r, h, e, splits, row, head, 0);
  float largest = partial.weight[from].x;
  for (int split = from + 1; split <= to; ++split) largest = fmaxf(largest, partial.weight[split].x);
  float weight = 0, sum = 0;
  for (int split = from; split <= to; ++split) {
    const float factor = exp2f(partial.weight[split].x - largest);
    weight = fmaf(factor, partial.weight[split].y, weight);
    sum = fmaf(factor, partial.sum[split * e + c], sum);
  }
  out_rhe[place] = static_cast<T>(sum / weight);
}

struct Arguments {
  const void* q;
  int64_t q_stride;
  const void *k, *v;
  const int32_t* lengths;
  void* out;
  float* workspace;
  int64_t r, h, g, t, e, longest, window, splits;
  float scale;
  cudaStream_t stream;
};

template <class T, int lanes, int vectors, int heads>
cudaError_t attend_heads(const Arguments& a) {
  const int64_t ratio = a.h / a.g, blocks = a.g * ((ratio + heads - 1) / heads);
  if (blocks > 65535) return cudaErrorInvalidValue;
  const dim3 grid(static_cast<unsigned>(a.splits), static_cast<unsigned>(blocks), static_cast<unsigned>(a.r));
  attend<T, lanes, vectors, heads><<<grid, threads, 0, a.stream>>>(
      static_cast<const T*>(a.q), a.q_stride, static_cast<const T*>(a.k), static_cast<const T*>(a.v), a.lengths,
      static_cast<T*>(a.out), a.workspace, a.r, a.h, a.g, a.t, a.e, a.longest, a.window, a.scale);
  return cudaGetLastError();
}

template <class T, int lanes, int vectors>
cudaError_t attend_width(const Arguments& a) {
  const int64_t ratio = a.h / a.g;
  if (ratio == 1) return attend_heads<T, lanes, vectors, 1>(a);
  if constexpr (sizeof(T) == 2) {
    if (ratio == 2) return attend_heads<T, lanes, vectors, 2>(a);
    if (ratio > 4) return attend_heads<T, lanes, vectors, 8>(a);
  }
  return attend_heads<T, lanes, vectors, 4>(a);
}

template <class T>
cudaError_t attend_and_merge(const Arguments& a) {
  const int64_t row_vectors = a.e / vector_size<T>;
  cudaError_t status = cudaErrorInvalidValue;
  if (row_vectors <= 4)
    status = attend_width<T, 4, 1>(a);
  else if (row_vectors <= 8)
    status = attend_width<T, 8, 1>(a);
  else if (row_vectors <= 16)
    status = attend_width<T, 16, 1>(a);
  else if (row_vectors <= 32)
    status = attend_width<T, 32, 1>(a);
  else if constexpr (sizeof(T) == 4)
    status = attend_width<T, 32, 2>(a);
  if (status != cudaSuccess || a.splits == 1) return status;
  const dim3 grid(static_cast<unsigned>(a.h), static_cast<unsigned>(a.r));
  merge<T><<<grid, static_cast<unsigned>((a.e + 31) / 32 * 32), 0, a.stream>>>(
      a.workspace, a.lengths, static_cast<T*>(a.out), a.r, a.h, a.t, a.e, a.splits, a.longest, a.window);
  return cudaGetLastError();
}

int64_t splits_of(int64_t longest) { return longest <= split_keys ? 1 : (longest + split_keys - 1) / split_keys; }

// One block a token; k and v of it are g*e elements beside each other.
__global__ void __launch_bounds__(256)
    write_rows(const uint4* __restrict__ k, int64_t k_stride, const uint4* __restrict__ v, int64_t v_stride,
               const int32_t* __restrict__ slot_n, const int32_t* __restrict__ position_n, uint4* __restrict__ k_cache,
               uint4* __restrict__ v_cache, int64_t g, int64_t t, int64_t row_vectors) {
  const int64_t token = blockIdx.x, slot = slot_n[token], position = position_n[token];
  if (slot < 0 || position < 0 || position >= t) return;
  for (int64_t i = threadIdx.x; i < g * row_vectors; i += blockDim.x) {
    const int64_t head = i / row_vectors, place = ((slot * g + head) * t + position) * row_vectors + i % row_vectors;
    k_cache[place] = k[token * k_stride + i];
    v_cache[place] = v[token * v_stride + i];
  }
}

}  // namespace

int cache_write(int dtype, const void* k_nge, int64_t k_stride, const void* v_nge, int64_t v_stride,
                const int32_t* slot_n, const int32_t* position_n, void* k_cache_rgte, void* v_cache_rgte, int64_t n,
                int64_t g, int64_t t, int64_t e, void* stream) {
  if (n == 0 || g == 0 || t == 0 || e == 0) return cudaSuccess;
  const int64_t width = dtype == STEERLM_BFLOAT16 ? 8 : 4;
  if (n > INT32_MAX || e % width != 0 || k_stride % width != 0 || v_stride % width != 0 ||
      !aligned({k_nge, v_nge, k_cache_rgte, v_cache_rgte}))
    return cudaErrorInvalidValue;
  const int64_t row_vectors = e / width, block = (g * row_vectors + 31) / 32 * 32;
  write_rows<<<static_cast<unsigned>(n), static_cast<unsigned>(block < 256 ? block : 256), 0, as_stream(stream)>>>(
      static_cast<const uint4*>(k_nge), k_stride / width, static_cast<const uint4*>(v_nge), v_stride / width, slot_n,
      position_n, static_cast<uint4*>(k_cache_rgte), static_cast<uint4*>(v_cache_rgte), g, t, row_vectors);
  return cudaGetLastError();
}

int64_t decode_attention_workspace(int64_t r, int64_t h, int64_t e, int64_t longest) {
  const int64_t splits = splits_of(longest);
  return splits == 1 ? 0 : r * h * splits * (e + 2) * static_cast<int64_t>(sizeof(float));
}

int decode_attention(int dtype, const void* q_rhe, int64_t q_stride, const void* k_cache_rgte, const void* v_cache_rgte,
                     const int32_t* lengths_r, void* out_rhe, void* workspace, int64_t r, int64_t h, int64_t g,
                     int64_t t, int64_t e, int64_t longest, int64_t window, double scale, void* stream) {
  if (r == 0 || h == 0 || e == 0) return cudaSuccess;
  if (r > 65535 || g == 0 || h % g != 0 || e % 8 != 0 || e > 256 || t > INT32_MAX - 2 * split_keys ||
      longest > INT32_MAX - 2 * split_keys || !aligned({k_cache_rgte, v_cache_rgte}))
    return cudaErrorInvalidValue;
  constexpr double log2_e = 1.4426950408889634;
  const Arguments arguments{q_rhe,
                            q_stride,
                            k_cache_rgte,
                            v_cache_rgte,
                            lengths_r,
                            out_rhe,
                            static_cast<float*>(workspace),
                            r,
                            h,
                            g,
                            t,
                            e,
                            longest,
                            window,
                            splits_of(longest),
                            static_cast<float>(scale * log2_e),
                            as_stream(stream)};
  if (dtype == STEERLM_FLOAT32) return attend_and_merge<float>(arguments);
  if (dtype == STEERLM_BFLOAT16) return attend_and_merge<bf16>(arguments);
  return cudaErrorInvalidValue;
}

}  // namespace steerlm_cuda
