#include "kernels/matmul.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>

#include "kernels/composition.h"
#include "kernels/loops.h"
#include "steerlm/kernels/linear.h"

namespace steerlm {
namespace {

using OneThread = void (*)(const MatmulOperands&, float*);

struct InstructionSet {
  std::string name;
  OneThread multiply;
};

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back({"AVX2", loops_avx2.matmul});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    sets.push_back({"AVX512", loops_avx512.matmul});
  return sets;
}

MatmulOperands operands_of(const at::Tensor& a, const at::Tensor& b, at::Tensor& c, double alpha, bool add) {
  return {a.size(0),
          b.size(1),
          a.size(1),
          a.const_data_ptr<float>(),
          a.stride(0),
          a.stride(1),
          b.const_data_ptr<float>(),
          b.stride(0),
          b.stride(1),
          c.mutable_data_ptr<float>(),
          c.stride(0),
          static_cast<float>(alpha),
          add};
}

at::Tensor workspace(std::int64_t k) { return at::empty({matmul_workspace(k) + 16}, at::kFloat); }

void multiply_with(OneThread multiply, const MatmulOperands& operands) {
  const at::Tensor space = workspace(operands.k);
  auto address = reinterpret_cast<std::uintptr_t>(space.mutable_data_ptr<float>());
  multiply(operands, reinterpret_cast<float*>((address + 63) / 64 * 64));
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return x.sizes() == y.sizes() &&
         std::memcmp(x.const_data_ptr(), y.const_data_ptr(), static_cast<size_t>(x.numel()) * sizeof(float)) == 0;
}

// Sizes around every edge: tiles of 6, 14, 16 and 32, blocks of 168, 256 and 1,024, few rows.
const std::vector<std::array<std::int64_t, 3>> sizes = {{1, 1, 1},     {1, 14, 3},    {2, 7, 5},      {6, 16, 256},
                                                        {7, 33, 257},  {14, 32, 255}, {15, 40, 9},    {16, 61, 300},
                                                        {17, 61, 300}, {32, 45, 513}, {33, 45, 64},   {168, 40, 70},
                                                        {169, 6, 40},  {200, 97, 31}, {40, 1025, 20}, {337, 1060, 37}};

at::Tensor transposed_copy(const at::Tensor& x) { return x.t().contiguous().t(); }

TEST(Matmul, IsTheProductForEverySizeAndStride) {
  if (instruction_sets().empty()) GTEST_SKIP() << "no AVX2";
  for (const InstructionSet& set : instruction_sets()) {
    for (const auto& [m, n, k] : sizes) {
      const at::Tensor a64 = random_tensor({m, k}, "a"), b64 = random_tensor({k, n}, "b"),
                       c64 = random_tensor({m, n}, "c");
      const at::Tensor a = a64.to(at::kFloat), b = b64.to(at::kFloat);
      for (int transposed = 0; transposed < 4; ++transposed) {
        const at::Tensor left = transposed & 1 ? transposed_copy(a) : a,
                         right = transposed & 2 ? transposed_copy(b) : b;
        const std::string what = set.name + " " + std::to_string(m) + "x" + std::to_string(n) + "x" +
                                 std::to_string(k) + " transposed " + std::to_string(transposed);
        // C is part of a larger matrix, of which nothing else may change.
        at::Tensor large = at::empty({m + 1, n + 3}, at::kFloat).fill_(7);
        at::Tensor c = large.narrow(0, 0, m).narrow(1, 1, n);
        multiply_with(set.multiply, operands_of(left, right, c, 1, false));
        EXPECT_LE(distance(c, a64.matmul(b64)), 1e-6 * (1 + a64.matmul(b64).norm().item<double>())) << what;
        c.copy_(c64);
        multiply_with(set.multiply, operands_of(left, right, c, -0.5, true));
        EXPECT_LE(distance(c, c64 - 0.5 * a64.matmul(b64)),
                  1e-6 * (1 + c64.norm().item<double>() + a64.matmul(b64).norm().item<double>()))
            << what;
        c.fill_(7);
        EXPECT_TRUE(same_bits(large, at::empty({m + 1, n + 3}, at::kFloat).fill_(7))) << what;
      }
    }
  }
}

// The promise of matmul.h: a row's bits depend on that row and on B.
TEST(Matmul, TheBitsOfARowDependOnNeitherItsNeighboursNorTheInstructionSet) {
  if (instruction_sets().empty()) GTEST_SKIP() << "no AVX2";
  for (const auto& [m, n, k] : sizes) {
    const at::Tensor a = random_tensor({m, k}, "a").to(at::kFloat), w = random_tensor({n, k}, "w").to(at::kFloat);
    const at::Tensor before = random_tensor({m, n}, "c").to(at::kFloat);
    for (const bool add : {false, true}) {
      std::vector<at::Tensor> results;
      for (const InstructionSet& set : instruction_sets()) {
        at::Tensor together = before.clone(), alone = before.clone();
        multiply_with(set.multiply, operands_of(a, w.t(), together, 0.3, add));
        for (std::int64_t i = 0; i < m; ++i) {
          at::Tensor row = alone.narrow(0, i, 1);
          multiply_with(set.multiply, operands_of(a.narrow(0, i, 1), w.t(), row, 0.3, add));
        }
        EXPECT_TRUE(same_bits(together, alone)) << set.name << " " << m << "x" << n << "x" << k;
        results.push_back(together);
      }
      EXPECT_TRUE(same_bits(results.front(), results.back())) << m << "x" << n << "x" << k;
    }
  }
}

struct Bf16Way {
  std::string name;
  void (*multiply)(const Bf16Product&, float*);
};

// Those that compute a product of k values.
std::vector<Bf16Way> bf16_ways(std::int64_t k) {
  std::vector<Bf16Way> ways;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) ways.push_back({"AVX2", loops_avx2.matmul_bf16});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    ways.push_back({"AVX512", loops_avx512.matmul_bf16});
  if (has_amx() && k % 32 == 0) ways.push_back({"AMX", multiply_bf16_amx});
  return ways;
}

void multiply_bf16_with(const Bf16Way& way, const at::Tensor& x, const at::Tensor& w, at::Tensor& y) {
  const at::Tensor space = at::empty({matmul_bf16_workspace(x.size(1)) + 16}, at::kFloat);
  auto address = reinterpret_cast<std::uintptr_t>(space.mutable_data_ptr<float>());
  const auto values = [](const at::Tensor& t) { return static_cast<std::uint16_t*>(t.mutable_data_ptr()); };
  way.multiply(
      {x.size(0), w.size(0), x.size(1), values(x), x.stride(0), values(w), w.stride(0), values(y), y.stride(0)},
      reinterpret_cast<float*>((address + 63) / 64 * 64));
}

// Sizes around every edge: tiles of 6, 14, 16 and 32 rows of w, panels of 8 to 32 rows of x, blocks of 256 values of k.
const std::vector<std::array<std::int64_t, 3>> few_rows = {
    {1, 1, 1},    {1, 49, 32},  {2, 7, 5},    {7, 33, 96},  {8, 32, 64},  {9, 5, 257},  {15, 31, 256}, {16, 64, 576},
    {17, 65, 32}, {24, 8, 288}, {24, 96, 40}, {32, 3, 512}, {33, 40, 64}, {48, 33, 65}, {64, 97, 320}, {63, 14, 544}};

TEST(MatmulBf16, IsTheProductForEverySizeAndStride) {
  if (!matmul_available()) GTEST_SKIP() << "no AVX2";
  for (const auto& [m, n, k] : few_rows) {
    for (const Bf16Way& way : bf16_ways(k)) {
      // x and w are parts of larger matrices whose other values would be seen, and y is one that must stay as it is.
      at::Tensor large_x = at::empty({m + 1, k + 2}, at::kBFloat16).fill_(1e30),
                 large_w = at::empty({n + 1, k + 3}, at::kBFloat16).fill_(1e30);
      at::Tensor x = large_x.narrow(0, 0, m).narrow(1, way.name == "AMX" ? 2 : 1, k),
                 w = large_w.narrow(0, 0, n).narrow(1, 2, k);
      x.copy_(random_tensor({m, k}, "x"));
      w.copy_(random_tensor({n, k}, "w"));
      at::Tensor large = at::empty({m + 1, n + 3}, at::kBFloat16).fill_(7);
      at::Tensor y = large.narrow(0, 0, m).narrow(1, 1, n);
      multiply_bf16_with(way, x, w, y);
      const at::Tensor exact = x.to(at::kDouble).matmul(w.to(at::kDouble).t());
      // Half a unit in the last of 8 places, and what fp32 sums lose.
      const at::Tensor bound = exact.abs() * 0x1p-8 + 1e-6 * static_cast<double>(k);
      EXPECT_TRUE(((y.to(at::kDouble) - exact).abs() <= bound).all().item<bool>())
          << way.name << " " << m << "x" << n << "x" << k;
      y.fill_(7);
      EXPECT_TRUE((large == 7).all().item<bool>()) << way.name << " " << m << "x" << n << "x" << k;
    }
  }
}

// What rows_are_independent() promises of at most 64 rows.
TEST(MatmulBf16, TheBitsOfARowDependOnNeitherItsNeighboursNorTheThreads) {
  if (!matmul_available()) GTEST_SKIP() << "no AVX2";
  EXPECT_TRUE(rows_are_independent(at::kBFloat16, 64));
  EXPECT_FALSE(rows_are_independent(at::kBFloat16));
  const int before = at::get_num_threads();
  for (const auto& [m, n, k] : few_rows) {
    const at::Tensor x = random_tensor({m, k}, "x").to(at::kBFloat16), w = random_tensor({n, k}, "w").to(at::kBFloat16);
    for (const Bf16Way& way : bf16_ways(k)) {
      at::Tensor together = at::empty({m, n}, at::kBFloat16), alone = at::empty({m, n}, at::kBFloat16);
      multiply_bf16_with(way, x, w, together);
      for (std::int64_t i = 0; i < m; ++i) {
        at::Tensor row = alone.narrow(0, i, 1);
        multiply_bf16_with(way, x.narrow(0, i, 1), w, row);
      }
      EXPECT_TRUE(together.equal(alone)) << way.name << " " << m << "x" << n << "x" << k;
    }
  }
  const at::Tensor x = random_tensor({24, 576}, "x").to(at::kBFloat16),
                   w = random_tensor({1537, 576}, "w").to(at::kBFloat16);
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2, 3, 5}) {
    at::set_num_threads(threads);
    results.push_back(linear_forward(x, w));
    EXPECT_TRUE(results.back().equal(results.front())) << threads << " threads";
  }
  at::set_num_threads(before);
  const double size = results.front().to(at::kDouble).norm().item<double>();
  EXPECT_LE(distance(results.front(), x.to(at::kDouble).matmul(w.to(at::kDouble).t())), 0x1p-8 * size);
}

// Ties go to the even neighbour, and what is not finite stays what it is.
TEST(MatmulBf16, RoundsToTheNearest) {
  if (!matmul_available()) GTEST_SKIP() << "no AVX2";
  const float inf = std::numeric_limits<float>::infinity();
  // 1 + 2^-8 lies between 1 and 1 + 2^-7; 3 * 2^-8 + 1 between 1 + 2^-7 and 1 + 2^-6.
  const at::Tensor w = at::zeros({5, 32}, at::kBFloat16), x = at::zeros({1, 32}, at::kBFloat16);
  x.select(0, 0).narrow(0, 0, 2).fill_(1);
  const float first[] = {1, 1, 1, inf, -inf}, second[] = {0x1p-8f, 3 * 0x1p-8f, 0x1.1p-8f, 1, inf};
  for (int row = 0; row < 5; ++row) {
    w.select(0, row).select(0, 0).fill_(first[row]);
    w.select(0, row).select(0, 1).fill_(second[row]);
  }
  for (const Bf16Way& way : bf16_ways(32)) {
    at::Tensor y = at::empty({1, 5}, at::kBFloat16);
    multiply_bf16_with(way, x, w, y);
    const at::Tensor found = y.to(at::kFloat).select(0, 0);
    const float* value = found.const_data_ptr<float>();
    EXPECT_EQ(value[0], 1) << way.name;
    EXPECT_EQ(value[1], 1 + 0x1p-6f) << way.name;
    EXPECT_EQ(value[2], 1 + 0x1p-7f) << way.name;
    EXPECT_EQ(value[3], inf) << way.name;
    EXPECT_TRUE(std::isnan(value[4])) << way.name;
  }
}

TEST(Matmul, WithoutATermTheSumIsZero) {
  const at::Tensor nothing = at::zeros({5, 0}, at::kFloat);
  at::Tensor y = at::empty({5, 5}, at::kFloat).fill_(3);
  linear_forward(nothing, nothing, 1, y);
  EXPECT_EQ(distance(y, at::empty({5, 5}, at::kFloat).fill_(3)), 0);
  EXPECT_EQ(distance(linear_forward(nothing, nothing), at::zeros({5, 5}, at::kFloat)), 0);
}

TEST(Matmul, TheBitsDoNotDependOnTheNumberOfThreads) {
  if (!matmul_available()) GTEST_SKIP() << "no AVX2";
  const int before = at::get_num_threads();
  for (const auto& [n, i, o] : {std::tuple{200, 300, 500}, {24, 576, 1536}, {3, 700, 900}, {500, 64, 200}}) {
    const at::Tensor x = random_tensor({n, i}, "x").to(at::kFloat), w = random_tensor({o, i}, "w").to(at::kFloat);
    std::vector<at::Tensor> results;
    for (const int threads : {1, 2, 3, 4, 6}) {
      at::set_num_threads(threads);
      at::Tensor dw = at::zeros({o, i}, at::kFloat);
      const at::Tensor y = linear_forward(x, w);
      linear_backward_weight(y, x, 0.1, dw);
      results.push_back(at::cat({y.flatten(), linear_backward_input(y, w).flatten(), dw.flatten()}));
      EXPECT_TRUE(same_bits(results.front(), results.back())) << threads << " threads";
    }
  }
  at::set_num_threads(before);
}

// Few rows by weights that are read from memory, as in decoding: GB/s of weights. STEERLM_BENCH=1 prints them.
TEST(MatmulBench, Bf16BesideAten) {
  if (std::getenv("STEERLM_BENCH") == nullptr) GTEST_SKIP() << "STEERLM_BENCH is not set";
  using Clock = std::chrono::steady_clock;
  const at::Tensor many = random_tensor({1 << 27}, "w").to(at::kBFloat16);  // 268 MB
  for (const auto& [m, k, n] : {std::tuple{1, 576, 1536},
                                {8, 576, 1536},
                                {24, 576, 1536},
                                {24, 1536, 576},
                                {64, 576, 1536},
                                {24, 576, 49152}}) {
    const at::Tensor x = random_tensor({m, k}, "x").to(at::kBFloat16);
    const std::int64_t matrices = many.size(0) / (n * k);
    const at::Tensor weights = many.narrow(0, 0, matrices * n * k).view({matrices, n, k});
    double seconds[2] = {};
    for (std::int64_t i = 0; i < matrices; ++i) {
      for (const bool ours : {false, true}) {
        const at::Tensor w = weights[(i + (ours ? matrices / 2 : 0)) % matrices];
        const auto begin = Clock::now();
        ours ? linear_forward(x, w) : at::mm(x, w.t());
        if (i > 0) seconds[ours] += std::chrono::duration<double>(Clock::now() - begin).count();
      }
    }
    const double bytes = 2e-9 * static_cast<double>(n) * k * static_cast<double>(matrices - 1);
    std::printf("%3d x %5d x %5d  %5.1f GB/s, ATen's %5.1f, ratio %.2f\n", m, k, n, bytes / seconds[1],
                bytes / seconds[0], seconds[0] / seconds[1]);
  }
}

// The products of a step, GFLOP/s of this one and of ATen's by turns. STEERLM_BENCH=1 prints them.
TEST(MatmulBench, BesideAten) {
  if (std::getenv("STEERLM_BENCH") == nullptr) GTEST_SKIP() << "STEERLM_BENCH is not set";
  using Clock = std::chrono::steady_clock;
  for (const auto& [n, i, o] : {std::tuple{24, 576, 1536},
                                {256, 576, 1536},
                                {2048, 576, 1536},
                                {2048, 1536, 576},
                                {512, 576, 49152},
                                {2048, 128, 256}}) {
    const at::Tensor x = random_tensor({n, i}, "x").to(at::kFloat), w = random_tensor({o, i}, "w").to(at::kFloat);
    const at::Tensor dy = random_tensor({n, o}, "dy").to(at::kFloat);
    at::Tensor dw = at::zeros({o, i}, at::kFloat);
    const std::vector<std::pair<std::string, std::function<void(bool)>>> products = {
        {"x w^T", [&](bool ours) { ours ? linear_forward(x, w) : at::mm(x, w.t()); }},
        {"dy w", [&](bool ours) { ours ? linear_backward_input(dy, w) : at::mm(dy, w); }},
        {"dy^T x", [&](bool ours) {
           if (ours)
             linear_backward_weight(dy, x, 1, dw);
           else
             dw.addmm_(dy.t(), x, 1, 1);
         }}};
    for (const auto& [name, run] : products) {
      double seconds[2] = {};
      int calls = 0;
      for (; seconds[0] + seconds[1] < 0.6; ++calls) {
        for (const bool ours : {false, true}) {
          const auto begin = Clock::now();
          run(ours);
          if (calls > 0) seconds[ours] += std::chrono::duration<double>(Clock::now() - begin).count();
        }
      }
      const double flop = 2e-9 * static_cast<double>(n) * static_cast<double>(i) * static_cast<double>(o) * (calls - 1);
      std::printf("%5d x %5d x %5d  %-7s %6.0f GFLOP/s, ATen's %6.0f, ratio %.2f\n", n, i, o, name.c_str(),
                  flop / seconds[1], flop / seconds[0], seconds[0] / seconds[1]);
    }
  }
}

}  // namespace
}  // namespace steerlm
