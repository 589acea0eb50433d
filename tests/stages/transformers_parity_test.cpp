// Against what Transformers computed on the same folders (tools/make_model_fixtures.py; versions in expected.json):
// logits, log-probabilities, loss, every gradient, ten AdamW steps with clipping, classification scores.
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "steerlm/core/json.h"
#include "steerlm/data/record.h"
#include "steerlm/infer/score.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/text/template.h"
#include "steerlm/train/step.h"
#include "support/adamw_rounding.h"
#include "support/batches.h"
#include "support/computing.h"
#include "support/example_sequences.h"
#include "support/parameters.h"
#include "support/train_step.h"

namespace steerlm {
namespace {

const Path fixtures = Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models";

const Json& expected() {
  static const Json json =
      parse_json(read_file(fixtures / "expected.json", ExitCode::data, "fixture"), "expected.json", ExitCode::data);
  return json;
}

// A batch of {"ids": […], "target": […]} sequences.
Batch batch_of(const Json& sequences) {
  const std::vector<Example> examples = examples_of(sequences);
  std::vector<const Example*> pointers;
  for (const Example& example : examples) pointers.push_back(&example);
  return make_batch(pointers);
}

void expect_gradients(const Json& wanted, const Parameters& gradients) {
  size_t compared = 0;
  for_each_parameter(gradients, [&](const std::string& name, const at::Tensor& ours) {
    ASSERT_TRUE(wanted.contains(name)) << name;
    const Json& w = wanted.at(name);
    const double norm = w.at("norm").get<double>();
    EXPECT_NEAR(ours.norm().item<double>(), norm, 2e-5 * norm) << name;
    const at::Tensor flat = ours.reshape({-1});
    for (size_t i = 0; i < w.at("index").size(); ++i) {
      EXPECT_NEAR(flat[w.at("index")[i].get<std::int64_t>()].item<double>(), w.at("values")[i].get<double>(),
                  2e-5 * norm)
          << name;
    }
    ++compared;
  });
  EXPECT_EQ(compared, wanted.size());
}

class TransformersParity : public testing::TestWithParam<const char*> {};

TEST_P(TransformersParity, LogitsOfTheLastToken) {
  const OpenModel model = open_model(fixtures / GetParam(), cpu_fp32);
  size_t compared = 0;
  for (const Json& sequence : expected().at(GetParam()).at("sequences")) {
    if (!sequence.contains("last_logits")) continue;
    ++compared;
    const Batch batch = batch_of(Json::array({sequence}));
    const at::Tensor hidden =
        trunk_forward(model.transformer, pack_tokens(model.transformer, batch.ids, batch.cu_seqlens), nullptr);
    const at::Tensor logits = at::mm(hidden, model.transformer.weights.output_vd().t());
    const auto wanted = sequence.at("last_logits").get<std::vector<double>>();
    ASSERT_EQ(static_cast<std::int64_t>(wanted.size()), logits.size(1));
    double largest = 0, worst = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      largest = std::max(largest, std::abs(wanted[i]));
      worst = std::max(worst, std::abs(logits[-1][static_cast<std::int64_t>(i)].item<double>() - wanted[i]));
    }
    EXPECT_GT(largest, 1) << "the fixture's logits are flat";
    EXPECT_LE(worst, 1e-4);
  }
  EXPECT_GE(compared, 2u);
}

TEST_P(TransformersParity, LossAndEveryGradientOfAPackedBatch) {
  const OpenModel model = open_model(fixtures / GetParam(), cpu_fp32);
  const Json& packed = expected().at(GetParam()).at("packed");
  const std::vector<Example> examples = examples_of(expected().at(GetParam()).at("sequences"));
  const Batch batch = make_batch(pick(examples, packed.at("batch")));
  const double count = target_count(batch);
  EXPECT_EQ(count, packed.at("target_tokens").get<double>());
  Parameters gradients = zeros_like(model.transformer.weights, at::kFloat);
  const double loss = language_model_gradient(model.transformer, batch, 1 / count, gradients) / count;
  EXPECT_NEAR(loss, packed.at("loss").get<double>(), 1e-5 * loss);
  expect_gradients(packed.at("gradients"), gradients);
}

TEST_P(TransformersParity, LogProbabilitiesOfTurns) {
  const OpenModel model = open_model(fixtures / GetParam(), cpu_fp32);
  const ConversationTemplate conversation_template(model.folder.text_template, model.tokenizer);
  for (const Json& wanted : expected().at(GetParam()).at("conversations")) {
    const Record record =
        parse_record(wanted.at("record"), model.attributes, model.folder.text_template.system, "fixture", 1);
    const EncodedConversation encoded = conversation_template.encode(record.conversation);
    EXPECT_EQ(encoded.ids, wanted.at("ids").get<std::vector<std::int32_t>>());
    const std::vector<Example> examples{{encoded.ids, encoded.target, {}}};
    const auto log_p = token_log_probabilities(model.transformer, examples, 4096);
    for (const Json& score : wanted.at("scores")) {
      double sum = 0;
      std::int64_t tokens = 0;
      for (size_t i = 0; i < encoded.ids.size(); ++i) {
        if (encoded.turn[i] != score.at("turn").get<std::int32_t>()) continue;
        sum += log_p[0][i];
        ++tokens;
      }
      EXPECT_EQ(tokens, score.at("tokens").get<std::int64_t>());
      EXPECT_NEAR(sum, score.at("logprob").get<double>(), 1e-4 * std::max(1.0, std::abs(sum) / 100));
    }
  }
}

TEST_P(TransformersParity, TenAdamwStepsWithClipping) {
  const OpenModel model = open_model(fixtures / GetParam(), cpu_fp32);
  const Json& adamw = expected().at(GetParam()).at("adamw");
  const StepOptions options = step_options(adamw.at("settings"));
  const auto is_trained = [](const std::string&) { return true; };
  const std::vector<Example> examples = examples_of(expected().at(GetParam()).at("sequences"));
  std::vector<std::vector<const Example*>> batches;
  for (const Json& step : adamw.at("steps")) batches.push_back(pick(examples, step.at("batch")));
  ASSERT_EQ(batches.size(), 10u);
  const Transformer& start = model.transformer;
  const auto rounding = adamw_rounding(start.config, start.weights, is_trained, batches, options);
  Training training = make_training(start.config, start.weights, at::kFloat, at::kCPU, is_trained);
  for (size_t t = 0; t < batches.size(); ++t) {
    const Json& step = adamw.at("steps").at(t);
    const StepResult result = train_step(training, batches[t], language_model_objective, options);
    EXPECT_NEAR(result.loss, step.at("loss").get<double>(), 1e-4 * result.loss) << "step " << t;
    EXPECT_NEAR(result.gradient_norm, step.at("grad_norm").get<double>(), 1e-3 * result.gradient_norm) << "step " << t;
  }
  for_each_parameter(training.masters.views, [&](const std::string& name, const at::Tensor& tensor) {
    const Json& wanted = adamw.at("parameters").at(name);
    const double allowed = 2 * rounding.at(name);  // theirs is rounded as ours is
    EXPECT_NEAR(tensor.norm().item<double>(), wanted.at("norm").get<double>(), allowed) << name;
    const at::Tensor flat = tensor.reshape({-1});
    double squares = 0;
    for (size_t i = 0; i < wanted.at("index").size(); ++i) {
      const double difference =
          flat[wanted.at("index")[i].get<std::int64_t>()].item<double>() - wanted.at("values")[i].get<double>();
      squares += difference * difference;
    }
    EXPECT_LE(std::sqrt(squares), allowed) << name;
  });
}

INSTANTIATE_TEST_SUITE_P(Folders, TransformersParity, testing::Values("untied", "tied"),
                         [](const auto& folder) { return folder.param; });

TEST(TransformersClassifier, ScoresLossAndGradients) {
  const OpenModel model = open_model(fixtures / "classifier", cpu_fp32);
  const Json& wanted = expected().at("classifier");
  const Batch batch = batch_of(wanted.at("sequences"));
  expect_scores(wanted.at("sequences"),
                attribute_scores(model.transformer, HeadPooling::last, examples_of(wanted.at("sequences")), 4096));
  const double count = label_count(batch);
  EXPECT_EQ(count, wanted.at("known_labels").get<double>());
  Parameters gradients = zeros_like(model.transformer.weights, at::kFloat);
  const double loss = regression_gradient(model.transformer, batch, 1 / count, gradients) / count;
  EXPECT_NEAR(loss, wanted.at("loss").get<double>(), 1e-5 * loss);
  expect_gradients(wanted.at("gradients"), gradients);
}

// What numpy made of Transformers' hidden states (tools/make_pooling_fixtures.py), in one pack and in several.
TEST(TransformersClassifier, MeansOfHiddenStatesAndTheirScores) {
  const OpenModel model = open_model(fixtures / "classifier", cpu_fp32);
  const Path file = fixtures.parent_path() / "pooling.json";
  const Json sequences =
      parse_json(read_file(file, ExitCode::data, "fixture"), file.string(), ExitCode::data).at("sequences");
  const std::vector<Example> examples = examples_of(sequences);
  const at::Tensor states_nd = pooled_hidden_states(model.transformer, HeadPooling::mean, examples, 4096);
  for (size_t s = 0; s < sequences.size(); ++s) {
    const auto wanted = sequences[s].at("mean_state").get<std::vector<double>>();
    ASSERT_EQ(static_cast<std::int64_t>(wanted.size()), states_nd.size(1));
    for (size_t i = 0; i < wanted.size(); ++i)
      EXPECT_NEAR(states_nd[static_cast<std::int64_t>(s)][static_cast<std::int64_t>(i)].item<double>(), wanted[i], 2e-5)
          << s;
  }
  const auto scores = attribute_scores(model.transformer, HeadPooling::mean, examples, 4096);
  expect_scores(sequences, scores);
  EXPECT_EQ(attribute_scores(model.transformer, HeadPooling::mean, examples, 64), scores) << "to the bit";
  EXPECT_NE(attribute_scores(model.transformer, HeadPooling::last, examples, 4096), scores);
}

}  // namespace
}  // namespace steerlm
