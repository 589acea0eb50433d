// What a frozen model says of sequences, computed once and kept for other runs.
#pragma once

#include <optional>
#include <vector>

#include "steerlm/data/example.h"
#include "steerlm/nn/transformer.h"
#include "steerlm/stages/context.h"

namespace steerlm {

// What a head reads of the hidden states (pooled_hidden_states), (n, d) fp32 in the order of the examples. `folder` is
// a run directory of its own (core/run_files), in which they are kept in blocks:
//   MODEL-N/features.safetensors   features (m, d) F32, ids (t) I32, cu_seqlens (m + 1) I64, pool_begins (m) I64
// Row r is the mean of the states of the tokens of sequence r from pool_begins[r] on; of HeadPooling::last that is the
// last one.
// MODEL begins the SHA-256 of what the states depend on beside the ids: the trunk's weights and config, precision, kind
// of device, version of the program. So a row is found by model, ids and pool_begin, whatever data, labels or recipe
// they are of; a block that is not as it was written is warned of and not read. Returns nothing where it was stopped,
// on request or after `max_minutes` (0: none): the blocks that are whole are kept. Throws resources for a folder of
// others or one that another run computes in, model for states that are not finite.
std::optional<at::Tensor> frozen_features(const Transformer& model, HeadPooling pooling,
                                          const std::vector<Example>& examples, const Path& folder,
                                          std::int64_t batch_tokens, double max_minutes, const Context& context);

// What keeps frozen_features from that folder. Throws resources for a folder of others, recipe for a run of a stage.
void check_features_folder(const Path& folder);

}  // namespace steerlm
