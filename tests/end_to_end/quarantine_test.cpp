// Training on data with records that cannot be used: on_bad_record and max_bad_share of the training stages.
#include <gmock/gmock.h>

#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

constexpr const char* throughput = "[0-9] conversations/s, .* tokens/s, .* machine-days per billion tokens";

class Quarantine : public TrainingProgram {
 protected:
  // A hundred lines, of which the 8th, the 40th and the last cannot be used; the other 97 are in good.jsonl.
  void SetUp() override {
    TrainingProgram::SetUp();
    std::string all, good;
    for (int i = 1; i <= 100; ++i) {
      std::string line =
          conversation("question " + std::to_string(i), "answer", "quality:" + std::to_string(i % 5) + ",humor:1");
      if (i == 8) line = "{\"conversations\": 8}\n";
      if (i == 40) line.insert(1, R"("mask":"User,Assistant",)");
      if (i == 100) line = "no JSON \xff\n";
      all += line;
      if (i != 8 && i != 40 && i != 100) good += line;
    }
    write("train.jsonl", all);
    write("good.jsonl", good);
  }
  std::string sft(const std::string& more) const { return "sft sft.yaml " + more; }
  std::string model_of(const std::string& run_name) const { return read(run_name + "/model/model.safetensors"); }
  static int times(const std::string& text, const std::string& part) {
    int count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
  }
  void expect_three(const std::string& run_name) const {
    const std::vector<Json> bad = json_lines(read(run_name + "/quarantine.jsonl"));
    ASSERT_EQ(bad.size(), 3u);
    const std::vector<std::string> lines = lines_of(read("train.jsonl"));
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(bad[i].size(), 4u);
      EXPECT_EQ(bad[i].at("file"), "train.jsonl");
      EXPECT_EQ(bad[i].at("line"), (std::vector<int>{8, 40, 100})[i]);
    }
    EXPECT_EQ(bad[1].at("record"), lines[39]) << "the text of the line";
    EXPECT_EQ(bad[2].at("record"), "no JSON \uFFFD");
    EXPECT_THAT(bad[1].at("reason").get<std::string>(), HasSubstr("a record without a target"));
  }
  static constexpr const char* three = "3 records cannot be used and were put aside in ";
};

TEST_F(Quarantine, TheModelIsThatOfTheGoodLines) {
  expect_refused(run(sft("")), 3, "train.jsonl:8");
  EXPECT_FALSE(exists("run/checkpoints"));
  const Result result = run(sft("on_bad_record=quarantine"));
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(times(result.errors, "put aside"), 1) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr(std::string(three) + "run/quarantine.jsonl"));
  EXPECT_EQ(times(read("run/log.txt"), three), 1);
  EXPECT_THAT(result.errors, HasSubstr("training data: 97 conversations"));
  EXPECT_THAT(result.errors, ContainsRegex(throughput));
  EXPECT_EQ(parse_json(read("run/done.json"), "done", ExitCode::data).at("bad"), 3);
  EXPECT_THAT(read("run/model/README.md"), HasSubstr("3 further records could not be used and were put aside."));
  expect_three("run");
  ASSERT_EQ(run(sft("data.train=good.jsonl run_dir=good")).code, 0);
  EXPECT_EQ(model_of("run"), model_of("good"));
  EXPECT_EQ(read("run/model/steerlm.json"), read("good/model/steerlm.json"));
  EXPECT_FALSE(exists("good/quarantine.jsonl"));
  EXPECT_THAT(read("good/model/README.md"), Not(HasSubstr("put aside")));
}

TEST_F(Quarantine, TooManyEndTheRunBeforeItsFirstStep) {
  const std::string few = sft("on_bad_record=quarantine max_bad_share=0.02 ");
  const Result result = run(few);
  expect_refused(result, 3, "too many bad records (found 3 of 100 (3.0 %), expected at most 2.0 % (max_bad_share))");
  EXPECT_THAT(result.errors, HasSubstr("train.jsonl:8"));
  EXPECT_THAT(result.errors, HasSubstr("`steerlm data check` with this recipe lists all"));
  EXPECT_FALSE(exists("run/metrics.jsonl"));
  expect_refused(run(few + "--dry-run"), 3, "too many bad records");
  const Result checked = run("data check sft.yaml on_bad_record=quarantine max_bad_share=0.02");
  expect_refused(checked, 3, "3 bad records");
  for (const char* line : {"train.jsonl:8: ", "train.jsonl:40: a record without a target", "train.jsonl:100: "})
    EXPECT_THAT(checked.output, HasSubstr(line));
  EXPECT_THAT(checked.errors, HasSubstr("the run puts them aside where they are at most 2 % (max_bad_share)"));
  EXPECT_THAT(run("data check sft.yaml").errors, HasSubstr("the run stops at the first one"));

  // Nothing of an earlier run is lost, with --fresh too.
  ASSERT_EQ(run(sft("data.train=good.jsonl")).code, 0);
  const auto before = contents();
  expect_refused(run(few + "--fresh"), 3, "too many bad records");
  EXPECT_EQ(changes_since(before), "");
  ASSERT_EQ(run(sft("on_bad_record=quarantine max_bad_share=0.03 --fresh")).code, 0) << "as the message advises";
  expect_three("run");
}

TEST_F(Quarantine, AResumeAndTheCacheKeepThem) {
  ASSERT_EQ(run(sft("on_bad_record=quarantine")).code, 0);
  const std::string part = sft("run_dir=part data.cache_dir=cache ");
  ASSERT_EQ(run(part + "on_bad_record=quarantine train.max_minutes=1e-9").code, 75);
  expect_three("part");
  std::filesystem::remove(path("part/quarantine.jsonl"));
  const Result stops = run(part);
  expect_refused(stops, 3, "train.jsonl:8");
  EXPECT_TRUE(exists("part/checkpoints/LATEST")) << "nothing is lost";
  const Result second = run(part + "on_bad_record=quarantine max_bad_share=0.5");
  EXPECT_EQ(second.code, 0) << second.errors;
  EXPECT_THAT(second.errors, HasSubstr("is encoded already, in cache/"));
  EXPECT_THAT(second.errors, HasSubstr(std::string(three) + "part/quarantine.jsonl"));
  expect_three("part");
  EXPECT_EQ(model_of("part"), model_of("run"));

  // Another run finds them in the cache, under the name that it gives the file.
  std::filesystem::copy_file(path("train.jsonl"), path("same.jsonl"));
  const std::string other = sft("run_dir=other data.cache_dir=cache data.train[0].path=same.jsonl ");
  expect_refused(run(other), 3, "same.jsonl:8");
  expect_refused(run(other + "on_bad_record=quarantine max_bad_share=0.02"), 3, "too many bad records");
  const Result third = run(other + "on_bad_record=quarantine");
  EXPECT_THAT(third.errors, HasSubstr("is encoded already, in cache/"));
  EXPECT_EQ(json_lines(read("other/quarantine.jsonl")).at(2).at("file"), "same.jsonl");
  EXPECT_EQ(model_of("other"), model_of("run"));

  // Where no record is bad the setting changes nothing, also within a run.
  const std::string good = sft("run_dir=good data.train=good.jsonl ");
  ASSERT_EQ(run(good + "train.max_minutes=1e-9").code, 75);
  const Result changed = run(good + "on_bad_record=quarantine");
  EXPECT_EQ(changed.code, 0) << changed.errors;
  EXPECT_THAT(changed.errors, HasSubstr("is encoded already, in "));
  EXPECT_EQ(model_of("good"), model_of("run"));
}

// The speed of a run that goes on is that of its own steps: without any it has none.
TEST_F(Quarantine, SpeedIsOfThisProcessAlone) {
  const std::string command = sft("data.train=good.jsonl");
  ASSERT_EQ(run(command + " train.max_minutes=1e-9").code, 75);
  EXPECT_THAT(run(command).errors, ContainsRegex(throughput));
  std::filesystem::remove(path("run/model/model.safetensors"));
  const Result again = run(command);
  ASSERT_EQ(again.code, 0) << again.errors;
  EXPECT_TRUE(exists("run/model/model.safetensors"));
  EXPECT_THAT(again.errors, Not(HasSubstr("conversations/s")));
}

// What data check calls bad is what training puts aside, of pairs and of over-long records too.
TEST_F(Quarantine, DataCheckAgreesWithTraining) {
  const std::string long_one(300, 'x');
  write("long.jsonl", read("train.jsonl") + conversation("q", long_one, "quality:1"));
  const auto pair = [](const std::string& answer) {
    return R"({"chosen":"\n\nHuman: a\n\nAssistant: )" + answer + R"(","rejected":"\n\nHuman: a\n\nAssistant: c"})" +
           "\n";
  };
  write("pairs.jsonl", pair("b") + pair(long_one) + "{}\n" + pair("d"));
  const std::string options = " on_bad_record=quarantine max_bad_share=0.5 data.over_length=error ";
  const std::string recipe = "sed 's/stage: sft/stage: train-predictor/' sft.yaml |";
  const auto places = [&](const std::string& text) {
    std::vector<std::string> found;
    for (const Json& bad : json_lines(text))
      found.push_back(bad.at("file").get<std::string>() + ":" + std::to_string(bad.at("line").get<int>()) + ": ");
    return found;
  };
  struct Case {
    std::string name, command, stage, before;
  };
  for (const Case& each : {Case{"a", "sft.yaml data.train=long.jsonl", "sft", ""},
                           Case{"b", "- data.train=long.jsonl head.kind=regression", "train-predictor", recipe},
                           Case{"c", "- data.train=pairs.jsonl head.kind=regression head.loss=bradley_terry",
                                "train-predictor", recipe}}) {
    const Result trained = run(each.stage + " " + each.command + options + "run_dir=" + each.name, each.before);
    ASSERT_EQ(trained.code, 0) << trained.errors;
    const std::vector<std::string> bad = places(read(each.name + "/quarantine.jsonl"));
    const Result checked = run("data check " + each.command + options, each.before);
    EXPECT_EQ(checked.code, 3);
    EXPECT_THAT(checked.errors, HasSubstr(std::to_string(bad.size()) + " bad records")) << checked.output;
    for (const std::string& place : bad) EXPECT_THAT(checked.output, HasSubstr(place));
  }
}

TEST_F(Quarantine, AFileOfThatNameIsNotReplaced) {
  ASSERT_EQ(run(sft("data.train=good.jsonl train.max_minutes=1e-9")).code, 75);
  write("run/quarantine.jsonl", "mine\n");
  ASSERT_EQ(run(sft("data.train=good.jsonl train.max_minutes=1e-9")).code, 75) << "in nobody's way";
  expect_refused(run(sft("on_bad_record=quarantine --fresh")), 5, "quarantine.jsonl");
  EXPECT_EQ(read("run/quarantine.jsonl"), "mine\n");
}

// Held-out answers are read twice, and a ridge head has no cache.
TEST_F(Quarantine, PredictorsPutAside) {
  for (const std::string kind : {"regression", "ridge", "language_model"}) {
    const std::string command = "train-predictor - head.kind=" + kind + " ";
    const std::string recipe =
        "sed 's/stage: sft/stage: train-predictor/; s/max_tokens/validation_fraction: 0.2, "
        "max_tokens/' sft.yaml |";
    expect_refused(run(command + "run_dir=stop-" + kind, recipe), 3, "train.jsonl:8");
    const Result bad = run(command + "on_bad_record=quarantine run_dir=bad-" + kind, recipe);
    ASSERT_EQ(bad.code, 0) << bad.errors;
    // Without an answer that is trained a record is no bad one here: it is counted.
    EXPECT_EQ(json_lines(read("bad-" + kind + "/quarantine.jsonl")).size(), 2u) << kind;
    EXPECT_THAT(bad.errors, ContainsRegex(throughput));
    const Result good = run(command + "run_dir=good-" + kind + " data.train=same.jsonl",
                            "sed -e 8d -e 100d train.jsonl > same.jsonl;" + recipe);
    ASSERT_EQ(good.code, 0) << good.errors;
    EXPECT_EQ(model_of("bad-" + kind), model_of("good-" + kind)) << kind;
    const auto scores = [&](const std::string& name) {
      std::vector<Json> lines = json_lines(read(name + kind + "/validation.jsonl"));
      std::vector<std::string> texts;
      for (const Json& line : lines) texts.push_back(dump_json(line.at("scores")));
      return texts;
    };
    EXPECT_EQ(scores("bad-"), scores("good-"));
  }
}

TEST_F(Quarantine, BootstrapPutsPromptsAndLabelsAside) {
  const std::string names = R"("quality", "humor", "length")";
  make_model("untied", "policy", names);
  std::string ids = "100";
  for (int id = 101; id <= 160; ++id) ids += ", " + std::to_string(id);
  write("policy/generation_config.json", R"({"eos_token_id": [)" + ids + "]}");
  make_model("classifier", "predictor", names);
  std::string prompts, labels;
  for (int i = 0; i < 30; ++i) {
    prompts += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
    labels += conversation("q", "a", "quality:" + std::to_string(i % 5) + ",humor:1,length:2");
  }
  write("prompts.jsonl", prompts);
  write("labels.jsonl", labels);
  write("bootstrap.yaml",
        "stage: bootstrap\npolicy: policy\npredictor: predictor\nprompts: prompts.jsonl\nlabels_from: labels.jsonl\n"
        "sampling: {temperature: 1, max_new_tokens: 24}\ndata: {max_tokens: 256}\noptimizer: {learning_rate: 1e-3}\n"
        "train: {steps: 2, batch_size: 4}\n");
  ASSERT_EQ(run("bootstrap bootstrap.yaml run_dir=good").code, 0);
  write("prompts.jsonl", "{\"prompt\": 1}\n" + prompts);
  write("labels.jsonl", labels + conversation("q", "a", "quality:9") + "\n");
  expect_refused(run("bootstrap bootstrap.yaml run_dir=stop"), 3, "labels.jsonl:31");
  EXPECT_FALSE(exists("stop/sampled.jsonl"));
  const std::string put_aside = "bootstrap bootstrap.yaml on_bad_record=quarantine ";
  expect_refused(run(put_aside + "max_bad_share=0.01 run_dir=few"), 3, "found 1 of 31");
  expect_says(run(put_aside + "run_dir=dry --dry-run"), "2 bad records");
  const Result result = run(put_aside + "run_dir=run");
  expect_says(result, "2 records cannot be used and were put aside in run/sample/quarantine.jsonl");
  const std::vector<Json> bad = json_lines(read("run/sample/quarantine.jsonl"));
  ASSERT_EQ(bad.size(), 2u);
  EXPECT_EQ(bad[0].at("file"), "labels.jsonl");
  EXPECT_EQ(bad[1].at("record"), "{\"prompt\": 1}");
  EXPECT_EQ(read("run/sampled.jsonl"), read("good/sampled.jsonl"));
  EXPECT_EQ(model_of("run"), model_of("good"));
}

TEST_F(Quarantine, APipelineDoesNotRefuseWhatItsStepPutsAside) {
  write("pipeline.yaml",
        "stage: pipeline\nrun_dir: all\nsteps:\n  - name: tune\n    stage: sft\n    model: {path: " + model_ +
            "}\n    data: {train: train.jsonl, max_tokens: 256}\n    train: {steps: 2, batch_size: 4}\n"
            "    on_bad_record: quarantine\n");
  expect_refused(run("pipeline pipeline.yaml steps.tune.on_bad_record=stop"), 3, "train.jsonl:8");
  const Result result = run("pipeline pipeline.yaml");
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(json_lines(read("all/tune/quarantine.jsonl")).size(), 3u);
}

}  // namespace
}  // namespace steerlm
