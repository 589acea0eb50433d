// What a model costs, for forecasts and benches alike.
#pragma once

#include <cstdint>

#include "steerlm/nn/parameters.h"

namespace steerlm {

std::int64_t count_parameters(const ModelConfig& config, const HeadShape& head);

// On a CPU each thread computes sequences by itself, of about so many tokens at least.
inline constexpr std::int64_t tokens_of_a_thread = 512;

// Floating-point operations of forward and backward for one token in a sequence of `length`: 6 a matmul parameter
// (embedding left out, output layer counted), attention counted causally (half).
double train_flops_per_token(const ModelConfig& config, const HeadShape& head, double length);

// The same for sequences of `tokens` in all whose squared lengths sum up to `squared_lengths`; with LoRA the frozen
// products have no gradient of their weights, two of three are left.
double train_flops(const ModelConfig& config, const HeadShape& head, double tokens, double squared_lengths, bool lora);

// Bytes of weights, gradients and moments while training: fp32 masters, gradients and two moments, plus a compute copy
// in bf16.
std::int64_t train_state_bytes(const ModelConfig& config, const HeadShape& head, bool bf16);

// A training step, as far as its memory depends on it.
struct TrainWork {
  std::int64_t tokens = 0;       // of the largest micro-batch
  std::int64_t sequences = 1;    // in it
  std::int64_t target_rows = 0;  // of them those that the output layer predicts; 0 with a regression head
  std::int64_t step_tokens = 0;  // of all micro-batches of the step
  // Micro-batches that are computed at the same time, a thread each or one by all, each with the gradients of one block
  // of its own; 0, on a GPU: one that adds to those of the step.
  std::int64_t side_by_side = 0;
  std::int64_t trained = 0;          // parameters
  std::int64_t frozen = 0;           // with LoRA
  std::int64_t multiprocessors = 0;  // of the GPU; 0: a CPU
  bool bf16 = false;
  bool recompute = false;  // train.recompute: block
};

// What a training step takes at most, part by part, of all micro-batches side by side. The largest moment is either the
// chunk of the output layer or the backward of the last block; both find the activations of the whole trunk. Beside it
// are what the program takes without a model and, on a GPU, the CUDA context (about 0.6 GB).
struct TrainBytes {
  // Masters, gradients, two moments in fp32, side by side the gradient of a tied embedding by its tokens; the compute
  // copy in bf16; what is frozen.
  std::int64_t state = 0;
  std::int64_t inputs = 0;            // ids, targets and angles of this step and the next
  std::int64_t activations = 0;       // BlockSaved of every block, the final norm's input and output
  std::int64_t logits = 0;            // the output layer: rows with a target, their gradient, one chunk of logits
  std::int64_t recomputed_block = 0;  // BlockSaved of the one block that is computed again
  std::int64_t block_backward = 0;    // what block_backward holds from its begin to its end; a block's gradients
  std::int64_t workspace = 0;         // what it takes beside that, in attention or in what follows
  std::int64_t products = 0;  // the workspace of cuBLAS; on a CPU in bf16 a gradient before it is added, and oneDNN's
  // On a CPU: what the heap holds beyond its tensors, since pieces that were freed are kept and fit only in part.
  std::int64_t heap = 0;

  std::int64_t tensors() const;  // all but the heap
  std::int64_t total() const;
};
TrainBytes train_bytes(const ModelConfig& config, const TrainWork& work);

}  // namespace steerlm
