#include "steerlm/nn/device.h"

#include "steerlm/core/error.h"

namespace steerlm {

void require_device(const std::string& device, const std::string& where) {
  if (device == "auto" || device == "cpu") return;
  fail(ExitCode::resources,
       {.what = "no CUDA library is part of this build", .where = where, .found = device, .expected = "cpu or auto"});
}

at::ScalarType compute_dtype(Precision precision) { return precision == Precision::bf16 ? at::kBFloat16 : at::kFloat; }

}  // namespace steerlm
