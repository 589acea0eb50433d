#include "kernels/attention_blocks.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/dispatch.h"
#include "kernels/loops.h"
#include "kernels/matmul.h"
#include "kernels/sum_lanes.h"

namespace steerlm {
namespace {

constexpr std::int64_t block_keys = 256;
constexpr std::int64_t block_rows = 84;  // a query for each head that shares the keys: whole tiles of both products

// (tokens, heads, e) as the loops see it.
struct Rows {
  explicit Rows(const at::Tensor& x_nhe)
      : data(x_nhe.const_data_ptr<float>()), token(x_nhe.stride(0)), head(x_nhe.stride(1)) {
    require(x_nhe.scalar_type() == at::kFloat && (x_nhe.stride(2) == 1 || x_nhe.size(2) == 1),
            "attention: rows of fp32");
  }
  const float* at(std::int64_t t, std::int64_t h) const { return data + t * token + h * head; }
  const float* data;
  std::int64_t token, head;
};

// Some queries of a span with the heads of one group: row r is query r / shared of them, head r % shared of the group.
struct Block {
  const AttentionSpan* span;
  std::int64_t group, begin, end;  // queries, counted from the span's first
};

struct Shape {
  Shape(const at::Tensor& q_nhe, const at::Tensor& k_tge, std::int64_t seen_tokens)
      : e(q_nhe.size(2)),
        groups(k_tge.size(1)),
        shared(q_nhe.size(1) / groups),
        queries(std::max<std::int64_t>(1, block_rows / shared)),
        window(seen_tokens),
        scale(1 / std::sqrt(static_cast<float>(e))) {}

  // Keys begin … end-1 of the block of keys from key0 on that the query at `position` sees.
  struct Seen {
    std::int64_t begin, end;
  };
  Seen seen(std::int64_t position, std::int64_t key0, std::int64_t keys) const {
    const std::int64_t first = window > 0 ? std::max<std::int64_t>(0, position - window + 1) : 0;
    return {std::clamp<std::int64_t>(first - key0, 0, keys), std::clamp<std::int64_t>(position + 1 - key0, 0, keys)};
  }
  // Calls act(key0, keys) for the blocks of keys that a query of the block sees.
  template <class Act>
  void for_each_key_block(const Block& block, Act&& act) const {
    const std::int64_t end = position(block, block.end - 1) + 1;
    const std::int64_t first = window > 0 ? std::max<std::int64_t>(0, position(block, block.begin) - window + 1) : 0;
    for (std::int64_t key0 = first / block_keys * block_keys; key0 < end; key0 += block_keys)
      act(key0, std::min(block_keys, end - key0));
  }
  // Of a query among its keys.
  static std::int64_t position(const Block& block, std::int64_t query) {
    const AttentionSpan& s = *block.span;
    return s.key_end - s.key_begin - (s.query_end - s.query_begin) + query;
  }
  std::int64_t rows(const Block& block) const { return (block.end - block.begin) * shared; }
  std::int64_t most_rows() const { return queries * shared; }

  std::int64_t e, groups, shared, queries, window;
  float scale;
};

// The block's rows of x, times `factor`, side by side: (rows, e).
void gather(const Shape& shape, const Block& block, const Rows& x, float factor, float* out) {
  for (std::int64_t query = block.begin; query < block.end; ++query) {
    for (std::int64_t h = 0; h < shape.shared; ++h, out += shape.e) {
      const float* from = x.at(block.span->query_begin + query, block.group * shape.shared + h);
      for (std::int64_t c = 0; c < shape.e; ++c) out[c] = factor * from[c];
    }
  }
}

// scores (rows, keys) = x (rows, e) · the keys' rows of y
void score(const Shape& shape, std::int64_t rows, const float* x, const float* y, std::int64_t y_row, std::int64_t keys,
           float* scores) {
  matmul({.m = rows,
          .n = keys,
          .k = shape.e,
          .a = x,
          .a_row = shape.e,
          .a_column = 1,
          .b = y,
          .b_row = 1,
          .b_column = y_row,
          .c = scores,
          .c_row = block_keys,
          .alpha = 1,
          .add = false});
}

// sum (rows, e) = weights (rows, keys) · the keys' rows of y, or that added
void weigh(const Shape& shape, std::int64_t rows, const float* weights, const float* y, std::int64_t y_row,
           std::int64_t keys, bool add, float* sum) {
  matmul({.m = rows,
          .n = shape.e,
          .k = keys,
          .a = weights,
          .a_row = block_keys,
          .a_column = 1,
          .b = y,
          .b_row = y_row,
          .b_column = 1,
          .c = sum,
          .c_row = shape.e,
          .alpha = 1,
          .add = add});
}

// the keys' rows of sum += weights^T (keys, rows) x (rows, e)
void weigh_back(const Shape& shape, std::int64_t rows, const float* weights, const float* x, std::int64_t keys,
                float* sum, std::int64_t sum_row) {
  matmul({.m = keys,
          .n = shape.e,
          .k = rows,
          .a = weights,
          .a_row = 1,
          .a_column = block_keys,
          .b = x,
          .b_row = shape.e,
          .b_column = 1,
          .c = sum,
          .c_row = sum_row,
          .alpha = 1,
          .add = true});
}

// What is seen becomes exp(score - shift), the rest 0; returns the sum.
float weights_of(float* scores, Shape::Seen seen, std::int64_t keys, float shift) {
  std::fill_n(scores, seen.begin, 0.0f);
  std::fill(scores + seen.end, scores + keys, 0.0f);
  return loops()->exponentials(scores + seen.begin, seen.end - seen.begin, shift, 1);
}

struct ForwardScratch {
  explicit ForwardScratch(const Shape& shape)
      : q(static_cast<size_t>(shape.most_rows() * shape.e)),
        out(q.size()),
        scores(static_cast<size_t>(shape.most_rows() * block_keys)),
        largest(static_cast<size_t>(shape.most_rows())),
        sum(largest.size()) {}
  std::vector<float> q, out, scores, largest, sum;
};

void forward(const Shape& shape, const Block& block, const Rows& q, const Rows& k, const Rows& v,
             ForwardScratch& scratch, at::Tensor& out_nhe, at::Tensor& logsumexp_nh) {
  const std::int64_t rows = shape.rows(block), e = shape.e;
  gather(shape, block, q, shape.scale, scratch.q.data());
  std::ranges::fill(scratch.largest, -std::numeric_limits<float>::infinity());
  std::ranges::fill(scratch.sum, 0.0f);
  bool first = true;
  shape.for_each_key_block(block, [&](std::int64_t key0, std::int64_t keys) {
    score(shape, rows, scratch.q.data(), k.at(block.span->key_begin + key0, block.group), k.token, keys,
          scratch.scores.data());
    for (std::int64_t r = 0; r < rows; ++r) {
      float* scores = scratch.scores.data() + r * block_keys;
      const Shape::Seen seen = shape.seen(Shape::position(block, block.begin + r / shape.shared), key0, keys);
      if (seen.begin >= seen.end) {
        std::fill_n(scores, keys, 0.0f);
        continue;
      }
      float& largest = scratch.largest[r];
      const float most = std::max(largest, loops()->largest(scores + seen.begin, seen.end - seen.begin));
      const float shrink = std::exp(largest - most);  // of what came before; 0 where nothing did
      scratch.sum[r] = scratch.sum[r] * shrink + weights_of(scores, seen, keys, most);
      for (std::int64_t c = 0; !first && shrink != 1 && c < e; ++c) scratch.out[r * e + c] *= shrink;
      largest = most;
    }
    weigh(shape, rows, scratch.scores.data(), v.at(block.span->key_begin + key0, block.group), v.token, keys, !first,
          scratch.out.data());
    first = false;
  });
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t token = block.span->query_begin + block.begin + r / shape.shared,
                       head = block.group * shape.shared + r % shape.shared;
    float* out = out_nhe.mutable_data_ptr<float>() + (token * shape.groups * shape.shared + head) * e;
    for (std::int64_t c = 0; c < e; ++c) out[c] = scratch.out[r * e + c] / scratch.sum[r];
    if (logsumexp_nh.defined())
      logsumexp_nh.mutable_data_ptr<float>()[token * shape.groups * shape.shared + head] =
          scratch.largest[r] + std::log(scratch.sum[r]);
  }
}

struct BackwardScratch {
  explicit BackwardScratch(const Shape& shape)
      : q(static_cast<size_t>(shape.most_rows() * shape.e)),
        dout(q.size()),
        dq(q.size()),
        mean(static_cast<size_t>(shape.most_rows())),
        weights(static_cast<size_t>(shape.most_rows() * block_keys)),
        dscores(weights.size()) {}
  std::vector<float> q, dout, dq, mean, weights, dscores;
};

// dq of the block, and its part of dk and dv. With p the weights and scores s = scale q k^T:
//   dv += p^T dout,   ds = p * (dout v^T - sum(dout * out)),   dk += ds^T scale q,   dq = scale ds k
void backward(const Shape& shape, const Block& block, const Rows& q, const Rows& k, const Rows& v, const Rows& dout,
              const Rows& out, const float* logsumexp, BackwardScratch& scratch, AttentionGradients& gradients) {
  const std::int64_t rows = shape.rows(block), e = shape.e, heads = shape.groups * shape.shared;
  const auto token_of = [&](std::int64_t r) { return block.span->query_begin + block.begin + r / shape.shared; };
  const auto head_of = [&](std::int64_t r) { return block.group * shape.shared + r % shape.shared; };
  gather(shape, block, q, shape.scale, scratch.q.data());
  gather(shape, block, dout, 1, scratch.dout.data());
  for (std::int64_t r = 0; r < rows; ++r) {
    const float *dout_e = scratch.dout.data() + r * e, *out_e = out.at(token_of(r), head_of(r));
    scratch.mean[r] = sum_lanes<float>(e, [&](std::int64_t c) { return dout_e[c] * out_e[c]; });
  }
  bool first = true;
  shape.for_each_key_block(block, [&](std::int64_t key0, std::int64_t keys) {
    const std::int64_t key = block.span->key_begin + key0;
    const auto of_keys = [&](at::Tensor& d_nge) {
      return d_nge.mutable_data_ptr<float>() + (key * shape.groups + block.group) * e;
    };
    score(shape, rows, scratch.q.data(), k.at(key, block.group), k.token, keys, scratch.weights.data());
    score(shape, rows, scratch.dout.data(), v.at(key, block.group), v.token, keys, scratch.dscores.data());
    for (std::int64_t r = 0; r < rows; ++r) {
      float *weights = scratch.weights.data() + r * block_keys, *dscores = scratch.dscores.data() + r * block_keys;
      const Shape::Seen seen = shape.seen(Shape::position(block, block.begin + r / shape.shared), key0, keys);
      if (seen.begin >= seen.end)
        std::fill_n(weights, keys, 0.0f);
      else
        weights_of(weights, seen, keys, logsumexp[token_of(r) * heads + head_of(r)]);
      loops()->score_gradient(dscores, weights, keys, scratch.mean[r]);
    }
    weigh_back(shape, rows, scratch.weights.data(), scratch.dout.data(), keys, of_keys(gradients.dv_nge),
               shape.groups * e);
    weigh_back(shape, rows, scratch.dscores.data(), scratch.q.data(), keys, of_keys(gradients.dk_nge),
               shape.groups * e);
    weigh(shape, rows, scratch.dscores.data(), k.at(key, block.group), k.token, keys, !first, scratch.dq.data());
    first = false;
  });
  for (std::int64_t r = 0; r < rows; ++r) {
    float* dq = gradients.dq_nhe.mutable_data_ptr<float>() + (token_of(r) * heads + head_of(r)) * e;
    for (std::int64_t c = 0; c < e; ++c) dq[c] = shape.scale * scratch.dq[r * e + c];
  }
}

// The blocks of a span and a group.
template <class Act>
void for_each_block(const Shape& shape, const AttentionSpan& span, std::int64_t group, Act&& act) {
  const std::int64_t queries = span.query_end - span.query_begin;
  for (std::int64_t begin = 0; begin < queries; begin += shape.queries)
    act(Block{&span, group, begin, std::min(queries, begin + shape.queries)});
}

}  // namespace

bool attention_is_by_blocks(at::ScalarType dtype) { return dtype == at::kFloat && matmul_available(); }

void attention_blocks_forward(const at::Tensor& q_nhe, const at::Tensor& k_tge, const at::Tensor& v_tge,
                              const std::vector<AttentionSpan>& spans, std::int64_t window, at::Tensor& out_nhe,
                              at::Tensor& logsumexp_nh) {
  const Shape shape(q_nhe, k_tge, window);
  const Rows q(q_nhe), k(k_tge), v(v_tge);
  std::vector<Block> blocks;
  for (const AttentionSpan& span : spans) {
    for (std::int64_t group = 0; group < shape.groups; ++group)
      for_each_block(shape, span, group, [&](const Block& block) { blocks.push_back(block); });
  }
  // Dealt out in turn, since the later blocks of a sequence see more keys.
  const auto count = static_cast<std::int64_t>(blocks.size()),
             hands = std::min<std::int64_t>(count, at::get_num_threads());
  at::parallel_for(0, hands, 1, [&](std::int64_t begin, std::int64_t end) {
    ForwardScratch scratch(shape);
    for (std::int64_t hand = begin; hand < end; ++hand) {
      for (std::int64_t i = hand; i < count; i += hands)
        forward(shape, blocks[static_cast<size_t>(i)], q, k, v, scratch, out_nhe, logsumexp_nh);
    }
  });
}

AttentionGradients attention_blocks_backward(const at::Tensor& dout_nhe, const at::Tensor& q_nhe,
                                             const at::Tensor& k_nge, const at::Tensor& v_nge,
                                             const at::Tensor& out_nhe, const at::Tensor& logsumexp_nh,
                                             const std::vector<AttentionSpan>& spans, std::int64_t window) {
  const Shape shape(q_nhe, k_nge, window);
  const Rows q(q_nhe), k(k_nge), v(v_nge), dout(dout_nhe), out(out_nhe);
  AttentionGradients gradients{at::empty_like(q_nhe, at::MemoryFormat::Contiguous),
                               at::zeros_like(k_nge, at::MemoryFormat::Contiguous),
                               at::zeros_like(v_nge, at::MemoryFormat::Contiguous)};
  const float* logsumexp = logsumexp_nh.const_data_ptr<float>();
  // Queries add to the same keys: one thread a span and group.
  const std::int64_t groups = shape.groups, units = static_cast<std::int64_t>(spans.size()) * groups;
  at::parallel_for(0, units, 1, [&](std::int64_t begin, std::int64_t end) {
    BackwardScratch scratch(shape);
    for (std::int64_t i = begin; i < end; ++i) {
      for_each_block(shape, spans[static_cast<size_t>(i / groups)], i % groups, [&](const Block& block) {
        backward(shape, block, q, k, v, dout, out, logsumexp, scratch, gradients);
      });
    }
  });
  return gradients;
}

}  // namespace steerlm
