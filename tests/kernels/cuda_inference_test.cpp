// The kernels of the loss and of inference on a GPU against the same functions on the CPU: fp64 is what is right, and
// the CPU's own error in the same dtype is the measure. Each call is made twice and gives equal bits.
#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>

#include "kernels/cuda_cases.h"
#include "steerlm/kernels/attention.h"
#include "steerlm/kernels/linear_cross_entropy.h"

namespace steerlm {
namespace {

class CudaInference : public CudaKernels {
 protected:
  void SetUp() override {
    CudaKernels::SetUp();
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  }
  void TearDown() override { at::globalContext().setDeterministicAlgorithms(false, false); }
};

at::TensorOptions on_gpu(at::ScalarType dtype) { return at::TensorOptions().dtype(dtype).device(gpu); }
constexpr at::ScalarType both[] = {at::kFloat, at::kBFloat16};
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// Of the GPU, of the CPU in the same dtype, and in fp64. `floor` is what fp32 may be off by where the CPU's error is
// small by luck; a bf16 may be off by a unit.
void expect_close(const at::Tensor& ours, const at::Tensor& again, const at::Tensor& composed, const at::Tensor& exact,
                  double factor, const std::string& name, double floor = 1e-6) {
  EXPECT_TRUE(at::equal(ours, again)) << name << ": two runs differ";
  const at::Tensor host = ours.cpu();
  ASSERT_EQ(host.sizes(), exact.sizes()) << name;
  EXPECT_TRUE(host.numel() == 0 || std::isfinite(largest(host.to(at::kDouble)))) << name;
  const double unit = composed.scalar_type() == at::kBFloat16 ? 0x1p-8 : floor, error = distance(host, exact);
  EXPECT_LE(error, std::max(factor * distance(composed, exact), unit * exact.norm().item<double>())) << name;
}

struct Losses {
  at::Tensor log_p_k, dlogits_kv;
};
Losses composed_losses(const at::Tensor& logits_kv, const at::Tensor& targets_k, const at::Tensor& weights_k,
                       double scale, at::ScalarType wide) {
  const at::Tensor log_p = at::log_softmax(logits_kv.to(wide), -1);
  const at::Tensor target = at::zeros_like(log_p).scatter_(1, targets_k.unsqueeze(1), 1);
  const at::Tensor factor = (weights_k.to(at::kDouble) * scale).to(wide).unsqueeze(1);
  return {log_p.gather(1, targets_k.unsqueeze(1)).squeeze(1), (log_p.exp() - target) * factor};
}

TEST_F(CudaInference, CrossEntropyOfOddRowsInPlaceAndBeside) {
  constexpr double scale = 0.37;
  struct Shape {
    std::int64_t k, v, pad, shift;  // pad: elements between rows; shift: of the first row from 16 bytes
  };
  for (const auto& [k, v, pad, shift] : {Shape{0, 5, 0, 0},
                                         {1, 1, 0, 0},
                                         {5, 3, 2, 1},
                                         {4, 7, 0, 0},
                                         {3, 8, 0, 3},
                                         {9, 1001, 0, 0},
                                         {7, 1000, 5, 1},
                                         {6, 32000, 0, 0},
                                         {1500, 301, 3, 0},
                                         {5, 49152, 0, 0},
                                         {4, 50257, 7, 0},
                                         {3, 128256, 0, 0},
                                         {2, 131072, 1, 0},
                                         {2, 200003, 0, 1}}) {
    for (const at::ScalarType dtype : both) {
      const std::string name = std::to_string(k) + "x" + std::to_string(v) + " " + c10::toString(dtype);
      const std::int64_t stride = v + pad;
      const at::Tensor host = (random_tensor({k, v}, name, 3) + 20).to(dtype);
      std::vector<std::int64_t> target;
      for (std::int64_t i = 0; i < k; ++i) target.push_back(i % 3 == 0 ? 0 : i % 3 == 1 ? v - 1 : v * 7 / 11);
      const at::Tensor targets = at::tensor(target, at::kLong), weights = random_tensor({k}, "weights").to(at::kFloat);
      const Losses exact = composed_losses(host, targets, weights, scale, at::kDouble);
      Losses composed = composed_losses(host, targets, weights, scale, at::kFloat);
      composed.dlogits_kv = composed.dlogits_kv.to(dtype);
      const at::Tensor targets_gpu = targets.to(gpu), weights_gpu = weights.to(gpu);
      Losses first[2];
      double loss[2] = {};
      for (int run = 0; run < 2; ++run) {
        at::Tensor logits_buffer = at::full({k * stride + 16}, 5.0, on_gpu(dtype)), beside = logits_buffer.clone();
        const auto rows = [&](const at::Tensor& buffer) {
          return buffer.narrow(0, shift, k * stride).view({k, stride}).narrow(1, 0, v);
        };
        const at::Tensor logits = rows(logits_buffer);
        logits.copy_(host);
        at::Tensor log_p = at::full({k}, 7.0, on_gpu(at::kFloat)), sum = at::full({1}, 2.0, on_gpu(at::kDouble));
        const auto call = [&](const at::Tensor& to, double* loss_sum) {
          const int status =
              cuda().cross_entropy(cuda_dtype(logits), logits.data_ptr(), stride, targets_gpu.data_ptr<std::int64_t>(),
                                   weights_gpu.data_ptr<float>(), scale, to.defined() ? to.data_ptr() : nullptr,
                                   log_p.data_ptr<float>(), loss_sum, k, v, stream_of(gpu));
          check_launch(status, "cross_entropy");
        };
        call({}, nullptr);
        EXPECT_TRUE(at::equal(logits.cpu(), host)) << name;
        const at::Tensor alone = log_p.clone();
        call(rows(beside), nullptr);
        EXPECT_TRUE(at::equal(log_p, alone)) << name;
        call(logits, sum.data_ptr<double>());
        EXPECT_TRUE(at::equal(log_p, alone)) << name;
        EXPECT_TRUE(at::equal(logits, rows(beside))) << name << ": in place and beside";
        EXPECT_TRUE(at::equal(logits_buffer, beside)) << name << ": between the rows";
        if (pad > 0 && k > 0) {
          const at::Tensor gap = beside.narrow(0, shift, k * stride).view({k, stride}).narrow(1, v, pad);
          EXPECT_TRUE(gap.eq(5).all().item<bool>()) << name;
        }
        first[run] = {log_p, logits};
        loss[run] = sum.item<double>();
      }
      expect_close(first[0].log_p_k, first[1].log_p_k, composed.log_p_k, exact.log_p_k, 2, name + " log p");
      expect_close(first[0].dlogits_kv, first[1].dlogits_kv, composed.dlogits_kv, exact.dlogits_kv, 3, name + " d");
      EXPECT_EQ(loss[0], loss[1]);
      const double wanted = 2 - (weights.to(at::kDouble) * first[0].log_p_k.cpu().to(at::kDouble)).sum().item<double>();
      EXPECT_NEAR(loss[0], wanted, 1e-12 * std::max(1.0, std::abs(wanted))) << name;
    }
  }
}

TEST_F(CudaInference, CrossEntropyShowsWhatIsNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  at::Tensor logits = random_tensor({5, 3000}, "logits").to(at::kFloat);
  logits[0].narrow(0, 10, 2000).fill_(-inf);  // only these have no share
  logits[1].fill_(-inf);
  logits[2][2999] = nan;
  logits[3][17] = inf;
  const at::Tensor exact = at::log_softmax(logits[0].to(at::kDouble), -1);
  const at::Tensor on_card = logits.to(gpu), log_p = at::zeros({5}, on_gpu(at::kFloat)),
                   weights = at::full({5}, 1.0, on_gpu(at::kFloat)),
                   targets = at::tensor(std::vector<std::int64_t>{3, 3, 3, 3, 3000}, at::kLong).to(gpu);
  check_launch(cuda().cross_entropy(STEERLM_FLOAT32, on_card.data_ptr(), 3000, targets.data_ptr<std::int64_t>(),
                                    weights.data_ptr<float>(), 1, on_card.data_ptr(), log_p.data_ptr<float>(), nullptr,
                                    5, 3000, stream_of(gpu)),
               "cross_entropy");
  const at::Tensor host = log_p.cpu();
  EXPECT_NEAR(host[0].item<double>(), exact[3].item<double>(), 1e-5);
  EXPECT_EQ(on_card[0][11].item<double>(), 0);
  for (int row = 1; row < 5; ++row) EXPECT_TRUE(std::isnan(host[row].item<double>())) << row;
}

TEST_F(CudaInference, LinearCrossEntropyEqualsTheComposition) {
  constexpr double scale = 0.125;
  for (const auto& [n, d, v] : {std::tuple{1, 8, 2}, {5, 8, 3}, {9, 16, 37}, {200, 64, 1000}, {130, 40, 5003}}) {
    std::vector<std::int64_t> targets;
    std::vector<float> weights;
    for (std::int64_t i = 0; i < n; ++i) {
      targets.push_back(i * 7919 % v);
      weights.push_back(n == 1 ? 0.5f : static_cast<float>(i % 4) / 3);
    }
    const auto composition = [&](const std::vector<at::Tensor>& in) {
      const at::Tensor logits = in[0].matmul(in[1].t());
      const at::Tensor wide = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
      const at::Tensor log_p = at::log_softmax(wide, -1).gather(1, at::tensor(targets).unsqueeze(1)).squeeze(1);
      return -(log_p * at::tensor(weights).to(log_p.scalar_type())).sum();
    };
    const at::Tensor x = random_tensor({n, d}, "x"), w = random_tensor({v, d}, "w", 0.7);
    const at::Tensor dout = at::tensor(scale, at::kDouble).squeeze();
    for (const at::ScalarType dtype : both) {
      const std::string name = std::to_string(n) + "x" + std::to_string(v) + " " + c10::toString(dtype);
      const Tensors in{x.to(dtype), w.to(dtype)};
      const Composed exact = compose(composition, in, dout, at::kDouble),
                     composed = compose(composition, in, dout, dtype);
      const TargetRows rows = target_rows(targets, weights, gpu);
      Tensors results[2];
      for (Tensors& result : results) {
        const at::Tensor x_gpu = in[0].to(gpu), w_gpu = in[1].to(gpu);
        at::Tensor dw = at::zeros(w.sizes(), on_gpu(at::kFloat)), none;
        const LinearCrossEntropy loss = linear_cross_entropy(x_gpu, w_gpu, rows, scale, dw);
        const LinearCrossEntropy frozen = linear_cross_entropy(x_gpu, w_gpu, rows, scale, none);
        EXPECT_TRUE(at::equal(frozen.dx_nd, loss.dx_nd)) << name;
        const at::Tensor log_p = linear_log_probabilities(x_gpu, w_gpu, rows);
        EXPECT_NEAR((-(log_p * rows.weights_k).to(at::kDouble)).sum().item<double>(), loss.loss_sum.item<double>(),
                    1e-5 * std::max(1.0, std::abs(loss.loss_sum.item<double>())));
        result = {loss.loss_sum.to(dtype).squeeze(0), loss.dx_nd, dw};
      }
      expect_close(results[0][0], results[1][0], composed.out.to(dtype), exact.out, 2, name + " loss");
      expect_close(results[0][1], results[1][1], composed.gradients[0], exact.gradients[0], 3, name + " dx");
      expect_close(results[0][2], results[1][2], composed.gradients[1], exact.gradients[1], 3, name + " dw");
    }
  }
  // All masked.
  const at::Tensor x = at::full({4, 8}, 1.0, on_gpu(at::kBFloat16)), w = at::full({5, 8}, 1.0, on_gpu(at::kBFloat16));
  const TargetRows none = target_rows({1, 1, 1, 1}, {0, 0, 0, 0}, gpu);
  at::Tensor dw = at::zeros({5, 8}, on_gpu(at::kFloat));
  const LinearCrossEntropy loss = linear_cross_entropy(x, w, none, 1, dw);
  EXPECT_EQ(loss.loss_sum.item<double>(), 0);
  EXPECT_TRUE(loss.dx_nd.eq(0).all().item<bool>() && dw.eq(0).all().item<bool>());
  EXPECT_EQ(linear_log_probabilities(x, w, none).numel(), 0);
}

// Three chunks of logits, of an odd number of columns.
TEST_F(CudaInference, ChunksOfLogitsGiveTheNumbersOfTheWhole) {
  if (free_gpu_bytes(gpu) < std::int64_t{40} << 30) GTEST_SKIP() << "less than 40 GB are free";
  constexpr std::int64_t n = 4100, d = 64, v = 262'145, some = 256;
  const at::Tensor x = random_tensor({n, d}, "x", 0.3).to(gpu).to(at::kBFloat16),
                   w = random_tensor({v, d}, "w", 0.3).to(gpu).to(at::kBFloat16);
  std::vector<std::int64_t> targets(n, v - 1);
  for (std::int64_t i = 0; i < n; ++i) targets[i] = i * 77'777 % v;
  const TargetRows rows = target_rows(targets, std::vector<float>(n, 1.0f), gpu);
  at::Tensor dw = at::zeros({v, d}, on_gpu(at::kFloat)), dw_sum = at::zeros({v, d}, on_gpu(at::kDouble));
  const LinearCrossEntropy loss = linear_cross_entropy(x, w, rows, 1, dw);
  const at::Tensor log_p = linear_log_probabilities(x, w, rows);
  double sum = 0;
  for (std::int64_t first = 0; first < n; first += some) {
    const std::int64_t count = std::min(some, n - first);
    const at::Tensor x_cd = x.narrow(0, first, count).to(at::kDouble), w_vd = w.to(at::kDouble),
                     target = rows.targets_k.narrow(0, first, count), one = rows.weights_k.narrow(0, first, count);
    const Losses exact = composed_losses(x_cd.matmul(w_vd.t()), target, one, 1, at::kDouble);
    const at::Tensor dx = exact.dlogits_kv.matmul(w_vd), ours = loss.dx_nd.narrow(0, first, count);
    EXPECT_LE(distance(ours, dx), 0.01 * dx.norm().item<double>()) << first;
    EXPECT_LE(largest(log_p.narrow(0, first, count).to(at::kDouble) - exact.log_p_k), 0.03) << first;
    dw_sum.addmm_(exact.dlogits_kv.t(), x_cd);
    sum -= exact.log_p_k.sum().item<double>();
  }
  EXPECT_LE(distance(dw, dw_sum), 0.01 * dw_sum.norm().item<double>());
  EXPECT_NEAR(loss.loss_sum.item<double>(), sum, 1e-4 * sum);
  release_free_memory(gpu);
}

// ATen's fp32 attention multiplies on tensor cores, a number in three parts.
constexpr double fp32_attention = 4e-6;

std::vector<std::int64_t> starts_of(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> starts{0};
  for (const std::int64_t length : lengths) starts.push_back(starts.back() + length);
  return starts;
}

// q, k and v of a pack are views of one tensor, as a fused projection gives them.
struct Projected {
  at::Tensor q_nhe, k_nge, v_nge;
};
Projected projected(const at::Tensor& all, std::int64_t h, std::int64_t g, std::int64_t e) {
  const std::int64_t n = all.size(0);
  const auto heads = [&](std::int64_t from, std::int64_t count) {
    return all.narrow(1, from * e, count * e).view({n, count, e});
  };
  return {heads(0, h), heads(h, g), heads(h + g, g)};
}

Tensors attend(const at::Tensor& all, const at::Tensor& dout, std::int64_t h, std::int64_t g, std::int64_t e,
               const PackedSequences& sequences, std::int64_t window) {
  const auto [q, k, v] = projected(all, h, g, e);
  const AttentionOutput saved = attention_forward(q, k, v, sequences, window);
  const AttentionGradients d = attention_backward(dout, q, k, v, saved, sequences, window);
  return {saved.out_nhe, d.dq_nhe, d.dk_nge, d.dv_nge};
}

TEST_F(CudaInference, AttentionOfPacksForwardAndBackward) {
  std::vector<std::int64_t> skewed{700};
  for (std::int64_t i = 0; i < 20; ++i) skewed.push_back(i % 7 + 1);
  const std::vector<std::vector<std::int64_t>> packs{{1}, {1, 1, 1}, {5, 1, 128, 129, 3}, skewed};
  struct Heads {
    std::int64_t h, g, e;
  };
  for (const auto& lengths : packs) {
    const std::vector<std::int64_t> starts = starts_of(lengths);
    const std::int64_t n = starts.back();
    for (const auto& [h, g, e] :
         {Heads{4, 4, 32}, {8, 2, 64}, {9, 3, 64}, {4, 1, 128}, {4, 2, 80}, {2, 2, 96}, {2, 1, 112}, {2, 1, 256}}) {
      for (const std::int64_t window : {0, 1, 7, 128, 5000}) {
        if (e != 64 && window != 0 && window != 7) continue;
        const at::Tensor all = random_tensor({n, (h + 2 * g) * e}, "qkv"), dout = random_tensor({n, h, e}, "dout");
        for (const at::ScalarType dtype : both) {
          const at::Tensor host = all.to(dtype), dout_host = dout.to(dtype);
          const PackedSequences on_host(starts), sequences(starts, gpu);
          const Tensors composed = attend(host, dout_host, h, g, e, on_host, window);
          const Tensors exact = attend(host.to(at::kDouble), dout_host.to(at::kDouble), h, g, e, on_host, window);
          const at::Tensor on_card = host.to(gpu), dout_card = dout_host.to(gpu);
          const Tensors ours = attend(on_card, dout_card, h, g, e, sequences, window);
          const Tensors again = attend(on_card, dout_card, h, g, e, sequences, window);
          for (size_t i = 0; i < ours.size(); ++i) {
            // dq and dk of tokens that see themselves alone are 0: differences of equal numbers, which are not.
            const double size = i > 0 ? exact[3].norm().item<double>() : 0;
            const at::Tensor nothing = ours[i].cpu().to(at::kDouble) - exact[i];
            if (nothing.norm().item<double>() <= (dtype == at::kFloat ? 4e-6 : 1e-3) * size) {
              EXPECT_TRUE(at::equal(ours[i], again[i]));
              continue;
            }
            expect_close(ours[i], again[i], composed[i], exact[i], i == 0 ? 2 : 3,
                         std::to_string(n) + " tokens, h " + std::to_string(h) + " g " + std::to_string(g) + " e " +
                             std::to_string(e) + " window " + std::to_string(window) + " " + c10::toString(dtype) +
                             " output " + std::to_string(i),
                         fp32_attention);
          }
        }
      }
    }
  }
}

// More sequences than a grid has blocks: the parts of the pack by themselves give the same numbers.
TEST_F(CudaInference, AttentionOfVeryManySequencesIsSplit) {
  constexpr std::int64_t count = 70'000, h = 2, g = 1, e = 32;
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < count; ++i) lengths.push_back(i % 2 + 1);
  const std::vector<std::int64_t> starts = starts_of(lengths);
  for (const at::ScalarType dtype : both) {
    const at::Tensor all = random_tensor({starts.back(), (h + 2 * g) * e}, "qkv").to(dtype).to(gpu),
                     dout = random_tensor({starts.back(), h, e}, "dout").to(dtype).to(gpu);
    const Tensors whole = attend(all, dout, h, g, e, PackedSequences(starts, gpu), 0);
    for (const std::int64_t first : {std::int64_t{0}, count - 6000}) {
      const std::vector<std::int64_t> some(lengths.begin() + first, lengths.begin() + first + 6000);
      const std::vector<std::int64_t> some_starts = starts_of(some);
      const std::int64_t begin = starts[first], n = some_starts.back();
      const Tensors part =
          attend(all.narrow(0, begin, n), dout.narrow(0, begin, n), h, g, e, PackedSequences(some_starts, gpu), 0);
      for (size_t i = 0; i < part.size(); ++i) {
        EXPECT_LE(distance(whole[i].narrow(0, begin, n), part[i]), 1e-6 * part[i].to(at::kDouble).norm().item<double>())
            << c10::toString(dtype) << " output " << i << " from " << first;
      }
    }
  }
}

TEST_F(CudaInference, CachedAttentionOfOneSequence) {
  struct Shape {
    std::int64_t n, t, h, g, e, window;
  };
  for (const auto& [n, t, h, g, e, window] : {Shape{1, 1, 4, 2, 64, 0},
                                              {1, 700, 4, 2, 64, 0},
                                              {5, 5, 4, 4, 32, 0},
                                              {64, 700, 9, 3, 64, 0},
                                              {300, 1000, 4, 1, 128, 0},
                                              {64, 700, 4, 2, 64, 33},
                                              {1, 700, 4, 2, 80, 33},
                                              {300, 1000, 2, 2, 64, 500},
                                              {3, 40, 4, 2, 64, 40}}) {
    for (const at::ScalarType dtype : both) {
      const at::Tensor q = random_tensor({n, h, e}, "q").to(dtype), k = random_tensor({g, t + 9, e}, "k").to(dtype),
                       v = random_tensor({g, t + 9, e}, "v").to(dtype);
      const auto run = [&](at::Device device, at::ScalarType kept) {
        const auto there = [&](const at::Tensor& x) { return x.to(kept).to(device); };
        return cached_attention(there(q), there(k).narrow(1, 0, t), there(v).narrow(1, 0, t), window);
      };
      expect_close(run(gpu, dtype), run(gpu, dtype), run(at::kCPU, dtype), run(at::kCPU, at::kDouble), 2,
                   std::to_string(n) + " of " + std::to_string(t) + " window " + std::to_string(window) + " e " +
                       std::to_string(e) + " " + c10::toString(dtype),
                   fp32_attention);
    }
  }
}

}  // namespace
}  // namespace steerlm
