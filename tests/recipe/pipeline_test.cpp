#include "recipe_support.h"

namespace steerlm {
namespace {

const std::string whole = R"(# the four steps
stage: pipeline
run_dir: runs/p
method: helpsteer
seed: 7
device: cpu
attributes: {names: [quality, humor], min: 0, max: 4, defaults: {quality: 4}}
template: {system: "@predictor/is text"}
steps:
  - name: predictor
    stage: train-predictor
    model: {path: models/base}
    data: {train: [a.jsonl]}
    train: {steps: 3}
  - name: annotate
    stage: annotate
    predictor: "@predictor/model"
    input: a.jsonl
    output: "@annotate-data/x"
)";

std::string good() {
  std::string text = whole;
  text.replace(text.find("\"@annotate-data/x\""), 18, "out/a.jsonl");
  return text + R"(  - name: sft
    stage: sft
    model: {path: models/base}
    data: {train: [{path: out/a.jsonl}], validation: ["@annotate/v.jsonl"]}
    seed: 9
    attributes: {max: 9}
  - name: bootstrap
    stage: bootstrap
    policy: '@sft/model'
    predictor: "@predictor/model"
    prompts: [{path: a.jsonl}]
    labels_from: "@annotate"
)";
}

Pipeline read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return load_pipeline(RecipeFile(text).path(), overrides);
}

TEST(PipelineTest, StepsAreRecipesWithRunDirectoriesOfTheirOwn) {
  const Pipeline pipeline = read(good());
  EXPECT_EQ(pipeline.run_dir, "runs/p");
  ASSERT_EQ(pipeline.steps.size(), 4u);
  const std::vector<std::string> names{"predictor", "annotate", "sft", "bootstrap"};
  const std::vector<Stage> stages{Stage::train_predictor, Stage::annotate, Stage::sft, Stage::bootstrap};
  for (size_t i = 0; i < 4; ++i) {
    const PipelineStep& step = pipeline.steps[i];
    EXPECT_EQ(step.name, names[i]);
    EXPECT_EQ(step.stage, stages[i]);
    const Recipe recipe = load_recipe_text(step.recipe_yaml, step.name);
    EXPECT_EQ(recipe.stage, stages[i]);
    EXPECT_EQ(recipe.run_dir, "runs/p/" + names[i]);
    EXPECT_EQ(recipe.device, "cpu");
    EXPECT_EQ(dump_recipe(recipe), step.recipe_yaml);
  }
}

TEST(PipelineTest, ItsKeysAreDefaultsOfTheStepsThatUseThem) {
  const Pipeline pipeline = read(good());
  const Recipe predictor = load_recipe_text(pipeline.steps[0].recipe_yaml, "predictor");
  EXPECT_EQ(predictor.method, Method::helpsteer);
  EXPECT_EQ(predictor.head.kind, PredictorKind::regression);
  EXPECT_EQ(predictor.seed, 7);
  EXPECT_EQ(predictor.precision, Precision::fp32);
  EXPECT_EQ(predictor.attributes.names, (std::vector<std::string>{"quality", "humor"}));
  EXPECT_EQ(predictor.attributes.defaults.at("quality"), 4);
  EXPECT_EQ(predictor.text_template.system, "@predictor/is text") << "a template holds no paths";
  const Recipe sft = load_recipe_text(pipeline.steps[2].recipe_yaml, "sft");
  EXPECT_EQ(sft.seed, 9);
  EXPECT_EQ(sft.attributes.names, (std::vector<std::string>{"quality", "humor"}));
  EXPECT_EQ(sft.attributes.max, 9);
  EXPECT_EQ(sft.attributes.defaults.at("quality"), 0) << "its own range takes no defaults from above";
}

// Whose model folder has the attributes takes none from the pipeline, which may train models of several.
TEST(PipelineTest, ItsAttributesAreNotThoseOfAModelFolder) {
  const std::string evaluate =
      "  - {name: look, stage: evaluate, model: {path: '@sft/model'}, predictor: '@predictor/model',\n"
      "     data: {validation: a.jsonl}";
  const Pipeline pipeline = read(good() + evaluate + "}\n");
  for (const size_t step : {3u, 4u}) {
    EXPECT_EQ(pipeline.steps[step].recipe_yaml.find("attributes:"), std::string::npos) << pipeline.steps[step].name;
    EXPECT_FALSE(load_recipe_text(pipeline.steps[step].recipe_yaml, "step").attributes_given);
  }
  // What the step itself says holds, and what it names is looked at before anything runs.
  const Pipeline own = read(good() + evaluate + ", attributes: {max: 9}}\n");
  const Recipe look = load_recipe_text(own.steps[4].recipe_yaml, "look");
  EXPECT_FALSE(look.attributes_given.max.empty());
  EXPECT_EQ(look.attributes.max, 9);
  EXPECT_EQ(look.attributes_given.names + look.attributes_given.min, "") << "these are the folder's";
  EXPECT_TRUE(look.attributes_given.defaults.empty());
  EXPECT_EQ(faults(good() + "    select: {qualty: max}\n"),
            "r.yaml:32:22: unknown attribute 'qualty' in 'select'; did you mean 'quality'?");
}

TEST(PipelineTest, ReferencesBecomePathsAndDependencies) {
  const Pipeline pipeline = read(good());
  using Names = std::vector<std::string>;
  EXPECT_EQ(pipeline.steps[0].depends_on, Names{});
  EXPECT_EQ(pipeline.steps[1].depends_on, Names{"predictor"});
  EXPECT_EQ(pipeline.steps[2].depends_on, Names{"annotate"});
  EXPECT_EQ(pipeline.steps[3].depends_on, (Names{"sft", "predictor", "annotate"}));
  EXPECT_EQ(load_recipe_text(pipeline.steps[1].recipe_yaml, "annotate").annotate.predictor, "runs/p/predictor/model");
  EXPECT_EQ(load_recipe_text(pipeline.steps[2].recipe_yaml, "sft").data.validation[0].path, "runs/p/annotate/v.jsonl");
  EXPECT_EQ(load_recipe_text(pipeline.steps[3].recipe_yaml, "bootstrap").bootstrap.labels_from, "runs/p/annotate");
}

TEST(PipelineTest, SelfIsTheRunDirectoryOfTheStepItself) {
  const auto output_of = [](const Pipeline& pipeline) {
    return load_recipe_text(pipeline.steps[1].recipe_yaml, "annotate").annotate.output;
  };
  const Pipeline pipeline = read(good(), {"steps[1].output=@self/a.jsonl", "run_dir=runs/2"});
  EXPECT_EQ(output_of(pipeline), "runs/2/annotate/a.jsonl");
  EXPECT_EQ(pipeline.steps[1].depends_on, std::vector<std::string>{"predictor"}) << "on no step of that name";
  EXPECT_NE(pipeline.recipe_yaml.find("@self/a.jsonl"), std::string::npos);
  EXPECT_EQ(output_of(read(pipeline.recipe_yaml, {"run_dir=runs/3"})), "runs/3/annotate/a.jsonl");
  EXPECT_EQ(faults(good(), {"steps[3].name=self"}),
            "override 'steps[3].name=self': no step can be named 'self'; '@self/…' is the step that it stands in");
}

TEST(PipelineTest, ItsOwnResolvedRecipeIsAFixedPoint) {
  const Pipeline pipeline = read(good());
  const Pipeline again = read(pipeline.recipe_yaml);
  EXPECT_EQ(again.recipe_yaml, pipeline.recipe_yaml);
  ASSERT_EQ(again.steps.size(), pipeline.steps.size());
  for (size_t i = 0; i < again.steps.size(); ++i) {
    EXPECT_EQ(again.steps[i].recipe_yaml, pipeline.steps[i].recipe_yaml);
    EXPECT_EQ(again.steps[i].depends_on, pipeline.steps[i].depends_on);
  }
}

TEST(PipelineTest, OverridesReachIntoSteps) {
  const Pipeline pipeline = read(good(), {"steps[2].train.epochs=1", "seed=8", "run_dir=elsewhere"});
  EXPECT_EQ(load_recipe_text(pipeline.steps[2].recipe_yaml, "sft").train.epochs, 1);
  EXPECT_EQ(load_recipe_text(pipeline.steps[0].recipe_yaml, "predictor").seed, 8);
  EXPECT_EQ(load_recipe_text(pipeline.steps[1].recipe_yaml, "annotate").annotate.predictor,
            "elsewhere/predictor/model");
}

TEST(PipelineTest, OverridesKnowAStepByItsName) {
  const Pipeline pipeline = read(good(), {"steps.sft.train.epochs=1", "steps.sft.data.train[0].limit=5"});
  const Recipe sft = load_recipe_text(pipeline.steps[2].recipe_yaml, "sft");
  EXPECT_EQ(sft.train.epochs, 1);
  EXPECT_EQ(sft.data.train[0].limit, 5);
  EXPECT_EQ(
      faults(good(), {"steps.stf.seed=1"}),
      "override 'steps.stf.seed=1': no step is named 'stf' (expected one of predictor, annotate, sft, bootstrap); "
      "did you mean 'sft'?");
}

TEST(PipelineTest, ReferencesToUnknownOrLaterSteps) {
  EXPECT_EQ(faults(whole), "r.yaml:19:13: '@annotate-data/x' refers to no earlier step; earlier steps are predictor");
  EXPECT_EQ(faults(whole, {"steps[1].output=x", "steps[1].predictor=@predictr/model"}),
            "override 'steps[1].predictor=@predictr/model': '@predictr/model' refers to no earlier step; did you mean "
            "'predictor'?");
  EXPECT_EQ(
      faults(whole, {"steps[1].output=@annotate/x"}),
      "override 'steps[1].output=@annotate/x': '@annotate/x' refers to no earlier step; earlier steps are predictor");
  EXPECT_EQ(faults(whole, {"steps[1].output=x", "steps[0].model.path=@annotate/model"}),
            "override 'steps[0].model.path=@annotate/model': '@annotate/model' refers to no earlier step; this is the "
            "first step");
}

TEST(PipelineTest, FaultsOfAllStepsInOnePassAtTheirPlaces) {
  EXPECT_EQ(
      faults("stage: pipeline\nrun_dir: r\nattributes: {names: [a, a]}\nsteps:\n"
             "  - {name: a, stage: sft, model: {path: m}, data: {train: [x]}, trian: {steps: 1}}\n"
             "  - {name: a, stage: annotate, input: x, output: y, predictor: p, attributes: {names: [a]}}\n"
             "  - {name: b/c, stage: generate, run_dir: q}\n"
             "  - {name: d, stage: pipeline}\n"
             "  - {name: e, stage: sfft}\n"
             "  - {stage: sft, model: {path: m}, data: {train: [x]}}\n"
             "  - 5\n"),
      "r.yaml:3:21: the attribute 'a' occurs twice\n"
      "r.yaml:5:65: unknown key 'trian'; did you mean 'train'?\n"
      "r.yaml:6:12: two steps have the name 'a'\n"
      "r.yaml:6:67: the stage 'annotate' has no key 'attributes'; it belongs to train-predictor, sft, bootstrap, "
      "evaluate, "
      "pipeline\n"
      "r.yaml:7:5: missing key 'model'\nr.yaml:7:5: missing key 'prompts'\nr.yaml:7:5: missing key 'output'\n"
      "r.yaml:7:12: not a name for a step (found 'b/c', expected letters, digits, _ and -)\n"
      "r.yaml:7:43: a step has no run_dir of its own (expected none: its run directory is the pipeline's "
      "run_dir/NAME)\n"
      "r.yaml:8:22: a step cannot be a pipeline\n"
      "r.yaml:9:22: wrong value of 'stage' (found 'sfft', expected one of tokenizer, train-predictor, annotate, sft, "
      "bootstrap, steerlm2, generate, evaluate, "
      "pipeline); did you mean 'sft'?\n"
      "r.yaml:10:5: missing key 'name' of a step\n"
      "r.yaml:11:5: not a step (expected a section with name, stage and the keys of its recipe)");
}

TEST(PipelineTest, FaultsOfThePipelineItself) {
  EXPECT_EQ(faults("stage: pipeline\nrun_dir: r\nsteps: []\n"), "r.yaml:3:8: 'steps' is empty");
  EXPECT_EQ(faults("stage: pipeline\nrun_dir: r\nsteps: {a: 1}\n"),
            "r.yaml:3:8: wrong value of 'steps' (expected a list of steps)");
  EXPECT_EQ(faults(smallest(Stage::pipeline) + "train: {steps: 1}\n"),
            "r.yaml:5:1: the stage 'pipeline' has no key 'train'; it belongs to train-predictor, sft, bootstrap, "
            "steerlm2");
  EXPECT_EQ(faults(smallest(Stage::pipeline) + "stepss: 1\n"),
            "r.yaml:5:1: unknown key 'stepss'; did you mean 'steps'?");
}

// As it was given, so that the advice can be followed: the step itself knows the key by another path.
TEST(PipelineTest, AdviceOnAnOverrideOfAStepHasItsWholeKey) {
  try {
    read(smallest(Stage::pipeline), {"steps[0].template.system=2024"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'steps[0].template.system=\"2024\"'"), std::string::npos) << error.what();
  }
}

TEST(PipelineTest, ARecipeOfAnotherStageNamesBoth) {
  const RecipeFile file(smallest(Stage::sft));
  try {
    load_pipeline(file.path(), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::recipe);
    EXPECT_EQ(file.shorten(error.what()),
              "r.yaml:1:8: this is a recipe of another stage (found 'sft', expected 'pipeline')");
  }
}

TEST(PipelineTest, LoadAnyTellsThemApart) {
  EXPECT_TRUE(std::holds_alternative<Pipeline>(load_any(RecipeFile(good()).path(), {})));
  EXPECT_TRUE(std::holds_alternative<Recipe>(load_any(RecipeFile(smallest(Stage::sft)).path(), {})));
}

}  // namespace
}  // namespace steerlm
