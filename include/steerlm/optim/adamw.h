// The optimiser: fp32 masters with two moments; weight decay on parameters of two or more dimensions only.
#pragma once

#include "steerlm/kernels/adamw.h"
#include "steerlm/nn/flat_parameters.h"
#include "steerlm/optim/options.h"

namespace steerlm {

struct AdamwState {
  FlatParameters first_moment;  // dtype and places of the masters
  FlatParameters second_moment;
};

// One update of `masters`, t from 1, unless `guard` forbids it. `copy` gets the masters rounded to its dtype; where it
// is the masters themselves there is nothing to round.
void adamw_update(FlatParameters& masters, const FlatParameters& gradients, AdamwState& state, FlatParameters& copy,
                  const OptimizerOptions& options, double learning_rate, const AdamwGuard& guard, std::int64_t t);

}  // namespace steerlm
