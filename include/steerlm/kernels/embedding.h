#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

// y[i] = w[ids[i]]; ids_n int64, each in [0, v): on a GPU nothing checks that they are.
at::Tensor embedding_forward(const at::Tensor& ids_n, const at::Tensor& w_vd);

// dw[ids[i]] += dy[i], dw_vd in fp32 (fp64 for fp64). Summed in token order on a CPU, whatever the number of threads;
// on a GPU the sum of a token's rows is cut at places that n and the ids alone decide, so that two runs give the same
// bits.
void embedding_backward(const at::Tensor& dy_nd, const at::Tensor& ids_n, at::Tensor& dw_vd);

}  // namespace steerlm
