#include "steerlm/nn/flat_parameters.h"

#include <ATen/ops/zeros.h>

#include <vector>

namespace steerlm {

FlatParameters flat_zeros(const Parameters& like, at::ScalarType dtype, at::Device device) {
  constexpr std::int64_t alignment = 128;
  FlatParameters result{.views = like};
  std::vector<at::Tensor*> places, plain;
  for_each_parameter(result.views, [&](const std::string&, at::Tensor& tensor) {
    (tensor.dim() >= 2 ? places : plain).push_back(&tensor);
  });
  const size_t decayed = places.size();
  places.insert(places.end(), plain.begin(), plain.end());
  std::vector<std::int64_t> begins{0};
  for (const at::Tensor* place : places)
    begins.push_back(begins.back() + (place->numel() + alignment - 1) / alignment * alignment);
  result.flat = at::zeros({begins.back()}, at::TensorOptions(dtype).device(device));
  result.decayed = begins[decayed];
  for (size_t i = 0; i < places.size(); ++i)
    *places[i] = result.flat.narrow(0, begins[i], places[i]->numel()).view(places[i]->sizes());
  return result;
}

FlatParameters flatten(Parameters values, at::ScalarType dtype, at::Device device) {
  FlatParameters result = flat_zeros(values, dtype, device);
  std::vector<at::Tensor> views = to_list(result.views);
  size_t i = 0;
  for_each_parameter(values, [&](const std::string&, at::Tensor& tensor) {
    views[i++].copy_(tensor);
    tensor.reset();
  });
  return result;
}

}  // namespace steerlm
