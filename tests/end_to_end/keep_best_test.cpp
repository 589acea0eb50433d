// keep_best and schedules as a user meets them: what was written is what is described, and what makes no sense is said
// before the first step.
#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

using KeepBest = TrainingProgram;
using Schedules = TrainingProgram;

const std::string validating = "sft sft.yaml data.validation='[{path: train.jsonl}]' evaluate.every_steps=1 ";

TEST_F(KeepBest, TheBestStepsWeightsArePublishedAndNotTheLastOnes) {
  // The loss falls from step to step, so the largest one is not the last one.
  const Result result = run(validating + "checkpoint.keep_best='{metric: validation/loss, mode: max}'");
  ASSERT_EQ(result.code, 0) << result.errors;
  std::int64_t best = 0;
  double loss = 0;
  for (const auto& [step, value] : metric("run", "validation/loss")) {
    if (value <= loss) continue;
    loss = value;
    best = step;
  }
  ASSERT_GE(best, 1);
  ASSERT_LT(best, 6) << "the last step is the best one: nothing is tested";
  expect_says(result, "gets the weights of step " + std::to_string(best));
  ASSERT_EQ(run(validating + "run_dir=short train.steps=" + std::to_string(best)).code, 0);
  EXPECT_EQ(read("run/model/model.safetensors"), read("short/model/model.safetensors"));
  // Ledger, card and metrics speak of the weights that were written, not of the last step's.
  const Json done = parse_json(read("run/done.json"), "done.json", ExitCode::data);
  EXPECT_EQ(done.at("steps"), 6);
  EXPECT_EQ(done.at("weights_step"), best);
  EXPECT_EQ(done.at("validation/loss").get<double>(), loss);
  EXPECT_NE(metric("run", "validation/loss").at(6), loss);
  char shown[32];
  std::snprintf(shown, sizeof shown, "%.4g", loss);
  EXPECT_NE(read("run/model/README.md").find(shown), std::string::npos) << read("run/model/README.md");
  std::snprintf(shown, sizeof shown, "%.4f at step ", loss);
  const std::string page = run("report run --out -").output;
  EXPECT_NE(page.find(shown + std::to_string(best) + "<"), std::string::npos) << page;
}

TEST_F(KeepBest, ARunThatGoesOnAfterItsBestStepDescribesThatStep) {
  const std::string arguments = validating + "checkpoint.keep_best='{metric: validation/loss, mode: max}' ";
  ASSERT_EQ(run(arguments).code, 0);
  Result result{75, "", ""};
  for (int stops = 0; result.code == 75 && stops < 20; ++stops)
    result = run(arguments + "run_dir=stopped train.max_minutes=1e-9");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(read("stopped/done.json"), read("run/done.json"));
  EXPECT_EQ(read("stopped/model/model.safetensors"), read("run/model/model.safetensors"));
}

TEST_F(KeepBest, AnotherMetricOnTheWayStartsItsOwnSearch) {
  const std::string arguments = validating + "checkpoint.keep_best.mode=max checkpoint.keep_best.metric=validation/";
  Result result = run(arguments + "loss train.max_minutes=1e-9");
  ASSERT_EQ(result.code, 75) << result.errors;
  result = run(arguments + "perplexity");  // step 1 had the largest loss, and is none of its candidates
  expect_says(result, "checkpoint.keep_best has changed since step 1, the best by validation/loss");
  expect_says(result, "gets the weights of step 2: validation/perplexity");
}

TEST_F(KeepBest, AMisspeltMetricIsFoundBeforeTheFirstStep) {
  const Result result = run(validating + "checkpoint.keep_best.metric=validation/los");
  expect_refused(result, 2, "validation has no metric of this name");
  EXPECT_NE(result.errors.find("did you mean 'validation/loss'?"), std::string::npos) << result.errors;
  EXPECT_NE(result.errors.find("validation/loss, validation/perplexity"), std::string::npos) << result.errors;
  EXPECT_FALSE(exists("run"));
  expect_refused(run(validating + "checkpoint.keep_best.metric=validation/mae/quality --dry-run"), 2,
                 "validation has no metric of this name");
  // The advice, followed.
  EXPECT_EQ(run(validating + "checkpoint.keep_best.metric=validation/loss").code, 0);
}

TEST_F(KeepBest, OfAPredictorMayBeAnAttributesMetric) {
  write("predictor.yaml",
        "stage: train-predictor\nmodel: {path: " + model_ +
            "}\nmethod: helpsteer\nattributes: {names: [quality], min: 0, max: 4}\n"
            "data: {train: [{path: train.jsonl}], validation: [{path: train.jsonl}], max_tokens: 256}\n"
            "run_dir: predictor\ntrain: {steps: 2, batch_size: 4}\noptimizer: {learning_rate: 1e-3}\n"
            "evaluate: {every_steps: 1}\n");
  const std::string arguments = "train-predictor predictor.yaml checkpoint.keep_best.metric=";
  const Result result = run(arguments + "validation/pearson/qualty");
  expect_refused(result, 2, "did you mean 'validation/pearson/quality'?");
  // Every name that the message lists is one that validation writes.
  const Result good = run(arguments + "validation/pearson/quality checkpoint.keep_best.mode=max");
  ASSERT_EQ(good.code, 0) << good.errors;
  const std::string metrics = read("predictor/metrics.jsonl");
  const size_t begin = result.errors.find("expected validation/") + 9;
  ASSERT_NE(begin, std::string::npos + 9) << result.errors;
  std::istringstream names(result.errors.substr(begin, result.errors.find_first_of(";)\n", begin) - begin));
  int count = 0;
  for (std::string name; std::getline(names >> std::ws, name, ','); ++count)
    EXPECT_NE(metrics.find('"' + name + "\":"), std::string::npos) << name;
  EXPECT_EQ(count, 8);
  expect_says(run(arguments + "validation/kappa/quality run_dir=worst"), "larger is better, which mode: max keeps");

  // The report's row is of the weights that were kept: the largest of two errors, whichever step has it.
  ASSERT_EQ(run(arguments + "validation/mae/quality checkpoint.keep_best.mode=max run_dir=first").code, 0);
  const auto errors = metric("first", "validation/mae/quality");
  ASSERT_NE(errors.at(1), errors.at(2));
  const int step = errors.at(1) > errors.at(2) ? 1 : 2;
  char error[32];
  std::snprintf(error, sizeof error, "%.3f", errors.at(step));
  const std::string page = run("report first --out -").output;
  const size_t row = page.find("validation, step " + std::to_string(step) + "<");
  ASSERT_NE(row, std::string::npos) << page;
  EXPECT_NE(page.substr(row, 200).find(std::string(">") + error + "<"), std::string::npos) << page.substr(row, 200);
}

TEST_F(KeepBest, NeedsValidationDataBeforeTheFirstStep) {
  const std::string advice = "give data.validation";
  expect_refused(run("sft sft.yaml checkpoint.keep_best.metric=validation/loss"), 2, advice);
  expect_refused(run("sft sft.yaml checkpoint.keep_best.metric=validation/loss data.validation=[]"), 2, advice);
  const Result empty =
      run("sft sft.yaml checkpoint.keep_best.metric=validation/loss data.validation_fraction=0.000001");
  expect_refused(empty, 2, "the validation part is empty");
  EXPECT_FALSE(exists("run/metrics.jsonl"));
}

TEST_F(Schedules, EveryStepTrainsAndTheRatesAreThoseOfTransformers) {
  // transformers.get_scheduler 5.24.0: linear over 5 steps; cosine over 2.
  ASSERT_EQ(run("sft sft.yaml schedule.kind=linear train.steps=5").code, 0);
  const auto linear = metric("run", "train/learning_rate");
  for (const auto& [step, wanted] :
       std::map<std::int64_t, double>{{1, 1e-3}, {2, 8e-4}, {3, 6e-4}, {4, 4e-4}, {5, 2e-4}})
    EXPECT_NEAR(linear.at(step), wanted, 1e-15) << step;
  ASSERT_EQ(run("sft sft.yaml schedule.kind=cosine train.steps=2 run_dir=cosine").code, 0);
  EXPECT_NEAR(metric("cosine", "train/learning_rate").at(2), 5e-4, 1e-15);
}

TEST_F(Schedules, ThatDoNotFitTheRunAreSaid) {
  const Result climbing = run("sft sft.yaml schedule.kind=cosine schedule.min_learning_rate=0.5");
  expect_refused(climbing, 2, "'schedule.min_learning_rate' is above 'optimizer.learning_rate'");
  EXPECT_FALSE(exists("run"));
  const std::string longer = "schedule.warmup_steps 100 leaves nothing of the run's 6 steps";
  expect_says(run("sft sft.yaml schedule.warmup_steps=100 --dry-run"), longer);
  expect_says(run("sft sft.yaml schedule.warmup_steps=100"), longer);
  expect_says(run("sft sft.yaml schedule.kind=wsd schedule.decay_steps=100 run_dir=wsd"),
              "schedule.decay_steps 100 is more than the 6 steps after warm-up");
}

TEST_F(Schedules, MoreStepsAfterTheEndSayWhatBecomesOfTheRate) {
  ASSERT_EQ(run("sft sft.yaml schedule.kind=cosine train.steps=4").code, 0);
  const Result result = run("sft sft.yaml schedule.kind=cosine train.steps=8");
  expect_says(result, "goes on after step 4");
  const auto rate = metric("run", "train/learning_rate");
  ASSERT_EQ(rate.size(), 8u);
  EXPECT_LT(rate.at(4), rate.at(5));
  char jump[128];
  std::snprintf(jump, sizeof jump, "the learning rate goes from %.3g at step 4 to %.3g at step 5", rate.at(4),
                rate.at(5));
  expect_says(result, jump);
  expect_says(result, "the run was planned for 4 steps and now has 8");
  // A constant rate goes on as it was: nothing is to be said.
  ASSERT_EQ(run("sft sft.yaml train.steps=2 run_dir=constant").code, 0);
  const Result constant = run("sft sft.yaml train.steps=3 run_dir=constant");
  expect_says(constant, "goes on after step 2");
  EXPECT_EQ(constant.errors.find("planned for"), std::string::npos) << constant.errors;
}

}  // namespace
}  // namespace steerlm
