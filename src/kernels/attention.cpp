#include "steerlm/kernels/attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

#include "kernels/attention_blocks.h"
#include "kernels/attention_cuda.h"
#include "kernels/dispatch.h"
#include "kernels/loops.h"
#include "steerlm/kernels/device.h"

namespace steerlm {

at::Tensor repeat_heads(const at::Tensor& x_nge, std::int64_t heads) {
  const std::int64_t n = x_nge.size(0), g = x_nge.size(1), e = x_nge.size(2);
  if (g == heads) return x_nge;
  return x_nge.unsqueeze(2).expand({n, g, heads / g, e}).reshape({n, heads, e});
}

at::Tensor sum_heads(const at::Tensor& dx_nhe, std::int64_t g) {
  const std::int64_t n = dx_nhe.size(0), h = dx_nhe.size(1), e = dx_nhe.size(2);
  if (g == h) return dx_nhe;
  return dx_nhe.reshape({n, g, h / g, e}).sum(2);
}

namespace {

// Tokens begin … end-1 as the (1, h, t, e) view that ATen's kernels take; nothing is copied.
at::Tensor segment(const at::Tensor& x_nhe, std::int64_t begin, std::int64_t end) {
  return x_nhe.narrow(0, begin, end - begin).transpose(0, 1).unsqueeze(0);
}

void check(const at::Tensor& q_nhe, const at::Tensor& k_nge, const at::Tensor& v_nge,
           const std::vector<std::int64_t>& cu_seqlens) {
  require(q_nhe.dim() == 3 && k_nge.dim() == 3 && k_nge.sizes() == v_nge.sizes() && q_nhe.size(2) == k_nge.size(2) &&
              q_nhe.size(0) == k_nge.size(0) && q_nhe.size(1) % k_nge.size(1) == 0,
          "attention: q is (n, h, e), k and v are (n, g, e), g divides h");
  require(!cu_seqlens.empty() && cu_seqlens.front() == 0 && cu_seqlens.back() == q_nhe.size(0),
          "attention: cu_seqlens covers n");
  for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    require(cu_seqlens[s] < cu_seqlens[s + 1], "attention: an empty sequence");  // ATen's kernel divides by its length
  }
}

// One call of ATen's kernel. With fewer than 32 queries its last bits depend on the number of threads.
struct Call : AttentionSpan {
  bool plain;  // causal without a window: the kernel's own mask does

  at::Tensor of_queries(const at::Tensor& x_nhe) const { return segment(x_nhe, query_begin, query_end); }
  at::Tensor of_keys(const at::Tensor& x_nhe) const { return segment(x_nhe, key_begin, key_end); }
};

// A sequence longer than its window is cut into blocks of queries, so that the cost stays linear in its length.
std::vector<Call> calls_of(const std::vector<std::int64_t>& cu_seqlens, std::int64_t window) {
  constexpr std::int64_t smallest_block = 128;
  std::vector<Call> calls;
  for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    const std::int64_t begin = cu_seqlens[s], end = cu_seqlens[s + 1];
    if (window == 0 || end - begin <= window) {
      calls.push_back({{begin, end, begin, end}, true});
      continue;
    }
    const std::int64_t block = std::max(window, smallest_block);
    for (std::int64_t from = begin; from < end; from += block) {
      const std::int64_t to = std::min(from + block, end);
      calls.push_back({{from, to, std::max(begin, from - window + 1), to}, false});
    }
  }
  return calls;
}

// (1, 1, q, k), 0 where query i, at position first + i from the first key, sees key j, -inf elsewhere.
at::Tensor window_mask(std::int64_t queries, std::int64_t keys, std::int64_t first, std::int64_t window,
                       const at::TensorOptions& options) {
  const at::Tensor distance = at::arange(first, first + queries).unsqueeze(1).sub(at::arange(keys).unsqueeze(0));
  at::Tensor hidden = distance.lt(0);
  if (window > 0) hidden = hidden.logical_or(distance.ge(window));
  return at::zeros({queries, keys}, options)
      .masked_fill_(hidden, -std::numeric_limits<double>::infinity())
      .unsqueeze(0)
      .unsqueeze(0);
}

std::optional<at::Tensor> mask_of(const Call& call, std::int64_t window, const at::TensorOptions& options) {
  if (call.plain) return std::nullopt;
  return window_mask(call.query_end - call.query_begin, call.key_end - call.key_begin,
                     call.query_begin - call.key_begin, window, options);
}

// Each sequence's queries against its keys.
std::vector<AttentionSpan> spans_of(const PackedSequences& sequences) {
  std::vector<AttentionSpan> spans;
  for (size_t s = 0; s + 1 < sequences.cu_seqlens.size(); ++s) {
    const std::int64_t begin = sequences.cu_seqlens[s], end = sequences.cu_seqlens[s + 1];
    spans.push_back({begin, end, begin, end});
  }
  return spans;
}

}  // namespace

PackedSequences::PackedSequences(std::vector<std::int64_t> given, at::Device device) : cu_seqlens(std::move(given)) {
  for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s) longest = std::max(longest, cu_seqlens[s + 1] - cu_seqlens[s]);
  if (device.is_cuda())
    cu_seqlens_device = to_device(std::vector<std::int32_t>(cu_seqlens.begin(), cu_seqlens.end()), device);
}

AttentionOutput attention_forward(const at::Tensor& q_nhe, const at::Tensor& k_nge, const at::Tensor& v_nge,
                                  const PackedSequences& sequences, std::int64_t window) {
  check(q_nhe, k_nge, v_nge, sequences.cu_seqlens);
  if (q_nhe.is_cuda()) return attention_forward_on_gpu(q_nhe, k_nge, v_nge, sequences, window);
  if (attention_is_by_blocks(q_nhe.scalar_type())) {
    AttentionOutput output{.out_nhe = at::empty_like(q_nhe, at::MemoryFormat::Contiguous)};
    output.logsumexp.push_back(at::empty({q_nhe.size(0), q_nhe.size(1)}, q_nhe.options()));
    attention_blocks_forward(q_nhe, k_nge, v_nge, spans_of(sequences), window, output.out_nhe, output.logsumexp[0]);
    return output;
  }
  const at::Tensor k_nhe = repeat_heads(k_nge, q_nhe.size(1));
  const at::Tensor v_nhe = repeat_heads(v_nge, q_nhe.size(1));
  AttentionOutput output{.out_nhe = at::empty_like(q_nhe)};
  for (const Call& call : calls_of(sequences.cu_seqlens, window)) {
    auto [out, logsumexp] = at::_scaled_dot_product_flash_attention_for_cpu(
        call.of_queries(q_nhe), call.of_keys(k_nhe), call.of_keys(v_nhe), 0.0, /*is_causal=*/call.plain,
        mask_of(call, window, q_nhe.options()));
    segment(output.out_nhe, call.query_begin, call.query_end).copy_(out);
    output.logsumexp.push_back(logsumexp);
  }
  return output;
}

AttentionGradients attention_backward(const at::Tensor& dout_nhe, const at::Tensor& q_nhe, const at::Tensor& k_nge,
                                      const at::Tensor& v_nge, const AttentionOutput& saved,
                                      const PackedSequences& sequences, std::int64_t window) {
  check(q_nhe, k_nge, v_nge, sequences.cu_seqlens);
  if (q_nhe.is_cuda()) return attention_backward_on_gpu(dout_nhe, q_nhe, k_nge, v_nge, saved, sequences, window);
  if (attention_is_by_blocks(q_nhe.scalar_type()))
    return attention_blocks_backward(dout_nhe, q_nhe, k_nge, v_nge, saved.out_nhe, saved.logsumexp[0],
                                     spans_of(sequences), window);
  const at::Tensor k_nhe = repeat_heads(k_nge, q_nhe.size(1));
  const at::Tensor v_nhe = repeat_heads(v_nge, q_nhe.size(1));
  at::Tensor dq_nhe = at::empty_like(q_nhe);
  // A key of a windowed sequence is seen by two blocks of queries.
  at::Tensor dk_nhe = at::zeros_like(q_nhe);
  at::Tensor dv_nhe = at::zeros_like(q_nhe);
  const std::vector<Call> calls = calls_of(sequences.cu_seqlens, window);
  for (size_t i = 0; i < calls.size(); ++i) {
    const Call& call = calls[i];
    auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        call.of_queries(dout_nhe), call.of_queries(q_nhe), call.of_keys(k_nhe), call.of_keys(v_nhe),
        call.of_queries(saved.out_nhe), saved.logsumexp[i], 0.0, /*is_causal=*/call.plain,
        mask_of(call, window, q_nhe.options()));
    segment(dq_nhe, call.query_begin, call.query_end).copy_(dq);
    segment(dk_nhe, call.key_begin, call.key_end).add_(dk);
    segment(dv_nhe, call.key_begin, call.key_end).add_(dv);
  }
  return {dq_nhe, sum_heads(dk_nhe, k_nge.size(1)), sum_heads(dv_nhe, k_nge.size(1))};
}

at::Tensor cached_attention(const at::Tensor& q_nhe, const at::Tensor& k_gte, const at::Tensor& v_gte,
                            std::int64_t window) {
  const std::int64_t n = q_nhe.size(0), t = k_gte.size(1);
  require(t >= n && q_nhe.size(1) % k_gte.size(0) == 0,
          "cached_attention: q is (n, h, e), k and v are (g, t, e), t >= n");
  if (q_nhe.is_cuda()) return cached_attention_on_gpu(q_nhe, k_gte, v_gte, window);
  if (attention_is_by_blocks(q_nhe.scalar_type())) {
    at::Tensor out_nhe = at::empty_like(q_nhe, at::MemoryFormat::Contiguous), not_wanted;
    attention_blocks_forward(q_nhe, k_gte.transpose(0, 1), v_gte.transpose(0, 1), {{0, n, 0, t}}, window, out_nhe,
                             not_wanted);
    return out_nhe;
  }
  const at::Tensor k_nhe = repeat_heads(k_gte.transpose(0, 1), q_nhe.size(1)),
                   v_nhe = repeat_heads(v_gte.transpose(0, 1), q_nhe.size(1));
  const Call call{{0, n, 0, t}, false};
  const at::Tensor out = std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
      call.of_queries(q_nhe), call.of_keys(k_nhe), call.of_keys(v_nhe), 0.0, /*is_causal=*/false,
      window_mask(n, t, t - n, window, q_nhe.options())));
  return out.squeeze(0).transpose(0, 1).contiguous();
}

void cache_write(const at::Tensor& k_nge, const at::Tensor& v_nge, const at::Tensor& slots_n,
                 const at::Tensor& positions_n, at::Tensor& k_rgte, at::Tensor& v_rgte) {
  require(slots_n.scalar_type() == at::kInt && positions_n.scalar_type() == at::kInt &&
              slots_n.numel() == k_nge.size(0) && positions_n.numel() == k_nge.size(0),
          "cache_write: a slot and a position a row, int32");
  if (k_rgte.is_cuda()) return cache_write_on_gpu(k_nge, v_nge, slots_n, positions_n, k_rgte, v_rgte);
  require(k_rgte.is_contiguous() && v_rgte.is_contiguous(), "cache_write: contiguous caches");
  const std::int32_t *slot = slots_n.const_data_ptr<std::int32_t>(), *at = positions_n.const_data_ptr<std::int32_t>();
  const std::int64_t groups = k_rgte.size(1), capacity = k_rgte.size(2);
  const std::int64_t row = k_rgte.size(3) * k_rgte.element_size();  // bytes of one head
  const auto write = [&](const at::Tensor& given_nge, at::Tensor& to_rgte) {
    const at::Tensor from_nge = given_nge.contiguous();
    const char* from = static_cast<const char*>(from_nge.const_data_ptr());
    char* to = static_cast<char*>(to_rgte.mutable_data_ptr());
    for (std::int64_t i = 0; i < from_nge.size(0); ++i) {
      for (std::int64_t g = 0; at[i] >= 0 && g < groups; ++g)
        std::memcpy(to + ((slot[i] * groups + g) * capacity + at[i]) * row, from + (i * groups + g) * row,
                    static_cast<size_t>(row));
    }
  };
  write(k_nge, k_rgte);
  write(v_nge, v_rgte);
}

namespace {

// One head of one row: out (e) = softmax(q k^T / sqrt(e)) v over the tokens first … end-1.
template <class T>
void attend(const T* q, const T* k, const T* v, std::int64_t e, std::int64_t first, std::int64_t end, T* out) {
  using A = Accumulate<T>;
  const A scale = A(1) / std::sqrt(A(e));
  std::vector<A> score(static_cast<size_t>(end)), sum(static_cast<size_t>(e), A(0));
  A largest = -std::numeric_limits<A>::infinity();
  for (std::int64_t t = first; t < end; ++t) {
    A dot = 0;
    for (std::int64_t c = 0; c < e; ++c) dot += A(q[c]) * A(k[t * e + c]);
    score[t] = dot * scale;
    largest = std::max(largest, score[t]);
  }
  A total = 0;
  for (std::int64_t t = first; t < end; ++t) {
    const A weight = std::exp(score[t] - largest);
    total += weight;
    for (std::int64_t c = 0; c < e; ++c) sum[c] += weight * A(v[t * e + c]);
  }
  for (std::int64_t c = 0; c < e; ++c) out[c] = T(sum[c] / total);
}

// The same of the heads that share k and v, by loops.h.
template <class T>
void attend_together(const T* q, const T* k, const T* v, std::int64_t heads, std::int64_t e, std::int64_t first,
                     std::int64_t end, T* out) {
  const std::vector<float> q_he(q, q + heads * e);
  std::vector<float> out_he(q_he.size()), scores(static_cast<size_t>(heads * (end - first + 15)));
  loops()->decode_attention({heads, e, first, end, q_he.data(), k, v, std::is_same_v<T, at::BFloat16>,
                             1 / std::sqrt(static_cast<float>(e)), out_he.data()},
                            scores.data());
  std::ranges::transform(out_he, out, [](float value) { return T(value); });
}

}  // namespace

at::Tensor decode_attention(const at::Tensor& q_rhe, const at::Tensor& k_rgte, const at::Tensor& v_rgte,
                            const at::Tensor& lengths_r, std::int64_t longest, std::int64_t window,
                            const at::Tensor& slots_r) {
  require(lengths_r.scalar_type() == at::kInt && lengths_r.numel() == q_rhe.size(0),
          "decode_attention: a length a row, int32");
  if (q_rhe.is_cuda()) {
    require(!slots_r.defined(), "decode_attention: on a GPU row r reads slot r");
    return decode_attention_on_gpu(q_rhe, k_rgte, v_rgte, lengths_r, longest, window);
  }
  const std::int64_t rows = q_rhe.size(0), heads = q_rhe.size(1), e = q_rhe.size(2);
  const std::int64_t groups = k_rgte.size(1), capacity = k_rgte.size(2), shared = heads / groups;
  const std::int32_t* lengths = lengths_r.const_data_ptr<std::int32_t>();
  std::vector<std::int32_t> slots(static_cast<size_t>(rows));
  if (slots_r.defined())
    std::copy_n(slots_r.const_data_ptr<std::int32_t>(), slots.size(), slots.begin());
  else
    std::iota(slots.begin(), slots.end(), 0);
  require(q_rhe.dim() == 3 && k_rgte.dim() == 4 && q_rhe.is_contiguous() && k_rgte.is_contiguous() &&
              v_rgte.is_contiguous() && heads % groups == 0,
          "decode_attention: q is (r, h, e), k and v are (slots, g, t, e)");
  for (size_t row = 0; row < slots.size(); ++row)
    require(lengths[row] == 0 || (lengths[row] <= longest && slots[row] < k_rgte.size(0)),
            "decode_attention: no length above the longest, no row without a slot");
  at::Tensor out_rhe = at::zeros_like(q_rhe);
  dispatch_dtype(q_rhe, [&](auto zero) {
    using T = decltype(zero);
    const T* q_data = q_rhe.const_data_ptr<T>();
    const T* k_data = k_rgte.const_data_ptr<T>();
    const T* v_data = v_rgte.const_data_ptr<T>();
    T* out_data = out_rhe.mutable_data_ptr<T>();
    at::parallel_for(0, rows * groups, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t row = i / groups, group = i % groups, length = lengths[row];
        if (length == 0) continue;
        const std::int64_t first = window > 0 ? std::max<std::int64_t>(0, length - window) : 0;
        const std::int64_t cache = (slots[row] * groups + group) * capacity * e;
        const T *k = k_data + cache, *v = v_data + cache;
        const std::int64_t of_heads = (row * heads + group * shared) * e;
        if constexpr (!std::is_same_v<T, double>) {
          if (loops() != nullptr && e % 16 == 0) {
            attend_together(q_data + of_heads, k, v, shared, e, first, length, out_data + of_heads);
            continue;
          }
        }
        for (std::int64_t head = 0; head < shared; ++head)
          attend(q_data + of_heads + head * e, k, v, e, first, length, out_data + of_heads + head * e);
      }
    });
  });
  return out_rhe;
}

}  // namespace steerlm
