#include "steerlm/train/response_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "steerlm/data/batch.h"
#include "steerlm/data/packer.h"
#include "steerlm/kernels/device.h"
#include "steerlm/train/step.h"

namespace steerlm {

std::vector<double> sequence_log_probabilities(const Transformer& model, const PackedBatch& batch,
                                               std::span<const Example* const> examples) {
  const at::Tensor log_p_k = to_host(linear_log_probabilities(trunk_forward(model, batch.tokens, nullptr),
                                                              model.weights.output_vd(), batch.targets))
                                 .to(at::kDouble);
  std::int64_t targets = 0;
  for (const Example* example : examples) targets += target_count(*example);
  if (targets != log_p_k.numel()) throw std::logic_error("sequence_log_probabilities: every target has a row");
  const double* row = log_p_k.const_data_ptr<double>();
  std::vector<double> sums;
  for (const Example* example : examples) {
    double& sum = sums.emplace_back(0);
    for (std::int64_t k = target_count(*example); k > 0; --k) sum += *row++;
  }
  return sums;
}

GroupLoss group_loss(std::span<const Example* const> group, std::span<const double> log_q) {
  std::vector<double> log_b;
  double most = -std::numeric_limits<double>::infinity(), targets = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    log_b.push_back(log_q[i] - group[i]->sampling_log_p);
    most = std::max(most, log_b.back());
    targets += static_cast<double>(target_count(*group[i]));
  }
  double sum = 0;
  for (const double value : log_b) sum += std::exp(value - most);
  const double mean_targets = targets / static_cast<double>(group.size());
  GroupLoss result;
  for (size_t i = 0; i < group.size(); ++i) {
    constexpr double epsilon = 1e-8;
    const double w = group[i]->weight, log_share = log_b[i] - most - std::log(sum), b = std::exp(log_share);
    if (w > 0) result.loss += w * (std::log(w) - log_share) / mean_targets;
    result.distance += (w + epsilon) * std::log((w + epsilon) / (b + epsilon));
    result.coefficients.push_back((w - b) / mean_targets);
  }
  return result;
}

namespace {

// Two passes a step: this one, without gradient, for b'; then the gradient with the weights that it sets. All responses
// of a prompt are needed for b', so that nothing can be enqueued before they are read.
void weigh_responses(const Transformer& model, StepInput& input) {
  std::vector<double> log_q(input.examples.size());
  for (size_t m = 0; m < input.micro_batches.size(); ++m) {
    std::vector<const Example*> members;
    for (const size_t member : input.members[m]) members.push_back(input.examples[member]);
    const std::vector<double> sums = sequence_log_probabilities(model, input.micro_batches[m], members);
    for (size_t s = 0; s < sums.size(); ++s) log_q[input.members[m][s]] = sums[s];
  }

  std::vector<double> coefficients(input.examples.size());
  input.loss_sum = input.distance_sum = 0;
  for (size_t first = 0, end = 0; first < input.examples.size(); first = end) {
    for (end = first + 1; end < input.examples.size() && same_group(*input.examples[first], *input.examples[end]);)
      ++end;
    const GroupLoss group =
        group_loss(std::span(input.examples).subspan(first, end - first), std::span(log_q).subspan(first, end - first));
    input.loss_sum += group.loss;
    input.distance_sum += group.distance;
    std::ranges::copy(group.coefficients, coefficients.begin() + static_cast<std::ptrdiff_t>(first));
  }

  for (size_t m = 0; m < input.micro_batches.size(); ++m) {
    std::vector<float> weights_k;
    for (const size_t member : input.members[m]) {
      weights_k.insert(weights_k.end(), static_cast<size_t>(target_count(*input.examples[member])),
                       static_cast<float>(coefficients[member]));
    }
    at::Tensor& on_device = input.micro_batches[m].targets.weights_k;
    on_device = to_device(weights_k, on_device.device());
  }
}

}  // namespace

MeanGroupLoss mean_group_loss(const Transformer& model, const ExampleSet& examples, std::int64_t batch_tokens) {
  std::vector<double> log_q(examples.size());
  for (const std::vector<size_t>& members : pack(examples.lengths(), batch_tokens)) {
    const std::vector<Example> batch = examples.read(members);
    const std::vector<const Example*> pointers = pointers_to(batch);
    const std::vector<double> sums =
        sequence_log_probabilities(model, pack_batch(model, make_batch(pointers, false)), pointers);
    for (size_t s = 0; s < sums.size(); ++s) log_q[members[s]] = sums[s];
  }
  MeanGroupLoss mean;
  const ExampleGroups groups(examples);
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto [first, size] = groups[g];
    std::vector<Example> members;
    for (size_t e = first; e < first + size; ++e) members.push_back(examples[e]);
    const GroupLoss one = group_loss(pointers_to(members), std::span<const double>(log_q).subspan(first, size));
    mean.loss += one.loss / static_cast<double>(groups.size());
    mean.distance += one.distance / static_cast<double>(groups.size());
  }
  return mean;
}

const Loss response_objective{.count = target_count,
                              .weight = [](const Example& example) { return example.weight; },
                              .gradient = language_model_gradient,
                              .weigh = weigh_responses};

}  // namespace steerlm
