#include <cuda_runtime.h>

#include <cstring>

#include "kernels/cuda/launchers.h"

namespace steerlm_cuda {

const char* error_text(int status) { return cudaGetErrorString(static_cast<cudaError_t>(status)); }

int card_count(int* count) { return cudaGetDeviceCount(count); }

int card(int index, SteerlmCard* card) {
  cudaDeviceProp properties;
  int status = cudaGetDeviceProperties(&properties, index);
  if (status != cudaSuccess) return status;
  std::strncpy(card->name, properties.name, sizeof(card->name) - 1);
  card->name[sizeof(card->name) - 1] = 0;
  card->multiprocessors = properties.multiProcessorCount;
  card->capability = properties.major * 10 + properties.minor;
  card->total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  int driver = 0, runtime = 0;
  if ((status = cudaDriverGetVersion(&driver)) != cudaSuccess) return status;
  if ((status = cudaRuntimeGetVersion(&runtime)) != cudaSuccess) return status;
  card->driver = driver;
  card->runtime = runtime;
  return cudaSuccess;
}

int free_memory(int index, int64_t* bytes) {
  int before = 0, status = cudaGetDevice(&before);
  if (status != cudaSuccess) return status;
  if ((status = cudaSetDevice(index)) != cudaSuccess) return status;
  size_t free_bytes = 0, total_bytes = 0;
  status = cudaMemGetInfo(&free_bytes, &total_bytes);
  *bytes = static_cast<int64_t>(free_bytes);
  const int restored = cudaSetDevice(before);
  return status != cudaSuccess ? status : restored;
}

int synchronize(void* stream) { return cudaStreamSynchronize(static_cast<cudaStream_t>(stream)); }

}  // namespace steerlm_cuda
