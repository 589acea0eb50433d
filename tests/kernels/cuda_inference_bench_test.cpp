// What the loss, attention and inference take on a GPU, beside what bounds them: the products alone, or a device copy
// of as many bytes. Runs where STEERLM_BENCH is set. Random data; medians of microseconds().
#include <ATen/Context.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <cstdlib>

#include "kernels/cuda_cases.h"
#include "steerlm/kernels/attention.h"
#include "steerlm/kernels/linear_cross_entropy.h"
#include "steerlm/kernels/sampling.h"

namespace steerlm {
namespace {

at::Tensor random_on_gpu(const std::vector<std::int64_t>& shape, double scale = 1,
                         at::ScalarType dtype = at::kBFloat16) {
  return at::empty(shape, at::TensorOptions().dtype(dtype).device(gpu)).normal_(0, scale);
}

void print_beside(const std::string& name, double time, const char* reference, double its_time) {
  std::printf("%-44s %10.1f us  %s %10.1f us  ratio %.3f\n", name.c_str(), time, reference, its_time, time / its_time);
  std::fflush(stdout);
}

TargetRows all_rows(std::int64_t n, std::int64_t v) {
  std::vector<std::int64_t> targets;
  for (std::int64_t i = 0; i < n; ++i) targets.push_back(i * 7919 % v);
  return target_rows(targets, std::vector<float>(static_cast<size_t>(n), 1.0f), gpu);
}

// The three products in the same chunks of rows.
void loss(std::int64_t n, std::int64_t d, std::int64_t v) {
  const std::string name = std::to_string(n) + " x " + std::to_string(d) + " x " + std::to_string(v);
  const at::Tensor x = random_on_gpu({n, d}), w = random_on_gpu({v, d}, 0.05);
  at::Tensor dw = at::zeros({v, d}, w.options().dtype(at::kFloat)), dx = at::empty_like(x);
  const TargetRows rows = all_rows(n, v);
  const double ours = microseconds([&] { linear_cross_entropy(x, w, rows, 1e-4, dw); });
  const double forward = microseconds([&] { linear_log_probabilities(x, w, rows); });
  const std::int64_t chunk = std::min<std::int64_t>(n, 4096);
  at::Tensor logits = at::empty({chunk, v}, x.options());
  const double products = microseconds([&] {
    for (std::int64_t first = 0; first < n; first += chunk) {
      const at::Tensor x_cd = x.narrow(0, first, chunk);
      at::Tensor dx_cd = dx.narrow(0, first, chunk);
      at::mm_out(logits, x_cd, w.t());
      at::mm_out(dx_cd, logits, w);
      at::addmm_out(dw, dw, logits.t(), x_cd, at::kFloat);
    }
  });
  const double product = microseconds([&] {
    for (std::int64_t first = 0; first < n; first += chunk) at::mm_out(logits, x.narrow(0, first, chunk), w.t());
  });
  print_beside("loss " + name, ours, "three products", products);
  print_beside("log-probabilities " + name, forward, "one product", product);
  release_free_memory(gpu);
}

void cross_entropy(std::int64_t k, std::int64_t v, at::ScalarType dtype) {
  const at::Tensor logits = random_on_gpu({k, v}, 2, dtype);
  const TargetRows rows = all_rows(k, v);
  const at::Tensor log_p = at::zeros({k}, logits.options().dtype(at::kFloat)),
                   sum = at::zeros({1}, logits.options().dtype(at::kDouble));
  const double bytes = static_cast<double>(logits.nbytes());
  for (const bool gradient : {true, false}) {
    const double time = microseconds([&] {
      check_launch(
          cuda().cross_entropy(cuda_dtype(logits), logits.data_ptr(), v, rows.targets_k.data_ptr<std::int64_t>(),
                               rows.weights_k.data_ptr<float>(), 1, gradient ? logits.data_ptr() : nullptr,
                               log_p.data_ptr<float>(), sum.data_ptr<double>(), k, v, stream_of(gpu)),
          "cross_entropy");
    });
    print_rate("cross_entropy " + std::to_string(k) + "x" + std::to_string(v) + (gradient ? "" : " log p alone"),
               c10::toString(dtype), gradient ? 2 * bytes : bytes, time);
  }
}

void decode(std::int64_t r, std::int64_t length, std::int64_t h, std::int64_t g, std::int64_t e) {
  const at::Tensor k = random_on_gpu({r, g, length, e}), v = random_on_gpu({r, g, length, e});
  const at::Tensor q = random_on_gpu({r, h, e});
  const at::Tensor lengths =
      to_device(std::vector<std::int32_t>(static_cast<size_t>(r), static_cast<std::int32_t>(length)), gpu);
  const double time = microseconds([&] { decode_attention(q, k, v, lengths, length, 0); });
  print_rate("decode " + std::to_string(r) + "x" + std::to_string(length) + " h" + std::to_string(h) + " g" +
                 std::to_string(g) + " e" + std::to_string(e),
             "bf16", static_cast<double>(k.nbytes() + v.nbytes()), time);
}

void sampling(std::int64_t r, std::int64_t v, double temperature, std::int64_t top_k, double top_p) {
  const at::Tensor logits = random_on_gpu({r, v}, 2.5);
  const at::Tensor uniform = at::empty({r}, logits.options().dtype(at::kDouble)).uniform_();
  const double time = microseconds([&] { sample_tokens(logits, uniform, temperature, top_k, top_p); });
  print_rate("sample " + std::to_string(r) + "x" + std::to_string(v) + " t " +
                 std::to_string(temperature).substr(0, 3) + " k " + std::to_string(top_k) + " p " +
                 std::to_string(top_p).substr(0, 4),
             "bf16", static_cast<double>(logits.nbytes()), time);
}

void attention(const std::string& name, const std::vector<std::int64_t>& lengths, std::int64_t h, std::int64_t g,
               std::int64_t e) {
  std::vector<std::int64_t> starts{0};
  double pairs = 0;
  for (const std::int64_t length : lengths) {
    starts.push_back(starts.back() + length);
    pairs += static_cast<double>(length) * static_cast<double>(length) / 2;
  }
  const std::int64_t n = starts.back();
  const PackedSequences sequences(starts, gpu);
  const at::Tensor q = random_on_gpu({n, h, e}), k = random_on_gpu({n, g, e}), v = random_on_gpu({n, g, e}),
                   dout = random_on_gpu({n, h, e});
  const double forward = microseconds([&] { attention_forward(q, k, v, sequences, 0); });
  const AttentionOutput saved = attention_forward(q, k, v, sequences, 0);
  double backward[2];
  for (const bool deterministic : {false, true}) {
    at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
    backward[deterministic] = microseconds([&] { attention_backward(dout, q, k, v, saved, sequences, 0); });
  }
  at::globalContext().setDeterministicAlgorithms(false, false);
  std::printf("%-44s forward %.1f us (%.0f TFLOP/s), backward %.1f us, deterministic %.1f us  ratio %.3f\n",
              ("attention " + name).c_str(), forward, 4 * pairs * static_cast<double>(h * e) / forward * 1e-6,
              backward[0], backward[1], backward[1] / backward[0]);
  std::fflush(stdout);
}

TEST(CudaInferenceBench, OfInference) {
  if (std::getenv("STEERLM_BENCH") == nullptr) GTEST_SKIP() << "STEERLM_BENCH is not set";
  STEERLM_NEEDS_GPU();
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  loss(8192, 4096, 131072);
  loss(16384, 2048, 128256);
  loss(16384, 576, 49152);
  cross_entropy(4096, 131072, at::kBFloat16);
  cross_entropy(4096, 128256, at::kBFloat16);
  cross_entropy(8192, 49152, at::kBFloat16);
  cross_entropy(8192, 32000, at::kBFloat16);
  cross_entropy(4096, 50257, at::kBFloat16);
  cross_entropy(2048, 128256, at::kFloat);
  release_free_memory(gpu);
  decode(64, 1024, 32, 8, 64);
  decode(64, 1024, 9, 3, 64);
  decode(8, 1024, 32, 8, 64);
  decode(64, 4096, 32, 8, 128);
  decode(16, 8192, 64, 8, 128);
  for (const std::int64_t v : {49152, 128256}) {
    sampling(64, v, 0, 0, 1);
    sampling(64, v, 1, 0, 1);
    sampling(64, v, 0.7, 0, 0.9);
    sampling(64, v, 0.7, 50, 0.9);
  }
  attention("h32 g8 e64, 16 x 1,000", std::vector<std::int64_t>(16, 1000), 32, 8, 64);
  std::vector<std::int64_t> skewed(41, 100);
  skewed[0] = 12'000;
  attention("h32 g8 e64, 1 x 12,000 + 40 x 100", skewed, 32, 8, 64);
  attention("h9 g3 e64, 64 x 250", std::vector<std::int64_t>(64, 250), 9, 3, 64);
}

}  // namespace
}  // namespace steerlm
