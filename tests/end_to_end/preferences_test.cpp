// A predictor that learns from pairs, and how often it scores the better response higher. contracts.md sections 2 to 6.
#include <algorithm>
#include <cmath>

#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

// The better response of a pair says so.
class Preferences : public TrainingProgram {
 protected:
  void SetUp() override {
    TrainingProgram::SetUp();
    std::string pairs;
    for (int i = 0; i < 24; ++i) {
      const std::string number = std::to_string(i);
      const std::string good = "yes " + number, bad = "no no " + number;
      const bool first = i % 2 == 0;
      pairs += Json{{"prompt", "question " + number},
                    {"response_1", first ? good : bad},
                    {"response_2", first ? bad : good},
                    {"preference_strength", (first ? -1 : 1) * (i % 3 + 1)}}
                   .dump() +
               "\n";
    }
    write("pairs.jsonl", pairs);
    write("predictor.yaml", "stage: train-predictor\nmodel: {path: " + model_ +
                                "}\nattributes: {names: [quality, humor], min: 0, max: 4}\n"
                                "head: {kind: regression, loss: scaled}\n"
                                "data: {train: pairs.jsonl, validation: pairs.jsonl, max_tokens: 256}\n"
                                "run_dir: predictor\noptimizer: {learning_rate: 1e-3}\n"
                                "train: {steps: 30, batch_size: 8}\nevaluate: {every_steps: 10}\n"
                                "checkpoint: {every_steps: 1}\n");
    write("evaluate.yaml",
          "stage: evaluate\npredictor: predictor/model\nrun_dir: evaluation\npairs: {sources: pairs.jsonl}\n");
  }

  // Raw scores of each line of `steerlm score`.
  std::vector<std::map<std::string, double>> scores(const std::string& input) {
    std::vector<std::map<std::string, double>> all;
    const Result result = run("score --model predictor/model --input " + input + " --output scores.jsonl --overwrite");
    EXPECT_EQ(result.code, 0) << result.errors;
    for (const Json& line : json_lines(read("scores.jsonl")))
      all.push_back(line.at("scores").get<std::map<std::string, double>>());
    return all;
  }
};

TEST_F(Preferences, EveryLossIsLearntAndARunThatWasStoppedGivesTheSameBytes) {
  for (const std::string loss : {"bradley_terry", "margin", "scaled"}) {
    const Result trained = run("train-predictor predictor.yaml --fresh head.loss=" + loss + " run_dir=" + loss);
    ASSERT_EQ(trained.code, 0) << trained.errors;
    expect_says(trained, "reward: quality");
    expect_says(trained, "24 pairs");
    const auto losses = metric(loss, "validation/loss"), accuracy = metric(loss, "validation/pairwise_accuracy");
    EXPECT_LT(losses.at(30), 0.5 * losses.at(10) + 0.1) << loss;
    EXPECT_EQ(accuracy.at(30), 1) << loss;
    EXPECT_EQ(metric(loss, "train/target_tokens").at(1), 16) << "two scores a pair";
    EXPECT_NE(read(loss + "/model/steerlm.json").find("\"loss\": \"" + loss + "\""), std::string::npos);
  }
  Result result{75, "", ""};
  const std::string arguments = "train-predictor predictor.yaml run_dir=stopped train.max_minutes=1e-9 train.steps=4";
  for (int stops = 0; result.code == 75 && stops < 10; ++stops) result = run(arguments);
  ASSERT_EQ(result.code, 0) << result.errors;
  ASSERT_EQ(run("train-predictor predictor.yaml run_dir=straight train.steps=4").code, 0);
  EXPECT_EQ(read("stopped/model/model.safetensors"), read("straight/model/model.safetensors"));
}

// HelpSteer2-Preference: regression first, then the scaled loss on the head that it has made.
TEST_F(Preferences, TheHeadOfARegressionIsKept) {
  const Result regression =
      run("train-predictor predictor.yaml run_dir=regression head.loss=mse data.train=train.jsonl "
          "data.validation=train.jsonl train.steps=3");
  ASSERT_EQ(regression.code, 0) << regression.errors;
  EXPECT_EQ(read("regression/model/steerlm.json").find("\"loss\""), std::string::npos);
  const Result scaled =
      run("train-predictor predictor.yaml model.path=regression/model optimizer.learning_rate=1e-12 train.steps=1");
  ASSERT_EQ(scaled.code, 0) << scaled.errors;
  const auto before = weights(path("regression/model/model.safetensors")),
             after = weights(path("predictor/model/model.safetensors"));
  for (const char* name : {"score.weight", "score.bias"}) {
    for (size_t i = 0; i < before.at(name).size(); ++i)
      EXPECT_NEAR(after.at(name)[i], before.at(name)[i], 1e-9f) << name;
  }
  write("annotate.yaml",
        "stage: annotate\npredictor: predictor/model\ninput: train.jsonl\noutput: out.jsonl\nrun_dir: annotate\n");
  expect_says(run("annotate annotate.yaml"), "was trained on preferences (head.loss scaled)");
  expect_says(run("annotate annotate.yaml predictor=regression/model output=o2.jsonl run_dir=a2"), "12 records");
  EXPECT_EQ(read("err.txt").find("was trained on preferences"), std::string::npos);

  // Each loss is drawn among those of its unit.
  const std::string both = run("report regression predictor --out -").output;
  EXPECT_NE(both.find("<h3>Predictors with a regression head</h3>"), std::string::npos) << both;
  EXPECT_NE(both.find("<h3>Predictors of pairs</h3>"), std::string::npos);
  const std::string pairs = run("report predictor --out -").output;
  EXPECT_NE(pairs.find("loss of a pair"), std::string::npos);
  EXPECT_EQ(pairs.find("squared error of a rating"), std::string::npos);
}

TEST_F(Preferences, DataCheckCountsPairs) {
  const auto row = [](const Result& result, const std::string& name) {
    for (const std::string& line : lines_of(result.output)) {
      if (line.starts_with(name + "  ")) return line.substr(line.find_last_of(' ') + 1);
    }
    return std::string("no row");
  };
  const auto line = [](const std::string& answer, const Json& strength) {
    return dump_json(
               {{"prompt", "q"}, {"response_1", answer}, {"response_2", "no"}, {"preference_strength", strength}}) +
           "\n";
  };
  append("pairs.jsonl", line("yes", 0) + line(std::string(2000, 'a'), 2));
  const std::string check = "data check predictor.yaml data.validation=null";
  const Result good = run(check);
  ASSERT_EQ(good.code, 0) << good.errors;
  EXPECT_EQ(row(good, "records"), "52");
  EXPECT_EQ(row(good, "pairs of responses"), "25");
  EXPECT_EQ(row(good, "lines without a preference"), "1");
  EXPECT_EQ(row(good, "pairs over 256 tokens"), "1");
  EXPECT_EQ(row(run("data check evaluate.yaml pairs.sources[0].limit=7 predictor=" + model_), "pairs of responses"),
            "7");
  EXPECT_EQ(row(run(check + " head.loss=mse"), "pairs of responses"), "no row");

  append("pairs.jsonl", line("yes", "much") + "{\n");
  const Result bad = run(check);
  EXPECT_EQ(bad.code, 3);
  EXPECT_NE(bad.output.find("pairs.jsonl:27: 'preference_strength' cannot be used"), std::string::npos) << bad.output;
  EXPECT_EQ(row(bad, "bad records"), "2");
  EXPECT_EQ(row(bad, "pairs of responses"), "25") << "it goes on after a bad line";

  write("pairs.jsonl", dump_json({{"prompt", "q"},
                                  {"chosen", {"a"}},
                                  {"rejected", {"b", "c", "d"}},
                                  {"num_correct", 1},
                                  {"num_incorrect", 3},
                                  {"total_completions", 4},
                                  {"subset", "Math"},
                                  {"id", "1"}}) +
                           "\n");
  const Result several = run(check);
  EXPECT_EQ(several.code, 3);
  EXPECT_NE(several.output.find("more than two responses"), std::string::npos) << several.output << several.errors;
}

TEST_F(Preferences, AccuracyIsThatOfTheScores) {
  ASSERT_EQ(run("train-predictor predictor.yaml train.steps=2").code, 0);
  const Result result =
      run("evaluate evaluate.yaml pairs.attribute_weights.quality=0.5 pairs.attribute_weights.humor=-2");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_NE(result.output.find("highest 0.5 quality - 2 humor"), std::string::npos) << result.output;
  const Json pairs = parse_json(read("evaluation/evaluation.json"), "evaluation", ExitCode::data).at("pairs");
  const auto all = scores("pairs.jsonl");
  ASSERT_EQ(all.size(), 48u);
  double right = 0;
  for (size_t i = 0; i < all.size(); i += 2) {
    const auto reward = [](const std::map<std::string, double>& score) {
      return 0.5 * score.at("quality") - 2 * score.at("humor");
    };
    const bool first_is_better = i / 2 % 2 == 0;
    right += first_is_better == (reward(all[i]) > reward(all[i + 1]));
  }
  EXPECT_EQ(pairs.at("count"), 24);
  EXPECT_DOUBLE_EQ(pairs.at("accuracy").get<double>(), right / 24);
  EXPECT_LE(pairs.at("interval")[0].get<double>(), right / 24);
  EXPECT_GE(pairs.at("interval")[1].get<double>(), right / 24);
  EXPECT_EQ(pairs.at("attribute_weights"), (Json{{"quality", 0.5}, {"humor", -2.0}}));
  EXPECT_FALSE(pairs.contains("reward_bench"));
}

TEST_F(Preferences, RewardBenchHasItsOwnScores) {
  ASSERT_EQ(run("train-predictor predictor.yaml").code, 0);
  std::string lines, lists;
  const auto add = [&](const std::string& subset, const std::string& chosen, const std::string& rejected) {
    lines +=
        Json{{"prompt", "question 5"}, {"chosen", chosen}, {"rejected", rejected}, {"subset", subset}}.dump() + "\n";
  };
  for (int i = 0; i < 4; ++i) {
    add("hep-go", "yes " + std::to_string(i), "no no 5");
    add("math-prm", i < 3 ? "no no 5" : "yes 5", i < 3 ? "yes 5" : "no no 5");
  }
  add("donotanswer", "yes 5", "yes 5");  // the same score: wrong
  write("rb1.jsonl", lines);
  const auto row = [](const std::string& id, const std::string& subset, Json chosen, Json rejected) {
    const size_t right = chosen.size();
    return Json{{"id", id},
                {"prompt", "question 5"},
                {"chosen", std::move(chosen)},
                {"rejected", std::move(rejected)},
                {"num_correct", right},
                {"subset", subset}}
               .dump() +
           "\n";
  };
  lists = row("1", "Math", {"yes 5"}, {"no no 5", "no no 2", "no no 3"}) +
          row("2", "Math", {"yes 5"}, {"yes 5", "no no 2", "no no 3"}) +
          row("3", "Focus", {"no no 5"}, {"yes 5", "no no 1", "no no 2"}) +
          row("ref:0", "Ties", {"yes 5"}, {"no no 5"}) + row("tied:0", "Ties", {"yes 5", "yes 5"}, {"no no 5"});
  write("rb2.jsonl", lists);
  const Result result = run("evaluate evaluate.yaml pairs.sources=[rb1.jsonl,rb2.jsonl]");
  ASSERT_EQ(result.code, 0) << result.errors;
  const Json pairs = parse_json(read("evaluation/evaluation.json"), "evaluation", ExitCode::data).at("pairs");
  EXPECT_EQ(pairs.at("count"), 9);
  EXPECT_EQ(pairs.at("equal_scores"), 1);
  EXPECT_EQ(pairs.at("subsets").at("math-prm").at("accuracy"), 0.25);
  const Json& sections = pairs.at("reward_bench").at("sections");
  EXPECT_NEAR(sections.at("Reasoning").get<double>(), (984 * 0.25 + 164) / (984 + 164), 1e-12);
  EXPECT_EQ(sections.at("Safety"), 0.0);
  EXPECT_TRUE(sections.at("Chat").is_null());
  EXPECT_TRUE(pairs.at("reward_bench").at("score").is_null()) << "two sections are not there";
  const Json& second = pairs.at("reward_bench_2");
  EXPECT_EQ(second.at("subsets").at("Math").at("accuracy"), 0.75) << "a tie at the top of two counts a half";
  EXPECT_EQ(second.at("subsets").at("Focus").at("accuracy"), 0.0);
  // All accuracies 1; the right answers of the tied prompt have one score: the last term's ratio is infinite.
  EXPECT_NEAR(second.at("subsets").at("Ties").at("score").get<double>(), 1.01, 1e-12);
  EXPECT_NEAR(second.at("score").get<double>(), (0.75 + 0 + 1.01) / 3, 1e-12);
  for (const char* text : {"RewardBench 2", "mean of subsets", "Reasoning", "donotanswer"})
    EXPECT_NE(result.output.find(text), std::string::npos) << text << "\n" << result.output;
}

TEST_F(Preferences, WhatCannotBeComparedIsSaid) {
  ASSERT_EQ(run("train-predictor predictor.yaml train.steps=1").code, 0);
  expect_refused(run("evaluate evaluate.yaml pairs.attribute_weights.qualty=1"), 2, "did you mean 'quality'?");
  write("neither.jsonl", R"({"prompt":"a","response_1":"b","response_2":"c","preference_strength":0})");
  expect_refused(run("evaluate evaluate.yaml pairs.sources=neither.jsonl"), 3, "1 without a preference");
  expect_refused(run("evaluate evaluate.yaml pairs.sources=train.jsonl"), 3, "holds no preference between responses");
  expect_refused(run("train-predictor predictor.yaml run_dir=a data.train=train.jsonl"), 3, "holds no preference");
  expect_refused(run("train-predictor predictor.yaml run_dir=b data.train=neither.jsonl"), 3, "no pair of which one");
  expect_refused(run("crossvalidate predictor.yaml run_dir=d"), 2, "compares scores with labels");
  EXPECT_FALSE(exists("d"));
  write("empty.jsonl", "");
  expect_refused(run("evaluate evaluate.yaml pairs.sources=empty.jsonl"), 3, "the input is empty");
  write("ties.jsonl", R"({"id":"x","prompt":"a","chosen":["b"],"rejected":["c"],"subset":"Ties"})");
  for (const char* dry : {"", " --dry-run"})
    expect_refused(run(std::string("evaluate evaluate.yaml pairs.sources=ties.jsonl") + dry), 3,
                   "a row of the subset Ties");
  std::string words;
  for (int i = 0; i < 400; ++i) words += " word";
  write("long.jsonl", R"({"prompt":"a","response_1":"b","response_2":"c)" + words + R"(","preference_strength":1})" +
                          "\n" + lines_of(read("pairs.jsonl"))[0] + "\n");
  const Result result = run("evaluate evaluate.yaml pairs.sources=long.jsonl");
  expect_says(result, "1 lines of pairs have a response that is longer than the predictor's context");
  const Json pairs = parse_json(read("evaluation/evaluation.json"), "evaluation", ExitCode::data).at("pairs");
  EXPECT_EQ(pairs.at("count"), 1);
  EXPECT_EQ(pairs.at("too_long"), 1);
  expect_says(run("train-predictor predictor.yaml run_dir=c data.train=long.jsonl train.steps=1"),
              "1 dropped as too long");
}

}  // namespace
}  // namespace steerlm
