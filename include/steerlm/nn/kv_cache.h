// Generation: a fixed number of slots, each holding the keys and values of one growing sequence.
// r slots, g key/value heads, t capacity, e head width, d width, v vocabulary.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "steerlm/nn/transformer.h"

namespace steerlm {

struct KvCache {
  std::vector<at::Tensor> k_rgte;  // one a block
  std::vector<at::Tensor> v_rgte;
  std::vector<std::int64_t> lengths;  // tokens in each row of a step; 0: the slot is idle, or there is none
  std::int64_t capacity = 0;
};

// ATen's products of fewer than 8 rows round differently, so a step of them never has fewer: then, on CPU, a sequence's
// bits do not depend on what its neighbours are. The rows beyond the slots hold nothing and stay idle.
inline constexpr std::int64_t min_slots = 8;

KvCache make_kv_cache(const Transformer& model, std::int64_t slots, std::int64_t capacity);

// Appends to each of `slots` what is to be read there (nothing yet in it: the start of a prompt); gives the hidden
// state of each one's last token (slots, d). On a CPU each sequence is computed by itself, so that its bits do not
// depend on the others; a GPU takes those without a cached part in packs. After a cached part the last bits may
// differ from those of one prefill of the whole.
struct SlotPrompt {
  std::int64_t slot = 0;
  std::span<const std::int32_t> ids;
};
at::Tensor prefill(const Transformer& model, KvCache& cache, std::span<const SlotPrompt> prompts);

// What a decode step reads, one number a row, on the device of the model.
struct DecodeRows {
  at::Tensor ids_r;        // int64: the token to append
  at::Tensor positions_r;  // int32: where it goes in its slot; -1: the slot is idle, and its row means nothing
  at::Tensor lengths_r;    // int32: tokens of the slot with it; 0: idle
  at::Tensor slots_r;      // int32: the slot; on a GPU 0 … r-1
};

// The rows of a step on the host, in which each slot whose `active` is set (as long as cache.lengths) grows by one.
struct HostRows {
  std::vector<std::int32_t> positions, lengths;
};
HostRows advance(KvCache& cache, const std::vector<bool>& active);

// Hidden states (r, d) of one step for all rows at once. Nothing of it depends on a number on the host, so that it can
// be recorded: `angles` are those of the positions, `longest` is at least the largest length.
at::Tensor decode_rows(const Transformer& model, KvCache& cache, const DecodeRows& rows, const RopeAngles& angles,
                       std::int64_t longest);

// The slots that a step computes: the active ones, or all where a row's bits depend on how many there are.
std::vector<std::int64_t> stepped_slots(const Transformer& model, const std::vector<bool>& active);

// ids[slot] is appended to each active slot. Hidden states (r, d), row i of slot stepped_slots(model, active)[i].
at::Tensor decode_step(const Transformer& model, KvCache& cache, const std::vector<std::int32_t>& ids,
                       const std::vector<bool>& active);

}  // namespace steerlm
