// What a decode step enqueues, recorded and replayed by at::cuda::CUDAGraph. Each graph has a memory pool of its own.
// Nothing leaves by an exception: the callers are on the other side of a C table.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <exception>
#include <map>
#include <memory>

#include "kernels/cuda/launchers.h"

namespace {

struct Graph {
  c10::cuda::CUDAStream previous;
  at::cuda::CUDAGraph graph;
};

// One a device, whatever is recorded: cuBLAS keeps a workspace for every stream that it has seen.
c10::cuda::CUDAStream recording_stream(c10::DeviceIndex device) {
  static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const auto known = streams.find(device);
  if (known != streams.end()) return known->second;
  return streams.emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)).first->second;
}

// Runs `work`; the status that it leaves: 0, or what a table's launcher returns for a failure without a code.
template <class Work>
int status_of(Work&& work) {
  try {
    work();
    return cudaSuccess;
  } catch (const std::exception&) {
    const cudaError_t error = cudaGetLastError();
    return error != cudaSuccess ? error : cudaErrorUnknown;
  }
}

}  // namespace

namespace steerlm_cuda {

void* graph_begin(int device) {
  std::unique_ptr<Graph> graph;
  const int status = status_of([&] {
    const auto index = static_cast<c10::DeviceIndex>(device);
    c10::cuda::set_device(index);
    graph.reset(new Graph{c10::cuda::getCurrentCUDAStream(index), {}});
    // All that the step needs has been allocated by the current stream, and runs there again at a replay.
    graph->previous.synchronize();
    c10::cuda::setCurrentCUDAStream(recording_stream(index));
    // Other threads may copy and allocate meanwhile.
    graph->graph.capture_begin(at::cuda::graph_pool_handle(), cudaStreamCaptureModeThreadLocal);
  });
  if (status == cudaSuccess) return graph.release();
  if (graph) status_of([&] { c10::cuda::setCurrentCUDAStream(graph->previous); });
  status_of([&] { graph.reset(); });
  return nullptr;
}

int graph_end(void* graph) {
  auto* captured = static_cast<Graph*>(graph);
  const int status = status_of([&] { captured->graph.capture_end(); });
  const int restored = status_of([&] { c10::cuda::setCurrentCUDAStream(captured->previous); });
  return status != cudaSuccess ? status : restored;
}

int graph_replay(void* graph) {
  return status_of([&] { static_cast<Graph*>(graph)->graph.replay(); });
}

void graph_free(void* graph) {
  status_of([&] { delete static_cast<Graph*>(graph); });
}

}  // namespace steerlm_cuda
