// A pipeline of three small steps: what runs again, what is skipped, and what a stop or a failure leaves. contracts.md
// sections 3 and 8.
#include <gmock/gmock.h>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class PipelineProgram : public Program {
 protected:
  void SetUp() override {
    copy_model("untied", "base");
    write("train.jsonl", rated_conversations(8));
    write("input.jsonl", rated_conversations(8));
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

  // What the pipeline says of a step before it runs.
  static std::string said_of(const Result& result, const std::string& step) {
    for (const std::string& line : lines_of(result.errors)) {
      if (line.starts_with("[") && line.find("] " + step + " (") != std::string::npos)
        return line.substr(line.find("): ") + 3);
    }
    return "";
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
  const std::string log = read("run/log.txt"), manifest = read("run/.steerlm-run/files.jsonl");
  EXPECT_EQ(steps(run("pipeline pipeline.yaml")), "skipped predictor,skipped annotation,skipped sft,");
  EXPECT_EQ(read("run/log.txt"), log) << "a finished run may be read-only";
  EXPECT_EQ(read("run/.steerlm-run/files.jsonl"), manifest);
  EXPECT_EQ(changes_since(before), "");
  const std::string page = read("run/report.html");
  write("run/report.html", "mine");
  EXPECT_THAT(run("pipeline pipeline.yaml").errors, testing::HasSubstr("it is kept as run/report.html.previous"));
  EXPECT_EQ(read("run/report.html.previous"), "mine");
  EXPECT_EQ(read("run/report.html"), page);
  EXPECT_EQ(steps(run("run pipeline.yaml --fresh")), "predictor,annotation,sft,") << "run takes every stage";
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
  write("broken.jsonl", "{\"conversations\": 1}\n");
  const Result broken = run("pipeline pipeline.yaml steps[1].input=broken.jsonl steps[1].on_bad_record=stop");
  expect_refused(broken, 3, "broken.jsonl:1");
  EXPECT_NE(broken.errors.find("[2/3] annotation (annotate) ended with exit code 3"), std::string::npos)
      << broken.errors;
  EXPECT_FALSE(exists("run/sft"));
  expect_refused(run("pipeline pipeline.yaml --only sft steps[2].model.path=none"), 4, "none");
  expect_refused(run("pipeline pipeline.yaml --only predictor steps[0].train.steps=many"), 2, "steps");
  EXPECT_EQ(steps(run("pipeline pipeline.yaml")), "skipped predictor,annotation,sft,") << "mended, the rest runs";
}

TEST_F(PipelineProgram, ADryRunSaysWhatWouldBecomeOfEachStep) {
  auto before = contents();
  const Result first = run("pipeline pipeline.yaml --dry-run");
  for (const char* step : {"predictor", "annotation", "sft"}) EXPECT_EQ(said_of(first, step), "would run");
  expect_says(first, "run/predictor/model is not there yet: step predictor makes it");
  expect_says(first, "forecast: 2 steps");
  EXPECT_EQ(changes_since(before), "");

  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  before = contents();
  const Result done = run("pipeline pipeline.yaml --dry-run");
  for (const char* step : {"predictor", "annotation", "sft"}) EXPECT_EQ(said_of(done, step), "done already");
  const Result changed = run("pipeline pipeline.yaml --dry-run steps[1].block_records=64");
  EXPECT_EQ(said_of(changed, "predictor"), "done already");
  EXPECT_EQ(said_of(changed, "annotation"), "would run again, block_records: 1024 -> 64");
  EXPECT_EQ(said_of(changed, "sft"), "would run again, it reads what annotation writes");
  const Result only = run("pipeline pipeline.yaml --dry-run --only sft steps[2].optimizer.learning_rate=2e-3");
  EXPECT_EQ(said_of(only, "annotation"), "");
  EXPECT_EQ(said_of(only, "sft"), "would run again, optimizer.learning_rate: 0.001 -> 0.002");
  EXPECT_EQ(said_of(run("pipeline pipeline.yaml --dry-run --from annotation"), "predictor"), "");
  EXPECT_EQ(changes_since(before), "");
  std::filesystem::remove_all(path("run/sft/model"));
  EXPECT_THAT(said_of(run("pipeline pipeline.yaml --dry-run"), "sft"), ::testing::HasSubstr("config.json is gone"));
  append("input.jsonl", conversation("one", "more"));
  EXPECT_EQ(said_of(run("pipeline pipeline.yaml --dry-run"), "annotation"),
            "would run again, the input input.jsonl has changed");
}

TEST_F(PipelineProgram, ADryRunFailsWhereARunWould) {
  const auto before = contents();
  expect_refused(run("pipeline pipeline.yaml --dry-run steps[0].train.steps=many"), 2, "steps");
  expect_refused(run("pipeline pipeline.yaml --dry-run steps[1].input=none.jsonl"), 3, "none.jsonl");
  expect_refused(run("pipeline pipeline.yaml --dry-run steps[2].model.path=none"), 4, "none");
  expect_refused(run("pipeline pipeline.yaml --dry-run steps[0].data.train[0].path=none.jsonl"), 3, "none.jsonl");
  write("bad.jsonl", "{\"conversations\": 1}\n");
  expect_refused(run("pipeline pipeline.yaml --dry-run steps[2].data.train='[{path: \"@annotation/out.jsonl\"}, "
                     "{path: bad.jsonl}]'"),
                 3, "bad.jsonl:1");
  std::filesystem::remove(path("bad.jsonl"));
  EXPECT_EQ(changes_since(before), "");
  std::filesystem::create_directories(path("run/sft"));
  write("run/sft/mine", "precious");
  expect_refused(run("pipeline pipeline.yaml --dry-run"), 5, "found sft");  // no run has made this folder
  std::filesystem::rename(path("run/sft"), path("sft"));
  ASSERT_EQ(run("pipeline pipeline.yaml --only predictor").code, 0);
  std::filesystem::rename(path("sft"), path("run/sft"));
  const auto made = contents();
  expect_refused(run("pipeline pipeline.yaml --dry-run"), 5, "run/sft");
  expect_refused(run("pipeline pipeline.yaml steps[0].train.steps=3"), 5, "run/sft");  // before the first step runs
  EXPECT_EQ(changes_since(made), "");
}

TEST_F(PipelineProgram, AStepThatRunsAgainKeepsItsOldRunDirectory) {
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  const std::string model = read("run/sft/model/model.safetensors");
  write("run/sft/notes.txt", "mine");
  Result result = run("pipeline pipeline.yaml steps[2].optimizer.learning_rate=2e-3");
  expect_says(result, "its old run directory is kept as run/sft.previous");
  EXPECT_EQ(read("run/sft.previous/model/model.safetensors"), model);
  EXPECT_EQ(read("run/sft.previous/notes.txt"), "mine");
  const std::string second = read("run/sft/model/model.safetensors");
  EXPECT_NE(second, model);
  // The older generation makes way, unless something in it is not ours.
  const auto before = contents();
  expect_refused(run("pipeline pipeline.yaml"), 5, "run/sft.previous/notes.txt");
  EXPECT_EQ(changes_since(before), "");
  std::filesystem::remove(path("run/sft.previous/notes.txt"));
  EXPECT_EQ(steps(run("pipeline pipeline.yaml")), "skipped predictor,skipped annotation,sft,");
  EXPECT_EQ(read("run/sft.previous/model/model.safetensors"), second);
  EXPECT_EQ(read("run/sft/model/model.safetensors"), model);
}

TEST_F(PipelineProgram, AnOutputElsewhereGoesWithItsOldRunDirectory) {
  const std::string elsewhere =
      "pipeline pipeline.yaml steps[1].output=out.jsonl steps[2].data.train[0].path=out.jsonl ";
  ASSERT_EQ(run(elsewhere).code, 0);
  const std::string old = read("out.jsonl");
  write("input.jsonl", conversation("another", "one"));
  EXPECT_EQ(steps(run(elsewhere)), "skipped predictor,annotation,sft,");
  EXPECT_EQ(read("run/annotation.previous/outputs/out.jsonl"), old);
  EXPECT_EQ(lines_of(read("out.jsonl")).size(), 1u);
}

// What was written at the old place stays there, also where the two names begin alike.
TEST_F(PipelineProgram, AChangedOutputLeavesTheOldOneWhereItIs) {
  std::filesystem::create_directory(path("made"));
  const auto with_output = [](const std::string& output) {
    return "pipeline pipeline.yaml steps[1].output=" + output + " steps[2].data.train[0].path=" + output;
  };
  ASSERT_EQ(run(with_output("made/out.jsonl")).code, 0);
  const std::string old = read("made/out.jsonl");
  for (const char* output : {"made/out.json", "made/out", "made/out.jsonl.gz.jsonl"}) {
    EXPECT_EQ(run(with_output(output)).code, 0) << output;
    EXPECT_EQ(read("made/out.jsonl"), old) << output;
    EXPECT_EQ(read(output), old);
  }
}

TEST_F(PipelineProgram, AChangedOutputNeverTouchesWhatLiesThere) {
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  write("mine.jsonl", "precious");
  std::filesystem::create_directories(path("folder/inner"));
  write("folder/inner/mine", "precious");
  std::filesystem::create_symlink("mine.jsonl", path("link.jsonl"));
  const auto before = contents();
  for (const std::string output : {"mine.jsonl", "folder", "folder/", "link.jsonl", "folder/inner/mine"}) {
    for (const std::string dry : {"", " --dry-run"}) {
      expect_refused(run("pipeline pipeline.yaml --only annotation steps[1].output=" + output + dry), 5,
                     output == "link.jsonl" ? "mine.jsonl" : output);
      EXPECT_EQ(changes_since(before), "") << output;
    }
  }
}

// Before the first step runs, and in a dry run: otherwise the pipeline's own files are lost, or no later start works.
TEST_F(PipelineProgram, AnOutputAtAPlaceThatIsTakenIsRefusedAtOnce) {
  std::filesystem::create_directory_symlink("run", path("link"));
  const std::map<std::string, std::string> taken{
      {"run/.steerlm-run/files.jsonl", "the pipeline itself writes run/.steerlm-run"},
      {"run/.steerlm-run/x.jsonl", "the pipeline itself writes run/.steerlm-run"},
      {"run/log.txt", "the pipeline itself writes run/log.txt"},
      {"./run/../run/recipe.yaml", "the pipeline itself writes run/recipe.yaml"},
      {"link/environment.json", "the pipeline itself writes run/environment.json"},
      {"run", "the pipeline itself writes"},
      {"run/sft", "run/sft is the run directory of step sft"},
      {"run/sft/foo.jsonl", "run/sft is the run directory of step sft"},
      {"run/predictor/foo.jsonl", "run/predictor is the run directory of step predictor"},
      {"run/sft.previous/x.jsonl", "the old run of step sft is kept in run/sft.previous"},
      {"run/annotation/ledger.jsonl", "the step itself writes run/annotation/ledger.jsonl"},
      {"pipeline.yaml", "it is the pipeline's recipe"},
      {"base/x.jsonl", "step predictor reads base"},
      {"train.jsonl", "step predictor reads train.jsonl"},
      {"input.jsonl", "step annotation reads input.jsonl"}};
  const auto refuse_all = [&](const std::vector<std::string>& options) {
    const auto before = contents();
    for (const auto& [output, by] : taken) {
      for (const std::string& option : options) {
        expect_refused(run("pipeline pipeline.yaml steps[1].output=" + output + option), 2,
                       output + ": the output of step annotation cannot be here: " + by);
      }
    }
    EXPECT_EQ(changes_since(before), "");
  };
  refuse_all({"", " --overwrite --dry-run"});
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  refuse_all({" --overwrite"});
  std::filesystem::create_hard_link(path("train.jsonl"), path("same.jsonl"));
  expect_refused(run("pipeline pipeline.yaml steps[1].output=same.jsonl --overwrite"), 2, "step predictor reads");
  EXPECT_EQ(run("pipeline pipeline.yaml --dry-run").code, 0);
}

TEST_F(PipelineProgram, OutputsOfTwoStepsKeepClearOfEachOther) {
  write("two.yaml", R"(stage: pipeline
run_dir: run
steps:
  - {name: first, stage: annotate, predictor: base, input: input.jsonl, output: out.jsonl}
  - {name: second, stage: annotate, predictor: base, input: train.jsonl, output: more.jsonl}
)");
  const auto before = contents();
  for (const std::string option : {"", " --dry-run", " --overwrite", " --only second"}) {
    for (const std::string output : {"out.jsonl", "./out.jsonl", "out.jsonl.quarantine.jsonl", "out.jsonl.part"}) {
      expect_refused(run("pipeline two.yaml steps[1].output=" + output + option), 2,
                     output + ": the output of step second cannot be here: step first writes out.jsonl");
    }
    expect_refused(run("pipeline two.yaml steps[0].output=more.jsonl.quarantine.jsonl" + option), 2,
                   "more.jsonl: the output of step second cannot be here");
    // Each of the two is made of the other.
    expect_refused(run("pipeline two.yaml steps[1].input=out.jsonl steps[1].output=input.jsonl" + option), 2,
                   "input.jsonl: the output of step second cannot be here: step first reads input.jsonl");
    expect_refused(run("pipeline two.yaml steps[0].input=more.jsonl" + option), 2, "step first reads more.jsonl");
    expect_refused(run("pipeline two.yaml steps[0].predictor=run/second/model" + option), 2,
                   "step first reads what a later step makes");
  }
  EXPECT_EQ(changes_since(before), "");
}

// As @annotation/out.jsonl is, whatever place the output has and however the path is spelt.
TEST_F(PipelineProgram, TheOutputOfAnEarlierStepIsItsResult) {
  const std::string elsewhere =
      "pipeline pipeline.yaml steps[1].output=out.jsonl steps[2].data.train[0].path=./out.jsonl ";
  expect_says(run(elsewhere + "--dry-run"), "./out.jsonl is not there yet: step annotation makes it");
  for (const std::string dry : {"", " --dry-run"})
    expect_refused(run(elsewhere + "--only sft" + dry), 3, "run that step first: --only annotation");
  ASSERT_EQ(run(elsewhere).code, 0);
  const Result changed = run(elsewhere + "steps[1].block_records=64 --dry-run");
  EXPECT_EQ(said_of(changed, "sft"), "would run again, it reads what annotation writes");
  expect_says(changed, "./out.jsonl: step annotation makes it again");
  const std::string whole = read("out.jsonl");
  write("out.jsonl", "edited");
  expect_refused(run(elsewhere + "steps[1].block_records=64 --dry-run"), 5, "the output was changed after");
  expect_refused(run(elsewhere + "steps[1].block_records=64"), 5, "the output was changed after");
  const Result dry = run(elsewhere + "--dry-run");
  EXPECT_EQ(dry.code, 0) << dry.errors;
  EXPECT_EQ(said_of(dry, "sft"), "done already, if annotation makes the same again");
  EXPECT_EQ(steps(run(elsewhere)), "skipped predictor,annotation,skipped sft,");
  EXPECT_EQ(read("out.jsonl"), whole);
  EXPECT_EQ(read("out.jsonl.previous"), "edited");
  EXPECT_EQ(steps(run(elsewhere + "steps[1].block_records=64")), "skipped predictor,annotation,sft,");
}

TEST_F(PipelineProgram, AFinishedStepWhoseModelIsGoneMakesItAgain) {
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  const auto before = contents();
  std::filesystem::remove_all(path("run/predictor/model"));
  std::filesystem::remove(path("run/annotation/out.jsonl"));
  const Result dry = run("pipeline pipeline.yaml --dry-run");
  EXPECT_THAT(said_of(dry, "predictor"), ::testing::HasSubstr("config.json is gone"));
  EXPECT_EQ(said_of(dry, "annotation"), "would make again what it lacks, run/annotation/out.jsonl is gone");
  EXPECT_EQ(said_of(dry, "sft"), "done already, if annotation makes the same again");
  const Result result = run("pipeline pipeline.yaml");
  EXPECT_EQ(steps(result), "predictor,annotation,skipped sft,");
  expect_says(result, "run/predictor/model/config.json is gone");
  expect_says(result, "run/annotation/out.jsonl is gone");
  // The page about it says how long the two steps took, and with how much memory.
  EXPECT_THAT(changes_since(before), ::testing::AnyOf("", "run/.steerlm-run/files.jsonl run/report.html "));
}

TEST_F(PipelineProgram, AStepAloneNamesTheOneThatItWaitsFor) {
  expect_refused(run("pipeline pipeline.yaml --only annotation"), 4,
                 "step annotation reads what step predictor has not made yet");
  const Result result = run("pipeline pipeline.yaml --from sft");
  expect_refused(result, 3, "run that step first: --only annotation");
  ASSERT_EQ(run("pipeline pipeline.yaml --only predictor").code, 0);  // the advice
  ASSERT_EQ(run("pipeline pipeline.yaml --only annotation").code, 0);
  EXPECT_EQ(steps(run("pipeline pipeline.yaml --from sft")), "sft,");
}

TEST_F(PipelineProgram, ThePipelinesOwnFolderIsARunDirectory) {
  std::filesystem::create_directory(path("run"));
  write("run/recipe.yaml", "mine");
  expect_refused(run("pipeline pipeline.yaml"), 5, "choose another run_dir");
  EXPECT_EQ(read("run/recipe.yaml"), "mine");
  std::filesystem::remove(path("run/recipe.yaml"));
  ASSERT_EQ(run("pipeline pipeline.yaml --only predictor").code, 0);
  const Json environment = parse_json(read("run/environment.json"), "environment.json", ExitCode::data);
  EXPECT_TRUE(environment.contains("steerlm"));
  EXPECT_EQ(environment.at("steps").size(), 3u);
  expect_refused(run("sft run/predictor/recipe.yaml"), 2, "stage");
  expect_refused(run("run run/predictor/recipe.yaml run_dir=run"), 2, "a run of a pipeline");
  expect_refused(run("run run/predictor/recipe.yaml run_dir=run --fresh"), 2, "pipeline");
}

TEST_F(PipelineProgram, AKilledPipelineEndsItsStepAndGoesOnAtOnce) {
  ASSERT_EQ(run("pipeline pipeline.yaml --only predictor steps[0].train.steps=40").code, 0);
  const std::string whole = read("run/predictor/model/model.safetensors");
  const std::string again =
      "pipeline pipeline.yaml run_dir=again --only predictor steps[0].train.steps=40 "
      "steps[1].output=again/annotation/out.jsonl";
  const Result killed = run_until(again, SIGKILL, [&] {
    return exists("again/predictor/metrics.jsonl") && lines_of(read("again/predictor/metrics.jsonl")).size() >= 2;
  });
  EXPECT_EQ(killed.code, 137);
  EXPECT_FALSE(exists("again/predictor/model"));
  const Result result = run(again);
  EXPECT_EQ(steps(result), "predictor,") << result.errors;
  EXPECT_EQ(read("again/predictor/model/model.safetensors"), whole);
}

// As the system does where memory runs out.
TEST_F(PipelineProgram, AStepThatIsKilledIsAResourceThatRanOut) {
  const auto kill_step = [&] {
    if (!exists("run/predictor/metrics.jsonl")) return false;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::error_code error;
      if (std::filesystem::read_symlink(entry.path() / "cwd", error) != std::filesystem::canonical(path(""))) continue;
      std::ifstream file(entry.path() / "cmdline", std::ios::binary);
      const std::string words((std::istreambuf_iterator<char>(file)), {});
      if (words.find(std::string("\0run\0-\0", 7)) != std::string::npos)
        ::kill(std::stoi(entry.path().filename().string()), SIGKILL);
    }
    return false;
  };
  const Result killed =
      run_until("pipeline pipeline.yaml --only predictor steps[0].train.steps=20000", SIGTERM, kill_step);
  expect_refused(killed, 5, "signal 9");
  EXPECT_EQ(run("pipeline pipeline.yaml --only predictor steps[0].train.steps=3").code, 0) << "goes on or starts anew";
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

// A terminal that is closed, and what batch systems send before they end a job.
TEST_F(PipelineProgram, AWarningStopsItAsSigtermDoes) {
  for (const int signal : {SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2}) {
    const std::string run_dir = "stopped" + std::to_string(signal);
    const Result stopped = run_until(
        "pipeline pipeline.yaml --only predictor steps[0].train.steps=20000 steps[1].output=out.jsonl "
        "steps[2].data.train[0].path=out.jsonl run_dir=" +
            run_dir,
        signal, [&] { return exists(run_dir + "/predictor/metrics.jsonl"); });
    EXPECT_EQ(stopped.code, 75) << signal << stopped.errors;
    EXPECT_NE(stopped.errors.find("stopped; the same command goes on"), std::string::npos) << stopped.errors;
    EXPECT_TRUE(exists(run_dir + "/predictor/checkpoints/LATEST")) << signal;
  }
}

// As an update or a cleanup of the machine does while the pipeline runs for hours.
TEST_F(PipelineProgram, AProgramThatIsGoneIsAResourceThatIsLacking) {
  const Path program(STEERLM_PROGRAM);
  std::filesystem::create_directory(path("bin"));
  std::filesystem::copy_file(program, path("bin/steerlm"));
  std::filesystem::create_directory_symlink(program.parent_path() / "lib", path("bin/lib"));  // where it finds libtorch
  // The program is moved away while the first step runs; `instead` may put another file there.
  const auto run_and_replace = [&](const std::string& run_dir, const std::string& instead) {
    std::ofstream(path("start.sh")) << "bin/steerlm pipeline pipeline.yaml steps[0].train.steps=40 "
                                       "steps[1].output=" +
                                           run_dir + ".jsonl run_dir=" + run_dir + " 2>said.txt &\n"
                                    << "while ! [ -s " + run_dir + "/predictor/metrics.jsonl ]; do sleep 0.01; done\n"
                                    << "mv bin/steerlm bin/moved; " << instead << "\nwait $!; code=$?\n"
                                    << "mv bin/moved bin/steerlm; exit $code\n";
    const int status = std::system(("cd '" + path("").string() + "' && sh start.sh").c_str());
    return Result{WEXITSTATUS(status), "", read("said.txt")};
  };
  expect_refused(run_and_replace("gone", "true"), 5, "bin/steerlm: the program of the steps cannot be run");
  expect_refused(run_and_replace("other", "printf '#!/bin/sh\\nexit 1\\n' >bin/steerlm; chmod +x bin/steerlm"), 5,
                 "exit code 1, which it does not have");
  const Result result =
      run("pipeline pipeline.yaml steps[0].train.steps=40 steps[1].output=gone.jsonl run_dir=gone "
          "--only annotation");
  EXPECT_EQ(result.code, 0) << result.errors;
}

TEST_F(PipelineProgram, ASecondPipelineInTheDirectoryIsRefused) {
  Result second{0, "", ""};
  run_until("pipeline pipeline.yaml steps[0].train.steps=20000 --only predictor", SIGTERM, [&] {
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
