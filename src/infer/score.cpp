#include "steerlm/infer/score.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "steerlm/core/error.h"
#include "steerlm/data/batch.h"
#include "steerlm/data/packer.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/kernels/linear_cross_entropy.h"
#include "steerlm/kernels/rows.h"

namespace steerlm {
namespace {

// Calls run(batch, members) for each packed batch.
template <class Run>
void for_each_batch(std::span<const Example> examples, std::int64_t batch_tokens, Run&& run) {
  std::vector<std::int64_t> lengths;
  for (const Example& example : examples) lengths.push_back(static_cast<std::int64_t>(example.ids.size()));
  for (const std::vector<size_t>& members : pack(lengths, batch_tokens)) {
    std::vector<const Example*> pointers;
    for (size_t member : members) pointers.push_back(&examples[member]);
    run(make_batch(pointers), members);
  }
}

}  // namespace

std::vector<std::vector<double>> token_log_probabilities(const Transformer& model, std::span<const Example> examples,
                                                         std::int64_t batch_tokens) {
  std::vector<std::vector<double>> results(examples.size());
  for_each_batch(examples, batch_tokens, [&](const Batch& batch, const std::vector<size_t>& members) {
    const TargetRows targets = target_rows(batch.targets, batch.weights, model.device());
    const at::Tensor hidden_nd = trunk_forward(model, pack_tokens(model, batch.ids, batch.cu_seqlens), nullptr);
    const at::Tensor log_p_k =
        to_host(linear_log_probabilities(hidden_nd, model.weights.output_vd(), targets)).to(at::kDouble);
    const std::span log_p(log_p_k.const_data_ptr<double>(), static_cast<size_t>(log_p_k.numel()));
    if (!std::ranges::all_of(log_p, [](double value) { return std::isfinite(value); }))
      fail(ExitCode::model, {.what = "the model's log-probabilities are not finite", .advice = beyond_range});
    size_t k = 0;
    for (size_t s = 0; s < members.size(); ++s) {
      // Row i predicts token i + 1.
      std::vector<double>& result = results[members[s]];
      result.push_back(0);
      for (std::int64_t i = batch.cu_seqlens[s]; i + 1 < batch.cu_seqlens[s + 1]; ++i)
        result.push_back(batch.weights[i] != 0 ? log_p[k++] : 0);
    }
  });
  return results;
}

std::vector<std::vector<float>> attribute_scores(const Transformer& model, std::span<const Example> examples,
                                                 std::int64_t batch_tokens) {
  std::vector<std::vector<float>> results(examples.size());
  // On a GPU the scores of a batch are read after the next one was enqueued.
  struct Scored {
    at::Tensor scores_ba;
    std::vector<size_t> members;
  };
  std::optional<Scored> before;
  const auto read = [&] {
    const at::Tensor scores_ba = to_host(before->scores_ba);
    const std::int64_t a = scores_ba.size(1);
    const float* scores = scores_ba.const_data_ptr<float>();
    for (size_t s = 0; s < before->members.size(); ++s) {
      const float* row = scores + static_cast<std::int64_t>(s) * a;
      results[before->members[s]].assign(row, row + a);
    }
  };
  for_each_batch(examples, batch_tokens, [&](const Batch& batch, const std::vector<size_t>& members) {
    const at::Tensor hidden_nd = trunk_forward(model, pack_tokens(model, batch.ids, batch.cu_seqlens), nullptr);
    const at::Tensor last_bd = gather_rows(hidden_nd, to_device(last_rows(batch.cu_seqlens), model.device()));
    const at::Tensor scores_ba = attribute_scores(model, last_bd).to(at::kFloat).contiguous();
    if (before) read();
    before = {scores_ba, members};
  });
  if (before) read();
  return results;
}

}  // namespace steerlm
