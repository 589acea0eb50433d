#include "steerlm/optim/adamw.h"

namespace steerlm {

void adamw_update(FlatParameters& masters, const FlatParameters& gradients, AdamwState& state, FlatParameters& copy,
                  const OptimizerOptions& options, double learning_rate, const AdamwGuard& guard, std::int64_t t) {
  const bool rounds = !copy.flat.is_same(masters.flat);
  const auto update = [&](std::int64_t begin, std::int64_t end, double weight_decay) {
    const auto range = [&](const FlatParameters& of) { return of.flat.narrow(0, begin, end - begin); };
    adamw_step(range(masters), range(gradients), range(state.first_moment), range(state.second_moment),
               rounds ? range(copy) : at::Tensor(),
               {learning_rate, weight_decay, options.betas[0], options.betas[1], options.eps}, guard, t);
  };
  update(0, masters.decayed, options.weight_decay);
  update(masters.decayed, masters.flat.numel(), 0);
}

}  // namespace steerlm
