#include "recipe/overrides.h"

#include "recipe_support.h"

namespace steerlm {
namespace {

TEST(OverridesTest, SetKeysOfEveryKind) {
  const Recipe recipe = load(smallest(Stage::sft), {"optimizer.learning_rate=1e-5", "data.train[0].path=x",
                                                    "run_dir=other", "data.shuffle=false", "optimizer.betas=[0.8, 0.9]",
                                                    "attributes={names: [a, b], min: 1, max: 3}", "train.steps=7"});
  EXPECT_EQ(recipe.optimizer.learning_rate, 1e-5);
  EXPECT_EQ(recipe.data.train[0].path, "x");
  EXPECT_EQ(recipe.run_dir, "other");
  EXPECT_FALSE(recipe.data.shuffle);
  EXPECT_EQ(recipe.optimizer.betas[0], 0.8);
  EXPECT_EQ(recipe.attributes.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(recipe.train.steps, 7);
  EXPECT_FALSE(recipe.train.epochs);
}

TEST(OverridesTest, MakeSectionsAndAppendItems) {
  const Recipe recipe = load(smallest(Stage::sft), {"data.train[1]={path: y, repeat: 2}", "data.validation[0].path=v",
                                                    "checkpoint.keep_best.mode=max"});
  ASSERT_EQ(recipe.data.train.size(), 2u);
  EXPECT_EQ(recipe.data.train[1].repeat, 2);
  EXPECT_EQ(recipe.data.validation[0].path, "v");
  EXPECT_EQ(recipe.checkpoint.keep_best->mode, MetricMode::max);
}

TEST(OverridesTest, ReachIntoASourceThatIsAPathAlone) {
  const Recipe recipe = load(smallest(Stage::sft), {"data.train[0].limit=3"});
  EXPECT_EQ(recipe.data.train[0].path, "a.jsonl");
  EXPECT_EQ(recipe.data.train[0].limit, 3);
}

TEST(OverridesTest, TakeTextAsItIsWritten) {
  const Recipe recipe = load(smallest(Stage::sft), {"template.system=Be kind: say a=b # always", "run_dir=\"5\""});
  EXPECT_EQ(recipe.text_template.system, "Be kind: say a=b # always");
  EXPECT_EQ(recipe.run_dir, "5");
}

TEST(OverridesTest, TheLastOneWins) { EXPECT_EQ(load(smallest(Stage::sft), {"seed=1", "seed=2"}).seed, 2); }

TEST(OverridesTest, FaultsOfValuesNameTheOverride) {
  EXPECT_EQ(faults(smallest(Stage::sft), {"optimizer.learning_rate=x"}),
            "override 'optimizer.learning_rate=x': wrong value of 'optimizer.learning_rate' (found 'x', expected a "
            "number from 0 "
            "to 1)");
  EXPECT_EQ(faults(smallest(Stage::sft), {"optimizer.learning_rat=1"}),
            "override 'optimizer.learning_rat=1': unknown key 'optimizer.learning_rat'; did you mean "
            "'optimizer.learning_rate'?");
  EXPECT_EQ(faults(smallest(Stage::sft), {"data.train[0].pth=x"}),
            "override 'data.train[0].pth=x': unknown key 'data.train[0].pth'; did you mean 'data.train[0].path'?");
  EXPECT_EQ(faults(smallest(Stage::sft), {"train={step: 5}"}),
            "override 'train={step: 5}': unknown key 'train.step'; did you mean 'steps'?");
  EXPECT_EQ(faults(smallest(Stage::sft), {"data.fold=1"}),
            "override 'data.fold=1': wrong value of 'data.fold' (found '1', expected k/n, such as 1/5)");
}

TEST(OverridesTest, AValueInAListIsQuotedInThere) {
  const std::string keep = "checkpoint.keep_best={metric: ", fraction = "data.validation_fraction=0.1";
  const std::string found = faults(smallest(Stage::sft), {keep + "1, mode: min}", fraction});
  EXPECT_NE(found.find("; quote it: \"1\", and put the whole override into single quotes for the shell"), found.npos)
      << found;
  EXPECT_EQ(faults(smallest(Stage::sft), {keep + "\"1\", mode: min}", fraction}), "") << "the advice followed";
  EXPECT_EQ(faults(smallest(Stage::sft), {"attributes.names=[1]"}),
            "override 'attributes.names=[1]': not an attribute name (found '1', expected letters, digits and _, no "
            "digit first)");
}

// What is suggested for a key of a step is a key of the command line too.
TEST(OverridesTest, KeysOfAStepAreSuggestedWithTheStep) {
  const std::string step = "{name: a, stage: sft, model: m, data: {train: [x]}}";
  const std::string text = "stage: pipeline\nrun_dir: r\nsteps: [" + step + "]\n";
  for (const std::string above : {"steps.a.", "steps[0]."}) {
    for (const auto& [wrong, right] :
         {std::pair{"train.step", "train.steps"}, {"max_steps", "train.steps"}, {"batch_size", "train.batch_size"}}) {
      const std::string found = faults(text, {above + wrong + "=5"});
      EXPECT_NE(found.find("; did you mean '" + above + right + "'?"), std::string::npos) << found;
      EXPECT_EQ(faults(text, {above + right + "=5"}), "");
    }
  }
}

struct Malformed {
  std::string text, message;
};
class OverridesMalformedTest : public testing::TestWithParam<Malformed> {};

TEST_P(OverridesMalformedTest, IsQuoted) {
  EXPECT_EQ(faults(smallest(Stage::generate), {GetParam().text}), GetParam().message);
}

const std::string no_override =
    ": not an override (expected key=value with a dotted key, such as optimizer.learning_rate=1e-5 or "
    "data.train[0].path=x, or ~key, which unsets a key)";

INSTANTIATE_TEST_SUITE_P(
    All, OverridesMalformedTest,
    testing::Values(
        Malformed{"seed", "override 'seed'" + no_override}, Malformed{"=5", "override '=5'" + no_override},
        Malformed{"a..b=5", "override 'a..b=5'" + no_override}, Malformed{".a=5", "override '.a=5'" + no_override},
        Malformed{"a.=5", "override 'a.=5'" + no_override}, Malformed{"a[=5", "override 'a[=5'" + no_override},
        Malformed{"a[]=5", "override 'a[]=5'" + no_override}, Malformed{"a[x]=5", "override 'a[x]=5'" + no_override},
        Malformed{"a[-1]=5", "override 'a[-1]=5'" + no_override},
        Malformed{"a[0]b=5", "override 'a[0]b=5'" + no_override}, Malformed{"a]=5", "override 'a]=5'" + no_override},
        Malformed{"a b=5", "override 'a b=5'" + no_override}, Malformed{"", "override ''" + no_override},
        Malformed{"a[99999999999999999999]=5", "override 'a[99999999999999999999]=5'" + no_override},
        Malformed{"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=5",
                  "override 'a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=5'" + no_override},
        Malformed{"~", "override '~'" + no_override}, Malformed{"~a..b", "override '~a..b'" + no_override},
        Malformed{"~seed=5", "override '~seed=5'" + no_override},
        Malformed{"prompts[5].path=x",
                  "override 'prompts[5].path=x': 'prompts' has 1 items (found index 5, expected an index from 0 to 1)"},
        Malformed{"prompts.path=x", "override 'prompts.path=x': 'prompts' is a list, not a section"},
        Malformed{"model[0]=x", "override 'model[0]=x': 'model' is a single value, not a list"},
        Malformed{"prompts=[a",
                  "override 'prompts=[a': not valid YAML; a bracket or a comma between the items is missing, or one is "
                  "too many"},
        Malformed{"output=\"a", "override 'output=\"a': not valid YAML; a closing quote is missing"},
        Malformed{
            "prompts=[&x a]",
            "override 'prompts=[&x a]': an anchor (&name); recipes have no anchors and aliases; write the value out"},
        Malformed{"prompts=[a] b",
                  "override 'prompts=[a] b': there is something after the value (expected one value in brackets or "
                  "quotes); a text that begins with a bracket or a quote is quoted as a whole, and for the shell once "
                  "more: 'KEY=\"…\"'"},
        Malformed{
            "output=",
            "override 'output=': wrong value of 'output' (found nothing, expected a text); for an empty text quote "
            "it, and for the shell once more: 'output=\"\"'"},
        Malformed{
            "run_dir=2024",
            "override 'run_dir=2024': wrong value of 'run_dir' (found '2024', expected a text); quote it, and for "
            "the shell once more: 'run_dir=\"2024\"'"},
        Malformed{"output=\xff", "an override that is not valid UTF-8"},
        Malformed{"set={a: 1, a: 2}", "override 'set={a: 1, a: 2}': the key 'a' occurs twice"}));

// With an index however it is written: its path, a section, a list of it; without one into a path or a section.
TEST(OverridesTest, ReachIntoTheOneSource) {
  for (const char* train : {"a", "{path: a}", "[a]", "[{path: a}]"}) {
    const std::string text = "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: " + std::string(train) + "}\n";
    const Recipe recipe = load(text, {"data.train[0].limit=5", "data.train[1].path=b"});
    ASSERT_EQ(recipe.data.train.size(), 2u) << train;
    EXPECT_EQ(recipe.data.train[0].path, "a") << train;
    EXPECT_EQ(recipe.data.train[0].limit, 5) << train;
    EXPECT_EQ(recipe.data.train[1].path, "b") << train;
  }
  for (const char* train : {"a", "{path: a}"}) {
    const std::string text = "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: " + std::string(train) + "}\n";
    EXPECT_EQ(load(text, {"data.train.limit=5"}).data.train.at(0).limit, 5) << train;
  }
  EXPECT_EQ(faults(smallest(Stage::sft) + "train: {steps: 5}\n", {"train[0].path=x"}),
            "override 'train[0].path=x': 'train' is a section, not a list");
}

TEST(OverridesTest, UnsetKeysWhoseDefaultsThenHold) {
  const std::string text = smallest(Stage::sft) +
                           "seed: 5\noptimizer: {learning_rate: 1e-5, weight_decay: 0.5}\nlora: {rank: 4}\n"
                           "attributes: {names: [a, b], max: 4, defaults: {a: 1}}\n";
  for (const bool tilde : {true, false}) {
    const auto unset = [&](const std::string& key) { return tilde ? "~" + key : key + "=null"; };
    const Recipe recipe = load(text, {unset("seed"), unset("optimizer.learning_rate"), unset("lora"),
                                      unset("attributes.defaults.a"), unset("attributes.max")});
    EXPECT_EQ(recipe.seed, Recipe().seed);
    EXPECT_EQ(recipe.optimizer.learning_rate, 5e-6);
    EXPECT_EQ(recipe.optimizer.weight_decay, 0.5);
    EXPECT_FALSE(recipe.lora);
    EXPECT_EQ(recipe.attributes.names, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(recipe.attributes.max, 9);
    EXPECT_EQ(recipe.attributes.defaults.at("a"), 0);
  }
}

// A section that has lost its last key is still there, as `lora: {}` is in a file.
TEST(OverridesTest, UnsetKeysLeaveTheirSection) {
  EXPECT_TRUE(load(smallest(Stage::sft) + "lora: {rank: 4}\n", {"~lora.rank"}).lora);
}

TEST(OverridesTest, UnsetItemsOfLists) {
  const std::string text =
      "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: [{path: a, limit: 3}, b, {path: c, limit: 5}]}\n";
  EXPECT_EQ(load(text, {"~data.train[0].limit"}).data.train[0].limit, 0);
  const Recipe recipe = load(text, {"~data.train[1]", "data.train[1].limit=null"});  // one after the other
  ASSERT_EQ(recipe.data.train.size(), 2u);
  EXPECT_EQ(recipe.data.train[0].limit, 3);
  EXPECT_EQ(recipe.data.train[1].path, "c");
  EXPECT_EQ(recipe.data.train[1].limit, 0);
}

TEST(OverridesTest, AreAppliedInTheirOrder) {
  EXPECT_EQ(load(smallest(Stage::sft), {"seed=1", "~seed", "seed=2"}).seed, 2);
  EXPECT_EQ(load(smallest(Stage::sft), {"seed=1", "~seed"}).seed, Recipe().seed);
}

TEST(OverridesTest, AQuotedNullIsAText) { EXPECT_EQ(load(smallest(Stage::sft), {"run_dir=\"null\""}).run_dir, "null"); }

TEST(OverridesTest, UnsettingWhatIsNotSetIsAFault) {
  const std::string text = smallest(Stage::sft) + "optimizer: {learning_rate: 1e-5}\n";
  const std::string nothing = ": there is nothing to unset: ";
  EXPECT_EQ(faults(text, {"~seed"}), "override '~seed'" + nothing + "'seed' is not set");
  EXPECT_EQ(faults(text, {"lora.rank=null"}), "override 'lora.rank=null'" + nothing + "'lora' is not set");
  EXPECT_EQ(faults(text, {"~optimizer.learning_rat"}),
            "override '~optimizer.learning_rat'" + nothing +
                "'optimizer.learning_rat' is not set; did you mean 'optimizer.learning_rate'?");
  EXPECT_EQ(faults(text, {"~data.train[1]"}),
            "override '~data.train[1]'" + nothing + "'data.train[1]' is not set; 'data.train' has 1 items");
  EXPECT_EQ(faults(text, {"~optimizer.learning_rate", "~optimizer.learning_rate"}),
            "override '~optimizer.learning_rate'" + nothing + "'optimizer.learning_rate' is not set");
  EXPECT_EQ(faults(text, {"~run_dir"}), "r.yaml:1:1: missing key 'run_dir'");
}

TEST(OverridesTest, UnsetStepsOfAPipelineAndTheirKeysByName) {
  const std::string text =
      "stage: pipeline\nrun_dir: r\nseed: 3\nsteps:\n"
      "  - {name: a, stage: sft, seed: 7, model: m, data: {train: [{path: x, limit: 3}]}}\n"
      "  - {name: b, stage: sft, model: m, data: {train: [x]}}\n";
  const auto load_steps = [&](const std::vector<std::string>& overrides) {
    return load_pipeline(RecipeFile(text).path(), overrides).steps;
  };
  const auto steps = load_steps({"~steps.a.data.train[0].limit", "~steps.a.seed", "~steps.b"});
  ASSERT_EQ(steps.size(), 1u);
  const Recipe recipe = load_recipe_text(steps[0].recipe_yaml, "a");
  EXPECT_EQ(recipe.data.train[0].limit, 0);
  EXPECT_EQ(recipe.seed, 3);
  EXPECT_EQ(faults(text, {"~steps.c"}),
            "override '~steps.c': no step is named 'c' (expected one of a, b); did you mean 'a'?");
}

TEST(OverridesTest, AllFaultsInOnePass) {
  const std::string message = faults(smallest(Stage::sft) + "sed: 1\n", {"nothing", "seed=x"});
  EXPECT_EQ(message, "r.yaml:5:1: unknown key 'sed'; did you mean 'seed'?\noverride 'nothing'" + no_override +
                         "\noverride 'seed=x': wrong value of 'seed' (found 'x', expected an integer of at least 0)");
}

}  // namespace
}  // namespace steerlm
