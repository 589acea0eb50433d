// A whole step of training, as the loop of stages/fit takes it when nothing is prepared ahead.
#pragma once

#include <span>

#include "steerlm/train/step.h"

namespace steerlm {

inline StepResult train_step(Training& training, std::span<const Example* const> examples, const Loss& loss,
                             const StepOptions& options) {
  StepInput input = prepare_step(training.model, examples, loss, options);
  return finish_step(training, enqueue_step(training, input, loss, options));
}

}  // namespace steerlm
