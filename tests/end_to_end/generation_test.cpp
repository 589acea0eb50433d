// generate and score, and the stages that sample, bootstrap and evaluate: contracts.md sections 2 and 4.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "end_to_end/program.h"
#include "steerlm/toy/oracle.h"

namespace steerlm {
namespace {

class Generation : public Program {
 protected:
  void SetUp() override {
    const std::string names = R"("quality", "humor")";
    make_model("untied", "model", names);
    // Random weights rarely sample one certain id: where many ids end a response, most responses end soon.
    write("model/generation_config.json", R"({"eos_token_id": [)" + ids_from_to(100, 160) + "]}");
    write("model/steerlm.json",
          R"({"attributes": {"names": [)" + names + R"(], "min": 0, "max": 4, "defaults": {"quality": 4}},
                                   "template": {"system": "Be good."}})");
    // The fixture has three scores.
    make_model("classifier", "predictor", names + R"(, "length")");
    std::string prompts;
    for (int i = 0; i < 6; ++i) prompts += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
    write("prompts.jsonl", prompts);
  }

  static std::string ids_from_to(int first, int last) {
    std::string text = std::to_string(first);
    for (int id = first + 1; id <= last; ++id) text += ", " + std::to_string(id);
    return text;
  }

  std::string generated(const std::string& arguments) {
    const Result result = run("generate --model model --max-new-tokens 6 " + arguments);
    EXPECT_EQ(result.code, 0) << result.errors;
    return result.output;
  }
};

TEST_F(Generation, AnswersAPrompt) {
  const std::vector<Json> lines = json_lines(generated("--prompt 'how are you'"));
  ASSERT_EQ(lines.size(), 1u);
  std::vector<std::string> keys;
  for (const auto& [key, value] : lines[0].items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"prompt", "response", "token_ids", "logprob", "finish"}));
  EXPECT_EQ(lines[0].at("prompt"), "how are you");
  EXPECT_LT(lines[0].at("logprob").get<double>(), 0);
  EXPECT_LE(lines[0].at("token_ids").size(), 6u);
}

TEST_F(Generation, AResponseEndsAtAnEndIdOrAtTheLimit) {
  const std::vector<Json> lines = json_lines(generated("--input prompts.jsonl --temperature 1 --samples 8"));
  ASSERT_EQ(lines.size(), 48u);
  int stopped = 0;
  for (const Json& line : lines) {
    const auto ids = line.at("token_ids").get<std::vector<int>>();
    const bool at_end = !ids.empty() && ids.back() >= 100 && ids.back() <= 160;
    stopped += at_end ? 1 : 0;
    EXPECT_EQ(line.at("finish"), at_end ? "stop" : "length") << line;
    EXPECT_TRUE(at_end || ids.size() == 6u) << line;
  }
  EXPECT_GT(stopped, 0);
  EXPECT_LT(stopped, 48);
}

TEST_F(Generation, TheSameSeedGivesTheSameBytes) {
  const std::string sampled = "--input prompts.jsonl --temperature 1 --samples 2 ";
  const std::string first = generated(sampled + "--seed 5");
  EXPECT_EQ(generated(sampled + "--seed 5"), first);
  EXPECT_NE(generated(sampled + "--seed 6"), first);
  EXPECT_EQ(generated("--prompt hi --seed 5"), generated("--prompt hi --seed 6")) << "temperature 0 draws nothing";
}

TEST_F(Generation, LinesKeepTheirOrderTheirKeysAndTheirNumber) {
  write("mixed.jsonl", R"({"id":7,"prompt":"hi"})"
                       "\n" +
                           conversation("hi", "so", "quality:1") +
                           R"({"turns":["hi","so","on"],"z":null})"
                           "\n");
  ASSERT_EQ(run("generate --model model --max-new-tokens 3 --input mixed.jsonl --samples 2 --output out.jsonl").output,
            "");
  const std::vector<Json> lines = json_lines(read("out.jsonl")), inputs = json_lines(read("mixed.jsonl"));
  ASSERT_EQ(lines.size(), 6u);
  for (size_t i = 0; i < lines.size(); ++i) {
    Json rest = lines[i];
    for (const char* key : {"response", "token_ids", "logprob", "finish"}) EXPECT_EQ(rest.erase(key), 1u);
    EXPECT_EQ(dump_json(rest), dump_json(inputs[i / 2]));
  }
  EXPECT_EQ(lines[0].at("logprob"), lines[2].at("logprob")) << "a record is a prompt up to its last user turn";

  // What was answered is read as records, whose last turn is the response.
  ASSERT_EQ(run("data convert --input out.jsonl --output records.jsonl").code, 0);
  const std::vector<Json> records = json_lines(read("records.jsonl"));
  ASSERT_EQ(records.size(), 6u);
  for (size_t i = 0; i < records.size(); ++i) {
    const Json& turns = records[i].at("conversations");
    EXPECT_EQ(turns.size(), i < 4 ? 2u : 4u);
    EXPECT_EQ(turns.back().at("value"), lines[i].at("response"));
  }
  EXPECT_EQ(run("score --model predictor --input out.jsonl --output -").output,
            run("score --model predictor --input records.jsonl --output -").output);
}

TEST_F(Generation, DialsReachTheModelAndTheOthersTakeTheFoldersDefaults) {
  const std::string by_default = generated("--prompt hi");
  EXPECT_EQ(generated("--prompt hi --set quality=4,humor=0"), by_default);
  EXPECT_EQ(generated("--prompt hi --set quality=4 --set humor=0"), by_default);
  EXPECT_NE(generated("--prompt hi --set humor=3"), by_default);
}

TEST_F(Generation, AnEarlierAnswerKeepsItsLabelOrGetsTheRequestedOne) {
  const auto prompt = [](const std::string& label) {
    return R"({"conversations":[{"from":"User","value":"a"},{"from":"Assistant","value":"b")" + label +
           R"(},{"from":"User","value":"c"}]})"
           "\n";
  };
  write("in.jsonl", prompt("") + prompt(R"(,"label":"quality:4,humor:2")") + prompt(R"(,"label":"quality:0,humor:2")"));
  const std::vector<Json> lines = json_lines(generated("--input in.jsonl --set humor=2"));
  EXPECT_EQ(lines[1].at("logprob"), lines[0].at("logprob"));
  EXPECT_NE(lines[2].at("logprob"), lines[0].at("logprob"));
}

TEST_F(Generation, SystemAndRawChangeWhatTheModelSees) {
  const std::string by_default = generated("--prompt hi");
  EXPECT_EQ(generated("--prompt hi --system 'Be good.'"), by_default);
  EXPECT_NE(generated("--prompt hi --system 'Be bad.'"), by_default);
  const std::string raw = generated("--prompt hi --raw");
  EXPECT_NE(raw, by_default);
  const Result dialled = run("generate --model model --prompt hi --raw --set humor=3 --system X --max-new-tokens 4");
  EXPECT_THAT(dialled.errors, testing::HasSubstr("warning: --set has no effect with --raw"));
  EXPECT_THAT(dialled.errors, testing::HasSubstr("warning: --system has no effect with --raw"));
  EXPECT_THAT(dialled.errors, testing::Not(testing::HasSubstr("--template")));
}

TEST_F(Generation, WrongDialsAreRefused) {
  expect_refused(run("generate --model model --prompt hi --set qualty=3"), 2,
                 "one of quality, humor); did you mean 'quality'?");
  expect_refused(run("generate --model model --prompt hi --set quality=7"), 2,
                 "found 7, expected 0 to 4; the dials are quality, humor");
  expect_refused(run("generate --model model --prompt hi --set quality=1.5"), 2, "'quality=1.5'");
  expect_refused(run("generate --model model --prompt hi --set quality"), 2, "name=integer");
  expect_refused(run("generate --model model --prompt hi --set quality=1,quality=2"), 2, "'quality' is set twice");
  copy_model("untied", "plain");
  expect_refused(run("generate --model plain --prompt hi --set quality=1"), 2, "the model has no dials");
  expect_refused(run("generate --model predictor --prompt hi"), 4, "writes no text");
}

TEST_F(Generation, WrongCommandLinesAndPromptsAreRefused) {
  expect_refused(run("generate --model model"), 2, "--prompt or --input");
  expect_refused(run("generate --model model --prompt hi --input prompts.jsonl"), 2, "--prompt");
  expect_refused(run("generate --model model --prompt hi --samples 0"), 2, "--samples");
  expect_refused(run("generate --model model --prompt hi --top-p 2"), 2, "--top-p");
  expect_refused(run("generate --model model --prompt hi --device cuda:99"), 5, "a GPU that can be used");
  expect_refused(run("generate --model model --input none.jsonl"), 3, "none.jsonl");
  write("long.jsonl", R"({"prompt":"short"})"
                      "\n"
                      R"({"prompt":")" +
                          std::string(1200, 'x') + "\"}\n");
  expect_refused(run("generate --model model --input long.jsonl --output out.jsonl"), 3,
                 "long.jsonl:2: the prompt is longer than the model's context");
  expect_refused(run("generate --model model --raw --input long.jsonl --output out.jsonl"), 3,
                 "long.jsonl:2: the prompt is longer");
  expect_refused(run("generate --model model --prompt " + std::string(1200, 'x')), 3, "--prompt: the prompt is longer");
  EXPECT_FALSE(exists("out.jsonl"));
  EXPECT_TRUE(temporaries_of(path("out.jsonl")).empty());
}

TEST_F(Generation, TheStageGivesTheLinesOfTheCommand) {
  write("generate.yaml",
        "stage: generate\nmodel: model\nprompts: [{path: prompts.jsonl}]\nset: {humor: 2}\nsamples_per_prompt: "
        "2\nseed: 5\n"
        "sampling: {max_new_tokens: 6, top_k: 20, top_p: 0.9}\noutput: out.jsonl\nrun_dir: run\n");
  expect_says(run("run generate.yaml"), "6 prompts answered into out.jsonl");
  EXPECT_EQ(
      read("out.jsonl"),
      generated("--input prompts.jsonl --set humor=2 --samples 2 --seed 5 --temperature 1 --top-k 20 --top-p 0.9"));
  expect_says(run("run generate.yaml"), "nothing to do");
}

TEST_F(Generation, ScoresOfALanguageModel) {
  write("in.jsonl",
        R"({"conversations":[{"from":"User","value":"a"},{"from":"Assistant","value":"bcd"},)"
        R"({"from":"User","value":"e"},{"from":"Assistant","value":"f"}]})"
        "\n"
        R"({"mask":"User,Assistant","conversations":[{"from":"User","value":"a"},{"from":"Assistant","value":"b"}]})"
        "\n");
  ASSERT_EQ(run("score --model model --input in.jsonl --output out.jsonl").code, 0);
  const std::vector<Json> lines = json_lines(read("out.jsonl"));
  ASSERT_EQ(lines.size(), 3u);
  const std::vector<std::pair<int, int>> places{{0, 1}, {0, 3}, {1, 1}};
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].at("record"), places[i].first);
    EXPECT_EQ(lines[i].at("turn"), places[i].second);
  }
  EXPECT_GT(lines[0].at("tokens").get<int>(), lines[1].at("tokens").get<int>());
  EXPECT_LT(lines[0].at("logprob").get<double>(), lines[1].at("logprob").get<double>());
  EXPECT_EQ(lines[2].at("tokens"), 0) << "a turn that is no target";
  EXPECT_EQ(lines[2].at("logprob").get<double>(), 0);
}

// `record` is the 0-based line of the input, or the element of an array; a line may give several records.
TEST_F(Generation, ScoresNameTheLine) {
  const auto places = [&](const std::string& model, const std::string& input, const std::string& before = "") {
    const Result scored = run("score --model " + model + " --input " + input + " --output -", before);
    EXPECT_EQ(scored.code, 0) << scored.errors;
    std::string text;
    for (const Json& line : json_lines(scored.output))
      text += line.at("record").dump() + (line.contains("part") ? "." + line.at("part").dump() : "") + " ";
    return text;
  };
  const std::string one = conversation("a", "b"), two = conversation("c", "d");
  write("in.jsonl", "\n" + one + "\n \r\n" + two);
  write("in.json", "[\n" + one + ",\n\n" + two + "]");
  write("pairs.jsonl",
        "\n"
        R"({"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: a\n\nAssistant: c"})"
        "\n");
  for (const std::string model : {"model", "predictor"}) {
    EXPECT_EQ(places(model, "in.jsonl"), "1 4 ");
    EXPECT_EQ(places(model, "in.jsonl.gz", "gzip -kf in.jsonl &&"), "1 4 ");
    EXPECT_EQ(places(model, "-", "cat in.jsonl |"), "1 4 ");
    EXPECT_EQ(places(model, "in.json"), "0 1 ");
    EXPECT_EQ(places(model, "pairs.jsonl"), "1.0 1.1 ");
  }
}

TEST_F(Generation, NothingToDoIsNoSuccess) {
  write("empty.jsonl", "\n");
  write("questions.jsonl", R"({"conversations":[{"from":"User","value":"a"}]})"
                           "\n");
  for (const std::string model : {"model", "predictor"}) {
    expect_refused(run("score --model " + model + " --input empty.jsonl --output out.jsonl"), 3, "nothing to score");
    expect_refused(run("score --model " + model + " --input questions.jsonl --output out.jsonl"), 3,
                   "no record has an assistant turn");
  }
  expect_refused(run("generate --model model --input empty.jsonl --output out.jsonl"), 3, "nothing to answer");
  write("g.yaml", "stage: generate\nmodel: model\nprompts: [empty.jsonl]\noutput: out.jsonl\nrun_dir: g\n");
  expect_refused(run("run g.yaml"), 3, "nothing to answer");
  expect_refused(run("run g.yaml --dry-run"), 3, "nothing to answer");
  write("labels.jsonl", conversation("a", "b", "quality:4,humor:0"));
  write("b.yaml",
        "stage: bootstrap\npolicy: model\npredictor: predictor\nprompts: [empty.jsonl]\nlabels_from: labels.jsonl\n"
        "run_dir: b\n");
  expect_refused(run("bootstrap b.yaml"), 3, "nothing to sample from");
  EXPECT_FALSE(exists("out.jsonl"));
}

// The labels of a record are not read where nothing depends on them.
TEST_F(Generation, APredictorScoresRecordsWithLabelsOfOtherAttributes) {
  write("in.jsonl", conversation("a", "b", "violence:9"));
  EXPECT_EQ(run("score --model predictor --input in.jsonl --output -").code, 0);
  expect_refused(run("score --model model --input in.jsonl --output -"), 3, "unknown attribute");
}

TEST_F(Generation, ThePromptLineTravelsAsItWasWritten) {
  write("p.jsonl", R"({"prompt":"a","n":[1.50,1e400,-0]})"
                   "\n");
  EXPECT_NE(generated("--input p.jsonl").find(R"({"prompt":"a","n":[1.50,1e400,-0],"response":)"), std::string::npos);
}

TEST_F(Generation, ScoresOfAPredictorAreThoseOfAnnotation) {
  write("in.jsonl", conversation("a", "b") + conversation("c", "d", "quality:3"));
  const Result scored = run("score --model predictor --input - --output -", "cat in.jsonl |");
  ASSERT_EQ(scored.code, 0) << scored.errors;
  write("annotate.yaml", "stage: annotate\npredictor: predictor\ninput: in.jsonl\noutput: out.jsonl\nrun_dir: run\n");
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::vector<Json> lines = json_lines(scored.output), annotated = json_lines(read("out.jsonl"));
  ASSERT_EQ(lines.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(lines[i].at("record"), i);
    EXPECT_EQ(lines[i].at("turn"), 1);
    EXPECT_EQ(lines[i].at("scores").size(), 3u);
    for (const auto& [name, score] : annotated[i].at("conversations")[1].at("scores").items()) {
      EXPECT_EQ(lines[i].at("scores").at(name).get<float>(), score.get<float>());
    }
  }
}

TEST_F(Generation, ADamagedLineLeavesNoOutput) {
  write("in.jsonl", conversation("a", "b") + "{\"conversations\": [\n");
  write("old.jsonl", "old\n");
  for (const std::string model : {"model", "predictor"}) {
    expect_refused(run("score --model " + model + " --input in.jsonl --output out.jsonl"), 3, "in.jsonl:2");
    expect_refused(run("score --model " + model + " --input in.jsonl --output old.jsonl --overwrite"), 3, "in.jsonl:2");
  }
  expect_refused(run("generate --model model --input in.jsonl --output out.jsonl"), 3, "in.jsonl:2");
  EXPECT_FALSE(exists("out.jsonl"));
  EXPECT_TRUE(temporaries_of(path("out.jsonl")).empty());
  EXPECT_EQ(read("old.jsonl"), "old\n");
  write("long.jsonl", conversation("a", std::string(1200, 'x')));
  expect_refused(run("score --model model --input long.jsonl --output out.jsonl"), 3,
                 "longer than the model's context");
  expect_refused(run("score --model predictor --input long.jsonl --output out.jsonl"), 3, "long.jsonl:1");
}

class Bootstrap : public Generation {
 protected:
  void SetUp() override {
    Generation::SetUp();
    const std::string names = R"("quality", "humor", "length")";
    write("model/steerlm.json",
          R"({"attributes": {"names": [)" + names + R"(], "min": 0, "max": 4}, "template": {"system": "Be good."}})");
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
  EXPECT_FALSE(exists("run/model"));
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
  for (const char* table : {"predictor predictor\n", "validation/perplexity", "dials, judged by predictor"})
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
