#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/run_command.h"
#include "steerlm/core/json.h"
#include "steerlm/recipe/load.h"
#include "steerlm/recipe/reference.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class RecipeCommandsTest : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = folder_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  // Runs `steerlm recipe words…`; the folder's name is taken out of what it says.
  Outcome run(std::vector<std::string> words, const std::string& input = "") const {
    words.insert(words.begin(), "recipe");
    const Outcome outcome = run_command(std::move(words), input);
    return {outcome.code, shorten(outcome.out), shorten(outcome.err)};
  }
  std::string shorten(std::string text) const {
    const std::string prefix = folder_.path().string() + "/";
    for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) text.erase(at, prefix.size());
    return text;
  }

  const std::string good_ = "# Fine-tuning\nstage: sft\nrun_dir: r\nmodel: {path: m}\ndata: {train: [a.jsonl]}\n";
  const std::string pipeline_ =
      "stage: pipeline\nrun_dir: r\nsteps: [{name: one, stage: sft, model: {path: m}, data: {train: [a]}}]\n";
  TemporaryFolder folder_;
};

TEST_F(RecipeCommandsTest, CheckPrintsOneLine) {
  const Outcome sft = run({"check", write("r.yaml", good_)});
  EXPECT_EQ(sft.code, 0);
  EXPECT_EQ(sft.out, "r.yaml: a recipe without faults, stage sft\n");
  EXPECT_EQ(sft.err, "");
  EXPECT_EQ(run({"check", write("p.yaml", pipeline_)}).out, "p.yaml: a pipeline without faults, steps one\n");
}

TEST_F(RecipeCommandsTest, CheckReportsEveryFaultOnStderr) {
  const Outcome outcome = run({"check", write("r.yaml", good_ + "sed: 1\n"), "optimizer.learning_rate=x"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err,
            "error: r.yaml:6:1: unknown key 'sed'; did you mean 'seed'?\n"
            "error: override 'optimizer.learning_rate=x': wrong value of 'optimizer.learning_rate' (found 'x', "
            "expected a number from 0 "
            "to 1)\n");
}

TEST_F(RecipeCommandsTest, ShowPrintsTheResolvedRecipe) {
  const std::string path = write("r.yaml", good_);
  const Outcome outcome = run({"show", path, "seed=5", "data.train[0].limit=2"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  const std::vector<std::string> overrides{"seed=5", "data.train[0].limit=2"};
  EXPECT_EQ(outcome.out, dump_recipe(load_recipe(path, overrides, Stage::sft)));
  EXPECT_NE(outcome.out.find("seed: 5\n"), std::string::npos);
  const std::string pipeline = write("p.yaml", pipeline_);
  EXPECT_EQ(run({"show", pipeline}).out, load_pipeline(pipeline, {}).recipe_yaml);
}

TEST_F(RecipeCommandsTest, ADashIsStandardInput) {
  const Outcome outcome = run({"check", "-"}, good_ + "seed: x\n");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.err, "error: stdin:6:7: wrong value of 'seed' (found 'x', expected an integer of at least 0)\n");
}

TEST_F(RecipeCommandsTest, AMissingFileIsTwo) {
  const Outcome outcome = run({"check", "/nowhere/r.yaml"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.err, "error: /nowhere/r.yaml: cannot read recipe: No such file or directory\n");
}

TEST_F(RecipeCommandsTest, ListNamesStageAndFirstComment) {
  write("configs/b/sft.yaml", good_);
  write("configs/a.yaml", "stage: annotate\n# Later comment\n");
  write("configs/broken.yml", "[\n");
  write("configs/notes.txt", "stage: sft\n");
  const Outcome outcome = run({"list", (folder_.path() / "configs").string()});
  EXPECT_EQ(outcome.code, 0);
  std::istringstream lines(outcome.out);
  std::vector<std::vector<std::string>> words;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream parts(line);
    std::string path, rest;
    parts >> path;
    std::getline(parts >> std::ws, rest);
    words.push_back({path, rest});
  }
  ASSERT_EQ(words.size(), 3u) << outcome.out;
  EXPECT_EQ(words[0], (std::vector<std::string>{"configs/a.yaml", "annotate         Later comment"}));
  EXPECT_EQ(words[1], (std::vector<std::string>{"configs/b/sft.yaml", "sft              Fine-tuning"}));
  EXPECT_EQ(words[2], (std::vector<std::string>{"configs/broken.yml", "not a recipe"}));
  const Outcome missing = run({"list", "/nowhere"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_EQ(missing.err, "error: /nowhere: no such folder; give the folder that holds the recipes\n");
}

TEST_F(RecipeCommandsTest, Schema) {
  const Outcome outcome = run({"schema"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, recipe_schema());
  EXPECT_EQ(run({"schema", "--markdown"}).out, recipe_reference());
}

TEST_F(RecipeCommandsTest, MistakesOnTheCommandLine) {
  const auto message = [&](std::vector<std::string> words) {
    const Outcome outcome = run(std::move(words));
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.out, "");
    return outcome.err;
  };
  EXPECT_EQ(message({}),
            "error: a command is missing (expected one of list, show, check, schema); see 'steerlm recipe --help'\n");
  EXPECT_EQ(message({"shw"}),
            "error: unknown command 'shw' (expected one of list, show, check, schema); did you mean 'show'?\n");
  EXPECT_EQ(
      message({"xyzzy"}),
      "error: unknown command 'xyzzy' (expected one of list, show, check, schema); see 'steerlm recipe --help'\n");
  EXPECT_EQ(message({"schema", "--markdwn"}), "error: unknown option '--markdwn'; did you mean '--markdown'?\n");
  EXPECT_EQ(message({"schema", "--xyzzy=1"}), "error: unknown option '--xyzzy'; see 'steerlm recipe schema --help'\n");
  EXPECT_EQ(message({"schema", "more"}), "error: too many arguments: more; see 'steerlm recipe schema --help'\n");
  EXPECT_EQ(message({"check"}), "error: RECIPE is required; see 'steerlm recipe check --help'\n");
}

}  // namespace
}  // namespace steerlm
