#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <thread>

#include "cli/run_command.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/recipe/load.h"
#include "steerlm/recipe/reference.h"
#include "support/no_more_open_files.h"
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

// What came through a pipe is not there a second time.
TEST_F(RecipeCommandsTest, ARecipeThroughAPipeIsReadOnce) {
  const std::string fifo = (folder_.path() / "fifo").string();
  const std::string experiment =
      "mirrors: a\nquestion: b\nshows: c\ncannot_show: d\npipeline: " + write("p.yaml", pipeline_) +
      "\nmeasures: [{name: e, step: one, at: /x}]\n";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (const auto& [text, end] : {std::pair{good_, std::string(": a recipe without faults, stage sft\n")},
                                  {pipeline_, ": a pipeline without faults, steps one\n"},
                                  {experiment, ": an experiment without faults, on p.yaml\n"}}) {
    std::thread writer([&] { std::ofstream(fifo) << text; });
    const Outcome outcome = run({"check", fifo});
    writer.join();
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out.substr(0, 4 + end.size()), "fifo" + end);
    const Outcome dash = run({"check", "-"}, text);
    EXPECT_EQ(dash.code, 0) << dash.err;
    EXPECT_EQ(dash.out.substr(0, 1 + end.size()), "-" + end);
  }
}

// As another user where we are root, for whom no folder is closed.
TEST_F(RecipeCommandsTest, AClosedFolderIsNoEmptyList) {
  write("open/a.yaml", good_);
  write("open/closed/b.yaml", good_);
  const std::string open = (folder_.path() / "open").string(), closed = open + "/closed";
  for (const auto& [path, mode] : {std::pair{folder_.path().string(), 0755}, {open, 0755}, {closed, 0}})
    ASSERT_EQ(::chmod(path.c_str(), static_cast<mode_t>(mode)), 0);
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const Outcome of_closed = run({"list", closed}), of_open = run({"list", open});
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  ASSERT_EQ(::chmod(closed.c_str(), 0755), 0);
  EXPECT_EQ(of_closed.code, 2);
  EXPECT_EQ(of_closed.err.find("error: open/closed: cannot list the folder: Permission denied; ask its owner"), 0u)
      << of_closed.err;
  EXPECT_EQ(of_open.code, 0);
  EXPECT_EQ(of_open.out, "open/a.yaml  sft              Fine-tuning\n");
  EXPECT_EQ(of_open.err, "warning: open/closed: the folder is closed, and recipes in it are not listed\n");
}

// The limit is none of the folder's faults. What run_command opens is open before it is reached.
TEST_F(RecipeCommandsTest, TooManyOpenFilesIsNoFaultOfTheFolder) {
  std::string folder = std::filesystem::path(write("open/a.yaml", good_)).parent_path().string();
  ASSERT_EQ(run({"list", folder}).code, 0);
  std::string program = "steerlm", recipe = "recipe", list = "list";
  char* arguments[] = {program.data(), recipe.data(), list.data(), folder.data()};
  ::testing::internal::CaptureStderr();
  int code = 0;
  {
    const NoMoreOpenFiles limit;
    code = run_program(4, arguments, steerlm_compute_commands);
  }
  EXPECT_EQ(
      shorten(::testing::internal::GetCapturedStderr()),
      "error: open: cannot list the folder: Too many open files; raise the limit of open files: ulimit -n 1024\n");
  EXPECT_EQ(code, 5);
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

// As `steerlm experiment` would read it: with its pipeline and its overrides.
TEST_F(RecipeCommandsTest, CheckOfAnExperimentIsThatOfItsPipelines) {
  const std::string text =
      "mirrors: a\nquestion: b\nshows: c\ncannot_show: d\npipeline: p.yaml\n"
      "measures: [{name: e, step: one, at: /x}]\nquick: [steps.one.seeed=1]\n";
  write("p.yaml", pipeline_);
  const std::string file = write("m.yaml", text);
  const Outcome quick = run({"check", file});
  EXPECT_EQ(quick.code, 2);
  EXPECT_NE(quick.err.find("seeed"), std::string::npos) << quick.err;
  write("m.yaml", text.substr(0, text.find("quick:")) + "overrides: [steps.one.seeed=1]\nquick: [~steps.one.seeed]\n");
  EXPECT_EQ(run({"check", file}).code, 2) << "without --quick too";
  write("m.yaml", text.substr(0, text.find("quick:")));
  EXPECT_EQ(run({"check", file}).out, "m.yaml: an experiment without faults, on p.yaml\n");
  const Outcome overridden = run({"check", file, "seeds=3"});
  EXPECT_EQ(overridden.code, 2);
  EXPECT_NE(overridden.err.find("an experiment takes no overrides"), std::string::npos) << overridden.err;
  write("p.yaml",
        "stage: pipeline\nrun_dir: r\nsteps: [{name: two, stage: sft, model: {path: m}, data: {train: [a]}}]\n");
  const Outcome measure = run({"check", file});
  EXPECT_EQ(measure.code, 2);
  EXPECT_NE(measure.err.find("is of a step that the pipeline does not have"), std::string::npos) << measure.err;
}

// Every recipe that comes with the program, by the names that are listed; tests/end_to_end/install_test.sh looks at an
// installed tree.
TEST_F(RecipeCommandsTest, TheProgramsOwnRecipesAreListedCopiedAndWithoutFaults) {
  const Outcome listed = run({"list"});
  EXPECT_EQ(listed.code, 0) << listed.err;
  std::istringstream lines(listed.out);
  std::set<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.find(' '));
    names.insert(name);
    EXPECT_EQ(line.find("not a recipe"), std::string::npos) << line;
    const Path file = folder_.path() / "copies" / name;
    std::filesystem::create_directories(file.parent_path());
    const Outcome copied = run({"copy", name, file.string()});
    EXPECT_EQ(copied.code, 0) << copied.err;
    EXPECT_EQ(run({"copy", name, "-"}).out, read_file(file, ExitCode::recipe, "recipe"));
  }
  for (const std::string& name : names) {  // an experiment names its pipeline, which is one of them
    const Outcome checked = run({"check", (folder_.path() / "copies" / name).string()});
    EXPECT_EQ(checked.code, 0) << name << ": " << checked.err;
  }
  for (const char* name :
       {"papers/helpsteer-13b-predictor.yaml", "papers/helpsteer-70b.yaml", "papers/helpsteer2-70b-reward.yaml",
        "papers/helpsteer2-70b-sft.yaml", "papers/helpsteer2-8b-reward.yaml", "papers/steerlm-13b.yaml",
        "papers/steerlm-43b.yaml", "real/pipeline.yaml", "smollm2/dials.yaml", "toy/pipeline.yaml",
        "experiments/m1-dials.yaml"})
    EXPECT_TRUE(names.contains(name)) << name;
}

// Of the hyper-parameters that the papers print.
TEST_F(RecipeCommandsTest, ThePapersNumbersAreInTheirRecipes) {
  const auto recipe = [&](const std::string& name) {
    const std::string file = (folder_.path() / "copy.yaml").string();
    EXPECT_EQ(run({"copy", name, file, "--overwrite"}).code, 0);
    return load_any(file, {});
  };
  const Recipe reward = std::get<Recipe>(recipe("papers/helpsteer2-70b-reward"));
  EXPECT_EQ(reward.optimizer.learning_rate, 2e-6);
  EXPECT_EQ(reward.schedule.warmup_steps, 10);
  EXPECT_EQ(reward.train.epochs, 2);
  EXPECT_EQ(reward.train.batch_size, 128);
  const Recipe predictor = std::get<Recipe>(recipe("papers/helpsteer-13b-predictor"));
  EXPECT_EQ(predictor.train.steps, 800);
  EXPECT_EQ(predictor.optimizer.learning_rate, 5e-6);
  EXPECT_EQ(predictor.attributes.names.size(), 9u);
  const Pipeline paper = std::get<Pipeline>(recipe("papers/steerlm-13b"));
  std::vector<std::string> steps;
  for (const PipelineStep& step : paper.steps) {
    steps.push_back(step.name);
    if (step.stage != Stage::sft) continue;
    EXPECT_NE(step.recipe_yaml.find("epochs: 5\n"), std::string::npos);
    EXPECT_NE(step.recipe_yaml.find("batch_size: 128\n"), std::string::npos);
    EXPECT_NE(step.recipe_yaml.find("learning_rate: 5.0e-06\n"), std::string::npos);
  }
  EXPECT_EQ(steps, (std::vector<std::string>{"predictor", "annotate-oasst", "annotate-hh", "annotate-identity", "sft",
                                             "bootstrap"}));
}

TEST_F(RecipeCommandsTest, CopyAndInitHarmNothing) {
  EXPECT_EQ(run({"init", "sft", (folder_.path() / "sft.yaml.gz").string()}).code, 2) << "a recipe is not packed";
  const std::string file = write("mine.yaml", "old");
  for (std::vector<std::string> words :
       {std::vector<std::string>{"copy", "toy/pipeline", file}, {"init", "sft", file}}) {
    EXPECT_EQ(run(words).code, 5);
    EXPECT_EQ(read_file(file, ExitCode::recipe, "recipe"), "old");
  }
  const Outcome stream = run({"init", "sft", "/dev/null"});
  EXPECT_EQ(stream.code, 0);
  EXPECT_EQ(stream.err, "") << "nothing is there to be checked";
  const Outcome unknown = run({"copy", "toy/pipelin", "-"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_NE(unknown.err.find("did you mean 'toy/pipeline'?"), std::string::npos) << unknown.err;
  EXPECT_NE(run({"copy", "m1-dails", "-"}).err.find("did you mean 'experiments/m1-dials'?"), std::string::npos);
  EXPECT_NE(run({"init", "sfd", "-"}).err.find("did you mean 'sft'?"), std::string::npos);
  EXPECT_NE(run({"init", "predictor", "-"}).err.find("expected one of tokenizer, train-predictor"), std::string::npos);
}

// A copy is not where its paths lead: what is missing there is said, and the commands that are named bring it.
TEST_F(RecipeCommandsTest, CopySaysWhatARecipeNeedsBeside) {
  const std::string file = (folder_.path() / "mine" / "x.yaml").string();
  const std::string beside = (folder_.path() / "mine" / "toy.yaml").string();
  std::filesystem::create_directory(folder_.path() / "mine");
  const Outcome copied = run({"copy", "experiments/m1-dials", file});
  EXPECT_EQ(copied.code, 0) << copied.err;
  EXPECT_NE(copied.err.find("mine/x.yaml: an experiment on mine/toy.yaml, which `steerlm recipe copy experiments/toy "
                            "'mine/toy.yaml'` writes\n"),
            std::string::npos)
      << copied.err;
  EXPECT_EQ(run({"check", file}).code, 2) << "its pipeline is missing";
  const Outcome pipeline = run({"copy", "experiments/toy", beside});
  EXPECT_NE(pipeline.err.find("`steerlm data make-toy --output data/toy` writes"), std::string::npos) << pipeline.err;
  EXPECT_EQ(run({"check", file}).code, 0);
  EXPECT_EQ(run({"copy", "experiments/m1-dials", "-"}).err, "");
}

// The commands in what is printed are words of a shell.
TEST_F(RecipeCommandsTest, NamesInCommandsAreQuoted) {
  const std::string file = (folder_.path() / "my sft's.yaml").string();
  EXPECT_EQ(run({"init", "sft", file}).err,
            R"(my sft's.yaml: written; `steerlm recipe check 'my sft'\''s.yaml'` checks it)"
            "\n");
}

// Each command with a recipe says what an experiment is run by.
TEST_F(RecipeCommandsTest, AnExperimentIsNoRecipe) {
  const std::string file = (folder_.path() / "x.yaml").string();
  ASSERT_EQ(run({"copy", "experiments/m1-dials", file}).code, 0);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"recipe", "show", file}, {"run", file}, {"sft", file}, {"pipeline", file}}) {
    const Outcome outcome = run_command(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.err.find("this is an experiment (expected a recipe, which has the key 'stage'); `steerlm "
                               "experiment FILE --out DIR` runs it"),
              std::string::npos)
        << words[0] << ": " << outcome.err;
  }
}

// Of the stage `sft` say: what must be given is asked for, and filled in there is no fault.
TEST_F(RecipeCommandsTest, InitWritesARecipeThatCheckAcceptsOnceItIsFilledIn) {
  const std::string file = (folder_.path() / "r.yaml").string();
  ASSERT_EQ(run({"init", "sft", file}).code, 0);
  const Outcome empty = run({"check", file});
  EXPECT_EQ(empty.code, 2);
  for (const char* key : {"run_dir", "model.path", "data.train"})
    EXPECT_NE(empty.err.find(std::string("wrong value of '") + key + "' (found nothing"), std::string::npos)
        << empty.err;
  EXPECT_EQ(std::count(empty.err.begin(), empty.err.end(), '\n'), 3) << empty.err;
  EXPECT_EQ(run({"check", file, "run_dir=r", "model.path=m", "data.train=a"}).code, 0);
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
            "error: a command is missing (expected one of list, copy, init, show, check, schema); see 'steerlm recipe "
            "--help'\n");
  EXPECT_EQ(
      message({"shw"}),
      "error: unknown command 'shw' (expected one of list, copy, init, show, check, schema); did you mean 'show'?\n");
  EXPECT_EQ(message({"xyzzy"}),
            "error: unknown command 'xyzzy' (expected one of list, copy, init, show, check, schema); see 'steerlm "
            "recipe --help'\n");
  EXPECT_EQ(message({"schema", "--markdwn"}), "error: unknown option '--markdwn'; did you mean '--markdown'?\n");
  EXPECT_EQ(message({"schema", "--xyzzy=1"}), "error: unknown option '--xyzzy'; see 'steerlm recipe schema --help'\n");
  EXPECT_EQ(message({"schema", "more"}), "error: too many arguments: more; see 'steerlm recipe schema --help'\n");
  EXPECT_EQ(message({"check"}), "error: RECIPE is required; see 'steerlm recipe check --help'\n");
}

}  // namespace
}  // namespace steerlm
