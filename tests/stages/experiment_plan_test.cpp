// What is wrong with an experiment shows before its first run.
#include <gmock/gmock.h>

#include <fstream>

#include "steerlm/core/error.h"
#include "steerlm/stages/experiment.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class ExperimentPlan : public testing::Test {
 protected:
  void SetUp() override {
    write("toy.yaml",
          "stage: pipeline\nrun_dir: r\nsteps:\n"
          "  - {name: base, stage: sft, model: m, data: {train: a}}\n"
          "  - {name: evaluate-base, stage: evaluate, model: '@base/model', data: {validation: a}}\n");
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name, std::ios::binary) << text;
  }
  void write_experiment(const std::string& name, const std::string& step, const std::string& more = "") {
    write(name,
          "mirrors: a\nquestion: b\nshows: c\ncannot_show: d\npipeline: toy.yaml\nmeasures:\n  - {name: loss, step: " +
              step + ", at: /validation~1loss}\n" + more);
  }
  // The program that would run the pipelines is none: 0 is never the answer.
  std::string plan(const std::vector<std::string>& names) {
    std::vector<std::string> files;
    for (const std::string& name : names) files.push_back((folder_.path() / name).string());
    Log log = Log::silent();
    try {
      run_experiments(files, {.output = (folder_.path() / "out").string()}, "/none", {.quiet = true, .log = &log});
    } catch (const Error& error) {
      if (error.code() == ExitCode::recipe) return error.what();
    }
    return "runs";
  }

  TemporaryFolder folder_;
};

TEST_F(ExperimentPlan, AMeasureOfNoStep) {
  write_experiment("good.yaml", "evaluate-base");
  write_experiment("bad.yaml", "evaluate-bse");
  EXPECT_EQ(plan({"good.yaml"}), "runs");
  std::filesystem::remove_all(folder_.path() / "out");
  const std::string message = plan({"good.yaml", "bad.yaml"});
  EXPECT_THAT(message, testing::HasSubstr("the measure 'loss' is of a step that the pipeline does not have"));
  EXPECT_THAT(message, testing::HasSubstr("found step 'evaluate-bse', expected one of base, evaluate-base"));
  EXPECT_THAT(message, testing::HasSubstr("did you mean 'evaluate-base'?"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "out")) << "nor does the other one begin";
}

TEST_F(ExperimentPlan, AMeasureOfAStepThatAnOverrideLeavesOut) {
  write_experiment("less.yaml", "evaluate-base", "overrides: [steps.evaluate-base=null]\n");
  EXPECT_THAT(plan({"less.yaml"}), testing::HasSubstr("found step 'evaluate-base', expected one of base"));
}

}  // namespace
}  // namespace steerlm
