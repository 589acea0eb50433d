#include "steerlm/nn/device.h"

#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <vector>

#include "steerlm/core/error.h"
#include "steerlm/kernels/device.h"

namespace steerlm {
namespace {

constexpr std::int64_t least_capability = 80;  // bf16 products and FlashAttention-2

// What CUDA, cuBLAS and ATen's allocator read once, at their first use.
void set_environment() {
  // ATen gives each handle and stream of cuBLAS a workspace of its own, which makes products deterministic, and of one
  // size for a card. Another size chooses other algorithms; and where this is set, to whatever, ATen 2.11 takes it
  // apart with a regular expression at every product, which is half of a small model's time on the host.
  ::unsetenv("CUBLAS_WORKSPACE_CONFIG");
  ::setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True", 0);
  ::unsetenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE");
  ::unsetenv("NVIDIA_TF32_OVERRIDE");
}

void set_arithmetic() {
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);
  context.setAllowBF16ReductionCuBLAS(/*allow_reduced_precision=*/false, /*allow_split_k=*/true);
  context.setFloat32MatmulPrecision("highest");
}

std::string reason_for_cpu;

std::string version_text(std::int64_t version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

// What keeps the card from being used; empty: nothing.
std::string fault_of(const Card& card) {
  if (!card.fault.empty()) return card.fault;
  if (card.capability < least_capability)
    return fmt::format("{} has compute capability {}.{}, {}.{} is needed", card.name, card.capability / 10,
                       card.capability % 10, least_capability / 10, least_capability % 10);
  return "";
}

}  // namespace

bool machine_has_gpu() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && (*visible == 0 || std::string_view(visible) == "-1")) return false;
  std::error_code error;
  return std::filesystem::exists("/dev/nvidiactl", error) || std::filesystem::exists("/dev/dxg", error);  // dxg: WSL
}

void enter_device(c10::Device device) {
  if (device.is_cuda()) c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).setDevice(device);
}

void check_computable(const ModelConfig& config, c10::Device device, const std::string& where) {
  if (!device.is_cuda()) return;
  const auto refuse = [&](const std::string& what, std::int64_t found, const std::string& expected) {
    fail(ExitCode::resources, {.what = "no GPU kernel computes this model: " + what,
                               .where = where,
                               .found = std::to_string(found),
                               .expected = expected,
                               .advice = "compute with device: cpu"});
  };
  if (config.head_dim % 8 != 0 || config.head_dim > 256)
    refuse("head_dim", config.head_dim, "a multiple of 8, at most 256");
  if (config.vocab_size > 1 << 19) refuse("vocab_size", config.vocab_size, "at most 524288");
}

c10::Device choose_device(const std::string& device, const std::string& where) {
  const c10::Device cpu(c10::DeviceType::CPU);
  if (device == "cpu") return cpu;
  if (device == "auto" && !machine_has_gpu()) return cpu;
  const auto refuse = [&](const std::string& what, const std::string& advice) -> c10::Device {
    if (device == "auto") {
      reason_for_cpu = what + "; " + advice;
      return cpu;
    }
    fail(ExitCode::resources, {.what = what,
                               .where = where,
                               .found = device,
                               .expected = "a GPU that can be used, cpu or auto",
                               .advice = advice});
  };
  static std::map<std::string, c10::Device> chosen;
  if (const auto before = chosen.find(device); before != chosen.end()) return before->second;
  set_environment();
  if (const std::string missing = open_cuda(); !missing.empty())
    return refuse("the CUDA half of the program cannot be used: " + missing,
                  "STEERLM_CUDA=on tools/setup.sh fetches and builds it");
  const CudaCards& found = cuda_cards();
  if (found.cards.empty())
    return refuse("no GPU can be used: " + found.missing,
                  "NVIDIA's driver 580 or later has to be there; 'nvidia-smi' tells which one is");
  const auto index = static_cast<size_t>(device.starts_with("cuda:") ? std::atoi(device.c_str() + 5) : 0);
  if (index >= found.cards.size())
    return refuse(fmt::format("there is no GPU of this number: {} can be seen", found.cards.size()),
                  "the first is cuda:0; CUDA_VISIBLE_DEVICES says which can be seen");
  if (const std::string fault = fault_of(found.cards[index]); !fault.empty())
    return refuse("the GPU cannot be used: " + fault, "choose another one with cuda:N");
  set_arithmetic();
  const c10::Device gpu(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
  chosen.emplace(device, gpu);
  return gpu;
}

std::string why_no_gpu() { return reason_for_cpu; }

Computing choose_computing(const std::string& device, Precision precision, const std::string& where) {
  const c10::Device chosen = choose_device(device, where);
  return {chosen, settled_precision(precision, chosen.str())};
}

std::string device_name(c10::Device device) {
  if (!device.is_cuda()) return "cpu";
  const Card& card = cuda_cards().cards.at(static_cast<size_t>(device.index()));
  return fmt::format("{} ({}, {} multiprocessors, driver {}, CUDA {}, cuBLAS {})", card.name, device.str(),
                     card.multiprocessors, version_text(card.driver), version_text(card.runtime), cublas_version());
}

bool has_bf16_products() { return __builtin_cpu_supports("avx512bf16"); }  // so has every processor with AMX

at::ScalarType compute_dtype(Precision precision) { return precision == Precision::bf16 ? at::kBFloat16 : at::kFloat; }

}  // namespace steerlm
