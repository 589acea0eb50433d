// The oracle of the gradient tests: the same transformer as a composition of differentiable ATen operations, sequence by sequence,
// with gradients from ATen's autograd. Written from the definitions, shares nothing with src/.
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "steerlm/nn/parameters.h"

namespace steerlm::reference {

using Weights = std::unordered_map<std::string, torch::Tensor>;

inline torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& w, double eps) {
  return x * torch::rsqrt(x.pow(2).mean(-1, true) + eps) * w;
}

// x (t, h, e); component i turns with i + e/2.
inline torch::Tensor rotate(const torch::Tensor& x, double theta) {
  const auto t = x.size(0), e = x.size(2);
  const auto frequency = torch::pow(theta, -torch::arange(0, e, 2, x.options()) / static_cast<double>(e));
  const auto angle = torch::outer(torch::arange(t, x.options()), frequency).unsqueeze(1);
  const auto first = x.slice(2, 0, e / 2), second = x.slice(2, e / 2, e);
  return torch::cat({first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()}, 2);
}

// Hidden states (t, d) of one sequence after the final norm.
inline torch::Tensor hidden(const ModelConfig& c, const Weights& w, const std::vector<std::int64_t>& ids) {
  const auto t = static_cast<std::int64_t>(ids.size());
  auto x = w.at("model.embed_tokens.weight").index_select(0, torch::tensor(ids, torch::kLong));
  const auto later = torch::ones({t, t}, torch::kBool).triu(1);
  for (std::int64_t l = 0; l < c.num_hidden_layers; ++l) {
    const std::string p = "model.layers." + std::to_string(l) + ".";
    const auto a = rms_norm(x, w.at(p + "input_layernorm.weight"), c.rms_norm_eps);
    auto q = a.matmul(w.at(p + "self_attn.q_proj.weight").t()).view({t, c.num_attention_heads, c.head_dim});
    auto k = a.matmul(w.at(p + "self_attn.k_proj.weight").t()).view({t, c.num_key_value_heads, c.head_dim});
    auto v = a.matmul(w.at(p + "self_attn.v_proj.weight").t()).view({t, c.num_key_value_heads, c.head_dim});
    const auto share = c.num_attention_heads / c.num_key_value_heads;
    q = rotate(q, c.rope_theta).transpose(0, 1);
    k = rotate(k, c.rope_theta).repeat_interleave(share, 1).transpose(0, 1);
    v = v.repeat_interleave(share, 1).transpose(0, 1);
    const auto scores = q.matmul(k.transpose(1, 2)) / std::sqrt(static_cast<double>(c.head_dim));
    const auto p_htt = torch::softmax(scores.masked_fill(later, -std::numeric_limits<double>::infinity()), -1);
    const auto out = p_htt.matmul(v).transpose(0, 1).reshape({t, -1});
    x = x + out.matmul(w.at(p + "self_attn.o_proj.weight").t());
    const auto b = rms_norm(x, w.at(p + "post_attention_layernorm.weight"), c.rms_norm_eps);
    const auto gate = b.matmul(w.at(p + "mlp.gate_proj.weight").t());
    const auto up = b.matmul(w.at(p + "mlp.up_proj.weight").t());
    x = x + (gate * torch::sigmoid(gate) * up).matmul(w.at(p + "mlp.down_proj.weight").t());
  }
  return rms_norm(x, w.at("model.norm.weight"), c.rms_norm_eps);
}

}  // namespace steerlm::reference
