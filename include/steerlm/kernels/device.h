// Where tensors are and how they get there: the CPU, or a GPU through libsteerlm_cuda.so.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace steerlm {

// A card as the driver describes it.
struct Card {
  std::string name;
  std::int64_t multiprocessors = 0;
  std::int64_t capability = 0;  // 90 for 9.0
  std::int64_t total_bytes = 0;
  std::int64_t driver = 0;  // 13000 for 13.0
  std::int64_t runtime = 0;
  std::string fault;
};

// Opens libtorch_cuda.so and libsteerlm_cuda.so, which has to happen before ATen is asked about CUDA, since it asks
// once and keeps the answer. Empty: they are open. Otherwise a sentence that says what is missing. Later calls give the
// same answer.
std::string open_cuda();
// The visible cards, after open_cuda; `missing` is the driver's reason where there is none. Takes nothing of a card.
// One that the driver cannot describe has no name, and its reason as `fault`.
struct CudaCards {
  std::vector<Card> cards;
  std::string missing;
};
const CudaCards& cuda_cards();
// As cuBLAS numbers itself, 130002 say; 0: unknown. After open_cuda.
std::int64_t cublas_version();
// Free at this moment on a GPU.
std::int64_t free_gpu_bytes(at::Device device);

// What tensors took of a GPU at most since the program began, and giving back what freed ones still hold of it. On a
// CPU 0 and nothing.
std::int64_t peak_tensor_bytes(at::Device device);
void release_free_memory(at::Device device);

// Rows of numbers from the host; to a GPU by way of pinned memory, without waiting.
at::Tensor to_device(const std::vector<std::int64_t>& values, at::Device device);
at::Tensor to_device(const std::vector<std::int32_t>& values, at::Device device);
at::Tensor to_device(const std::vector<float>& values, at::Device device);
at::Tensor to_device(const std::vector<double>& values, at::Device device);

// The tensor on the host: the one way in which numbers come back from a GPU while a model computes, since it waits for
// all that was given to it before. host_reads counts the calls, on a CPU too, for the tests of what may wait how often.
at::Tensor to_host(const at::Tensor& tensor);
std::int64_t host_reads();

// A tensor on its way to the host: the copy is given to the device at once and waited for later, so that the device
// goes on with what it is given in between. Waiting is a read that host_reads counts.
class HostCopy {
 public:
  explicit HostCopy(const at::Tensor& tensor);
  at::Tensor wait();

 private:
  at::Tensor host_;
  std::optional<c10::Event> copied_;  // on a GPU
};

// Work of a GPU that is recorded once and given to it again as a whole (CUDA graphs): what it reads and writes must
// stay where it is.
class RecordedWork {
 public:
  RecordedWork() = default;
  ~RecordedWork();
  RecordedWork(const RecordedWork&) = delete;
  RecordedWork& operator=(const RecordedWork&) = delete;

  // Everything that `enqueue` gives to the device; it has run before, so that its workspace is there. Throws
  // std::runtime_error where the recording fails.
  void record(at::Device device, const std::function<void()>& enqueue);
  bool recorded() const { return graph_ != nullptr; }
  void replay() const;

 private:
  void* graph_ = nullptr;
};

}  // namespace steerlm
