#include "kernels/matmul.h"

#include <ATen/Parallel.h>
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <new>

#include "kernels/loops.h"

namespace steerlm {
namespace {

// Kept between the calls of a thread: a product takes less time than the system needs for a new one.
float* workspace_of(std::int64_t size) {
  struct Buffer {
    struct Free {
      void operator()(float* data) const { ::operator delete(data, std::align_val_t(64)); }
    };
    std::unique_ptr<float, Free> data;
    std::int64_t size = 0;
  };
  thread_local Buffer buffer;
  if (buffer.size < size) {
    buffer.data.reset();
    buffer.data.reset(
        static_cast<float*>(::operator new(static_cast<size_t>(size) * sizeof(float), std::align_val_t(64))));
    buffer.size = size;
  }
  return buffer.data.get();
}

// Below so many multiplications a thread, starting it costs more than it saves.
constexpr std::int64_t least_work = 250'000;

// Rows and columns of the grid of threads: each packs its part of A and of B, of which the sum over all threads is
// threads_n * m k + threads_m * n k.
std::pair<std::int64_t, std::int64_t> grid(const MatmulOperands& o, std::int64_t threads) {
  std::pair<std::int64_t, std::int64_t> best{threads, 1};
  for (std::int64_t over_m = 1; over_m <= threads; ++over_m) {
    if (threads % over_m != 0) continue;
    const std::int64_t over_n = threads / over_m;
    if (over_n * o.m + over_m * o.n < best.second * o.m + best.first * o.n) best = {over_m, over_n};
  }
  return best;
}

// Where part `i` of `parts` begins, a multiple of 32 so that most tiles are whole.
std::int64_t begin_of(std::int64_t i, std::int64_t parts, std::int64_t size) {
  const std::int64_t unit = 32, units = (size + unit - 1) / unit;
  return std::min(size, units * i / parts * unit);
}

std::int64_t threads_for(std::int64_t work) {
  return at::in_parallel_region() ? 1 : std::clamp<std::int64_t>(work / least_work, 1, at::get_num_threads());
}

}  // namespace

bool matmul_available() { return loops() != nullptr; }

std::int64_t matmul_workspace(std::int64_t k) {
  return std::max(matmul_rows * matmul_depth + matmul_depth * matmul_columns, k * matmul_few_rows);
}

void matmul(const MatmulOperands& o) {
  if (o.m == 0 || o.n == 0) return;
  if (o.k == 0) {
    for (std::int64_t i = 0; i < o.m && !o.add; ++i) std::fill_n(o.c + i * o.c_row, o.n, 0.0f);
    return;
  }
  const std::int64_t threads = threads_for(o.m * o.n * o.k);
  if (threads == 1) return loops()->matmul(o, workspace_of(matmul_workspace(o.k)));
  const auto [over_m, over_n] = grid(o, threads);
  at::parallel_for(0, threads, 1, [&, over_m = over_m, over_n = over_n](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part) {
      const std::int64_t i = begin_of(part / over_n, over_m, o.m), i_end = begin_of(part / over_n + 1, over_m, o.m);
      const std::int64_t j = begin_of(part % over_n, over_n, o.n), j_end = begin_of(part % over_n + 1, over_n, o.n);
      MatmulOperands mine = o;
      mine.m = i_end - i;
      mine.n = j_end - j;
      mine.a += i * o.a_row;
      mine.b += j * o.b_column;
      mine.c += i * o.c_row + j;
      if (mine.m > 0 && mine.n > 0) loops()->matmul(mine, workspace_of(matmul_workspace(o.k)));
    }
  });
}

std::int64_t matmul_bf16_workspace(std::int64_t k) {
  // multiply_bf16: x twice in fp32, packed with rows of zeros, and a block of w; AMX takes less.
  return 2 * matmul_bf16_rows * k + 16 * matmul_depth;
}

bool has_amx() {
  static const bool has = [] {
    constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;  // CPUID 7.0, EDX
    constexpr long request_permission = 0x1023, tile_data = 18;   // arch_prctl: ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return loops() == &loops_avx512 && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & amx_bf16) != 0 &&
           (edx & amx_tile) != 0 && ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  }();
  return has;
}

void matmul_bf16(const Bf16Product& o) {
  if (o.m == 0 || o.n == 0) return;
  const bool pairs = o.x_row % 2 == 0 && reinterpret_cast<std::uintptr_t>(o.x) % (2 * sizeof(*o.x)) == 0;
  const bool amx = o.k % 32 == 0 && pairs && has_amx();
  const std::int64_t threads = threads_for(o.m * o.n * o.k);
  at::parallel_for(0, threads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part) {
      const std::int64_t j = begin_of(part, threads, o.n), j_end = begin_of(part + 1, threads, o.n);
      Bf16Product mine = o;
      mine.n = j_end - j;
      mine.w += j * o.w_row;
      mine.y += j;
      if (mine.n == 0) continue;
      float* const workspace = workspace_of(matmul_bf16_workspace(o.k));
      amx ? multiply_bf16_amx(mine, workspace) : loops()->matmul_bf16(mine, workspace);
    }
  });
}

}  // namespace steerlm
