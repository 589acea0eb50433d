// What --dry-run --machine says, for the model and the step that docs/bench.md measured on an H100.
#include <ATen/ops/empty.h>
#include <gmock/gmock.h>

#include "stages/train.h"
#include "support/small_llama.h"

namespace steerlm {
namespace {

using testing::HasSubstr;
using testing::Not;

class Forecast : public testing::Test {
 protected:
  Forecast() {
    // Llama-3.2-1B, its weights without storage; four texts of 4,096 tokens.
    config.vocab_size = 128256;
    config.hidden_size = 2048;
    config.intermediate_size = 8192;
    config.num_hidden_layers = 16;
    config.num_attention_heads = 32;
    config.num_key_value_heads = 8;
    config.head_dim = 64;
    config.tie_word_embeddings = true;
    NamedTensors tensors;
    for (const auto& [name, shape] : parameter_shapes(config, head))
      tensors.emplace_back(name, at::empty(shape, at::TensorOptions(at::kFloat).device(at::kMeta)));
    weights = parameters_from(config, head, tensors);
    dataset.train = ExampleSet(std::vector<Example>(
        4, {.ids = std::vector<std::int32_t>(4096), .target = std::vector<std::uint8_t>(4096, 1)}));
    dataset.train_counts.tokens = 4 * 4096;
    recipe.stage = Stage::sft;
    recipe.device = "cpu";
    recipe.precision = Precision::fp32;
    recipe.train.steps = 12525;  // an hour at the 57,002 tokens a second that were measured
    recipe.train.batch_size = 4;
    recipe.train.micro_batch_tokens = 4 * 4096;
  }

  std::string said(const std::string& machine) {
    std::string text;
    Log log(false, false, [&](std::string_view line) { text += line; });
    const Context context{.dry_run = true, .machine = parse_machine(machine), .log = &log};
    BaseModel base{.folder = {},
                   .head = head,
                   .tokenizer = Tokenizer::load(STEERLM_SOURCE_DIR "/tests/fixtures/models/untied"),
                   .weights = weights,
                   .adapter = adapter,
                   .notes = {}};
    base.folder.config = config;
    report_forecast(recipe, base, dataset, context);
    return text;
  }

  ModelConfig config = small_llama(0, 0.02);
  const HeadShape head{.language_model = true};
  Parameters weights;
  std::optional<Adapter> adapter;
  Dataset dataset;
  Recipe recipe;
};

TEST_F(Forecast, IsWhatWasMeasuredOnAnH100) {
  const std::string text = said("h100");
  EXPECT_THAT(text, HasSubstr("12,525 steps, 205,209,600 tokens, 1,235,814,400 parameters, about 1 h 00 min to 1 h 45 "
                              "min on one h100 in bf16 (27 to 47 % of its maker's 989 TFLOP/s)"));
  // 34.6 GiB were forecast there on the card, and 34.5 GiB measured; 0.6 GB is the context's.
  EXPECT_THAT(text, HasSubstr("about 37.7 GB of the card's memory (80.0 GB is what it has)"));
  EXPECT_THAT(text, Not(HasSubstr("does not fit")));
  EXPECT_THAT(text, Not(HasSubstr("would do nothing")));
}

// 1,235,814,400 numbers, 12 bytes each in a checkpoint and 4 in the model.
TEST_F(Forecast, OfTheDiskIsWhatIsThereAtMost) {
  EXPECT_THAT(said("h100"), HasSubstr("at most 44.5 GB of disk")) << "two that are kept, and a new one";
  recipe.checkpoint.every_steps = 12525;
  EXPECT_THAT(said("h100"), HasSubstr("at most 19.8 GB of disk")) << "the one checkpoint, and the model";
  recipe.checkpoint.keep_best.emplace();
  EXPECT_THAT(said("h100"), HasSubstr("at most 34.6 GB of disk")) << "and that of the best validation";
  adapter = {.base = "b", .lora = {.rank = 16, .alpha = 16, .targets = {"q_proj"}}, .head = HeadKind::language_model};
  EXPECT_THAT(said("h100"), HasSubstr("at most 29.4 MB of disk")) << "16 layers, 2 x 16 x 2,048 each";
}

TEST_F(Forecast, TheLastStepOfAnEpochMayBeSmaller) {
  recipe.train.steps.reset();
  recipe.train.epochs = 2;
  recipe.train.batch_size = 3;
  EXPECT_THAT(said("h100"), HasSubstr("4 steps, 32,768 tokens,")) << "3 and 1 texts of 4,096 tokens, twice";
}

TEST_F(Forecast, SaysWhatDoesNotFit) {
  EXPECT_THAT(said("rtx4090"), HasSubstr("does not fit: rtx4090 has 24.0 GB of memory, the training takes about"));
  recipe.train.recompute = Recompute::block;
  recipe.train.micro_batch_tokens = 0;
  const std::string smaller = said("rtx4090");
  EXPECT_THAT(smaller, HasSubstr("auto would take 4096"));
  EXPECT_THAT(smaller, HasSubstr("does not fit")) << "the state alone takes 18 bytes a parameter, 22.2 GB";
}

TEST_F(Forecast, OfSeveralCardsIsForOne) {
  const std::string text = said("8xh100");
  EXPECT_THAT(text, HasSubstr("about 1 h 00 min to 1 h 45 min on one h100"));
  EXPECT_THAT(text, HasSubstr("7 of the 8 would do nothing"));
}

}  // namespace
}  // namespace steerlm
