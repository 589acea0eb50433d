#include "steerlm/nn/cost.h"

#include <algorithm>

#include "steerlm/kernels/attention.h"
#include "steerlm/kernels/linear_cross_entropy.h"

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

double train_flops(const ModelConfig& c, const HeadShape& head, double tokens, double squared_lengths, bool lora) {
  HeadShape trunk;
  double matmul = static_cast<double>(count_parameters(c, trunk) - c.vocab_size * c.hidden_size);
  if (head.language_model) matmul += static_cast<double>(c.vocab_size * c.hidden_size);
  const double attention = 6.0 * static_cast<double>(c.num_hidden_layers * c.num_attention_heads * c.head_dim);
  return (lora ? 4.0 : 6.0) * matmul * tokens + attention * squared_lengths;
}

double train_flops_per_token(const ModelConfig& config, const HeadShape& head, double length) {
  return train_flops(config, head, 1, length, false);
}

std::int64_t train_state_bytes(const ModelConfig& config, const HeadShape& head, bool bf16) {
  return count_parameters(config, head) * (4 * 4 + (bf16 ? 2 : 0));
}

namespace {

// Widths of a token's tensors.
struct Widths {
  explicit Widths(const ModelConfig& c)
      : d(c.hidden_size),
        f(c.intermediate_size),
        q(c.num_attention_heads * c.head_dim),
        kv(c.num_key_value_heads * c.head_dim),
        heads(c.num_attention_heads),
        groups(c.num_key_value_heads),
        grouped(q != kv) {}
  std::int64_t d, f, q, kv, heads, groups;
  bool grouped;  // key/value heads serve several query heads each
};

constexpr std::int64_t fp32 = 4;

// BlockSaved less its input, a token: middle, attention output, q, k, v, gate, up (raw q and k with their norms) in the
// compute dtype; two rstd, the heads' rstd and logsumexp in fp32.
std::int64_t saved_bytes(const ModelConfig& c, std::int64_t size) {
  const Widths w(c);
  const std::int64_t raw = c.qk_norm ? w.q + w.kv : 0, heads_rstd = c.qk_norm ? w.heads + w.groups : 0;
  return (w.d + 2 * w.q + 2 * w.kv + 2 * w.f + raw) * size + (2 + w.heads + heads_rstd) * fp32;
}

// What block_backward holds at most in its first half, a token: the gradients of the loss and from above (d each), then
// dproduct, dgate, dup and the product (f each).
std::int64_t ffn_backward_bytes(const ModelConfig& c, std::int64_t size) {
  const Widths w(c);
  return (2 * w.d + 4 * w.f) * size;
}

// And in the second, less its workspace: those two, the gradients of the FFN's input and of the middle (d each), of
// attention's output (q), dq, dk, dv, which a GPU turns on the way to one tensor.
std::int64_t attention_backward_bytes(const ModelConfig& c, std::int64_t size, bool gpu) {
  const Widths w(c);
  return (4 * w.d + 2 * w.q + 2 * w.kv + (gpu && !c.qk_norm ? w.q + 2 * w.kv : 0)) * size;
}

// What attention's backward takes beside its results. CPU, ATen's kernel: keys and values repeated for every query
// head, and their gradients so, where heads share them; this project's: nothing to speak of. GPU (FlashAttention-2,
// deterministic): keys' and values' gradients for every query head where heads share them, and dq in fp32 in
// ceil(multiprocessors / (sequences * h)) copies, each of n + 128 sequences rows with heads rounded up to 32 wide, with
// one number a head and row beside it.
std::int64_t attention_bytes(const ModelConfig& c, const TrainWork& work, std::int64_t size) {
  const Widths w(c);
  const std::int64_t shared = w.grouped ? 2 * work.tokens * w.q * size : 0;
  if (work.multiprocessors == 0) return attention_is_by_blocks(work.bf16 ? at::kBFloat16 : at::kFloat) ? 0 : 2 * shared;
  const std::int64_t blocks = work.sequences * w.heads;
  const std::int64_t copies = (work.multiprocessors + blocks - 1) / blocks;
  const std::int64_t e = c.head_dim <= 192 ? (c.head_dim + 31) / 32 * 32 : 256;
  return shared + (work.tokens + 128 * work.sequences) * w.heads * (copies * e + 1) * fp32;
}

// The gradients of a block, which a micro-batch in turn has to itself: those of its products, or of LoRA.
std::int64_t block_gradient_bytes(const ModelConfig& c, const TrainWork& work) {
  const Widths w(c);
  const std::int64_t products = 2 * w.d * (w.q + w.kv) + 3 * w.d * w.f;
  return (work.frozen > 0 ? work.trained / c.num_hidden_layers : products) * fp32;
}

// What oneDNN took beside a product in bf16, whatever its size between 1,080 x 64 and 1,080 x 20,000.
constexpr std::int64_t onednn_bytes = 1 << 20;

// linear_cross_entropy: x_kd and dx_kd, and the larger of a chunk (logits in fp32, whose gradient takes their place;
// the chunk's gradient) and dx_nd.
std::int64_t logits_bytes(const ModelConfig& c, const TrainWork& work, std::int64_t size) {
  const bool gpu = work.multiprocessors > 0;
  const std::int64_t row = c.vocab_size * (gpu ? size : fp32), budget = gpu ? 1 << 30 : 64 << 20;
  const std::int64_t least = gpu ? 512 : work.side_by_side > 0 ? rows_in_turn : 64;
  const std::int64_t rows = std::min(work.target_rows, std::max(least, budget / std::max<std::int64_t>(1, row)));
  // In bf16 a CPU holds the product, then the gradient, in bf16 too.
  const std::int64_t copies = row + (gpu || size == fp32 ? 0 : c.vocab_size * size);
  const std::int64_t chunk = rows * (copies + c.hidden_size * size);
  return 2 * work.target_rows * c.hidden_size * size + std::max(chunk, work.tokens * c.hidden_size * size);
}

}  // namespace

std::int64_t TrainBytes::tensors() const {
  return state + inputs + activations + products + std::max(logits, recomputed_block + block_backward + workspace);
}

std::int64_t TrainBytes::total() const { return tensors() + heap; }

TrainBytes train_bytes(const ModelConfig& c, const TrainWork& work) {
  const std::int64_t size = work.bf16 ? 2 : fp32, n = work.tokens, layers = c.num_hidden_layers;
  const std::int64_t block = n * saved_bytes(c, size), x = n * c.hidden_size * size;
  TrainBytes bytes;
  const bool by_tokens = work.side_by_side > 0 && work.frozen == 0 && work.target_rows > 0 && c.tie_word_embeddings;
  bytes.state = work.trained * (4 * fp32 + (work.bf16 ? size : 0)) + work.frozen * size +
                (by_tokens ? c.vocab_size * c.hidden_size * fp32 : 0);
  bytes.inputs = 2 * work.step_tokens * (3 * std::int64_t{8} + c.head_dim * fp32);
  bytes.activations = layers * x + (work.recompute ? 0 : layers * block) + 2 * x;
  bytes.logits = logits_bytes(c, work, size);
  bytes.recomputed_block = work.recompute ? block : 0;
  // The norm's input, its gradient and the block's (d each) follow attention.
  bytes.workspace = std::max(attention_bytes(c, work, size), 3 * x);
  bytes.block_backward = std::max(n * ffn_backward_bytes(c, size) - bytes.workspace,
                                  n * attention_backward_bytes(c, size, work.multiprocessors > 0));
  if (work.side_by_side > 0) bytes.block_backward += block_gradient_bytes(c, work);
  const std::int64_t output = work.side_by_side > 0 ? std::min(c.vocab_size, gradient_rows) : c.vocab_size;
  const std::int64_t widest = c.hidden_size * std::max(c.intermediate_size, work.target_rows > 0 ? output : 0);
  bytes.products = work.multiprocessors > 0 ? 32 << 20 : work.bf16 ? widest * (size + fp32) + onednn_bytes : 0;
  if (work.side_by_side > 1) {
    for (std::int64_t* part : {&bytes.activations, &bytes.logits, &bytes.recomputed_block, &bytes.block_backward,
                               &bytes.workspace, &bytes.products})
      *part *= work.side_by_side;
  }
  // Measured between 0.2 and 1 of what comes and goes (six models of 0.9 to 26 M parameters), most often 0.4; most of
  // all where the products' own buffers lie between the chunks of a large vocabulary.
  if (work.multiprocessors == 0) bytes.heap = (bytes.tensors() - bytes.state) / 10 * 6;
  return bytes;
}

}  // namespace steerlm
