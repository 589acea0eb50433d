// Dials that are judged by measures of the text, and the control with shuffled labels: contracts.md sections 4 and 5.
#include <cmath>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class MeasuredDials : public Program {
 protected:
  void SetUp() override {
    make_model("untied", "model", R"("verbosity", "complexity", "humor")");
    std::string prompts, train;
    for (int i = 0; i < 5; ++i) prompts += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
    for (int i = 0; i < 12; ++i) {
      std::string answer = "Yes.";
      for (int j = 0; j < i; ++j) answer += " Indeed it is.";
      train += conversation("question " + std::to_string(i), answer, "humor:" + std::to_string(i % 5));
    }
    write("prompts.jsonl", prompts);
    write("train.jsonl", train);
    write(
        "evaluate.yaml",
        "stage: evaluate\nmodel: {path: model}\ndata: {validation: [{path: train.jsonl}], max_tokens: 512}\n"
        "run_dir: run\ndials:\n  prompts: [{path: prompts.jsonl}]\n  attributes: [verbosity, humor]\n  levels: [4, 0]\n"
        "  sampling: {temperature: 1, max_new_tokens: 24}\n");
  }
};

const std::string measures = " dials.measures='{verbosity: characters, complexity: flesch_kincaid}'";

TEST_F(MeasuredDials, NeedNoPredictor) {
  const Result result = run("evaluate evaluate.yaml" + measures);
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_NE(result.output.find("verbosity (characters)"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("complexity (flesch_kincaid)"), std::string::npos) << result.output;
  const Json json = parse_json(read("run/evaluation.json"), "json", ExitCode::bug);
  const Json& dial = json.at("dials").at("verbosity");
  ASSERT_EQ(json.at("dials").size(), 2u) << "the dials that are swept";
  ASSERT_EQ(dial.at("levels").size(), 2u);
  EXPECT_EQ(dial.at("levels")[0].at("level"), 0);
  EXPECT_EQ(dial.at("levels")[1].at("level"), 4);
  // Every figure is that of the answers that were written.
  const std::vector<Json> answers = json_lines(read("run/answers.jsonl"));
  ASSERT_EQ(answers.size(), 20u);
  double sum = 0;
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(answers[i].at("dial"), "verbosity");
    EXPECT_EQ(answers[i].at("level"), 0);
    EXPECT_EQ(answers[i].at("scores").at("verbosity"), answers[i].at("figures").at("characters"));
    sum += answers[i].at("scores").at("verbosity").get<double>();
  }
  EXPECT_NEAR(dial.at("levels")[0].at("verbosity").get<double>(), sum / 5, 1e-9);
  const Json& interval = dial.at("levels")[0].at("own_interval");
  EXPECT_LE(interval[0].get<double>(), sum / 5);
  EXPECT_GE(interval[1].get<double>(), sum / 5);
  EXPECT_TRUE(dial.contains("own_slope_interval"));
  EXPECT_FALSE(dial.contains("steering_error")) << "nothing says which value is which level";
  EXPECT_EQ(json.at("measures").at("complexity").at("measure"), "flesch_kincaid");
  EXPECT_GT(json.at("measures").at("verbosity").at("spread").get<double>(), 0);
  EXPECT_TRUE(json.at("dials").at("humor").at("own_slope").is_null()) << "nothing measures humor";
}

TEST_F(MeasuredDials, WithEdgesLevelsAreComparedWithLevels) {
  ASSERT_EQ(
      run("data measure --input train.jsonl --output measured.jsonl --max 4 --write-edges edges.json --attributes "
          "verbosity:characters,complexity:flesch_kincaid")
          .code,
      0);
  const Result result = run("evaluate evaluate.yaml dials.edges=edges.json");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_NE(read("run/evaluation.txt").find("steering error"), std::string::npos);
  const Json json = parse_json(read("run/evaluation.json"), "json", ExitCode::bug);
  const Json edges =
      parse_json(read("edges.json"), "edges", ExitCode::bug).at("attributes").at("verbosity").at("edges");
  double error = 0;
  for (const Json& answer : json_lines(read("run/answers.jsonl"))) {
    if (answer.at("dial") != "verbosity") continue;
    int level = 0;
    for (const Json& edge : edges) level += edge.get<double>() < answer.at("scores").at("verbosity").get<double>();
    error += std::abs(level - answer.at("level").get<int>());
  }
  EXPECT_NEAR(json.at("dials").at("verbosity").at("steering_error").get<double>(), error / 10, 1e-9);
  const Json environment = parse_json(read("run/environment.json"), "json", ExitCode::bug);
  EXPECT_NE(environment.dump().find("edges.json"), std::string::npos) << "it is an input of the run";
}

TEST_F(MeasuredDials, WhatDoesNotFitTheModelIsRefused) {
  expect_refused(run("evaluate evaluate.yaml dials.measures='{verbositi: words}'"), 2, "did you mean 'verbosity'?");
  expect_refused(run("evaluate evaluate.yaml dials.levels='[0, 5]'" + measures), 2, "an integer from 0 to 4");
  expect_refused(run("evaluate evaluate.yaml dials.levels='[0, 0]'" + measures), 2, "named twice");
  expect_refused(run("evaluate evaluate.yaml dials.edges=none.json"), 3, "none.json");
  write("edges.json", R"({"min": 0, "max": 2, "attributes": {"verbosity": {"measure": "words", "edges": [1, 2]}}})");
  expect_refused(run("evaluate evaluate.yaml dials.edges=edges.json"), 2, "found 0 to 2, expected 0 to 4");
}

// The control is the same texts and the same labels, in places that the seed decides.
TEST_F(MeasuredDials, ShuffledLabelsAreAControl) {
  write("sft.yaml",
        "stage: sft\nmodel: {path: model}\nattributes: {names: [verbosity, complexity, humor], min: 0, max: 4}\n"
        "data: {train: [{path: train.jsonl}], max_tokens: 512}\noptimizer: {learning_rate: 1e-3}\n"
        "train: {steps: 2, batch_size: 12}\n");
  const auto weights = [&](const std::string& name, const std::string& overrides) {
    const Result result = run("sft sft.yaml run_dir=" + name + overrides);
    EXPECT_EQ(result.code, 0) << result.errors;
    return read(name + "/model/model.safetensors");
  };
  const std::string shuffle = " data.train='[{path: train.jsonl, labels: shuffle}]'";
  const std::string shuffled = weights("shuffled", shuffle);
  EXPECT_EQ(weights("again", shuffle), shuffled);
  EXPECT_NE(weights("kept", ""), shuffled);
  EXPECT_NE(weights("seed", shuffle + " seed=5 data.shuffle=false"), weights("order", shuffle + " data.shuffle=false"));
  expect_refused(run("sft sft.yaml run_dir=stream data.train='[{path: \"-\", labels: shuffle}]'"), 2,
                 "reads its source twice");
}

}  // namespace
}  // namespace steerlm
