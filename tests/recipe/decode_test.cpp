#include "recipe/decode.h"

#include "recipe_support.h"

namespace steerlm {
namespace {

struct Case {
  Stage stage;
  std::string lines;    // added to the smallest recipe of the stage
  std::string message;  // without "r.yaml:"
};
class DecodeRefusedTest : public testing::TestWithParam<Case> {};

TEST_P(DecodeRefusedTest, WithPositionFoundAndExpected) {
  const Case& test = GetParam();
  EXPECT_EQ(faults(smallest(test.stage) + test.lines), "r.yaml:" + test.message);
}

INSTANTIATE_TEST_SUITE_P(
    Types, DecodeRefusedTest,
    testing::Values(
        Case{Stage::sft, "seed: x\n", "5:7: wrong value of 'seed' (found 'x', expected an integer of at least 0)"},
        Case{Stage::sft, "seed: 1e3\n", "5:7: wrong value of 'seed' (found '1e3', expected an integer of at least 0)"},
        Case{Stage::sft, "seed: 128.0\n",
             "5:7: wrong value of 'seed' (found '128.0', expected an integer of at least 0)"},
        Case{Stage::sft, "seed: '5'\n",
             "5:7: wrong value of 'seed' (found the text '5', expected an integer of at least 0)"},
        Case{Stage::sft, "seed: true\n",
             "5:7: wrong value of 'seed' (found 'true', expected an integer of at least 0)"},
        Case{Stage::sft, "seed: [1]\n", "5:7: wrong value of 'seed' (found a list, expected an integer of at least 0)"},
        Case{Stage::sft, "seed: {a: 1}\n",
             "5:7: wrong value of 'seed' (found a section, expected an integer of at least 0)"},
        Case{Stage::sft, "seed:\n", "5:1: wrong value of 'seed' (found nothing, expected an integer of at least 0)"},
        Case{Stage::sft, "seed: 99999999999999999999\n",
             "5:7: wrong value of 'seed' (found '99999999999999999999', expected an integer of 64 bits)"},
        Case{Stage::sft, "seed: 010\n", "5:7: wrong value of 'seed' (found '010', expected an integer of at least 0)"},
        Case{Stage::sft, "optimizer: {eps: x}\n",
             "5:18: wrong value of 'optimizer.eps' (found 'x', expected a number above 0)"},
        Case{Stage::sft, "optimizer: {eps: .nan}\n",
             "5:18: wrong value of 'optimizer.eps' (found '.nan', expected a number above 0)"},
        Case{Stage::sft, "optimizer: {eps: 1e999}\n",
             "5:18: wrong value of 'optimizer.eps' (found '1e999', expected a number that a double can hold)"},
        Case{Stage::sft, "optimizer: {betas: 0.9}\n",
             "5:20: wrong value of 'optimizer.betas' (found '0.9', expected a list of 2 numbers from 0 to below 1)"},
        Case{Stage::sft, "optimizer: {betas: [0.9]}\n",
             "5:20: wrong value of 'optimizer.betas' (found a list, expected a list of 2 numbers from 0 to below 1)"},
        Case{Stage::sft, "optimizer: {betas: [0.9, x]}\n",
             "5:26: wrong value of 'optimizer.betas[1]' (found 'x', expected a number from 0 to below 1)"},
        Case{Stage::sft, "optimizer: 5\n", "5:12: wrong value of 'optimizer' (found '5', expected a section)"},
        Case{Stage::sft, "optimizer:\n", "5:1: wrong value of 'optimizer' (found nothing, expected a section)"},
        Case{Stage::sft, "optimizer: [a]\n", "5:12: wrong value of 'optimizer' (found a list, expected a section)"},
        Case{Stage::sft, "template: {system: 5}\n",
             "5:20: wrong value of 'template.system' (found '5', expected a text); quote it: \"5\""},
        Case{Stage::sft, "template: {system: true}\n",
             "5:20: wrong value of 'template.system' (found 'true', expected a text); quote it: \"true\""},
        Case{Stage::sft, "template: {system: ~}\n",
             "5:12: wrong value of 'template.system' (found nothing, expected a text)"},
        Case{Stage::sft, "attributes: {names: quality}\n",
             "5:21: wrong value of 'attributes.names' (found 'quality', expected a list of texts)"},
        Case{Stage::sft, "attributes: {defaults: [1]}\n",
             "5:24: wrong value of 'attributes.defaults' (found a list, expected names with an integer each)"},
        Case{Stage::sft, "attributes: {defaults: {quality: x}}\n",
             "5:34: wrong value of 'attributes.defaults.quality' (found 'x', expected an integer)"},
        Case{Stage::bootstrap, "mix_original: yes\n",
             "7:15: wrong value of 'mix_original' (found 'yes', expected true or false)"},
        Case{Stage::bootstrap, "mix_original: 'false'\n",
             "7:15: wrong value of 'mix_original' (found the text 'false', expected true or false)"},
        Case{Stage::bootstrap, "mix_original: True\n",
             "7:15: wrong value of 'mix_original' (found 'True', expected true or false)"},
        Case{Stage::sft, "train: {micro_batch_tokens: aut}\n",
             "5:29: wrong value of 'train.micro_batch_tokens' (found 'aut', expected an integer of at least 1, or "
             "auto); did you mean 'auto'?"},
        Case{Stage::sft, "train: {micro_batch_tokens: 1e3}\n",
             "5:29: wrong value of 'train.micro_batch_tokens' (found '1e3', expected an integer of at least 1, or "
             "auto)"},
        Case{Stage::sft, "train: {micro_batch_tokens: [auto]}\n",
             "5:29: wrong value of 'train.micro_batch_tokens' (found a list, expected an integer of at least 1, or "
             "auto)"},
        Case{Stage::sft, "train: {batch_size: auto}\n",
             "5:21: wrong value of 'train.batch_size' (found 'auto', expected an integer from 1 to 1000000)"},
        Case{Stage::bootstrap, "select: max\n",
             "7:9: wrong value of 'select' (found 'max', expected names with an integer or max each)"},
        Case{Stage::bootstrap, "select: {quality: mx}\n",
             "7:19: wrong value of 'select.quality' (found 'mx', expected an integer or max); did you mean 'max'?"},
        Case{Stage::bootstrap, "select: {quality: 4.5}\n",
             "7:19: wrong value of 'select.quality' (found '4.5', expected an integer or max)"},
        Case{Stage::evaluate, "model: {path: m}\ndials: {prompts: ~}\n",
             "6:9: wrong value of 'dials.prompts' (found nothing, expected a path or a list of sources)"},
        Case{Stage::evaluate, "model: {path: m}\ndials: {prompts: [a], attributes: quality}\n",
             "6:35: wrong value of 'dials.attributes' (found 'quality', expected all, or a list of texts)"}));

INSTANTIATE_TEST_SUITE_P(
    Ranges, DecodeRefusedTest,
    testing::Values(Case{Stage::sft, "seed: -1\n",
                         "5:7: 'seed' is out of range (found -1, expected an integer of at least 0)"},
                    Case{Stage::sft, "optimizer: {eps: 0}\n",
                         "5:18: 'optimizer.eps' is out of range (found 0, expected a number above 0)"},
                    Case{Stage::sft, "optimizer: {learning_rate: 1.5}\n",
                         "5:28: 'optimizer.learning_rate' is out of range (found 1.5, expected a number from 0 to 1)"},
                    Case{Stage::sft, "optimizer: {betas: [0.9, 1]}\n",
                         "5:26: 'optimizer.betas[1]' is out of range (found 1, expected a number from 0 to below 1)"},
                    Case{Stage::sft, "train: {batch_size: 0}\n",
                         "5:21: 'train.batch_size' is out of range (found 0, expected an integer from 1 to 1000000)"},
                    Case{Stage::sft, "train: {micro_batch_tokens: 0}\n",
                         "5:29: 'train.micro_batch_tokens' is out of range (found 0, expected an integer of at least "
                         "1, or auto)"},
                    Case{Stage::sft, "train: {steps: 0}\n",
                         "5:16: 'train.steps' is out of range (found 0, expected an integer from 1 to 1000000000)"},
                    // What is multiplied must not overflow.
                    Case{Stage::sft, "train: {epochs: 9223372036854775807}\n",
                         "5:17: 'train.epochs' is out of range (found 9223372036854775807, expected an integer from 1 "
                         "to 1000000)"},
                    Case{Stage::sft, "train: {batch_size: 9223372036854775807}\n",
                         "5:21: 'train.batch_size' is out of range (found 9223372036854775807, expected an integer "
                         "from 1 to 1000000)"},
                    Case{Stage::generate, "sampling: {max_new_tokens: 9223372036854775807}\n",
                         "6:28: 'sampling.max_new_tokens' is out of range (found 9223372036854775807, expected an "
                         "integer from 1 to 1000000)"},
                    Case{Stage::bootstrap, "samples_per_prompt: 10001\n",
                         "7:21: 'samples_per_prompt' is out of range (found 10001, expected an integer from 1 to "
                         "10000)"},
                    Case{Stage::annotate, "max_bad_share: 2\n",
                         "6:16: 'max_bad_share' is out of range (found 2, expected a number from 0 to 1)"}));

INSTANTIATE_TEST_SUITE_P(
    Names, DecodeRefusedTest,
    testing::Values(
        Case{Stage::sft, "optimiser: {eps: 1}\n", "5:1: unknown key 'optimiser'; did you mean 'optimizer'?"},
        Case{Stage::sft, "optimizer: {learning_rat: 1}\n",
             "5:13: unknown key 'optimizer.learning_rat'; did you mean 'learning_rate'?"},
        Case{Stage::sft, "learning_rate: 1\n",
             "5:1: unknown key 'learning_rate'; did you mean 'optimizer.learning_rate'?"},
        Case{Stage::sft, "evaluate: {xyzzy: 1}\n", "5:12: unknown key 'evaluate.xyzzy'; known are every_steps"},
        Case{Stage::sft, "schedule: {kind: cosin}\n",
             "5:18: wrong value of 'schedule.kind' (found 'cosin', expected one of constant, linear, cosine, wsd); did "
             "you mean "
             "'cosine'?"},
        Case{Stage::sft, "precision: fp16\n",
             "5:12: wrong value of 'precision' (found 'fp16', expected one of auto, fp32, bf16)"},
        Case{Stage::sft, "method: [steerlm]\n",
             "5:9: wrong value of 'method' (found a list, expected one of steerlm, helpsteer, helpsteer2)"},
        Case{Stage::sft, "head: {kind: regression}\n",
             "5:1: the stage 'sft' has no key 'head'; it belongs to train-predictor"},
        Case{Stage::sft, "shard: 0/1\n", "5:1: the stage 'sft' has no key 'shard'; it belongs to annotate, generate"},
        Case{Stage::sft, "steps: 5\n",
             "5:1: the stage 'sft' has no key 'steps'; it belongs to pipeline; here there is 'train.steps'"},
        Case{Stage::sft, "train.steps: 5\n",
             "5:1: unknown key 'train.steps'; dots are for the command line; here it is train: {steps: …}"},
        Case{Stage::sft, "attributes: {max: 2000000}\n",
             "5:19: 'attributes.max' is out of range (found 2000000, expected an integer from -1000000 to 1000000)"},
        Case{Stage::annotate, "attributes: {min: 0}\n",
             "6:1: the stage 'annotate' has no key 'attributes'; it belongs to train-predictor, sft, bootstrap, "
             "evaluate, "
             "pipeline"},
        Case{Stage::annotate, "optimizer: {eps: 1}\n",
             "6:1: the stage 'annotate' has no key 'optimizer'; it belongs to train-predictor, sft, bootstrap, "
             "steerlm2"},
        Case{Stage::tokenizer, "data: {train: [a]}\n",
             "3:1: the stage 'tokenizer' has no key 'data'; it belongs to train-predictor, sft, bootstrap, steerlm2, "
             "evaluate"},
        Case{Stage::bootstrap, "model: {init: {hidden_size: 8}}\n",
             "7:9: the stage 'bootstrap' has no key 'model.init'; it belongs to train-predictor, sft"}));

TEST(DecodeTest, UnusedPartsOfASection) {
  EXPECT_EQ(
      faults("stage: evaluate\nrun_dir: r\npredictor: p\ndata: {validation: [a], train: [{path: b}], shuffle: true}\n"),
      "r.yaml:4:25: the stage 'evaluate' has no key 'data.train'; it belongs to train-predictor, sft, bootstrap, "
      "steerlm2\n"
      "r.yaml:4:45: the stage 'evaluate' has no key 'data.shuffle'; it belongs to train-predictor, sft, bootstrap, "
      "steerlm2");
}

TEST(DecodeTest, NumbersInEverySpelling) {
  for (const char* text : {"1e-5", "1e-05", "1.0e-5", "0.00001", "1E-5", "+1e-5"}) {
    EXPECT_EQ(load(smallest(Stage::sft) + "optimizer: {learning_rate: " + text + "}\n").optimizer.learning_rate, 1e-5)
        << text;
  }
  EXPECT_EQ(load(smallest(Stage::sft) + "train: {max_minutes: 1}\n").train.max_minutes, 1.0);
  EXPECT_EQ(load(smallest(Stage::sft) + "train: {max_minutes: 0.25}\n").train.max_minutes, 0.25);
  EXPECT_EQ(load(smallest(Stage::sft) + "seed: 9223372036854775807\n").seed, 9223372036854775807);
}

TEST(DecodeTest, SourcesAreSectionsOrPaths) {
  const Recipe recipe = load(
      "stage: sft\nrun_dir: r\nmodel: {path: m}\ndata: {train: [a.jsonl, {path: b, format: hh-rlhf, repeat: 2, limit: "
      "9}, "
      "'5']}\n");
  ASSERT_EQ(recipe.data.train.size(), 3u);
  EXPECT_EQ(recipe.data.train[0].path, "a.jsonl");
  EXPECT_EQ(recipe.data.train[1].format, Format::hh_rlhf);
  EXPECT_EQ(recipe.data.train[1].repeat, 2);
  EXPECT_EQ(recipe.data.train[1].limit, 9);
  EXPECT_EQ(recipe.data.train[2].path, "5");
}

TEST(DecodeTest, SourceFaults) {
  EXPECT_EQ(
      faults("stage: sft\nrun_dir: r\nmodel: {path: m}\ndata:\n  train:\n    - {format: text}\n    - {path: ''}\n    - "
             "5\n "
             "   - [a]\n    - {path: x, format: jsn}\n    -\n"),
      "r.yaml:6:7: missing key 'data.train[0].path'\n"
      "r.yaml:7:14: 'data.train[1]' names no file\n"
      "r.yaml:8:7: wrong value of 'data.train[2]' (found '5', expected a text); quote it: \"5\"\n"
      "r.yaml:9:7: wrong value of 'data.train[3]' (found a list, expected a path or a section with a path)\n"
      "r.yaml:10:25: wrong value of 'data.train[4].format' (found 'jsn', expected one of auto, conversations, oasst, "
      "hh-rlhf, helpsteer, helpsteer2, helpsteer3, reward-bench, reward-bench-2, "
      "sharegpt, messages, steerlm2, text)\n"
      "r.yaml:12:1: wrong value of 'data.train[5]' (found nothing, expected a path or a section with a path)");
}

TEST(DecodeTest, ShapesOfTheirOwn) {
  EXPECT_EQ(load(smallest(Stage::annotate)).annotate.input[0].path, "a.jsonl");
  EXPECT_EQ(load("stage: annotate\nrun_dir: r\npredictor: p\ninput: [{path: a, limit: 1}, b]\noutput: o\n")
                .annotate.input.size(),
            2u);
  EXPECT_EQ(load(smallest(Stage::tokenizer)).tokenizer.input, std::vector<std::string>{"a.txt"});
  EXPECT_EQ(load("stage: tokenizer\ntokenizer: {input: [a, b], output: o}\n").tokenizer.input.size(), 2u);
  EXPECT_EQ(load(smallest(Stage::generate)).generate.model, "m");
  EXPECT_EQ(load("stage: generate\nrun_dir: r\nmodel: {path: n}\nprompts: [a]\noutput: o\n").generate.model, "n");
  const std::string dials = smallest(Stage::evaluate) + "model: {path: m}\ndials: {prompts: [a]";
  EXPECT_TRUE(load(dials + ", attributes: all}\n").dials->attributes.empty());
  EXPECT_EQ(load(dials + ", attributes: [quality]}\n").dials->attributes, std::vector<std::string>{"quality"});
  for (const auto& [text, tokens] : {std::pair("auto", 0), {"1", 1}, {"8192", 8192}}) {
    EXPECT_EQ(load(smallest(Stage::sft) + "train: {micro_batch_tokens: " + text + "}\n").train.micro_batch_tokens,
              tokens);
    EXPECT_EQ(load(smallest(Stage::sft), {std::string("train.micro_batch_tokens=") + text}).train.micro_batch_tokens,
              tokens);
  }
  const Recipe bootstrap = load(smallest(Stage::bootstrap) + "select: {quality: max, humor: 0, toxicity: +1}\n");
  EXPECT_EQ(bootstrap.bootstrap.select,
            (std::map<std::string, std::string>{{"humor", "0"}, {"quality", "max"}, {"toxicity", "1"}}));
}

TEST(DecodeTest, GenerateModelFaults) {
  const std::string head = "stage: generate\nrun_dir: r\nprompts: [a]\noutput: o\n";
  EXPECT_EQ(faults(head + "model: [m]\n"),
            "r.yaml:5:8: wrong value of 'model' (found a list, expected a path, or {path: …})");
  EXPECT_EQ(faults(head + "model: {init: {hidden_size: 8}}\n"),
            "r.yaml:5:8: missing key 'model.path'\n"
            "r.yaml:5:9: the stage 'generate' has no key 'model.init'; it belongs to train-predictor, sft");
}

TEST(DecodeTest, EveryFaultOfARecipeInOnePass) {
  EXPECT_EQ(faults("stage: sft\nmethd: steerlm\nrun_dir: 5\nmodel: {pth: m}\ndata: {train: [a], max_tokens: 1}\nhead: "
                   "{}\nseed: x\n"),
            "r.yaml:2:1: unknown key 'methd'; did you mean 'method'?\n"
            "r.yaml:3:10: wrong value of 'run_dir' (found '5', expected a text); quote it: \"5\"\n"
            "r.yaml:4:9: unknown key 'model.pth'; did you mean 'path'?\n"
            "r.yaml:5:32: 'data.max_tokens' is out of range (found 1, expected an integer from 2 to 1000000)\n"
            "r.yaml:6:1: the stage 'sft' has no key 'head'; it belongs to train-predictor\n"
            "r.yaml:7:7: wrong value of 'seed' (found 'x', expected an integer of at least 0)");
}

TEST(DecodeTest, LongValuesAreCutInMessages) {
  const std::string message =
      faults(smallest(Stage::sft) + "seed: " + std::string(57, 'x') + "äöü" + std::string(50, 'y') + "\n");
  EXPECT_NE(message.find("'" + std::string(57, 'x') + "ä…'"), std::string::npos) << message;
}

}  // namespace
}  // namespace steerlm
