// SteerLM 2.0 as a user runs it: the stage steerlm2, its records, and the three log-probabilities of `score`.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

class Steerlm2Program : public TrainingProgram {
 protected:
  void SetUp() override {
    copy_model("untied", "prior");
    write("prior/steerlm.json", R"({"attributes": {"names": []}, "template": {"system": "Be good."}})");
    const std::string names = R"("quality", "humor", "length")";
    make_model("untied", "policy", names);
    end_responses_soon("policy");
    make_model("classifier", "predictor", names);
    std::string prompts;
    for (int i = 0; i < 70; ++i) prompts += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
    write("prompts.jsonl", prompts);
    write(
        "steerlm2.yaml",
        "stage: steerlm2\npolicy: policy\nprior: prior\npredictor: predictor\nprompts: prompts.jsonl\nmax_prompts: 10\n"
        "set: {quality: 3}\nsamples_per_prompt: 4\nsampling: {temperature: 1, top_p: 1, max_new_tokens: 24}\n"
        "data: {validation_fraction: 0.3, max_tokens: 256}\noptimizer: {learning_rate: 1e-3}\n"
        "train: {epochs: 2, batch_size: 4}\ncheckpoint: {every_steps: 1}\nrun_dir: run\n");
  }

  // {"system", "prompt_turns", "label", "responses"} with the numbers of `score`.
  static std::string group(const std::string& question, const std::string& responses) {
    return R"({"system":"Be good.","prompt_turns":[{"from":"User","value":")" + question +
           R"("}],"label":"quality:3,humor:0,length:0","responses":[)" + responses + "]}\n";
  }
  static std::string response(const std::string& value) { return R"({"from":"Assistant","value":")" + value + "\"}"; }
};

TEST_F(Steerlm2Program, TwoIterationsOfSamplingScoresAndTraining) {
  const Result result = run("steerlm2 steerlm2.yaml");
  expect_says(result, "iteration 2/2, 5/5: training");
  expect_says(result, "10 prompts, 4 responses each at quality:3,humor:0,length:0");
  expect_says(result, "effective responses each");
  for (const std::string k : {"1", "2"}) {
    const std::vector<Json> groups = json_lines(read("run/responses-" + k + ".jsonl"));
    ASSERT_GT(groups.size(), 5u);
    size_t responses = 0;
    for (const Json& line : groups) {
      EXPECT_EQ(line.at("label"), "quality:3,humor:0,length:0");
      EXPECT_EQ(line.at("prompt_turns").size(), 1u);
      for (const Json& each : line.at("responses")) {
        ++responses;
        for (const char* key : {"log(P(a|x,y))", "log(P(y|x))", "log(Q(y|a,x))"})
          EXPECT_LT(each.at(key).get<double>(), 0) << key;
        EXPECT_GT(each.at("tokens").get<int>(), 0);
      }
    }
    EXPECT_GT(responses, 20u);
    EXPECT_TRUE(exists("run/train-" + k + "/model/model.safetensors"));
    const auto distance = metric("run/train-" + k, "train/distance"),
               held_out = metric("run/train-" + k, "validation/distance");
    ASSERT_EQ(distance.size(), 4u);
    EXPECT_LT(distance.at(4), distance.at(1));
    EXPECT_FALSE(held_out.empty());
    EXPECT_EQ(metric("run/train-" + k, "train/loss").size(), 4u);
  }
  EXPECT_EQ(read("run/model/model.safetensors"), read("run/train-2/model/model.safetensors"));
  EXPECT_NE(read("run/train-1/model/model.safetensors"), read("run/train-2/model/model.safetensors"));
  EXPECT_NE(read("run/sampled-1.jsonl"), read("run/sampled-2.jsonl"))
      << "iteration 2 samples from iteration 1's policy";
  const Json settings = parse_json(read("run/model/steerlm.json"), "steerlm.json", ExitCode::model);
  EXPECT_EQ(settings.at("attributes").at("names").size(), 3u) << "the dials are the policy's";
  // The numbers are those that `score` gives.
  ASSERT_EQ(run("score --model prior --responses --no-labels --input run/sampled-1.jsonl --output a.jsonl").code, 0);
  ASSERT_EQ(run("score --model policy --responses --input a.jsonl --output b.jsonl").code, 0);
  const Result scored = run("score --model predictor --responses --input b.jsonl --output c.jsonl");
  ASSERT_EQ(scored.code, 0) << scored.errors;
  const std::string speed = "machine-days per billion tokens";
  EXPECT_THAT(scored.errors, testing::HasSubstr(speed));
  int parts = 0;
  for (size_t at = result.errors.find(speed); at != std::string::npos; at = result.errors.find(speed, at + 1)) ++parts;
  EXPECT_EQ(parts, 2 * 5) << "sampling, three scores and training in each iteration";
  EXPECT_EQ(read("c.jsonl"), read("run/responses-1.jsonl"));
  const auto before = contents();
  expect_says(run("steerlm2 steerlm2.yaml"), "finished already");
  EXPECT_EQ(changes_since(before), "");
  // A KL divergence is not drawn among the losses of fine-tunings.
  const std::string page = run("report run --out -").output;
  EXPECT_THAT(page, testing::HasSubstr("<h3>SteerLM 2.0</h3>"));
  EXPECT_THAT(page, testing::Not(testing::HasSubstr("nats per target token")));
}

TEST_F(Steerlm2Program, StoppedAndKilledInEachPartItGivesTheBytesOfAnUndisturbedRun) {
  ASSERT_EQ(run("steerlm2 steerlm2.yaml max_prompts=70").code, 0);
  const std::string again = "steerlm2 steerlm2.yaml max_prompts=70 run_dir=again";
  const std::pair<const char*, int> moments[] = {
      {"again/sample-1/recipe.yaml", SIGTERM},  {"again/prior-1/ledger.jsonl", SIGKILL},
      {"again/policy-1/recipe.yaml", SIGKILL},  {"again/predictor-1/recipe.yaml", SIGTERM},
      {"again/train-1/metrics.jsonl", SIGKILL}, {"again/sample-2/ledger.jsonl", SIGKILL},
      {"again/policy-2/ledger.jsonl", SIGTERM}, {"again/train-2/checkpoints/LATEST", SIGKILL}};
  for (const auto& [file, signal] : moments) {
    const Result ended = run_until(again, signal, [&, name = file] { return exists(name); });
    EXPECT_EQ(ended.code, signal == SIGTERM ? 75 : 137) << file << "\n" << ended.errors;
  }
  ASSERT_EQ(run(again).code, 0);
  for (const char* file : {"sampled-1.jsonl", "responses-1.jsonl", "sampled-2.jsonl", "responses-2.jsonl",
                           "train-1/model/model.safetensors", "model/model.safetensors", "model/steerlm.json"}) {
    EXPECT_EQ(read(Path("again") / file), read(Path("run") / file)) << file;
  }
}

// The same texts as records, read by the ordinary `score`.
TEST_F(Steerlm2Program, TheNumbersOfResponsesAreThoseOfRecords) {
  write("groups.jsonl", group("one", response("yes") + "," + response("no no")) + group("two", response("a b c")));
  ASSERT_EQ(
      run("data convert --input groups.jsonl --output records.jsonl --attributes quality,humor,length --max 4").code,
      0);
  ASSERT_EQ(json_lines(read("records.jsonl")).size(), 3u);
  struct Reading {
    const char *options, *key;
  };
  std::vector<double> all;
  for (const auto& [options, key] : {Reading{"", "log(Q(y|a,x))"}, Reading{"--no-labels", "log(P(y|x))"}}) {
    const std::string score = std::string("score --model policy --output - ") + options;
    std::vector<double> of_groups, of_records;
    for (const Json& line : json_lines(run(score + " --responses --input groups.jsonl").output)) {
      for (const Json& each : line.at("responses")) of_groups.push_back(each.at(key).get<double>());
    }
    for (const Json& line : json_lines(run(score + " --input records.jsonl").output))
      of_records.push_back(line.at("logprob").get<double>());
    EXPECT_EQ(of_groups, of_records) << key;
    all.insert(all.end(), of_groups.begin(), of_groups.end());
  }
  ASSERT_EQ(all.size(), 6u);
  for (size_t i = 0; i < 3; ++i) EXPECT_NE(all[i], all[i + 3]) << "the label changes nothing";
}

TEST_F(Steerlm2Program, TrainsOnAFileOfResponses) {
  write("groups.jsonl", group("one", response("yes") + "," + response("no no") + "," + response("perhaps")) +
                            group("two", response("a b c") + "," + response("d")) + group("three", response("alone")));
  ASSERT_EQ(run("score --model prior --responses --no-labels --input groups.jsonl --output a.jsonl").code, 0);
  ASSERT_EQ(run("score --model policy --responses --input a.jsonl --output b.jsonl").code, 0);
  ASSERT_EQ(run("score --model predictor --responses --input b.jsonl --output scored.jsonl").code, 0);
  const std::string recipe = "steerlm2 ready.yaml";
  write("ready.yaml",
        "stage: steerlm2\npolicy: policy\ndata: {train: scored.jsonl, max_tokens: 256}\nrun_dir: ready\n"
        "optimizer: {learning_rate: 1e-3}\ntrain: {steps: 5, batch_size: 2}\n");
  expect_says(run(recipe + " --dry-run"), "forecast: 5 steps");
  expect_says(run(recipe + " --dry-run iterations=3"),
              "warning: iterations has no effect: data.train has the responses");
  expect_refused(run(recipe + " --dry-run set.qualty=1"), 2, "did you mean 'quality'?");
  EXPECT_FALSE(exists("ready"));
  const Result result = run(recipe);
  expect_says(result, "training: 2 prompts");
  expect_says(result, "1 prompts left out because fewer than two responses are left");
  const auto distance = metric("ready", "train/distance");
  EXPECT_LT(distance.at(5), distance.at(1));
  // Weights, groups and log Q' come from the encoded data as they were.
  ASSERT_EQ(run(recipe + " run_dir=parts train.max_minutes=1e-9").code, 75);
  const Result second = run(recipe + " run_dir=parts");
  expect_says(second, "the training data is encoded already");
  expect_says(second, "1 prompts left out because fewer than two responses are left");
  EXPECT_EQ(read("parts/model/model.safetensors"), read("ready/model/model.safetensors"));
  // The same file without one of the numbers.
  expect_refused(run(recipe + " run_dir=lacking data.train=b.jsonl"), 3, "without 'log(P(a|x,y))'");
  EXPECT_FALSE(exists("lacking/model"));
  expect_refused(run(recipe + " run_dir=other data.train=prompts.jsonl"), 3, "no record of SteerLM 2.0");
  expect_refused(run(recipe + " run_dir=none policy=prior"), 4, "the model has no dials");
  expect_refused(run(recipe + " run_dir=none policy=predictor"), 4, "is a predictor with a regression head");
  expect_refused(
      run(recipe + " run_dir=best data.validation_fraction=0.5 checkpoint.keep_best.metric=validation/distanc"), 2,
      "did you mean 'validation/distance'?");
}

TEST_F(Steerlm2Program, WhatDoesNotFitTogetherIsRefusedBeforeAnythingIsSampled) {
  make_model("classifier", "other", R"("quality", "wit", "length")");
  expect_refused(run("steerlm2 steerlm2.yaml predictor=other"), 2, "does not know the policy's attribute 'humor'");
  write("other/steerlm.json", R"({"attributes": {"names": ["quality", "humor", "length"], "min": 0, "max": 9}})");
  expect_refused(run("steerlm2 steerlm2.yaml run_dir=b predictor=other"), 2, "different ranges");
  expect_refused(run("steerlm2 steerlm2.yaml run_dir=c prior=predictor"), 4, "'prior' is a predictor");
  expect_refused(run("steerlm2 steerlm2.yaml run_dir=d predictor=prior"), 4, "");
  expect_refused(run("steerlm2 steerlm2.yaml run_dir=e set.qualty=1"), 2, "did you mean 'quality'?");
  expect_refused(run("steerlm2 steerlm2.yaml run_dir=f set.quality=7"), 2, "out of range");
  expect_refused(run("steerlm2 steerlm2.yaml run_dir=g sampling.max_new_tokens=1 max_prompts=1"), 3, "max_new_tokens");
  expect_refused(run("steerlm2 steerlm2.yaml run_dir=h prior=none"), 4, "none");
  for (const char* folder : {"run", "b", "c", "d", "e", "f"})
    EXPECT_FALSE(exists(Path(folder) / "sampled-1.jsonl")) << folder;
  expect_says(run("steerlm2 steerlm2.yaml run_dir=dry --dry-run"), "would sample 40 responses at quality:3");
  EXPECT_FALSE(exists("dry"));
  expect_says(run("steerlm2 steerlm2.yaml run_dir=labels prior=policy iterations=1"), "has attributes (");
}

// What the training of the first iteration will read, before hours of sampling and scoring.
TEST_F(Steerlm2Program, WhatWouldEndTheTrainingIsFoundBeforeAnythingIsSampled) {
  write("unscored.jsonl", group("one", response("yes") + "," + response("no no")));
  write("records.jsonl", conversation("question", "answer", "quality:3,humor:0,length:0"));
  write("empty.jsonl", "\n");
  copy_model("classifier", "words");
  std::filesystem::remove(path("words/tokenizer.model"));
  write("words/steerlm.json", read("predictor/steerlm.json"));
  write("adapter.yaml",
        "stage: sft\nmodel: policy\ndata: {train: records.jsonl, max_tokens: 256}\nrun_dir: adapter\n"
        "train: {steps: 1, batch_size: 4}\nlora: {rank: 4, alpha: 8, targets: [q_proj]}\n");
  ASSERT_EQ(run("sft adapter.yaml").code, 0) << read("err.txt");
  struct Fault {
    const char* arguments;
    int code;
    const char* message;
  };
  const Fault faults[] = {
      {"data.validation_fraction=0 data.validation=unscored.jsonl", 3, "a response without 'log("},
      {"data.validation_fraction=0 data.validation=records.jsonl", 3, "no record of SteerLM 2.0"},
      {"data.validation_fraction=0 data.validation=empty.jsonl checkpoint.keep_best.metric=validation/distance", 2,
       "the validation part is empty"},
      {"data.validation_fraction=1e-9 checkpoint.keep_best.metric=validation/distance", 2,
       "the validation part is empty"},
      {"data.validation_fraction=0.999999999", 3, "the answers to all prompts are held out"},
      {"predictor=words", 4, "words"},
      {"policy=adapter/model lora='{rank: 2, alpha: 8, targets: [q_proj]}'", 2, "another adapter than the one in"}};
  for (const auto& [arguments, code, message] : faults) {
    for (const std::string option : {" --dry-run ", " "}) {
      expect_refused(run("steerlm2 steerlm2.yaml" + option + arguments), code, message);
      EXPECT_FALSE(exists("run/sample-1")) << arguments;
    }
  }
  expect_says(run("steerlm2 steerlm2.yaml --dry-run on_bad_record=quarantine data.validation_fraction=0 "
                  "data.validation=records.jsonl"),
              "1 bad records");
  ASSERT_EQ(run("steerlm2 steerlm2.yaml iterations=1").code, 0) << read("err.txt");
  // The advice of the refusal of another recipe, followed.
  expect_refused(run("steerlm2 steerlm2.yaml iterations=1 data.validation_fraction=0.2"), 2,
                 "run_dir=ANOTHER prompts=null prior=null predictor=null data.train=run/responses-1.jsonl");
  ASSERT_EQ(run("steerlm2 steerlm2.yaml run_dir=another prompts=null prior=null predictor=null "
                "data.train=run/responses-1.jsonl")
                .code,
            0)
      << read("err.txt");
  EXPECT_EQ(read("another/model/model.safetensors"), read("run/model/model.safetensors"));
}

TEST_F(Steerlm2Program, ScoreTellsTheThreeProbabilities) {
  write("records.jsonl",
        conversation("question", "answer", "quality:3,humor:0,length:0") + conversation("another", "one"));
  const std::vector<Json> with = json_lines(run("score --model policy --input records.jsonl --output -").output),
                          without = json_lines(
                              run("score --model policy --no-labels --input records.jsonl --output -").output);
  ASSERT_EQ(with.size(), 2u);
  EXPECT_NE(with[0].at("logprob"), without[0].at("logprob"));
  EXPECT_EQ(with[1].at("logprob"), without[1].at("logprob")) << "it has no label to leave out";
  EXPECT_EQ(with[0].at("tokens"), without[0].at("tokens")) << "the same tokens in both readings";
  const Result judged = run("score --model predictor --label-logprob --input records.jsonl --output -");
  const std::vector<Json> labels = json_lines(judged.output);
  ASSERT_EQ(labels.size(), 2u) << judged.errors;
  EXPECT_LT(labels[0].at("label_logprob").get<double>(), 0);
  EXPECT_FALSE(labels[1].contains("label_logprob"));
  const std::vector<Json> half = json_lines(
      run("score --model predictor --label-logprob --beta-edges half --input records.jsonl --output -").output);
  EXPECT_NE(half.at(0).at("label_logprob"), labels[0].at("label_logprob"));
  EXPECT_EQ(half.at(0).at("scores"), labels[0].at("scores"));
  const std::vector<Json> mean = json_lines(
      run("score --model predictor --label-logprob --beta-combination geometric_mean --input records.jsonl --output -")
          .output);
  EXPECT_NEAR(mean.at(0).at("label_logprob").get<double>(), labels[0].at("label_logprob").get<double>() / 3, 1e-12);
  expect_refused(run("score --model predictor --label-logprob --beta-edges halves --input records.jsonl --output -"), 2,
                 "expected one of equal, half");
  expect_refused(run("score --model predictor --no-labels --input records.jsonl --output -"), 2,
                 "--no-labels is for the log-probabilities of a language model");
  const std::vector<Json> written =
      json_lines(run("score --model policy --label-logprob --input records.jsonl --output -").output);
  EXPECT_LT(written.at(0).at("label_logprob").get<double>(), 0) << "a language model that writes labels";
  expect_refused(run("score --model prior --label-logprob --input records.jsonl --output -"), 4, "");
  expect_refused(run("score --model predictor --beta-concentration 0 --input records.jsonl --output -"), 2,
                 "--beta-concentration");
  write("unlabelled.jsonl", conversation("another", "one"));
  expect_refused(run("score --model predictor --label-logprob --input unlabelled.jsonl --output -"), 3,
                 "no assistant turn has a label");
  expect_refused(run("score --model policy --responses --input records.jsonl --output -"), 3,
                 "no record of SteerLM 2.0");
  write("text.jsonl", group("one", response("yes") + R"j(,{"from":"Assistant","value":"no","log(P(y|x))":"-6.2"})j"));
  const Result text = run("score --model policy --responses --input text.jsonl --output -");
  expect_refused(text, 3, "write it without quotes");
  write("tokens.jsonl", group("one", R"({"from":"Assistant","value":"no","tokens":77})"));
  expect_refused(run("score --model policy --responses --input tokens.jsonl --output -"), 3,
                 "take models of one tokenizer");
}

}  // namespace
}  // namespace steerlm
