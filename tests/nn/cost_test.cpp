#include "steerlm/nn/cost.h"

#include <gtest/gtest.h>

#include "support/small_llama.h"

namespace steerlm {
namespace {

// 6 a parameter of a product and token, attention 12 L h e t halved for causality; LoRA computes two products of three.
TEST(TrainFlops, AreThoseOfTheProductsAndHalfTheAttention) {
  const ModelConfig c = small_llama(60, 0.02);  // two blocks, d 16, f 24, 4 heads of 4, 2 of them for keys and values
  const double block = 16 * 16 + 2 * 8 * 16 + 16 * 16 + 3 * 16 * 24, norms = 2 * 2 * 16 + 16, head = 60 * 16;
  const double products = 2 * block + norms + head, attention = 6.0 * 2 * 16;
  const HeadShape language_model{.language_model = true};
  EXPECT_DOUBLE_EQ(train_flops(c, language_model, 10, 100, false), 6 * products * 10 + attention * 100);
  EXPECT_DOUBLE_EQ(train_flops(c, language_model, 10, 100, true), 4 * products * 10 + attention * 100);
  EXPECT_DOUBLE_EQ(train_flops(c, {.attributes = 3}, 10, 0, false), 6 * (products - head) * 10);
  EXPECT_DOUBLE_EQ(train_flops_per_token(c, language_model, 7), train_flops(c, language_model, 1, 7, false));
}

}  // namespace
}  // namespace steerlm
