// Which device is chosen, and what is refused, where there is no GPU or none that computes the model.
#include "steerlm/nn/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/message_of.h"
#include "support/small_llama.h"

namespace steerlm {
namespace {

template <class Act>
std::string refusal(Act&& act) {
  return message_of(ExitCode::resources, act);
}

TEST(Device, TheCpuIsAlwaysThere) {
  EXPECT_TRUE(choose_device("cpu", "device").is_cpu());
  const Computing computing = choose_computing("cpu", Precision::automatic, "device");
  EXPECT_TRUE(computing.device.is_cpu());
  EXPECT_EQ(computing.precision, Precision::fp32);
  EXPECT_EQ(device_name(computing.device), "cpu");
}

TEST(Device, AGpuThatIsNotThereIsRefusedAndNotReplaced) {
  EXPECT_THAT(refusal([] { choose_device("cuda:9999", "--device"); }),
              testing::AllOf(testing::HasSubstr("--device"), testing::HasSubstr("cuda:9999"),
                             testing::HasSubstr("a GPU that can be used")));
}

TEST(Device, HiddenCardsAreNone) {
  const char* before = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::string kept = before != nullptr ? before : "";
  for (const char* hidden : {"", "-1"}) {
    ::setenv("CUDA_VISIBLE_DEVICES", hidden, 1);
    EXPECT_FALSE(machine_has_gpu());
    EXPECT_TRUE(choose_device("auto", "device").is_cpu());
    EXPECT_EQ(why_no_gpu(), "") << "whoever hides the cards knows";
  }
  if (before != nullptr)
    ::setenv("CUDA_VISIBLE_DEVICES", kept.c_str(), 1);
  else
    ::unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(Device, ModelsThatNoGpuKernelComputesAreRefused) {
  const c10::Device gpu(c10::DeviceType::CUDA, 0), cpu(c10::DeviceType::CPU);
  const auto refused = [&](std::int64_t head_dim, std::int64_t vocab_size, c10::Device device) {
    ModelConfig config = small_llama(vocab_size, 0.02);
    config.head_dim = head_dim;
    return refusal([&] { check_computable(config, device, "folder"); });
  };
  for (const std::int64_t width : {8, 64, 80, 256}) EXPECT_EQ(refused(width, 524288, gpu), "") << width;
  for (const std::int64_t width : {4, 100, 264}) {
    EXPECT_THAT(refused(width, 100, gpu), testing::AllOf(testing::HasSubstr("folder"), testing::HasSubstr("head_dim"),
                                                         testing::HasSubstr("device: cpu")));
    EXPECT_EQ(refused(width, 100, cpu), "");
  }
  EXPECT_THAT(refused(64, 524289, gpu), testing::HasSubstr("vocab_size"));
}

}  // namespace
}  // namespace steerlm
