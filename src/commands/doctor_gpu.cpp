// The GPU's part of `steerlm doctor`: what the driver tells, and each kernel on the card against the same kernel on the
// CPU.
#include "commands/doctor_gpu.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <utility>

#include "steerlm/kernels/adamw.h"
#include "steerlm/kernels/attention.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/embedding.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/linear_cross_entropy.h"
#include "steerlm/kernels/rms_norm.h"
#include "steerlm/kernels/rope.h"
#include "steerlm/kernels/rows.h"
#include "steerlm/kernels/sampling.h"
#include "steerlm/kernels/swiglu.h"
#include "steerlm/nn/device.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

constexpr std::int64_t n = 1024, d = 512, heads = 8, groups = 2, e = 64, v = 4096;

// Numbers without a pattern that a kernel could share, within -1 … 1.
at::Tensor numbers(at::IntArrayRef shape, double phase) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return at::arange(count, at::kDouble).mul(12.9898).add(phase).sin().mul(43758.5453).sin().view(shape).to(at::kFloat);
}

std::vector<std::int64_t> integers(std::int64_t count, std::int64_t modulus) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(i * 7919 % modulus);
  return values;
}

// A kernel with inputs on a device, which it may change; gives what is to be compared.
struct Check {
  const char* name;
  std::function<at::Tensor(at::Device)> run;
};

std::vector<Check> checks() {
  const auto on = [](at::IntArrayRef shape, double phase, at::Device device) {
    return numbers(shape, phase).to(device);
  };
  const std::vector<std::int64_t> cu_seqlens{0, 1, 300, 1000, n};
  const auto sequences = [=](at::Device device) { return PackedSequences(cu_seqlens, device); };
  const auto angles = [](at::Device device) {
    RopeAngles result{numbers({n, e / 2}, 1), numbers({n, e / 2}, 2)};
    return RopeAngles{result.cos_ne2.to(device), result.sin_ne2.to(device)};
  };
  return {
      {"rms_norm",
       [=](at::Device to) {
         return rms_norm_forward(on({n, d}, 0, to), on({d}, 1, to), 1e-5).y_nd;
       }},
      {"rms_norm backward",
       [=](at::Device to) {
         const at::Tensor x = on({n, d}, 0, to), w = on({d}, 1, to);
         at::Tensor dw = at::zeros({d}, x.options());
         return rms_norm_backward(on({n, d}, 2, to), x, w, rms_norm_forward(x, w, 1e-5).rstd_n, dw).sum(0).add(dw);
       }},
      {"rope",
       [=](at::Device to) {
         at::Tensor x = on({n, heads, e}, 0, to);
         rope_rotate(x, angles(to), false);
         return x;
       }},
      {"swiglu",
       [=](at::Device to) {
         return swiglu_forward(on({n, d}, 0, to), on({n, d}, 1, to));
       }},
      {"swiglu backward",
       [=](at::Device to) {
         return swiglu_backward(on({n, d}, 2, to), on({n, d}, 0, to), on({n, d}, 1, to)).dgate_nf;
       }},
      {"embedding",
       [=](at::Device to) {
         return embedding_forward(to_device(integers(n, v), to), on({v, d}, 0, to));
       }},
      {"embedding backward",
       [=](at::Device to) {
         at::Tensor dw = at::zeros({v, d}, at::TensorOptions(at::kFloat).device(to));
         embedding_backward(on({n, d}, 0, to), to_device(integers(n, 37), to), dw);
         return dw;
       }},
      {"matrix product",
       [=](at::Device to) {
         return linear_forward(on({n, d}, 0, to), on({d, d}, 1, to));
       }},
      {"attention",
       [=](at::Device to) {
         return attention_forward(on({n, heads, e}, 0, to), on({n, groups, e}, 1, to), on({n, groups, e}, 2, to),
                                  sequences(to), 0)
             .out_nhe;
       }},
      {"attention backward",
       [=](at::Device to) {
         const at::Tensor q = on({n, heads, e}, 0, to), k = on({n, groups, e}, 1, to),
                          value = on({n, groups, e}, 2, to);
         const AttentionOutput saved = attention_forward(q, k, value, sequences(to), 0);
         return attention_backward(on({n, heads, e}, 3, to), q, k, value, saved, sequences(to), 0).dk_nge;
       }},
      {"decode attention",
       [=](at::Device to) {
         std::vector<std::int32_t> lengths;
         for (const std::int64_t length : integers(8, n)) lengths.push_back(static_cast<std::int32_t>(length + 1));
         return decode_attention(on({8, heads, e}, 0, to), on({8, groups, n, e}, 1, to), on({8, groups, n, e}, 2, to),
                                 to_device(lengths, to), n, 0);
       }},
      {"linear and cross-entropy",
       [=](at::Device to) {
         const at::Tensor x = on({n, d}, 0, to), w = on({v, d}, 1, to);
         at::Tensor dw = at::zeros_like(w);
         const std::vector<float> weights(n, 1.0f);
         const TargetRows targets = target_rows(integers(n, v), weights, to);
         return linear_cross_entropy(x, w, targets, 1.0 / n, dw).dx_nd.sum(0).add(dw.sum(0));
       }},
      {"AdamW",
       [=](at::Device to) {
         at::Tensor w = on({n * d}, 0, to);
         const at::Tensor g = on({n * d}, 1, to), m = on({n * d}, 2, to), second = on({n * d}, 3, to).abs();
         const at::Tensor loss = to_device(std::vector<double>{1}, to);
         adamw_step(w, g, m, second, {}, {1e-2, 0.1, 0.9, 0.98, 1e-8}, {loss, global_norm(g), 1}, 3);
         return w;
       }},
      {"sampling",
       [=](at::Device to) {
         const std::vector<double> draws{0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 0, 0.25};
         return sample_tokens(on({8, v}, 0, to), to_device(draws, to), 0.7, 50, 0.9).ids_r.to(at::kFloat);
       }},
  };
}

// Largest difference over the largest entry.
double difference(const at::Tensor& gpu, const at::Tensor& cpu) {
  const double largest = cpu.abs().max().item<double>();
  return gpu.cpu().sub(cpu).abs().max().item<double>() / std::max(largest, 1e-30);
}

using Lines = std::vector<std::pair<std::string, std::string>>;

void check_kernel(const Check& check, c10::Device device, Lines& lines, std::vector<Fault>& faults) {
  const at::Tensor wanted = check.run(at::kCPU);
  const double found = difference(check.run(device), wanted);
  constexpr int repeats = 10;
  const auto begin = std::chrono::steady_clock::now();
  at::Tensor last;
  for (int i = 0; i < repeats; ++i) last = check.run(device);
  last.cpu();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / repeats;
  const bool right = found <= 1e-4;  // fp32 on both sides
  lines.emplace_back("", fmt::format("{:<26}{}, difference {:.1e}, {:.2f} ms with its inputs", check.name,
                                     right ? "right" : "WRONG", found, seconds * 1e3));
  if (!right)
    faults.push_back({.what = std::string("a kernel computes something else on the GPU than on the CPU: ") + check.name,
                      .where = device.str(),
                      .found = fmt::format("a relative difference of {:.1e}", found),
                      .expected = "at most 1e-4",
                      .advice = "compute with device: cpu, and report this with the output of 'steerlm doctor'"});
}

}  // namespace

std::vector<std::pair<std::string, std::string>> describe_gpus(std::vector<Fault>& faults) {
  std::vector<std::pair<std::string, std::string>> lines;
  const bool has_driver = machine_has_gpu();
  // Where the machine has a card, a program that cannot use it is a fault; elsewhere it is a fact.
  const auto cannot = [&](const std::string& why, const std::string& advice) {
    lines.emplace_back("cuda", "none: " + why);
    if (has_driver) faults.push_back({.what = "the machine has a GPU that cannot be used: " + why, .advice = advice});
    return lines;
  };
  c10::Device device(c10::DeviceType::CPU);
  try {
    device = choose_device("cuda", "doctor");
  } catch (const Error& refused) {
    const Fault& fault = refused.faults().front();
    return cannot(fault.what, fault.advice);
  }
  const std::vector<Card>& cards = cuda_cards().cards;
  for (size_t i = 0; i < cards.size(); ++i) {
    const Card& card = cards[i];
    lines.emplace_back(
        "cuda:" + std::to_string(i),
        fmt::format("{}, {} multiprocessors, capability {}.{}, {}, driver {}.{}, CUDA {}.{}", card.name,
                    card.multiprocessors, card.capability / 10, card.capability % 10, format_bytes(card.total_bytes),
                    card.driver / 1000, card.driver % 1000 / 10, card.runtime / 1000, card.runtime % 1000 / 10));
  }
  enter_device(device);
  for (const Check& check : checks()) {
    try {
      check_kernel(check, device, lines, faults);
    } catch (const std::exception& error) {
      lines.emplace_back("", fmt::format("{:<26}failed", check.name));
      faults.push_back({.what = std::string("a kernel fails on the GPU: ") + check.name,
                        .where = device.str(),
                        .found = error.what(),
                        .advice = "see whether other programs can use the GPU; compute with device: cpu meanwhile"});
    }
  }
  return lines;
}
}  // namespace steerlm
