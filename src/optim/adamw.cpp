#include "steerlm/optim/adamw.h"

#include "steerlm/kernels/adamw.h"

namespace steerlm {

AdamwState make_adamw_state(const Parameters& masters) {
  const at::ScalarType dtype = to_list(masters).front().scalar_type();
  return {zeros_like(masters, dtype), zeros_like(masters, dtype)};
}

void adamw_update(Parameters& masters, Parameters& gradients, AdamwState& state, const OptimizerOptions& options,
                  double learning_rate, double gradient_factor, std::int64_t t) {
  if (gradient_factor != 1) scale_all(to_list(gradients), gradient_factor);
  struct Group {
    std::vector<at::Tensor> weights, gradients, first, second;
  } decayed, plain;
  const auto weights = to_list(masters), grads = to_list(gradients), first = to_list(state.first_moment),
             second = to_list(state.second_moment);
  for (size_t i = 0; i < weights.size(); ++i) {
    Group& group = weights[i].dim() >= 2 ? decayed : plain;
    group.weights.push_back(weights[i]);
    group.gradients.push_back(grads[i]);
    group.first.push_back(first[i]);
    group.second.push_back(second[i]);
  }
  AdamwSettings settings{learning_rate, options.weight_decay, options.betas[0], options.betas[1], options.eps};
  adamw_step(decayed.weights, decayed.gradients, decayed.first, decayed.second, settings, t);
  settings.weight_decay = 0;
  adamw_step(plain.weights, plain.gradients, plain.first, plain.second, settings, t);
}

}  // namespace steerlm
