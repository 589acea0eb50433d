// The optimiser: fp32 masters with two moments; weight decay on parameters of two or more dimensions only.
#pragma once

#include "steerlm/nn/parameters.h"
#include "steerlm/optim/options.h"

namespace steerlm {

struct AdamwState {
  Parameters first_moment;  // fp32, shapes of the masters
  Parameters second_moment;
};
AdamwState make_adamw_state(const Parameters& masters);

// One update of `masters`, t from 1. `gradients` are multiplied by `gradient_factor` (clipping) on the way.
void adamw_update(Parameters& masters, Parameters& gradients, AdamwState& state, const OptimizerOptions& options,
                  double learning_rate, double gradient_factor, std::int64_t t);

}  // namespace steerlm
