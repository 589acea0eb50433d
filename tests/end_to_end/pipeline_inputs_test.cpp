// What a pipeline looks at before it runs: a dry run ends as the run would, of inputs and of what a finished step has
// left; and a parent that ignores the end of its children.
#include <gmock/gmock.h>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

using testing::HasSubstr;

class PipelineInputs : public Program {
 protected:
  void SetUp() override {
    copy_model("untied", "base");
    write("train.jsonl", rated_conversations(8));
    write("first.yaml", R"(stage: pipeline
method: helpsteer
run_dir: run
device: cpu
attributes: {names: [quality], min: 0, max: 4}
template: {system: Be good.}
steps:
  - name: predictor
    stage: train-predictor
    model: {path: base}
    data: {train: [{path: train.jsonl}], max_tokens: 256}
    train: {steps: 2, batch_size: 4}
)");
  }

  // With one step more.
  void make_pipeline(const std::string& step) { write("pipeline.yaml", read("first.yaml") + "  - {" + step + "}\n"); }
};

TEST_F(PipelineInputs, AreReadInADryRunAsTheStepReadsThem) {
  // Annotation writes over labels, and does not look at weights.
  write("input.jsonl",
        R"({"conversations":[{"from":"User","value":"a"},{"from":"Assistant","value":"b","weight":"x"}]})"
        "\n");
  make_pipeline(
      "name: labels, stage: annotate, predictor: \"@predictor/model\", input: input.jsonl, "
      "output: \"@self/out.jsonl\", on_bad_record: stop");
  expect_says(run("pipeline pipeline.yaml --dry-run"), "labels (annotate): would run");
  expect_says(run("pipeline pipeline.yaml"), "pipeline done");
  expect_says(run("pipeline pipeline.yaml --fresh"), "pipeline done");

  write("lines.text", "a line of text\nand one more\n");
  make_pipeline(
      "name: labels, stage: annotate, predictor: \"@predictor/model\", input: input.jsonl, output: "
      "\"@self/out.jsonl\"}\n  - {name: pieces, stage: tokenizer, tokenizer: {input: [\"@labels/out.jsonl\", "
      "lines.text], format: text, vocab_size: 400, output: \"@self/out.model\"}");
  expect_says(run("pipeline pipeline.yaml run_dir=second --dry-run"), "pieces (tokenizer): would run");
  expect_says(run("pipeline pipeline.yaml run_dir=second"), "pipeline done");

  make_pipeline("name: measured, stage: evaluate, predictor: \"@predictor/model\", pairs: {sources: train.jsonl}");
  const std::string no_pair = "train.jsonl:1: a line that holds no preference between responses";
  expect_refused(run("pipeline pipeline.yaml run_dir=third --dry-run"), 3, no_pair);
  expect_refused(run("pipeline pipeline.yaml run_dir=third"), 3, no_pair);
}

// What no step makes, and where the steps write, before the first one runs for hours.
TEST_F(PipelineInputs, OfLaterStepsAreLookedAtBeforeTheFirstOneRuns) {
  copy_model("untied", "bare");
  std::filesystem::remove(path("bare/model.safetensors"));
  std::filesystem::create_directory(path("folder"));
  write("mine.jsonl", "mine\n");
  const std::string labels = "name: labels, stage: annotate, predictor: \"@predictor/model\", ",
                    to = ", output: \"@self/out.jsonl\"", tune = "name: tune, stage: sft, ",
                    data = ", data: {train: [{path: train.jsonl}], max_tokens: 256}, train: {steps: 1, batch_size: 4}";
  struct Fault {
    std::string step;
    int code;
    const char *message, *title;
  };
  const Fault faults[] = {
      {labels + "input: none.jsonl" + to, 3, "none.jsonl", "[2/2] labels (annotate)"},
      {labels + "input: folder" + to, 3, "a folder where a data file is expected", "[2/2] labels (annotate)"},
      {labels + "input: train.jsonl, output: mine.jsonl", 5,
       "mine.jsonl: a file that this run did not write is in the way", "[2/2] labels (annotate)"},
      {tune + "model: {path: none}" + data, 4, "none", "[2/2] tune (sft)"},
      {tune + "model: {path: bare}" + data, 4, "bare", "[2/2] tune (sft)"}};
  for (const auto& [step, code, message, title] : faults) {
    make_pipeline(step);
    const Result result = run("pipeline pipeline.yaml");
    expect_refused(result, code, message);
    EXPECT_THAT(result.errors, HasSubstr(std::string(title) + " ended with exit code " + std::to_string(code)));
    EXPECT_FALSE(exists("run")) << step;
  }
  // What the data says, the step reads when it is its turn.
  write("broken.jsonl", "{\"conversations\": 1}\n");
  make_pipeline(labels + "input: broken.jsonl, on_bad_record: stop" + to);
  expect_refused(run("pipeline pipeline.yaml"), 3, "broken.jsonl:1");
  EXPECT_TRUE(exists("run/predictor/done.json"));
}

TEST_F(PipelineInputs, WhatAFinishedStepLacksIsKnownBeforeItsInputsAre) {
  make_pipeline(
      "name: measured, stage: evaluate, predictor: \"@predictor/model\", "
      "data: {validation: [{path: train.jsonl}], max_tokens: 256}");
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  const std::string numbers = read("run/measured/evaluation.json");
  std::filesystem::remove(path("run/predictor/model/model.safetensors"));
  append("run/measured/evaluation.json", "\n");
  const std::string lacks = "what it lacks, run/measured/evaluation.json was changed after it was written";
  expect_says(run("pipeline pipeline.yaml --dry-run"), "measured (evaluate): would make again " + lacks);
  expect_says(run("pipeline pipeline.yaml"), "measured (evaluate): makes again " + lacks);
  EXPECT_EQ(read("run/measured/evaluation.json"), numbers);
  EXPECT_EQ(read("run/measured/evaluation.json.previous"), numbers + "\n");
}

TEST_F(PipelineInputs, AFileThatIsNewOrGoneRunsTheStepAgain) {
  ASSERT_EQ(run("pipeline first.yaml").code, 0);
  expect_says(run("pipeline first.yaml"), "predictor (train-predictor): done already, skipped");
  std::filesystem::remove(path("base/generation_config.json"));
  write("base/notes.txt", "mine");
  const std::string why = ", the input base/notes.txt is new; the input base/generation_config.json is gone";
  expect_says(run("pipeline first.yaml --dry-run"), "predictor (train-predictor): would run again" + why);
  expect_says(run("pipeline first.yaml"), "predictor (train-predictor): runs again" + why);
  expect_says(run("pipeline first.yaml"), "predictor (train-predictor): done already, skipped");
}

// As a daemon or a container's first process may hand it on: a program is started with SIGCHLD ignored.
TEST_F(PipelineInputs, AParentThatIgnoresTheEndOfItsChildrenIsNoHindrance) {
  const Result result = run("pipeline first.yaml", "trap '' CHLD && exec");
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("pipeline done"));
}

}  // namespace
}  // namespace steerlm
