#pragma once

#include <string>
#include <utility>
#include <vector>

#include "steerlm/core/error.h"

namespace steerlm {

// Lines of `steerlm doctor`, name and text, about the cards and the kernels on the first of them. Adds a fault where
// the machine has a card that cannot be used, or that computes something else than the CPU.
std::vector<std::pair<std::string, std::string>> describe_gpus(std::vector<Fault>& faults);

}  // namespace steerlm
