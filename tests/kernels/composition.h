// What a kernel is held against: the same formula as a composition of ATen's operations, in fp64 and, with autograd,
// its gradients. A kernel may be off by twice as much as the composition in its own dtype is, a gradient three times.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "steerlm/core/rng.h"
#include "support/tensor_operators.h"

namespace steerlm {

// Normal numbers times `scale`, the same on every machine.
inline at::Tensor random_tensor(const std::vector<std::int64_t>& shape, const std::string& name, double scale = 1) {
  at::Tensor tensor = at::empty(shape, at::kDouble);
  double* data = tensor.mutable_data_ptr<double>();
  Rng rng(17, name, 0);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) data[i] = scale * rng.normal();
  return tensor;
}

struct Composed {
  at::Tensor out;
  std::vector<at::Tensor> gradients;  // of sum(out * dout), one an input
};
using Composition = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

inline Composed compose(const Composition& f, const std::vector<at::Tensor>& inputs, const at::Tensor& dout,
                        at::ScalarType dtype) {
  at::AutoGradMode enabled(true);
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.to(dtype).clone().set_requires_grad(true));
  const at::Tensor out = f(leaves);
  out.backward(dout.to(out.scalar_type()));
  Composed composed{out.detach(), {}};
  for (const at::Tensor& leaf : leaves) composed.gradients.push_back(leaf.grad());
  return composed;
}

inline double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).norm().item<double>();
}

// `factor` times the error of ATen's composition; fp64 has nothing to be compared with but its own rounding.
inline void expect_as_accurate(const at::Tensor& ours, const at::Tensor& composed, const at::Tensor& exact,
                               double factor, const std::string& name) {
  ASSERT_EQ(ours.sizes(), exact.sizes()) << name;
  const double size = exact.norm().item<double>(), error = distance(ours, exact);
  if (ours.scalar_type() == at::kDouble) {
    EXPECT_LE(error, 1e-13 * size) << name;
  } else {
    // Of a few numbers the composition's error may be small by luck: a unit in the last place is allowed.
    const double unit = ours.scalar_type() == at::kBFloat16 ? 0x1p-8 : 0x1p-23;
    EXPECT_LE(error, std::max(factor * distance(composed, exact), unit * size))
        << name << ": relative error " << error / size;
  }
}

// The kernel's numbers of inputs that are rounded to `dtype`: forward, and a gradient for each input that has one.
struct KernelNumbers {
  at::Tensor out;
  std::vector<at::Tensor> gradients;
};
using Kernel = std::function<KernelNumbers(const std::vector<at::Tensor>& inputs, const at::Tensor& dout)>;

inline void expect_equals_composition(const Kernel& kernel, const Composition& f, const std::vector<at::Tensor>& inputs,
                                      const at::Tensor& dout, const std::string& name) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
    std::vector<at::Tensor> rounded;
    for (const at::Tensor& input : inputs) rounded.push_back(input.to(dtype));
    const at::Tensor dout_rounded = dout.to(dtype);
    const KernelNumbers ours = kernel(rounded, dout_rounded);
    const Composed exact = compose(f, rounded, dout_rounded, at::kDouble),
                   composed = compose(f, rounded, dout_rounded, dtype);
    const std::string title = name + " " + c10::toString(dtype);
    expect_as_accurate(ours.out, composed.out, exact.out, 2, title + " forward");
    for (size_t i = 0; i < ours.gradients.size(); ++i) {
      expect_as_accurate(ours.gradients[i], composed.gradients[i], exact.gradients[i], 3,
                         title + " gradient " + std::to_string(i));
    }
  }
}

// fp32 for bf16: what the gradients of weights are summed in.
inline at::Tensor zero_sum_of(const at::Tensor& weight) {
  return at::empty(weight.sizes(), weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).zero_();
}

}  // namespace steerlm
