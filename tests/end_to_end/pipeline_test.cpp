// A pipeline of three small steps: what runs again, what is skipped, and what a stop or a failure leaves. contracts.md
// sections 3 and 8.
#include "end_to_end/program.h"

namespace steerlm {
namespace {

class PipelineProgram : public Program {
 protected:
  void SetUp() override {
    copy_model("untied", "base");
    std::string lines;
    for (int i = 0; i < 8; ++i)
      lines += conversation("question " + std::to_string(i), "answer", "quality:" + std::to_string(i % 5));
    write("train.jsonl", lines);
    write("input.jsonl", lines);
    write("pipeline.yaml", R"(stage: pipeline
method: helpsteer
run_dir: run
attributes: {names: [quality, humor], min: 0, max: 4}
template: {system: Be good.}
steps:
  - name: predictor
    stage: train-predictor
    model: {path: base}
    data: {train: [{path: train.jsonl}], max_tokens: 256}
    train: {steps: 2, batch_size: 4}
  - {name: annotation, stage: annotate, predictor: "@predictor/model", input: input.jsonl, output: run/annotation/out.jsonl}
  - name: sft
    stage: sft
    model: {path: base}
    data: {train: [{path: "@annotation/out.jsonl"}], max_tokens: 256}
    optimizer: {learning_rate: 1e-3}
    train: {steps: 2, batch_size: 4}
    checkpoint: {every_steps: 1}
)");
  }

  // The names of the steps that ran, each with a comma; "skipped NAME," for those that were skipped.
  static std::string steps(const Result& result) {
    std::string names;
    for (const std::string& line : lines_of(result.errors)) {
      const size_t begin = line.find("] "), end = line.find(" (");
      if (!line.starts_with("[") || begin == std::string::npos || end == std::string::npos) continue;
      const std::string name = line.substr(begin + 2, end - begin - 2);
      if (line.ends_with(": done already, skipped")) names += "skipped " + name + ",";
      if (line.find("): done in ") != std::string::npos) names += name + ",";
    }
    return names;
  }
};

TEST_F(PipelineProgram, RunsOnceAndThenSkipsEveryStep) {
  const Result first = run("pipeline pipeline.yaml");
  expect_says(first, "pipeline done");
  EXPECT_EQ(steps(first), "predictor,annotation,sft,");
  for (const char* file :
       {"run/recipe.yaml", "run/log.txt", "run/predictor/model/steerlm.json", "run/annotation/out.jsonl",
        "run/annotation/ledger.jsonl", "run/sft/model/model.safetensors", "run/sft/metrics.jsonl"}) {
    EXPECT_TRUE(exists(file)) << file;
  }
  const auto before = contents();
  EXPECT_EQ(steps(run("pipeline pipeline.yaml")), "skipped predictor,skipped annotation,skipped sft,");
  EXPECT_EQ(changes_since(before), "");
  EXPECT_EQ(steps(run("pipeline pipeline.yaml --fresh")), "predictor,annotation,sft,");
  EXPECT_EQ(read("run/sft/model/model.safetensors"), before.at("run/sft/model/model.safetensors"));
}

TEST_F(PipelineProgram, AChangedStepRunsAgainWithWhatDependsOnIt) {
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  const Result last = run("pipeline pipeline.yaml steps[2].optimizer.learning_rate=2e-3");
  EXPECT_EQ(steps(last), "skipped predictor,skipped annotation,sft,");
  EXPECT_NE(last.errors.find("optimizer.learning_rate"), std::string::npos) << last.errors;
  // The change of before is still asked for, so that only the middle one differs; what it writes is the same to the
  // bit.
  EXPECT_EQ(steps(run("pipeline pipeline.yaml steps[2].optimizer.learning_rate=2e-3 steps[1].block_records=64")),
            "skipped predictor,annotation,sft,");
  EXPECT_EQ(steps(run("pipeline pipeline.yaml steps[0].train.steps=3 steps[1].block_records=64 "
                      "steps[2].optimizer.learning_rate=2e-3")),
            "predictor,annotation,sft,");
}

TEST_F(PipelineProgram, AChangedInputRunsItsStepAgainWithWhatDependsOnIt) {
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  write("input.jsonl", conversation("another", "one") + conversation("and", "one more"));
  const Result result = run("pipeline pipeline.yaml");
  EXPECT_EQ(steps(result), "skipped predictor,annotation,sft,");
  EXPECT_NE(result.errors.find("input.jsonl has changed"), std::string::npos) << result.errors;
  EXPECT_EQ(lines_of(read("run/annotation/out.jsonl")).size(), 2u);
}

TEST_F(PipelineProgram, OneStepOrTheStepsFromOneOn) {
  EXPECT_EQ(steps(run("pipeline pipeline.yaml --only predictor")), "predictor,");
  EXPECT_FALSE(exists("run/annotation"));
  EXPECT_EQ(steps(run("pipeline pipeline.yaml --from annotation")), "annotation,sft,");
  EXPECT_EQ(steps(run("pipeline pipeline.yaml --from annotation")), "skipped annotation,skipped sft,");
  expect_refused(run("pipeline pipeline.yaml --only anotation"), 2, "did you mean 'annotation'?");
  expect_refused(run("pipeline pipeline.yaml --from sff"), 2, "one of predictor, annotation, sft");
}

TEST_F(PipelineProgram, AFailingStepGivesItsExitCodeAndNoLaterOneRuns) {
  const Result missing = run("pipeline pipeline.yaml steps[1].input=none.jsonl");
  expect_refused(missing, 3, "none.jsonl");
  EXPECT_NE(missing.errors.find("[2/3] annotation (annotate) ended with exit code 3"), std::string::npos)
      << missing.errors;
  EXPECT_FALSE(exists("run/sft"));
  expect_refused(run("pipeline pipeline.yaml --only sft steps[2].model.path=none"), 4, "none");
  expect_refused(run("pipeline pipeline.yaml --only predictor steps[0].train.steps=many"), 2, "steps");
  EXPECT_EQ(steps(run("pipeline pipeline.yaml")), "skipped predictor,annotation,sft,") << "mended, the rest runs";
}

TEST_F(PipelineProgram, DryRunWritesNothing) {
  const auto before = contents();
  const Result result = run("pipeline pipeline.yaml --dry-run");
  for (const char* step : {"predictor", "annotation", "sft"}) expect_says(result, step);
  EXPECT_EQ(changes_since(before), "");
}

TEST_F(PipelineProgram, StoppedInTheMiddleTheSameCommandGoesOn) {
  ASSERT_EQ(run("pipeline pipeline.yaml steps[2].train.steps=30").code, 0);
  const std::string again =
      "pipeline pipeline.yaml run_dir=again steps[1].output=again/annotation/out.jsonl steps[2].train.steps=30";
  const Result stopped = run_until(again, SIGTERM, [&] {
    return exists("again/sft/metrics.jsonl") && lines_of(read("again/sft/metrics.jsonl")).size() >= 2;
  });
  EXPECT_EQ(stopped.code, 75) << stopped.errors;
  EXPECT_NE(stopped.errors.find("sft (sft): stopped; the same command goes on"), std::string::npos) << stopped.errors;
  EXPECT_FALSE(exists("again/sft/model"));
  const Result result = run(again);
  EXPECT_EQ(steps(result), "skipped predictor,skipped annotation,sft,");
  expect_says(result, "goes on after step");
  EXPECT_EQ(read("again/sft/model/model.safetensors"), read("run/sft/model/model.safetensors"));
}

TEST_F(PipelineProgram, ASecondPipelineInTheDirectoryIsRefused) {
  Result second{0, "", ""};
  run_until("pipeline pipeline.yaml steps[0].train.steps=500 --only predictor", SIGTERM, [&] {
    if (!exists("run/predictor/metrics.jsonl")) return false;
    const int status = std::system(
        ("cd '" + path("").string() + "' && " + STEERLM_PROGRAM + " pipeline pipeline.yaml 2>second.txt").c_str());
    second = {WEXITSTATUS(status), "", read("second.txt")};
    return true;
  });
  expect_refused(second, 5, "in use");
}

// The folder declares attributes and the recipe does not: the resolved recipe has them all the same.
TEST_F(PipelineProgram, TheRecipeOfARunDirectoryGivesTheSameRun) {
  ASSERT_EQ(run("pipeline pipeline.yaml --only predictor").code, 0);
  make_model("untied", "steered", R"("quality", "humor")");
  write("sft.yaml",
        "stage: sft\nmodel: {path: steered}\ndata: {train: [{path: train.jsonl}], max_tokens: 256}\nrun_dir: sft\n"
        "train: {steps: 2, batch_size: 4}\n");
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  for (const std::string command :
       {"train-predictor run/predictor/recipe.yaml", "sft sft/recipe.yaml", "run sft/recipe.yaml"}) {
    const auto before = contents();
    expect_says(run(command), "finished already");
    EXPECT_EQ(changes_since(before), "") << command;
  }
  ASSERT_EQ(run("sft sft/recipe.yaml run_dir=again").code, 0);
  EXPECT_EQ(read("again/model/model.safetensors"), read("sft/model/model.safetensors"));
  EXPECT_EQ(read("again/model/steerlm.json"), read("sft/model/steerlm.json"));
}

}  // namespace
}  // namespace steerlm
