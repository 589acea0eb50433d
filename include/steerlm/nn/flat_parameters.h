// Parameters of one dtype that are ranges of one tensor: an update, a norm or a copy is one pass over it.
#pragma once

#include "steerlm/nn/parameters.h"

namespace steerlm {

// The parameters of two or more dimensions come first, in for_each_parameter's order, then the others: weight decay
// holds for the elements 0 … decayed - 1. Each begins at a multiple of 128 elements, which is a multiple of 256 bytes
// in bf16 too; what lies between is 0, and stays 0 under AdamW.
struct FlatParameters {
  at::Tensor flat;           // (elements)
  std::int64_t decayed = 0;  // elements
  Parameters views;
};

// Zeros for the parameters that `like` has.
FlatParameters flat_zeros(const Parameters& like, at::ScalarType dtype, at::Device device);
// Their values in `dtype`. The tensors of `values` are let go one by one, so that both are never there as a whole.
FlatParameters flatten(Parameters values, at::ScalarType dtype, at::Device device);

}  // namespace steerlm
