#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

// y[i] = w[ids[i]]; ids_n int64, each in [0, v).
at::Tensor embedding_forward(const at::Tensor& ids_n, const at::Tensor& w_vd);

// dw[ids[i]] += dy[i], summed in token order (no atomics: the same bits for every number of threads).
void embedding_backward(const at::Tensor& dy_nd, const at::Tensor& ids_n, at::Tensor& dw_vd);

}  // namespace steerlm
