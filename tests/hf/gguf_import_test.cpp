// Whole models of GGUF files beside what Transformers computes with the same blocks (tools/make_gguf_fixtures.py;
// versions in expected.json), and damage to such a file.
#include <ATen/ops/mm.h>
#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>

#include "hf/gguf_model.h"
#include "steerlm/core/rng.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/nn/transformer.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {
namespace {

class GgufParity : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const Path path = gguf_fixtures / "expected.json";
    const Json all = parse_json(read_file(path, ExitCode::data, "fixture"), path.string(), ExitCode::data);
    expected_ = all.at(GetParam());
    lines_ = all.at("lines").get<std::vector<std::string>>();
    import_gguf(file_, output_, "fp32", 5'000'000'000);
  }

  TemporaryFolder folder_;
  const Path output_ = folder_.path() / "model";
  GgufFile file_ = GgufFile::open(gguf_fixtures / (std::string(GetParam()) + ".gguf"));
  Json expected_;
  std::vector<std::string> lines_;
};

TEST_P(GgufParity, LogitsAndLogProbabilities) {
  const ModelFolder folder = open_model_folder(output_);
  const Weights weights = own_weights(folder);
  check_weights(folder, weights);
  const Transformer model{folder.config,
                          parameters_from(folder.config, head_shape(folder, weights), read_weights(folder, weights))};
  const auto ids = expected_.at("ids").get<std::vector<std::int64_t>>();
  ASSERT_EQ(ids.size(), 40u);
  const PackedTokens tokens = pack_tokens(model, ids, {0, static_cast<std::int64_t>(ids.size())});
  const at::Tensor logits =
      at::mm(trunk_forward(model, tokens, nullptr), model.weights.output_vd().t()).to(at::kDouble);
  const at::Tensor log_p = logits.log_softmax(-1);
  for (std::int64_t i = 1; i < 40; ++i) {
    EXPECT_NEAR(log_p[i - 1][ids[static_cast<size_t>(i)]].item<double>(),
                expected_.at("logprobs")[static_cast<size_t>(i - 1)].get<double>(), 1e-4)
        << i;
  }
  const Json& last = expected_.at("every_8th_last_logit");
  double largest = 0;
  for (size_t i = 0; i < last.size(); ++i) {
    EXPECT_NEAR(logits[-1][static_cast<std::int64_t>(8 * i)].item<double>(), last[i].get<double>(), 1e-4) << i;
    largest = std::max(largest, std::abs(last[i].get<double>()));
  }
  EXPECT_GT(last.size(), 40u);
  EXPECT_GT(largest, 1) << "the fixture's logits are flat";
}

TEST_P(GgufParity, IdsOfLines) {
  const Tokenizer tokenizer = Tokenizer::load(output_);
  EXPECT_THAT(tokenizer.notes(), ::testing::ElementsAre());
  for (size_t i = 0; i < lines_.size(); ++i)
    EXPECT_EQ(Json(tokenizer.encode_line(lines_[i])), expected_.at("line_ids")[i]) << lines_[i];
  EXPECT_EQ(lines_.size(), 14u);
}

INSTANTIATE_TEST_SUITE_P(Models, GgufParity, ::testing::Values("llama", "llama_spm", "qwen2", "qwen3"),
                         [](const auto& tested) { return std::string(tested.param); });

using GgufImports = GgufModel;

TEST_F(GgufImports, AnotherDtype) {
  import(small_gguf(), "bf16");
  EXPECT_EQ(json("config.json").at("torch_dtype"), "bfloat16");
  const ModelFolder folder = open_model_folder(output_);
  EXPECT_EQ(folder.dtype, "bf16");
  for (const auto& [name, tensor] : read_weights(folder, Weights::language_model))
    EXPECT_EQ(tensor.scalar_type(), at::kBFloat16) << name;
}

// (2i, 2i + 1) of a head become (i, i + 4), of weights and biases; qwen2 keeps its rows.
TEST_F(GgufImports, RowsOfQueriesAndKeys) {
  std::vector<float> rows, biases;
  for (int row = 0; row < 16; ++row) {
    rows.insert(rows.end(), 16, static_cast<float>(row));
    biases.push_back(static_cast<float>(row));
  }
  const auto first_column = [&](const char* name, bool bias) {
    for (const auto& [found, tensor] : read_weights(open_model_folder(output_), Weights::language_model)) {
      if (found != std::string("model.layers.0.self_attn.") + name) continue;
      const at::Tensor column = (bias ? tensor : tensor.select(1, 0)).contiguous();
      return std::vector<float>(column.const_data_ptr<float>(), column.const_data_ptr<float>() + column.numel());
    }
    return std::vector<float>();
  };
  const std::vector<float> turned{0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
  GgufWriter llama = small_gguf();
  llama.tensor("blk.0.attn_q.weight", {16, 16}, rows).tensor("blk.0.attn_q.bias", {16}, biases);
  llama.tensor("blk.0.attn_k.weight", {16, 8}, std::vector<float>(rows.begin(), rows.begin() + 128));
  llama.tensor("blk.0.attn_v.weight", {16, 8}, std::vector<float>(rows.begin(), rows.begin() + 128));
  llama.tensor("blk.0.attn_k.bias", {8}, 1)
      .tensor("blk.0.attn_v.bias", {8}, 1)
      .tensor("blk.0.attn_output.bias", {16}, 1);
  import(llama);
  EXPECT_EQ(first_column("q_proj.weight", false), turned);
  EXPECT_EQ(first_column("q_proj.bias", true), turned);
  EXPECT_EQ(first_column("k_proj.weight", false), std::vector<float>(turned.begin(), turned.begin() + 8));
  EXPECT_EQ(first_column("v_proj.weight", false), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  GgufWriter qwen = small_gguf("qwen2");
  import(qwen.tensor("blk.0.attn_q.weight", {16, 16}, rows));
  EXPECT_EQ(first_column("q_proj.weight", false), biases);
}

TEST_F(GgufImports, NothingMayBeAtTheOutput) {
  small_gguf().write(path_);
  std::filesystem::create_directories(output_);
  std::ofstream(output_ / "mine.txt") << "text";
  EXPECT_THROW(import_gguf(GgufFile::open(path_), output_, "fp32", 1000), Error);
  EXPECT_TRUE(std::filesystem::exists(output_ / "mine.txt"));
}

// STEERLM_GGUF_ROUNDS: more rounds than the usual ones, for a run by hand under a sanitizer.
TEST_F(GgufImports, DamageIsRefusedOrGivesAFolderThatOpens) {
  const char* more = std::getenv("STEERLM_GGUF_ROUNDS");
  const std::uint64_t rounds = more != nullptr ? std::strtoull(more, nullptr, 10) : 600;
  std::uint64_t made = 0, refused = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    Rng rng(13, "model damage", round);
    std::string bytes = (round % 2 == 0 ? small_gguf() : small_spm_gguf()).bytes();
    for (std::uint64_t edits = 1 + rng.below(2); edits > 0; --edits) {
      const size_t at = rng.below(1400);  // keys and names
      bytes[at] = static_cast<char>(rng.below(4) == 0 ? rng.below(256) : bytes[at] ^ (1 << rng.below(8)));
    }
    std::filesystem::remove_all(output_);
    std::filesystem::remove(path_);
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      import_gguf(GgufFile::open(path_), output_, "fp32", 1'000'000);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::model) << error.what();
      EXPECT_FALSE(std::filesystem::exists(output_));
      ++refused;
      continue;
    }
    const ModelFolder folder = open_model_folder(output_);
    EXPECT_NO_THROW(check_weights(folder, own_weights(folder)));
    EXPECT_NO_THROW(check_vocabulary(folder, Tokenizer::load(output_)));
    ++made;
  }
  EXPECT_GT(refused, rounds / 4);
  EXPECT_GT(made, rounds / 100) << "another letter in a token is no damage";
}

}  // namespace
}  // namespace steerlm
