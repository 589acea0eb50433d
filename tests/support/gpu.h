// Tests that need a GPU: they are skipped, with the reason, where there is none.
#pragma once

#include <gtest/gtest.h>

#include "steerlm/core/error.h"
#include "steerlm/nn/device.h"

#define STEERLM_SKIP_WITHOUT_GPU()                             \
  try {                                                        \
    ::steerlm::choose_device("cuda", "test");                  \
  } catch (const ::steerlm::Error& error) {                    \
    GTEST_SKIP() << "no GPU: " << error.faults().front().what; \
  }                                                            \
  static_assert(true)
