#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/run_command.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "support/ordinary_user.h"
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
    std::vector<std::string> words{"init",
                                   "--output",
                                   path(output),
                                   "--tokenizer",
                                   models + "untied/tokenizer.model",
                                   "--hidden-size",
                                   "16",
                                   "--num-hidden-layers",
                                   "1",
                                   "--num-attention-heads",
                                   "2"};
    words.insert(words.end(), options.begin(), options.end());
    return run(words);
  }
  TemporaryFolder folder_;
};

// Commands in this process, since another user may not be able to read the program.
TEST_F(ModelCommands, AFolderThatMayNotBeEnteredSaysPermission) {
  std::filesystem::copy(models + "untied", path("model"));
  as_ordinary_user(folder_.path(), [&] {
    std::filesystem::permissions(path("model"), std::filesystem::perms::none);
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"generate", "--model", path("model"), "--prompt", "hi"},
          {"tokenizer", "encode", "--model", path("model")}}) {
      const Outcome outcome = run_command(words);
      EXPECT_EQ(outcome.code, 4) << words.front();
      EXPECT_THAT(outcome.err, HasSubstr("Permission denied"));
    }
    std::filesystem::permissions(path("model"), std::filesystem::perms::owner_all);
  });
}

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
  EXPECT_EQ(json.at("files").at("tokenizer.model").at("sha256"),
            sha256_file(models + "untied/tokenizer.model", ExitCode::model));
  EXPECT_EQ(info(models + "tied").at("parameters"), 25512) << "shards, the embedding counted once";
  EXPECT_EQ(info(models + "classifier").at("head"),
            Json({{"kind", "regression"}, {"bias", false}, {"pooling", "last"}}));
}

TEST_F(ModelCommands, InfoSaysWhatTheModelNeeds) {
  const Json json = info(models + "tied");
  EXPECT_EQ(json.at("architecture"), "LlamaForCausalLM");
  EXPECT_EQ(json.at("family"), "llama");
  EXPECT_EQ(json.at("shards"), 2);
  EXPECT_EQ(json.at("bytes"), 60928 + 44072);
  EXPECT_EQ(json.at("context_length"), 256);
  EXPECT_EQ(json.at("vocabulary_rows"), 408);
  EXPECT_EQ(json.at("tokenizer_pieces"), 400);
  EXPECT_EQ(json.at("memory_bytes").at("inference_fp32"), 25512 * 4);
  EXPECT_EQ(json.at("memory_bytes").at("inference_bf16"), 25512 * 2);
  EXPECT_EQ(json.at("memory_bytes").at("training_fp32"), 25512 * 16) << "weight, gradient, two moments";
  EXPECT_EQ(json.at("memory_bytes").at("training_bf16"), 25512 * 18);
  EXPECT_EQ(json.at("special_tokens").at("bos"), 1);
  EXPECT_EQ(json.at("special_tokens").at("eos"), Json({2}));
  EXPECT_EQ(json.at("template").at("end"), "<extra_id_1>");
  EXPECT_EQ(json.at("config").at("rope_theta"), 500000.0);
  EXPECT_EQ(json.at("config").at("architectures"), Json({"LlamaForCausalLM"}));
  EXPECT_EQ(info(models + "classifier").at("config").at("id2label").size(), 3u);
}

TEST_F(ModelCommands, InfoShowsTheDials) {
  std::filesystem::copy(models + "untied", path("model"));
  std::ofstream(path("model/steerlm.json"))
      << R"({"method": "helpsteer", "attributes": {"names": ["quality", "humor"], "min": 0, "max": 4,
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
  const Outcome outcome =
      init("model", {"--tie-word-embeddings", "--rope-theta", "500000", "--max-position-embeddings", "64"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  const Json json = info(path("model"));
  EXPECT_THAT(outcome.err,
              HasSubstr(path("model") + ": a fresh language model of " + json.at("parameters").dump() + " parameters"));
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

TEST_F(ModelCommands, WeightsAreShardedOnRequest) {
  ASSERT_EQ(init("a").code, 0);
  ASSERT_EQ(init("b", {"--max-shard-size", "20KB"}).code, 0);
  EXPECT_EQ(info(path("a")).at("shards"), 1);
  EXPECT_EQ(info(path("b")).at("shards"), 3) << "the embedding, the block, the output layer";
  for (const char* size : {"", "0", "5PB", "MB", "-1GB", "1e3KB", "0.0001KB", "5 GB", "nanGB"}) {
    const Outcome outcome = init("c", {"--max-shard-size", size});
    EXPECT_EQ(outcome.code, 2) << size;
    EXPECT_THAT(outcome.err, HasSubstr("--max-shard-size")) << size;
  }
  EXPECT_EQ(init("d", {"--max-shard-size", "0.02mb"}).code, 0);
  EXPECT_EQ(info(path("d")).at("shards"), 3);
  EXPECT_FALSE(std::filesystem::exists(path("c")));
}

TEST_F(ModelCommands, ExportAndAddTokensMakeFoldersThatInfoReads) {
  const Outcome outcome = run({"export", "--model", models + "untied", "--output", path("half"), "--dtype", "bf16",
                               "--max-shard-size", "40KB"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, path("half") + ": the model in bf16, 3 weight file(s)\n");
  EXPECT_EQ(info(path("half")).at("dtype"), "bf16");
  EXPECT_EQ(info(path("half")).at("shards"), 3);
  EXPECT_EQ(info(path("half")).at("parameters"), 41120);
  const Outcome added = run({"add-tokens", "--model", path("half"), "--output", path("more")});
  ASSERT_EQ(added.code, 0) << added.err;
  EXPECT_EQ(added.err, "<extra_id_0>: added, id 400\n<extra_id_1>: added, id 401\n<extra_id_2>: added, id 402\n" +
                           path("more") + ": the embedding has 403 rows, 400 before\n");
  EXPECT_EQ(info(path("more")).at("dtype"), "bf16");
  EXPECT_EQ(info(path("more")).at("tokenizer_pieces"), 403);
  const Outcome again =
      run({"add-tokens", "--model", path("more"), "--output", path("same"), "--tokens", "<extra_id_2>,<s>"});
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.err, HasSubstr("<extra_id_2>: there already, id 402\n<s>: there already, id 1\n"));
  EXPECT_EQ(info(path("same")).at("vocabulary_rows"), 403);
}

TEST_F(ModelCommands, ExportAndAddTokensRefuseWhatTheyCannotDo) {
  std::filesystem::create_directory(path("used"));
  std::ofstream(path("used/file")) << "mine";
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"export", "--model", models + "untied", "--output", path("used"), "--dtype", "bf16"},
        {"add-tokens", "--model", models + "untied", "--output", path("used")}}) {
    EXPECT_EQ(run(words).code, 5) << words[0];
    EXPECT_EQ(read(path("used/file")), "mine");
  }
  const Outcome dtype = run({"export", "--model", models + "untied", "--output", path("new"), "--dtype", "bf61"});
  EXPECT_EQ(dtype.code, 2);
  EXPECT_THAT(dtype.err, HasSubstr("unknown dtype (found bf61, expected fp32 or bf16 or fp16); did you mean 'bf16'?"));
  EXPECT_EQ(run({"export", "--model", path("none"), "--output", path("new"), "--dtype", "bf16"}).code, 4);
  EXPECT_EQ(run({"export", "--model", models + "untied", "--output", path("new")}).code, 2) << "which dtype?";
  for (const char* tokens : {"", "<a>,", "<a>, <b>", "<a>,<a>", "\xff"}) {
    EXPECT_EQ(run({"add-tokens", "--model", models + "untied", "--output", path("new"), "--tokens", tokens}).code, 2)
        << tokens;
  }
  EXPECT_FALSE(std::filesystem::exists(path("new")));
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
