// How far rounding in fp32 can carry each weight in some steps of AdamW, from the numbers of those steps in fp64.
#pragma once

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "steerlm/core/rng.h"
#include "steerlm/train/step.h"
#include "support/batches.h"
#include "support/parameters.h"
#include "support/tensor_operators.h"
#include "support/train_step.h"

namespace steerlm {

// The gradient of the language model with an error added to it: normal numbers times `sizes`, in for_each_parameter's
// order. A loss is a plain function, so what it adds is set from outside.
struct ShakenGradient {
  static inline std::vector<at::Tensor> sizes;
  static inline std::uint64_t key = 0;

  static at::Tensor gradient(const Transformer& model, const PackedBatch& batch, double scale, bool recompute,
                             Parameters& gradients, const GradientTurn& turn) {
    if (!turn.alone()) throw std::logic_error("it adds to gradients whose turn has passed");
    const at::Tensor loss = language_model_gradient(model, batch, scale, recompute, gradients, turn);
    size_t i = 0;
    for_each_parameter(gradients, [&](const std::string& name, at::Tensor& tensor) {
      at::Tensor error = at::empty(tensor.sizes(), at::kDouble);
      Rng rng(key, "error of " + name, 0);
      double* data = error.mutable_data_ptr<double>();
      for (std::int64_t j = 0; j < error.numel(); ++j) data[j] = rng.normal();
      tensor.add_(error.mul_(sizes[i++]));
    });
    return loss;
  }
};

// What fp32 changes of the gradient of each parameter, at the weights of a training in fp64: the root mean square over
// a row, so that an element which happens to be exact counts too.
inline std::vector<at::Tensor> gradient_errors(const Training& exact, const std::vector<const Example*>& examples) {
  const Batch batch = make_batch(examples);
  const double scale = 1 / target_count(batch);
  const Transformer wide = exact.model, narrow{wide.config, cast(wide.weights, at::kFloat)};
  Parameters in_fp64 = zeros_like(exact.masters.views, at::kDouble),
             in_fp32 = zeros_like(exact.masters.views, at::kFloat);
  language_model_gradient(wide, batch, scale, in_fp64);
  language_model_gradient(narrow, batch, scale, in_fp32);
  const std::vector<at::Tensor> a = to_list(in_fp64), b = to_list(in_fp32);
  std::vector<at::Tensor> errors;
  for (size_t i = 0; i < a.size(); ++i)
    errors.push_back((b[i].to(at::kDouble) - a[i]).square().mean(-1, true).sqrt().expand_as(a[i]));
  return errors;
}

// A step on each of `batches` in fp64, and again in fp64 some times with every gradient shaken by an error of the size
// that fp32 makes: how far the weights of those runs end from the undisturbed ones, the largest norm for each
// parameter, and half a unit in the last place of fp32 a step, by which a stored weight is rounded. What no formula
// needs to know is in it: a key bias that is the same at every position shifts all scores of a query alike, which
// softmax does not notice; its gradient is next to nothing, AdamW divides it by its own size and makes whole steps of
// rounding, and what they move has its own effect on all other gradients.
inline std::map<std::string, double> adamw_rounding(const ModelConfig& config, const Parameters& start,
                                                    const std::function<bool(const std::string&)>& is_trained,
                                                    const std::vector<std::vector<const Example*>>& batches,
                                                    const StepOptions& options) {
  constexpr std::uint64_t runs = 6;
  const auto fresh = [&] {  // a copy: the masters are changed in place
    const Parameters copy = cast(cast(start, at::kFloat), at::kDouble);
    return make_training(config, copy, at::kDouble, at::kCPU, is_trained);
  };
  Training exact = fresh();
  std::vector<Training> shaken;
  for (std::uint64_t k = 0; k < runs; ++k) shaken.push_back(fresh());
  for (size_t t = 0; t < batches.size(); ++t) {
    ShakenGradient::sizes = gradient_errors(exact, batches[t]);
    for (std::uint64_t k = 0; k < runs; ++k) {
      ShakenGradient::key = k * batches.size() + t;
      train_step(shaken[k], batches[t], {target_count, target_weight, ShakenGradient::gradient}, options);
    }
    train_step(exact, batches[t], language_model_objective, options);
  }
  const double half_unit = std::pow(2.0, -24) * static_cast<double>(batches.size());
  std::map<std::string, double> distances;
  size_t i = 0;
  for_each_parameter(exact.masters.views, [&](const std::string& name, const at::Tensor& weight) {
    double& distance = distances[name];
    for (const Training& run : shaken)
      distance = std::max(distance, (to_list(run.masters.views)[i] - weight).norm().item<double>());
    distance += half_unit * weight.norm().item<double>();
    ++i;
  });
  return distances;
}

}  // namespace steerlm
