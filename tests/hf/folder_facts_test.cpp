// What a folder says without a word: the dtype of its weights, and whether its head was trained by this program.
#include <gtest/gtest.h>

#include <fstream>

#include "steerlm/core/json.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/store/safetensors.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class FolderFacts : public ::testing::Test {
 protected:
  Path copy(const std::string& name) const {
    const Path path = folder_.path() / "base";
    std::filesystem::copy(Path(STEERLM_SOURCE_DIR) / "tests/fixtures/models" / name, path);
    return path;
  }
  static Json json(const Path& path) {
    return parse_json(read_file(path, ExitCode::model, "file"), path.string(), ExitCode::model);
  }
  static void edit(const Path& path, const std::function<void(Json&)>& change) {
    Json edited = json(path);
    change(edited);
    std::ofstream(path) << edited.dump();
  }

  TemporaryFolder folder_;
};

// As Transformers has it: that of the first floating-point tensor by name, here lm_head.weight.
TEST_F(FolderFacts, WithoutTheKeyTheDtypeIsThatOfTheWeights) {
  const Path path = copy("untied");
  edit(path / "config.json", [](Json& json) {
    json.erase("dtype");
    json.erase("torch_dtype");
  });
  EXPECT_EQ(open_model_folder(path).dtype, "fp32");
  NamedTensors tensors = read_weights(open_model_folder(path), Weights::language_model);
  for (auto& [name, tensor] : tensors) {
    if (name == "lm_head.weight") tensor = tensor.to(at::kHalf);
  }
  write_safetensors(path / "model.safetensors", tensors, {});
  EXPECT_EQ(open_model_folder(path).dtype, "fp16");
  edit(path / "config.json", [](Json& json) { json["dtype"] = "bfloat16"; });
  EXPECT_EQ(open_model_folder(path).dtype, "bf16");
}

// A head that was trained elsewhere stays one, scored where Transformers scores; one that was trained here reads the
// template's end marker, whatever the base calls padding.
TEST_F(FolderFacts, OnlyTrainingMakesAHeadOneOfThisProgram) {
  const Path base = copy("classifier");
  edit(base / "config.json", [](Json& json) { json["pad_token_id"] = 7; });
  std::ofstream(base / "generation_config.json") << R"({"temperature": 0.6, "top_p": 0.9, "eos_token_id": 6})";
  ModelFolder folder = open_model_folder(base);
  folder.attributes = {.names = {"quality", "humor", "verbosity"}, .min = 0, .max = 4, .defaults = {}};
  const NamedTensors tensors = read_weights(folder, Weights::regression);
  const Tokenizer tokenizer = Tokenizer::load(base);
  const auto written = [&](const std::string& name, const std::optional<ModelCard>& card) {
    write_model_folder(folder_.path() / name, folder, tensors, tokenizer, default_max_shard_bytes, card);
    return open_model_folder(folder_.path() / name);
  };
  const auto generation = [&](const std::string& name) {
    return json(folder_.path() / name / "generation_config.json");
  };
  const ModelFolder merged = written("merged", std::nullopt);
  EXPECT_EQ(merged.template_sha256, "");
  EXPECT_EQ(merged.pad_token_id, 7);
  EXPECT_EQ(generation("merged").at("temperature"), 0.6);
  EXPECT_EQ(generation("merged").at("eos_token_id"), 6);
  for (const ModelCard& card :
       {ModelCard{.predictor = true, .steps = 5}, ModelCard{.predictor = true, .ridge = true}}) {
    const std::string name = card.ridge ? "ridge" : "trained";
    const ModelFolder trained = written(name, card);
    EXPECT_EQ(trained.template_sha256, ConversationTemplate(folder.text_template, tokenizer).sha256());
    EXPECT_EQ(trained.pad_token_id, std::nullopt);
    EXPECT_FALSE(generation(name).contains("temperature"));
  }
  folder = open_model_folder(folder_.path() / "trained");
  EXPECT_EQ(written("again", std::nullopt).template_sha256, folder.template_sha256);
}

}  // namespace
}  // namespace steerlm
