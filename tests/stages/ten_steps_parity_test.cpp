// Ten steps of AdamW with clipping on every family against Transformers' (tools/make_family_fixtures.py).
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "stages/family.h"
#include "steerlm/train/step.h"
#include "support/adamw_rounding.h"
#include "support/parameters.h"
#include "support/train_step.h"

namespace steerlm {
namespace {

// Ten steps of AdamW as Transformers took them, and how far each weight may be from theirs.
class TenSteps : public Family {
 protected:
  void SetUp() override {
    Family::SetUp();
    options = step_options(expected.at("adamw").at("settings"));
    for (const Json& step : expected.at("adamw").at("steps")) batches.push_back(pick(examples, step.at("batch")));
    allowed = adamw_rounding(model.config, model.weights, is_trained(), batches, options);
    // Theirs is rounded as ours is; a projection is changed by about 0.58 of the norm of an error, a norm by less.
    for (auto& [name, distance] : allowed) distance *= 2;
  }
  std::function<bool(const std::string&)> is_trained() const {
    return [lora = folder.adapter.has_value()](const std::string& name) { return !lora || is_trained_by_lora(name); };
  }
  std::vector<StepResult> train(Training& training, const StepOptions& of_step) const {
    std::vector<StepResult> results;
    for (const auto& batch : batches) results.push_back(train_step(training, batch, language_model_objective, of_step));
    return results;
  }
  // The weights that rounding alone does not explain.
  std::vector<std::string> far_off(const Parameters& weights) const {
    std::vector<std::string> names;
    for_each_parameter(weights, [&](const std::string& plain_name, const at::Tensor& tensor) {
      const std::string name = fixture_name(plain_name);
      const Json& wanted = expected.at("adamw").at("parameters").at(name);
      const double norm = tensor.to(at::kDouble).norm().item<double>() - wanted.at("norm").get<double>(),
                   projection = family_projection(seed, name, tensor) - wanted.at("projection").get<double>();
      if (std::max(std::abs(norm), std::abs(projection)) > allowed.at(plain_name)) names.push_back(plain_name);
    });
    return names;
  }

  StepOptions options;
  std::vector<std::vector<const Example*>> batches;
  std::map<std::string, double> allowed;
};

TEST_P(TenSteps, OfAdamwWithClippingEqualTransformers) {
  ASSERT_EQ(batches.size(), 10u);
  const NamedTensors before = to_named_tensors(cast(trained(), at::kDouble));
  Training training = make_training(model.config, model.weights, at::kFloat, at::kCPU, is_trained());
  const std::vector<StepResult> results = train(training, options);
  for (size_t t = 0; t < results.size(); ++t) {
    const Json& step = expected.at("adamw").at("steps").at(t);
    EXPECT_NEAR(results[t].loss, step.at("loss").get<double>(), 1e-4 * results[t].loss) << "step " << t;
    const double norm = results[t].gradient_norm;
    EXPECT_NEAR(norm, step.at("grad_norm").get<double>(), 1e-3 * norm) << "step " << t;
  }
  EXPECT_THAT(far_off(training.masters.views), testing::IsEmpty());
  size_t i = 0;
  for_each_parameter(training.masters.views, [&](const std::string& name, const at::Tensor& tensor) {
    const double moved = (tensor.to(at::kDouble) - before[i++].second).norm().item<double>();
    EXPECT_LT(allowed.at(name), 0.25 * moved) << name << ": what is allowed drowns what ten steps change";
  });
}

// What is allowed is small beside a fault: each of these is noticed in most of the weights, and a weight that is left
// out in itself, a key bias too.
class FaultySteps : public TenSteps {};

TEST_P(FaultySteps, AreFarOff) {
  const auto faulty = [&](const std::function<void(StepOptions&)>& edit,
                          const std::function<bool(const std::string&)>& trained_too) {
    StepOptions other = options;
    edit(other);
    Training training =
        make_training(model.config, cast(cast(model.weights, at::kDouble), at::kFloat), at::kFloat, at::kCPU,
                      [&](const std::string& name) { return is_trained()(name) && trained_too(name); });
    train(training, other);
    return far_off(overlay(select(model.weights, is_trained()), training.masters.views));
  };
  const auto all = [](const std::string&) { return true; };
  const auto setting = [&](const std::function<void(StepOptions&)>& edit) { return faulty(edit, all).size(); };
  const size_t most = allowed.size() / 2 + 1;
  EXPECT_TRUE(faulty([](StepOptions&) {}, all).empty());
  EXPECT_GE(setting([](StepOptions& o) { o.optimizer.betas[0] = 0.91; }), most);
  EXPECT_GE(setting([](StepOptions& o) { o.optimizer.betas[1] = 0.985; }), most);
  EXPECT_GE(setting([](StepOptions& o) { o.optimizer.learning_rate *= 1.01; }), most);
  EXPECT_GE(setting([](StepOptions& o) { o.optimizer.weight_decay = 0; }), allowed.size() / 3);  // of matrices alone
  EXPECT_GE(setting([](StepOptions& o) { o.optimizer.clip_grad_norm = 0; }), most);
  EXPECT_GE(setting([](StepOptions& o) { o.optimizer.eps = 1e-4; }), most);
  for (const auto& [left_out, unused] : allowed)
    EXPECT_THAT(faulty([](StepOptions&) {}, [&](const std::string& name) { return name != left_out; }),
                testing::Contains(left_out));
}

INSTANTIATE_TEST_SUITE_P(Families, TenSteps, language_models, family_name);
INSTANTIATE_TEST_SUITE_P(Families, FaultySteps, testing::Values("yarn_factor", "lora"), family_name);

}  // namespace
}  // namespace steerlm
