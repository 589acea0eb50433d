// The dtypes of weights on disk, by the names that the program gives them.
#pragma once

#include <c10/core/ScalarType.h>

#include <string>

namespace steerlm {

at::ScalarType scalar_type(const std::string& dtype);  // of fp32, bf16, fp16

}  // namespace steerlm
