// The kernels of training on a GPU. n tokens, d width, h heads, e head width, f FFN width, v vocabulary.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <tuple>

#include "kernels/cuda_cases.h"
#include "steerlm/kernels/adamw.h"
#include "steerlm/kernels/embedding.h"
#include "steerlm/kernels/rms_norm.h"
#include "steerlm/kernels/rope.h"
#include "steerlm/kernels/rows.h"
#include "steerlm/kernels/swiglu.h"

namespace steerlm {
namespace {

std::string shape(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += (text.empty() ? " " : "x") + std::to_string(size);
  return text;
}

double product(const std::vector<std::int64_t>& sizes) {
  double all = 1;
  for (const std::int64_t size : sizes) all *= static_cast<double>(size);
  return all;
}

constexpr double eps = 1e-5;

Case norm_forward(std::int64_t n, std::int64_t d) {
  return {.name = "rms_norm_forward" + shape({n, d}),
          .inputs = {{{n, d}}, {{d}}},
          .run =
              [](const Tensors& in, const at::Tensor&) {
                const auto [y, rstd] = rms_norm_forward(in[0], in[1], eps);
                return Tensors{y, rstd};
              },
          .bytes =
              [=](double size) {
                return 2 * product({n, d}) * size;
              }};
}

Case norm_add_forward(std::int64_t n, std::int64_t d) {
  return {.name = "add_rms_norm_forward" + shape({n, d}),
          .inputs = {{{n, d}}, {{n, d}}, {{d}}},
          .run =
              [](const Tensors& in, const at::Tensor&) {
                const auto [sum, y, rstd] = add_rms_norm_forward(in[0], in[1], in[2], eps);
                return Tensors{sum, y, rstd};
              },
          .bytes =
              [=](double size) {
                return 4 * product({n, d}) * size;
              }};
}

Case norm_recompute(std::int64_t n, std::int64_t d) {
  return {.name = "rms_norm_recompute" + shape({n, d}),
          .inputs = {{{n, d}}, {{d}}, {{n}, true}},
          .run = [](const Tensors& in, const at::Tensor&) { return Tensors{rms_norm_recompute(in[0], in[1], in[2])}; },
          .bytes =
              [=](double size) {
                return 2 * product({n, d}) * size;
              }};
}

// Any positive numbers do for 1 / root mean square: the formula is one of all its inputs.
Case norm_backward(std::int64_t n, std::int64_t d, bool residual, bool weight) {
  return {.name = std::string("rms_norm_backward") + (residual ? "+residual" : "") + (weight ? "" : " of x") +
                  shape({n, d}),
          .inputs = {{{n, d}}, {{n, d}}, {{d}}, {{n}, true, true}, {{d}, true}, {{residual ? n : 0, d}}},
          .run =
              [=](const Tensors& in, const at::Tensor&) {
                at::Tensor dw = weight ? in[4] : at::Tensor();
                const at::Tensor dx =
                    rms_norm_backward(in[0], in[1], in[2], in[3], dw, residual ? in[5] : at::Tensor());
                return weight ? Tensors{dx, dw} : Tensors{dx};
              },
          .bytes =
              [=](double size) {
                return (residual ? 4 : 3) * product({n, d}) * size;
              },
          .factor = 3};
}

// The heads that are turned are the first of `all` in a row.
Case rotate(std::int64_t n, std::int64_t h, std::int64_t e, std::int64_t all, bool inverse) {
  return {.name = std::string("rope_rotate") + (inverse ? " inverse" : "") + shape({n, h, e}) + " of" + shape({all}),
          .inputs = {{{n, all, e}}, {{n, e / 2}, true}, {{n, e / 2}, true}},
          .run =
              [=](const Tensors& in, const at::Tensor&) {
                at::Tensor heads = in[0].narrow(1, 0, h);
                rope_rotate(heads, {in[1], in[2]}, inverse);
                return Tensors{in[0]};
              },
          .bytes =
              [=](double size) {
                return 2 * product({n, h, e}) * size + 4 * product({n, e});
              },
          .factor = inverse ? 3.0 : 2.0};
}

// Gate and up are halves of one tensor, or two; the CPU wants two.
Tensors gate_and_up(const at::Tensor& both, std::int64_t f, bool halves) {
  const at::Tensor gate = both.narrow(1, 0, f), up = both.narrow(1, f, f);
  return halves && both.is_cuda() ? Tensors{gate, up} : Tensors{gate.contiguous(), up.contiguous()};
}

Case swiglu(std::int64_t n, std::int64_t f, bool halves) {
  return {.name = std::string("swiglu_forward") + (halves ? " halves" : "") + shape({n, f}),
          .inputs = {{{n, 2 * f}}},
          .run =
              [=](const Tensors& in, const at::Tensor&) {
                const Tensors parts = gate_and_up(in[0], f, halves);
                return Tensors{swiglu_forward(parts[0], parts[1])};
              },
          .bytes =
              [=](double size) {
                return 3 * product({n, f}) * size;
              }};
}

Case swiglu_gradient(std::int64_t n, std::int64_t f, bool halves) {
  return {.name = std::string("swiglu_backward") + (halves ? " halves" : "") + shape({n, f}),
          .inputs = {{{n, 2 * f}}, {{n, f}}},
          .run =
              [=](const Tensors& in, const at::Tensor&) {
                const Tensors parts = gate_and_up(in[0], f, halves);
                const auto [dgate, dup, product] = swiglu_backward(in[1], parts[0], parts[1]);
                return Tensors{dgate, dup, product};
              },
          .bytes = [=](double size) { return 6 * static_cast<double>(n) * static_cast<double>(f) * size; },
          .factor = 3};
}

Case gather(std::int64_t n, std::int64_t k, std::int64_t d) {
  return {.name = "gather_rows" + shape({k, d}),
          .inputs = {{{n, d}}},
          .ids = at::randint(n, {k}, at::kLong),
          .run = [](const Tensors& in, const at::Tensor& ids) { return Tensors{gather_rows(in[0], ids)}; },
          .bytes =
              [=](double size) {
                return 2 * product({k, d}) * size;
              },
          .exact = true};
}

Case scatter(std::int64_t n, std::int64_t k, std::int64_t d) {
  return {.name = "scatter_rows" + shape({k, d}) + " of" + shape({n}),
          .inputs = {{{k, d}}},
          .ids = at::randperm(n, at::kLong).narrow(0, 0, k).clone(),
          .run = [=](const Tensors& in, const at::Tensor& ids) { return Tensors{scatter_rows(in[0], ids, n)}; },
          .bytes =
              [=](double size) {
                return product({2 * k + n, d}) * size;
              },
          .exact = true};
}

Case embedding_gradient(const std::string& name, const at::Tensor& ids, std::int64_t v, std::int64_t d) {
  const auto n = ids.numel();
  return {.name = "embedding_backward " + name + shape({n, v, d}),
          .inputs = {{{n, d}}, {{v, d}, true}},
          .ids = ids,
          .run =
              [](const Tensors& in, const at::Tensor& given) {
                at::Tensor dw = in[1];
                embedding_backward(in[0], given, dw);
                return Tensors{dw};
              },
          // dw: rows that occur, read and written.
          .bytes =
              [=](double size) {
                const at::Tensor seen = at::zeros({v}, at::kLong).index_fill_(0, ids, 1);
                return product({n, d}) * size + 8 * product({d, seen.sum().item<std::int64_t>()});
              },
          .factor = 3,
          .terms = ids.numel()};
}

const AdamwSettings settings{.learning_rate = 3e-2, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8};

Case adamw(std::int64_t count, bool copied, double largest_norm) {
  return {.name = std::string("adamw") + (copied ? "+copy" : "") + shape({count}),
          .inputs = {{{count}, true}, {{count}, true}, {{count}, true}, {{count}, true, true}},
          .run =
              [=](const Tensors& in, const at::Tensor&) {
                const at::TensorOptions one = in[0].options().dtype(at::kDouble);
                at::Tensor copy;
                if (copied) copy = at::empty_like(in[0], in[0].options().dtype(at::kBFloat16));
                adamw_step(in[0], in[1], in[2], in[3], copy, settings,
                           {at::full({1}, 0.5, one), at::full({1}, 3.0, one), largest_norm}, 3);
                return copied ? Tensors{in[0], in[2], in[3], copy} : Tensors{in[0], in[2], in[3]};
              },
          .bytes = [=](double) { return (copied ? 30 : 28) * product({count}); },
          .fp32_only = true};
}

Case norm_of_all(std::int64_t count) {
  return {.name = "global_norm" + shape({count}),
          .inputs = {{{count}, true}},
          .run = [](const Tensors& in, const at::Tensor&) { return Tensors{global_norm(in[0])}; },
          .bytes = [=](double) { return 4 * product({count}); },
          .fp32_only = true};
}

// Ids as a text has them: the r-th most frequent of v about in proportion to 1 / r.
at::Tensor text_ids(std::int64_t n, std::int64_t v) {
  const at::Tensor uniform = at::empty({n}, at::kDouble).uniform_();
  return (uniform * std::log(static_cast<double>(v))).exp().floor().clamp(1, v).sub(1).to(at::kLong);
}

std::vector<Case> tested() {
  std::vector<Case> all;
  // Rows of every way to share them among threads, and rows that make no whole vectors.
  for (const auto& [n, d] : {std::pair{1, 1},
                             {3, 3},
                             {5, 33},
                             {7, 100},
                             {0, 64},
                             {1, 64},
                             {5000, 64},
                             {1000, 128},
                             {300, 256},
                             {70, 512},
                             {2048, 576},
                             {17, 1024},
                             {600, 2048},
                             {9, 4096},
                             {20, 8192},
                             {3, 16384},
                             {2, 40000}}) {
    all.push_back(norm_forward(n, d));
    all.push_back(norm_add_forward(n, d));
    all.push_back(norm_recompute(n, d));
    all.push_back(norm_backward(n, d, false, true));
    all.push_back(norm_backward(n, d, true, true));
    all.push_back(norm_backward(n, d, true, false));
  }
  for (const auto& [n, h, e, heads] : {std::tuple{1, 1, 2, 1},
                                       {0, 2, 8, 2},
                                       {5, 3, 6, 4},
                                       {40, 9, 64, 15},
                                       {300, 32, 64, 48},
                                       {33, 8, 128, 8},
                                       {7, 200, 128, 200},
                                       {19, 5, 80, 7}}) {
    for (const bool inverse : {false, true}) all.push_back(rotate(n, h, e, heads, inverse));
  }
  for (const auto& [n, f] : {std::pair{1, 1}, {0, 16}, {3, 3}, {5, 33}, {7, 100}, {40, 1536}, {300, 8192}, {9, 4104}}) {
    for (const bool halves : {false, true}) {
      all.push_back(swiglu(n, f, halves));
      all.push_back(swiglu_gradient(n, f, halves));
    }
  }
  for (const auto& [n, k, d] :
       {std::tuple{1, 1, 1}, {4, 0, 8}, {9, 20, 3}, {100, 33, 100}, {500, 900, 576}, {300, 70, 2048}, {50, 9, 4104}}) {
    all.push_back(gather(n, k, d));
    all.push_back(scatter(n, std::min(n, k), d));
  }
  for (const std::int64_t d : {1, 33, 64, 576, 2048}) {
    for (const std::int64_t n : {0, 1, 31, 32, 33, 64, 65, 1000, 4096}) {
      if (n * d > 3'000'000) continue;  // takes the CPU long
      all.push_back(embedding_gradient("of one id", at::full({n}, 2, at::kLong), 4, d));
      all.push_back(embedding_gradient("of different ids", at::randperm(n, at::kLong), n + 1, d));
      all.push_back(embedding_gradient("of a text", text_ids(n, 300), 300, d));
    }
  }
  // Runs that begin and end at cuts of 32, before and behind them.
  std::vector<std::int64_t> ids;
  for (const auto& [id, times] : {std::pair{0, 32}, {1, 64}, {2, 1}, {3, 31}, {4, 33}, {5, 62}, {6, 1}, {7, 1200}})
    ids.insert(ids.end(), static_cast<size_t>(times), id);
  all.push_back(embedding_gradient("of runs", at::tensor(ids), 8, 72));
  for (const std::int64_t count : {1, 3, 4, 5, 1000, 2048, 2051, 100'003}) {
    all.push_back(adamw(count, true, 1));
    all.push_back(adamw(count, false, 0));
  }
  for (const std::int64_t count : {1, 3, 65535, 65536, 65537, 5'000'003}) all.push_back(norm_of_all(count));
  return all;
}

std::vector<Case> measured() {
  std::vector<Case> all;
  for (const auto& [n, d] :
       {std::pair{16384, 576}, {16384, 2048}, {147456, 64}, {524288, 64}, {262144, 128}, {16384, 4096}, {8192, 8192}}) {
    all.push_back(norm_forward(n, d));
    all.push_back(norm_add_forward(n, d));
    all.push_back(norm_recompute(n, d));
    all.push_back(norm_backward(n, d, false, true));
    all.push_back(norm_backward(n, d, true, true));
  }
  for (const auto& [n, h, e, heads] : {std::tuple{16384, 9, 64, 15}, {16384, 32, 64, 48}, {16384, 16, 128, 32}})
    all.push_back(rotate(n, h, e, heads, false));
  for (const auto& [n, f] : {std::pair{16384, 1536}, {16384, 8192}}) {
    all.push_back(swiglu(n, f, true));
    all.push_back(swiglu_gradient(n, f, true));
  }
  for (const auto& [v, d] : {std::pair{49152, 576}, {128256, 2048}}) {
    all.push_back(gather(v, 16384, d));
    all.push_back(scatter(16384, 8192, d));
    all.push_back(embedding_gradient("(with its sort) of a text", text_ids(16384, v), v, d));
    all.push_back(embedding_gradient("(with its sort) of one id", at::full({16384}, 5, at::kLong), v, d));
  }
  for (const std::int64_t count : {135'000'000, 1'236'000'000}) {
    all.push_back(adamw(count, true, 1));
    all.push_back(adamw(count, false, 1));
    all.push_back(norm_of_all(count));
  }
  return all;
}

using CudaTraining = CudaKernels;

TEST_F(CudaTraining, EveryKernelEqualsItsCpuOneAndRepeatsItsBits) {
  for (const Case& c : tested()) {
    double elements = 0;
    for (const Input& input : c.inputs) elements += product(input.shape);
    for (const bool shift : {false, true}) {
      if (shift && elements > 400'000) continue;  // the small ones show it, and the CPU is slow
      expect_right(c, at::kFloat, shift);
      if (!c.fp32_only) expect_right(c, at::kBFloat16, shift);
    }
  }
}

TEST_F(CudaTraining, RecomputedNormIsTheForwardsToTheBit) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t d : {64, 576, 2048, 33}) {
      const Tensors in = inputs_of(norm_forward(500, d), dtype, false);
      const auto [y, rstd] = rms_norm_forward(in[0], in[1], eps);
      EXPECT_TRUE(at::equal(rms_norm_recompute(in[0], in[1], rstd), y)) << d;
    }
  }
}

TEST_F(CudaTraining, AnglesAreThoseOfTheCpu) {
  std::vector<float> frequencies;
  for (int i = 0; i < 32; ++i) frequencies.push_back(static_cast<float>(std::pow(10000.0, -i / 32.0)));
  constexpr std::int64_t n = 5000, first = 130'000;
  const at::TensorOptions wide = at::TensorOptions().dtype(at::kFloat);
  RopeAngles cpu{at::empty({n, 32}, wide), at::empty({n, 32}, wide)};
  rope_fill(cpu, 0, first, n, frequencies, 1.3);
  const at::Tensor positions = at::arange(first, first + n, at::kInt).to(gpu);
  const RopeAngles ours = rope_angles_at(positions, to_device(frequencies, gpu), 1.3);
  EXPECT_LE(largest(ours.cos_ne2.cpu() - cpu.cos_ne2), 5e-7);
  EXPECT_LE(largest(ours.sin_ne2.cpu() - cpu.sin_ne2), 5e-7);
  EXPECT_EQ(rope_angles_at(positions.narrow(0, 0, 0), to_device(frequencies, gpu), 1).cos_ne2.numel(), 0);
}

TEST_F(CudaTraining, GradientsOfHalvesAreHalves) {
  const at::Tensor both = at::empty({9, 128}, at::TensorOptions().dtype(at::kBFloat16).device(gpu)).normal_();
  const auto [dgate, dup, product] =
      swiglu_backward(both.narrow(1, 0, 64).contiguous(), both.narrow(1, 0, 64), both.narrow(1, 64, 64));
  EXPECT_EQ(dgate.stride(0), 128);
  EXPECT_EQ(dup.storage_offset(), 64);
  EXPECT_TRUE(dgate.is_alias_of(dup));
}

TEST_F(CudaTraining, AdamwTakesNoStepWhereLossOrNormIsNotFinite) {
  const at::TensorOptions wide = at::TensorOptions().dtype(at::kFloat).device(gpu), one = wide.dtype(at::kDouble);
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (const bool of_loss : {false, true}) {
      const at::Tensor w = at::full({1001}, 1.0, wide), m = at::zeros({1001}, wide), v = at::zeros({1001}, wide),
                       copy = at::zeros({1001}, wide.dtype(at::kBFloat16));
      const AdamwGuard guard{at::full({1}, of_loss ? bad : 1, one), at::full({1}, of_loss ? 1 : bad, one), 1};
      adamw_step(w, w.clone(), m, v, copy, settings, guard, 1);
      EXPECT_TRUE(w.eq(1).all().item<bool>() && m.eq(0).all().item<bool>() && v.eq(0).all().item<bool>() &&
                  copy.eq(0).all().item<bool>());
    }
  }
}

TEST_F(CudaTraining, NormIsNotFiniteWhereAnElementIsNot) {
  for (const float bad : {NAN, INFINITY, -INFINITY, 3e30f}) {
    for (const std::int64_t place : {0, 65535, 65536, 200'002}) {
      const at::Tensor x = at::full({200'003}, 1.0, at::TensorOptions().dtype(at::kFloat).device(gpu));
      x[place] = bad;
      const double norm = global_norm(x).item<double>();
      EXPECT_TRUE(bad == 3e30f ? std::abs(norm / 3e30 - 1) < 1e-6 : !std::isfinite(norm)) << bad << " " << place;
    }
  }
  EXPECT_EQ(global_norm(at::zeros({0}, at::TensorOptions().dtype(at::kFloat).device(gpu))).item<double>(), 0);
}

TEST_F(CudaTraining, OffsetsAreWide) {
  if (free_gpu_bytes(gpu) < 60'000'000'000) GTEST_SKIP() << "less than 60 GB are free";
  constexpr std::int64_t count = (std::int64_t{1} << 31) + (1 << 20) + 3, tail = 5000;
  {
    const Tensors in = inputs_of(adamw(count, false, 0), at::kFloat, false);
    Tensors ends;
    for (const at::Tensor& x : in) ends.push_back(x.narrow(0, count - tail, tail).cpu().clone());
    const Case step = adamw(tail, false, 0);
    step.run(in, {});
    const Tensors wanted = step.run(ends, {});
    for (const size_t i : {0, 2, 3})
      EXPECT_LE(largest(in[i].narrow(0, count - tail, tail).cpu() - ends[i]), 1e-6) << "input " << i;
    double squares = 0;
    for (std::int64_t begin = 0; begin < count; begin += 1 << 28) {
      const at::Tensor part = in[0].narrow(0, begin, std::min<std::int64_t>(1 << 28, count - begin)).to(at::kDouble);
      squares += part.square().sum().item<double>();
    }
    EXPECT_NEAR(global_norm(in[0]).item<double>() / std::sqrt(squares), 1, 1e-12);
  }
  release_free_memory(gpu);
  const at::Tensor x = at::empty({(1 << 21) + 5, 1024}, at::TensorOptions().dtype(at::kBFloat16).device(gpu)).normal_();
  const at::Tensor rows = at::tensor(std::vector<std::int64_t>{(1 << 21) + 4, 0, 1 << 21, (1 << 21) - 1}).to(gpu);
  EXPECT_TRUE(at::equal(gather_rows(x, rows), x.index_select(0, rows)));
}

TEST(CudaBench, OfTraining) {
  if (std::getenv("STEERLM_BENCH") == nullptr) GTEST_SKIP() << "STEERLM_BENCH is not set";
  STEERLM_NEEDS_GPU();
  for (const Case& c : measured()) {
    if (!c.fp32_only) measure(c, at::kBFloat16);
    // Rows of fp32 are of interest at two widths; what is fp32 always is measured so.
    if (c.fp32_only || c.name.ends_with("16384x2048") || c.name.ends_with("16384x576")) measure(c, at::kFloat);
    release_free_memory(gpu);
  }
}

}  // namespace
}  // namespace steerlm
