// Bootstrap and SteerLM 2.0 whose run directories get other names between one part and the next.
#include "end_to_end/generation_program.h"

namespace steerlm {
namespace {

class MovedParts : public Generation {
 protected:
  void SetUp() override {
    Generation::SetUp();
    declare_attributes("model", R"("quality", "humor", "length")");  // the predictor's
    copy_model("untied", "prior");
    write("prior/steerlm.json", R"({"attributes": {"names": []}, "template": {"system": "Be good."}})");
    write("labelled.jsonl", conversation("a", "b", "quality:3,humor:1,length:0"));
    write("bootstrap.yaml",
          "stage: bootstrap\npolicy: model\npredictor: predictor\nprompts: [{path: prompts.jsonl}]\nlabels_from: "
          "labelled.jsonl\nsamples_per_prompt: 3\nsampling: {max_new_tokens: 40}\noptimizer: {learning_rate: 1e-3}\n"
          "train: {steps: 2, batch_size: 4}\nrun_dir: run\n");
    write("steerlm2.yaml",
          "stage: steerlm2\npolicy: model\nprior: prior\npredictor: predictor\nprompts: prompts.jsonl\niterations: 1\n"
          "set: {quality: 3}\nsamples_per_prompt: 4\nsampling: {temperature: 1, top_p: 1, max_new_tokens: 40}\n"
          "data: {max_tokens: 256}\noptimizer: {learning_rate: 1e-3}\ntrain: {epochs: 1, batch_size: 4}\n"
          "checkpoint: {every_steps: 1}\nrun_dir: run\n");
    write(
        "pipeline.yaml",
        "stage: pipeline\nrun_dir: run\nsteps:\n"
        "  - {name: labels, stage: annotate, predictor: predictor, input: labelled.jsonl, output: \"@self/o.jsonl\"}\n"
        "  - name: boot\n    stage: bootstrap\n    policy: model\n    predictor: predictor\n"
        "    prompts: [{path: prompts.jsonl}]\n    labels_from: \"@labels/o.jsonl\"\n    samples_per_prompt: 3\n"
        "    sampling: {max_new_tokens: 40}\n    optimizer: {learning_rate: 1e-3}\n"
        "    train: {steps: 2, batch_size: 4}\n");
  }

  // Each command ends as soon as it has got anywhere. With `copies` every second move is one to another disk.
  void expect_same_through_moves(const std::string& command, const std::string& model, bool copies) {
    ASSERT_EQ(run(command).code, 0) << read("err.txt");
    const std::string limited = command + " max_minutes=1e-9 run_dir=";
    std::string folder = "moved-0";
    Result result = run(limited + folder);
    ASSERT_EQ(result.code, 75) << result.errors;
    int moves = 0;
    for (int i = 1; result.code == 75 && i < 40; ++i, ++moves) {
      const std::string now = "moved-" + std::to_string(i);
      if (copies && i % 2 == 0) {
        std::filesystem::copy(path(folder), path(now), std::filesystem::copy_options::recursive);
        std::filesystem::remove_all(path(folder));
      } else {
        std::filesystem::rename(path(folder), path(now));
      }
      folder = now;
      result = run(limited + folder);
      for (const char* anew : {"runs again", "made again", "another r"})
        EXPECT_EQ(result.errors.find(anew), std::string::npos) << result.errors;
    }
    EXPECT_EQ(result.code, 0) << result.errors;
    EXPECT_GE(moves, 2);
    EXPECT_EQ(read(Path(folder) / model), read(Path("run") / model));
  }
};

TEST_F(MovedParts, Bootstrap) {
  expect_same_through_moves("bootstrap bootstrap.yaml", "model/model.safetensors", true);
}

TEST_F(MovedParts, Steerlm2) { expect_same_through_moves("steerlm2 steerlm2.yaml", "model/model.safetensors", true); }

// The parts of a step read what another step has made, two folders up.
TEST_F(MovedParts, BootstrapOfAPipeline) {
  expect_same_through_moves("pipeline pipeline.yaml", "boot/model/model.safetensors", false);
}

TEST_F(MovedParts, AnotherRecipeIsRefusedBehindTheMoveToo) {
  ASSERT_EQ(run("bootstrap bootstrap.yaml max_minutes=1e-9").code, 75);
  std::filesystem::rename(path("run"), path("moved"));
  expect_refused(run("bootstrap bootstrap.yaml run_dir=moved seed=7"), 2, "another recipe: seed: 1234 -> 7");
  append("labelled.jsonl", conversation("c", "d", "quality:3,humor:0,length:2"));
  expect_refused(run("bootstrap bootstrap.yaml run_dir=moved"), 2, "the input labelled.jsonl has changed");
}

}  // namespace
}  // namespace steerlm
