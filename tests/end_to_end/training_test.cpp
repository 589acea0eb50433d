// The program itself on tiny recipes: exit codes, messages, resuming to the bit. contracts.md sections 1 and 4.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>

#include "end_to_end/training_program.h"
#include "steerlm/core/disk.h"
#include "steerlm/core/hash.h"

namespace steerlm {
namespace {

TEST_F(TrainingProgram, ARunStoppedAfterEveryStepGivesTheBytesOfAnUndisturbedOne) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  int stops = 0;
  Result result{75, "", ""};
  for (; result.code == 75 && stops < 20; ++stops) result = run("sft sft.yaml run_dir=stopped train.max_minutes=1e-9");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_GE(stops, 6);
  EXPECT_EQ(read("stopped/model/model.safetensors"), read("run/model/model.safetensors"));
  EXPECT_NE(read("run/model/model.safetensors"), read_file(Path(model_) / "model.safetensors", ExitCode::data, "model"))
      << "nothing was trained";
}

TEST_F(TrainingProgram, AKilledRunGivesTheBytesOfAnUndisturbedOne) {
  ASSERT_EQ(run("sft sft.yaml train.steps=60").code, 0);
  int kills = 0;
  Result result{137, "", ""};
  const auto steps = [&] { return exists("killed/metrics.jsonl") ? lines_of(read("killed/metrics.jsonl")).size() : 0; };
  // Some steps further each time, and then a little later, so that the kills fall on different places in a step.
  for (; result.code != 0 && kills < 30; ++kills) {
    const size_t begin = steps();
    result = run_until("sft sft.yaml run_dir=killed train.steps=60", SIGKILL, [&] {
      if (steps() < begin + 8) return false;
      ::usleep(static_cast<useconds_t>(3000 * (kills % 7)));
      return true;
    });
    ASSERT_TRUE(result.code == 0 || result.code == 137) << result.code << result.errors;
  }
  ASSERT_EQ(result.code, 0);
  EXPECT_GE(kills, 4);
  EXPECT_EQ(read("killed/model/model.safetensors"), read("run/model/model.safetensors"));
}

TEST_F(TrainingProgram, APredictorOnABaseOfPlainTextValidatesEveryAttribute) {
  ASSERT_EQ(run("sft sft.yaml template.name=plain run_dir=base").code, 0);
  const Result result = run("sft sft.yaml model.path=base/model run_dir=steered");  // the base binds no template
  ASSERT_EQ(result.code, 0) << result.errors;
  write("predictor.yaml",
        "stage: train-predictor\nmodel: {path: base/model}\nattributes: {names: [quality, humor], min: 0, max: 4}\n"
        "data: {train: [{path: train.jsonl}], validation: [{path: train.jsonl}], max_tokens: 256}\n"
        "run_dir: predictor\ntrain: {steps: 2, batch_size: 4}\n");
  const Result predictor = run("train-predictor predictor.yaml max_bad_share=0.2");
  ASSERT_EQ(predictor.code, 0) << predictor.errors;
  EXPECT_NE(predictor.errors.find("max_bad_share has no effect: on_bad_record is stop"), std::string::npos);
  EXPECT_NE(read("predictor/metrics.jsonl").find("validation/mae/quality"), std::string::npos);
  const Result again = run("train-predictor predictor/recipe.yaml");
  EXPECT_EQ(again.code, 0) << again.errors;
  EXPECT_NE(again.errors.find("the run is finished already"), std::string::npos) << again.errors;
}

TEST_F(TrainingProgram, ASecondInterruptEndsAtOnceAndWhatIsSavedStaysWhole) {
  // Steps of about a second: both signals fall into the second one, after the first one's checkpoint.
  const std::string arguments = "sft sft.yaml train.steps=2 data.train[0].repeat=150 train.batch_size=1500 ";
  ASSERT_EQ(run(arguments).code, 0);
  const std::string again = arguments + "run_dir=again";
  EXPECT_EQ(run_until(
                again, SIGINT, [&] { return exists("again/checkpoints/LATEST"); }, 2)
                .code,
            130);
  EXPECT_FALSE(exists("again/model"));
  expect_says(run(again), "goes on after step 1");
  EXPECT_EQ(read("again/model/model.safetensors"), read("run/model/model.safetensors"));
}

TEST_F(TrainingProgram, AFinishedRunSaysSoAndChangesNothing) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const std::string before = read("run/metrics.jsonl");
  const Result again = run("sft sft.yaml");
  EXPECT_EQ(again.code, 0);
  EXPECT_NE(again.errors.find("the run is finished already"), std::string::npos) << again.errors;
  EXPECT_EQ(read("run/metrics.jsonl"), before);
}

TEST_F(TrainingProgram, AnotherRecipeInARunDirectoryIsRefusedWithTheDifferingKey) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const Result result = run("sft sft.yaml optimizer.learning_rate=2e-3");
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.errors.find("optimizer.learning_rate"), std::string::npos) << result.errors;
}

TEST_F(TrainingProgram, AFileThatIsNewInAnInputFolderOrGoneFromItIsAChange) {
  std::filesystem::copy(model_, path("base"));
  const std::string command = "sft sft.yaml model.path=base train.steps=2";
  ASSERT_EQ(run(command + " train.max_minutes=1e-9").code, 75);
  const std::string config = read("base/tokenizer_config.json");
  std::filesystem::remove(path("base/tokenizer_config.json"));  // which says that BOS is added
  for (const char* option : {"", " --dry-run"})
    expect_refused(run(command + option), 2, "the input base/tokenizer_config.json is gone");
  write("base/tokenizer_config.json", config);
  ASSERT_EQ(run(command).code, 0);
  write("base/notes.txt", "mine");
  expect_refused(run(command), 2, "the input base/notes.txt is new");
  std::filesystem::remove(path("base/notes.txt"));
  expect_says(run(command), "nothing to do");
}

TEST_F(TrainingProgram, ASecondProcessOnTheDirectoryIsRefused) {
  std::filesystem::create_directories(path("run/.steerlm-run"));
  const int lock = ::open(path("run/.steerlm-run/lock").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  const Result result = run("sft sft.yaml");
  EXPECT_EQ(result.code, 5);
  EXPECT_NE(result.errors.find("in use"), std::string::npos) << result.errors;
  ::close(lock);
}

TEST_F(TrainingProgram, FreshRemovesWhatTheRunWroteAndNothingElse) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  std::vector<Path> folders;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path("run"))) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  folders.push_back(path("run"));
  ASSERT_GE(folders.size(), 5u);
  for (const Path& folder : folders) write(folder / "mine.txt", "precious");
  std::filesystem::create_directory(path("elsewhere"));
  write("elsewhere/config.json", "precious");
  std::filesystem::create_directory_symlink("../elsewhere", path("run/link"));
  // What is in the way of the model or a checkpoint is named before anything is removed.
  std::vector<Path> stay;
  for (const Path& folder : folders) {
    const Path name = folder.lexically_relative(path("")) / "mine.txt";
    if (!name.string().starts_with("run/model/") && !name.string().starts_with("run/checkpoints/step-")) {
      stay.push_back(name);
      continue;
    }
    const auto before = contents();
    expect_refused(run("sft sft.yaml --fresh"), 5, "/mine.txt");
    EXPECT_EQ(changes_since(before), "") << name;
    std::filesystem::remove(path(name));
  }
  ASSERT_EQ(run("sft sft.yaml --fresh optimizer.learning_rate=2e-3").code, 0);
  EXPECT_EQ(stay.size(), 4u);  // in run, run/data, run/checkpoints, run/.steerlm-run
  for (const Path& name : stay) EXPECT_TRUE(exists(name) && read(name) == "precious") << name;
  EXPECT_EQ(read("elsewhere/config.json"), "precious");
  EXPECT_TRUE(std::filesystem::is_symlink(path("run/link")));
}

// Found before anything is removed, and before a step is trained; --dry-run says it too.
TEST_F(TrainingProgram, WhatIsInTheWayOfACheckpointIsFoundAtOnce) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  ASSERT_EQ(run("sft sft.yaml run_dir=stopped train.max_minutes=1e-9").code, 75);
  const auto copy = [&](const Path& from, const Path& to) {
    std::filesystem::copy(path(from), path(to), std::filesystem::copy_options::recursive);
  };
  const std::vector<std::pair<std::string, std::function<void(const Path&)>>> obstacles{
      {"checkpoints/LATEST",
       [&](const Path& at) {
         std::filesystem::remove(path(at / "checkpoints/LATEST"));
         std::filesystem::create_directory(path(at / "checkpoints/LATEST"));
       }},
      {"checkpoints",
       [&](const Path& at) {
         std::filesystem::rename(path(at / "checkpoints"), path("big"));
         std::filesystem::create_directory_symlink("../big", path(at / "checkpoints"));
       }},
      {"checkpoints",
       [&](const Path& at) {
         std::filesystem::remove_all(path(at / "checkpoints"));
         write(at / "checkpoints", "mine");
       }},
      {"checkpoints/step-4",
       [&](const Path& at) {
         std::filesystem::remove_all(path(at / "checkpoints/step-4"));
         std::filesystem::create_directories(path(at / "checkpoints/step-4"));
         write(at / "checkpoints/step-4/mine", "mine");
       }},
      {"log.txt",
       [&](const Path& at) {
         std::filesystem::remove(path(at / "log.txt"));
         ASSERT_EQ(::mkfifo(path(at / "log.txt").c_str(), 0600), 0);
       }},
  };
  for (const auto& [name, put] : obstacles) {
    for (const std::string source : {"run", "stopped"}) {
      for (const std::string fresh : {"", " --fresh"}) {
        std::filesystem::remove_all(path("try"));
        std::filesystem::remove_all(path("big"));
        copy(source, "try");
        std::filesystem::remove_all(path("try/model"));
        put("try");
        if (source == "run" && name == "checkpoints/step-4" && fresh.empty()) continue;  // it goes on after step 6
        std::filesystem::remove(path("try/.steerlm-run/staging"));  // empty, and made where it is needed
        const auto names = [&] {
          std::vector<Path> found;
          for (const auto& entry : std::filesystem::recursive_directory_iterator(path("try"))) found.push_back(entry);
          std::ranges::sort(found);
          return found;
        };
        const std::vector<Path> before = names();
        const std::string metrics = read("try/metrics.jsonl");
        for (const std::string dry : {" --dry-run", ""})
          expect_refused(run("sft sft.yaml run_dir=try" + fresh + dry), 5,
                         "try/" + name + ": a file that this run did");
        EXPECT_EQ(read("try/metrics.jsonl"), metrics);
        EXPECT_EQ(names(), before) << name << fresh;
      }
    }
  }
}

// A checkpoint whose state says what no training can have written is passed over like any damaged one.
TEST_F(TrainingProgram, AnEditedStateIsADamagedCheckpoint) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const Json good = parse_json(read("run/checkpoints/step-6/state.json"), "state", ExitCode::data);
  Json manifest = parse_json(read("run/checkpoints/step-6/manifest.json"), "manifest", ExitCode::data);
  for (const auto& [key, value] : std::vector<std::pair<std::string, Json>>{{"threads", "x"},
                                                                            {"total_steps", "x"},
                                                                            {"total_steps", 0},
                                                                            {"micro_batch_tokens", 0},
                                                                            {"micro_batch_tokens", "x"},
                                                                            {"step", "6"},
                                                                            {"best", {{"step", "x"}, {"value", 1}}}}) {
    Json state = good;
    state[key] = value;
    write("run/checkpoints/step-6/state.json", state.dump());
    manifest["files"]["state.json"] = {{"size", state.dump().size()}, {"sha256", sha256_hex(state.dump())}};
    write("run/checkpoints/step-6/manifest.json", manifest.dump());
    std::filesystem::remove_all(path("run/model"));
    const Result again = run("sft sft.yaml");
    expect_says(again, "its state has no sensible '" + key + "'");
    expect_says(again, "goes on after step 5");
  }
}

TEST_F(TrainingProgram, OtherThreadsAreWarnedAboutWhereTheyChangeBits) {
  for (const std::string precision : {"fp32", "bf16"}) {
    const std::string arguments = "sft sft.yaml precision=" + precision + " run_dir=" + precision;
    ASSERT_EQ(run(arguments, "OMP_NUM_THREADS=1").code, 0);
    std::filesystem::remove_all(path(precision + "/model"));
    const Result again = run(arguments, "OMP_NUM_THREADS=2");
    ASSERT_EQ(again.code, 0) << again.errors;
    const bool own_products = precision == "fp32" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    EXPECT_EQ(again.errors.find("began with 1 threads and goes on with 2") == std::string::npos, own_products)
        << again.errors;
  }
}

// Somebody else's, or on a disk that is read-only.
TEST_F(TrainingProgram, AFinishedRunIsNotWrittenTo) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const std::string log = read("run/log.txt"), manifest = read("run/.steerlm-run/files.jsonl");
  const auto time = std::filesystem::last_write_time(path("run/.steerlm-run"));
  const int lock = ::open(path("run/.steerlm-run/lock").c_str(), O_RDWR);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  expect_says(run("sft sft.yaml"), "nothing to do");
  ::close(lock);
  EXPECT_EQ(read("run/log.txt"), log);
  EXPECT_EQ(read("run/.steerlm-run/files.jsonl"), manifest);
  EXPECT_EQ(std::filesystem::last_write_time(path("run/.steerlm-run")), time);
}

// As a daemon starts it: what is opened first must not be taken for standard error.
TEST_F(TrainingProgram, WithoutStandardFilesAMessageGoesIntoNoOtherFile) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  write("closed.sh", std::string(STEERLM_PROGRAM) + " sft sft.yaml run_dir=closed 0<&- 1>&- 2>&-\necho $?\n");
  EXPECT_EQ(run("--version >/dev/null && bash closed.sh").output, "0\n");
  EXPECT_EQ(read("closed/model/model.safetensors"), read("run/model/model.safetensors"));
  write("closed.sh", std::string(STEERLM_PROGRAM) + " data convert --input train.jsonl --output - 1>&-\n");
  expect_refused(run("--version >/dev/null && bash closed.sh"), 5,
                 "standard output: it is closed; name another output");
  for (const char* file : {"data/examples.bin", ".steerlm-run/lock"}) {
    ASSERT_TRUE(exists(Path("run") / file)) << file;
    EXPECT_EQ(std::filesystem::file_size(path(Path("closed") / file)),
              std::filesystem::file_size(path(Path("run") / file)))
        << file;
  }
}

TEST_F(TrainingProgram, ACheckpointThatDoesNotFitIsNotLeftBehind) {
  const Result result = run("sft sft.yaml", "ulimit -f 64;");
  expect_refused(result, 5, "File too large");
  EXPECT_TRUE(std::filesystem::is_empty(path("run/.steerlm-run/staging")));
}

TEST_F(TrainingProgram, AFolderThatNoRunMadeIsNoRunDirectory) {
  for (const char* name : {"recipe.yaml", ".lock", "log.txt", "done.json"}) write(name, "mine");
  for (const char* name : {"model", "sft", "checkpoints", "folder"}) {
    std::filesystem::create_directory(path(name));
    write(Path(name) / "mine", "precious");
  }
  const auto before = contents();
  for (const std::string run_dir : {".", "./", "folder", "model", "folder/..", "sft.yaml"}) {
    for (const std::string fresh : {"", " --fresh", " --dry-run"}) {
      const Result result = run("sft sft.yaml run_dir=" + run_dir + fresh);
      expect_refused(result, 5, "choose another run_dir");
      EXPECT_EQ(result.errors.find("--fresh"), std::string::npos) << result.errors;
      EXPECT_EQ(changes_since(before), "") << run_dir << fresh;
    }
  }
}

TEST_F(TrainingProgram, ARunIsNeverWrittenIntoWhatItReads) {
  copy_model("untied", "base");
  const auto before = contents();
  for (const std::string run_dir : {"base", "base/run", "./base/../base/run"})
    expect_refused(run("sft sft.yaml model.path=base run_dir=" + run_dir), 2, "lies in a folder that the run reads");
  EXPECT_EQ(changes_since(before), "");
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  expect_refused(run("sft sft.yaml model.path=run/model --fresh"), 2, "an input lies in the run directory");
  EXPECT_TRUE(exists("run/model/model.safetensors"));
}

TEST_F(TrainingProgram, WhatIsGoneOfAFinishedRunIsMadeAgain) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const auto before = contents();
  std::filesystem::remove_all(path("run/model"));
  expect_says(run("sft sft.yaml --dry-run"), "it would be made again");
  Result again = run("sft sft.yaml");
  expect_says(again, "run/model/model.safetensors is gone: it is made again");
  expect_says(again, "goes on after step 6");  // nothing is trained again
  EXPECT_EQ(changes_since(before), "");
  std::filesystem::remove(path("run/model/tokenizer_config.json"));
  std::filesystem::remove(path("run/model/config.json"));
  expect_says(run("sft sft.yaml"), "run/model/config.json is gone: it is made again");
  EXPECT_EQ(changes_since(before), "");
  std::filesystem::remove_all(path("run/model"));
  std::filesystem::remove_all(path("run/checkpoints"));
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  EXPECT_EQ(read("run/model/model.safetensors"), before.at("run/model/model.safetensors"));
  expect_says(run("sft sft.yaml"), "nothing to do");
}

TEST_F(TrainingProgram, WhatWasChangedOfAFinishedRunIsKeptAndMadeAgain) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  write("run/model/notes.txt", "mine");
  expect_says(run("sft sft.yaml"), "nothing to do");  // a file beside the run's own is no change
  std::string bytes = read("run/model/model.safetensors");
  const std::string whole = bytes;
  bytes.back() ^= 1;
  write("run/model/model.safetensors", bytes);
  const auto before = contents();
  expect_refused(run("sft sft.yaml"), 5, "run/model/notes.txt");
  EXPECT_EQ(changes_since(before), "");
  std::filesystem::remove(path("run/model/notes.txt"));
  expect_says(run("sft sft.yaml"),
              "run/model/model.safetensors was changed after it was written: it is kept as run/model.previous");
  EXPECT_EQ(read("run/model/model.safetensors"), whole);
  EXPECT_EQ(read("run/model.previous/model.safetensors"), bytes);
  expect_says(run("sft sft.yaml"), "nothing to do");
  write("run/model/config.json", "{}");
  expect_refused(run("sft sft.yaml"), 5, "run/model.previous");
  EXPECT_EQ(read("run/model/config.json"), "{}");
}

// The model of the shorter training is in the way of the longer one's, and somebody has written on its card.
TEST_F(TrainingProgram, WhatWasChangedIsKeptWhenARunGoesOnForLonger) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const std::string weights = read("run/model/model.safetensors");
  write("run/model/README.md", "my notes");
  const Result longer = run("sft sft.yaml train.steps=8");
  expect_says(longer, "run/model/README.md was changed after it was written: it is kept as run/model.previous");
  EXPECT_EQ(read("run/model.previous/README.md"), "my notes");
  EXPECT_EQ(read("run/model.previous/model.safetensors"), weights);
  EXPECT_NE(read("run/model/model.safetensors"), weights);

  // Likewise where the longer run is stopped in between.
  const Result stopped = run("sft sft.yaml train.steps=100000 train.max_minutes=0.001");
  ASSERT_EQ(stopped.code, 75) << stopped.errors;
  write("run/model/README.md", "more notes");
  const size_t steps = metric("run", "train/loss").size();
  expect_refused(run("sft sft.yaml train.steps=100000 train.max_minutes=0.001"), 5, "run/model.previous");
  std::filesystem::rename(path("run/model.previous"), path("run/model.first"));
  EXPECT_EQ(run("sft sft.yaml train.steps=100000 train.max_minutes=0.001").code, 75);
  EXPECT_EQ(read("run/model.previous/README.md"), "more notes");
  EXPECT_EQ(read("run/model.first/README.md"), "my notes");
  EXPECT_GT(metric("run", "train/loss").size(), steps);
}

TEST_F(TrainingProgram, ARunWithoutItsRecipeIsNotGoneOnWith) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  std::filesystem::rename(path("run/recipe.yaml"), path("recipe.kept"));
  expect_refused(run("sft sft.yaml"), 2, "its recipe.yaml is gone");
  std::filesystem::rename(path("recipe.kept"), path("run/recipe.yaml"));
  for (const char* text : {"", "{}", "[]", "{\"inputs\": 1}", "{\"inputs\": [1, {\"path\": 2}]}"}) {
    write("run/environment.json", text);
    const Result result = run("sft sft.yaml");
    EXPECT_TRUE(result.code == 0 || result.code == 2 || result.code == 5) << text << result.code << result.errors;
  }
  expect_refused(run("annotate run/recipe.yaml"), 2, "another stage");
}

TEST_F(TrainingProgram, DryRunWritesNothing) {
  const Result result = run("sft sft.yaml --dry-run");
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_NE(result.errors.find("forecast: 6 steps"), std::string::npos) << result.errors;
  EXPECT_FALSE(exists("run"));
}

TEST_F(TrainingProgram, DryRunSaysWhatTheDiskHolds) {
  const std::string options = " checkpoint.every_steps=2 checkpoint.keep=1";
  const Result dry = run("sft sft.yaml --dry-run" + options);
  const size_t at = dry.errors.find("at most ");
  ASSERT_NE(at, std::string::npos) << dry.errors;
  EXPECT_EQ(dry.errors.find("of disk are free"), std::string::npos) << dry.errors;
  const double forecast = std::stod(dry.errors.substr(at + 8)) * 1e3;
  ASSERT_NE(dry.errors.find(" KB of disk"), std::string::npos) << dry.errors;
  ASSERT_EQ(run("sft sft.yaml" + options).code, 0);
  // The checkpoint that is kept, and a new one while it is written.
  const double checkpoint = static_cast<double>(disk_bytes_of(path("run/checkpoints")));
  EXPECT_NEAR(forecast / (2 * checkpoint), 1, 0.2) << forecast << " and " << checkpoint;
  expect_says(run("sft sft.yaml run_dir=huge --dry-run checkpoint.every_steps=1 checkpoint.keep=9223372036854775807 "
                  "train.steps=1000000000"),
              "of disk are free, and checkpoints and model take at most about");
}

TEST_F(TrainingProgram, DryRunForAnotherMachine) {
  const Result result = run("sft sft.yaml --dry-run --machine 8xl40s");
  expect_says(result, "forecast: 6 steps");
  expect_says(result, "on one l40s in bf16 (27 to 47 % of its maker's 362 TFLOP/s)");
  expect_says(result, "7 of the 8 would do nothing");
  expect_refused(run("sft sft.yaml --dry-run --machine l40"), 2, "did you mean 'l40s'?");
  expect_refused(run("sft sft.yaml --machine l40s"), 2, "add --dry-run");
  write("evaluate.yaml", "stage: evaluate\npredictor: p\ndata: {validation: train.jsonl}\nrun_dir: e\n");
  expect_refused(run("evaluate evaluate.yaml --dry-run --machine l40s"), 2, "stage evaluate");
  expect_refused(run("sft sft.yaml --dry-run --machine l40s model.path=gone"), 4, "gone");
  EXPECT_FALSE(exists("run"));
}

TEST_F(TrainingProgram, StandardInputOfAFinishedRunIsNotRead) {
  const std::string piped = "sft sft.yaml data.train[0].path=- <train.jsonl";
  const Result first = run(piped);
  EXPECT_EQ(first.code, 0) << first.errors;
  EXPECT_EQ(first.errors.find("standard input"), std::string::npos) << first.errors;
  expect_says(run(piped), "standard input was not read, and may be another one");
}

TEST_F(TrainingProgram, StandardInputIsReadOnce) {
  const std::string once = "standard input can be read only once";
  expect_refused(run("sft sft.yaml data.train[0].path=- data.validation=- <train.jsonl"), 2, once);
  expect_refused(run("sft - data.train[0].path=- <sft.yaml"), 2, once);
  write("pipeline.yaml",
        "stage: pipeline\nrun_dir: pipe\nsteps:\n  - {name: one, stage: sft, model: model, data: {train: '-'}, "
        "train: {steps: 1}}\n");
  expect_refused(run("pipeline pipeline.yaml <train.jsonl"), 2, "steps.one");
  for (const char* place : {"run", "pipe"}) EXPECT_FALSE(exists(place)) << place;
}

}  // namespace
}  // namespace steerlm
