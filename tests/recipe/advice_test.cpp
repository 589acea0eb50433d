// What a message advises is done, and then the recipe is without faults.
#include "recipe_support.h"

namespace steerlm {
namespace {

struct Advice {
  const char* name;
  std::string wrong, advice, followed;  // recipes
};

void PrintTo(const Advice& advice, std::ostream* out) { *out << advice.name; }

class AdviceTest : public testing::TestWithParam<Advice> {};

TEST_P(AdviceTest, WorksWhenItIsFollowed) {
  const Advice& test = GetParam();
  const std::string said = faults(test.wrong);
  EXPECT_NE(said.find("; " + test.advice), std::string::npos) << said;
  EXPECT_EQ(faults(test.followed), "");
}

const std::string sft = smallest(Stage::sft);
const std::string bare = "stage: sft\nrun_dir: r\ndata: {train: a}\n";

INSTANTIATE_TEST_SUITE_P(
    All, AdviceTest,
    testing::Values(
        Advice{"no_model", bare + "model: {}\n", "or start from nothing with model.init and model.tokenizer",
               bare + "model: {init: {hidden_size: 32}, tokenizer: t}\n"},
        Advice{"fresh_model_without_tokenizer", bare + "model: {init: {hidden_size: 32}}\n",
               "a fresh model takes its vocabulary from it", bare + "model: {init: {hidden_size: 32}, tokenizer: t}\n"},
        Advice{"lora_of_a_fresh_model", bare + "model: {init: {hidden_size: 32}, tokenizer: t}\nlora: {rank: 4}\n",
               "give model.path", bare + "model: {path: m}\nlora: {rank: 4}\n"},
        Advice{"epochs_and_steps", sft + "train: {epochs: 1, steps: 2}\n", "give one of them",
               sft + "train: {steps: 2}\n"},
        Advice{"two_validations",
               "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: a, validation: b, validation_fraction: 0.1}\n",
               "give one of them", "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: a, validation_fraction: 0.1}\n"},
        Advice{"keep_best_without_validation", sft + "checkpoint: {keep_best: {metric: validation/loss}}\n",
               "give data.validation or data.validation_fraction",
               "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: a, validation_fraction: 0.1}\ncheckpoint: {keep_best: "
               "{metric: validation/loss}}\n"},
        Advice{"number_as_text", sft + "template: {system: 5}\n", "quote it: \"5\"",
               sft + "template: {system: \"5\"}\n"},
        Advice{"key_of_another_stage", sft + "shard: 0/1\n", "it belongs to annotate",
               smallest(Stage::annotate) + "shard: 0/1\n"},
        Advice{"misspelt_key", sft + "sed: 1\n", "did you mean 'seed'?", sft + "seed: 1\n"},
        Advice{"misspelt_choice", sft + "schedule: {kind: cosin}\n", "did you mean 'cosine'?",
               sft + "schedule: {kind: cosine}\n"},
        Advice{"key_of_a_section", sft + "learning_rate: 1e-5\n", "did you mean 'optimizer.learning_rate'?",
               sft + "optimizer: {learning_rate: 1e-5}\n"},
        Advice{"colon_in_a_text", sft + "template: \n  system: Be kind: now\n",
               "a text with ': ' in it needs quotes; a key needs a line of its own",
               sft + "template: \n  system: 'Be kind: now'\n"},
        Advice{"reserved_character", "stage: sft\nrun_dir: @r\nmodel: m\ndata: {train: a}\n",
               "a text that starts with @ needs quotes", "stage: sft\nrun_dir: '@r'\nmodel: m\ndata: {train: a}\n"},
        Advice{"anchor", sft + "seed: &a 1\n", "write the value out", sft + "seed: 1\n"},
        Advice{"tag", sft + "template: {system: !!str 5}\n", "quote the value if it is a text",
               sft + "template: {system: '5'}\n"},
        Advice{"tab", "stage: sft\nrun_dir: r\nmodel:\n\tpath: m\ndata: {train: a}\n", "indent with spaces",
               "stage: sft\nrun_dir: r\nmodel:\n  path: m\ndata: {train: a}\n"},
        Advice{"open_quote", "stage: sft\nrun_dir: 'r\nmodel: m\ndata: {train: a}\n", "a closing quote is missing",
               "stage: sft\nrun_dir: 'r'\nmodel: m\ndata: {train: a}\n"},
        Advice{"open_bracket", "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: [a}\n",
               "a bracket or a comma between the items is missing",
               "stage: sft\nrun_dir: r\nmodel: m\ndata: {train: [a]}\n"},
        Advice{"evaluate_without_model", smallest(Stage::evaluate) + "dials: {prompts: a}\n",
               "the dials are those of a model", smallest(Stage::evaluate) + "dials: {prompts: a}\nmodel: m\n"},
        Advice{"bootstrap_from_base", smallest(Stage::bootstrap) + "start_from: base\n",
               "start_from: base starts from it", smallest(Stage::bootstrap) + "start_from: base\nmodel: m\n"},
        Advice{"bootstrap_with_the_original", smallest(Stage::bootstrap) + "mix_original: true\n",
               "mix_original: true adds it", smallest(Stage::bootstrap) + "mix_original: true\ndata: {train: a}\n"},
        Advice{"device", sft + "device: gpu\n", "a GPU is 'cuda'", sft + "device: cuda\n"}),
    [](const auto& test) { return test.param.name; });

TEST(MissingStage, AMisspeltStageAndAnExperimentAreSeen) {
  const std::string missing =
      "missing key 'stage' (expected one of tokenizer, train-predictor, annotate, sft, bootstrap, steerlm2, generate, "
      "evaluate, pipeline)";
  EXPECT_EQ(faults("stgae: sft\nrun_dir: r\n"), "r.yaml:1:1: " + missing + "; did you mean 'stage' by 'stgae'?");
  EXPECT_EQ(faults("run_dir: r\nStage: sft\n"), "r.yaml:1:1: " + missing + "; did you mean 'stage' by 'Stage'?");
  EXPECT_EQ(faults("run_dir: r\nsteps: []\n"), "r.yaml:1:1: " + missing);
  EXPECT_EQ(
      faults("pipeline: p.yaml\nmeasures: []\n"),
      "r.yaml:2:11: this is an experiment (expected a recipe, which has the key 'stage'); `steerlm experiment FILE "
      "--out DIR` runs it");
}

}  // namespace
}  // namespace steerlm
