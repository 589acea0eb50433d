#include "recipe/yaml.h"
#include "recipe_support.h"
#include "steerlm/recipe/compare.h"

namespace steerlm {
namespace {

struct Case {
  Stage stage;
  Method method;
  std::string lines;
};

std::vector<Case> cases() {
  const std::map<Stage, std::vector<std::string>> variations = {
      {Stage::tokenizer, {"", "run_dir: r\nseed: 7\n"}},
      {Stage::train_predictor,
       {"", "head: {kind: language_model}\n", "head: {kind: regression, bias: false}\n",
        "attributes: {names: [a, b], min: -1, max: 3}\n", "head: {kind: regression, loss: margin}\n",
        "head: {kind: regression, loss: scaled, attribute_weights: {a: 0.65, b: -1}}\n"
        "attributes: {names: [a, b]}\n"}},
      {Stage::annotate, {"", "shard: 1/3\nhuman_labels: keep\non_bad_record: stop\n"}},
      {Stage::sft,
       {"", "train: {steps: 9, max_minutes: 0.5}\n", "train: {micro_batch_tokens: auto}\n",
        "checkpoint: {every_steps: 1}\nschedule: {kind: wsd, min_learning_rate: 1e-7, decay_steps: 3}\n",
        "template: {system: \"a: b\\n'c' \\\"d\\\" \\\\ #\", special_tokens: added}\n", "device: cuda:1\n",
        "template: {system: ''}\nattributes: {names: []}\n", "attributes: {defaults: {quality: 3}}\n",
        "attributes: {max: 7}\n"}},
      {Stage::bootstrap,
       {"", "select: {quality: max, humor: 0}\n", "start_from: base\nmodel: {path: b}\n",
        "start_from: policy\nmodel: {path: b}\n",
        "mix_original: true\ndata: {train: [x], validation_fraction: 0.1}\ncheckpoint: {keep_best: {}}\n",
        "attributes: {names: [a]}\ntemplate: {name: plain}\n", "attributes: {defaults: {wit: 1}}\n"}},
      {Stage::steerlm2,
       {"", "set: {quality: 4, humor: 0}\nsampling: {temperature: 0.7}\nbeta: {edges: half, concentration: 12}\n",
        "data: {validation_fraction: 0.1}\ncheckpoint: {keep_best: {metric: validation/distance}}\n",
        "template: {system: b}\nlora: {rank: 4}\n"}},
      {Stage::generate, {"", "set: {quality: 4, humor: 0}\nsampling: {temperature: 0.7}\n"}},
      {Stage::evaluate,
       {"", "model: {path: m}\ndials: {prompts: [p]}\n",
        "model: {path: m}\ndials: {prompts: [p], attributes: [a], judge: toy}\n", "model: {path: m}\n",
        "pairs: {sources: p, attribute_weights: {a: 1, b: -0.5}}\n", "pairs: {sources: [{path: p, limit: 3}]}\n"}}};
  std::vector<Case> all;
  for (const auto& [stage, variants] : variations) {
    for (const auto& [method, name] : EnumNames<Method>::table) {
      for (const std::string& lines : variants) all.push_back({stage, method, lines});
    }
  }
  return all;
}

class DumpRoundTripTest : public testing::TestWithParam<Case> {};

TEST_P(DumpRoundTripTest, LoadingTheDumpIsAFixedPoint) {
  const Case& test = GetParam();
  const std::string text = smallest(test.stage) + "method: " + std::string(enum_name(test.method)) + "\n" + test.lines;
  const Recipe recipe = load(text);
  const std::string dumped = dump_recipe(recipe);
  const Recipe again = load_recipe_text(dumped, "dump");
  EXPECT_EQ(dump_recipe(again), dumped);
  EXPECT_TRUE(differing_keys(dumped, dump_recipe(again)).empty());
  // Members that another member has put out of work do not travel; those that count do.
  EXPECT_EQ(again.stage, recipe.stage);
  EXPECT_EQ(again.run_dir, recipe.run_dir);
  EXPECT_EQ(again.precision, test.stage == Stage::tokenizer ? again.precision : recipe.precision);
  EXPECT_EQ(again.attributes.names, recipe.attributes.names);
  EXPECT_EQ(again.attributes.defaults, recipe.attributes.defaults);
  EXPECT_EQ(again.text_template.system, recipe.text_template.system);
  EXPECT_EQ(again.optimizer.betas, recipe.optimizer.betas);
  EXPECT_EQ(again.bootstrap.select, recipe.bootstrap.select);
  EXPECT_EQ(again.generate.set, recipe.generate.set);
  EXPECT_EQ(again.steerlm2.set, recipe.steerlm2.set);
  EXPECT_EQ(again.steerlm2.beta.edges, recipe.steerlm2.beta.edges);
  EXPECT_EQ(again.steerlm2.beta.concentration, recipe.steerlm2.beta.concentration);
  if (test.stage == Stage::train_predictor || test.stage == Stage::sft || test.stage == Stage::bootstrap ||
      test.stage == Stage::steerlm2) {
    EXPECT_EQ(again.method, recipe.method);
    EXPECT_EQ(again.optimizer.learning_rate, recipe.optimizer.learning_rate);
    EXPECT_EQ(again.train.steps, recipe.train.steps);
    EXPECT_EQ(again.train.epochs, recipe.train.epochs);
    EXPECT_EQ(again.train.batch_size, recipe.train.batch_size);
    EXPECT_EQ(again.train.micro_batch_tokens, recipe.train.micro_batch_tokens);
    EXPECT_EQ(again.schedule.warmup_steps, recipe.schedule.warmup_steps);
  }
  if (test.stage == Stage::train_predictor) {
    EXPECT_EQ(again.head.kind, recipe.head.kind);
  }
}

INSTANTIATE_TEST_SUITE_P(All, DumpRoundTripTest, testing::ValuesIn(cases()));

std::vector<std::string> top_keys(const std::string& text) {
  std::vector<Fault> faults;
  std::vector<std::string> keys;
  for (const YamlEntry& entry : parse_yaml(dump_recipe(load(text)), "dump", faults).entries) keys.push_back(entry.key);
  return keys;
}

TEST(DumpTest, HasEveryKeyThatHadASayAndNoOthers) {
  using Keys = std::vector<std::string>;
  EXPECT_EQ(top_keys(smallest(Stage::sft)),
            (Keys{"stage", "method", "seed", "run_dir", "device", "model", "attributes", "data", "on_bad_record",
                  "max_bad_share", "optimizer", "schedule", "train", "evaluate", "checkpoint"}));
  EXPECT_EQ(
      top_keys(smallest(Stage::train_predictor) + "device: cpu\n"),
      (Keys{"stage", "method", "seed", "run_dir", "device", "precision", "model", "attributes", "data", "on_bad_record",
            "max_bad_share", "head", "optimizer", "schedule", "train", "evaluate", "checkpoint"}));
  EXPECT_EQ(top_keys(smallest(Stage::annotate) + "method: helpsteer\nseed: 5\n"),
            (Keys{"stage", "run_dir", "device", "max_minutes", "predictor", "input", "output", "shard", "batch_tokens",
                  "block_records", "human_labels", "on_bad_record", "max_bad_share"}));
  // What is left to the model folder is not named.
  const Keys given = top_keys(smallest(Stage::sft) + "template: {name: chatml}\n");
  EXPECT_NE(std::ranges::find(given, "template"), given.end());
  EXPECT_EQ(dump_recipe(load(smallest(Stage::sft) + "template: {name: chatml}\n")).find("system:"), std::string::npos);
  EXPECT_EQ(top_keys(smallest(Stage::tokenizer) + "device: cpu\n"), (Keys{"stage", "seed", "tokenizer"}));
  EXPECT_EQ(top_keys(smallest(Stage::generate)),
            (Keys{"stage", "seed", "run_dir", "device", "max_minutes", "model", "prompts", "max_prompts", "set",
                  "samples_per_prompt", "sampling", "output", "shard", "on_bad_record", "max_bad_share"}));
  EXPECT_EQ(top_keys(smallest(Stage::evaluate)),
            (Keys{"stage", "seed", "run_dir", "device", "max_minutes", "data", "predictor"}));
  EXPECT_EQ(top_keys(smallest(Stage::bootstrap)), (Keys{"stage",       "method",        "seed",
                                                        "run_dir",     "device",        "max_minutes",
                                                        "data",        "on_bad_record", "max_bad_share",
                                                        "optimizer",   "schedule",      "train",
                                                        "evaluate",    "checkpoint",    "policy",
                                                        "predictor",   "prompts",       "max_prompts",
                                                        "labels_from", "select",        "samples_per_prompt",
                                                        "sampling",    "start_from",    "mix_original"}));
}

// With responses at hand nothing is sampled and no other model is asked.
TEST(DumpTest, Steerlm2HasTheKeysOfItsTwoForms) {
  using Keys = std::vector<std::string>;
  EXPECT_EQ(top_keys(smallest(Stage::steerlm2)), (Keys{"stage",       "method",        "seed",
                                                       "run_dir",     "device",        "max_minutes",
                                                       "data",        "on_bad_record", "max_bad_share",
                                                       "optimizer",   "schedule",      "train",
                                                       "evaluate",    "checkpoint",    "policy",
                                                       "prior",       "predictor",     "prompts",
                                                       "max_prompts", "set",           "samples_per_prompt",
                                                       "sampling",    "beta",          "batch_tokens",
                                                       "iterations"}));
  EXPECT_EQ(top_keys("stage: steerlm2\nrun_dir: r\npolicy: m\ndata: {train: a}\n"),
            (Keys{"stage", "method", "seed", "run_dir", "device", "max_minutes", "data", "on_bad_record",
                  "max_bad_share", "optimizer", "schedule", "train", "evaluate", "checkpoint", "policy"}));
}

TEST(DumpTest, KeysThatAnotherKeyPutsOutOfWorkAreLeftOut) {
  const auto has = [](const std::string& text, std::string_view path) {
    std::vector<Fault> faults;
    return find_path(parse_yaml(dump_recipe(load(text)), "dump", faults), path) != nullptr;
  };
  const std::string sft = smallest(Stage::sft), predictor = smallest(Stage::train_predictor);
  EXPECT_FALSE(has(sft, "schedule.decay_steps"));
  EXPECT_TRUE(has(sft + "schedule: {kind: cosine}\n", "schedule.decay_steps"));
  EXPECT_TRUE(has(sft, "train.epochs"));
  EXPECT_FALSE(has(sft, "train.steps"));
  EXPECT_FALSE(has(sft + "train: {steps: 1}\n", "train.epochs"));
  EXPECT_FALSE(has(sft, "data.validation"));
  EXPECT_FALSE(has(sft, "data.validation_fraction"));
  EXPECT_FALSE(has(sft, "checkpoint.keep_best"));
  EXPECT_FALSE(has(sft, "model.tokenizer"));
  EXPECT_FALSE(has(predictor, "head.bias"));
  EXPECT_TRUE(has(predictor + "head: {kind: regression}\n", "head.bias"));
}

TEST(DumpTest, FreshModelTravels) {
  const std::string text =
      "stage: sft\nrun_dir: r\ndata: {train: [a]}\nmodel: {init: {hidden_size: 64, rope_theta: 500000}, tokenizer: "
      "t}\n";
  const std::string dumped = dump_recipe(load(text));
  const Recipe again = load_recipe_text(dumped, "dump");
  EXPECT_EQ(dump_recipe(again), dumped);
  ASSERT_TRUE(again.model.init);
  EXPECT_EQ(again.model.init->hidden_size, 64);
  EXPECT_EQ(again.model.init->rope_theta, 500000);
  EXPECT_EQ(again.model.tokenizer, "t");
}

TEST(DumpTest, SmallNumbersAreNumbersToYamlOneDotOneToo) {
  const std::string dumped = dump_recipe(load(smallest(Stage::sft)));
  EXPECT_NE(dumped.find("learning_rate: 5.0e-06\n"), std::string::npos) << dumped;
  EXPECT_NE(dumped.find("eps: 1.0e-08\n"), std::string::npos) << dumped;
}

TEST(DumpTest, ACountOrAutoIsWrittenAsItWasGiven) {
  for (const std::string text : {"auto", "1", "16384"}) {
    const std::string dumped = dump_recipe(load(smallest(Stage::sft) + "train: {micro_batch_tokens: " + text + "}\n"));
    EXPECT_NE(dumped.find("  micro_batch_tokens: " + text + "\n"), std::string::npos) << dumped;
  }
}

TEST(DumpTest, NumbersKeepEveryBit) {
  for (double rate : {1e-5, 0.1, 1.0 / 3, 2.5e-7, 5e-324, 0.30000000000000004}) {
    Recipe recipe = load(smallest(Stage::sft));
    recipe.optimizer.learning_rate = rate;
    EXPECT_EQ(load_recipe_text(dump_recipe(recipe), "dump").optimizer.learning_rate, rate);
  }
}

}  // namespace
}  // namespace steerlm
