// Training and using a model with every template: where a response ends, and what the folder tells others of it.
#include <algorithm>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class TemplatedProgram : public Program {
 protected:
  static Path text_fixture(const std::string& name) {
    return Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "text" / name;
  }

  // A recipe that teaches a tiny model one conversation.
  std::string recipe(const std::string& stage, const std::string& tokenizer, const std::string& text_template) const {
    return "stage: " + stage + "\nmodel: {tokenizer: '" + text_fixture(tokenizer).string() +
           "', init: {hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4}}\n"
           "attributes: {names: [quality, humor], min: 0, max: 4, defaults: {quality: 4}}\ntemplate: {" +
           text_template +
           ", system: Be good.}\ndata: {train: [{path: train.jsonl}], validation: [{path: train.jsonl}], max_tokens: "
           "256}\n"
           "run_dir: run\noptimizer: {learning_rate: 1e-2}\ntrain: {steps: 80, batch_size: 1}\ncheckpoint: "
           "{every_steps: 40}\n";
  }

  // Trains on one answer and asks for it.
  void expect_an_answer_that_ends(const std::string& tokenizer, const std::string& text_template,
                                  const std::string& end, const std::string& line_end = "") {
    write("train.jsonl", conversation("ask", "good way", "quality:4,humor:0"));
    write("sft.yaml", recipe("sft", tokenizer, text_template));
    ASSERT_EQ(run("sft sft.yaml --fresh").code, 0) << read("err.txt");
    const Json stops = parse_json(read("run/model/generation_config.json"), "file", ExitCode::model);
    const Result result = run("generate --model run/model --prompt ask --set quality=4 --max-new-tokens 40");
    ASSERT_EQ(result.code, 0) << result.errors;
    const Json line = json_lines(result.output).at(0);
    EXPECT_EQ(line.at("response"), "good way");
    EXPECT_EQ(line.at("finish"), "stop");
    const auto ids = line.at("token_ids").get<std::vector<std::int64_t>>();
    if (end.empty()) {
      EXPECT_EQ(stops.at("stop_strings"), Json({"<extra_id_1>"}));
      EXPECT_EQ(stops.at("eos_token_id"), 2);
      return;
    }
    EXPECT_FALSE(stops.contains("stop_strings"));
    const auto stop_ids = stops.at("eos_token_id").get<std::vector<std::int64_t>>();
    EXPECT_NE(std::ranges::find(stop_ids, 2), stop_ids.end());
    EXPECT_NE(std::ranges::find(stop_ids, ids.back()), stop_ids.end());
    // The template stops it, whatever the folder's stop ids are.
    write("run/model/generation_config.json", R"({"eos_token_id": 2})");
    EXPECT_EQ(run("generate --model run/model --prompt ask --set quality=4 --max-new-tokens 40").output, result.output);
    // The id's spelling: the record's last target in show-mask is the end marker.
    const Json shown = json_lines(run("data show-mask --model run/model --input train.jsonl --json").output).at(0);
    const auto all_ids = shown.at("token_ids").get<std::vector<std::int64_t>>();
    const auto at = std::ranges::find(all_ids, ids.back());
    ASSERT_NE(at, all_ids.end());
    EXPECT_EQ(shown.at("pieces").at(static_cast<size_t>(at - all_ids.begin())), end);
    EXPECT_EQ(shown.at("trained_text").get<std::string>(), "good way" + line_end + end);
  }
};

TEST_F(TemplatedProgram, PlainTextsHaveNoTurnsToScore) {
  make_model("untied", "model", R"("quality", "humor")");
  write("some.jsonl", conversation("ask", "good way"));
  const std::string score = "score --model model --input some.jsonl --output -";
  EXPECT_EQ(run(score).code, 0) << read("err.txt");
  write("model/steerlm.json", R"({"attributes": {"names": []}, "template": {"name": "plain"}})");
  expect_refused(run(score), 2, "has no turns whose log-probabilities could be told apart");
}

TEST_F(TemplatedProgram, AnAnswerEndsAtTheTurnMarkerAsText) {
  expect_an_answer_that_ends("bpe.model", "name: steerlm", "");
}
TEST_F(TemplatedProgram, AnAnswerEndsAtTheTurnMarkerAsAPiece) {
  expect_an_answer_that_ends("markers.model", "name: steerlm, special_tokens: added", "<extra_id_1>", "\n");
}
TEST_F(TemplatedProgram, AnAnswerInChatmlEndsAtItsEndMarker) {
  expect_an_answer_that_ends("chat.model", "name: chatml", "<|im_end|>");
}
TEST_F(TemplatedProgram, AnAnswerInLlama3EndsAtItsEndMarker) {
  expect_an_answer_that_ends("chat.model", "name: llama3", "<|eot_id|>");
}

TEST_F(TemplatedProgram, PredictorsOfBothKindsAnnotateInChatml) {
  write("train.jsonl", conversation("ask", "good way", "quality:3,humor:1"));
  write("input.jsonl", conversation("ask", "good way"));
  for (const std::string kind : {"language_model", "regression"}) {
    write("predictor.yaml", recipe("train-predictor", "chat.model", "name: chatml") + "head: {kind: " + kind + "}\n");
    ASSERT_EQ(run("train-predictor predictor.yaml --fresh").code, 0) << read("err.txt");
    write("annotate.yaml", "stage: annotate\npredictor: run/model\ninput: input.jsonl\noutput: " + kind +
                               ".jsonl\nrun_dir: annotate-" + kind + "\n");
    ASSERT_EQ(run("annotate annotate.yaml").code, 0) << read("err.txt");
    EXPECT_EQ(json_lines(read(kind + ".jsonl")).at(0).at("conversations").at(1).at("label"), "quality:3,humor:1")
        << kind;
  }
}

TEST_F(TemplatedProgram, ATokenizerWithoutTheMarkersIsTheModelsFault) {
  write("train.jsonl", conversation("ask", "good way", "quality:4,humor:0"));
  write("sft.yaml", recipe("sft", "bpe.model", "name: chatml"));
  expect_refused(run("sft sft.yaml"), 4, "needs the marker <|im_start|> as a piece of the tokenizer");
}

TEST_F(TemplatedProgram, AFreshFolderBindsNoTemplateAndATrainedOneDoes) {
  write("train.jsonl", conversation("ask", "good way", "quality:4,humor:0"));
  ASSERT_EQ(run("model init --output fresh --tokenizer '" + text_fixture("chat.model").string() +
                "' --hidden-size 32 --num-hidden-layers 1")
                .code,
            0);
  const std::string common =
      "stage: sft\nattributes: {names: [quality, humor], min: 0, max: 4}\ndata: {train: [{path: train.jsonl}], "
      "max_tokens: 256}\n"
      "run_dir: run\ntrain: {steps: 1, batch_size: 1}\n";
  write("sft.yaml", common + "model: {path: fresh}\ntemplate: {name: chatml}\n");
  const Result trained = run("sft sft.yaml");
  ASSERT_EQ(trained.code, 0) << trained.errors;
  expect_refused(run("sft sft.yaml model.path=run/model run_dir=other template.name=llama3"), 2, "template.name");
}

TEST_F(TemplatedProgram, SpecialTokensMakeNoDifferenceToChatml) {
  write("train.jsonl", conversation("ask", "good way", "quality:4,humor:0"));
  write("sft.yaml", recipe("sft", "chat.model", "name: chatml"));
  ASSERT_EQ(run("sft sft.yaml train.steps=1").code, 0) << read("err.txt");
  write("again.yaml",
        "stage: sft\nmodel: {path: run/model}\ntemplate: {name: chatml, special_tokens: added, system: Be good.}\n"
        "data: {train: [{path: train.jsonl}]}\nrun_dir: again\ntrain: {steps: 1, batch_size: 1}\n");
  EXPECT_EQ(run("sft again.yaml").code, 0) << read("err.txt");
}

// Killed after the last checkpoint and before the model was written: the card's metrics come from the run's
// metrics.jsonl.
TEST_F(TemplatedProgram, ARunThatOnlyHadToWriteItsModelWritesTheSameOne) {
  write("train.jsonl", conversation("ask", "good way", "quality:4,humor:0"));
  write("sft.yaml", recipe("sft", "bpe.model", "name: steerlm"));
  ASSERT_EQ(run("sft sft.yaml train.steps=3").code, 0) << read("err.txt");
  std::map<std::string, std::string> before;
  for (const auto& entry : std::filesystem::directory_iterator(path("run/model")))
    before[entry.path().filename()] = read(entry.path());
  EXPECT_NE(before.at("README.md").find("| perplexity | "), std::string::npos) << before.at("README.md");
  std::filesystem::remove_all(path("run/model"));
  std::filesystem::remove(path("run/done.json"));
  ASSERT_EQ(run("sft sft.yaml train.steps=3").code, 0) << read("err.txt");
  for (const auto& [name, bytes] : before) EXPECT_EQ(read("run/model/" + name), bytes) << name;
}

}  // namespace
}  // namespace steerlm
