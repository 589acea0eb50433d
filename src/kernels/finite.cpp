#include "steerlm/kernels/finite.h"

#include <ATen/Parallel.h>

#include <atomic>

#include "kernels/dispatch.h"

namespace steerlm {
namespace {

// A number whose exponent bits are all set is NaN or infinite. Integers alone: no instruction set rounds them.
template <class Bits>
bool any_exponent_full(const Bits* bits, std::int64_t count, Bits exponent) {
  Bits found = 0;
  for (std::int64_t i = 0; i < count; ++i) found |= static_cast<Bits>((bits[i] & exponent) == exponent);
  return found != 0;
}

template <class Bits>
bool all_exponents_free(const at::Tensor& tensor, Bits exponent) {
  const Bits* bits = static_cast<const Bits*>(tensor.const_data_ptr());
  std::atomic<bool> finite = true;
  at::parallel_for(0, tensor.numel(), 1 << 18, [&](std::int64_t begin, std::int64_t end) {
    if (any_exponent_full(bits + begin, end - begin, exponent)) finite = false;
  });
  return finite;
}

}  // namespace

bool all_finite(const at::Tensor& given) {
  const at::Tensor tensor = given.contiguous();
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return all_exponents_free<std::uint32_t>(tensor, 0x7f800000u);
    case at::kBFloat16:
      return all_exponents_free<std::uint16_t>(tensor, 0x7f80u);
    case at::kHalf:
      return all_exponents_free<std::uint16_t>(tensor, 0x7c00u);
    case at::kDouble:
      return all_exponents_free<std::uint64_t>(tensor, 0x7ff0000000000000u);
    default:
      throw std::logic_error(std::string("all_finite: no kernel for dtype ") + c10::toString(tensor.scalar_type()));
  }
}

}  // namespace steerlm
