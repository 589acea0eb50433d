// Generation: a fixed number of slots, each holding the keys and values of one growing sequence.
// r slots, g key/value heads, t capacity, e head width, d width, v vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include "steerlm/nn/transformer.h"

namespace steerlm {

struct KvCache {
  std::vector<at::Tensor> k_rgte;  // one a block
  std::vector<at::Tensor> v_rgte;
  std::vector<std::int64_t> lengths;  // tokens in each row of a step; 0: the slot is idle, or there is none
  std::int64_t capacity = 0;
};

// Products of fewer than 8 rows round differently, so a step never has fewer: then, on CPU, a sequence's bits do not
// depend on what its neighbours are. The rows beyond the slots hold nothing and stay idle.
inline constexpr std::int64_t min_slots = 8;

KvCache make_kv_cache(const Transformer& model, std::int64_t slots, std::int64_t capacity);

// Appends `ids` to what the slot holds (nothing: the start of a prompt), each sequence by itself; gives the hidden
// state of the last token (1, d). After a cached part the last bits may differ from those of one prefill of the whole.
at::Tensor prefill(const Transformer& model, KvCache& cache, std::int64_t slot, const std::vector<std::int32_t>& ids);

// One step for all rows at once (ids and active are as long as cache.lengths): ids[slot] is appended to each slot whose
// `active` is set; the rows of the others are computed on zeros and mean nothing. Hidden states (r, d).
at::Tensor decode_step(const Transformer& model, KvCache& cache, const std::vector<std::int32_t>& ids,
                       const std::vector<bool>& active);

}  // namespace steerlm
