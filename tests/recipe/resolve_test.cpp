#include "recipe/resolve.h"

#include <gmock/gmock.h>

#include "recipe_support.h"
#include "steerlm/eval/options.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

struct MethodCase {
  Stage stage;
  Method method;
  double rate;
  std::int64_t warmup, epochs, steps, batch;  // epochs, steps 0: not set
};
class ResolveMethodTest : public testing::TestWithParam<MethodCase> {};

TEST_P(ResolveMethodTest, SetsRateWarmupAndLength) {
  const MethodCase& test = GetParam();
  const Recipe recipe = load(smallest(test.stage) + "method: " + std::string(enum_name(test.method)) + "\n");
  EXPECT_EQ(recipe.optimizer.learning_rate, test.rate);
  EXPECT_EQ(recipe.schedule.warmup_steps, test.warmup);
  EXPECT_EQ(recipe.train.epochs.value_or(0), test.epochs);
  EXPECT_EQ(recipe.train.steps.value_or(0), test.steps);
  EXPECT_EQ(recipe.train.batch_size, test.batch);
}

INSTANTIATE_TEST_SUITE_P(All, ResolveMethodTest,
                         testing::Values(MethodCase{Stage::train_predictor, Method::steerlm, 5e-6, 0, 5, 0, 128},
                                         MethodCase{Stage::train_predictor, Method::helpsteer, 5e-6, 0, 0, 800, 128},
                                         MethodCase{Stage::train_predictor, Method::helpsteer2, 2e-6, 10, 2, 0, 128},
                                         MethodCase{Stage::sft, Method::steerlm, 5e-6, 0, 5, 0, 128},
                                         MethodCase{Stage::sft, Method::helpsteer, 5e-6, 0, 0, 800, 128},
                                         MethodCase{Stage::sft, Method::helpsteer2, 2e-6, 0, 0, 1600, 384},
                                         MethodCase{Stage::bootstrap, Method::steerlm, 5e-6, 0, 5, 0, 128},
                                         MethodCase{Stage::bootstrap, Method::helpsteer, 5e-6, 0, 0, 800, 128},
                                         MethodCase{Stage::bootstrap, Method::helpsteer2, 2e-6, 0, 0, 1600, 384},
                                         MethodCase{Stage::steerlm2, Method::steerlm, 1e-7, 0, 2, 0, 128},
                                         MethodCase{Stage::steerlm2, Method::helpsteer2, 1e-7, 0, 2, 0, 128}));

TEST(ResolveTest, MethodSetsAttributesAndHead) {
  const auto of = [](const char* method) {
    return load(smallest(Stage::train_predictor) + "method: " + method + "\n");
  };
  const Recipe steerlm = of("steerlm"), helpsteer = of("helpsteer"), helpsteer2 = of("helpsteer2");
  EXPECT_EQ(steerlm.attributes.names, (std::vector<std::string>{"quality", "toxicity", "humor", "creativity",
                                                                "violence", "helpfulness", "not_appropriate"}));
  EXPECT_EQ(steerlm.attributes.min, 0);
  EXPECT_EQ(steerlm.attributes.max, 9);
  EXPECT_EQ(steerlm.attributes.defaults, (std::map<std::string, std::int64_t>{{"quality", 9},
                                                                              {"toxicity", 0},
                                                                              {"humor", 0},
                                                                              {"creativity", 0},
                                                                              {"violence", 0},
                                                                              {"helpfulness", 9},
                                                                              {"not_appropriate", 0}}));
  EXPECT_EQ(steerlm.head.kind, PredictorKind::language_model);
  EXPECT_EQ(helpsteer.attributes.names,
            (std::vector<std::string>{"quality", "toxicity", "humor", "creativity", "helpfulness", "correctness",
                                      "coherence", "complexity", "verbosity"}));
  EXPECT_EQ(helpsteer.attributes.max, 4);
  EXPECT_EQ(helpsteer.attributes.defaults, (std::map<std::string, std::int64_t>{{"quality", 4},
                                                                                {"toxicity", 0},
                                                                                {"humor", 0},
                                                                                {"creativity", 0},
                                                                                {"helpfulness", 4},
                                                                                {"correctness", 4},
                                                                                {"coherence", 4},
                                                                                {"complexity", 4},
                                                                                {"verbosity", 4}}));
  EXPECT_EQ(helpsteer.head.kind, PredictorKind::regression);
  EXPECT_EQ(helpsteer2.attributes.names,
            (std::vector<std::string>{"helpfulness", "correctness", "coherence", "complexity", "verbosity"}));
  EXPECT_EQ(helpsteer2.attributes.defaults,
            (std::map<std::string, std::int64_t>{
                {"helpfulness", 4}, {"correctness", 4}, {"coherence", 4}, {"complexity", 2}, {"verbosity", 2}}));
  EXPECT_EQ(helpsteer2.head.kind, PredictorKind::regression);
  EXPECT_TRUE(helpsteer2.head.bias);
  EXPECT_FALSE(helpsteer2.attributes_given);
}

// contracts.md section 3, docs/recipes.md.
TEST(ResolveTest, EveryOtherDefaultIsTheOneOfTheContract) {
  const Recipe recipe = load(smallest(Stage::sft));
  EXPECT_EQ(recipe.method, Method::steerlm);
  EXPECT_EQ(recipe.seed, 1234);
  EXPECT_EQ(recipe.device, "auto");
  EXPECT_EQ(recipe.precision, Precision::automatic);
  EXPECT_EQ(recipe.text_template.name, TemplateName::steerlm);
  EXPECT_EQ(recipe.text_template.system,
            "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
            "detailed, and "
            "polite answers to the "
            "user's questions.");
  EXPECT_EQ(recipe.text_template.special_tokens, SpecialTokens::text);
  EXPECT_EQ(recipe.data.max_tokens, 4096);
  EXPECT_EQ(recipe.data.over_length, OverLength::drop);
  EXPECT_TRUE(recipe.data.shuffle);
  EXPECT_EQ(recipe.data.train[0].format, Format::auto_detect);
  EXPECT_EQ(recipe.data.train[0].repeat, 1);
  EXPECT_EQ(recipe.data.train[0].limit, 0);
  EXPECT_EQ(recipe.optimizer.weight_decay, 0.01);
  EXPECT_EQ(recipe.optimizer.betas, (std::array<double, 2>{0.9, 0.98}));
  EXPECT_EQ(recipe.optimizer.eps, 1e-8);
  EXPECT_EQ(recipe.optimizer.clip_grad_norm, 1.0);
  EXPECT_EQ(recipe.schedule.kind, ScheduleKind::constant);
  EXPECT_EQ(recipe.schedule.decay_steps, 0);
  EXPECT_EQ(recipe.train.micro_batch_tokens, 16384);
  EXPECT_EQ(recipe.train.max_minutes, 0);
  EXPECT_EQ(recipe.evaluate.every_steps, 0);
  EXPECT_EQ(recipe.checkpoint.every_steps, 100);
  EXPECT_EQ(recipe.checkpoint.keep, 2);
  EXPECT_FALSE(recipe.checkpoint.keep_best);
  const Recipe best = load(smallest(Stage::sft) + "checkpoint: {keep_best: {}}\n", {"data.validation[0]=v"});
  EXPECT_EQ(best.checkpoint.keep_best->metric, "validation/loss");
  EXPECT_EQ(best.checkpoint.keep_best->mode, MetricMode::min);
  const Recipe annotate = load(smallest(Stage::annotate));
  EXPECT_EQ(annotate.annotate.human_labels, HumanLabels::overwrite);
  EXPECT_EQ(annotate.annotate.max_bad_share, 0.05);
  const Recipe bootstrap = load(smallest(Stage::bootstrap));
  EXPECT_EQ(bootstrap.bootstrap.samples_per_prompt, 1);
  EXPECT_EQ(bootstrap.bootstrap.sampling.top_k, 50);
  EXPECT_EQ(bootstrap.bootstrap.sampling.temperature, 1.0);
  EXPECT_EQ(bootstrap.bootstrap.sampling.top_p, 1.0);
  EXPECT_EQ(bootstrap.bootstrap.sampling.max_new_tokens, 512);
  EXPECT_EQ(bootstrap.bootstrap.start_from, StartFrom::policy);
  EXPECT_FALSE(bootstrap.bootstrap.mix_original);
}

TEST(ResolveTest, EpochsAndStepsExcludeEachOther) {
  const Recipe steps = load(smallest(Stage::sft) + "train: {steps: 7}\n");
  EXPECT_EQ(steps.train.steps, 7);
  EXPECT_FALSE(steps.train.epochs);
  const Recipe epochs = load(smallest(Stage::sft) + "method: helpsteer\ntrain: {epochs: 3}\n");
  EXPECT_EQ(epochs.train.epochs, 3);
  EXPECT_FALSE(epochs.train.steps);
  EXPECT_EQ(faults(smallest(Stage::sft) + "train: {epochs: 1, steps: 7}\n"),
            "r.yaml:5:27: 'train.epochs' and 'train.steps' exclude each other; give one of them");
}

TEST(ResolveTest, PrecisionFollowsTheDevice) {
  EXPECT_EQ(load(smallest(Stage::sft) + "device: cpu\n").precision, Precision::fp32);
  EXPECT_EQ(load(smallest(Stage::sft) + "device: cuda:1\n").precision, Precision::bf16);
  EXPECT_EQ(load(smallest(Stage::sft) + "device: cpu\nprecision: bf16\n").precision, Precision::bf16);
  EXPECT_EQ(load(smallest(Stage::sft) + "device: auto\n").precision, Precision::automatic);
}

// The keys that docs/recipes.md says must be given, written out here.
struct Needed {
  Stage stage;
  std::vector<std::string> keys;
};
class ResolveRequiredTest : public testing::TestWithParam<Needed> {};

TEST_P(ResolveRequiredTest, SaysWhichKeysAreMissing) {
  const auto& [stage, keys] = GetParam();
  std::string expected;
  for (const std::string& key : keys) expected += "r.yaml:1:1: missing key '" + key + "'\n";
  std::istringstream lines(faults("stage: " + std::string(enum_name(stage)) + "\n"));
  std::string missing;  // up to the key: a fault may say more
  for (std::string line; std::getline(lines, line);) {
    if (line.find("missing key '") == std::string::npos) continue;
    missing += line.substr(0, line.find('\'', line.find('\'') + 1) + 1) + "\n";
  }
  EXPECT_EQ(missing, expected);
  EXPECT_EQ(faults(smallest(stage)), "") << "no other key must be given";
}

INSTANTIATE_TEST_SUITE_P(
    All, ResolveRequiredTest,
    testing::Values(Needed{Stage::tokenizer, {"tokenizer.input", "tokenizer.output"}},
                    Needed{Stage::train_predictor, {"run_dir", "model", "data.train"}},
                    Needed{Stage::annotate, {"run_dir", "predictor", "input", "output"}},
                    Needed{Stage::sft, {"run_dir", "model", "data.train"}},
                    Needed{Stage::bootstrap, {"run_dir", "policy", "predictor", "prompts", "labels_from"}},
                    Needed{Stage::steerlm2, {"run_dir", "policy", "data.train"}},
                    Needed{Stage::generate, {"run_dir", "model", "prompts", "output"}},
                    Needed{Stage::evaluate, {"run_dir"}}, Needed{Stage::pipeline, {"run_dir", "steps"}}));

struct Case {
  Stage stage;
  std::string lines;
  std::string message;  // without "r.yaml:"; "" for none
};
class ResolveCheckTest : public testing::TestWithParam<Case> {};

TEST_P(ResolveCheckTest, FindsIt) {
  const Case& test = GetParam();
  EXPECT_EQ(faults(smallest(test.stage) + test.lines), test.message.empty() ? "" : "r.yaml:" + test.message);
}

INSTANTIATE_TEST_SUITE_P(
    Attributes, ResolveCheckTest,
    testing::Values(
        Case{Stage::sft, "attributes: {names: [a b]}\n",
             "5:21: not an attribute name (found 'a b', expected letters, digits and _, no digit first)"},
        Case{Stage::sft, "attributes: {names: ['1a']}\n",
             "5:21: not an attribute name (found '1a', expected letters, digits and _, no digit first)"},
        Case{Stage::sft, "attributes: {names: [a, a]}\n", "5:21: the attribute 'a' occurs twice"},
        Case{Stage::sft, "attributes: {names: [a], min: 4, max: 4}\n",
             "5:39: 'attributes.max' must be above 'attributes.min' (found 4 to 4)"},
        // What is not given is the model folder's, which says whether these are faults: settle_test.
        Case{Stage::sft, "attributes: {min: 9}\n", ""}, Case{Stage::sft, "attributes: {defaults: {humour: 1}}\n", ""},
        Case{Stage::evaluate, "attributes: {min: 9, defaults: {humour: 1}}\n", ""},
        Case{Stage::evaluate, "attributes: {min: 9, max: 4}\n",
             "5:27: 'attributes.max' must be above 'attributes.min' (found 9 to 4)"},
        Case{Stage::sft, "attributes: {names: [a], defaults: {xyz: 1}}\n",
             "5:42: unknown attribute 'xyz' in 'attributes.defaults'; known are a"},
        Case{Stage::sft, "attributes: {min: 0, max: 9, defaults: {quality: 10}}\n",
             "5:50: 'attributes.defaults.quality' is out of range (found 10, expected an integer from 0 to 9)"},
        Case{Stage::sft, "attributes: {names: []}\n", ""},
        Case{Stage::sft, "attributes: {names: [a], min: -2, max: 2}\n", ""},
        Case{Stage::train_predictor, "attributes: {names: []}\n", "5:21: a predictor needs at least one attribute"},
        Case{Stage::bootstrap, "attributes: {names: []}\n",
             "7:21: bootstrapping draws labels, and needs at least one attribute"},
        Case{Stage::bootstrap, "attributes: {names: [quality]}\nselect: {wit: max}\n",
             "8:15: unknown attribute 'wit' in 'select'; known are quality"},
        // The folder's names are not known yet.
        Case{Stage::bootstrap, "attributes: {min: 0}\nselect: {wit: max}\n", ""},
        Case{Stage::evaluate, "model: m\ndials: {prompts: [a.jsonl]}\nattributes: {max: 4}\n", ""}));

INSTANTIATE_TEST_SUITE_P(
    Single, ResolveCheckTest,
    testing::Values(
        Case{Stage::sft, "device: gpu\n",
             "5:9: wrong value of 'device' (found 'gpu', expected auto, cpu, cuda or cuda:N); a GPU is 'cuda'"},
        Case{Stage::sft, "device: cuda:\n",
             "5:13: not valid YAML; a text with ': ' in it needs quotes; a key needs a line of its own"},
        Case{Stage::sft, "device: 'cuda:x'\n",
             "5:9: wrong value of 'device' (found 'cuda:x', expected auto, cpu, cuda or cuda:N); did you mean 'cuda'?"},
        Case{Stage::sft, "device: cuda:3\n", ""}, Case{Stage::annotate, "shard: 3/4\n", ""},
        Case{Stage::annotate, "shard: 4/4\n", "6:8: 'shard' is out of range (found 4/4, expected i from 0 to 3)"},
        Case{Stage::annotate, "shard: 0/0\n", "6:8: wrong value of 'shard' (found '0/0', expected i/n, such as 0/4)"},
        Case{Stage::annotate, "shard: -1/4\n", "6:8: wrong value of 'shard' (found '-1/4', expected i/n, such as 0/4)"},
        Case{Stage::annotate, "shard: x\n", "6:8: wrong value of 'shard' (found 'x', expected i/n, such as 0/4)"},
        Case{Stage::annotate, "shard: 1\n", "6:8: wrong value of 'shard' (found '1', expected i/n, such as 0/4)"},
        Case{Stage::sft, "device: 0\n",
             "5:9: wrong value of 'device' (found '0', expected auto, cpu, cuda or cuda:N); a GPU is 'cuda:0'"},
        Case{Stage::bootstrap, "start_from: base\n", "1:1: missing key 'model.path'; start_from: base starts from it"},
        Case{Stage::bootstrap, "start_from: base\nmodel: {path: b}\n", ""},
        Case{Stage::bootstrap, "mix_original: true\n", "1:1: missing key 'data.train'; mix_original: true adds it"},
        Case{Stage::bootstrap, "mix_original: true\ndata: {train: [a]}\n", ""},
        Case{Stage::bootstrap, "select: {quality: 99}\n", ""},
        Case{Stage::bootstrap, "attributes: {names: [quality], min: 0, max: 4}\nselect: {quality: 5}\n",
             "8:19: 'select.quality' is out of range (found 5, expected an integer from 0 to 4)"},
        Case{Stage::bootstrap, "attributes: {names: [quality], min: 0, max: 4}\nselect: {qualty: max}\n",
             "8:18: unknown attribute 'qualty' in 'select'; did you mean 'quality'?"},
        Case{Stage::bootstrap, "train: {epochs: 1, steps: 1}\n",
             "7:27: 'train.epochs' and 'train.steps' exclude each other; give one of them"},
        Case{Stage::steerlm2, "data: {train: [a]}\n",
             "7:15: 'prompts' and 'data.train' exclude each other; prompts are answered; data.train has responses with "
             "their log-probabilities"},
        Case{Stage::steerlm2, "data: {over_length: truncate}\n",
             "7:21: a response that is cut off has another log-probability (expected drop or error)"},
        Case{Stage::steerlm2, "samples_per_prompt: 1\n",
             "7:21: 'samples_per_prompt' is out of range (found 1, expected an integer from 2 to 10000)"},
        Case{Stage::steerlm2, "beta: {edges: halves}\n",
             "7:15: wrong value of 'beta.edges' (found 'halves', expected one of equal, half)"}));

TEST(ResolveTest, Steerlm2HasThePublishedSettings) {
  const Recipe recipe = load(smallest(Stage::steerlm2));
  EXPECT_EQ(recipe.steerlm2.samples_per_prompt, 10);
  EXPECT_EQ(recipe.steerlm2.sampling.temperature, 0.7);
  EXPECT_EQ(recipe.steerlm2.sampling.top_p, 0.9);
  EXPECT_EQ(recipe.steerlm2.sampling.top_k, 0);
  EXPECT_EQ(recipe.steerlm2.iterations, 2);
  EXPECT_EQ(recipe.steerlm2.beta.concentration, 24);
  EXPECT_EQ(recipe.schedule.kind, ScheduleKind::constant);
  // Without prompts the responses come from a file, and the other two models have had their say.
  const Recipe trained = load("stage: steerlm2\nrun_dir: r\npolicy: m\ndata: {train: a}\n");
  EXPECT_TRUE(trained.steerlm2.prompts.empty());
  EXPECT_EQ(faults("stage: steerlm2\nrun_dir: r\npolicy: m\nprompts: a\n"),
            "r.yaml:1:1: missing key 'prior'; P(y|x) of the responses is its\n"
            "r.yaml:1:1: missing key 'predictor'; P(a|x,y) of the responses is its");
}

TEST(ResolveTest, FactorsAreNumbersOfFp32) {
  const std::string head = "stage: sft\nrun_dir: r\nmodel: {path: m}\ndata: {train: [a]}\n";
  for (const char* keys : {"lora: {rank: 4, alpha: 1e300}", "lora: {rank: 4, alpha: 1e-300}",
                           "optimizer: {clip_grad_norm: 1e-300}", "optimizer: {eps: 1e300}"})
    EXPECT_NE(faults(head + keys + "\n").find("comes to a number that fp32 does not have"), std::string::npos) << keys;
  EXPECT_EQ(faults(head + "optimizer: {clip_grad_norm: 0, eps: 1e-300}\n"), "");
}

TEST(ResolveTest, ValidationIsFilesOrAFraction) {
  const std::string head = "stage: sft\nrun_dir: r\nmodel: {path: m}\ndata: {train: [a]";
  EXPECT_EQ(faults(head + ", validation: [b], validation_fraction: 0.1}\n"),
            "r.yaml:4:58: 'data.validation' and 'data.validation_fraction' exclude each other; give one of them");
  EXPECT_EQ(
      faults(head + ", validation_fraction: 1}\n"),
      "r.yaml:4:41: 'data.validation_fraction' holds out all of the training data (found 1, expected less than 1)");
  EXPECT_EQ(faults(head + ", validation: [b]}\n"), "");
  EXPECT_EQ(faults(head + ", validation_fraction: 0.1}\n"), "");
  EXPECT_EQ(
      faults(head + "}\ncheckpoint: {keep_best: {}}\n"),
      "r.yaml:5:25: 'checkpoint.keep_best' needs validation data; give data.validation or data.validation_fraction");
  EXPECT_EQ(faults(head + ", validation_fraction: 0.1}\ncheckpoint: {keep_best: {}}\n"), "");
}

TEST(ResolveTest, ModelIsAFolderOrFresh) {
  const auto with = [](const std::string& model) {
    return faults("stage: sft\nrun_dir: r\ndata: {train: [a]}\nmodel: " + model + "\n");
  };
  EXPECT_EQ(with("{init: {hidden_size: 64}, tokenizer: t.model}"), "");
  EXPECT_EQ(with("{path: m, init: {hidden_size: 64}}"),
            "r.yaml:4:24: 'model.path' and 'model.init' exclude each other");
  EXPECT_EQ(with("{path: m, tokenizer: t}"),
            "r.yaml:4:29: 'model.tokenizer' is only for 'model.init'; a model folder has its own");
  EXPECT_EQ(with("{init: {}}"),
            "r.yaml:4:8: missing key 'model.tokenizer'; a fresh model takes its vocabulary from it");
  EXPECT_EQ(with("{}"),
            "r.yaml:4:8: missing key 'model.path'; or start from nothing with model.init and model.tokenizer");
  EXPECT_EQ(with("{path: ''}"), "r.yaml:4:15: 'model.path' is empty");
  EXPECT_EQ(with("{tokenizer: t, init: {hidden_size: 30, num_attention_heads: 4}}"),
            "r.yaml:4:68: 'num_attention_heads' does not divide 'hidden_size' (found 4 heads, width 30)");
  EXPECT_EQ(with("{tokenizer: t, init: {hidden_size: 32, num_attention_heads: 4, num_key_value_heads: 3}}"),
            "r.yaml:4:92: 'num_key_value_heads' does not divide 'num_attention_heads' (found 3 of 4)");
  EXPECT_EQ(with("{tokenizer: t, init: {hidden_size: 12, num_attention_heads: 4}}"),
            "r.yaml:4:29: the width of a head must be even (found 3)");
}

TEST(ResolveTest, EmptyValuesAreMissingOnes) {
  EXPECT_EQ(faults("stage: sft\nrun_dir: ''\nmodel: {path: m}\ndata: {train: []}\n"),
            "r.yaml:2:10: 'run_dir' is empty\nr.yaml:4:15: 'data.train' is empty");
}

// An empty list is not "none": it would count as validation data and be none.
TEST(ResolveTest, EmptyListsOfSourcesThatNeedNotBeGiven) {
  const std::string empty = "'data.validation' is empty";
  EXPECT_THAT(faults(smallest(Stage::sft), {"data.validation=[]"}), HasSubstr(empty));
  EXPECT_THAT(faults(smallest(Stage::train_predictor), {"data.validation=[]"}), HasSubstr(empty));
  EXPECT_THAT(faults(smallest(Stage::bootstrap), {"data.validation=[]"}), HasSubstr(empty));
  EXPECT_THAT(faults(smallest(Stage::steerlm2), {"data.validation=[]"}), HasSubstr(empty));
  EXPECT_THAT(faults(smallest(Stage::bootstrap), {"data.train=[]"}), HasSubstr("'data.train' is empty"));
  EXPECT_THAT(faults("stage: evaluate\nrun_dir: r\npredictor: p\npairs: {sources: [a]}\ndata: {validation: []}\n"),
              HasSubstr(empty));
}

TEST(ResolveTest, WhatEvaluateNeeds) {
  const std::string head = "stage: evaluate\nrun_dir: r\ndata: {validation: [a]}\n";
  EXPECT_EQ(faults(head), "r.yaml:1:1: nothing to evaluate (expected predictor, model, dials or pairs)");
  EXPECT_EQ(faults(head + "model: {path: m}\n"), "");
  EXPECT_EQ(faults(head + "dials: {prompts: [a]}\nmodel: {path: m}\n"), "");
  EXPECT_EQ(faults(head + "dials: {prompts: [a], judge: predictor}\nmodel: {path: m}\n"),
            "r.yaml:1:1: missing key 'predictor'; judge: predictor asks it");
  EXPECT_EQ(faults(head + "dials: {prompts: [a]}\npredictor: p\n"),
            "r.yaml:1:1: missing key 'model.path'; the dials are those of a model");
  EXPECT_EQ(faults(head + "dials: {}\npredictor: p\nmodel: {path: m}\n"), "r.yaml:4:8: missing key 'dials.prompts'");
  EXPECT_EQ(faults(head + "dials: {prompts: [a]}\npredictor: p\nmodel: {path: m}\n"), "");
}

TEST(ResolveTest, MeasuresOfTheDials) {
  const auto with = [](const std::string& dials) {
    return "stage: evaluate\nrun_dir: r\nmodel: m\ndata: {validation: a}\ndials: {prompts: a, " + dials + "}\n";
  };
  const Recipe recipe = load(with("levels: [0, 4], measures: {verbosity: characters, complexity: mtld}"));
  EXPECT_EQ(recipe.dials->levels, (std::vector<std::int64_t>{0, 4}));
  EXPECT_EQ(recipe.dials->measures, (std::map<std::string, TextMeasure>{{"complexity", TextMeasure::mtld},
                                                                        {"verbosity", TextMeasure::characters}}));
  EXPECT_TRUE(load(with("levels: all")).dials->levels.empty());
  EXPECT_THAT(dump_recipe(recipe), HasSubstr("measures:\n    complexity: mtld\n    verbosity: characters\n"));
  EXPECT_THAT(dump_recipe(load(with("edges: e.json"))), HasSubstr("edges: e.json\n"));
  EXPECT_EQ(faults(with("measures: {verbosity: character}")),
            "r.yaml:5:43: wrong value of 'dials.measures.verbosity' (found 'character', expected one of characters, "
            "words, sentences, flesch_kincaid, type_token_ratio, mtld, list_items, code_lines, question_marks, "
            "upper_case); did you mean 'characters'?");
  EXPECT_THAT(faults(with("measures: words")), HasSubstr("expected names with one of characters, words, "));
  EXPECT_THAT(faults(with("levels: [a]")), HasSubstr("expected an integer"));
  EXPECT_THAT(faults(with("levels: 3")), HasSubstr("expected all, or a list of integers"));
  EXPECT_EQ(faults(with("measures: {a: words}, edges: e")),
            "r.yaml:5:50: 'dials.measures' and 'dials.edges' exclude each other; give one of them: the file of edges "
            "names measures too");
  EXPECT_EQ(
      faults(with("judge: toy, measures: {a: words}")),
      "r.yaml:5:43: 'dials.measures' is of the judge that measures texts (found judge: toy); give judge: text, or "
      "leave it out");
}

TEST(ResolveTest, TheStageIsNamedAndKnown) {
  EXPECT_EQ(faults("run_dir: r\n"),
            "r.yaml:1:1: missing key 'stage' (expected one of tokenizer, train-predictor, annotate, sft, bootstrap, "
            "steerlm2, generate, "
            "evaluate, pipeline)");
  EXPECT_EQ(faults("stage: train_predictor\n"),
            "r.yaml:1:8: wrong value of 'stage' (found 'train_predictor', expected one of tokenizer, train-predictor, "
            "annotate, "
            "sft, bootstrap, steerlm2, generate, "
            "evaluate, pipeline); did you mean 'train-predictor'?");
}

std::string mismatch(const std::string& text, Stage expected) {
  const RecipeFile file(text);
  return file.shorten(message_of(ExitCode::recipe, [&] { load_recipe(file.path(), {}, expected); }));
}

TEST(ResolveTest, ARecipeOfAnotherStageNamesBoth) {
  EXPECT_EQ(mismatch(smallest(Stage::annotate), Stage::sft),
            "r.yaml:1:8: this is a recipe of another stage (found 'annotate', expected 'sft')");
  EXPECT_EQ(mismatch("stage: annotate\nnonsense: 1\n", Stage::sft),
            "r.yaml:1:8: this is a recipe of another stage (found 'annotate', expected 'sft')");
  EXPECT_EQ(mismatch(smallest(Stage::pipeline), Stage::sft),
            "r.yaml:1:8: this is a recipe of another stage (found 'pipeline', expected 'sft')");
  EXPECT_EQ(mismatch(smallest(Stage::sft), Stage::sft), "");
}

TEST(ResolveTest, APipelineIsNoRecipeOfOneStage) {
  try {
    load(smallest(Stage::pipeline));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("this recipe is a pipeline (expected a recipe of one stage)"),
              std::string::npos);
  }
}

TEST(ResolveTest, AMissingFileIsTheRecipesFault) {
  try {
    load_recipe("/nowhere/r.yaml", {}, std::nullopt);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::recipe);
    EXPECT_STREQ(error.what(), "/nowhere/r.yaml: cannot read recipe: No such file or directory");
  }
}

TEST(ResolveTest, CommonKeysAreTakenByEveryStage) {
  for (const auto& [stage, name] : EnumNames<Stage>::table) {
    std::string text = smallest(stage) + "method: helpsteer\nseed: 1\ndevice: cpu\nprecision: fp32\n";
    if (stage == Stage::tokenizer) text += "run_dir: r\n";
    EXPECT_EQ(faults(text), "") << name;
  }
}

TEST(ResolveTest, PeekStage) {
  EXPECT_EQ(peek_stage(smallest(Stage::annotate)), Stage::annotate);
  EXPECT_EQ(peek_stage("stage: nothing\n"), std::nullopt);
  EXPECT_EQ(peek_stage("[broken"), std::nullopt);
}

TEST(ResolveTest, LossesOfPairs) {
  const std::string base = smallest(Stage::train_predictor) + "attributes: {names: [quality, humor]}\n";
  const Recipe recipe =
      load(base + "head: {kind: regression, loss: bradley_terry, attribute_weights: {quality: 1, humor: -0.5}}\n");
  EXPECT_EQ(recipe.head.loss, HeadLoss::bradley_terry);
  EXPECT_EQ(recipe.head.attribute_weights, (std::map<std::string, double>{{"humor", -0.5}, {"quality", 1}}));
  EXPECT_EQ(faults(base + "head: {loss: scaled}\n"),
            "r.yaml:6:14: preferences train the scores of a regression head (found head.kind 'language_model'); give "
            "head.kind: regression");
  EXPECT_EQ(
      faults(base + "head: {kind: regression, attribute_weights: {quality: 1}}\n"),
      "r.yaml:6:45: 'head.attribute_weights' is for the losses of preference pairs (found head.loss 'mse', expected "
      "head.loss bradley_terry, margin or scaled)");
  EXPECT_EQ(faults(base + "head: {kind: regression, loss: margin, attribute_weights: {qualty: 1}}\n"),
            "r.yaml:6:68: unknown attribute 'qualty' in 'head.attribute_weights'; did you mean 'quality'?");
  EXPECT_EQ(faults(base + "head: {kind: regression, loss: margin, attribute_weights: {quality: 0}}\n"),
            "r.yaml:6:59: 'head.attribute_weights' leaves nothing of a reward (expected a weight other than 0)");
  EXPECT_EQ(faults(base + "head: {kind: regression, loss: margin, attribute_weights: {quality: x}}\n"),
            "r.yaml:6:69: wrong value of 'head.attribute_weights.quality' (found 'x', expected a number)");
  EXPECT_EQ(faults(base + "head: {kind: regression, loss: margin, attribute_weights: [quality]}\n"),
            "r.yaml:6:59: wrong value of 'head.attribute_weights' (found a list, expected names with a number each)");
}

TEST(ResolveTest, PairsNeedAPredictorAndNoLabelledRecords) {
  const std::string head = "stage: evaluate\nrun_dir: r\n";
  EXPECT_EQ(faults(head + "predictor: p\npairs: {sources: [a]}\n"), "");
  EXPECT_EQ(faults(head + "predictor: p\npairs: {sources: [a], attribute_weights: {wit: 1}}\n"), "")
      << "whose names are not known yet";
  EXPECT_EQ(faults(head + "pairs: {sources: [a]}\n"),
            "r.yaml:1:1: missing key 'predictor'; pairs are scored by a predictor");
  EXPECT_EQ(faults(head + "predictor: p\npairs: {attribute_weights: {a: 1}}\n"),
            "r.yaml:4:8: missing key 'pairs.sources'");
  EXPECT_EQ(faults(head + "predictor: p\nmodel: m\npairs: {sources: [a]}\n"),
            "r.yaml:1:1: missing key 'data.validation'");
  EXPECT_EQ(faults(head + "predictor: p\npairs: {sources: [{limit: 3}]}\n"),
            "r.yaml:4:19: missing key 'pairs.sources[0].path'");
  const Recipe recipe = load(head + "predictor: p\npairs: {sources: a}\n", {"pairs.sources[0].limit=3"});
  EXPECT_EQ(recipe.pairs->sources.at(0).path, "a");
  EXPECT_EQ(recipe.pairs->sources.at(0).limit, 3);
}

}  // namespace
}  // namespace steerlm
