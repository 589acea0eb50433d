#include "kernels/attention_cuda.h"

#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"
#include "steerlm/kernels/device.h"

namespace steerlm {
namespace {

// Masks of ATen's memory-efficient attention: query i sees the keys 0 … i, or 0 … i + keys - queries.
constexpr std::int64_t causal_from_top_left = 1, causal_from_bottom_right = 2;

double scale_of(const at::Tensor& q) { return 1 / std::sqrt(static_cast<double>(q.size(-1))); }

// ATen's kernels read 16 bytes at a time and check less than that.
void check_view(const at::Tensor& x) {
  const std::int64_t vector = 16 / static_cast<std::int64_t>(x.element_size());
  bool aligned = reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % 16 == 0 && (x.stride(-1) == 1);
  for (std::int64_t dim = 0; dim + 1 < x.dim(); ++dim)
    aligned = aligned && (x.size(dim) <= 1 || x.stride(dim) % vector == 0);
  require(aligned, "attention on a GPU: rows of heads begin at multiples of 16 bytes");
}

void check_on_gpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  require_one_device("attention: one device", q, k, v);
  cuda_dtype(q);
  require(k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type(), "attention: one dtype");
  require(q.size(-1) % 8 == 0 && q.size(-1) <= 256,
          "attention on a GPU: the head width is a multiple of 8 and at most 256");
  for (const at::Tensor* x : {&q, &k, &v}) check_view(*x);
}

// Both kernels' windows, the same in forward and backward. A window that hides nothing is none: with one, other kernels
// run, which round differently, and it would depend on the pack.
struct Window {
  std::optional<std::int64_t> left, right, size;
};
Window window_of(std::int64_t window, std::int64_t longest) {
  if (window <= 0 || window >= longest) return {};
  return {window - 1, 0, window};
}

// Whole sequences that one call takes: tokens begin … end-1.
struct Group {
  std::int64_t begin, end, longest;
  at::Tensor cu_seqlens;  // int32, from 0
};

Group group_of(const PackedSequences& sequences, std::int64_t first, std::int64_t last) {
  const std::vector<std::int64_t>& cu = sequences.cu_seqlens;
  Group group{cu[first], cu[last], 0, sequences.cu_seqlens_device};
  if (last - first + 1 != static_cast<std::int64_t>(cu.size()))
    group.cu_seqlens = sequences.cu_seqlens_device.narrow(0, first, last - first + 1).sub(cu[first]);
  for (std::int64_t s = first; s < last; ++s) group.longest = std::max(group.longest, cu[s + 1] - cu[s]);
  return group;
}

// A sequence is one block of a grid whose limit is 65,535. The backward of FlashAttention computes 128 * sequences * h
// * e in 32 bits, e rounded up to what its kernels have; memory-efficient attention has h rows of the longest's length,
// rounded to 32, a sequence, and counts them in 32 bits.
std::vector<Group> groups_of(const at::Tensor& q_nhe, const PackedSequences& sequences) {
  const std::vector<std::int64_t>& cu = sequences.cu_seqlens;
  const std::int64_t h = q_nhe.size(1), e = q_nhe.size(2), round = e <= 128 ? 32 : 64;
  const std::int64_t a_sequence = q_nhe.scalar_type() == at::kBFloat16 ? 128 * h * ((e + round - 1) / round * round)
                                                                       : h * ((sequences.longest + 31) / 32 * 32);
  const std::int64_t most = std::clamp<std::int64_t>(std::numeric_limits<std::int32_t>::max() / a_sequence, 1, 65535);
  const auto count = static_cast<std::int64_t>(cu.size()) - 1;
  if (count == 0) return {};
  require(sequences.cu_seqlens_device.defined() && sequences.cu_seqlens_device.device() == q_nhe.device(),
          "attention: sequences of this device");
  if (count <= most) return {{0, cu.back(), sequences.longest, sequences.cu_seqlens_device}};
  std::vector<Group> groups;
  for (std::int64_t first = 0; first < count; first += most)
    groups.push_back(group_of(sequences, first, std::min(first + most, count)));
  return groups;
}

// What a call of FlashAttention's deterministic backward on sequences first … last-1 takes, in query-key pairs that one
// block of threads walks over. It has ceil(132 / (sequences * heads)) blocks for each sequence and head, one a
// multiprocessor at a time: the longest sequence's block sets the time, or all pairs shared by whole waves of blocks.
// The 132 are an H100's, whatever the card, so that sums are made in the same order on all.
struct Spans {
  std::vector<double> pairs_before;  // (b+1) sums of squared lengths
  std::vector<double> pairs;         // (b)
  double heads;

  double cost(std::int64_t first, std::int64_t last) const {
    constexpr double multiprocessors = 132;
    const double rows = static_cast<double>(last - first) * heads, splits = std::ceil(multiprocessors / rows);
    const double waves = std::ceil(rows * splits / multiprocessors);
    const double all = (pairs_before[last] - pairs_before[first]) * heads;
    const double longest = *std::max_element(pairs.begin() + first, pairs.begin() + last);
    return std::max(longest / splits, all / (rows * splits) * waves);
  }
};

// Splits a pack for the backward where that pays more than the calls cost: a long sequence among short ones, or a
// number of blocks that leaves a second wave half empty.
void add_balanced_groups(const Spans& spans, const PackedSequences& sequences, std::int64_t first, std::int64_t last,
                         double call, std::vector<Group>& groups) {
  std::int64_t best = last;
  double least = spans.cost(first, last);
  for (std::int64_t middle = first + 1; middle < last; ++middle) {
    const double cost = spans.cost(first, middle) + spans.cost(middle, last) + call;
    if (cost < least) {
      least = cost;
      best = middle;
    }
  }
  if (best == last) {
    groups.push_back(group_of(sequences, first, last));
    return;
  }
  add_balanced_groups(spans, sequences, first, best, call, groups);
  add_balanced_groups(spans, sequences, best, last, call, groups);
}

std::vector<Group> balanced_groups(const PackedSequences& sequences, std::int64_t heads, std::int64_t width) {
  constexpr std::int64_t most = 512;        // sequences among which a better split is sought: the search is quadratic
  constexpr double pairs_in_60_us = 400e3;  // of heads of 64; what one more call costs
  const std::vector<std::int64_t>& cu = sequences.cu_seqlens;
  const auto count = static_cast<std::int64_t>(cu.size()) - 1;
  Spans spans{{0}, {}, static_cast<double>(heads)};
  for (std::int64_t s = 0; s < count; ++s) {
    spans.pairs.push_back(std::pow(static_cast<double>(cu[s + 1] - cu[s]), 2));
    spans.pairs_before.push_back(spans.pairs_before.back() + spans.pairs.back());
  }
  const double call = pairs_in_60_us * 64 / static_cast<double>(width);
  std::vector<Group> groups;
  if (count > most || spans.cost(0, count) < call)
    groups.push_back(group_of(sequences, 0, count));
  else
    add_balanced_groups(spans, sequences, 0, count, call, groups);
  return groups;
}

at::Tensor part(const at::Tensor& x, const Group& group) { return x.narrow(0, group.begin, group.end - group.begin); }

// A longest of 1 is another kernel with other assumptions; 2 only sizes the grid.
std::int64_t at_least_two(std::int64_t longest) { return std::max<std::int64_t>(2, longest); }

}  // namespace

AttentionOutput attention_forward_on_gpu(const at::Tensor& q_nhe, const at::Tensor& k_nge, const at::Tensor& v_nge,
                                         const PackedSequences& sequences, std::int64_t window) {
  check_on_gpu(q_nhe, k_nge, v_nge);
  const bool flash = q_nhe.scalar_type() == at::kBFloat16;
  const std::vector<Group> groups = groups_of(q_nhe, sequences);
  const Window limits = window_of(window, sequences.longest);
  const at::Tensor k = flash ? k_nge : repeat_heads(k_nge, q_nhe.size(1)),
                   v = flash ? v_nge : repeat_heads(v_nge, q_nhe.size(1));
  AttentionOutput output;
  if (groups.size() != 1) output.out_nhe = at::empty(q_nhe.sizes(), q_nhe.options());
  for (const Group& group : groups) {
    at::Tensor out, logsumexp;
    if (flash) {
      const std::int64_t longest = at_least_two(group.longest);
      std::tie(out, logsumexp, output.rng_state, output.unused, std::ignore) = at::_flash_attention_forward(
          part(q_nhe, group), part(k, group), part(v, group), group.cu_seqlens, group.cu_seqlens, longest, longest, 0.0,
          /*is_causal=*/true, /*return_debug_mask=*/false, scale_of(q_nhe), limits.left, limits.right);
    } else {
      std::tie(out, logsumexp, output.rng_state, output.unused, std::ignore, std::ignore) =
          at::_efficient_attention_forward(part(q_nhe, group).unsqueeze(0), part(k, group).unsqueeze(0),
                                           part(v, group).unsqueeze(0), std::nullopt, group.cu_seqlens,
                                           group.cu_seqlens, group.longest, group.longest, 0.0, causal_from_top_left,
                                           /*compute_log_sumexp=*/true, scale_of(q_nhe), std::nullopt, limits.size);
      out = out.squeeze(0);
    }
    output.logsumexp.push_back(logsumexp);
    if (groups.size() == 1)
      output.out_nhe = out;
    else
      part(output.out_nhe, group).copy_(out);
  }
  return output;
}

AttentionGradients attention_backward_on_gpu(const at::Tensor& dout_nhe, const at::Tensor& q_nhe,
                                             const at::Tensor& k_nge, const at::Tensor& v_nge,
                                             const AttentionOutput& saved, const PackedSequences& sequences,
                                             std::int64_t window) {
  check_on_gpu(q_nhe, k_nge, v_nge);
  require_one_device("attention: one device", q_nhe, dout_nhe, saved.out_nhe);
  const bool flash = q_nhe.scalar_type() == at::kBFloat16;
  std::vector<Group> groups = groups_of(q_nhe, sequences);
  require(saved.logsumexp.size() == groups.size(), "attention_backward: what the forward of the same pack has saved");
  std::vector<at::Tensor> logsumexp = saved.logsumexp;
  if (flash && groups.size() == 1) {
    groups = balanced_groups(sequences, q_nhe.size(1), q_nhe.size(2));
    if (groups.size() > 1) {  // (h, n)
      logsumexp.clear();
      for (const Group& group : groups)
        logsumexp.push_back(saved.logsumexp[0].narrow(1, group.begin, group.end - group.begin).contiguous());
    }
  }
  const Window limits = window_of(window, sequences.longest);
  const std::int64_t g = k_nge.size(1);
  const at::Tensor dout = dout_nhe.contiguous();
  const at::Tensor k = flash ? k_nge : repeat_heads(k_nge, q_nhe.size(1)),
                   v = flash ? v_nge : repeat_heads(v_nge, q_nhe.size(1));
  AttentionGradients gradients;
  if (groups.size() != 1) {
    gradients.dq_nhe = at::empty(q_nhe.sizes(), q_nhe.options());
    gradients.dk_nge = at::empty(k_nge.sizes(), q_nhe.options());
    gradients.dv_nge = at::empty(k_nge.sizes(), q_nhe.options());
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    const Group& group = groups[i];
    at::Tensor dq, dk, dv;
    if (flash) {
      const std::int64_t longest = at_least_two(group.longest);
      std::tie(dq, dk, dv) = at::_flash_attention_backward(
          part(dout, group), part(q_nhe, group), part(k, group), part(v, group), part(saved.out_nhe, group),
          logsumexp[i], group.cu_seqlens, group.cu_seqlens, longest, longest, 0.0, /*is_causal=*/true, saved.rng_state,
          saved.unused, scale_of(q_nhe), limits.left, limits.right);
    } else {
      // One split of the keys: more would be added in whatever order they finish.
      std::tie(dq, dk, dv, std::ignore) = at::_efficient_attention_backward(
          part(dout, group).unsqueeze(0), part(q_nhe, group).unsqueeze(0), part(k, group).unsqueeze(0),
          part(v, group).unsqueeze(0), std::nullopt, part(saved.out_nhe, group).unsqueeze(0), group.cu_seqlens,
          group.cu_seqlens, group.longest, group.longest, logsumexp[i], 0.0, saved.rng_state, saved.unused,
          causal_from_top_left, /*bias_requires_grad=*/false, scale_of(q_nhe), /*num_splits_key=*/1, limits.size);
      dq = dq.squeeze(0);
      dk = sum_heads(dk.squeeze(0), g);
      dv = sum_heads(dv.squeeze(0), g);
    }
    if (groups.size() == 1) {
      gradients = {dq, dk, dv};
    } else {
      part(gradients.dq_nhe, group).copy_(dq);
      part(gradients.dk_nge, group).copy_(dk);
      part(gradients.dv_nge, group).copy_(dv);
    }
  }
  return gradients;
}

at::Tensor cached_attention_on_gpu(const at::Tensor& q_nhe, const at::Tensor& k_gte, const at::Tensor& v_gte,
                                   std::int64_t window) {
  const std::int64_t n = q_nhe.size(0), t = k_gte.size(1);
  if (n == 0) return at::empty(q_nhe.sizes(), q_nhe.options());
  const at::Tensor k_tge = k_gte.transpose(0, 1), v_tge = v_gte.transpose(0, 1);
  check_on_gpu(q_nhe, k_tge, v_tge);
  require(t <= std::numeric_limits<std::int32_t>::max(), "cached_attention: positions are 32 bits");
  const Window limits = window_of(window, t);
  if (q_nhe.scalar_type() == at::kBFloat16) {
    const auto ends = [&](std::int64_t end) {
      return to_device(std::vector<std::int32_t>{0, static_cast<std::int32_t>(end)}, q_nhe.device());
    };
    return std::get<0>(at::_flash_attention_forward(q_nhe, k_tge, v_tge, ends(n), ends(t), at_least_two(n),
                                                    at_least_two(t), 0.0, /*is_causal=*/true,
                                                    /*return_debug_mask=*/false, scale_of(q_nhe), limits.left,
                                                    limits.right))
        .contiguous();
  }
  const at::Tensor k_the = repeat_heads(k_tge, q_nhe.size(1)), v_the = repeat_heads(v_tge, q_nhe.size(1));
  return std::get<0>(at::_efficient_attention_forward(
                         q_nhe.unsqueeze(0), k_the.unsqueeze(0), v_the.unsqueeze(0), std::nullopt, std::nullopt,
                         std::nullopt, std::nullopt, std::nullopt, 0.0, causal_from_bottom_right,
                         /*compute_log_sumexp=*/false, scale_of(q_nhe), std::nullopt, limits.size))
      .squeeze(0)
      .contiguous();
}

void cache_write_on_gpu(const at::Tensor& k_nge, const at::Tensor& v_nge, const at::Tensor& slots_n,
                        const at::Tensor& positions_n, at::Tensor& k_rgte, at::Tensor& v_rgte) {
  require_one_device("cache_write: one device", k_rgte, v_rgte, k_nge, v_nge, slots_n, positions_n);
  const std::int64_t n = k_nge.size(0), g = k_nge.size(1), e = k_nge.size(2);
  if (n == 0) return;
  const auto dense_rows = [&](const at::Tensor& x) {
    return x.sizes() == k_nge.sizes() && x.scalar_type() == k_rgte.scalar_type() && x.stride(2) == 1 &&
           (g == 1 || x.stride(1) == e);
  };
  require(dense_rows(k_nge) && dense_rows(v_nge) && k_rgte.dim() == 4 && k_rgte.size(1) == g && k_rgte.size(3) == e &&
              v_rgte.sizes() == k_rgte.sizes() && v_rgte.scalar_type() == k_rgte.scalar_type() &&
              k_rgte.is_contiguous() && v_rgte.is_contiguous() && slots_n.is_contiguous() &&
              positions_n.is_contiguous(),
          "cache_write: k and v are (n, g, e), their rows dense, the caches (r, g, t, e)");
  check_launch(cuda().cache_write(cuda_dtype(k_rgte), k_nge.const_data_ptr(), k_nge.stride(0), v_nge.const_data_ptr(),
                                  v_nge.stride(0), slots_n.const_data_ptr<std::int32_t>(),
                                  positions_n.const_data_ptr<std::int32_t>(), k_rgte.mutable_data_ptr(),
                                  v_rgte.mutable_data_ptr(), n, g, k_rgte.size(2), e, stream_of(k_rgte.device())),
               "cache_write");
}

at::Tensor decode_attention_on_gpu(const at::Tensor& q_rhe, const at::Tensor& k_rgte, const at::Tensor& v_rgte,
                                   const at::Tensor& lengths_r, std::int64_t longest, std::int64_t window) {
  require_one_device("decode_attention: one device", q_rhe, k_rgte, v_rgte, lengths_r);
  require(q_rhe.dim() == 3 && k_rgte.dim() == 4 && v_rgte.sizes() == k_rgte.sizes() && k_rgte.is_contiguous() &&
              v_rgte.is_contiguous() && lengths_r.is_contiguous() && k_rgte.size(3) == q_rhe.size(2) &&
              q_rhe.size(1) % k_rgte.size(1) == 0 && k_rgte.scalar_type() == q_rhe.scalar_type() &&
              v_rgte.scalar_type() == q_rhe.scalar_type() && q_rhe.stride(2) == 1 &&
              (q_rhe.size(1) == 1 || q_rhe.stride(1) == q_rhe.size(2)),
          "decode_attention: q is (r, h, e), its rows dense, k and v are (r, g, t, e)");
  require(q_rhe.size(2) % 8 == 0 && q_rhe.size(2) <= 256,
          "attention on a GPU: the head width is a multiple of 8 and at most 256");
  const std::int64_t r = q_rhe.size(0), h = q_rhe.size(1), e = q_rhe.size(2);
  at::Tensor out_rhe = at::empty(q_rhe.sizes(), q_rhe.options());
  const at::Tensor workspace =
      at::empty({cuda().decode_attention_workspace(r, h, e, longest)}, q_rhe.options().dtype(at::kByte));
  check_launch(
      cuda().decode_attention(cuda_dtype(q_rhe), q_rhe.const_data_ptr(), q_rhe.stride(0), k_rgte.const_data_ptr(),
                              v_rgte.const_data_ptr(), lengths_r.const_data_ptr<std::int32_t>(),
                              out_rhe.mutable_data_ptr(), workspace.mutable_data_ptr(), r, h, k_rgte.size(1),
                              k_rgte.size(2), e, longest, window, scale_of(q_rhe), stream_of(q_rhe.device())),
      "decode_attention");
  return out_rhe;
}

}  // namespace steerlm
