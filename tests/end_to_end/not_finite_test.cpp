// A model whose weights are not finite, or whose weights are and whose logits are not, ends every command with exit 4.
#include <cmath>
#include <cstring>

#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

class NotFinite : public TrainingProgram {
 protected:
  void SetUp() override {
    TrainingProgram::SetUp();
    copy_model("untied", "nan");
    make_model("untied", "huge", R"("quality")");
    copy_model("classifier", "predictor");
    write("predictor/steerlm.json", R"({"attributes": {"names": ["quality", "humor", "toxicity"], "min": 0, "max": 4},
        "template": {"system": "Be good."}, "head": {"kind": "regression"}})");
    write("unlabelled.jsonl", conversation("hi", "hello"));
    write("prompts.jsonl", "{\"prompt\": \"hi\"}\n");
    write("annotate.yaml",
          "stage: annotate\npredictor: predictor\ninput: [unlabelled.jsonl]\noutput: labelled.jsonl\nrun_dir: "
          "annotated\n");
    write("evaluate.yaml",
          "stage: evaluate\nmodel: {path: nan}\ndata: {validation: [train.jsonl]}\nrun_dir: evaluated\n");
    write("accuracy.yaml",
          "stage: evaluate\npredictor: predictor\ndata: {validation: [train.jsonl]}\nrun_dir: accuracy\n");
    write("generate.yaml",
          "stage: generate\nmodel: nan\nprompts: [prompts.jsonl]\noutput: responses.jsonl\nrun_dir: generated\n"
          "sampling: {max_new_tokens: 4}\n");
  }

  // Overwrites the first number of a tensor (fp32) or, `all`, every one.
  void poke(const Path& file, const std::string& tensor, float value, bool all = false) {
    std::string bytes = read(file);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    const Json header = parse_json(bytes.substr(8, length), "header", ExitCode::data);
    const auto [begin, end] = header.at(tensor).at("data_offsets").get<std::pair<size_t, size_t>>();
    for (size_t at = begin; at < (all ? end : begin + 4); at += 4) std::memcpy(&bytes[8 + length + at], &value, 4);
    write(file, bytes);
  }
  // The largest numbers that are finite in the last norm: the product with the output layer is not.
  void make_logits_overflow(const Path& model) { poke(model / "model.safetensors", "model.norm.weight", 3e38f, true); }
};

TEST_F(NotFinite, WeightsEndEveryCommandAndAreNamed) {
  poke("nan/model.safetensors", "model.layers.1.mlp.up_proj.weight", INFINITY);
  poke("predictor/model.safetensors", "score.weight", NAN);
  const std::string message = "the weights are not finite: tensor 'model.layers.1.mlp.up_proj.weight'";
  for (const std::string command :
       {"generate --model nan --prompt hi --max-new-tokens 3", "generate --model nan --prompt hi --temperature 0",
        "generate --model nan --prompt hi --raw", "score --model nan --input train.jsonl --output out.jsonl",
        "sft sft.yaml model.path=nan", "sft sft.yaml model.path=nan lora='{rank: 2}' run_dir=lora",
        "sft sft.yaml model.path=nan --dry-run", "sft sft.yaml model.path=nan precision=bf16 run_dir=bf16",
        "train-predictor sft.yaml model.path=nan stage=train-predictor run_dir=stage1", "evaluate evaluate.yaml",
        "run generate.yaml", "model export --model nan --dtype bf16 --output exported",
        "model add-tokens --model nan --output more"})
    expect_refused(run(command), 4, message);
  expect_refused(run("chat --model nan", "echo hi |"), 4, message);
  const std::string score = "the weights are not finite: tensor 'score.weight'";
  expect_refused(run("score --model predictor --input train.jsonl --output out.jsonl"), 4, score);
  expect_refused(run("annotate annotate.yaml"), 4, score);
  expect_refused(run("evaluate accuracy.yaml"), 4, score);
  for (const char* file : {"out.jsonl", "exported", "more", "labelled.jsonl", "responses.jsonl", "run/model"})
    EXPECT_FALSE(exists(file)) << file;
}

TEST_F(NotFinite, LogitsOfFiniteWeightsEndEveryCommand) {
  make_logits_overflow("huge");
  make_logits_overflow("predictor");
  for (const std::string command :
       {"generate --model huge --prompt hi --max-new-tokens 3", "generate --model huge --prompt hi --temperature 0",
        "generate --model huge --prompt hi --raw", "run generate.yaml model=huge"})
    expect_refused(run(command), 4, "the model's logits are not finite");
  expect_refused(run("chat --model huge", "echo hi |"), 4, "the model's logits are not finite");
  expect_refused(run("score --model huge --input train.jsonl --output out.jsonl"), 4,
                 "the model's log-probabilities are not finite");
  expect_refused(run("evaluate evaluate.yaml model.path=huge"), 4, "loss on the validation data is not finite");
  const std::string before = "not finite before anything was trained";
  expect_refused(run("sft sft.yaml model.path=huge attributes.names=[quality] run_dir=trained"), 4, before);
  expect_refused(run("sft sft.yaml model.path=huge attributes.names=[quality] precision=bf16 run_dir=bf16"), 4, before);
  EXPECT_FALSE(exists("trained/model"));
  EXPECT_FALSE(exists("trained/checkpoints/LATEST"));
  const std::string score = "the predictor's score of 'quality' is not finite";
  expect_refused(run("score --model predictor --input train.jsonl --output out.jsonl"), 4, score);
  expect_refused(run("annotate annotate.yaml"), 4, score);
  expect_refused(run("evaluate accuracy.yaml"), 4, score);
}

// Finite in fp32, beyond bf16's largest number when rounded to it.
TEST_F(NotFinite, WeightsThatBf16CannotHoldAreNamed) {
  poke("nan/model.safetensors", "model.norm.weight", 3.402e38f);
  expect_refused(run("score --model nan --input train.jsonl --output out.jsonl --precision bf16"), 4,
                 "tensor 'model.norm.weight'");
}

TEST_F(NotFinite, AnAdapterIsNamedToo) {
  ASSERT_EQ(run("sft sft.yaml lora='{rank: 2}' train.steps=1 run_dir=adapter").code, 0);
  poke("adapter/model/adapter_model.safetensors", "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
       NAN);
  const std::string message = "q_proj.lora_A.weight'";
  expect_refused(run("score --model adapter/model --input train.jsonl --output out.jsonl"), 4, message);
  expect_refused(run("model merge --model adapter/model --output merged"), 4, message);
  expect_refused(run("sft sft.yaml model.path=adapter/model lora='{rank: 2}' run_dir=on"), 4, message);
  EXPECT_FALSE(exists("merged"));
}

// A step of 1 on an output layer whose inputs are 3e37: its logits are infinite in the second step, after the first one
// was applied.
TEST_F(NotFinite, ATrainingThatDivergesKeepsItsCheckpointAndWritesNoModel) {
  poke("nan/model.safetensors", "model.norm.weight", 2e37f, true);
  const Result result = run("sft sft.yaml model.path=nan optimizer.learning_rate=1 run_dir=diverged");
  expect_refused(result, 6, "training diverged");
  EXPECT_NE(result.errors.find("step 2"), std::string::npos) << result.errors;
  EXPECT_FALSE(exists("diverged/model"));
  EXPECT_EQ(read("diverged/checkpoints/LATEST").substr(0, 6), "step-1");
}

}  // namespace
}  // namespace steerlm
