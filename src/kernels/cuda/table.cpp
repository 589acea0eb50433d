#include "kernels/table.h"

#include "kernels/cuda/launchers.h"

extern "C" __attribute__((visibility("default"))) const SteerlmCudaTable* steerlm_cuda_table(void) {
  using namespace steerlm_cuda;
  static const SteerlmCudaTable table = {
      .build = STEERLM_TABLE,
      .error_text = error_text,
      .card_count = card_count,
      .card = card,
      .free_memory = free_memory,
      .synchronize = synchronize,
      .rms_norm_forward = rms_norm_forward,
      .rms_norm_recompute = rms_norm_recompute,
      .rms_norm_backward = rms_norm_backward,
      .rope_angles = rope_angles,
      .rope_rotate = rope_rotate,
      .swiglu_forward = swiglu_forward,
      .swiglu_backward = swiglu_backward,
      .gather_rows = gather_rows,
      .scatter_rows = scatter_rows,
      .embedding_workspace = embedding_workspace,
      .embedding_backward = embedding_backward,
      .cross_entropy = cross_entropy,
      .adamw = adamw,
      .global_norm = global_norm,
      .cache_write = cache_write,
      .decode_attention_workspace = decode_attention_workspace,
      .decode_attention = decode_attention,
      .sample = sample,
      .graph_begin = graph_begin,
      .graph_end = graph_end,
      .graph_replay = graph_replay,
      .graph_free = graph_free,
  };
  return &table;
}
