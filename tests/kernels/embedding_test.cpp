#include "steerlm/kernels/embedding.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "kernels/composition.h"

namespace steerlm {
namespace {

// Rows that occur often, once and never; a token's gradients are summed in fp32 for bf16.
TEST(Embedding, EqualsTheCompositionForwardAndBackward) {
  std::vector<std::int64_t> ids{0, 6, 6, 2};
  for (int i = 0; i < 200; ++i) ids.push_back(i % 3 == 0 ? 4 : i % 7);
  const at::Tensor ids_n = at::tensor(ids);
  for (const std::int64_t d : {1, 5, 64}) {
    const auto composition = [&](const std::vector<at::Tensor>& in) { return in[0].index_select(0, ids_n); };
    const auto kernel = [&](const std::vector<at::Tensor>& in, const at::Tensor& dout) {
      at::Tensor dw = zero_sum_of(in[0]);
      embedding_backward(dout, ids_n, dw);
      return KernelNumbers{embedding_forward(ids_n, in[0]), {dw}};
    };
    const auto n = static_cast<std::int64_t>(ids.size());
    expect_equals_composition(kernel, composition, {random_tensor({9, d}, "w")}, random_tensor({n, d}, "dy"),
                              "width " + std::to_string(d));
  }
}

TEST(Embedding, GradientsAreAddedAndRowsThatDoNotOccurKeepTheirs) {
  const at::Tensor dy = random_tensor({2, 3}, "dy").to(at::kFloat);
  at::Tensor dw = zero_sum_of(random_tensor({4, 3}, "w").to(at::kFloat)).add_(1);
  embedding_backward(dy, at::tensor({2L, 0L}), dw);
  EXPECT_TRUE(dw[1].eq(1).all().item<bool>());
  EXPECT_TRUE(dw[2].equal(dy[0] + 1));
  EXPECT_TRUE(dw[0].equal(dy[1] + 1));
}

}  // namespace
}  // namespace steerlm
