#include "steerlm/nn/cost.h"

namespace steerlm {

std::int64_t count_parameters(const ModelConfig& config, const HeadShape& head) {
  std::int64_t count = 0;
  for (const auto& [name, shape] : parameter_shapes(config, head)) {
    std::int64_t size = 1;
    for (std::int64_t extent : shape) size *= extent;
    count += size;
  }
  return count;
}

double train_flops_per_token(const ModelConfig& c, const HeadShape& head, double length) {
  HeadShape trunk;
  double matmul = static_cast<double>(count_parameters(c, trunk) - c.vocab_size * c.hidden_size);
  if (head.language_model) matmul += static_cast<double>(c.vocab_size * c.hidden_size);
  const double attention = 6.0 * static_cast<double>(c.num_hidden_layers * c.num_attention_heads * c.head_dim) * length;
  return 6.0 * matmul + attention;
}

std::int64_t train_state_bytes(const ModelConfig& config, const HeadShape& head, bool bf16) {
  return count_parameters(config, head) * (4 * 4 + (bf16 ? 2 : 0));
}

std::int64_t activation_bytes(const ModelConfig& c, std::int64_t tokens, bool bf16) {
  // BlockSaved: x, middle, attention output and q (d or h*e each), k, v, gate, up.
  const std::int64_t q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  const std::int64_t width = 2 * c.hidden_size + 2 * q + 2 * kv + 2 * c.intermediate_size;
  return tokens * (c.num_hidden_layers * width + 4 * c.hidden_size) * (bf16 ? 2 : 4);
}

}  // namespace steerlm
