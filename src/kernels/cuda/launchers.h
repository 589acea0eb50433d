// The launchers that SteerlmCudaTable holds, one function a member and of the same name; what they do is said there.
// No header of CUDA: table.cpp is compiled without them.
#pragma once

#include "kernels/table.h"

namespace steerlm_cuda {

const char* error_text(int status);
int card_count(int* count);
int card(int index, SteerlmCard* card);
int free_memory(int index, int64_t* bytes);
int synchronize(void* stream);

int rms_norm_forward(int dtype, const void* x_nd, const void* residual_nd, const void* w_d, void* sum_nd, void* y_nd,
                     float* rstd_n, int64_t n, int64_t d, double eps, void* stream);
int rms_norm_recompute(int dtype, const void* x_nd, const void* w_d, const float* rstd_n, void* y_nd, int64_t n,
                       int64_t d, void* stream);
int rms_norm_backward(int dtype, const void* dy_nd, const void* x_nd, const void* w_d, const float* rstd_n,
                      const void* dresidual_nd, void* dx_nd, float* partial, float* dw_d, int64_t n, int64_t d,
                      void* stream);

int rope_angles(const int32_t* positions_n, const float* frequencies, double scale, float* cos, float* sin, int64_t n,
                int64_t half, void* stream);
int rope_rotate(int dtype, const void* x, int64_t x_stride, void* y, int64_t y_stride, const float* cos,
                const float* sin, int64_t n, int64_t heads, int64_t half, int inverse, void* stream);

int swiglu_forward(int dtype, const void* gate, const void* up, int64_t stride, void* y_nf, int64_t n, int64_t f,
                   void* stream);
int swiglu_backward(int dtype, const void* dy_nf, const void* gate, const void* up, int64_t stride, void* dgate,
                    void* dup, int64_t gradient_stride, void* y_nf, int64_t n, int64_t f, void* stream);

int gather_rows(int dtype, const int64_t* rows_k, const void* x_nd, void* y_kd, int64_t k, int64_t d, void* stream);
int scatter_rows(int dtype, const int64_t* rows_k, const void* x_kd, void* y_nd, int64_t k, int64_t d, void* stream);
int64_t embedding_workspace(int64_t n, int64_t d);
int embedding_backward(int dtype, const void* dy_nd, const int64_t* sorted_ids_n, const int64_t* order_n, float* dw_vd,
                       void* partial, int64_t n, int64_t d, void* stream);

int cross_entropy(int dtype, const void* logits_kv, int64_t row_stride, const int64_t* targets_k,
                  const float* weights_k, double scale, void* dlogits_kv, float* log_p_k, double* loss_sum, int64_t k,
                  int64_t v, void* stream);

int adamw(float* w, const float* g, float* m, float* v, void* copy, int64_t count, double learning_rate, double decay,
          double beta1, double beta2, double eps, double correction1, double root_correction2, const double* loss_sum,
          const double* norm, double largest_norm, void* stream);
int global_norm(const float* x, int64_t count, double* partial, double* norm, void* stream);

int cache_write(int dtype, const void* k_nge, int64_t k_stride, const void* v_nge, int64_t v_stride,
                const int32_t* slot_n, const int32_t* position_n, void* k_cache_rgte, void* v_cache_rgte, int64_t n,
                int64_t g, int64_t t, int64_t e, void* stream);
int64_t decode_attention_workspace(int64_t r, int64_t h, int64_t e, int64_t longest);
int decode_attention(int dtype, const void* q_rhe, int64_t q_stride, const void* k_cache_rgte, const void* v_cache_rgte,
                     const int32_t* lengths_r, void* out_rhe, void* workspace, int64_t r, int64_t h, int64_t g,
                     int64_t t, int64_t e, int64_t longest, int64_t window, double scale, void* stream);

int sample(int dtype, const void* logits_rv, int64_t row_stride, const double* uniform_r, double temperature,
           int64_t top_k, double top_p, int32_t* id_r, double* log_p_r, int64_t r, int64_t v, void* stream);

void* graph_begin(int device);
int graph_end(void* graph);
int graph_replay(void* graph);
void graph_free(void* graph);

}  // namespace steerlm_cuda
