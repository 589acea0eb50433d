// An experiment over two seeds of a small pipeline: its figures are those of the runs, and nothing is done twice.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class ExperimentProgram : public Program {
 protected:
  void SetUp() override {
    copy_model("untied", "base");
    write("train.jsonl", rated_conversations(8));
    write("toy.yaml", R"(stage: pipeline
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
    optimizer: {learning_rate: 1e-2}
    train: {steps: 2, batch_size: 4}
  - name: measured
    stage: evaluate
    predictor: "@predictor/model"
    data: {validation: [{path: train.jsonl}], max_tokens: 256}
)");
    write("m1.yaml", R"(mirrors: table 3
question: How far off is it?
shows: something
cannot_show: anything else
pipeline: toy.yaml
seeds: 2
quick: [steps.predictor.train.steps=1]
measures:
  - {name: error, step: measured, at: /predictor/quality/mae, paper: 0.5}
  - {name: baseline, step: measured, at: /predictor/quality/mean_mae}
  - {name: count, step: measured, at: /predictor/quality/count}
thresholds:
  - {measure: error, at_least: 0.001}
  - {measure: baseline, at_most: 0.5}
  - {measure: error, above: count}
  - {measure: error, above: baseline}
  - {measure: count, above: error}
)");
  }

  Json figures(const Path& file) const { return parse_json(read(file), file.string(), ExitCode::data); }
  Path runs() const {
    for (const auto& entry : std::filesystem::directory_iterator(path("out/runs"))) return entry.path();
    return {};
  }
};

TEST_F(ExperimentProgram, TablesTheFiguresOfItsRuns) {
  const Result result = run("experiment m1.yaml --out out");
  ASSERT_EQ(result.code, 0) << result.errors;
  const Json found = figures("out/m1.json");
  std::vector<double> errors;
  for (const char* seed : {"seed-1", "seed-2"}) {
    const Json measured = figures(runs() / seed / "measured" / "evaluation.json");
    errors.push_back(measured["predictor"]["quality"]["mae"]);
  }
  EXPECT_NE(errors[0], errors[1]) << "the seed has a say";
  const Json& row = found["measures"][0];
  EXPECT_EQ(row["values"], Json(errors));
  EXPECT_DOUBLE_EQ(row["mean"], (errors[0] + errors[1]) / 2);
  // Two values: the mean -+ t_1 times half of their distance.
  EXPECT_NEAR(row["interval"][1].get<double>(),
              row["mean"].get<double>() + 12.7062 * std::abs(errors[0] - errors[1]) / 2, 1e-4);
  EXPECT_EQ(row["paper"], 0.5);
  EXPECT_EQ(found["thresholds"][0], Json({{"expected", "error at least 0.001"}, {"outcome", "reached"}}));
  EXPECT_EQ(found["thresholds"][1], Json({{"expected", "baseline at most 0.5"}, {"outcome", "missed"}}))
      << "a result, not an error";
  EXPECT_EQ(found["thresholds"][2]["outcome"], "missed") << "the count is above every error";
  EXPECT_GT(row["mean"], found["measures"][1]["mean"]);
  EXPECT_EQ(found["thresholds"][3]["outcome"], "missed") << "two seeds that scatter so say nothing of the difference";
  EXPECT_EQ(found["thresholds"][4], Json({{"expected", "count above error"}, {"outcome", "reached"}}));
  EXPECT_THAT(result.output, testing::EndsWith(read("out/m1.txt") + "\n")) << "after what the steps print";
  EXPECT_THAT(result.output, testing::HasSubstr("missed: baseline at most 0.5"));

  // What is finished is neither written to nor locked.
  const auto before = contents();
  const auto time = std::filesystem::last_write_time(path("out/m1.json"));
  const int lock = ::open(path("out/.steerlm-run/lock").c_str(), O_RDWR);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  EXPECT_EQ(run("experiment m1.yaml --out out").code, 0);
  EXPECT_EQ(run("experiment m1.yaml --out out --seeds 3").code, 5);
  ::close(lock);
  EXPECT_EQ(changes_since(before), "");
  EXPECT_EQ(std::filesystem::last_write_time(path("out/m1.json")), time);
  const std::string table = read("out/m1.txt");
  write("out/m1.txt", "mine");
  EXPECT_THAT(run("experiment m1.yaml --out out").errors, testing::HasSubstr("it is kept as out/m1.txt.previous"));
  EXPECT_EQ(read("out/m1.txt.previous"), "mine");
  EXPECT_EQ(read("out/m1.txt"), table);
  ASSERT_EQ(run("report out --out page.html").code, 0);
  EXPECT_THAT(read("page.html"), testing::HasSubstr("2 of 2 runs in it finished"));
  EXPECT_THAT(read("page.html"), testing::Not(testing::HasSubstr("missing or damaged")));
}

TEST_F(ExperimentProgram, MoreSeedsAndQuickRunWhatIsNew) {
  ASSERT_EQ(run("experiment m1.yaml --out out --seeds 1").code, 0);
  EXPECT_EQ(figures("out/m1.json")["thresholds"][2]["outcome"], "open") << "one seed says nothing of the next";
  const std::string first = read(runs() / "seed-1" / "predictor" / "model" / "model.safetensors");
  ASSERT_EQ(run("experiment m1.yaml --out out").code, 0);
  EXPECT_EQ(figures("out/m1.json")["seeds"], 2);
  EXPECT_EQ(read(runs() / "seed-1" / "predictor" / "model" / "model.safetensors"), first);
  ASSERT_EQ(run("experiment m1.yaml --out out --quick").code, 0);
  EXPECT_EQ(figures("out/m1-quick.json")["overrides"], Json({"steps.predictor.train.steps=1"}));
  EXPECT_NE(figures("out/m1-quick.json")["runs"], figures("out/m1.json")["runs"]);
  EXPECT_EQ(figures("out/m1.json")["seeds"], 2) << "a quick run is no result";
}

// The correlation with labels that do not vary is null: no threshold of it is reached or missed.
TEST_F(ExperimentProgram, AThresholdOfAFigureThatIsNotDefinedIsOpen) {
  std::string alike;
  for (int i = 0; i < 4; ++i) alike += conversation("question " + std::to_string(i), "answer", "quality:2");
  write("alike.jsonl", alike);
  std::string pipeline = read("toy.yaml");
  pipeline.replace(pipeline.rfind("train.jsonl"), 11, "alike.jsonl");
  write("toy.yaml", pipeline);
  write("m2.yaml", R"(mirrors: table 3
question: How alike is it?
shows: something
cannot_show: anything else
pipeline: toy.yaml
seeds: 2
measures:
  - {name: pearson, step: measured, at: /predictor/quality/pearson}
  - {name: count, step: measured, at: /predictor/quality/count}
thresholds:
  - {measure: pearson, at_least: 0.1}
  - {measure: pearson, at_most: 0.1}
  - {measure: pearson, above: count}
  - {measure: count, at_most: 1}
)");
  const Result result = run("experiment m2.yaml --out out");
  ASSERT_EQ(result.code, 0) << result.errors;
  const Json found = figures("out/m2.json");
  EXPECT_TRUE(found["measures"][0]["mean"].is_null());
  for (size_t t = 0; t < 3; ++t) EXPECT_EQ(found["thresholds"][t]["outcome"], "open") << t;
  EXPECT_EQ(found["thresholds"][3]["outcome"], "missed") << "four answers are more than one";
}

TEST_F(ExperimentProgram, FaultsKeepTheirCodes) {
  write("bad.yaml", "question: x\n");
  EXPECT_EQ(run("experiment bad.yaml --out out").code, 2);
  EXPECT_FALSE(exists("out"));
  std::filesystem::rename(path("train.jsonl"), path("elsewhere.jsonl"));
  const Result missing = run("experiment m1.yaml --out out");
  EXPECT_EQ(missing.code, 3) << "the code of the pipeline";
  EXPECT_THAT(missing.errors, testing::HasSubstr("m1, seed 1 of 2 ended with exit code 3"));
  std::filesystem::rename(path("elsewhere.jsonl"), path("train.jsonl"));
  std::string text = read("m1.yaml");
  text.replace(text.find("/predictor/quality/mae"), 22, "/predictor/quality/mad");
  write("m1.yaml", text);
  const Result pointer = run("experiment m1.yaml --out out");
  EXPECT_EQ(pointer.code, 2);
  EXPECT_THAT(pointer.errors, testing::HasSubstr("the file has nothing at the JSON pointer"));
  EXPECT_THAT(pointer.errors, testing::HasSubstr("/predictor/quality/mad"));
}

// Its tables would stand among the files of a run that knows nothing of them.
TEST_F(ExperimentProgram, TheFolderOfAnotherRunIsRefused) {
  ASSERT_EQ(run("pipeline toy.yaml run_dir=out").code, 0);
  for (const char* command : {"experiment m1.yaml --out out", "experiment m1.yaml --out out --dry-run"}) {
    const Result refused = run(command);
    EXPECT_EQ(refused.code, 2);
    EXPECT_THAT(refused.errors, testing::HasSubstr("the folder holds a run of another stage"));
  }
  EXPECT_FALSE(exists("out/runs"));
}

TEST_F(ExperimentProgram, TwoOfOneNameWouldWriteOneTable) {
  std::filesystem::create_directory(path("other"));
  std::filesystem::copy(path("m1.yaml"), path("other/m1.yaml"));
  const auto before = contents();
  const Result result = run("experiment m1.yaml other/m1.yaml --out out");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.errors, testing::HasSubstr("other/m1.yaml: two experiments of one name"));
  EXPECT_EQ(changes_since(before), "");
}

// Runs are found again by what the pipeline says, not by how it is named.
TEST_F(ExperimentProgram, RunsAreThoseOfThePipelineHoweverItsPathIsSpelt) {
  ASSERT_EQ(run("experiment m1.yaml --out out --seeds 1").code, 0) << read("err.txt");
  const std::string folder = figures("out/m1.json")["runs"];
  const auto runs_with = [&](const std::string& file, const std::string& pipeline, const std::string& options = "") {
    std::string text = read("m1.yaml");
    text.replace(text.find("pipeline: toy.yaml"), 18, "pipeline: " + pipeline);
    write(file, text);
    const Result result = run("experiment " + file + " --out out --seeds 1 " + options);
    EXPECT_EQ(result.code, 0) << result.errors;
    const std::string stem = Path(file).stem().string() + (options.empty() ? "" : "-quick");
    return figures("out/" + stem + ".json")["runs"].get<std::string>();
  };
  EXPECT_EQ(runs_with("m2.yaml", "./toy.yaml"), folder);
  EXPECT_EQ(runs_with("m3.yaml", path("toy.yaml").string()), folder);
  std::filesystem::create_directory(path("other"));
  write("other/toy.yaml", "# a comment\n" + read("toy.yaml"));
  EXPECT_EQ(runs_with("m4.yaml", "other/toy.yaml"), folder);
  EXPECT_NE(runs_with("m5.yaml", "toy.yaml", "--quick"), folder) << "an override has a say";
  std::string changed = read("toy.yaml");
  changed.replace(changed.find("1e-2"), 4, "1e-3");
  write("toy.yaml", changed);
  EXPECT_NE(runs_with("m6.yaml", "toy.yaml"), folder) << "and so has the pipeline's text";
}

TEST_F(ExperimentProgram, DryRunWritesNothing) {
  const auto before = contents();
  const Result result = run("experiment m1.yaml --out out --dry-run");
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(result.errors, testing::HasSubstr("predictor (train-predictor): would run"));
  EXPECT_EQ(changes_since(before), "");
}

TEST_F(ExperimentProgram, APipelineOverSeedsIsTabled) {
  const Result result = run("pipeline toy.yaml --seeds 3,1 run_dir=seeds");
  ASSERT_EQ(result.code, 0) << result.errors;
  std::vector<double> errors;
  for (const char* seed : {"seed-3", "seed-1"}) {
    const Json measured = figures(Path("seeds") / seed / "measured" / "evaluation.json");
    errors.push_back(measured["predictor"]["quality"]["mae"]);
  }
  EXPECT_NE(errors[0], errors[1]) << "the seed has a say";
  const Json found = figures("seeds/seeds.json");
  EXPECT_EQ(found["seeds"], Json({3, 1}));
  const auto row = std::ranges::find_if(
      found["figures"], [](const Json& figure) { return figure.at("figure") == "predictor quality mae"; });
  ASSERT_NE(row, found["figures"].end());
  EXPECT_EQ(row->at("step"), "measured");
  EXPECT_EQ(row->at("values"), Json(errors));
  EXPECT_DOUBLE_EQ(row->at("mean"), (errors[0] + errors[1]) / 2);
  EXPECT_NEAR(row->at("standard_deviation").get<double>(), std::abs(errors[0] - errors[1]) / std::sqrt(2), 1e-12);
  EXPECT_THAT(result.output, testing::EndsWith(read("seeds/seeds.txt")));
  EXPECT_THAT(result.output, testing::HasSubstr("standard deviation"));

  const std::string model = read("seeds/seed-1/predictor/model/model.safetensors");
  const Result again = run("pipeline toy.yaml --seeds 1,2 run_dir=seeds");
  ASSERT_EQ(again.code, 0) << again.errors;
  EXPECT_EQ(read("seeds/seed-1/predictor/model/model.safetensors"), model);
  EXPECT_EQ(figures("seeds/seeds.json")["seeds"], Json({1, 2}));

  expect_refused(run("pipeline toy.yaml --seeds 1,1 run_dir=twice"), 2, "a seed that is named twice");
  for (const char* wrong : {"1,", "x", "-1", "1:2", "99999999999999999999"})
    expect_refused(run(std::string("pipeline toy.yaml run_dir=wrong --seeds=") + wrong), 2, "no list of seeds");
  expect_refused(run("pipeline toy.yaml --seeds 1,2 --only measured run_dir=part"), 2, "--seeds runs whole pipelines");
  ASSERT_EQ(run("pipeline toy.yaml run_dir=single").code, 0);
  const auto single = contents();
  for (const char* option : {"", " --dry-run"}) {
    expect_refused(run(std::string("pipeline toy.yaml --seeds 1 run_dir=single") + option), 2,
                   "the folder holds a run of its own");
  }
  EXPECT_EQ(changes_since(single), "");
  write("foreign", "mine");
  expect_refused(run("pipeline toy.yaml --seeds 1 run_dir=foreign --dry-run"), 5, "no run has made it");
}

TEST_F(ExperimentProgram, APipelineOverSeedsThatIsDoneIsNotWrittenTo) {
  const std::string command = "pipeline toy.yaml --seeds 1,2 run_dir=seeds";
  const Result first = run(command);
  ASSERT_EQ(first.code, 0) << first.errors;
  const auto times = [&] {
    std::map<std::string, std::filesystem::file_time_type> all;
    for (const char* name : {"seeds.json", "seeds.txt", ".steerlm-run", ".steerlm-run/files.jsonl"})
      all[name] = std::filesystem::last_write_time(path(Path("seeds") / name));
    return all;
  };
  const auto before = contents();
  const auto written = times();
  EXPECT_EQ(run(command).output, read("seeds/seeds.txt"));
  EXPECT_EQ(times(), written);
  EXPECT_EQ(changes_since(before), "");

  const std::string table = read("seeds/seeds.txt");
  write("seeds/seeds.txt", "mine");
  expect_says(run(command), "it is kept as seeds/seeds.txt.previous and made again");
  EXPECT_EQ(read("seeds/seeds.txt.previous"), "mine");
  EXPECT_EQ(read("seeds/seeds.txt"), table);
}

TEST_F(ExperimentProgram, SeedsThatWouldWriteOneOutputAreRefused) {
  write("answers.yaml", R"(stage: pipeline
run_dir: run
steps:
  - {name: answers, stage: generate, model: base, prompts: train.jsonl, output: answers.jsonl, sampling: {max_new_tokens: 3}}
)");
  expect_refused(run("pipeline answers.yaml --seeds 1,2"), 2, "write \"@self/answers.jsonl\" there");
  EXPECT_FALSE(exists("run"));
  // The advice.
  std::string text = read("answers.yaml");
  text.replace(text.find("output: answers.jsonl"), 21, "output: \"@self/answers.jsonl\"");
  write("answers.yaml", text);
  const Result result = run("pipeline answers.yaml --seeds 1,2");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(result.output, testing::HasSubstr("no step of the pipeline is an evaluation"));
  EXPECT_NE(read("run/seed-1/answers/answers.jsonl"), read("run/seed-2/answers/answers.jsonl"));
}

}  // namespace
}  // namespace steerlm
