// The program itself on tiny recipes: exit codes, messages, resuming to the bit. contracts.md sections 1 and 4.
#include <fcntl.h>
#include <sys/file.h>

#include "end_to_end/training_program.h"

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
  const Result predictor = run("train-predictor predictor.yaml");
  ASSERT_EQ(predictor.code, 0) << predictor.errors;
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

TEST_F(TrainingProgram, ASecondProcessOnTheDirectoryIsRefused) {
  std::filesystem::create_directory(path("run"));
  const int lock = ::open(path("run/.lock").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  const Result result = run("sft sft.yaml");
  EXPECT_EQ(result.code, 5);
  EXPECT_NE(result.errors.find("in use"), std::string::npos) << result.errors;
  ::close(lock);
}

TEST_F(TrainingProgram, DryRunWritesNothing) {
  const Result result = run("sft sft.yaml --dry-run");
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_NE(result.errors.find("forecast: 6 steps"), std::string::npos) << result.errors;
  EXPECT_FALSE(exists("run"));
}

}  // namespace
}  // namespace steerlm
