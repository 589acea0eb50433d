#include "steerlm/kernels/device.h"

#include <ATen/ops/empty.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <stdexcept>

#include "kernels/cuda_call.h"

namespace steerlm {
namespace {

struct Library {
  const SteerlmCudaTable* table = nullptr;
  std::string missing;
};

// libtorch_cuda.so first, and with its symbols for all: ATen finds its CUDA half by them, and so does the recording of
// graphs.
Library open_library() {
  const auto failed = [](const char* name) {
    const char* reason = ::dlerror();
    return Library{nullptr,
                   std::string(name) + " cannot be opened: " + (reason != nullptr ? reason : "no reason given")};
  };
  if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) return failed("libtorch_cuda.so");
  void* library = ::dlopen("libsteerlm_cuda.so", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return failed("libsteerlm_cuda.so");
  const auto table_of = reinterpret_cast<decltype(&steerlm_cuda_table)>(::dlsym(library, "steerlm_cuda_table"));
  if (table_of == nullptr) return failed("libsteerlm_cuda.so");
  const SteerlmCudaTable* table = table_of();
  if (table->build != STEERLM_TABLE)
    return {nullptr, "libsteerlm_cuda.so is of another build than the program: build both again"};
  return {table, ""};
}

const Library& library() {
  static const Library opened = open_library();
  return opened;
}
bool is_open = false;

template <class T>
at::Tensor rows_on(const std::vector<T>& values, at::Device device) {
  const at::TensorOptions options = at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value);
  const auto size = static_cast<std::int64_t>(values.size());
  at::Tensor host = at::empty({size}, options.pinned_memory(device.is_cuda()));
  if (size > 0) std::memcpy(host.mutable_data_ptr(), values.data(), values.size() * sizeof(T));
  return host.to(options.device(device), /*non_blocking=*/true);
}

}  // namespace

std::string open_cuda() {
  const Library& opened = library();
  is_open = opened.table != nullptr;
  return opened.missing;
}

const SteerlmCudaTable& cuda() {
  if (!is_open) throw std::logic_error("a tensor on a GPU before open_cuda");
  return *library().table;
}

namespace {

CudaCards ask_for_cards() {
  int count = 0;
  CudaCards found;
  if (const int status = cuda().card_count(&count); status != 0) return {{}, cuda().error_text(status)};
  for (int i = 0; i < count; ++i) {
    SteerlmCard card{};
    const int status = cuda().card(i, &card);
    found.cards.push_back({card.name, card.multiprocessors, card.capability, card.total_bytes, card.driver,
                           card.runtime, status != 0 ? cuda().error_text(status) : ""});
  }
  if (found.cards.empty()) found.missing = "the driver shows none";
  return found;
}

}  // namespace

const CudaCards& cuda_cards() {
  static const CudaCards found = ask_for_cards();
  return found;
}

std::int64_t cublas_version() {
  const auto version = reinterpret_cast<size_t (*)()>(::dlsym(RTLD_DEFAULT, "cublasLtGetVersion"));
  return version != nullptr ? static_cast<std::int64_t>(version()) : 0;
}

std::int64_t free_gpu_bytes(at::Device device) {
  std::int64_t bytes = 0;
  check_launch(cuda().free_memory(device.index(), &bytes), "free_memory");
  return bytes;
}

namespace {
std::atomic<std::int64_t> reads = 0;
}  // namespace

at::Tensor to_host(const at::Tensor& tensor) {
  ++reads;
  return tensor.cpu();
}

std::int64_t host_reads() { return reads; }

HostCopy::HostCopy(const at::Tensor& tensor) : host_(tensor) {
  if (!tensor.is_cuda()) return;
  host_ = at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(true));
  host_.copy_(tensor, /*non_blocking=*/true);
  copied_.emplace(c10::DeviceType::CUDA);
  copied_->record(c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(tensor.device()));
}

at::Tensor HostCopy::wait() {
  ++reads;
  if (copied_) copied_->synchronize();
  return host_;
}

RecordedWork::~RecordedWork() {
  if (graph_ != nullptr) cuda().graph_free(graph_);
}

void RecordedWork::record(at::Device device, const std::function<void()>& enqueue) {
  if (graph_ != nullptr) throw std::logic_error("RecordedWork: recorded twice");
  // While it records, the allocator cannot take back what freed tensors still hold.
  release_free_memory(device);
  void* graph = cuda().graph_begin(device.index());
  if (graph == nullptr) throw std::runtime_error("CUDA: the recording of a graph cannot begin");
  try {
    enqueue();
  } catch (...) {
    cuda().graph_end(graph);
    cuda().graph_free(graph);
    throw;
  }
  graph_ = graph;
  check_launch(cuda().graph_end(graph), "graph_end");
}

void RecordedWork::replay() const { check_launch(cuda().graph_replay(graph_), "graph_replay"); }

std::int64_t peak_tensor_bytes(at::Device device) {
  if (!device.is_cuda()) return 0;
  const auto total = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return c10::getDeviceAllocator(c10::DeviceType::CUDA)->getDeviceStats(device.index()).allocated_bytes[total].peak;
}

void release_free_memory(at::Device device) {
  if (device.is_cuda()) c10::getDeviceAllocator(c10::DeviceType::CUDA)->emptyCache();
}

void* stream_of(at::Device device) {
  return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(device).native_handle();
}

void check_launch(int status, const char* name) {
  if (status == 0) return;
  throw std::runtime_error(std::string("CUDA: ") + name + ": " + cuda().error_text(status));
}

int cuda_dtype(const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kFloat) return STEERLM_FLOAT32;
  if (tensor.scalar_type() == at::kBFloat16) return STEERLM_BFLOAT16;
  throw std::logic_error(std::string("no CUDA kernel for dtype ") + c10::toString(tensor.scalar_type()));
}

at::Tensor to_device(const std::vector<std::int64_t>& values, at::Device device) { return rows_on(values, device); }
at::Tensor to_device(const std::vector<std::int32_t>& values, at::Device device) { return rows_on(values, device); }
at::Tensor to_device(const std::vector<float>& values, at::Device device) { return rows_on(values, device); }
at::Tensor to_device(const std::vector<double>& values, at::Device device) { return rows_on(values, device); }

}  // namespace steerlm
