// A head on the mean over the scored turn: contracts.md sections 3, 4 and 6.
#include <gmock/gmock.h>

#include <cmath>

#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

using testing::HasSubstr;

class RidgePooling : public TrainingProgram {
 protected:
  void SetUp() override {
    TrainingProgram::SetUp();
    std::string lines;
    for (int i = 0; i < 40; ++i)
      lines += conversation("question " + std::to_string(i),
                            std::string(static_cast<size_t>(1 + i % 7), static_cast<char>('a' + i % 5)),
                            "quality:" + std::to_string(i % 5) + ",humor:" + std::to_string(i % 3));
    write("rated.jsonl", lines);
    write("mean.yaml",
          "stage: train-predictor\nmodel: {path: " + model_ +
              "}\nattributes: {names: [quality, humor], min: 0, max: 4}\nhead: {kind: ridge, pooling: mean}\n"
              "data: {train: rated.jsonl, max_tokens: 256}\nrun_dir: run\n");
  }

  Json json(const Path& name) const { return parse_json(read(name), name.string(), ExitCode::data); }
  // Scores of quality by `score` of the rated file, in its order.
  std::vector<double> scores(const std::string& model) {
    const Result result = run("score --model " + model + " --input rated.jsonl --output scores.jsonl --overwrite");
    EXPECT_EQ(result.code, 0) << result.errors;
    std::vector<double> values;
    for (const Json& line : json_lines(read("scores.jsonl"))) values.push_back(line["scores"]["quality"].get<double>());
    return values;
  }
};

TEST_F(RidgePooling, EveryReaderOfTheFolderTakesTheMean) {
  ASSERT_EQ(run("train-predictor mean.yaml data.validation_fraction=0.3").code, 0);
  EXPECT_EQ(json("run/model/steerlm.json")["head"],
            parse_json(R"({"kind": "regression", "bias": true, "pooling": "mean"})", "", ExitCode::data));
  EXPECT_THAT(read("run/model/README.md"), HasSubstr("would score the last token instead of the mean"));
  const Result info = run("model info --model run/model");
  EXPECT_EQ(parse_json(info.output, "", ExitCode::data)["head"]["pooling"], "mean");

  const std::vector<double> mean = scores("run/model");
  ASSERT_EQ(mean.size(), 40u);
  size_t held_out = 0;
  for (const Json& line : json_lines(read("run/validation.jsonl"))) {
    EXPECT_NEAR(line["scores"]["quality"].get<double>(), mean.at(line["line"].get<size_t>() - 1), 1e-5);
    ++held_out;
  }
  EXPECT_GT(held_out, 3u);

  write("annotate.yaml",
        "stage: annotate\npredictor: run/model\ninput: rated.jsonl\noutput: annotated.jsonl\nrun_dir: annotate\n");
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::vector<Json> annotated = json_lines(read("annotated.jsonl"));
  for (size_t i = 0; i < mean.size(); ++i)
    EXPECT_FLOAT_EQ(annotated.at(i)["conversations"][1]["scores"]["quality"].get<float>(), static_cast<float>(mean[i]));

  write("evaluate.yaml",
        "stage: evaluate\npredictor: run/model\ndata: {validation: rated.jsonl}\nrun_dir: evaluate\n"
        "pairs: {sources: pairs.jsonl, attribute_weights: {quality: 1}}\n");
  std::string pairs;  // of neighbours: the first is the better one
  int right = 0;
  double error = 0;
  for (size_t i = 0; i + 1 < mean.size(); i += 2) {
    const auto chat = [](size_t n) {
      return "\n\nHuman: question\n\nAssistant: " + std::string(1 + n % 7, static_cast<char>('a' + n % 5));
    };
    pairs += Json{{"chosen", chat(i)}, {"rejected", chat(i + 1)}}.dump() + "\n";
  }
  write("pairs.jsonl", pairs);
  std::string sides;
  for (const Json& line : json_lines(pairs)) {
    for (const char* side : {"chosen", "rejected"})
      sides += conversation("question",
                            line[side].get<std::string>().substr(line[side].get<std::string>().rfind(' ') + 1), "");
  }
  write("sides.jsonl", sides);
  ASSERT_EQ(run("score --model run/model --input sides.jsonl --output sides-scores.jsonl").code, 0);
  const std::vector<Json> side = json_lines(read("sides-scores.jsonl"));
  for (size_t i = 0; i + 1 < side.size(); i += 2)
    right += side[i]["scores"]["quality"].get<double>() > side[i + 1]["scores"]["quality"].get<double>();
  for (size_t i = 0; i < mean.size(); ++i) error += std::abs(mean[i] - static_cast<double>(i % 5)) / 40;
  const Result evaluated = run("evaluate evaluate.yaml");
  ASSERT_EQ(evaluated.code, 0) << evaluated.errors;
  const Json figures = json("evaluate/evaluation.json");
  EXPECT_NEAR(figures["predictor"]["quality"]["mae"].get<double>(), error, 1e-6);
  EXPECT_DOUBLE_EQ(figures["pairs"]["accuracy"].get<double>(), right / 20.0);

  // It is the key that says it, and a copy of the folder keeps it.
  ASSERT_EQ(run("model export --model run/model --output exported --dtype fp32").code, 0);
  EXPECT_EQ(scores("exported"), mean);
  Json own = json("exported/steerlm.json");
  own["head"].erase("pooling");
  write("exported/steerlm.json", own.dump());
  const std::vector<double> last = scores("exported");
  for (size_t i = 0; i < mean.size(); ++i) EXPECT_NE(last[i], mean[i]) << i;
}

TEST_F(RidgePooling, FeaturesOfBothPoolingsLieInOneFolder) {
  const std::string both = "train-predictor mean.yaml head.features=features";
  ASSERT_EQ(run(both).code, 0);
  const std::string mean = read("run/model/model.safetensors");
  const Result last = run(both + " head.pooling=last run_dir=last");
  ASSERT_EQ(last.code, 0) << last.errors;
  EXPECT_THAT(last.errors, HasSubstr("features: 0 of 40 sequences are in features"));
  EXPECT_NE(read("last/model/model.safetensors"), mean);
  EXPECT_FALSE(json("last/model/steerlm.json")["head"].contains("pooling"));
  const Result again = run(both + " run_dir=again");
  EXPECT_THAT(again.errors, HasSubstr("features: 40 of 40 sequences are in features"));
  EXPECT_EQ(read("again/model/model.safetensors"), mean);
  ASSERT_EQ(run("train-predictor mean.yaml head.pooling=last run_dir=apart").code, 0);
  EXPECT_EQ(read("apart/model/model.safetensors"), read("last/model/model.safetensors"));
  // An answer's features are the same ones whether it is trained on or held out.
  ASSERT_EQ(run("train-predictor mean.yaml data.validation_fraction=0.3 head.features=shared run_dir=split").code, 0);
  EXPECT_THAT(run("train-predictor mean.yaml head.features=shared run_dir=joined").errors,
              HasSubstr("features: 40 of 40 sequences are in shared"));
  // One is not the other's run.
  expect_refused(run("train-predictor mean.yaml head.pooling=last"), 2, "head.pooling");
}

TEST_F(RidgePooling, AStoppedRunGivesTheSameBits) {
  std::string lines;
  for (int i = 0; i < 100; ++i)
    lines += conversation("question " + std::to_string(i), "answer " + std::to_string(i * i),
                          "quality:" + std::to_string(i % 5) + ",humor:1");
  write("rated.jsonl", lines);
  EXPECT_EQ(run("train-predictor mean.yaml train.max_minutes=1e-9").code, 75);
  const Result on = run("train-predictor mean.yaml");
  ASSERT_EQ(on.code, 0) << on.errors;
  EXPECT_THAT(on.errors, HasSubstr("features: 64 of 100 sequences are in run/features"));
  ASSERT_EQ(run("train-predictor mean.yaml run_dir=whole").code, 0);
  EXPECT_EQ(read("run/model/model.safetensors"), read("whole/model/model.safetensors"));
}

TEST_F(RidgePooling, ATrainedHeadDoesNotStartFromIt) {
  ASSERT_EQ(run("train-predictor mean.yaml").code, 0);
  const std::string from =
      "train-predictor mean.yaml head.pooling=null model.path=run/model run_dir=tuned train.steps=1 ";
  expect_refused(run(from + "head.kind=regression"), 2, "reads the mean of hidden states over the scored turn");
  expect_refused(run(from + "head.kind=regression lora.rank=2"), 2, "head.kind: ridge may start from this one");
  write("pairs.jsonl", R"({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"})"
                       "\n");
  expect_refused(run(from + "head.kind=regression head.loss=scaled data.train=pairs.jsonl"), 2, "last");
  EXPECT_FALSE(exists("tuned/log.txt"));
  // Ridge solves a head of its own.
  const Result last = run("train-predictor mean.yaml head.pooling=last model.path=run/model run_dir=last");
  ASSERT_EQ(last.code, 0) << last.errors;
  ASSERT_EQ(run("train-predictor mean.yaml head.pooling=last run_dir=direct").code, 0);
  EXPECT_EQ(read("last/model/model.safetensors"), read("direct/model/model.safetensors"));
}

TEST_F(RidgePooling, ALanguageModelHasNone) {
  copy_model("untied", "model");
  write("model/steerlm.json",
        R"({"attributes": {"names": ["quality"], "min": 0, "max": 4}, "head": {"pooling": "mean"}})");
  expect_refused(run("generate --model model --prompt hi"), 4, "a language model has no head that reads a mean");
}

}  // namespace
}  // namespace steerlm
