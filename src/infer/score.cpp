#include "steerlm/infer/score.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "steerlm/core/error.h"
#include "steerlm/data/batch.h"
#include "steerlm/data/packer.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/linear_cross_entropy.h"
#include "steerlm/kernels/rows.h"
#include "steerlm/nn/cost.h"

namespace steerlm {
namespace {

struct PlannedBatch {
  std::vector<size_t> members;  // of the examples
  size_t done;                  // units that are done with this batch: all examples before this one
};

std::vector<PlannedBatch> plan_batches(std::span<const Example> examples, const Batching& batching) {
  std::vector<std::int64_t> lengths;
  for (const Example& example : examples) lengths.push_back(static_cast<std::int64_t>(example.ids.size()));
  std::vector<PlannedBatch> batches;
  if (batching.units.empty()) {
    for (std::vector<size_t>& members : pack(lengths, batching.tokens)) batches.push_back({std::move(members), 0});
    return batches;
  }
  PlannedBatch open{{}, 0};
  std::int64_t open_tokens = 0;
  const auto close = [&] {
    if (!open.members.empty()) batches.push_back(std::move(open));
    open = {{}, 0};
    open_tokens = 0;
  };
  size_t begin = 0;
  for (const size_t end : batching.units) {
    const std::span own = std::span(lengths).subspan(begin, end - begin);
    const std::int64_t tokens = std::accumulate(own.begin(), own.end(), std::int64_t{0});
    if (open_tokens + tokens > batching.tokens) close();
    if (tokens > batching.tokens) {
      for (std::vector<size_t>& members : pack(own, batching.tokens)) {
        for (size_t& member : members) member += begin;
        batches.push_back({std::move(members), begin});
      }
      batches.back().done = end;
    } else if (tokens > 0) {
      for (size_t member = begin; member < end; ++member) open.members.push_back(member);
      open.done = end;
      open_tokens += tokens;
    }
    begin = end;
  }
  close();
  return batches;
}

// The threads share each product of a model that has more parameters, so that the weights are read once for all.
constexpr std::int64_t most_parameters_by_threads = 256'000'000;

// Batches that are computed at the same time.
std::int64_t batches_at_once(const Transformer& model, std::int64_t tokens) {
  std::int64_t parameters = 0;
  for_each_parameter(model.weights, [&](const std::string&, const at::Tensor& w) { parameters += w.numel(); });
  if (!model.device().is_cpu() || !rows_are_independent(model.dtype()) || parameters > most_parameters_by_threads)
    return 1;
  return std::clamp<std::int64_t>(tokens / tokens_of_a_thread, 1, at::get_num_threads());
}

// Calls compute(batch, members) for each packed batch, and read(its result on the host, batch, members) after the next
// ones were given to the device, so that a GPU does not wait for the host. After each read go_on(done) says whether
// there is more to do. Batches that are computed at the same time are as much smaller.
template <class Compute, class Read, class GoOn>
void for_each_batch(const Transformer& model, std::span<const Example> examples, const Batching& batching,
                    Compute&& compute, Read&& read, GoOn&& go_on) {
  struct Computed {
    HostCopy result;
    Batch batch;
    const PlannedBatch* plan;
  };
  const std::int64_t threads = batches_at_once(model, batching.tokens);
  const std::vector<PlannedBatch> batches =
      plan_batches(examples, {std::max<std::int64_t>(1, batching.tokens / threads), batching.units});
  const auto enqueue = [&](const PlannedBatch& plan) {
    std::vector<const Example*> pointers;
    for (size_t member : plan.members) pointers.push_back(&examples[member]);
    Batch batch = make_batch(pointers);
    HostCopy result(compute(batch, plan.members));
    return Computed{std::move(result), std::move(batch), &plan};
  };
  const auto count = static_cast<std::int64_t>(batches.size());
  std::vector<std::optional<Computed>> before;
  for (std::int64_t first = 0; first < count || !before.empty(); first += threads) {
    std::vector<std::optional<Computed>> now(static_cast<size_t>(std::clamp<std::int64_t>(count - first, 0, threads)));
    at::parallel_for(0, static_cast<std::int64_t>(now.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      const c10::InferenceMode no_autograd;
      for (std::int64_t i = begin; i < end; ++i) now[i].emplace(enqueue(batches[first + i]));
    });
    for (std::optional<Computed>& computed : before) {
      read(computed->result.wait(), computed->batch, computed->plan->members);
      if (!go_on(computed->plan->done)) return;
    }
    before = std::move(now);
  }
}

// Tells `watch` of the results that are new.
template <class Result>
auto teller(const Watch<Result>& watch, const std::vector<Result>& results) {
  return [&watch, &results, told = size_t{0}](size_t done) mutable {
    if (!watch || done <= told) return true;
    told = done;
    return watch(std::span(results).first(done));
  };
}

}  // namespace

std::vector<TokenScores> token_log_probabilities(const Transformer& model, std::span<const Example> examples,
                                                 const Batching& batching, const Watch<TokenScores>& watch) {
  std::vector<TokenScores> results(examples.size());
  const auto compute = [&](const Batch& batch, const std::vector<size_t>&) {
    const TargetRows targets = target_rows(batch.targets, batch.weights, model.device());
    const at::Tensor hidden_nd = trunk_forward(model, pack_tokens(model, batch.ids, batch.cu_seqlens), nullptr);
    return linear_log_probabilities(hidden_nd, model.weights.output_vd(), targets);
  };
  const auto read = [&](const at::Tensor& on_host_k, const Batch& batch, const std::vector<size_t>& members) {
    const at::Tensor log_p_k = on_host_k.to(at::kDouble);
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
  };
  for_each_batch(model, examples, batching, compute, read, teller(watch, results));
  return results;
}

namespace {

// Calls keep(example, row) with a row of numbers for each example, which `compute` makes of what the head reads of the
// sequences of a batch (b, d).
template <class Compute, class Keep, class GoOn>
void for_each_pooled(const Transformer& model, HeadPooling pooling, std::span<const Example> examples,
                     const Batching& batching, Compute&& compute, Keep&& keep, GoOn&& go_on) {
  for_each_batch(
      model, examples, batching,
      [&](const Batch& batch, const std::vector<size_t>& members) {
        const at::Tensor hidden_nd = trunk_forward(model, pack_tokens(model, batch.ids, batch.cu_seqlens), nullptr);
        const std::span ends_b = std::span(batch.cu_seqlens).subspan(1);
        at::Tensor pooled_bd;
        if (pooling == HeadPooling::last) {
          pooled_bd = gather_rows(hidden_nd, to_device(last_rows(batch.cu_seqlens), model.device()));
        } else {
          std::vector<std::int64_t> begins_b;
          for (size_t s = 0; s < members.size(); ++s)
            begins_b.push_back(batch.cu_seqlens[s] + static_cast<std::int64_t>(examples[members[s]].pool_begin));
          pooled_bd = mean_rows(hidden_nd, begins_b, ends_b);
        }
        return compute(pooled_bd).to(at::kFloat).contiguous();
      },
      [&](const at::Tensor& rows_bk, const Batch&, const std::vector<size_t>& members) {
        const size_t k = static_cast<size_t>(rows_bk.size(1));
        const float* rows = rows_bk.const_data_ptr<float>();
        for (size_t s = 0; s < members.size(); ++s) keep(members[s], std::span(rows + s * k, k));
      },
      go_on);
}

}  // namespace

std::vector<AttributeScores> attribute_scores(const Transformer& model, HeadPooling pooling,
                                              std::span<const Example> examples, const Batching& batching,
                                              const Watch<AttributeScores>& watch) {
  std::vector<AttributeScores> results(examples.size());
  for_each_pooled(
      model, pooling, examples, batching, [&](const at::Tensor& x_bd) { return attribute_scores(model, x_bd); },
      [&](size_t example, std::span<const float> scores) { results[example].assign(scores.begin(), scores.end()); },
      teller(watch, results));
  return results;
}

at::Tensor pooled_hidden_states(const Transformer& model, HeadPooling pooling, std::span<const Example> examples,
                                std::int64_t batch_tokens) {
  const std::int64_t d = model.config.hidden_size;
  at::Tensor states_nd = at::empty({static_cast<std::int64_t>(examples.size()), d}, at::kFloat);
  float* states = states_nd.mutable_data_ptr<float>();
  for_each_pooled(
      model, pooling, examples, batch_tokens, [](const at::Tensor& x_bd) { return x_bd; },
      [&](size_t example, std::span<const float> row) {
        std::ranges::copy(row, states + static_cast<std::int64_t>(example) * d);
      },
      [](size_t) { return true; });
  return states_nd;
}

}  // namespace steerlm
