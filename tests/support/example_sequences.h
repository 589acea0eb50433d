// Sequences of a fixture, {"ids": […], "target": […], "labels": […]}, as examples; null: an unknown label.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/data/example.h"
#include "steerlm/train/step.h"

namespace steerlm {

inline std::vector<Example> examples_of(const Json& sequences) {
  std::vector<Example> examples;
  for (const Json& sequence : sequences) {
    Example example;
    example.ids = sequence.at("ids").get<std::vector<std::int32_t>>();
    if (sequence.contains("target")) example.target = sequence.at("target").get<std::vector<std::uint8_t>>();
    if (sequence.contains("labels")) {
      for (const Json& label : sequence.at("labels"))
        example.labels.push_back(label.is_null() ? NAN : label.get<float>());
    }
    if (sequence.contains("pool_begin")) example.pool_begin = sequence.at("pool_begin").get<size_t>();
    examples.push_back(std::move(example));
  }
  return examples;
}

// Those that `numbers` names.
inline std::vector<const Example*> pick(const std::vector<Example>& examples, const Json& numbers) {
  std::vector<const Example*> members;
  for (const Json& number : numbers) members.push_back(&examples.at(number.get<size_t>()));
  return members;
}

// The scores of a classifier, one a label, beside those of the fixture's sequences.
inline void expect_scores(const Json& sequences, const std::vector<std::vector<float>>& scores) {
  ASSERT_EQ(scores.size(), sequences.size());
  for (size_t s = 0; s < scores.size(); ++s) {
    const auto wanted = sequences[s].at("scores").get<std::vector<double>>();
    ASSERT_EQ(scores[s].size(), wanted.size());
    for (size_t a = 0; a < wanted.size(); ++a) EXPECT_NEAR(static_cast<double>(scores[s][a]), wanted[a], 1e-4);
  }
}

// A step as the fixtures' "adamw" has it: the whole batch at once, a constant rate.
inline StepOptions step_options(const Json& settings) {
  StepOptions options{.total_steps = 10, .micro_batch_tokens = 4096};
  options.optimizer.learning_rate = settings.at("learning_rate").get<double>();
  options.optimizer.weight_decay = settings.at("weight_decay").get<double>();
  options.optimizer.betas = settings.at("betas").get<std::array<double, 2>>();
  options.optimizer.eps = settings.at("eps").get<double>();
  options.optimizer.clip_grad_norm = settings.at("clip_grad_norm").get<double>();
  return options;
}

}  // namespace steerlm
