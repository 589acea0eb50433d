// Calls of the CUDA library's launchers from the kernels: its table, ATen's current stream, and a thrown error.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/dispatch.h"
#include "kernels/table.h"

namespace steerlm {

// The table of the library that open_cuda opened; throws std::logic_error before that.
const SteerlmCudaTable& cuda();
// ATen's current stream of the device.
void* stream_of(at::Device device);
// Throws c10::Error-free std::runtime_error with the launcher's name and CUDA's words where status is not 0.
void check_launch(int status, const char* name);
// Fp32 or bf16; throws std::logic_error for others.
int cuda_dtype(const at::Tensor& tensor);

// Throws std::logic_error with `what` unless all of them that are defined are on the device of the first.
template <class... Tensors>
void require_one_device(const char* what, const at::Tensor& first, const Tensors&... others) {
  require((... && (!others.defined() || others.device() == first.device())), what);
}

}  // namespace steerlm
