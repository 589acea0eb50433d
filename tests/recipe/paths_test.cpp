#include <cstdlib>

#include "recipe_support.h"

namespace steerlm {
namespace {

struct Form {
  Stage stage;
  std::string brief, whole;  // added to `stage: …` and `run_dir: r`
};
class ShortFormTest : public testing::TestWithParam<Form> {};

TEST_P(ShortFormTest, IsTheSameRecipe) {
  const Form& form = GetParam();
  const std::string head = "stage: " + std::string(enum_name(form.stage)) + "\nrun_dir: r\n";
  EXPECT_EQ(faults(head + form.brief), "");
  EXPECT_EQ(dump_recipe(load(head + form.brief)), dump_recipe(load(head + form.whole)));
}

INSTANTIATE_TEST_SUITE_P(
    All, ShortFormTest,
    testing::Values(
        Form{Stage::sft, "model: m\ndata: {train: a}\n", "model: {path: m}\ndata: {train: [{path: a}]}\n"},
        Form{Stage::sft, "model: m\ndata: {train: [a, b], validation: c}\n",
             "model: {path: m}\ndata: {train: [{path: a}, {path: b}], validation: [{path: c}]}\n"},
        Form{Stage::sft, "model: m\ndata: {train: {path: a, repeat: 2}}\n",
             "model: {path: m}\ndata: {train: [{path: a, repeat: 2}]}\n"},
        Form{Stage::train_predictor, "model: m\ndata: {train: a, validation: [b]}\n",
             "model: {path: m}\ndata: {train: [{path: a}], validation: [{path: b}]}\n"},
        Form{Stage::annotate, "predictor: p\ninput: a\noutput: b\n", "predictor: p\ninput: [{path: a}]\noutput: b\n"},
        Form{Stage::annotate, "predictor: p\ninput: {path: a, limit: 1}\noutput: b\n",
             "predictor: p\ninput: [{path: a, limit: 1}]\noutput: b\n"},
        Form{Stage::bootstrap,
             "policy: p\npredictor: q\nprompts: a\nlabels_from: b\nstart_from: base\nmodel: m\nmix_original: "
             "true\ndata: "
             "{train: c}\n",
             "policy: p\npredictor: q\nprompts: [{path: a}]\nlabels_from: b\nstart_from: base\nmodel: {path: m}\n"
             "mix_original: true\ndata: {train: [{path: c}]}\n"},
        Form{Stage::generate, "model: m\nprompts: a\noutput: b\n",
             "model: {path: m}\nprompts: [{path: a}]\noutput: b\n"},
        Form{Stage::evaluate, "model: m\npredictor: p\ndata: {validation: a}\ndials: {prompts: b}\n",
             "model: {path: m}\npredictor: p\ndata: {validation: [{path: a}]}\ndials: {prompts: [{path: b}]}\n"},
        Form{Stage::tokenizer, "tokenizer: {input: a, output: b}\n", "tokenizer: {input: [a], output: b}\n"}));

TEST(ShortFormTest, OverridesReachIntoThem) {
  const std::string text = "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: a}\n";
  EXPECT_EQ(load(text, {"model.path=n"}).model.path, "n");
  EXPECT_EQ(load(text, {"model=n"}).model.path, "n");
  EXPECT_EQ(load(text, {"data.train=b"}).data.train.at(0).path, "b");
  EXPECT_EQ(load(text, {"data.train[0].path=b"}).data.train.at(0).path, "b");
  EXPECT_EQ(load(text, {"data.train[1].path=b"}).data.train.at(0).path, "a");
  const Recipe limited = load(text, {"data.train[0].limit=3"});
  EXPECT_EQ(limited.data.train.at(0).path, "a");
  EXPECT_EQ(limited.data.train.at(0).limit, 3);
}

TEST(ShortFormTest, InAStepOfAPipeline) {
  const RecipeFile file(
      "stage: pipeline\nrun_dir: r\nsteps:\n  - {name: a, stage: sft, model: m, data: {train: t}}\n"
      "  - {name: b, stage: generate, model: '@a/model', prompts: p, output: o}\n");
  const Pipeline pipeline = load_pipeline(file.path(), {});
  EXPECT_EQ(load_recipe_text(pipeline.steps.at(0).recipe_yaml, "a").model.path, "m");
  EXPECT_EQ(load_recipe_text(pipeline.steps.at(1).recipe_yaml, "b").generate.prompts.at(0).path, "p");
}

TEST(ShortFormTest, NothingIsNoPath) {
  EXPECT_EQ(faults("stage: sft\nrun_dir: r\nmodel:\ndata: {train: a}\n"),
            "r.yaml:3:1: wrong value of 'model' (found nothing, expected a path or a section)");
  EXPECT_EQ(faults("stage: sft\nrun_dir: r\nmodel: ''\ndata: {train: ''}\n"),
            "r.yaml:3:8: 'model.path' is empty\nr.yaml:4:15: 'data.train[0]' names no file");
}

class UnexpandedTest : public testing::Test {
 protected:
  void SetUp() override { ::setenv("HOME", "/home/me", 1); }
};

TEST_F(UnexpandedTest, TheHomeFolderOfAShellIsToldWithTheWholePath) {
  const std::string advice =
      "'~' is not expanded to a home folder here, only a shell does that (found '~/run'); write /home/me/run";
  EXPECT_EQ(faults("stage: sft\nrun_dir: ~/run\nmodel: m\ndata: {train: a}\n"), "r.yaml:2:10: " + advice);
  EXPECT_EQ(faults(smallest(Stage::sft), {"run_dir=~/run"}), "override 'run_dir=~/run': " + advice);
  EXPECT_EQ(faults(smallest(Stage::sft), {"run_dir=/home/me/run"}), "") << "the advice followed";
  EXPECT_EQ(load(smallest(Stage::sft), {"run_dir=./~/run"}).run_dir, "./~/run") << "a folder of that name can be meant";
}

TEST_F(UnexpandedTest, VariablesAreToldWithTheirValue) {
  ::setenv("STEERLM_TEST_SCRATCH", "/scratch", 1);
  for (const std::string path : {"$STEERLM_TEST_SCRATCH/run", "${STEERLM_TEST_SCRATCH}/run"})
    EXPECT_EQ(faults(smallest(Stage::sft), {"run_dir=" + path}),
              "override 'run_dir=" + path + "': variables of the shell are not expanded here (found '" + path +
                  "'); write /scratch/run");
  ::unsetenv("STEERLM_TEST_SCRATCH");
  EXPECT_NE(faults(smallest(Stage::sft), {"run_dir=$STEERLM_TEST_SCRATCH/run"}).find("the variable is not set"),
            std::string::npos);
  for (const std::string path : {"a$b", "cost$", "$5", "a~b"})
    EXPECT_EQ(faults(smallest(Stage::sft), {"run_dir=" + path}), "");
  EXPECT_EQ(faults(smallest(Stage::sft), {"template.system=Pay $HOME and ~/x"}), "") << "a text is no path";
}

// Every key that holds a path, of every stage.
TEST_F(UnexpandedTest, EveryPathIsLookedAt) {
  const auto refused = [](Stage stage, const std::string& key) {
    EXPECT_NE(faults(smallest(stage), {key + "=~/x"}).find("write /home/me/x"), std::string::npos) << key;
  };
  for (const char* key :
       {"model", "model.path", "data.train", "data.train[0]", "data.train[0].path", "data.validation", "run_dir"})
    refused(Stage::sft, key);
  for (const char* key : {"predictor", "input", "output"}) refused(Stage::annotate, key);
  for (const char* key : {"policy", "predictor", "prompts", "labels_from"}) refused(Stage::bootstrap, key);
  for (const char* key : {"policy", "prior", "predictor", "prompts"}) refused(Stage::steerlm2, key);
  for (const char* key : {"model", "prompts", "output"}) refused(Stage::generate, key);
  for (const char* key : {"predictor", "dials.prompts"}) refused(Stage::evaluate, key);
  for (const char* key : {"tokenizer.input", "tokenizer.output"}) refused(Stage::tokenizer, key);
  const RecipeFile pipeline(
      "stage: pipeline\nrun_dir: ~/p\nsteps: [{name: a, stage: sft, model: ~/m, data: {train: t}}]\n");
  try {
    load_pipeline(pipeline.path(), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.faults().size(), 2u) << "each once: " << error.what();
  }
}

}  // namespace
}  // namespace steerlm
