// What a decode step runs on a GPU, against the CPU's: attention to the cache and its writing, sampling, and a recorded
// step. Each call is made twice and gives equal bits.
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cuda_cases.h"
#include "steerlm/kernels/attention.h"
#include "steerlm/kernels/sampling.h"

namespace steerlm {
namespace {

class CudaDecode : public CudaKernels {};

at::TensorOptions on_gpu(at::ScalarType dtype) { return at::TensorOptions().dtype(dtype).device(gpu); }
constexpr at::ScalarType both[] = {at::kFloat, at::kBFloat16};
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST_F(CudaDecode, AttentionOfEveryLengthAndShape) {
  const std::vector<std::int32_t> lengths{0, 1, 511, 512, 513, 5000, 37};
  constexpr std::int64_t capacity = 5003;
  const auto r = static_cast<std::int64_t>(lengths.size());
  const at::Tensor lengths_cpu = to_device(lengths, at::kCPU), lengths_gpu = to_device(lengths, gpu);
  struct Heads {
    std::int64_t h, g, e;
  };
  for (const auto& [h, g, e] : {Heads{2, 2, 64},
                                {4, 2, 64},
                                {9, 3, 64},
                                {8, 2, 64},
                                {6, 1, 64},
                                {8, 1, 64},
                                {16, 1, 64},
                                {19, 1, 32},
                                {4, 1, 32},
                                {4, 2, 80},
                                {2, 2, 96},
                                {4, 1, 112},
                                {8, 2, 128},
                                {8, 1, 256},
                                {1, 1, 256},
                                {2, 1, 8},
                                {2, 1, 24},
                                {4, 1, 200}}) {
    at::Tensor k = at::empty({r, g, capacity, e}, at::kDouble).normal_(), v = at::empty_like(k).normal_();
    // What is beyond a length may hold anything.
    for (std::int64_t row = 0; row < r; ++row) {
      const std::int64_t length = lengths[row];
      k[row].narrow(1, length, capacity - length).fill_(nan);
      v[row].narrow(1, length, capacity - length).fill_(nan);
    }
    const at::Tensor q = random_tensor({r, h, e}, "q", 2);
    for (const at::ScalarType dtype : both) {
      const at::Tensor q_cpu = q.to(dtype), k_cpu = k.to(dtype), v_cpu = v.to(dtype);
      // q is the front of the rows of a fused projection.
      const at::Tensor fused = at::full({r, (h + 2 * g) * e}, 3.0, on_gpu(dtype));
      const at::Tensor q_gpu = fused.narrow(1, 0, h * e).view({r, h, e}).copy_(q_cpu), k_gpu = k_cpu.to(gpu),
                       v_gpu = v_cpu.to(gpu);
      for (const std::int64_t window : {0, 1, 600, 5000}) {
        if (e != 64 && window == 1) continue;
        const std::string name = "h " + std::to_string(h) + " g " + std::to_string(g) + " e " + std::to_string(e) +
                                 " window " + std::to_string(window) + " " + c10::toString(dtype);
        const at::Tensor composed = decode_attention(q_cpu, k_cpu, v_cpu, lengths_cpu, 5000, window);
        const at::Tensor exact = decode_attention(q_cpu.to(at::kDouble), k_cpu.to(at::kDouble), v_cpu.to(at::kDouble),
                                                  lengths_cpu, 5000, window);
        const at::Tensor ours = decode_attention(q_gpu, k_gpu, v_gpu, lengths_gpu, 5000, window);
        EXPECT_TRUE(at::equal(ours, decode_attention(q_gpu, k_gpu, v_gpu, lengths_gpu, 5000, window))) << name;
        // The bound of the lengths sizes the grid and nothing else.
        EXPECT_TRUE(at::equal(ours, decode_attention(q_gpu, k_gpu, v_gpu, lengths_gpu, 9000, window))) << name;
        const double unit = dtype == at::kBFloat16 ? 0x1p-8 : 1e-6, error = distance(ours.cpu(), exact);
        EXPECT_LE(error, std::max(2 * distance(composed, exact), unit * exact.norm().item<double>())) << name;
        EXPECT_TRUE(ours[0].eq(0).all().item<bool>()) << name;
        // A row by itself, of the short ones with the bound of their own: the same bits.
        for (const std::int64_t row : {1, 2, 4, 6}) {
          const at::Tensor alone =
              decode_attention(q_gpu.narrow(0, row, 1), k_gpu.narrow(0, row, 1), v_gpu.narrow(0, row, 1),
                               lengths_gpu.narrow(0, row, 1), lengths[row], window);
          EXPECT_TRUE(at::equal(alone[0], ours[row])) << name << " row " << row;
        }
      }
    }
  }
  const at::Tensor nothing = at::zeros({0, 4, 64}, on_gpu(at::kFloat)),
                   cache = at::zeros({2, 2, 8, 64}, nothing.options());
  EXPECT_EQ(decode_attention(nothing, cache, cache, at::zeros({0}, on_gpu(at::kInt)), 0, 0).numel(), 0);
}

TEST_F(CudaDecode, CacheBeyondFourGigabytes) {
  constexpr std::int64_t r = 70, g = 8, t = 65536, e = 64, h = 32, length = 3000;
  if (free_gpu_bytes(gpu) < std::int64_t{30} << 30) GTEST_SKIP() << "less than 30 GB are free";
  at::Tensor k = at::empty({r, g, t, e}, on_gpu(at::kBFloat16)), v = at::empty_like(k);
  at::Tensor k_small = at::zeros({1, g, 4096, e}, k.options()), v_small = at::zeros_like(k_small);
  std::vector<std::int32_t> slots(length, r - 1), zeros(length, 0), positions(length);
  std::iota(positions.begin(), positions.end(), 0);
  const at::Tensor k_rows = random_tensor({length, g, e}, "k").to(at::kBFloat16).to(gpu),
                   v_rows = random_tensor({length, g, e}, "v").to(at::kBFloat16).to(gpu);
  cache_write(k_rows, v_rows, to_device(slots, gpu), to_device(positions, gpu), k, v);
  cache_write(k_rows, v_rows, to_device(zeros, gpu), to_device(positions, gpu), k_small, v_small);
  const at::Tensor q = at::zeros({r, h, e}, k.options());
  q[r - 1].copy_(random_tensor({h, e}, "q").to(at::kBFloat16));
  std::vector<std::int32_t> lengths(r, 0);
  lengths[r - 1] = length;
  const at::Tensor ours = decode_attention(q, k, v, to_device(lengths, gpu), length, 0);
  const at::Tensor small = decode_attention(q.narrow(0, r - 1, 1), k_small, v_small,
                                            to_device(std::vector<std::int32_t>{length}, gpu), length, 0);
  EXPECT_TRUE(at::equal(ours[r - 1], small[0]));
  release_free_memory(gpu);
}

TEST_F(CudaDecode, CacheIsWrittenWhereItIsSaid) {
  constexpr std::int64_t n = 6, r = 4, g = 3, t = 11, e = 40;
  const std::vector<std::int32_t> slots{3, 0, 2, 1, 3, 0}, positions{0, 10, -1, 5, 10, 3};
  for (const at::ScalarType dtype : both) {
    const at::Tensor rows = random_tensor({n, 2 * g * e + 16}, "kv").to(dtype);
    at::Tensor caches[2][2];
    for (const bool card : {false, true}) {
      const at::Device device = card ? gpu : at::Device(at::kCPU);
      const at::Tensor there = rows.to(device), k = there.narrow(1, 16, g * e).view({n, g, e}),
                       v = there.narrow(1, 16 + g * e, g * e).view({n, g, e});
      for (at::Tensor& cache : caches[card]) cache = at::full({r, g, t, e}, 9.0, there.options());
      cache_write(k, v, to_device(slots, device), to_device(positions, device), caches[card][0], caches[card][1]);
    }
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(at::equal(caches[1][i].cpu(), caches[0][i])) << c10::toString(dtype);
  }
}

// The CPU's loops take exponentials in fp32, within 2 units in the last place (kernels/exp.h), the card's in fp64.
// Relative, of a sum of exponentials, and of one at a temperature, which multiplies what rounding does to the exponent
// (row_loops_test.cpp holds the loops to these).
constexpr double sum_error = 1e-7, sharpened_error = 2e-6;

// Whether the draw or the cut of top-p is so near to a sum of probabilities that rounding decides.
bool near_a_sum(const std::vector<float>& logits, double temperature, std::int64_t top_k, double top_p,
                double uniform) {
  std::vector<double> weights;
  const double most = static_cast<double>(*std::ranges::max_element(logits));
  for (const float logit : logits) weights.push_back(std::exp((static_cast<double>(logit) - most) / temperature));
  std::ranges::sort(weights, std::greater());
  if (top_k > 0 && top_k < static_cast<std::int64_t>(weights.size())) weights.resize(static_cast<size_t>(top_k));
  double kept = std::accumulate(weights.begin(), weights.end(), 0.0);
  const auto near = [&](double wanted) {
    double sum = 0, nearest = wanted;
    for (const double weight : weights) nearest = std::min(nearest, std::abs((sum += weight) - wanted));
    return nearest <= sharpened_error * kept;
  };
  if (top_p < 1) {
    if (near(top_p * kept)) return true;
    double prefix = 0;
    size_t count = 0;
    while (count < weights.size() && (count == 0 || prefix < top_p * kept)) prefix += weights[count++];
    weights.resize(count);
    kept = prefix;
  }
  return near(uniform * kept);
}

struct Filters {
  double temperature;
  std::int64_t top_k;
  double top_p;
};
void expect_same_tokens(const at::Tensor& logits_rv, const std::vector<double>& uniform, const Filters& f,
                        const std::string& name) {
  const at::Tensor host = logits_rv.cpu().to(at::kFloat);
  const SampledTokens wanted = sample_tokens(host, to_device(uniform, at::kCPU), f.temperature, f.top_k, f.top_p);
  const at::Tensor draws = to_device(uniform, gpu);
  const SampledTokens ours = sample_tokens(logits_rv, draws, f.temperature, f.top_k, f.top_p);
  const SampledTokens again = sample_tokens(logits_rv, draws, f.temperature, f.top_k, f.top_p);
  EXPECT_TRUE(at::equal(ours.ids_r, again.ids_r) && at::equal(ours.logprobs_r, again.logprobs_r)) << name;
  const at::Tensor ids = ours.ids_r.cpu(), log_p = ours.logprobs_r.cpu();
  int wrong = 0;
  for (std::int64_t row = 0; row < host.size(0) && wrong < 3; ++row) {
    const auto id = ids[row].item<std::int32_t>(), cpu_id = wanted.ids_r[row].item<std::int32_t>();
    if (id == cpu_id) {
      EXPECT_NEAR(log_p[row].item<double>(), wanted.logprobs_r[row].item<double>(), sum_error) << name;
      continue;
    }
    const float* logits = host.const_data_ptr<float>() + row * host.size(1);
    const std::vector<float> line(logits, logits + host.size(1));
    if (f.temperature > 0 && near_a_sum(line, f.temperature, f.top_k, f.top_p, uniform[row])) continue;
    ++wrong;
    ADD_FAILURE() << name << " row " << row << " temperature " << f.temperature << " top_k " << f.top_k << " top_p "
                  << f.top_p << " draw " << uniform[row] << ": " << id << " for " << cpu_id;
  }
}

std::vector<double> draws_of(std::int64_t count) {
  std::vector<double> uniform;
  Rng rng(4, "draws", 0);
  for (std::int64_t i = 0; i < count; ++i) uniform.push_back(rng.uniform());
  if (count > 2) uniform[0] = 0, uniform[1] = std::nextafter(1.0, 0.0);
  return uniform;
}

TEST_F(CudaDecode, SamplingGivesTheTokensOfTheCpu) {
  const std::vector<Filters> filters{
      {0, 0, 1},     {1, 0, 1},    {1, 1, 1},        {1, 7, 1},     {1, 0, 0.9},
      {1, 0, 0},     {0.3, 50, 1}, {2.5, 20, 0.8},   {0.7, 0, 0.5}, {1, 100'000'000, 0.95},
      {100, 0, 0.7}, {1e-3, 3, 1}, {0.05, 900, 0.9}, {1, 5, 0.05}};
  const std::vector<double> uniform = draws_of(2000);
  for (const bool tied : {false, true}) {
    // Rows of 1,003 elements of an fp32 begin anywhere with regard to 16 bytes.
    at::Tensor line = random_tensor({1003}, "logits", 3);
    if (tied) line = line.mul(2).round().div(2);
    for (const at::ScalarType dtype : both) {
      const at::Tensor logits = line.to(dtype).to(gpu).expand({2000, 1003}).contiguous();
      for (const Filters& f : filters) expect_same_tokens(logits, uniform, f, tied ? "tied" : "random");
    }
  }
  const std::vector<double> few = draws_of(24);
  for (const std::int64_t v : {1, 2, 5, 50, 4096, 49152, 128256}) {
    at::Tensor rows = random_tensor({24, v}, "rows", 2.5);
    rows[3].fill_(-1.5);                      // all are tied
    rows[4] = rows[4].mul(4).round().div(4);  // many are
    rows[5] = rows[5].mul(1e-3);
    rows[6] = rows[6].sign().mul(0.0).mul(rows[7].sign());  // zeros of both signs
    rows[8].mul_(20);
    for (const at::ScalarType dtype : both) {
      for (const Filters& f : filters) {
        if (v > 10'000 && f.temperature != 1) continue;
        expect_same_tokens(rows.to(dtype).to(gpu), few, f, std::to_string(v) + " " + c10::toString(dtype));
      }
    }
  }
  EXPECT_EQ(
      sample_tokens(at::zeros({0, 9}, on_gpu(at::kFloat)), at::zeros({0}, on_gpu(at::kDouble)), 1, 0, 1).ids_r.numel(),
      0);
}

TEST_F(CudaDecode, SamplingOfLogitsThatAreNotFinite) {
  const std::vector<double> bad{nan, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const at::ScalarType dtype : both) {
    at::Tensor rows = random_tensor({10, 3001}, "rows");
    for (std::int64_t i = 0; i < 9; ++i) rows[i][i % 3 == 0 ? 0 : i % 3 == 1 ? 1234 : 3000] = bad[i / 3];
    for (const double temperature : {0.0, 1.0}) {
      const SampledTokens ours =
          sample_tokens(rows.to(dtype).to(gpu), to_device(draws_of(10), gpu), temperature, 40, 0.9);
      const at::Tensor ids = ours.ids_r.cpu(), log_p = ours.logprobs_r.cpu();
      for (std::int64_t i = 0; i < 9; ++i) {
        EXPECT_EQ(ids[i].item<std::int32_t>(), -1) << i;
        EXPECT_TRUE(std::isnan(log_p[i].item<double>())) << i;
      }
      EXPECT_TRUE(ids[9].item<std::int32_t>() >= 0 && std::isfinite(log_p[9].item<double>()));
    }
  }
}

// A recorded step reads what is there at the replay, lengths included; two graphs do not disturb each other.
TEST_F(CudaDecode, ARecordedStepIsReplayedWithNewInputs) {
  constexpr std::int64_t r = 3, h = 4, g = 2, t = 1100, e = 64, v = 500;
  const auto filled = [&](const std::vector<std::int64_t>& shape, const char* name) {
    return random_tensor(shape, name).to(at::kBFloat16).to(gpu);
  };
  at::Tensor k = filled({r, g, t, e}, "k"), values = filled({r, g, t, e}, "v"), q = filled({r, h, e}, "q");
  at::Tensor lengths = to_device(std::vector<std::int32_t>{1, 2, 3}, gpu), logits = filled({r, v}, "logits");
  at::Tensor uniform = to_device(std::vector<double>{0.1, 0.5, 0.9}, gpu);
  const auto step = [&](at::Tensor& out, at::Tensor& ids) {
    out.copy_(decode_attention(q, k, values, lengths, t, 0));
    ids.copy_(sample_tokens(logits, uniform, 1, 0, 0.95).ids_r);
  };
  at::Tensor out[2], ids[2];
  RecordedWork work[2];
  for (int i = 0; i < 2; ++i) {
    out[i] = at::zeros({r, h, e}, q.options());
    ids[i] = at::zeros({r}, on_gpu(at::kInt));
    step(out[i], ids[i]);
    work[i].record(gpu, [&] { step(out[i], ids[i]); });
  }
  for (const int turn : {0, 1, 1, 0}) {
    lengths.add_(250);
    q.add_(0.25);
    logits.mul_(0.5);
    out[turn].zero_();
    ids[turn].fill_(-7);
    work[turn].replay();
    at::Tensor wanted = at::zeros_like(out[turn]), wanted_ids = at::zeros_like(ids[turn]);
    step(wanted, wanted_ids);
    EXPECT_TRUE(at::equal(out[turn], wanted) && at::equal(ids[turn], wanted_ids)) << turn;
  }
}

}  // namespace
}  // namespace steerlm
