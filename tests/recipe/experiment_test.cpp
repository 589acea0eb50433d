#include "steerlm/recipe/experiment.h"

#include "recipe_support.h"
#include "steerlm/core/fs.h"

namespace steerlm {
namespace {

const std::string whole = R"(mirrors: a table
question: does it
shows: that it does
cannot_show: that it matters
pipeline: sub/toy.yaml
seeds: 3
overrides: ["steps.sft.train.epochs=1"]
measures:
  - {name: slope, step: evaluate, at: /dials/humor/own_slope, paper: 1.5}
  - {name: control, step: evaluate-none, file: other.json, at: /a/0}
thresholds:
  - {measure: slope, at_least: 0.5}
  - {measure: slope, above: control}
)";

std::string faults_of(std::string text, const std::string& what = "", const std::string& with = "") {
  if (!what.empty()) text.replace(text.find(what), what.size(), with);
  return message_of(ExitCode::recipe, [&] { load_experiment(RecipeFile(text).path()); });
}

TEST(ExperimentTest, IsReadWhole) {
  const RecipeFile file(whole);
  const ExperimentOptions experiment = load_experiment(file.path());
  EXPECT_EQ(experiment.pipeline, (Path(file.path()).parent_path() / "sub" / "toy.yaml").string());
  EXPECT_EQ(experiment.seeds, 3);
  EXPECT_EQ(experiment.overrides, std::vector<std::string>{"steps.sft.train.epochs=1"});
  ASSERT_EQ(experiment.measures.size(), 2u);
  EXPECT_EQ(experiment.measures[0].file, "evaluation.json");
  EXPECT_EQ(experiment.measures[0].paper, 1.5);
  EXPECT_FALSE(experiment.measures[1].paper);
  EXPECT_EQ(experiment.thresholds[0].at_least, 0.5);
  EXPECT_EQ(experiment.thresholds[1].above, "control");
}

TEST(ExperimentTest, FaultsSayWhere) {
  EXPECT_EQ(faults_of(whole), "");
  EXPECT_NE(faults_of(whole, "question:", "qestion:").find("unknown key 'qestion' of an experiment"),
            std::string::npos);
  EXPECT_NE(faults_of(whole, "question:", "qestion:").find("did you mean 'question'?"), std::string::npos);
  EXPECT_NE(faults_of(whole, "question:", "qestion:").find("missing key 'question' of an experiment"),
            std::string::npos);
  EXPECT_NE(faults_of(whole, "seeds: 3", "seeds: 31").find("'seeds' is out of range"), std::string::npos);
  EXPECT_NE(faults_of(whole, "/a/0", "a").find("'at' of the measure 'control' is no JSON pointer"), std::string::npos);
  EXPECT_NE(faults_of(whole, "name: control", "name: slope").find("two measures have the name 'slope'"),
            std::string::npos);
  EXPECT_NE(faults_of(whole, "above: control", "above: contrl").find("no measure is named 'contrl'"),
            std::string::npos);
  EXPECT_NE(faults_of(whole, ", at_least: 0.5", "").find("the threshold of 'slope' expects nothing"),
            std::string::npos);
  EXPECT_NE(faults_of(whole, "step: evaluate,", "stp: evaluate,").find("unknown key 'measures[0].stp'"),
            std::string::npos);
}

TEST(ExperimentTest, WhatMakesNoSenseIsRefused) {
  const std::string overrides = "\"steps.sft.train.epochs=1\"";
  for (const std::string set : {"seed=9", "~seed", "run_dir=x"}) {
    const std::string key = set.find("seed") == std::string::npos ? "run_dir" : "seed";
    const std::string expected = "'" + key + "' is the experiment's own: each run has another one";
    EXPECT_NE(faults_of(whole, overrides, overrides + ", \"" + set + "\"").find(expected), std::string::npos) << set;
    EXPECT_NE(faults_of(whole, "measures:", "quick: [\"" + set + "\"]\nmeasures:").find(expected), std::string::npos);
  }
  EXPECT_EQ(faults_of(whole, overrides, "\"steps.sft.seed=9\""), "") << "a step's own is not the run's";
  EXPECT_NE(faults_of(whole, "at_least: 0.5", "at_least: 0.5, at_most: 0.25")
                .find("no mean can reach the threshold of 'slope': at_least 0.5 is above at_most 0.25"),
            std::string::npos);
  EXPECT_EQ(faults_of(whole, "at_least: 0.5", "at_least: 0.5, at_most: 0.5"), "");
  EXPECT_NE(faults_of(whole, "above: control", "above: slope").find("no measure is above itself, 'slope'"),
            std::string::npos);
  const std::string empty = faults_of(whole.substr(0, whole.find("measures:")) + "measures: []\n");
  EXPECT_NE(empty.find("'measures' is empty"), std::string::npos) << empty;
}

TEST(ExperimentTest, APathThatOnlyAShellExpandsIsTold) {
  EXPECT_NE(faults_of(whole, "sub/toy.yaml", "~/toy.yaml").find("r.yaml:5:11: '~' is not expanded to a home folder"),
            std::string::npos);
  const RecipeFile file(whole);
  const Path folder = Path(file.path()).parent_path();
  std::filesystem::create_directory(folder / "~");
  std::ofstream(folder / "~" / "toy.yaml") << "";
  std::string text = whole;
  std::ofstream(folder / "e.yaml") << text.replace(text.find("sub/toy.yaml"), 12, "~/toy.yaml");
  EXPECT_EQ(load_experiment((folder / "e.yaml").string()).pipeline, (folder / "~" / "toy.yaml").string())
      << "a folder of that name can be meant";
}

}  // namespace
}  // namespace steerlm
