// Kernels on a GPU: the fixture, and cases that are both tested and measured. A case is one call of our own functions,
// which take tensors of either device: the same call on the CPU in fp64 is what is right, and on the CPU in the same
// dtype what the error may be compared with (composition.h holds that one to ATen's operations).
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/composition.h"
#include "kernels/cuda_call.h"
#include "steerlm/kernels/device.h"

namespace steerlm {

inline const at::Device gpu{at::kCUDA, 0};

// Empty where there is a GPU to test on, otherwise why there is none.
inline std::string no_gpu() {
  if (std::string missing = open_cuda(); !missing.empty()) return missing;
  return cuda_cards().missing;
}

#define STEERLM_NEEDS_GPU()                                     \
  if (const std::string missing = no_gpu(); !missing.empty()) { \
    GTEST_SKIP() << "no GPU: " << missing;                      \
  }

class CudaKernels : public ::testing::Test {
 protected:
  void SetUp() override { STEERLM_NEEDS_GPU(); }
};

struct Input {
  std::vector<std::int64_t> shape;
  bool wide = false;      // fp32 where the case is bf16
  bool positive = false;  // absolute values
};

using Tensors = std::vector<at::Tensor>;

struct Case {
  std::string name;
  std::vector<Input> inputs;
  at::Tensor ids;  // int64 on the CPU, or undefined
  // May change its inputs.
  std::function<Tensors(const Tensors& inputs, const at::Tensor& ids)> run;
  // What the formula reads and writes, for elements of this many bytes.
  std::function<double(double size)> bytes;
  double factor = 2;       // of the error on the CPU
  std::int64_t terms = 0;  // normal numbers that an element is the sum of: what they cancel to says nothing of rounding
  bool exact = false;
  bool fp32_only = false;
};

// Random inputs on the GPU. `shift`: they begin one element behind a multiple of 16 bytes.
inline Tensors inputs_of(const Case& c, at::ScalarType dtype, bool shift) {
  Tensors inputs;
  for (const Input& input : c.inputs) {
    std::int64_t count = 1;
    for (const std::int64_t size : input.shape) count *= size;
    const at::ScalarType kept = input.wide ? at::kFloat : dtype;
    const at::Tensor flat = at::empty({count + 1}, at::TensorOptions().dtype(kept).device(gpu)).normal_();
    if (input.positive) flat.abs_();
    inputs.push_back(flat.narrow(0, shift ? 1 : 0, count).view(input.shape));
  }
  return inputs;
}

// Copies that lie as the given ones do with regard to 16 bytes.
inline Tensors copies_of(const Tensors& inputs) {
  Tensors copies;
  for (const at::Tensor& input : inputs) {
    const at::Tensor flat = at::empty({input.numel() + 1}, input.options());
    const auto shift = input.storage_offset();
    copies.push_back(flat.narrow(0, shift, input.numel()).view(input.sizes()).copy_(input));
  }
  return copies;
}

inline Tensors on_cpu(const Tensors& inputs, bool in_fp64) {
  Tensors moved;
  for (const at::Tensor& input : inputs) {
    const at::Tensor host = input.cpu().clone();
    moved.push_back(in_fp64 ? host.to(at::kDouble) : host);
  }
  return moved;
}

// What changes of the inputs by their own rounding, in fp64, make of each output: its distance and its largest element,
// the most of eight tries. An output that its terms have nearly cancelled to is no measure of how they were rounded.
inline std::vector<std::pair<double, double>> sensitivity(const Case& c, const Tensors& inputs, const Tensors& exact) {
  std::vector<std::pair<double, double>> most(exact.size());
  for (int attempt = 0; attempt < 8; ++attempt) {
    Tensors near = on_cpu(inputs, true);
    for (const at::Tensor& x : near) x.mul_(at::empty_like(x).normal_().sign_().mul_(0x1p-22).add_(1));
    const Tensors outputs = c.run(near, c.ids);
    for (size_t i = 0; i < exact.size(); ++i) {
      if (exact[i].numel() == 0) continue;
      const at::Tensor change = outputs[i].to(at::kDouble) - exact[i].to(at::kDouble);
      most[i].first = std::max(most[i].first, change.norm().item<double>());
      most[i].second = std::max(most[i].second, change.abs().max().item<double>());
    }
  }
  return most;
}

inline double largest(const at::Tensor& x) { return x.numel() == 0 ? 0 : x.abs().max().item<double>(); }

// Right as a whole, and no element far off; and the same bits in two runs.
inline void expect_right(const Case& c, at::ScalarType dtype, bool shift) {
  const std::string title = c.name + " " + c10::toString(dtype) + (shift ? " shifted" : "");
  SCOPED_TRACE(title);
  const Tensors inputs = inputs_of(c, dtype, shift);
  const at::Tensor ids = c.ids.defined() ? c.ids.to(gpu) : c.ids;
  const Tensors ours = c.run(copies_of(inputs), ids), again = c.run(copies_of(inputs), ids);
  const Tensors composed = c.run(on_cpu(inputs, false), c.ids), exact = c.run(on_cpu(inputs, true), c.ids);
  ASSERT_EQ(ours.size(), exact.size());
  double elements = 0;
  for (const at::Tensor& input : inputs) elements += static_cast<double>(input.numel());
  // Of many elements the errors' mean is what counts, which no draw makes small.
  const auto sensitive = elements < 1000 && !c.exact ? sensitivity(c, inputs, exact)
                                                     : std::vector<std::pair<double, double>>(exact.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    const std::string name = title + " output " + std::to_string(i);
    EXPECT_TRUE(at::equal(ours[i], again[i])) << name << ": two runs differ";
    const at::Tensor host = ours[i].cpu().contiguous();
    ASSERT_EQ(host.sizes(), composed[i].sizes()) << name;
    ASSERT_EQ(host.scalar_type(), composed[i].scalar_type()) << name;
    if (c.exact) {
      EXPECT_TRUE(at::equal(host, composed[i])) << name;
      continue;
    }
    if (host.numel() == 0) continue;
    const at::Tensor wide = host.to(at::kDouble), wanted = exact[i].to(at::kDouble);
    EXPECT_TRUE(std::isfinite(largest(wide))) << name;
    const double unit = host.scalar_type() == at::kBFloat16 ? 0x1p-8
                        : host.scalar_type() == at::kFloat  ? 0x1p-22
                                                            : 1e-12;
    const double error = distance(host, wanted), bar = distance(composed[i], wanted);
    const double of_terms = std::sqrt(static_cast<double>(c.terms));
    const double size = std::max(wanted.norm().item<double>(), of_terms * std::sqrt(static_cast<double>(host.numel())));
    EXPECT_LE(error, std::max({c.factor * bar, c.factor * sensitive[i].first, unit * size})) << name;
    const double furthest = largest(wide - wanted), its_bar = largest(composed[i].to(at::kDouble) - wanted);
    EXPECT_LE(furthest, c.factor * std::max(its_bar, sensitive[i].second) + unit * std::max(largest(wanted), of_terms))
        << name << ": an element";
  }
}

// Median microseconds of 20 calls after 5, by events between them.
inline double microseconds(const std::function<void()>& call) {
  const c10::Stream stream = c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(gpu);
  for (int i = 0; i < 5; ++i) call();
  std::vector<c10::Event> events;
  for (int i = 0; i <= 20; ++i) events.emplace_back(c10::DeviceType::CUDA, c10::EventFlag::BACKEND_DEFAULT);
  events[0].record(stream);
  for (size_t i = 1; i < events.size(); ++i) {
    call();
    events[i].record(stream);
  }
  check_launch(cuda().synchronize(stream_of(gpu)), "synchronize");
  std::vector<double> times;
  for (size_t i = 1; i < events.size(); ++i) times.push_back(1000 * events[i - 1].elapsedTime(events[i]));
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return times[10];
}

// One line: name with shape, dtype, microseconds, GB/s, and the rate in shares of that of a copy of as many bytes.
inline void print_rate(const std::string& name, const char* dtype, double bytes, double time) {
  const auto half = static_cast<std::int64_t>(bytes / 2);
  const at::Tensor from = at::empty({half}, at::TensorOptions().dtype(at::kByte).device(gpu)).fill_(1),
                   to = at::empty_like(from);
  const double copy = microseconds([&] { to.copy_(from); });
  std::printf("%-44s %-8s %10.1f us %7.0f GB/s %5.2f of a copy\n", name.c_str(), dtype, time, bytes / time * 1e-3,
              copy / time);
  std::fflush(stdout);
}

inline void measure(const Case& c, at::ScalarType dtype) {
  const Tensors inputs = inputs_of(c, dtype, false);
  const at::Tensor ids = c.ids.defined() ? c.ids.to(gpu) : c.ids;
  const double time = microseconds([&] { c.run(inputs, ids); });
  print_rate(c.name, c10::toString(dtype), c.bytes(dtype == at::kBFloat16 ? 2 : 4), time);
}

}  // namespace steerlm
