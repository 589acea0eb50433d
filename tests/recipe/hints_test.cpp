#include "recipe/hints.h"

#include <algorithm>
#include <set>

#include "recipe/describe.h"
#include "recipe_support.h"

namespace steerlm {
namespace {

// A value for each key that is advised, as it stands in an override.
const std::map<std::string, std::string> values{{"train.steps", "3"},
                                                {"train.epochs", "3"},
                                                {"train.max_minutes", "3"},
                                                {"train.batch_size", "3"},
                                                {"train.recompute", "block"},
                                                {"optimizer.learning_rate", "1e-5"},
                                                {"optimizer.weight_decay", "0.1"},
                                                {"optimizer.betas", "[0.9, 0.95]"},
                                                {"optimizer.eps", "1e-8"},
                                                {"optimizer.clip_grad_norm", "1"},
                                                {"schedule.warmup_steps", "3"},
                                                {"schedule.kind", "cosine"},
                                                {"schedule.min_learning_rate", "0"},
                                                {"lora", "{rank: 16}"},
                                                {"lora.rank", "16"},
                                                {"lora.alpha", "32"},
                                                {"lora.targets", "[q_proj]"},
                                                {"model.path", "m"},
                                                {"predictor", "p"},
                                                {"data.train", "a.jsonl"},
                                                {"data.validation", "a.jsonl"},
                                                {"data.validation_fraction", "0.1"},
                                                {"data.max_tokens", "1024"},
                                                {"run_dir", "r"},
                                                {"precision", "bf16"},
                                                {"checkpoint.every_steps", "3"},
                                                {"checkpoint.keep", "3"},
                                                {"checkpoint.keep_best", "{metric: validation/loss, mode: min}"},
                                                {"evaluate.every_steps", "3"},
                                                {"template.system", "Be kind."},
                                                {"template.name", "plain"}};

Stage stage_with(std::string_view key) { return key == "predictor" ? Stage::annotate : Stage::sft; }

// Each entry of the table is told, as a key of the recipe and as an override; what it advises is taken.
TEST(HintsTest, TheAdviceForEachForeignKeyWorks) {
  std::set<std::string_view> names;
  for (const ForeignKey& foreign : foreign_keys()) {
    SCOPED_TRACE(foreign.name);
    EXPECT_TRUE(names.insert(foreign.name).second) << "twice in the table";
    const Stage stage = stage_with(foreign.ours);
    EXPECT_FALSE(has_key(describe({.stage = stage}), foreign.name)) << "a key of ours needs no hint";
    const std::string name(foreign.name), ours(foreign.ours);
    const std::string advice = ours.empty() ? "; " + std::string(foreign.note) : "; did you mean '" + ours + "'?";
    EXPECT_NE(faults(smallest(stage) + name + ": 1\n").find("unknown key '" + name + "'" + advice), std::string::npos)
        << faults(smallest(stage) + name + ": 1\n");
    EXPECT_NE(faults(smallest(stage), {name + "=1"}).find(advice), std::string::npos);
    if (ours.empty()) continue;
    ASSERT_TRUE(values.contains(ours)) << ours;
    std::vector<std::string> followed{ours + "=" + values.at(ours)};
    if (ours == "checkpoint.keep_best") followed.push_back("data.validation=a.jsonl");
    EXPECT_EQ(faults(smallest(stage), followed), "");
    EXPECT_EQ(recipe_key(name), ours);
  }
}

// The values that the notes propose are right where they are proposed.
TEST(HintsTest, TheSectionsInTheNotesAreTaken) {
  for (const ForeignKey& foreign : foreign_keys()) {
    const size_t brace = foreign.note.find(": {");
    if (brace == std::string_view::npos) continue;
    const std::string value(foreign.note.substr(brace + 2));
    EXPECT_EQ(faults(smallest(Stage::sft), {std::string(foreign.ours) + "=" + value, "data.validation=a.jsonl"}), "")
        << foreign.name;
  }
}

TEST(HintsTest, SpellingAndSectionsDoNotMatter) {
  EXPECT_EQ(foreign_advice("Max-Steps", Stage::sft), "did you mean 'train.steps'?");
  EXPECT_EQ(faults(smallest(Stage::sft) + "optimizer: {lr: 1e-5}\n"),
            "r.yaml:5:13: unknown key 'optimizer.lr'; did you mean 'optimizer.learning_rate'?");
  EXPECT_EQ(faults(smallest(Stage::sft) + "train: {max_steps: 5}\n"),
            "r.yaml:5:9: unknown key 'train.max_steps'; did you mean 'train.steps'?");
  EXPECT_EQ(foreign_advice("xyzzy", Stage::sft), "");
  EXPECT_EQ(foreign_advice("max_steps", Stage::annotate), "") << "a stage that does not train";
}

TEST(HintsTest, RecipeKeys) {
  EXPECT_EQ(recipe_key("optimizer.learning_rate"), "optimizer.learning_rate");
  EXPECT_EQ(recipe_key("learning_rate"), "optimizer.learning_rate");
  EXPECT_EQ(recipe_key("lr"), "optimizer.learning_rate");
  EXPECT_EQ(recipe_key("xyzzy"), "");
  EXPECT_EQ(recipe_key(""), "");
}

TEST(HintsTest, DevicesOfOtherNames) {
  EXPECT_NE(faults(smallest(Stage::sft), {"device=gpu"}).find("; a GPU is 'cuda'"), std::string::npos);
  EXPECT_EQ(faults(smallest(Stage::sft), {"device=cuda"}), "") << "the advice followed";
  for (const char* other : {"mps", "rocm", "tpu"})
    EXPECT_NE(faults(smallest(Stage::sft), {"device=" + std::string(other)}).find("'cpu' works everywhere"),
              std::string::npos);
  EXPECT_EQ(faults(smallest(Stage::sft), {"device=cpu"}), "");
  EXPECT_EQ(device_advice("cuad"), "did you mean 'cuda'?");
  EXPECT_EQ(faults(smallest(Stage::sft), {"device=1"}),
            "override 'device=1': wrong value of 'device' (found '1', expected auto, cpu, cuda or cuda:N); a GPU is "
            "'cuda:1'");
  EXPECT_EQ(faults(smallest(Stage::sft), {"device=cuda:1"}), "") << "the advice followed";
}

}  // namespace
}  // namespace steerlm
