#include "steerlm/nn/init.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "steerlm/core/error.h"
#include "steerlm/core/rng.h"

namespace steerlm {
namespace {

at::Tensor init_parameter(const std::string& name, const std::vector<std::int64_t>& shape, double range,
                          std::uint64_t seed) {
  if (name.ends_with(".bias")) return at::zeros(shape);
  if (shape.size() == 1) return at::ones(shape);
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* data = tensor.mutable_data_ptr<float>();
  const std::string purpose = "init " + name;
  const std::int64_t columns = shape[1];
  at::parallel_for(0, shape[0], 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      Rng rng(seed, purpose, static_cast<std::uint64_t>(row));
      for (std::int64_t j = 0; j < columns; ++j) data[row * columns + j] = static_cast<float>(range * rng.normal());
    }
  });
  return tensor;
}

}  // namespace

ModelConfig complete_config(ModelConfig c, std::int64_t tokenizer_pieces, std::int64_t max_tokens) {
  if (c.vocab_size == 0) c.vocab_size = tokenizer_pieces;
  if (c.intermediate_size == 0) c.intermediate_size = (c.hidden_size * 8 / 3 + 31) / 32 * 32;
  if (c.num_key_value_heads == 0) c.num_key_value_heads = c.num_attention_heads;
  if (c.max_position_embeddings == 0) c.max_position_embeddings = std::max<std::int64_t>(4096, max_tokens);
  const auto refuse = [](std::string what, std::string found, std::string expected) {
    fail(ExitCode::recipe,
         {.what = std::move(what), .where = "model.init", .found = std::move(found), .expected = std::move(expected)});
  };
  if (c.head_dim == 0) {
    if (c.hidden_size % c.num_attention_heads != 0) {
      refuse("hidden_size is not a multiple of num_attention_heads",
             std::to_string(c.hidden_size) + " and " + std::to_string(c.num_attention_heads),
             "a multiple, or head_dim given");
    }
    c.head_dim = c.hidden_size / c.num_attention_heads;
  }
  if (c.head_dim % 2 != 0)
    refuse("head_dim must be even for rotary embeddings", std::to_string(c.head_dim), "an even number");
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    refuse("num_key_value_heads does not divide num_attention_heads", std::to_string(c.num_key_value_heads),
           "a divisor of " + std::to_string(c.num_attention_heads));
  }
  if (c.vocab_size < tokenizer_pieces) {
    refuse("vocab_size is smaller than the tokenizer", std::to_string(c.vocab_size),
           "at least " + std::to_string(tokenizer_pieces));
  }
  return c;
}

NamedTensors init_parameters(const ModelConfig& config, const HeadShape& head, std::uint64_t seed) {
  NamedTensors tensors;
  for (const auto& [name, shape] : parameter_shapes(config, head)) {
    tensors.emplace_back(name, init_parameter(name, shape, config.initializer_range, seed));
  }
  return tensors;
}

NamedTensors init_lora(const ModelConfig& config, const LoraOptions& lora, std::uint64_t seed) {
  NamedTensors tensors;
  for (const auto& [name, shape] : lora_shapes(config, lora)) {
    tensors.emplace_back(name, at::zeros(shape, at::kFloat));
    if (!name.ends_with(".lora_A.weight")) continue;
    float* data = tensors.back().second.mutable_data_ptr<float>();
    const double bound = 1 / std::sqrt(static_cast<double>(shape[1]));
    for (std::int64_t row = 0; row < shape[0]; ++row) {
      Rng rng(seed, "init " + name, static_cast<std::uint64_t>(row));
      for (std::int64_t j = 0; j < shape[1]; ++j)
        data[row * shape[1] + j] = static_cast<float>(bound * (2 * rng.uniform() - 1));
    }
  }
  return tensors;
}

NamedTensors init_score_head(const ModelConfig& config, const HeadShape& head, std::uint64_t seed) {
  NamedTensors tensors;
  for (const auto& [name, shape] : parameter_shapes(config, head)) {
    if (name.starts_with("score."))
      tensors.emplace_back(name, init_parameter(name, shape, config.initializer_range, seed));
  }
  return tensors;
}

}  // namespace steerlm
