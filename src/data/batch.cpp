#include "steerlm/data/batch.h"

#include <cmath>

#include "steerlm/core/error.h"

namespace steerlm {

Batch make_batch(std::span<const Example* const> examples, bool weighted) {
  Batch batch;
  size_t tokens = 0;
  for (const Example* example : examples) tokens += example->ids.size();
  batch.ids.reserve(tokens);
  batch.targets.reserve(tokens);
  batch.weights.reserve(tokens);
  batch.cu_seqlens.push_back(0);
  for (const Example* example : examples) {
    const size_t n = example->ids.size();
    const float weight = weighted ? static_cast<float>(example->weight) : 1;
    if (n == 0) fail(ExitCode::bug, {.what = "an empty sequence in a batch"});
    for (size_t i = 0; i < n; ++i) {
      const bool last = i + 1 == n;
      batch.ids.push_back(example->ids[i]);
      batch.targets.push_back(last ? 0 : example->ids[i + 1]);
      batch.weights.push_back(!last && !example->target.empty() && example->target[i + 1] != 0 ? weight : 0.0f);
    }
    batch.cu_seqlens.push_back(batch.cu_seqlens.back() + static_cast<std::int64_t>(n));
    batch.strengths.push_back(example->strength);
    batch.labels.insert(batch.labels.end(), example->labels.begin(), example->labels.end());
  }
  return batch;
}

std::vector<const Example*> pointers_to(std::span<const Example> examples) {
  std::vector<const Example*> pointers;
  for (const Example& example : examples) pointers.push_back(&example);
  return pointers;
}

std::int64_t target_count(const Example& example) {
  std::int64_t count = 0;
  for (size_t i = 1; i < example.target.size(); ++i) count += example.target[i] != 0;
  return count;
}

double target_weight(const Example& example) { return example.weight * static_cast<double>(target_count(example)); }

std::int64_t label_count(const Example& example) {
  std::int64_t count = 0;
  for (const float label : example.labels) count += !std::isnan(label);
  return count;
}

}  // namespace steerlm
