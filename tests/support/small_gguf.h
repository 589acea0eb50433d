// A whole model in a GGUF file, so small that every rule can be broken in it by itself.
#pragma once

#include <string>

#include "support/gguf_writer.h"

namespace steerlm {

// Width 16, one block, two query heads and one key head of width 8, four tokens: end, a, b, ab.
inline GgufWriter small_gguf(const std::string& architecture = "llama") {
  GgufWriter file;
  const std::string prefix = architecture + ".";
  file.text("general.architecture", architecture);
  file.integer(prefix + "context_length", 64).integer(prefix + "embedding_length", 16);
  file.integer(prefix + "block_count", 1).integer(prefix + "feed_forward_length", 24);
  file.integer(prefix + "attention.head_count", 2).integer(prefix + "attention.head_count_kv", 1);
  file.number(prefix + "attention.layer_norm_rms_epsilon", 1e-5F).number(prefix + "rope.freq_base", 500000);
  file.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", architecture == "llama" ? "smollm" : "qwen2");
  file.texts("tokenizer.ggml.tokens", {"<|end|>", "a", "b", "ab"}).integers("tokenizer.ggml.token_type", {3, 1, 1, 1});
  file.texts("tokenizer.ggml.merges", {"a b"}).integer("tokenizer.ggml.eos_token_id", 0);
  file.tensor("token_embd.weight", {16, 4}, 0.1F).tensor("output_norm.weight", {16}, 1);
  const std::string block = "blk.0.";
  for (const char* norm : {"attn_norm.weight", "ffn_norm.weight"}) file.tensor(block + norm, {16}, 1);
  file.tensor(block + "attn_q.weight", {16, 16}, 0.1F).tensor(block + "attn_output.weight", {16, 16}, 0.2F);
  file.tensor(block + "attn_k.weight", {16, 8}, 0.3F).tensor(block + "attn_v.weight", {16, 8}, 0.4F);
  file.tensor(block + "ffn_gate.weight", {16, 24}, 0.5F).tensor(block + "ffn_up.weight", {16, 24}, 0.6F);
  file.tensor(block + "ffn_down.weight", {24, 16}, 0.7F);
  if (architecture == "qwen2") {
    file.tensor(block + "attn_q.bias", {16}, 0.1F).tensor(block + "attn_k.bias", {8}, 0.2F);
    file.tensor(block + "attn_v.bias", {8}, 0.3F);
  }
  if (architecture == "qwen3")
    file.tensor(block + "attn_q_norm.weight", {8}, 1).tensor(block + "attn_k_norm.weight", {8}, 1);
  return file;
}

// The same with a sentencepiece vocabulary: unk, bos, eos, a, b, ab.
inline GgufWriter small_spm_gguf() {
  GgufWriter file = small_gguf();
  file.text("tokenizer.ggml.model", "llama").remove("tokenizer.ggml.pre").remove("tokenizer.ggml.merges");
  file.texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "▁", "a", "ab"});
  file.integers("tokenizer.ggml.token_type", {2, 3, 3, 1, 1, 1})
      .numbers("tokenizer.ggml.scores", {0, 0, 0, -1, -2, -3});
  file.integer("tokenizer.ggml.bos_token_id", 1).integer("tokenizer.ggml.eos_token_id", 2);
  file.integer("tokenizer.ggml.unknown_token_id", 0).tensor("token_embd.weight", {16, 6}, 0.1F);
  return file;
}

}  // namespace steerlm
