// One token of each row of logits (table.h, steerlm/kernels/sampling.h): one block a row. Nothing is sorted. The order
// of the candidates, falling logit and then rising id, is searched for the token at which a sum reaches its target: of
// top-k the count, of top-p and of the draw the mass. A token's mass is exp((logit - maximum) / temperature) in units
// of 2^-44, a 64-bit integer, so that sums are exact in whatever order atomics add them; 2^19 masses fit into 64 bits.
// A search reads the row once a byte of the key, restricted to one of 1,024 classes of equal width in the logit, whose
// counts and masses are summed first, once for all searches. A row is read from memory once and then from L2.
#include "kernels/cuda/vectors.cuh"

namespace steerlm_cuda {
namespace {

constexpr int threads = 1024, warps = threads / 32;
constexpr int classes = threads;  // a class a thread
constexpr unsigned all_lanes = 0xffffffffu;
constexpr double mass_unit = 0x1p44;
// exp(-31.4) is less than half a unit: such tokens have no mass, and the last class is theirs.
constexpr float massless = 31.4f;
constexpr int piece = 8;  // logits that a thread takes at once

// Rises with the logit as an unsigned number; -0 and +0 are equal.
__device__ __forceinline__ uint32_t key_of(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float logit_of(uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

template <class T>
struct Row {
  const T* logits;
  int v;
  bool aligned;  // to 16 bytes

  __device__ int pieces() const { return (v + piece - 1) / piece; }
  // The logits of a piece; how many there are.
  __device__ int load(int index, float (&x)[piece]) const {
    const T* from = logits + static_cast<int64_t>(index) * piece;
    const int count = min(piece, v - index * piece);
    if (aligned && count == piece) {
      const uint4* raw = reinterpret_cast<const uint4*>(from);
      if constexpr (sizeof(T) == 2) {
        unpack<T, 8>(__ldg(raw), x);
      } else {
        float part[2][4];
        unpack<T, 4>(__ldg(raw), part[0]);
        unpack<T, 4>(__ldg(raw + 1), part[1]);
#pragma unroll
        for (int i = 0; i < piece; ++i) x[i] = part[i / 4][i % 4];
      }
      return piece;
    }
#pragma unroll
    for (int i = 0; i < piece; ++i) x[i] = i < count ? static_cast<float>(from[i]) : 0.0f;
    return count;
  }
};

// Counts and masses; a mass is the sum of two words, because shared memory adds words of 32 bits at once and of 64 in a
// loop. The carry is added by whoever caused it.
struct Histogram {
  uint32_t count[classes], low[classes], high[classes];

  __device__ void clear() { count[threadIdx.x] = low[threadIdx.x] = high[threadIdx.x] = 0; }
  __device__ void add(int place, uint64_t mass) {
    atomicAdd(&count[place], 1u);
    const auto part = static_cast<uint32_t>(mass);
    const uint32_t carry = atomicAdd(&low[place], part) > ~part ? 1u : 0u;
    const uint32_t rest = static_cast<uint32_t>(mass >> 32) + carry;
    if (rest != 0) atomicAdd(&high[place], rest);
  }
  __device__ uint64_t mass(int place) const { return static_cast<uint64_t>(high[place]) << 32 | low[place]; }
};

struct Sum {
  uint64_t count, mass;
};
__device__ __forceinline__ Sum operator+(Sum a, Sum b) { return {a.count + b.count, a.mass + b.mass}; }

// The place of a histogram in which the running sum reaches the target, what is before it, and what is in it.
struct Place {
  int index;
  Sum before, here;
};

struct Shared {
  Histogram classes, digits;
  Sum warp[warps];
  Place found;
  double sums[warps];
  uint64_t largest[warps];
  float smallest[warps];
  uint32_t matches[warps];
  int id;
};

// Every thread calls these; barriers inside.
__device__ Sum inclusive_sum(Sum sum, Shared& shared) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const uint64_t count = __shfl_up_sync(all_lanes, sum.count, offset);
    const uint64_t mass = __shfl_up_sync(all_lanes, sum.mass, offset);
    if (lane >= offset) sum = sum + Sum{count, mass};
  }
  __syncthreads();
  if (lane == 31) shared.warp[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; ++w) sum = sum + shared.warp[w];
  return sum;
}

__device__ Place find(const Histogram& histogram, bool by_count, uint64_t target, Shared& shared) {
  __syncthreads();  // all has been added
  const int thread = static_cast<int>(threadIdx.x);
  const Sum here{histogram.count[thread], histogram.mass(thread)};
  const Sum until = inclusive_sum(here, shared);
  const Sum before{until.count - here.count, until.mass - here.mass};
  const uint64_t reached = by_count ? until.count : until.mass, passed = by_count ? before.count : before.mass;
  if (reached >= target && passed < target) shared.found = {thread, before, here};
  __syncthreads();
  const Place place = shared.found;
  __syncthreads();
  return place;
}

// exp of a difference of logits, once in the code: inlined twice it might be contracted in two ways, and what one pass
// has added up would not be what the next one finds.
__device__ __noinline__ double exponential(double x) { return exp(x); }

// What a row's tokens are measured by.
struct Measure {
  float largest;
  float per_class;             // classes a unit of the logit
  double inverse_temperature;  // > 0

  __device__ int class_of(float x) const {
    return static_cast<int>(fminf((largest - x) * per_class, static_cast<float>(classes - 1)));
  }
  __device__ uint64_t mass(float x) const {
    return __double2ull_rn(exponential((static_cast<double>(x) - static_cast<double>(largest)) * inverse_temperature) *
                           mass_unit);
  }
};

// The smallest prefix of the candidates whose count or mass reaches a target: it ends with the n-th token, by id, of
// those whose rank's upper bits are `rank`. A rank is the complement of a key.
struct Prefix {
  uint64_t mass;
  uint32_t rank;
  uint64_t n;
};

// Bytes of a key that differ between logits of T: a bf16 has the upper two.
template <class T>
constexpr int key_bytes = static_cast<int>(sizeof(T));

template <class T>
__device__ Prefix search(const Row<T>& row, const Measure& measure, bool by_count, uint64_t target, uint64_t total,
                         Shared& shared) {
  const Place in_class = find(shared.classes, by_count, target, shared);
  // Top-k that ends among tokens without mass keeps all mass; their order is of no account.
  if (in_class.index == classes - 1) return {total, 0, 0};
  uint64_t passed_count = in_class.before.count, passed_mass = in_class.before.mass;
  uint32_t rank = 0;
  Place place{};
  for (int byte = 0; byte < key_bytes<T>; ++byte) {
    shared.digits.clear();
    __syncthreads();
    const int shift = 24 - 8 * byte;
    for (int p = static_cast<int>(threadIdx.x); p < row.pieces(); p += threads) {
      float x[piece];
      const int count = row.load(p, x);
#pragma unroll
      for (int i = 0; i < piece; ++i) {
        if (i >= count || measure.class_of(x[i]) != in_class.index) continue;
        const uint32_t upper = ~key_of(x[i]) >> shift;
        if (upper >> 8 == rank) shared.digits.add(static_cast<int>(upper & 255u), measure.mass(x[i]));
      }
    }
    place = find(shared.digits, by_count, target - (by_count ? passed_count : passed_mass), shared);
    passed_count += place.before.count;
    passed_mass += place.before.mass;
    rank = rank << 8 | static_cast<uint32_t>(place.index);
  }
  // All that is left is tied.
  const uint64_t each = place.here.mass / place.here.count;
  const uint64_t n = by_count ? target - passed_count : (target - passed_mass + each - 1) / each;
  return {passed_mass + n * each, rank, n};
}

// The n-th (from 1) token, by id, of those with that rank. Each warp counts a stretch of the row, and the one in whose
// stretch the token lies looks for it.
template <class T>
__device__ int token_of(const Row<T>& row, uint32_t rank, uint64_t n, Shared& shared) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  constexpr int shift = 32 - 8 * key_bytes<T>;
  const int stretch = (row.pieces() + warps - 1) / warps;
  const int begin = min(warp * stretch, row.pieces()), end = min(begin + stretch, row.pieces());
  // A bit an element of the piece.
  const auto match = [&](int p) {
    if (p >= end) return 0u;
    float x[piece];
    const int count = row.load(p, x);
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < piece; ++i)
      if (i < count && ~key_of(x[i]) >> shift == rank) bits |= 1u << i;
    return bits;
  };
  uint32_t matches = 0;
  for (int p = begin + lane; p < end; p += 32) matches += __popc(match(p));
  matches = __reduce_add_sync(all_lanes, matches);
  if (lane == 0) shared.matches[warp] = matches;
  __syncthreads();
  uint64_t before = 0;
  for (int w = 0; w < warp; ++w) before += shared.matches[w];
  if (before < n && n <= before + matches) {  // true of one warp, and of all lanes in it
    auto left = static_cast<uint32_t>(n - before);
    for (int p = begin; p < end; p += 32) {
      uint32_t bits = match(p + lane);
      const auto here = static_cast<uint32_t>(__popc(bits));
      uint32_t until = here;
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const uint32_t other = __shfl_up_sync(all_lanes, until, offset);
        if (lane >= offset) until += other;
      }
      if (until - here < left && left <= until) {
        for (uint32_t skip = left - (until - here); skip > 1; --skip) bits &= bits - 1;
        shared.id = (p + lane) * piece + __ffs(static_cast<int>(bits)) - 1;
      }
      const uint32_t all = __shfl_sync(all_lanes, until, 31);
      if (left <= all) break;
      left -= all;
    }
  }
  __syncthreads();
  return shared.id;
}

template <class T>
__global__ void __launch_bounds__(threads, 1)
    sample_rows(const T* __restrict__ logits_rv, int64_t row_stride, const double* __restrict__ uniform_r,
                double temperature, int64_t top_k, double top_p, int32_t* __restrict__ id_r,
                double* __restrict__ log_p_r, int v) {
  __shared__ Shared shared;
  if (uniform_r[blockIdx.x] < 0) {
    if (threadIdx.x == 0) {
      id_r[blockIdx.x] = -1;
      log_p_r[blockIdx.x] = 0;
    }
    return;
  }
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const T* logits = logits_rv + static_cast<int64_t>(blockIdx.x) * row_stride;
  const Row<T> row{logits, v, reinterpret_cast<uintptr_t>(logits) % 16 == 0};

  // The largest logit with the smallest id, the smallest logit, and whether all are finite.
  uint64_t best = 0;
  float smallest = INFINITY;
  bool finite = true;
  for (int p = thread; p < row.pieces(); p += threads) {
    float x[piece];
    const int count = row.load(p, x);
#pragma unroll
    for (int i = 0; i < piece; ++i) {
      if (i >= count) continue;
      finite = finite && isfinite(x[i]);
      smallest = fminf(smallest, x[i]);
      best =
          max(best, static_cast<uint64_t>(key_of(x[i])) << 32 | (0xffffffffu - static_cast<uint32_t>(p * piece + i)));
    }
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    best = max(best, static_cast<uint64_t>(__shfl_xor_sync(all_lanes, best, offset)));
    smallest = fminf(smallest, __shfl_xor_sync(all_lanes, smallest, offset));
  }
  if (lane == 0) {
    shared.largest[warp] = best;
    shared.smallest[warp] = smallest;
  }
  if (!__syncthreads_and(finite)) {
    if (thread == 0) {
      id_r[blockIdx.x] = -1;
      log_p_r[blockIdx.x] = __longlong_as_double(0x7ff8000000000000);
    }
    return;
  }
  best = shared.largest[0];
  smallest = shared.smallest[0];
  for (int w = 1; w < warps; ++w) {
    best = max(best, shared.largest[w]);
    smallest = fminf(smallest, shared.smallest[w]);
  }
  const float largest = logit_of(static_cast<uint32_t>(best >> 32));
  int id = static_cast<int>(0xffffffffu - static_cast<uint32_t>(best));

  // The classes cover the logits that have mass, or all where those are fewer. A row of one value: class 0.
  const double breadth = static_cast<double>(massless) * temperature;
  const float spread = largest - smallest;
  const float per_class = fminf(1e30f, fmaxf(static_cast<float>(1023.0 / breadth), 1022.0f / spread));
  const Measure measure{largest, per_class, fmin(1e300, 1 / temperature)};
  const bool draws = temperature > 0, counts = draws && top_k > 0 && top_k < v;

  // Sum of exp(logit - maximum) in fp64, each thread's pieces in rising order, then a tree; and the classes.
  shared.classes.clear();
  __syncthreads();
  double sum = 0;
  uint32_t massless_count = 0;
  for (int p = thread; p < row.pieces(); p += threads) {
    float x[piece];
    const int count = row.load(p, x);
#pragma unroll
    for (int i = 0; i < piece; ++i) {
      if (i >= count) continue;
      sum += exponential(static_cast<double>(x[i]) - static_cast<double>(largest));
      if (!draws) continue;
      const int place = measure.class_of(x[i]);
      if (place == classes - 1)
        ++massless_count;
      else
        shared.classes.add(place, measure.mass(x[i]));
    }
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(all_lanes, sum, offset);
  massless_count = __reduce_add_sync(all_lanes, massless_count);
  if (lane == 0) {
    shared.sums[warp] = sum;
    if (massless_count > 0) atomicAdd(&shared.classes.count[classes - 1], massless_count);
  }
  __syncthreads();
  double exponentials = 0;
  for (int w = 0; w < warps; ++w) exponentials += shared.sums[w];

  if (draws) {
    // The mass of all: with a target beyond reach nothing is found, so the sum is taken from the scan itself.
    const Sum own{shared.classes.count[thread], shared.classes.mass(thread)};
    const Sum until = inclusive_sum(own, shared);
    if (thread == threads - 1) shared.found.before = until;
    __syncthreads();
    const uint64_t total = shared.found.before.mass;
    uint64_t kept = total;
    if (counts) kept = search(row, measure, true, static_cast<uint64_t>(top_k), total, shared).mass;
    if (top_p < 1) {
      const double wanted = ceil(top_p * static_cast<double>(kept));
      const uint64_t target = wanted > 1 ? static_cast<uint64_t>(wanted) : 1;
      kept = search(row, measure, false, min(target, kept), total, shared).mass;
    }
    const auto passed = static_cast<uint64_t>(uniform_r[blockIdx.x] * static_cast<double>(kept));
    const Prefix drawn = search(row, measure, false, min(passed, kept - 1) + 1, total, shared);
    id = token_of(row, drawn.rank, drawn.n, shared);
  }
  if (thread == 0) {
    id_r[blockIdx.x] = id;
    log_p_r[blockIdx.x] =
        static_cast<double>(static_cast<float>(logits[id])) - static_cast<double>(largest) - log(exponentials);
  }
}

}  // namespace

int sample(int dtype, const void* logits_rv, int64_t row_stride, const double* uniform_r, double temperature,
           int64_t top_k, double top_p, int32_t* id_r, double* log_p_r, int64_t r, int64_t v, void* stream) {
  if (r == 0 || v == 0) return cudaSuccess;
  if (r > INT32_MAX || v > 1 << 19 || row_stride < v || !(temperature >= 0)) return cudaErrorInvalidValue;
  const auto grid = static_cast<unsigned>(r);
  const auto cuda_stream = as_stream(stream);
  if (dtype == STEERLM_FLOAT32) {
    sample_rows<<<grid, threads, 0, cuda_stream>>>(static_cast<const float*>(logits_rv), row_stride, uniform_r,
                                                   temperature, top_k, top_p, id_r, log_p_r, static_cast<int>(v));
  } else if (dtype == STEERLM_BFLOAT16) {
    sample_rows<<<grid, threads, 0, cuda_stream>>>(static_cast<const bf16*>(logits_rv), row_stride, uniform_r,
                                                   temperature, top_k, top_p, id_r, log_p_r, static_cast<int>(v));
  } else {
    return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}

}  // namespace steerlm_cuda
