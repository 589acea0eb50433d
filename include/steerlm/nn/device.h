// Where and in what numbers the program computes: the one place that decides it.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

#include "steerlm/nn/options.h"

namespace steerlm {

// The device of this name: auto (a GPU where there is one that works, otherwise the CPU), cpu, cuda or cuda:N. A GPU is
// made ready: deterministic algorithms, no TF32, no sums in bf16, and the settings that CUDA reads at its start. So it
// has to be asked before anything of ATen touches CUDA. Throws resources at `where` for a GPU that cannot be used:
// nothing is substituted silently.
c10::Device choose_device(const std::string& device, const std::string& where);

// Whether the machine shows a GPU: its driver's device file is there, and CUDA_VISIBLE_DEVICES does not hide all.
bool machine_has_gpu();

// Makes it the device of this thread, and with that a context on the card; before the first tensor there.
void enter_device(c10::Device device);

// Throws resources for a model that no GPU kernel computes; `where` names it.
void check_computable(const ModelConfig& config, c10::Device device, const std::string& where);

// Why `auto` is the CPU although the machine has a card; empty where it has none, or the card is used.
std::string why_no_gpu();

// Device and precision together, `auto` of both settled.
struct Computing {
  c10::Device device;
  Precision precision;
};
Computing choose_computing(const std::string& device, Precision precision, const std::string& where);

// What is said of the device in logs: the name of the card, or "cpu".
std::string device_name(c10::Device device);

// Has this processor instructions for products in bf16 (AVX512-BF16 or AMX)? Without them fp32 is faster.
bool has_bf16_products();

// The dtype of weights and activations. `precision` is settled.
at::ScalarType compute_dtype(Precision precision);

}  // namespace steerlm
