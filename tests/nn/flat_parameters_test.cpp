#include "steerlm/nn/flat_parameters.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "steerlm/nn/init.h"
#include "support/small_llama.h"

namespace steerlm {
namespace {

Parameters small_weights() {
  ModelConfig config = small_llama(37, 0.3);
  config.qkv_bias = true;
  const HeadShape head{.attributes = 3, .bias = true};
  return parameters_from(config, head, init_parameters(config, head, 7));
}

TEST(FlatParameters, AreTheValuesInOneTensor) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const Parameters values = small_weights();
    const FlatParameters flat = flatten(values, dtype, at::kCPU);
    const NamedTensors ours = to_named_tensors(flat.views), theirs = to_named_tensors(values);
    ASSERT_EQ(ours.size(), theirs.size());
    double sum = 0;
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(ours[i].first, theirs[i].first);
      EXPECT_TRUE(at::equal(ours[i].second, theirs[i].second.to(dtype))) << ours[i].first;
      EXPECT_TRUE(ours[i].second.is_alias_of(flat.flat));
      sum += ours[i].second.to(at::kDouble).abs().sum().item<double>();
    }
    EXPECT_DOUBLE_EQ(flat.flat.to(at::kDouble).abs().sum().item<double>(), sum) << "what lies between is not 0";
  }
}

TEST(FlatParameters, ThoseWithDecayComeFirstAndAllAreAligned) {
  const FlatParameters flat = flat_zeros(small_weights(), at::kBFloat16, at::kCPU);
  std::int64_t last = -1;
  for (const bool decayed : {true, false}) {
    for_each_parameter(flat.views, [&](const std::string& name, const at::Tensor& tensor) {
      if ((tensor.dim() >= 2) != decayed) return;
      const std::int64_t begin = tensor.storage_offset();
      EXPECT_GT(begin, last) << name << " is not behind the one before";
      EXPECT_EQ(begin % 128, 0) << name;
      EXPECT_EQ(begin < flat.decayed, decayed) << name;
      last = begin + tensor.numel() - 1;
    });
    EXPECT_LT(last, decayed ? flat.decayed : flat.flat.numel());
  }
}

TEST(FlatParameters, WhatIsNotThereStaysAway) {
  const FlatParameters flat = flat_zeros(
      select(small_weights(), [](const std::string& name) { return name == "score.bias"; }), at::kFloat, at::kCPU);
  EXPECT_EQ(to_list(flat.views).size(), 1u);
  EXPECT_EQ(flat.decayed, 0);
  EXPECT_FALSE(flat.views.embedding_vd.defined());
}

}  // namespace
}  // namespace steerlm
