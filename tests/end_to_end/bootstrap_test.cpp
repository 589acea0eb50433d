// The stages that sample, bootstrap and evaluate: contracts.md sections 2 and 4.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "end_to_end/generation_program.h"
#include "steerlm/toy/oracle.h"

namespace steerlm {
namespace {

class Bootstrap : public Generation {
 protected:
  void SetUp() override {
    Generation::SetUp();
    declare_attributes("model", R"("quality", "humor", "length")");  // the predictor's
    write("labelled.jsonl", conversation("a", "b", "quality:3,humor:1,length:0") +
                                conversation("c", "d", "quality:2,humor:4,length:0") +
                                conversation("e", "f", "quality:3,humor:0,length:2"));
    write("bootstrap.yaml",
          "stage: bootstrap\npolicy: model\npredictor: predictor\nprompts: [{path: prompts.jsonl}]\nlabels_from: "
          "labelled.jsonl\n"
          "select: {quality: max}\nsamples_per_prompt: 3\nsampling: {max_new_tokens: 40}\noptimizer: {learning_rate: "
          "1e-3}\n"
          "train: {steps: 2, batch_size: 4}\nrun_dir: run\n");
  }

  void write_evaluation(const std::string& prompts, const std::string& dial, const std::string& judge) {
    write("evaluate.yaml",
          "stage: evaluate\nmodel: {path: model}\npredictor: predictor\n"
          "data: {validation: [{path: labelled.jsonl}], max_tokens: 256}\n"
          "dials: {prompts: [{path: " +
              prompts + "}], max_prompts: 2, attributes: [" + dial +
              "], sampling: {temperature: 0.7, top_k: 0, max_new_tokens: 8}, judge: " + judge + "}\nrun_dir: run\n");
  }
};

TEST_F(Bootstrap, SamplesAnnotatesAndTrains) {
  const Result result = run("bootstrap bootstrap.yaml");
  expect_says(result, "the largest quality that occurs in labelled.jsonl is 3, the range goes to 4");
  expect_says(result, "2 distinct labels to draw from, 6 prompts, 3 samples each");
  for (const char* folder : {"run/sample", "run/annotate", "run/sft"})
    EXPECT_TRUE(exists(Path(folder) / "recipe.yaml")) << folder;
  const std::vector<Json> sampled = json_lines(read("run/sampled.jsonl")),
                          annotated = json_lines(read("run/annotated.jsonl"));
  ASSERT_GT(sampled.size(), 6u);
  ASSERT_EQ(annotated.size(), sampled.size());
  std::set<std::string> requested;
  for (size_t i = 0; i < sampled.size(); ++i) {
    requested.insert(sampled[i].at("requested_label").get<std::string>());
    EXPECT_TRUE(sampled[i].at("conversations")[1].at("label").is_null())
        << "the label that was asked for is thrown away";
    EXPECT_EQ(annotated[i].at("conversations")[1].at("value"), sampled[i].at("conversations")[1].at("value"));
    EXPECT_TRUE(annotated[i].at("conversations")[1].at("label").is_string());
  }
  EXPECT_EQ(requested, (std::set<std::string>{"quality:3,humor:0,length:2", "quality:3,humor:1,length:0"}))
      << "the two labels with the largest quality, both drawn in so many samples";
  EXPECT_EQ(read("run/model/model.safetensors"), read("run/sft/model/model.safetensors"));
  EXPECT_NE(read("run/model/model.safetensors"), read("model/model.safetensors"));
  const auto before = contents();
  expect_says(run("bootstrap bootstrap.yaml"), "finished already");
  EXPECT_EQ(changes_since(before), "");
}

TEST_F(Bootstrap, APromptLongerThanThePolicysContextIsLeftOutAndCounted) {
  write("prompts.jsonl", R"({"prompt": ")" + std::string(1200, 'x') + "\"}\n" + read("prompts.jsonl"));
  const Result result = run("bootstrap bootstrap.yaml");
  expect_says(result, "7 prompts, 3 samples each");
  expect_says(result, "3 responses were not sampled: their prompts are longer than the policy's context");
  EXPECT_EQ(parse_json(read("run/sample/done.json"), "done.json", ExitCode::data).at("too_long"), 3);
}

TEST_F(Bootstrap, StoppedAndKilledItGivesTheBytesOfAnUndisturbedRun) {
  ASSERT_EQ(run("bootstrap bootstrap.yaml").code, 0);
  const std::string again = "bootstrap bootstrap.yaml run_dir=again";
  const Result stopped = run_until(again, SIGTERM, [&] { return exists("again/sample/recipe.yaml"); });
  EXPECT_EQ(stopped.code, 75) << stopped.errors;
  EXPECT_EQ(run_until(again, SIGKILL, [&] { return exists("again/annotate/recipe.yaml"); }).code, 137);
  EXPECT_EQ(run_until(again, SIGKILL, [&] { return exists("again/sft/metrics.jsonl"); }).code, 137);
  ASSERT_EQ(run(again).code, 0);
  for (const char* file : {"sampled.jsonl", "annotated.jsonl", "model/model.safetensors", "model/steerlm.json"}) {
    EXPECT_EQ(read(Path("again") / file), read(Path("run") / file)) << file;
  }
}

TEST_F(Bootstrap, WhatCannotBeSelectedIsRefused) {
  expect_refused(run("bootstrap bootstrap.yaml select.quality=1"), 3, "no label of labelled.jsonl has quality 1");
  expect_refused(run("bootstrap bootstrap.yaml run_dir=range select.quality=9"), 2, "found 9, expected 0 to 4, or max");
  expect_refused(run("bootstrap bootstrap.yaml run_dir=name select.qualty=1"), 2, "did you mean 'quality'?");
  expect_refused(
      run("bootstrap bootstrap.yaml run_dir=short sampling.max_new_tokens=1 max_prompts=1 samples_per_prompt=1"), 3,
      "max_new_tokens");
  // contracts.md section 6: the folders' attributes hold.
  expect_refused(run("bootstrap bootstrap.yaml run_dir=names attributes.names=[quality]"), 2,
                 "the recipe contradicts the model folder");
  EXPECT_FALSE(exists("names/sampled.jsonl"));
  expect_refused(run("bootstrap bootstrap.yaml run_dir=names attributes.names=[quality] --dry-run"), 2,
                 "expected quality, humor, length, as its steerlm.json says");
  EXPECT_FALSE(exists("run/model"));
}

// What annotation and fine-tuning will read, before hours of sampling; what is mended then goes on without --fresh.
TEST_F(Bootstrap, WhatWouldEndFineTuningIsFoundBeforeAnythingIsSampled) {
  write("broken.jsonl", conversation("a", "b", "quality:9,humor:1,length:0"));
  write("unanswered.jsonl", R"({"conversations": [{"from": "User", "value": "question"}]})"
                            "\n");
  write("long.jsonl", conversation(std::string(1200, 'x'), "answer", "quality:3"));
  copy_model("untied", "bare");
  std::filesystem::remove(path("bare/model.safetensors"));
  copy_model("classifier", "words");
  std::filesystem::remove(path("words/tokenizer.model"));
  write("words/steerlm.json", read("predictor/steerlm.json"));
  copy_model("untied", "numbers");
  write("numbers/steerlm.json", R"({"attributes": {"names": ["quality", "humor", "length"], "min": 0, "max": 12}})");
  write("adapter.yaml",
        "stage: sft\nmodel: model\ndata: {train: labelled.jsonl, max_tokens: 256}\nrun_dir: adapter\n"
        "train: {steps: 1, batch_size: 4}\nlora: {rank: 4, alpha: 8, targets: [q_proj]}\n");
  ASSERT_EQ(run("sft adapter.yaml").code, 0) << read("err.txt");
  struct Fault {
    const char* arguments;
    int code;
    const char* message;
  };
  const Fault faults[] = {
      {"data.validation=broken.jsonl", 3, "broken.jsonl:1"},
      {"data.validation=unanswered.jsonl", 3, "unanswered.jsonl:1"},
      {"data.validation=long.jsonl data.over_length=error", 3, "long.jsonl:1"},
      {"data.validation=none.jsonl", 3, "none.jsonl"},
      {"mix_original=true data.train=broken.jsonl", 3, "broken.jsonl:1"},
      {"data.validation=long.jsonl checkpoint.keep_best.metric=validation/loss", 2, "the validation part is empty"},
      {"data.validation_fraction=1e-9 checkpoint.keep_best.metric=validation/loss", 2, "the validation part is empty"},
      {"data.validation_fraction=0.999999999", 3, "the answers to all prompts are held out"},
      {"start_from=base model.path=bare", 4, "bare"},
      {"predictor=words", 4, "words"},
      {"predictor=numbers", 4, "the tokenizer does not tell all values of an attribute apart"},
      {"policy=adapter/model lora='{rank: 2, alpha: 8, targets: [q_proj]}'", 2, "another adapter than the one in"}};
  for (const auto& [arguments, code, message] : faults) {
    for (const std::string option : {" --dry-run ", " "}) {
      expect_refused(run("bootstrap bootstrap.yaml" + option + arguments), code, message);
      EXPECT_FALSE(exists("run/sample")) << arguments;
    }
  }
  expect_says(run("bootstrap bootstrap.yaml --dry-run on_bad_record=quarantine data.validation=broken.jsonl"),
              "1 bad records");
  EXPECT_EQ(run("bootstrap bootstrap.yaml data.validation=labelled.jsonl").code, 0) << read("err.txt");
}

// No look is taken at what can be read once.
TEST_F(Bootstrap, PromptsOfStandardInputAreReadOnce) {
  ASSERT_EQ(run("bootstrap bootstrap.yaml").code, 0);
  ASSERT_EQ(run("bootstrap bootstrap.yaml run_dir=piped prompts=- <prompts.jsonl").code, 0) << read("err.txt");
  EXPECT_EQ(read("piped/model/model.safetensors"), read("run/model/model.safetensors"));
}

// The advice of the refusal, followed.
TEST_F(Bootstrap, WhatWasSampledCanBeTrainedOnWhenTheTrainingChanges) {
  ASSERT_EQ(run("bootstrap bootstrap.yaml").code, 0);
  const Result other = run("bootstrap bootstrap.yaml data.validation=labelled.jsonl");
  expect_refused(other, 2, "an sft recipe with another run_dir can train on them, data.train: run/annotated.jsonl");
  write("sft.yaml",
        "stage: sft\nmodel: model\ndata: {train: run/annotated.jsonl, validation: labelled.jsonl}\nrun_dir: tuned\n"
        "optimizer: {learning_rate: 1e-3}\ntrain: {steps: 2, batch_size: 4}\n");
  ASSERT_EQ(run("sft sft.yaml").code, 0) << read("err.txt");
  EXPECT_EQ(read("tuned/model/model.safetensors"), read("run/model/model.safetensors"));
}

// Of labels below -1 alone, too.
TEST_F(Bootstrap, TheLargestValueThatOccursMayBeNegative) {
  for (const std::string model : {"model", "predictor"})
    write(model + "/steerlm.json", R"({"attributes": {"names": ["quality", "humor", "length"], "min": -4, "max": 4},
                                       "template": {"system": "Be good."}})");
  write("labelled.jsonl", conversation("a", "b", "quality:-3,humor:1") + conversation("c", "d", "quality:-2,humor:4") +
                              conversation("e", "f", "quality:-2,humor:0"));
  const Result result = run("bootstrap bootstrap.yaml --dry-run");
  expect_says(result, "the largest quality that occurs in labelled.jsonl is -2, the range goes to 4");
  expect_says(result, "at 2 distinct labels");
  expect_refused(run("bootstrap bootstrap.yaml select='{length: max}' --dry-run"), 3,
                 "no label of labelled.jsonl names length");
}

TEST_F(Bootstrap, EvaluationWritesItsTablesOnce) {
  write_evaluation("prompts.jsonl", "humor", "predictor");
  const Result result = run("evaluate evaluate.yaml");
  ASSERT_EQ(result.code, 0) << result.errors;
  for (const char* part : {"predictor: ", "perplexity: ", "dial sweep: "})
    EXPECT_THAT(result.errors, testing::ContainsRegex(std::string(part) + "[0-9.,]* conversations/s, .* tokens/s"));
  // The tables of predictor, perplexity and dials are printed, those that say more of the dials are in the file.
  const std::string all = read("run/evaluation.txt");
  const size_t details = all.find("\nin detail\n\n");
  ASSERT_NE(details, std::string::npos) << all;
  EXPECT_EQ(result.output, all.substr(0, details) + "\nmore tables are in run/evaluation.txt\n\n");
  for (const char* table : {"predictor predictor\n", "always predicts the mean label of these records",
                            "validation/perplexity", "dials, judged by predictor"})
    EXPECT_NE(result.output.find(table), std::string::npos) << table;
  for (const char* table : {"steerability matrix", "distinct-1", "steering error"}) {
    EXPECT_GT(all.find(table), details) << table;
    EXPECT_NE(all.find(table), std::string::npos) << table;
  }
  const Json json = parse_json(read("run/evaluation.json"), "evaluation.json", ExitCode::data);
  EXPECT_EQ(json.at("predictor").at("quality").at("count"), 3);
  EXPECT_EQ(json.at("responses"), 10) << "five levels, two prompts";
  EXPECT_GT(json.at("validation/loss").get<double>(), 0);
  EXPECT_EQ(json.at("dials").size(), 1u);
  const Result again = run("evaluate evaluate.yaml");
  expect_says(again, "finished already");
  EXPECT_EQ(again.output, result.output);
  expect_refused(run("evaluate evaluate.yaml run_dir=other dials.attributes='[humour]'"), 2, "did you mean 'humor'?");
  const Result dry = run("evaluate evaluate.yaml run_dir=dry --dry-run");
  expect_says(dry, "would predict the labels of 3 records with predictor");
  expect_says(dry, "would sample 10 responses of at most 8 tokens to 2 prompts");
  expect_refused(run("evaluate evaluate.yaml run_dir=dry --dry-run dials.prompts[0].path=none.jsonl"), 3, "none.jsonl");
  EXPECT_FALSE(exists("dry"));
  // A share of a slope that may be nothing is no figure.
  const Json& dial = json.at("dials").at("humor");
  EXPECT_LT(dial.at("own_slope_interval").at(0).get<double>(), 0) << "the fixture's model is untrained";
  EXPECT_GT(dial.at("own_slope_interval").at(1).get<double>(), 0);
  EXPECT_TRUE(dial.at("side_share").is_number());
  EXPECT_NE(result.output.find("–\n"), std::string::npos) << result.output;
}

// contracts.md section 4: the texts of a sweep are kept, and the table can be computed from them.
TEST_F(Bootstrap, EvaluationKeepsTheAnswersOfASweep) {
  write("prompts.jsonl", R"({"id": 7, "prompt": "question"})"
                         "\n"
                         R"({"turns": ["a", "b", "and now"], "kept": 1.50})"
                         "\n");
  write_evaluation("prompts.jsonl", "humor", "predictor");
  ASSERT_EQ(run("evaluate evaluate.yaml dials.samples_per_prompt=2").code, 0);
  const std::vector<Json> answers = json_lines(read("run/answers.jsonl"));
  ASSERT_EQ(answers.size(), 20u) << "five levels, two prompts, two samples";
  const Json evaluation = parse_json(read("run/evaluation.json"), "evaluation.json", ExitCode::data);
  EXPECT_EQ(evaluation.at("responses"), 20);
  EXPECT_EQ(evaluation.at("unjudged"), 0);
  const Json& dial = evaluation.at("dials").at("humor");
  std::map<std::string, double> total;
  for (size_t i = 0; i < answers.size(); ++i) {
    const Json& answer = answers[i];
    const int level = static_cast<int>(i / 4);
    EXPECT_EQ(answer.at("dial"), "humor");
    EXPECT_EQ(answer.at("level"), level);
    EXPECT_EQ(answer.at("sample"), i % 2);
    EXPECT_EQ(answer.at("label"), "quality:0,humor:" + std::to_string(level) + ",length:0");
    EXPECT_EQ(answer.at("prompt"), i % 4 < 2 ? "question" : "and now");
    EXPECT_EQ(dump_json(i % 4 < 2 ? answer.at("id") : answer.at("kept")), i % 4 < 2 ? "7" : "1.5");
    EXPECT_EQ(answer.at("scores").size(), 3u);
    const std::string response = answer.at("response").get<std::string>();
    EXPECT_EQ(answer.at("figures").at("characters"),
              std::ranges::count_if(response, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
    EXPECT_EQ(answer.at("figures").at("grade").is_null(), answer.at("figures").at("words") == 0) << response;
    total["humor " + std::to_string(level)] += answer.at("scores").at("humor").get<double>() / 4;
    total["words " + std::to_string(level)] += answer.at("figures").at("words").get<double>() / 4;
  }
  for (const Json& level : dial.at("levels")) {
    for (const std::string name : {"humor", "words"})
      EXPECT_NEAR(level.at(name).get<double>(), total[name + " " + level.at("level").dump()], 1e-9) << name;
  }
  // The answers are those of `generate` with the same seed.
  const Result generated = run(
      "generate --model model --input prompts.jsonl --set humor=4 --samples 2 --max-new-tokens 8 --temperature 0.7");
  const std::vector<Json> lines = json_lines(generated.output);
  ASSERT_EQ(lines.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(answers[16 + i].at("response"), lines[i].at("response"));
  // Two other attributes are measured: the share is their mean effect over the dial's own, and characters are in none.
  const double own = dial.at("slope").at("humor").get<double>();
  const double others =
      (std::abs(dial.at("slope").at("quality").get<double>()) + std::abs(dial.at("slope").at("length").get<double>())) /
      2;
  EXPECT_NEAR(dial.at("side_share").get<double>(), others / std::abs(own), 1e-9);
}

TEST_F(Bootstrap, AnEvaluationOfNothingIsRefused) {
  write("empty.jsonl", "\n");
  write_evaluation("empty.jsonl", "humor", "predictor");
  expect_refused(run("evaluate evaluate.yaml"), 3, "no prompt");
  write_evaluation("prompts.jsonl", "humor", "predictor");
  expect_refused(run("evaluate evaluate.yaml run_dir=other data.validation[0].path=empty.jsonl"), 3, "no record");
}

TEST_F(Bootstrap, WhatAnEvaluationMeasuresThePredictorOn) {
  write("evaluate.yaml",
        "stage: evaluate\npredictor: predictor\ndata: {validation: [{path: records.jsonl}]}\nrun_dir: run\n");
  const std::string empty =
      R"({"conversations":[{"from":"User","value":"a"},{"from":"Assistant","value":"b","label":""}]})";
  write("records.jsonl", empty + "\n");
  expect_refused(run("evaluate evaluate.yaml"), 3, "no record has a label to measure the predictor on");
  write("records.jsonl", conversation("a", "b", "quality:3") + conversation("a", std::string(180, 'y'), "quality:3"));
  const std::string dry = "evaluate evaluate.yaml run_dir=dry --dry-run ";
  expect_says(run(dry), "would predict the labels of 2 records");
  const Result limited = run(dry + "data.max_tokens=120");
  expect_says(limited, "1 validation records are longer than data.max_tokens 120 and were left out");
  expect_says(limited, "would predict the labels of 1 records");
  expect_refused(run(dry + "data.max_tokens=120 data.over_length=error"), 3, "records.jsonl:2: a conversation longer");
  expect_refused(run(dry + "attributes.names=[quality]"), 2, "the recipe contradicts the model folder predictor");
}

// The sweep at a level is what `generate` writes at it with the same seed; its means are the oracle's over those
// answers.
TEST_F(Bootstrap, TheToyOracleJudgesTheAnswersOfASweep) {
  ASSERT_EQ(run("data make-toy --output toy --count 200").code, 0);
  write_evaluation("toy/prompts.jsonl", "length", "toy");
  ASSERT_EQ(run("evaluate evaluate.yaml").code, 0);
  const Json levels =
      parse_json(read("run/evaluation.json"), "evaluation.json", ExitCode::data).at("dials").at("length").at("levels");
  ASSERT_EQ(levels.size(), 5u);
  write("two.jsonl", lines_of(read("toy/prompts.jsonl"))[0] + "\n" + lines_of(read("toy/prompts.jsonl"))[1] + "\n");
  std::vector<double> seen;
  for (const Json& level : levels) {
    const Result answers =
        run("generate --model model --input two.jsonl --max-new-tokens 8 --temperature 0.7 --set length=" +
            level.at("level").dump());
    std::vector<double> mean(toy_attribute_names().size(), 0);
    for (const Json& answer : json_lines(answers.output)) {
      const std::vector<double> values =
          toy_oracle(answer.at("prompt").get<std::string>(), answer.at("response").get<std::string>());
      for (size_t a = 0; a < mean.size(); ++a) mean[a] += values[a] / 2;
    }
    for (size_t a = 0; a < mean.size(); ++a) {
      EXPECT_NEAR(level.at(toy_attribute_names()[a]).get<double>(), mean[a], 1e-12) << toy_attribute_names()[a];
      seen.push_back(mean[a]);
    }
  }
  EXPECT_NE(std::ranges::max(seen), 0) << "nothing was measured";
}

}  // namespace
}  // namespace steerlm
