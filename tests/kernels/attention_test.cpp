#include "steerlm/kernels/attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/composition.h"
#include "steerlm/kernels/device.h"

namespace steerlm {
namespace {

// (n, h, e), the last n of the t positions whose keys and values are (t, g, e).
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::int64_t window) {
  const std::int64_t n = q.size(0), t = k.size(0), share = q.size(1) / k.size(1);
  const at::Tensor distance = at::arange(t - n, t).unsqueeze(1) - at::arange(t).unsqueeze(0);
  at::Tensor unseen = distance.lt(0);
  if (window > 0) unseen = unseen.logical_or(distance.ge(window));
  const at::Tensor keys = k.repeat_interleave(share, 1).transpose(0, 1),
                   values = v.repeat_interleave(share, 1).transpose(0, 1);
  const at::Tensor scores = q.transpose(0, 1).matmul(keys.transpose(1, 2)) / std::sqrt(static_cast<double>(q.size(2)));
  const at::Tensor weights = at::softmax(scores.masked_fill(unseen, -std::numeric_limits<double>::infinity()), -1);
  return weights.matmul(values).transpose(0, 1);
}

TEST(Attention, EqualsTheCompositionForwardAndBackward) {
  struct Shape {
    std::vector<std::int64_t> cu_seqlens;
    std::int64_t h, g, e, window;
  };
  for (const Shape& shape :
       {Shape{{0, 5}, 2, 1, 4, 0}, Shape{{0, 9, 10, 40}, 4, 2, 16, 0}, Shape{{0, 33, 70}, 4, 1, 8, 0},
        Shape{{0, 20, 24}, 2, 2, 8, 5}, Shape{{0, 300}, 2, 1, 16, 70}, Shape{{0, 131, 150}, 4, 4, 64, 0},
        Shape{{0, 600}, 6, 2, 20, 0}, Shape{{0, 3, 700}, 2, 1, 16, 300}, Shape{{0, 513}, 1, 1, 8, 2},
        Shape{{0, 4, 7}, 90, 1, 4, 0}, Shape{{0, 84, 169}, 9, 1, 8, 0}, Shape{{0, 255, 511, 768}, 5, 1, 8, 0},
        Shape{{0, 600}, 1, 1, 8, 256}, Shape{{0, 600}, 1, 1, 8, 257}}) {
    const std::int64_t n = shape.cu_seqlens.back();
    const auto composition = [&](const std::vector<at::Tensor>& in) {
      std::vector<at::Tensor> parts;
      for (size_t s = 0; s + 1 < shape.cu_seqlens.size(); ++s) {
        const std::int64_t begin = shape.cu_seqlens[s], end = shape.cu_seqlens[s + 1];
        parts.push_back(attention(in[0].slice(0, begin, end), in[1].slice(0, begin, end), in[2].slice(0, begin, end),
                                  shape.window));
      }
      return at::cat(parts, 0);
    };
    const auto kernel = [&](const std::vector<at::Tensor>& in, const at::Tensor& dout) {
      const AttentionOutput output = attention_forward(in[0], in[1], in[2], shape.cu_seqlens, shape.window);
      const AttentionGradients g =
          attention_backward(dout, in[0], in[1], in[2], output, shape.cu_seqlens, shape.window);
      return KernelNumbers{output.out_nhe, {g.dq_nhe, g.dk_nge, g.dv_nge}};
    };
    expect_equals_composition(
        kernel, composition,
        {random_tensor({n, shape.h, shape.e}, "q", 1.5), random_tensor({n, shape.g, shape.e}, "k", 1.5),
         random_tensor({n, shape.g, shape.e}, "v")},
        random_tensor({n, shape.h, shape.e}, "do"),
        std::to_string(n) + " tokens, window " + std::to_string(shape.window));
  }
}

TEST(Attention, OfNewTokensOnCachedKeysEqualsTheComposition) {
  for (const std::int64_t window : {0, 6}) {
    for (const auto& [n, t] : {std::pair{1, 1}, {1, 20}, {7, 20}, {20, 20}}) {
      const std::vector<at::Tensor> inputs{random_tensor({n, 4, 16}, "q", 1.5), random_tensor({t, 2, 16}, "k", 1.5),
                                           random_tensor({t, 2, 16}, "v")};
      const auto composition = [&](const std::vector<at::Tensor>& in) {
        return attention(in[0], in[1], in[2], window).contiguous();
      };
      const auto kernel = [&](const std::vector<at::Tensor>& in, const at::Tensor&) {
        return KernelNumbers{cached_attention(in[0], in[1].transpose(0, 1), in[2].transpose(0, 1), window), {}};
      };
      expect_equals_composition(kernel, composition, inputs, random_tensor({n, 4, 16}, "do"),
                                std::to_string(n) + " of " + std::to_string(t));
    }
  }
}

TEST(Attention, BitsDoNotDependOnTheThreads) {
  if (!attention_is_by_blocks(at::kFloat)) GTEST_SKIP() << "a processor without AVX2 takes ATen's kernel";
  std::vector<std::int64_t> cu_seqlens{0};
  for (std::int64_t length = 1; length <= 45; ++length) cu_seqlens.push_back(cu_seqlens.back() + length);
  for (const std::int64_t length : {300, 45}) cu_seqlens.push_back(cu_seqlens.back() + length);
  const std::int64_t n = cu_seqlens.back();
  const PackedSequences sequences(cu_seqlens);
  const auto numbers = [&](const char* name, std::int64_t heads) {
    return random_tensor({n, heads, 8}, name, 1.5).to(at::kFloat);
  };
  const at::Tensor q = numbers("q", 4), k = numbers("k", 2), v = numbers("v", 2), dout = numbers("do", 4);
  const int before = at::get_num_threads();
  for (const std::int64_t window : {0, 6}) {
    std::vector<std::vector<at::Tensor>> results;
    for (const int threads : {1, 2, 3, 4}) {
      at::set_num_threads(threads);
      const AttentionOutput out = attention_forward(q, k, v, sequences, window);
      const AttentionGradients gradients = attention_backward(dout, q, k, v, out, sequences, window);
      std::vector<at::Tensor>& result = results.emplace_back();
      result = {out.out_nhe, gradients.dq_nhe, gradients.dk_nge, gradients.dv_nge};
      for (const std::int64_t news : {1, 5, 13, 45})
        result.push_back(cached_attention(q.narrow(0, n - news, news), k.narrow(0, n - 45, 45).transpose(0, 1),
                                          v.narrow(0, n - 45, 45).transpose(0, 1), window));
    }
    at::set_num_threads(before);
    for (size_t t = 1; t < results.size(); ++t) {
      for (size_t i = 0; i < results[t].size(); ++i)
        EXPECT_TRUE(at::equal(results[t][i], results[0][i])) << t + 1 << " threads, tensor " << i << ", " << window;
    }
  }
}

// The bits of a query's output are those of any sequence that begins in the same way, wherever it stands, and of cached
// keys.
TEST(Attention, ARowDependsOnItsSequenceUpToItAlone) {
  if (!attention_is_by_blocks(at::kFloat)) GTEST_SKIP() << "a processor without AVX2 takes ATen's kernel";
  constexpr std::int64_t n = 600, whole = 530;
  const auto numbers = [&](const char* name, std::int64_t heads) {
    return random_tensor({n, heads, 16}, name, 1.5).to(at::kFloat);
  };
  const at::Tensor q = numbers("q", 6), k = numbers("k", 2), v = numbers("v", 2);
  for (const std::int64_t window : {0, 100}) {
    const at::Tensor out = attention_forward(q, k, v, std::vector<std::int64_t>{0, whole, n}, window).out_nhe;
    for (const std::int64_t length : {1, 27, 28, 256, 257, 400}) {
      const auto first = [&](const at::Tensor& x) { return x.narrow(0, 0, length); };
      const at::Tensor alone =
          attention_forward(first(q), first(k), first(v), std::vector<std::int64_t>{0, length}, window).out_nhe;
      EXPECT_TRUE(at::equal(alone, first(out))) << length << " tokens, window " << window;
      const std::int64_t news = std::min<std::int64_t>(length, 5);
      const at::Tensor cached = cached_attention(q.narrow(0, length - news, news), first(k).transpose(0, 1),
                                                 first(v).transpose(0, 1), window);
      EXPECT_TRUE(at::equal(cached, out.narrow(0, length - news, news))) << length << " cached, window " << window;
    }
    const auto last = [&](const at::Tensor& x) { return x.narrow(0, whole, n - whole); };
    EXPECT_TRUE(
        at::equal(attention_forward(last(q), last(k), last(v), std::vector<std::int64_t>{0, n - whole}, window).out_nhe,
                  last(out)));
  }
}

TEST(Attention, WhatIsNotFiniteShows) {
  constexpr std::int64_t n = 300;
  for (const double bad : {NAN, INFINITY, -INFINITY}) {
    for (const std::int64_t place : {0, 40, 290}) {
      for (const int which : {0, 1, 2}) {
        std::vector<at::Tensor> inputs;
        for (const char* name : {"q", "k", "v"}) inputs.push_back(random_tensor({n, 1, 16}, name).to(at::kFloat));
        inputs[static_cast<size_t>(which)].select(0, place).fill_(bad);
        const AttentionOutput output =
            attention_forward(inputs[0], inputs[1], inputs[2], std::vector<std::int64_t>{0, n}, 0);
        const at::Tensor finite_n = at::isfinite(output.out_nhe).all(-1).all(-1);
        EXPECT_FALSE(finite_n[place].item<bool>()) << bad << " in tensor " << which << " at " << place;
        const at::Tensor dout = random_tensor({n, 1, 16}, "do").to(at::kFloat);
        const AttentionGradients gradients =
            attention_backward(dout, inputs[0], inputs[1], inputs[2], output, std::vector<std::int64_t>{0, n}, 0);
        EXPECT_FALSE(at::isfinite(gradients.dq_nhe).all().item<bool>()) << bad << " in " << which << " at " << place;
      }
    }
  }
}

TEST(Attention, OfOneNewTokenARowEqualsTheComposition) {
  const std::vector<std::int32_t> lengths{1, 17, 0, 30};
  const at::Tensor lengths_r = to_device(lengths, at::kCPU);
  constexpr std::int64_t capacity = 30;
  for (const std::int64_t window : {0, 6}) {
    const std::vector<at::Tensor> inputs{random_tensor({4, 4, 16}, "q", 1.5),
                                         random_tensor({4, 2, capacity, 16}, "k", 1.5),
                                         random_tensor({4, 2, capacity, 16}, "v")};
    const auto composition = [&](const std::vector<at::Tensor>& in) {
      std::vector<at::Tensor> rows;
      for (std::int64_t r = 0; r < 4; ++r) {
        const std::int64_t length = lengths[static_cast<size_t>(r)];
        const auto cached = [&](const at::Tensor& x) { return x[r].slice(1, 0, length).transpose(0, 1); };
        rows.push_back(length == 0 ? in[0][r].mul(0)
                                   : attention(in[0][r].unsqueeze(0), cached(in[1]), cached(in[2]), window)[0]);
      }
      return at::stack(rows);
    };
    const auto kernel = [&](const std::vector<at::Tensor>& in, const at::Tensor&) {
      return KernelNumbers{decode_attention(in[0], in[1], in[2], lengths_r, capacity, window), {}};
    };
    expect_equals_composition(kernel, composition, inputs, random_tensor({4, 4, 16}, "do"),
                              "window " + std::to_string(window));
  }
}

}  // namespace
}  // namespace steerlm
