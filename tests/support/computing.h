// The CPU in fp32, with which most tests compute.
#pragma once

#include "steerlm/nn/device.h"

namespace steerlm {

inline const Computing cpu_fp32{c10::Device(c10::DeviceType::CPU), Precision::fp32};

}  // namespace steerlm
