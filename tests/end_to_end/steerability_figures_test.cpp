// What `evaluate` says of a dial sweep beside its slopes, computed again from its answers: contracts.md section 4.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

using testing::HasSubstr;

class SteerabilityFiguresTest : public Program {
 protected:
  void SetUp() override {
    make_model("untied", "model", R"("verbosity", "complexity", "humor")");
    copy_model("tied", "other");
    std::string prompts, train;
    for (int i = 0; i < 4; ++i) prompts += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
    for (int i = 0; i < 12; ++i) {
      std::string answer = "Yes.";
      for (int j = 0; j < i; ++j) answer += " Indeed it is so.";
      train += conversation("question " + std::to_string(i), answer, "humor:" + std::to_string(i % 5));
    }
    write("prompts.jsonl", prompts);
    write("train.jsonl", train);
    write("evaluate.yaml",
          "stage: evaluate\nmodel: {path: model}\ndata: {validation: [{path: train.jsonl}], max_tokens: 512}\n"
          "run_dir: run\ndials:\n  prompts: [{path: prompts.jsonl}]\n  attributes: [verbosity, humor]\n"
          "  levels: [0, 4]\n  samples_per_prompt: 2\n  edges: edges.json\n"
          "  sampling: {temperature: 1, max_new_tokens: 24}\n");
    ASSERT_EQ(
        run("data measure --input train.jsonl --output measured.jsonl --max 4 --write-edges edges.json --attributes "
            "verbosity:characters,complexity:type_token_ratio")
            .code,
        0);
  }
  Json json(const Path& name) const { return parse_json(read(name), name.string(), ExitCode::bug); }

  // The level that the edges give a value.
  static double scaled(const Json& edges, const Json& value) {
    if (value.is_null()) return NAN;
    double level = 0;
    for (const Json& edge : edges)
      level += static_cast<float>(value.get<double>()) > static_cast<float>(edge.get<double>()) ? 1 : 0;
    return level / 4;
  }
};

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

TEST_F(SteerabilityFiguresTest, AreThoseOfTheAnswers) {
  const Result result = run("evaluate evaluate.yaml");
  ASSERT_EQ(result.code, 0) << result.errors;
  const Json evaluation = json("run/evaluation.json"), edges = json("edges.json");
  const Json& figures = evaluation.at("steerability");
  const std::vector<Json> answers = json_lines(read("run/answers.jsonl"));
  ASSERT_EQ(answers.size(), 2u * 2 * 4 * 2);

  for (const auto& [dial, row] : figures.at("matrix").items()) {
    for (const auto& [measure, cell] : row.items()) {
      const Json& slope = evaluation["dials"][dial]["slope"][measure];
      EXPECT_NEAR(cell.at("effect").get<double>(), 4 * slope.get<double>(), 1e-9) << dial << " " << measure;
      EXPECT_LE(cell.at("interval")[0].get<double>(), cell.at("interval")[1].get<double>());
    }
    EXPECT_EQ(row.size(), 5u) << "two attributes and three figures";
    const double spread = evaluation["measures"]["verbosity"]["spread"].get<double>();
    EXPECT_NEAR(row["verbosity"]["effect_in_spreads"].get<double>(), row["verbosity"]["effect"].get<double>() / spread,
                1e-9);
  }
  EXPECT_NEAR(figures["matrix"]["verbosity"]["verbosity"]["interval"][0].get<double>(),
              4 * evaluation["dials"]["verbosity"]["own_slope_interval"][0].get<double>(), 1e-9);

  // Spread: of the mean of each prompt's two answers, over four prompts.
  for (const Json& level : figures.at("levels").at("verbosity")) {
    std::vector<double> means;
    std::map<std::string, int> texts;
    std::string before;
    for (const Json& answer : answers) {
      if (answer["dial"] != "verbosity" || answer["level"] != level["level"]) continue;
      const double value = answer["scores"]["verbosity"].get<double>() / 2;
      if (answer["prompt"] == before)
        means.back() += value;
      else
        means.push_back(value);
      before = answer["prompt"].get<std::string>();
      ++texts[answer["response"].get<std::string>()];
    }
    ASSERT_EQ(means.size(), 4u);
    double middle = 0, squares = 0, repeated = 0;
    for (const double value : means) middle += value / 4;
    for (const double value : means) squares += (value - middle) * (value - middle);
    for (const auto& [text, times] : texts) repeated += times > 1 ? times : 0;
    EXPECT_NEAR(level.at("spread").at("verbosity").get<double>(), std::sqrt(squares / 3), 1e-9);
    EXPECT_NEAR(level.at("repeated").get<double>(), repeated / 8, 1e-12);
    EXPECT_EQ(level.at("answers"), 8);
    EXPECT_GT(level.at("distinct_2").get<double>(), 0);
    EXPECT_LE(level.at("distinct_1").get<double>(), 1);
    EXPECT_FALSE(level.contains("perplexity"));
  }

  // SteerBench: verbosity at 4 from the same prompt and sample at 0, where all dials are at their defaults.
  std::vector<double> errors, miscalibrations;
  for (size_t i = 8; i < 16; ++i) {
    const Json &source = answers[i - 8], &reached = answers[i];
    ASSERT_EQ(reached["dial"], "verbosity");
    ASSERT_EQ(reached["level"], 4);
    ASSERT_EQ(source["prompt"], reached["prompt"]);
    ASSERT_EQ(source["sample"], reached["sample"]);
    const auto at = [&](const Json& answer, const char* name) {
      return scaled(edges["attributes"][name]["edges"], answer["scores"][name]);
    };
    const double x0 = at(source, "verbosity"), x = at(reached, "verbosity");
    const double y0 = at(source, "complexity"), y = at(reached, "complexity");
    if (std::isnan(x0 + x + y0 + y)) continue;
    errors.push_back(std::hypot(x - 1, y - y0));
    if (x0 != 1) miscalibrations.push_back(std::abs(1 - x) / std::abs(1 - x0));
  }
  const Json& steering = figures.at("steering").at("dials").at("verbosity");
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(steering.at("requests"), errors.size());
  EXPECT_NEAR(steering.at("error").at("median").get<double>(), median_of(errors), 1e-9);
  EXPECT_NEAR(steering.at("miscalibration").at("median").get<double>(), median_of(miscalibrations), 1e-9);
  EXPECT_EQ(steering.at("error").at("requests"), errors.size());
  EXPECT_EQ(steering.at("miscalibration").at("requests"), miscalibrations.size());
  EXPECT_EQ(steering.at("side_effect").at("requests"), miscalibrations.size()) << "also of what did not move";
  EXPECT_EQ(figures["steering"]["dials"]["humor"]["requests"], 0) << "nothing measures humor";
  EXPECT_EQ(figures["steering"]["requests"], errors.size());
  EXPECT_EQ(figures["steering"]["attributes"], (Json{"verbosity", "complexity"}));
  const std::string tables = read("run/evaluation.txt");
  EXPECT_THAT(tables, HasSubstr("steerability matrix"));
  EXPECT_THAT(tables, HasSubstr("distinct-1"));
  EXPECT_THAT(tables, HasSubstr("miscalibration"));
}

// Each judge's values are scaled by its own range, 1 to 5 of this predictor and 0 to 4 of the toy oracle, and clamped.
TEST_F(SteerabilityFiguresTest, AJudgesValuesAreScaledByItsOwnRange) {
  copy_model("classifier", "predictor");
  write("predictor/steerlm.json", R"({"attributes": {"names": ["quality", "humor", "toxicity"], "min": 1, "max": 5},
                                      "template": {"system": "Be good."}, "head": {"kind": "regression"}})");
  copy_model("untied", "steered");
  write("steered/steerlm.json",
        R"({"attributes": {"names": ["quality", "toxicity", "humor", "creativity", "complexity", "verbosity"],
                           "min": 0, "max": 4, "defaults": {"humor": 3}}, "template": {"system": "Be good."}})");
  write("unlabelled.jsonl", conversation("hi", "hello"));
  write("judged.yaml",
        "stage: evaluate\nmodel: {path: steered}\ndata: {validation: [{path: unlabelled.jsonl}], max_tokens: 512}\n"
        "dials:\n  prompts: [{path: prompts.jsonl}]\n  attributes: [humor]\n  levels: [0, 3]\n"
        "  sampling: {temperature: 1, max_new_tokens: 24}\n");
  for (const auto& [judge, min] : {std::pair{std::string("predictor"), 1.0}, std::pair{std::string("toy"), 0.0}}) {
    const Result result = run("evaluate judged.yaml dials.judge=" + judge + " run_dir=by-" + judge +
                              (judge == "predictor" ? " predictor=predictor" : ""));
    ASSERT_EQ(result.code, 0) << result.errors;
    const std::vector<Json> answers = json_lines(read("by-" + judge + "/answers.jsonl"));
    ASSERT_EQ(answers.size(), 8u);
    std::vector<double> errors;
    for (size_t i = 0; i < 4; ++i) {  // the dial at 0, from the answers at 3, its default
      double squares = 0;
      for (const auto& [name, value] : answers[i]["scores"].items()) {
        const auto place = [&](const Json& v) { return std::clamp((v.get<double>() - min) / 4, 0.0, 1.0); };
        const double goal = name == "humor" ? 0 : place(answers[i + 4]["scores"][name]);
        squares += (place(value) - goal) * (place(value) - goal);
      }
      errors.push_back(std::sqrt(squares));
    }
    const Json steering = json("by-" + judge + "/evaluation.json").at("steerability").at("steering");
    EXPECT_EQ(steering.at("requests"), 4) << judge;
    EXPECT_NEAR(steering.at("error").at("median").get<double>(), median_of(errors), 1e-9) << judge;
  }
}

TEST_F(SteerabilityFiguresTest, WithoutAnAnswerAtTheDefaultsThereAreNoSteeringErrors) {
  const Result result = run("evaluate evaluate.yaml dials.levels='[1, 4]'");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(read("run/evaluation.txt"), HasSubstr("no steering errors"));
  const Json steering = json("run/evaluation.json").at("steerability").at("steering");
  EXPECT_EQ(steering.at("requests"), 0);
  EXPECT_TRUE(steering.at("error").at("median").is_null());
}

TEST_F(SteerabilityFiguresTest, ThePerplexityIsThatOfTheNamedModel) {
  const Result result = run("evaluate evaluate.yaml dials.perplexity_model=other");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("other with the template plain"));
  const Json figures = json("run/evaluation.json").at("steerability");
  EXPECT_EQ(figures.at("perplexity_model"), (Json{{"path", "other"}, {"template", "plain"}}));
  for (const char* dial : {"verbosity", "humor"}) {
    for (const Json& level : figures.at("levels").at(dial)) {
      const double loss = level.at("negative_log_likelihood").get<double>();
      EXPECT_NEAR(level.at("perplexity").get<double>(), std::exp(loss), 1e-9 * std::exp(loss));
      EXPECT_GT(loss, 1) << "a model made at random";
      EXPECT_GT(level.at("tokens").get<int>(), 8);
      EXPECT_EQ(level.at("too_long"), 0);
    }
  }
  EXPECT_THAT(read("run/evaluation.txt"), HasSubstr("nats a token"));
  EXPECT_THAT(json("run/environment.json").dump(), HasSubstr("other")) << "it is an input of the run";
  // Another one gives other numbers, and the same sweep.
  copy_model("untied", "named");
  write("named/steerlm.json", R"({"attributes": {"names": ["quality"], "min": 0, "max": 4},
                                   "template": {"name": "steerlm", "system": "Be good."}})");
  ASSERT_EQ(run("evaluate evaluate.yaml run_dir=again dials.perplexity_model=named").code, 0);
  const Json again = json("again/evaluation.json").at("steerability");
  EXPECT_EQ(again.at("perplexity_model").at("template"), "steerlm");
  EXPECT_NE(again["levels"]["humor"][0]["perplexity"], figures["levels"]["humor"][0]["perplexity"]);
  EXPECT_EQ(again["matrix"], figures["matrix"]);
  EXPECT_EQ(read("again/answers.jsonl"), read("run/answers.jsonl"));
}

TEST_F(SteerabilityFiguresTest, AnUnusableModelOfThePerplexityIsRefusedBeforeAnythingIsSampled) {
  copy_model("classifier", "predictor");
  copy_model("tied", "short");
  Json config = json("short/config.json");
  config["max_position_embeddings"] = 4;
  write("short/config.json", config.dump());
  for (const auto& [name, code, message] :
       std::vector<std::tuple<std::string, int, std::string>>{{"short", 3, "no prompt fits into the context"},
                                                              {"none", 4, "none"},
                                                              {"predictor", 4, "is a predictor with a regression head"},
                                                              {"''", 2, "dials.perplexity_model"}}) {
    const Result result = run("evaluate evaluate.yaml dials.perplexity_model=" + name);
    expect_refused(result, code, message);
    EXPECT_THAT(result.errors, testing::Not(HasSubstr("dial sweep"))) << name;
    EXPECT_FALSE(exists("run/answers.jsonl")) << name;
  }
  expect_refused(run("evaluate evaluate.yaml dials.perplexity_model=none --dry-run"), 4, "none");
  const Result planned = run("evaluate evaluate.yaml dials.perplexity_model=other --dry-run");
  EXPECT_EQ(planned.code, 0) << planned.errors;
  EXPECT_THAT(planned.errors, HasSubstr("perplexity of the responses under other"));
}

}  // namespace
}  // namespace steerlm
