// generate and score: contracts.md sections 2 and 4.
#include <gmock/gmock.h>

#include "end_to_end/generation_program.h"

namespace steerlm {
namespace {

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
  const Result greedy = run("generate --model model --prompt hi --max-new-tokens 2 --samples 3 --top-k 4 --seed 5");
  expect_says(greedy, "warning: the 3 answers to a prompt are equal at --temperature 0");
  for (const char* option : {"--top-k", "--seed"})
    expect_says(greedy, std::string("warning: ") + option + " has no effect at --temperature 0");
  EXPECT_EQ(greedy.errors.find("--top-p"), std::string::npos);
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

TEST_F(Generation, KeysThatTheAnswersReplaceAreNamed) {
  write("own.jsonl", R"({"prompt":"hi","finish":"mine","id":7})"
                     "\n");
  const Result result = run("generate --model model --max-new-tokens 3 --input own.jsonl --output out.jsonl");
  expect_says(result, "keys of the input that gave way to the answers' own: 'finish' (1 line)");
}

TEST_F(Generation, ShardsAreMergedByTheirOwnCommand) {
  generated("--input prompts.jsonl --output whole.jsonl");
  for (const char* i : {"0", "1"})
    generated(std::string("--input prompts.jsonl --shard ") + i + "/2 --output part-" + i + ".jsonl");
  expect_refused(run("score --merge scores.jsonl part-0.jsonl part-1.jsonl"), 3, "steerlm generate --merge");
  EXPECT_FALSE(exists("scores.jsonl"));
  ASSERT_EQ(run("generate --merge merged.jsonl part-0.jsonl part-1.jsonl").code, 0);
  EXPECT_EQ(read("merged.jsonl"), read("whole.jsonl"));
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
  declare_attributes("model", R"("quality", "humor", "length")");  // as the predictor has them
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

}  // namespace
}  // namespace steerlm
