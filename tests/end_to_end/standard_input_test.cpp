// What comes from standard input, of jobs that go on and of shards: it must be what it was before.
#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

class StandardInput : public TrainingProgram {
 protected:
  void SetUp() override {
    TrainingProgram::SetUp();
    const std::string names = R"("quality", "humor", "length")";
    make_model("classifier", "predictor", names);
    make_model("untied", "policy", names);
  }

  // `lines` with another text in the first one; the records are as many.
  void write_inputs(const std::string& lines) {
    write("in.jsonl", lines);
    std::string other = lines;
    other.replace(other.find("question"), 8, "Question");
    write("other.jsonl", other);
  }

  // A file that may not grow stops the job between two blocks.
  void expect_compared(const std::string& command, const std::string& output, int blocks_of_512_bytes) {
    const std::string limit = "ulimit -f " + std::to_string(blocks_of_512_bytes) + ";";
    expect_refused(run(command + " <in.jsonl", limit), 5, "File too large");
    expect_refused(run(command + " <other.jsonl"), 2, "standard input gives something else than before");
    const Result whole = run(command + " <in.jsonl");
    EXPECT_EQ(whole.code, 0) << whole.errors;
    EXPECT_EQ(whole.errors.find("standard input"), std::string::npos) << whole.errors;
    stopped_ = read(output);
  }

  std::string stopped_;  // the output of the job that went on
};

std::string prompts(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) lines += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
  return lines;
}

std::string records(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i)
    lines += conversation("question " + std::to_string(i), "answer", "quality:" + std::to_string(i % 5));
  return lines;
}

TEST_F(StandardInput, OfScoreIsComparedWhereItGoesOn) {
  write_inputs(records(2500));
  const std::string score = "score --model predictor --output out.jsonl --input ";
  expect_compared(score + "-", "out.jsonl", 320);
  EXPECT_EQ(run(score + "in.jsonl --overwrite").code, 0);
  EXPECT_EQ(read("out.jsonl"), stopped_);
}

TEST_F(StandardInput, OfGenerateIsComparedWhereItGoesOn) {
  write_inputs(prompts(600));
  const std::string generate = "generate --model policy --max-new-tokens 4 --output out.jsonl --input ";
  expect_compared(generate + "-", "out.jsonl", 100);
  EXPECT_EQ(run(generate + "in.jsonl --overwrite").code, 0);
  EXPECT_EQ(read("out.jsonl"), stopped_);
  write("generate.yaml",
        "stage: generate\nmodel: policy\nprompts: '-'\noutput: recipe.jsonl\nrun_dir: run\n"
        "sampling: {max_new_tokens: 4}\n");
  expect_compared("run generate.yaml", "recipe.jsonl", 100);
}

TEST_F(StandardInput, OfATrainingIsComparedWhereItGoesOn) {
  write_inputs(records(8));
  const std::string train = "sft sft.yaml data.train[0].path=- optimizer.learning_rate=0.01 schedule.decay_steps=9 ";
  ASSERT_EQ(run(train + "train.steps=2 <in.jsonl").code, 0);
  expect_refused(run(train + "train.steps=4 <other.jsonl"), 2, "standard input gives other training data");
  const Result longer = run(train + "train.steps=4 <in.jsonl");
  EXPECT_EQ(longer.code, 0) << longer.errors;
  EXPECT_EQ(json_lines(read("run/metrics.jsonl")).size(), 4u);
  EXPECT_EQ(run(train + "train.steps=4 --fresh <other.jsonl").code, 0);
  expect_refused(run(train + "train.steps=5 <in.jsonl"), 2, "standard input gives other training data");
}

TEST_F(StandardInput, OfShardsIsOne) {
  write_inputs(records(32));
  write("annotate.yaml", "stage: annotate\npredictor: predictor\ninput: '-'\nblock_records: 4\nrun_dir: run\n");
  const auto shards = [&](const std::string& second) {
    for (const std::string i : {"0", "1"}) {
      const std::string input = i == "0" ? "in.jsonl" : second;
      ASSERT_EQ(
          run("annotate annotate.yaml run_dir=run-" + i + " shard=" + i + "/2 output=part-" + i + " --fresh <" + input)
              .code,
          0);
      ASSERT_EQ(
          run("score --model predictor --input - --shard " + i + "/2 --overwrite --output score-" + i + " <" + input)
              .code,
          0);
    }
  };
  shards("other.jsonl");
  const std::string different = "the shards have read different things from standard input";
  expect_refused(run("annotate --merge whole.jsonl part-0 part-1"), 3, different);
  expect_refused(run("score --merge scores.jsonl score-0 score-1"), 3, different);
  shards("in.jsonl");
  EXPECT_EQ(run("annotate --merge whole.jsonl part-0 part-1").code, 0);
  EXPECT_EQ(run("score --merge scores.jsonl score-0 score-1").code, 0);
  EXPECT_EQ(json_lines(read("whole.jsonl")).size(), 32u);
}

}  // namespace
}  // namespace steerlm
