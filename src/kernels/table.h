/* The launchers of libsteerlm_cuda.so: plain C, so that the library and the program share no other symbol.
 * A launcher enqueues its work on `stream` and returns a cudaError_t (0: enqueued). It allocates nothing, waits for
 * nothing and throws nothing; workspace comes from the caller. Pointers are to device memory, of `dtype` (void*) or as
 * typed. Sizes are counts of elements, strides too; a row's elements are contiguous. Base pointers and row strides are
 * multiples of 16 bytes unless said otherwise. A size of 0 is allowed everywhere and launches nothing. n tokens, d
 * width, h query heads, g key/value heads, e head width, f FFN width, v vocabulary, r slots, t capacity. */
#ifndef STEERLM_KERNELS_TABLE_H
#define STEERLM_KERNELS_TABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { STEERLM_FLOAT32 = 0, STEERLM_BFLOAT16 = 1 };

/* Keys that one block of decode_attention reads: the split of a context does not depend on the card or on the batch. */
enum { STEERLM_DECODE_SPLIT = 512 };
/* Sorted ids between two cuts of embedding_backward; blocks, that is sets of rows, of rms_norm_backward. */
enum { STEERLM_EMBEDDING_ROWS = 32, STEERLM_RMS_NORM_BLOCKS = 256 };
/* Elements of a piece of global_norm. */
enum { STEERLM_NORM_PIECE = 65536 };

typedef struct {
  char name[256];
  int64_t multiprocessors;
  int64_t capability; /* 90 for 9.0 */
  int64_t total_bytes;
  int64_t driver; /* 13000 for 13.0 */
  int64_t runtime;
} SteerlmCard;

typedef struct {
  int64_t build; /* STEERLM_TABLE, of this file's text: library and program are of one build */

  const char* (*error_text)(int status);
  int (*card_count)(int* count);
  int (*card)(int index, SteerlmCard* card);     /* takes nothing of the card */
  int (*free_memory)(int index, int64_t* bytes); /* of this moment; makes the process's context on the card */
  int (*synchronize)(void* stream);

  /* sum = x + residual (residual null: sum is not written), y = sum * rstd * w, rstd_n fp32. */
  int (*rms_norm_forward)(int dtype, const void* x_nd, const void* residual_nd, const void* w_d, void* sum_nd,
                          void* y_nd, float* rstd_n, int64_t n, int64_t d, double eps, void* stream);
  int (*rms_norm_recompute)(int dtype, const void* x_nd, const void* w_d, const float* rstd_n, void* y_nd, int64_t n,
                            int64_t d, void* stream);
  /* dx = dresidual (null: 0) + rstd * (dy*w - x_hat * mean(dy*w*x_hat)); dw_d += sum over rows of dy*x_hat (null: not
   * computed), by way of partial (STEERLM_RMS_NORM_BLOCKS, d) fp32. dx may be dy or dresidual. */
  int (*rms_norm_backward)(int dtype, const void* dy_nd, const void* x_nd, const void* w_d, const float* rstd_n,
                           const void* dresidual_nd, void* dx_nd, float* partial, float* dw_d, int64_t n, int64_t d,
                           void* stream);

  /* cos, sin (n, half) fp32 of positions_n * frequencies_half, times scale. */
  int (*rope_angles)(const int32_t* positions_n, const float* frequencies, double scale, float* cos, float* sin,
                     int64_t n, int64_t half, void* stream);
  /* y (rows of y_stride elements) = x (rows of x_stride elements, heads * 2 * half used of each) turned; y may be x. */
  int (*rope_rotate)(int dtype, const void* x, int64_t x_stride, void* y, int64_t y_stride, const float* cos,
                     const float* sin, int64_t n, int64_t heads, int64_t half, int inverse, void* stream);

  /* gate and up are rows of f elements, `stride` apart; y_nf and dy_nf are dense. dgate, dup: rows `gradient_stride`
   * apart, may be gate and up. The backward writes y_nf once more, too. */
  int (*swiglu_forward)(int dtype, const void* gate, const void* up, int64_t stride, void* y_nf, int64_t n, int64_t f,
                        void* stream);
  int (*swiglu_backward)(int dtype, const void* dy_nf, const void* gate, const void* up, int64_t stride, void* dgate,
                         void* dup, int64_t gradient_stride, void* y_nf, int64_t n, int64_t f, void* stream);

  /* y[i] = x[rows[i]], and y[rows[i]] = x[i] (rows are distinct). */
  int (*gather_rows)(int dtype, const int64_t* rows_k, const void* x_nd, void* y_kd, int64_t k, int64_t d,
                     void* stream);
  int (*scatter_rows)(int dtype, const int64_t* rows_k, const void* x_kd, void* y_nd, int64_t k, int64_t d,
                      void* stream);
  /* dw[sorted_ids[i]] += dy[order[i]], summed in the order of i in pieces of STEERLM_EMBEDDING_ROWS; sorted_ids rise,
   * and order is the stable permutation that sorts them. partial: embedding_workspace(n, d) bytes. */
  int64_t (*embedding_workspace)(int64_t n, int64_t d);
  int (*embedding_backward)(int dtype, const void* dy_nd, const int64_t* sorted_ids_n, const int64_t* order_n,
                            float* dw_vd, void* partial, int64_t n, int64_t d, void* stream);

  /* Of k rows of logits (row_stride elements apart): log_p_k = log softmax(logits)[target]. With dlogits not null,
   * which may be logits: dlogits = scale * weight * (softmax - onehot(target)) in the same dtype. loss_sum (1) fp64 +=
   * sum of -weight * log_p, in the order of rows, where it is not null. Softmax in fp32 with the maximum subtracted. */
  int (*cross_entropy)(int dtype, const void* logits_kv, int64_t row_stride, const int64_t* targets_k,
                       const float* weights_k, double scale, void* dlogits_kv, float* log_p_k, double* loss_sum,
                       int64_t k, int64_t v, void* stream);

  /* One AdamW step (formula of steerlm/kernels/adamw.h) on fp32 w, g, m, v; copy bf16 or null. loss_sum and norm are
   * one fp64 value each on the device: where one is not finite nothing is written; g is taken times largest_norm > 0 ?
   * min(1, largest_norm / (norm + 1e-6)) : 1. Pointers are multiples of 256 bytes. */
  int (*adamw)(float* w, const float* g, float* m, float* v, void* copy, int64_t count, double learning_rate,
               double decay, double beta1, double beta2, double eps, double correction1, double root_correction2,
               const double* loss_sum, const double* norm, double largest_norm, void* stream);
  /* norm (1) fp64 = sqrt of the sum of squares of x fp32: pieces of STEERLM_NORM_PIECE elements, then the pieces in
   * order. partial: one fp64 a piece. */
  int (*global_norm)(const float* x, int64_t count, double* partial, double* norm, void* stream);

  /* Writes row i of k and v (n, g, e), rows k_stride and v_stride apart, to token position_n[i] of slot slot_n[i] of
   * the caches (r, g, t, e); a negative position: nothing. */
  int (*cache_write)(int dtype, const void* k_nge, int64_t k_stride, const void* v_nge, int64_t v_stride,
                     const int32_t* slot_n, const int32_t* position_n, void* k_cache_rgte, void* v_cache_rgte,
                     int64_t n, int64_t g, int64_t t, int64_t e, void* stream);
  /* One query row a slot against the first lengths_r[row] cached tokens of the slot, of which `window` > 0 keeps the
   * last; 0 tokens give zeros. `longest` bounds lengths_r (the grid). workspace: decode_attention_workspace bytes. */
  int64_t (*decode_attention_workspace)(int64_t r, int64_t h, int64_t e, int64_t longest);
  int (*decode_attention)(int dtype, const void* q_rhe, int64_t q_stride, const void* k_cache_rgte,
                          const void* v_cache_rgte, const int32_t* lengths_r, void* out_rhe, void* workspace, int64_t r,
                          int64_t h, int64_t g, int64_t t, int64_t e, int64_t longest, int64_t window, double scale,
                          void* stream);

  /* One token of each row of logits, as steerlm/kernels/sampling.h says, by the draws uniform_r in [0, 1); a negative
   * one: the row is left out, id_r -1 and log_p_r 0. id_r -1 and log_p_r NaN where a logit of the row is not finite. */
  int (*sample)(int dtype, const void* logits_rv, int64_t row_stride, const double* uniform_r, double temperature,
                int64_t top_k, double top_p, int32_t* id_r, double* log_p_r, int64_t r, int64_t v, void* stream);

  /* What a decode step enqueues, recorded once and replayed (CUDA graphs). Capture runs on a stream of its own, which
   * `begin` makes ATen's current one and `end` puts back. */
  void* (*graph_begin)(int device); /* null: failed */
  int (*graph_end)(void* graph);
  int (*graph_replay)(void* graph);
  void (*graph_free)(void* graph);
} SteerlmCudaTable;

/* The one symbol that the library exports. */
const SteerlmCudaTable* steerlm_cuda_table(void);

#ifdef __cplusplus
}
#endif
#endif
