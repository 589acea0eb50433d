// --fresh: an earlier run goes when recipe, model and data of the new one are found good, and not before
// (contracts.md section 8).
#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

class FreshRun : public TrainingProgram {
 protected:
  void SetUp() override {
    TrainingProgram::SetUp();
    const std::string names = R"("quality", "humor", "length")";
    make_model("classifier", "predictor", names);
    make_model("untied", "policy", names);
    copy_model("untied", "prior");
    write("prior/steerlm.json", R"({"attributes": {"names": []}, "template": {"system": "Be good."}})");
    end_responses_soon("policy");
    std::string prompts, records;
    for (int i = 0; i < 8; ++i) {
      prompts += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
      records += conversation("question " + std::to_string(i), "answer", "quality:" + std::to_string(i % 5));
    }
    write("prompts.jsonl", prompts);
    write("records.jsonl", records);
    write("broken.jsonl", records + "{\"conversations\": 3}\n");
    std::string words;
    for (int i = 0; i < 5000; ++i) words += "word ";
    write("long.jsonl", conversation(words, "answer", "quality:3"));
    write("unlabelled.jsonl", conversation("question", "answer"));
    write("unanswered.jsonl", R"({"conversations": [{"from": "User", "value": "question"}]})"
                              "\n");
    const auto pair = [](const std::string& prompt, const char* strength) {
      return R"({"prompt": ")" + prompt + R"(", "response_1": "yes", "response_2": "no", "preference_strength": )" +
             strength + "}\n";
    };
    write("pairs.jsonl", pair("question", "1"));
    write("equal_pairs.jsonl", pair("question", "0"));
    write("long_pairs.jsonl", pair(words, "1"));
    const std::string short_answers = "sampling: {temperature: 1, top_p: 1, max_new_tokens: 24}\n";
    const std::string short_training =
        "optimizer: {learning_rate: 1e-3}\ntrain: {epochs: 1, batch_size: 4}\ndata: {max_tokens: 256}\n";
    const std::string predictor = "stage: train-predictor\nmodel: {path: " + model_ +
                                  "}\nattributes: {names: [quality], min: 0, max: 4}\nrun_dir: run\n"
                                  "data: {train: records.jsonl, max_tokens: 256}\n";
    write("regression.yaml", predictor + "head: {kind: regression}\ntrain: {steps: 2, batch_size: 4}\n");
    write("ridge.yaml", predictor + "head: {kind: ridge, penalty_folds: 2}\n");
    write("annotate.yaml",
          "stage: annotate\npredictor: predictor\ninput: records.jsonl\noutput: out.jsonl\nrun_dir: run\n");
    write("generate.yaml",
          "stage: generate\nmodel: policy\nprompts: prompts.jsonl\noutput: out.jsonl\nrun_dir: run\n" + short_answers);
    write("evaluate.yaml", "stage: evaluate\npredictor: predictor\ndata: {validation: records.jsonl}\nrun_dir: run\n");
    write("dials.yaml",
          "stage: evaluate\nmodel: policy\ndata: {validation: records.jsonl}\nrun_dir: run\n"
          "dials: {prompts: prompts.jsonl, attributes: [quality], levels: [0, 4], measures: {quality: "
          "words}, " +
              short_answers.substr(0, short_answers.size() - 1) + "}\n");
    write("pairs.yaml", "stage: evaluate\npredictor: predictor\npairs: {sources: pairs.jsonl}\nrun_dir: run\n");
    write("bootstrap.yaml",
          "stage: bootstrap\npolicy: policy\npredictor: predictor\nprompts: prompts.jsonl\nlabels_from: "
          "records.jsonl\nrun_dir: run\n" +
              short_answers + short_training);
    write("steerlm2.yaml",
          "stage: steerlm2\npolicy: policy\nprior: prior\npredictor: predictor\nprompts: prompts.jsonl\n"
          "samples_per_prompt: 3\niterations: 2\nrun_dir: run\n" +
              short_answers + short_training);
    write("tokenizer.yaml",
          "stage: tokenizer\nrun_dir: run\ntokenizer: {input: records.jsonl, vocab_size: 300, output: out.model}\n");
    write(
        "pipeline.yaml",
        "stage: pipeline\nrun_dir: run\nsteps:\n"
        "  - {name: labels, stage: annotate, predictor: predictor, input: records.jsonl, output: \"@self/out.jsonl\"}\n"
        "  - name: sft\n    stage: sft\n    model: policy\n"
        "    data: {train: [{path: \"@labels/out.jsonl\"}, {path: records.jsonl}], max_tokens: 256}\n"
        "    train: {steps: 1, batch_size: 4}\n");
  }

  // The run of `command`, and then the same with --fresh and what makes it fail: nothing of the run is lost.
  void expect_kept(const std::string& command, const std::vector<std::pair<std::string, int>>& failures) {
    const Result first = run(command);
    ASSERT_EQ(first.code, 0) << command << "\n" << first.errors;
    const auto before = contents();
    for (const auto& [change, code] : failures) {
      for (const std::string option : {" --dry-run --fresh ", " --fresh "}) {
        const Result result = run(command + option + change);
        EXPECT_EQ(result.code, code) << command << option << change << "\n" << result.errors;
        EXPECT_EQ(changes_since(before), "") << command << option << change;
      }
    }
    const Result over = run(command + " --fresh");
    EXPECT_EQ(over.code, 0) << command << "\n" << over.errors;
  }
};

TEST_F(FreshRun, OfATrainingKeepsTheEarlierOneUntilItsDataIsRead) {
  copy_model("untied", "cut");
  std::filesystem::resize_file(path("cut/model.safetensors"), 4000);
  expect_kept("sft sft.yaml", {{"data.train[0].path=broken.jsonl", 3},
                               {"data.train[0].path=gone.jsonl", 3},
                               {"data.validation=broken.jsonl", 3},
                               {"model.path=cut", 4},
                               {"optimizer.learning_rate=x", 2},
                               {"checkpoint.keep_best.metric=validation/los data.validation_fraction=0.5", 2}});
}

TEST_F(FreshRun, OfAPredictorKeepsTheEarlierOneUntilItsDataIsRead) {
  expect_kept("train-predictor regression.yaml", {{"data.train[0].path=broken.jsonl", 3}});
}

TEST_F(FreshRun, OfARidgeHeadKeepsTheEarlierOneUntilItsDataIsRead) {
  expect_kept("train-predictor ridge.yaml", {{"data.train[0].path=broken.jsonl", 3}});
}

TEST_F(FreshRun, OfAnAnnotationKeepsRunAndOutputUntilTheInputIsRead) {
  expect_kept("annotate annotate.yaml", {{"input=broken.jsonl", 3},
                                         {"input=broken.jsonl max_bad_share=1 on_bad_record=stop", 3},
                                         {"input=long.jsonl", 3},
                                         {"input=long.jsonl on_bad_record=stop", 3},
                                         {"input=long.jsonl max_bad_share=1", 3},
                                         {"input=unanswered.jsonl", 3},
                                         {"predictor=policy/model.safetensors", 4}});
  EXPECT_EQ(json_lines(read("out.jsonl")).size(), 8u);
}

// What `on_bad_record` puts aside, `data check` lists.
TEST_F(FreshRun, ThatIsRefusedNamesTheCheckThatListsAll) {
  expect_refused(run("annotate annotate.yaml --dry-run input=long.jsonl"), 3, "`steerlm data check` with this recipe");
  for (const std::string command :
       {"data check annotate.yaml input=long.jsonl", "data check generate.yaml prompts=long.jsonl"}) {
    const Result listed = run(command);
    EXPECT_EQ(listed.code, 3) << command;
    EXPECT_NE(listed.output.find("long.jsonl:1: "), std::string::npos) << command << "\n" << listed.output;
  }
  EXPECT_EQ(run("data check annotate.yaml").code, 0);
  EXPECT_EQ(run("data check generate.yaml").code, 0);
}

TEST_F(FreshRun, OfAShardJudgesItsOwnRecords) {
  const std::string first = "annotate annotate.yaml input=broken.jsonl block_records=4 shard=0/3";
  ASSERT_EQ(run(first).code, 0);
  EXPECT_EQ(run(first + " --fresh").code, 0) << "the broken record is the last part's";
  EXPECT_EQ(run(first + " --fresh shard=2/3").code, 3);
}

// A file that may not grow stops the run between two blocks.
TEST_F(FreshRun, IsAskedForWhereStandardInputEndsWithinWhatIsDone) {
  std::string many;
  for (int i = 0; i < 50; ++i) many += read("records.jsonl");
  write("many.jsonl", many);
  const std::string piped = "annotate annotate.yaml input=- block_records=8 ";
  expect_refused(run(piped + "<many.jsonl", "ulimit -f 100;"), 5, "File too large");
  expect_refused(run(piped + "<records.jsonl"), 2, "the input ends within what has been done already");
  write("others.jsonl", read("records.jsonl").replace(0, 1, " {") + many);
  expect_refused(run(piped + "<others.jsonl"), 2, "standard input gives something else than before");
  EXPECT_EQ(run(piped + "<many.jsonl").code, 0);
  EXPECT_EQ(json_lines(read("out.jsonl")).size(), 400u);
}

TEST_F(FreshRun, OfAGenerationKeepsRunAndOutputUntilThePromptsAreRead) {
  expect_kept("run generate.yaml", {{"prompts=broken.jsonl", 3},
                                    {"prompts=long.jsonl", 3},
                                    {"prompts=long.jsonl on_bad_record=quarantine", 3},
                                    {"model=predictor", 4},
                                    {"set.quality=9", 2}});
}

TEST_F(FreshRun, OfAnEvaluationKeepsTheEarlierOneUntilItsDataIsRead) {
  expect_kept("evaluate evaluate.yaml", {{"data.validation=broken.jsonl", 3},
                                         {"data.validation=unlabelled.jsonl", 3},
                                         {"data.validation=unanswered.jsonl", 3},
                                         {"data.validation=long.jsonl", 3}});
}

TEST_F(FreshRun, OfAnEvaluationLooksFirstForWhatIsInTheWayOfItsParts) {
  for (const std::string recipe : {"evaluate", "dials"}) {
    ASSERT_EQ(run("evaluate " + recipe + ".yaml").code, 0) << read("err.txt");
    const std::string file = recipe == "dials" ? "run/sweep.jsonl" : "run/predictor.part.json";
    write(file, "mine");
    const auto before = contents();
    for (const char* how : {" --fresh --dry-run", " --fresh"}) {
      expect_refused(run("evaluate " + recipe + ".yaml" + how), 5, file);
      EXPECT_EQ(changes_since(before), "") << how;
    }
    std::filesystem::remove_all(path("run"));
  }
}

TEST_F(FreshRun, OfASweepKeepsTheEarlierOneUntilItsPromptsAreRead) {
  expect_kept("evaluate dials.yaml", {{"dials.prompts=broken.jsonl", 3}, {"dials.prompts=long.jsonl", 3}});
}

TEST_F(FreshRun, OfAComparisonOfPairsKeepsTheEarlierOneUntilThePairsAreRead) {
  expect_kept("evaluate pairs.yaml", {{"pairs.sources=broken.jsonl", 3},
                                      {"pairs.sources=equal_pairs.jsonl", 3},
                                      {"pairs.sources=long_pairs.jsonl", 3}});
}

// The predictor is measured first, which may take hours.
TEST_F(FreshRun, IsNotNeededWhereAnEvaluationHasMeasuredNothing) {
  const std::string both = "evaluate pairs.yaml data.validation=records.jsonl ";
  expect_refused(run(both + "pairs.sources=long_pairs.jsonl"), 3, "no line of pairs can be counted");
  EXPECT_FALSE(exists("run/recipe.yaml"));
  EXPECT_EQ(run(both).code, 0) << read("err.txt");
}

TEST_F(FreshRun, OfABootstrapKeepsTheEarlierOneUntilAllItsDataIsRead) {
  for (const char* name : {"wide", "other"}) copy_model("classifier", name);
  Json declared = Json::parse(read("predictor/steerlm.json"));
  declared["attributes"]["max"] = 9;
  write("wide/steerlm.json", declared.dump());
  declared["attributes"]["max"] = 4;
  copy_model("untied", "bare");
  std::filesystem::remove(path("bare/model.safetensors"));
  declared["attributes"]["names"][1] = "toxicity";
  write("other/steerlm.json", declared.dump());
  expect_kept("bootstrap bootstrap.yaml", {{"prompts=broken.jsonl", 3},
                                           {"policy=predictor", 4},
                                           {"predictor=wide", 2},
                                           {"predictor=other", 2},
                                           {"data.validation_fraction=1", 2},
                                           {"prompts=long.jsonl", 3},
                                           {"labels_from=broken.jsonl", 3},
                                           {"data.validation=broken.jsonl", 3},
                                           {"data.validation=unanswered.jsonl", 3},
                                           {"start_from=base model.path=bare", 4},
                                           {"mix_original=true data.train=broken.jsonl", 3},
                                           {"select.quality=9", 2}});
}

TEST_F(FreshRun, IsNotNeededWhereABootstrapHasSampledNothing) {
  EXPECT_EQ(run("bootstrap bootstrap.yaml labels_from=unlabelled.jsonl").code, 3);
  EXPECT_EQ(run("bootstrap bootstrap.yaml").code, 0) << read("err.txt");
}

TEST_F(FreshRun, OfATokenizerKeepsTheEarlierOneUntilItsTextIsRead) {
  expect_kept("run tokenizer.yaml", {{"tokenizer.input=broken.jsonl", 3}});
}

TEST_F(FreshRun, OfAPipelineKeepsAllStepsUntilTheDataOfAllIsRead) {
  expect_kept("pipeline pipeline.yaml",
              {{"steps.sft.data.train[1].path=broken.jsonl", 3}, {"steps.labels.input=broken.jsonl", 3}});
}

TEST_F(FreshRun, OfACrossvalidationKeepsAllFoldsUntilTheDataIsRead) {
  const std::string command = "crossvalidate ridge.yaml --folds ";
  ASSERT_EQ(run(command + "3").code, 0) << read("err.txt");
  const auto before = contents();
  EXPECT_EQ(run(command + "2 --fresh data.train[0].path=broken.jsonl").code, 3);
  expect_refused(run(command + "3 data.max_tokens=200"), 2, "the folder holds a run of another recipe");
  EXPECT_EQ(changes_since(before), "");
}

TEST_F(FreshRun, OfSteerlm2KeepsTheEarlierOneAndThenStartsAllIterationsOver) {
  copy_model("classifier", "cut");
  write("cut/steerlm.json", read("predictor/steerlm.json"));
  std::filesystem::resize_file(path("cut/model.safetensors"), 4000);
  expect_kept(
      "steerlm2 steerlm2.yaml",
      {{"prompts=broken.jsonl", 3}, {"predictor=cut", 4}, {"set.quality=9", 2}, {"data.validation=records.jsonl", 3}});
  write("run/policy-2/mine.txt", "mine");
  const Result fewer = run("steerlm2 steerlm2.yaml --fresh iterations=1");
  ASSERT_EQ(fewer.code, 0) << fewer.errors;
  for (const char* name : {"sample-2", "prior-2", "predictor-2", "train-2", "sampled-2.jsonl", "with-prior-2.jsonl",
                           "with-policy-2.jsonl", "responses-2.jsonl", "policy-2/done.json"})
    EXPECT_FALSE(exists(Path("run") / name)) << name;
  EXPECT_EQ(read("run/policy-2/mine.txt"), "mine");
  EXPECT_EQ(read("run/model/model.safetensors"), read("run/train-1/model/model.safetensors"));

  write("groups.jsonl", read("run/responses-1.jsonl"));
  const std::string trains = "steerlm2 steerlm2.yaml prompts=null prior=null predictor=null run_dir=train data.train=";
  ASSERT_EQ(run(trains + "groups.jsonl").code, 0) << read("err.txt");
  append("groups.jsonl", "{}\n");
  const auto before = contents();
  EXPECT_EQ(run(trains + "groups.jsonl --fresh").code, 3);
  EXPECT_EQ(changes_since(before), "");
}

// What a step of the earlier run has made is not taken for one of the new run's.
TEST_F(FreshRun, ThatIsStoppedGoesOnWithoutTheStepsOfTheEarlierOne) {
  const std::string command = "bootstrap bootstrap.yaml";
  ASSERT_EQ(run(command).code, 0) << read("err.txt");
  const std::string first = read("run/model/model.safetensors");
  const Result stopped = run_until(command + " --fresh seed=7", SIGTERM, [&] { return !exists("run/model"); });
  ASSERT_EQ(stopped.code, 75) << stopped.errors;
  EXPECT_FALSE(exists("run/sft"));
  ASSERT_EQ(run(command + " seed=7").code, 0) << read("err.txt");
  EXPECT_NE(read("run/model/model.safetensors"), first);
}

TEST_F(FreshRun, LogHasWhatWasSaidBeforeTheRunBegan) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  ASSERT_EQ(run("sft sft.yaml --fresh").code, 0);
  EXPECT_NE(read("run/log.txt").find("training data: "), std::string::npos);
}

}  // namespace
}  // namespace steerlm
