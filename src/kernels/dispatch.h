// Calls a generic lambda with a value of the element type of `tensor`; ends in a throw, so that no dtype is silently
// passed over.
#pragma once

#include <ATen/core/Tensor.h>

#include <stdexcept>
#include <string>

namespace steerlm {

// What sums are kept in: fp32, and fp64 for fp64.
template <class T>
using Accumulate = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class Function>
void dispatch_dtype(const at::Tensor& tensor, Function&& function) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return function(float{});
    case at::kBFloat16:
      return function(at::BFloat16{});
    case at::kDouble:
      return function(double{});
    default:
      throw std::logic_error(std::string("no kernel for dtype ") + c10::toString(tensor.scalar_type()));
  }
}

inline at::ScalarType accumulate_dtype(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Programmer errors: wrong shapes between our own functions.
inline void require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

// Rows a thread takes at least: about 16k elements, below which starting a thread costs more than it saves.
inline std::int64_t grain(std::int64_t width) {
  return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, width));
}

}  // namespace steerlm
