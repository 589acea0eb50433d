// LoRA through the program: a recipe with `lora`, its adapter folder used as a model, merged, gone on with.
#include <cmath>
#include <optional>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class LoraProgram : public Program {
 protected:
  void SetUp() override {
    copy_model("untied", "base");
    std::string lines;
    for (int i = 0; i < 12; ++i)
      lines += conversation("question " + std::to_string(i), "answer " + std::to_string(i),
                            "quality:" + std::to_string(i % 5) + ",humor:1");
    write("train.jsonl", lines);
    const std::string common =
        "model: {path: base}\nattributes: {names: [quality, humor], min: 0, max: 4}\n"
        "data: {train: [{path: train.jsonl}], validation: [{path: train.jsonl}], max_tokens: 256}\n"
        "run_dir: run\noptimizer: {learning_rate: 1e-2}\ntrain: {steps: 6, batch_size: 4}\n"
        "lora: {rank: 4, alpha: 8, targets: [q_proj, v_proj, down_proj]}\n";
    write("sft.yaml", "stage: sft\n" + common);
    write("predictor.yaml", "stage: train-predictor\nhead: {kind: regression, bias: false}\n" + common);
  }

  std::vector<Json> scores(const std::string& model) const {
    const Result result = run("score --model " + model + " --input train.jsonl --output -");
    EXPECT_EQ(result.code, 0) << result.errors;
    return json_lines(result.output);
  }

  Json steerlm_json(const std::string& model) const {
    return parse_json(read(model + "/steerlm.json"), "steerlm.json", ExitCode::model);
  }
  // What a folder says that it was trained to write, if it says it.
  std::optional<std::string> written(const std::string& model) const {
    const Json head = steerlm_json(model).at("head");
    return head.contains("writes") ? std::optional(head.at("writes").get<std::string>()) : std::nullopt;
  }
};

TEST_F(LoraProgram, AnAdapterIsAModelAndItsMergeGivesTheSameLogProbabilities) {
  const Result trained = run("sft sft.yaml");
  ASSERT_EQ(trained.code, 0) << trained.errors;
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors", "steerlm.json", "tokenizer.model",
                           "tokenizer_config.json", "README.md"})
    EXPECT_TRUE(exists(Path("run/model") / file)) << file;
  EXPECT_FALSE(exists("run/model/config.json"));
  EXPECT_FALSE(exists("run/model/model.safetensors"));
  const Json config = parse_json(read("run/model/adapter_config.json"), "adapter_config.json", ExitCode::model);
  EXPECT_EQ(config.at("base_model_name_or_path"), "base");
  EXPECT_EQ(config.at("r"), 4);
  EXPECT_EQ(config.at("lora_alpha"), 8);
  EXPECT_EQ(config.at("task_type"), "CAUSAL_LM");

  const Result merge = run("model merge --model run/model --output merged");
  ASSERT_EQ(merge.code, 0) << merge.errors;
  const auto of_base = scores("base"), of_adapter = scores("run/model"), of_merged = scores("merged");
  double moved = 0;
  ASSERT_EQ(of_adapter.size(), 12u);
  for (size_t i = 0; i < of_adapter.size(); ++i) {
    EXPECT_NEAR(of_adapter[i].at("logprob").get<double>(), of_merged[i].at("logprob").get<double>(), 1e-4);
    moved += std::abs(of_adapter[i].at("logprob").get<double>() - of_base[i].at("logprob").get<double>());
  }
  EXPECT_GT(moved, 1) << "nothing was trained";

  const Result answer = run("generate --model run/model --prompt 'question 3' --set quality=4 --max-new-tokens 8");
  EXPECT_EQ(answer.code, 0) << answer.errors;
  EXPECT_EQ(answer.output,
            run("generate --model merged --prompt 'question 3' --set quality=4 --max-new-tokens 8").output);
  const Json info = parse_json(run("model info --model run/model").output, "info", ExitCode::model);
  EXPECT_EQ(info.at("adapter").at("rank"), 4);
  EXPECT_EQ(info.at("attributes").at("names")[0], "quality");
  expect_refused(run("model export --model run/model --output out --dtype bf16"), 4,
                 "merge it first: steerlm model merge");
  expect_refused(run("model merge --model base --output out"), 4, "the folder is not an adapter");
}

// Folders of one shape: what was trained to write answers is no predictor, and what was trained to write labels no
// policy.
TEST_F(LoraProgram, AModelIsHeldToWhatItWasTrainedToWrite) {
  const std::string short_system = "template.system='Be good.' ";
  ASSERT_EQ(run("sft sft.yaml run_dir=policy " + short_system).code, 0) << read("err.txt");
  ASSERT_EQ(run("train-predictor predictor.yaml run_dir=judge head='{kind: language_model}' " + short_system).code, 0)
      << read("err.txt");
  for (const std::string name : {"policy", "judge"}) {
    const std::string wanted = name == "policy" ? "text" : "labels";
    EXPECT_EQ(written(name + "/model"), wanted);
    ASSERT_EQ(run("model merge --model " + name + "/model --output " + name + "-merged").code, 0);
    ASSERT_EQ(run("model export --model " + name + "-merged --dtype bf16 --output " + name + "-exported").code, 0);
    ASSERT_EQ(run("model add-tokens --model " + name + "-merged --tokens '<a>' --output " + name + "-grown").code, 0);
    for (const char* made : {"-merged", "-exported", "-grown"}) EXPECT_EQ(written(name + made), wanted) << made;
    const Json info = parse_json(run("model info --model " + name + "/model").output, "info", ExitCode::model);
    EXPECT_EQ(info.at("head").at("writes"), wanted);
  }

  write("annotate.yaml",
        "stage: annotate\npredictor: judge/model\ninput: train.jsonl\noutput: out.jsonl\nrun_dir: a\n");
  write("evaluate.yaml", "stage: evaluate\npredictor: judge/model\ndata: {validation: train.jsonl}\nrun_dir: e\n");
  write("generate.yaml", "stage: generate\nmodel: policy/model\nprompts: train.jsonl\noutput: g.jsonl\nrun_dir: g\n");
  const std::string sampled = "policy: policy/model\npredictor: judge/model\nprompts: train.jsonl\n";
  write("bootstrap.yaml", "stage: bootstrap\n" + sampled + "labels_from: train.jsonl\nrun_dir: b\n");
  write("steerlm2.yaml", "stage: steerlm2\n" + sampled + "prior: policy/model\nrun_dir: s\n");
  const std::string no_predictor = "is not an attribute predictor: it was trained to write answers",
                    no_policy = "is a predictor: it was trained to write labels, and no answers";
  for (const std::string model : {"policy/model", "policy-merged"}) {
    for (const std::string stage : {"annotate", "evaluate", "bootstrap", "steerlm2"})
      expect_refused(run(stage + " " + stage + ".yaml --dry-run predictor=" + model), 4, no_predictor);
    expect_refused(run("score --label-logprob --input train.jsonl --output - --model " + model), 4, no_predictor);
  }
  for (const std::string model : {"judge/model", "judge-merged"}) {
    for (const char* command : {"bootstrap bootstrap.yaml --dry-run policy=",
                                "steerlm2 steerlm2.yaml --dry-run policy=", "steerlm2 steerlm2.yaml --dry-run prior=",
                                "run generate.yaml --dry-run model=", "generate --prompt x --max-new-tokens 2 --model ",
                                "chat </dev/null --model ", "score --input train.jsonl --output - --model "})
      expect_refused(run(command + model), 4, no_policy);
  }
  // Each in its place; what is asked for by its raw text is anybody's.
  for (const std::string stage : {"annotate", "evaluate", "bootstrap", "steerlm2", "generate"})
    EXPECT_EQ(run((stage == "generate" ? "run" : stage) + " " + stage + ".yaml --dry-run").code, 0) << read("err.txt");
  for (const char* command :
       {"annotate annotate.yaml", "score --label-logprob --input train.jsonl --output - --model judge/model",
        "generate --raw --prompt x --max-new-tokens 2 --model judge/model",
        "generate --prompt x --max-new-tokens 2 --model policy/model"})
    EXPECT_EQ(run(command).code, 0) << command << "\n" << read("err.txt");
  // A predictor may be trained from a policy, whose kind its validation does not mind.
  ASSERT_EQ(run("train-predictor predictor.yaml run_dir=next model.path=policy/model head='{kind: language_model}' " +
                short_system)
                .code,
            0)
      << read("err.txt");
  EXPECT_EQ(written("next/model"), "labels");
}

TEST_F(LoraProgram, AFolderThatWritesBothOrDoesNotSayIsTakenAsBefore) {
  std::string judged;
  for (const std::string& line : lines_of(read("train.jsonl")))
    judged += R"({"type":"TEXT_TO_VALUE",)" + line.substr(1) + "\n";
  write("judged.jsonl", judged);
  ASSERT_EQ(run("sft sft.yaml run_dir=both data.train='[train.jsonl, judged.jsonl]'").code, 0) << read("err.txt");
  ASSERT_EQ(run("sft sft.yaml run_dir=labels data.train=judged.jsonl").code, 0) << read("err.txt");
  ASSERT_EQ(run("sft sft.yaml").code, 0) << read("err.txt");
  EXPECT_EQ(written("both/model"), std::nullopt);
  EXPECT_EQ(written("labels/model"), "labels");
  EXPECT_EQ(written("run/model"), "text");
  const std::string annotate = "annotate annotate.yaml --dry-run predictor=";
  write("annotate.yaml", "stage: annotate\npredictor: both/model\ninput: train.jsonl\noutput: out.jsonl\nrun_dir: a\n");
  EXPECT_EQ(run(annotate + "both/model").code, 0) << read("err.txt");
  EXPECT_EQ(run(annotate + "labels/model").code, 0) << read("err.txt");
  EXPECT_EQ(run(annotate + "run/model").code, 4) << read("err.txt");
  Json silent = steerlm_json("run/model");
  silent["head"].erase("writes");
  write("run/model/steerlm.json", silent.dump());
  EXPECT_EQ(run(annotate + "run/model").code, 0) << read("err.txt");
}

TEST_F(LoraProgram, AKilledRunGivesTheBytesOfAnUndisturbedOne) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  Result result{75, "", ""};
  for (int stops = 0; result.code == 75 && stops < 20; ++stops)
    result = run("sft sft.yaml run_dir=stopped train.max_minutes=1e-9 checkpoint.every_steps=1");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(read("stopped/model/adapter_model.safetensors"), read("run/model/adapter_model.safetensors"));
}

TEST_F(LoraProgram, TheTrainingOfAnAdapterGoesOnOrItIsTrainedOnAsAWhole) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const Result more = run("sft sft.yaml model.path=run/model run_dir=more");
  ASSERT_EQ(more.code, 0) << more.errors;
  EXPECT_EQ(parse_json(read("more/model/adapter_config.json"), "", ExitCode::model).at("base_model_name_or_path"),
            "base");
  EXPECT_NE(read("more/model/adapter_model.safetensors"), read("run/model/adapter_model.safetensors"));
  expect_refused(run("sft sft.yaml model.path=run/model run_dir=other lora.rank=2"), 2,
                 "merge it first: steerlm model merge");
  // Without `lora` all weights are trained, from the merged ones.
  write("whole.yaml",
        "stage: sft\nmodel: {path: run/model}\ndata: {train: [{path: train.jsonl}], max_tokens: 256}\nrun_dir: whole\n"
        "train: {steps: 1, batch_size: 4}\noptimizer: {learning_rate: 0}\n");
  const Result whole = run("sft whole.yaml optimizer.learning_rate=1e-12");
  ASSERT_EQ(whole.code, 0) << whole.errors;
  EXPECT_TRUE(exists("whole/model/model.safetensors"));
  EXPECT_FALSE(exists("whole/model/adapter_config.json"));
  EXPECT_NEAR(scores("whole/model")[3].at("logprob").get<double>(), scores("run/model")[3].at("logprob").get<double>(),
              1e-4);
}

// PEFT itself writes two files; and a folder may have been moved.
TEST_F(LoraProgram, WhatAnAdapterFolderLacksIsItsBases) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const auto complete = scores("run/model");
  std::filesystem::create_directory(path("bare"));
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
    std::filesystem::copy_file(path(Path("run/model") / file), path(Path("bare") / file));
  std::filesystem::copy_file(path("run/model/steerlm.json"), path("base/steerlm.json"));
  const auto bare = scores("bare");
  ASSERT_EQ(bare.size(), complete.size());
  for (size_t i = 0; i < bare.size(); ++i) EXPECT_EQ(bare[i], complete[i]);
  std::filesystem::rename(path("base"), path("moved"));
  expect_refused(run("model merge --model bare --output merged"), 4,
                 "the folder of the model that the adapter adapts is not there");
  ASSERT_EQ(run("model merge --model bare --base moved --output merged").code, 0);
  EXPECT_NEAR(scores("merged")[3].at("logprob").get<double>(), complete[3].at("logprob").get<double>(), 1e-4);
}

TEST_F(LoraProgram, AnAdapterAmongTheFilesOfAModelIsRefusedAndTheAdviceHelps) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const auto adapted = scores("run/model"), alone = scores("base");
  const std::vector<std::string> files{"adapter_config.json", "adapter_model.safetensors"};
  for (const std::string& file : files)
    std::filesystem::copy_file(path(Path("run/model") / file), path("base/" + file));
  for (const std::string command :
       {"generate --prompt x --model base", "score --input train.jsonl --output - --model base",
        "chat --model base </dev/null", "model info --model base", "model export --dtype fp32 --output e --model base",
        "model merge --output m --model base", "model add-tokens --tokens '<a>' --output a --model base",
        "sft sft.yaml run_dir=again", "data show-mask --input train.jsonl --model base"})
    expect_refused(run(command), 4, "the folder holds a whole model and an adapter too");
  std::filesystem::create_directory(path("own"));
  for (const std::string& file : files) std::filesystem::rename(path("base/" + file), path("own/" + file));
  EXPECT_EQ(scores("base"), alone);
  ASSERT_EQ(run("model merge --model own --base base --output both").code, 0);
  std::filesystem::copy_file(path("run/model/steerlm.json"), path("both/steerlm.json"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NEAR(scores("both")[3].at("logprob").get<double>(), adapted[3].at("logprob").get<double>(), 1e-4);
}

TEST_F(LoraProgram, AChangedBaseIsAChangedInput) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  ASSERT_EQ(run("sft sft.yaml model.path=run/model run_dir=more").code, 0);
  append("base/config.json", "\n");
  const Result again = run("sft sft.yaml model.path=run/model run_dir=more");
  EXPECT_EQ(again.code, 2) << again.errors;
}

TEST_F(LoraProgram, APredictorsAdapterCarriesItsScore) {
  const Result trained = run("train-predictor predictor.yaml");
  ASSERT_EQ(trained.code, 0) << trained.errors;
  EXPECT_EQ(parse_json(read("run/model/adapter_config.json"), "", ExitCode::model).at("modules_to_save"),
            Json::array({"score"}));
  ASSERT_EQ(run("model merge --model run/model --output merged").code, 0);
  const auto of_adapter = scores("run/model"), of_merged = scores("merged");
  for (size_t i = 0; i < of_adapter.size(); ++i) {
    for (const char* name : {"quality", "humor"})
      EXPECT_NEAR(of_adapter[i].at("scores").at(name).get<double>(), of_merged[i].at("scores").at(name).get<double>(),
                  1e-5);
  }
  expect_refused(run("generate --model run/model --prompt x"), 4, "predictor");
  EXPECT_FALSE(written("run/model"));
}

TEST_F(LoraProgram, WhatCannotBeIsRefused) {
  expect_refused(run("sft sft.yaml lora.dropout=0.1"), 2, "nothing is dropped");
  expect_refused(run("sft sft.yaml lora.rank=0"), 2, "lora.rank");
  expect_refused(run("sft sft.yaml 'lora.targets=[q_prj]'"), 2, "LoRA cannot adapt 'q_prj'");
  expect_refused(run("sft sft.yaml 'lora.targets=[q_proj, q_proj]'"), 2, "occurs twice");
  write("init.yaml",
        "stage: sft\nmodel: {init: {}, tokenizer: base/tokenizer.model}\nlora: {rank: 2}\nrun_dir: init\ndata: {train: "
        "[{path: train.jsonl}]}\n");
  expect_refused(run("sft init.yaml"), 2, "'model.init' makes one from nothing");
}

TEST_F(LoraProgram, ADamagedAdapterIsRefusedWithItsReason) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const std::string config = read("run/model/adapter_config.json");
  const auto with = [&](const char* key, const Json& value) {
    Json json = parse_json(config, "", ExitCode::model);
    json[key] = value;
    write("run/model/adapter_config.json", json.dump());
    return run("generate --model run/model --prompt x");
  };
  expect_refused(with("use_dora", true), 4, "'use_dora' is not implemented (found true");
  expect_refused(with("rank_pattern", {{"q_proj", 2}}), 4, "'rank_pattern' is not implemented");
  expect_refused(with("peft_type", "IA3"), 4, "'peft_type' is not implemented (found \"IA3\"");
  expect_refused(with("target_modules", {"q_proj"}), 4, "extra tensor 'base_model.model.model.layers.0.");
  expect_refused(with("target_modules", {"q_proj", "lm_head"}), 4, "LoRA cannot adapt 'lm_head'");
  expect_refused(with("r", 8), 4, "has not the shape that the base and the rank give it");
  expect_refused(with("base_model_name_or_path", "gone"), 4,
                 "the folder of the model that the adapter adapts is not there");
  expect_refused(with("base_model_name_or_path", nullptr), 4, "'base_model_name_or_path' is missing");
  write("run/model/adapter_config.json", config);
  const std::string weights = read("run/model/adapter_model.safetensors");
  write("run/model/adapter_model.safetensors", weights.substr(0, weights.size() - 4));
  expect_refused(run("generate --model run/model --prompt x"), 4, "adapter_model.safetensors");
  std::filesystem::remove(path("run/model/adapter_model.safetensors"));
  expect_refused(run("generate --model run/model --prompt x"), 4, "a PEFT adapter without adapter_model.safetensors");
}

}  // namespace
}  // namespace steerlm
