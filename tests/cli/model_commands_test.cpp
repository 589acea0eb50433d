#include <gmock/gmock.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/run_command.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

const std::string models = STEERLM_SOURCE_DIR "/tests/fixtures/models/";

Outcome run(std::vector<std::string> words) {
  words.insert(words.begin(), "model");
  return run_command(std::move(words));
}

Json info(const std::string& folder) {
  const Outcome outcome = run({"info", "--model", folder});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return parse_json(outcome.out, "info", ExitCode::bug);
}

class ModelCommands : public ::testing::Test {
 protected:
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  static std::string read(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
  }
  Outcome init(const std::string& output, const std::vector<std::string>& options = {}) {
    std::vector<std::string> words{"init", "--output", path(output), "--tokenizer", models + "untied/tokenizer.model", "--hidden-size", "16",
                                   "--num-hidden-layers", "1", "--num-attention-heads", "2"};
    words.insert(words.end(), options.begin(), options.end());
    return run(words);
  }
  TemporaryFolder folder_;
};

TEST_F(ModelCommands, InfoSaysWhatIsInAFolder) {
  const Json json = info(models + "untied");
  EXPECT_EQ(json.at("head").at("kind"), "language_model");
  EXPECT_EQ(json.at("parameters"), 41120) << "the tensors of the file have 164480 bytes";
  EXPECT_EQ(json.at("bytes"), 166624);
  EXPECT_EQ(json.at("dtype"), "fp32");
  EXPECT_EQ(json.at("tokenizer_pieces"), 400);
  EXPECT_TRUE(json.at("attributes").is_null());
  EXPECT_EQ(json.at("template").at("name"), "steerlm");
  EXPECT_EQ(json.at("config").at("hidden_size"), 32);
  EXPECT_EQ(json.at("config").at("num_key_value_heads"), 2);
  EXPECT_EQ(json.at("files").at("tokenizer.model").at("size"), 6048);
  EXPECT_EQ(json.at("files").at("tokenizer.model").at("sha256"), sha256_file(models + "untied/tokenizer.model", ExitCode::model));
  EXPECT_EQ(info(models + "tied").at("parameters"), 25512) << "shards, the embedding counted once";
  EXPECT_EQ(info(models + "classifier").at("head"), Json({{"kind", "regression"}, {"bias", false}}));
}

TEST_F(ModelCommands, InfoShowsTheDials) {
  std::filesystem::copy(models + "untied", path("model"));
  std::ofstream(path("model/steerlm.json")) << R"({"method": "helpsteer", "attributes": {"names": ["quality", "humor"], "min": 0, "max": 4,
                                                "defaults": {"quality": 4}}})";
  const Json json = info(path("model"));
  EXPECT_EQ(json.at("method"), "helpsteer");
  EXPECT_EQ(json.at("attributes").at("names"), Json({"quality", "humor"}));
  EXPECT_EQ(json.at("attributes").at("defaults").at("quality"), 4);
  EXPECT_EQ(json.at("attributes").at("defaults").at("humor"), 0);
}

TEST_F(ModelCommands, InfoRefusesWhatIsNoModel) {
  EXPECT_EQ(run({"info", "--model", path("none")}).code, 4);
  EXPECT_EQ(run({"info"}).code, 2);
  std::filesystem::copy(models + "untied", path("model"));
  std::filesystem::resize_file(path("model/model.safetensors"), 1000);
  const Outcome outcome = run({"info", "--model", path("model")});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("cut off"));
  EXPECT_EQ(outcome.out, "");
}

TEST_F(ModelCommands, InitMakesAFolderThatInfoReads) {
  const Outcome outcome = init("model", {"--tie-word-embeddings", "--rope-theta", "500000", "--max-position-embeddings", "64"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  const Json json = info(path("model"));
  EXPECT_THAT(outcome.err, HasSubstr(path("model") + ": a fresh language model of " + json.at("parameters").dump() + " parameters"));
  const Json& config = json.at("config");
  EXPECT_EQ(config.at("hidden_size"), 16);
  EXPECT_EQ(config.at("num_hidden_layers"), 1);
  EXPECT_EQ(config.at("num_key_value_heads"), 2) << "as many as query heads";
  EXPECT_EQ(config.at("head_dim"), 8);
  EXPECT_EQ(config.at("vocab_size"), 400) << "the tokenizer's";
  EXPECT_EQ(config.at("rope_theta").get<double>(), 500000);
  EXPECT_EQ(config.at("max_position_embeddings"), 64);
  EXPECT_EQ(config.at("tie_word_embeddings"), true);
  EXPECT_EQ(json.at("dtype"), "fp32");
  EXPECT_EQ(read(path("model/tokenizer.model")), read(models + "untied/tokenizer.model"));
}

TEST_F(ModelCommands, EqualSeedsGiveEqualFiles) {
  ASSERT_EQ(init("a", {"--seed", "7"}).code, 0);
  ASSERT_EQ(init("b", {"--seed", "7"}).code, 0);
  ASSERT_EQ(init("c", {"--seed", "8"}).code, 0);
  for (const auto& entry : std::filesystem::directory_iterator(path("a"))) {
    const std::string name = entry.path().filename().string();
    EXPECT_EQ(read(path("b/" + name)), read(path("a/" + name))) << name;
  }
  EXPECT_NE(read(path("c/model.safetensors")), read(path("a/model.safetensors")));
  EXPECT_EQ(info(path("a")).at("config").at("max_position_embeddings"), 4096);
  EXPECT_EQ(info(path("a")).at("config").at("tie_word_embeddings"), false);
}

TEST_F(ModelCommands, InitRefusesWrongSizesAndUsedFolders) {
  const Outcome range = init("model", {"--intermediate-size", "-1", "--rms-norm-eps", "0"});
  EXPECT_EQ(range.code, 2);
  EXPECT_THAT(range.err, HasSubstr("--intermediate-size is out of range (found -1"));
  EXPECT_THAT(range.err, HasSubstr("--rms-norm-eps is out of range")) << "all faults in one pass";
  EXPECT_EQ(init("model", {"--num-key-value-heads", "3"}).code, 2) << "does not divide the query heads";
  EXPECT_EQ(init("model", {"--hidden-size", "x"}).code, 2);
  const Outcome option = init("model", {"--hiden-size", "16"});
  EXPECT_EQ(option.code, 2);
  EXPECT_THAT(option.err, HasSubstr("did you mean '--hidden-size'?"));
  EXPECT_EQ(run({"init", "--output", path("model"), "--tokenizer", path("none")}).code, 4);
  EXPECT_FALSE(std::filesystem::exists(path("model")));

  std::filesystem::create_directory(path("used"));
  std::ofstream(path("used/file")) << "mine";
  EXPECT_EQ(init("used").code, 5);
  EXPECT_EQ(read(path("used/file")), "mine");
  EXPECT_EQ(init("used/file/model").code, 5);
  std::filesystem::create_directory(path("empty"));
  EXPECT_EQ(init("empty").code, 0) << "an empty folder is as good as none";
}

}  // namespace
}  // namespace steerlm
