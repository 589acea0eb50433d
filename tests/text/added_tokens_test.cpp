#include "steerlm/text/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "steerlm/core/json.h"
#include "steerlm/text/tokenizer.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

class AddedTokens : public ::testing::Test {
 protected:
  Path path(const std::string& name) const { return folder_.path() / name; }
  void write(const std::string& name, const std::string& bytes) {
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  Json read(const std::string& name) const {
    return parse_json(read_file(path(name), ExitCode::model, "file"), name, ExitCode::model);
  }
  void copy_model() {
    std::filesystem::copy(Path(STEERLM_SOURCE_DIR) / "tests/fixtures/text/unigram.model", path("tokenizer.model"));
  }
  std::string message() {
    return message_of(ExitCode::model, [&] { enter_new_tokens(folder_.path(), {{"<n>", 9}}); });
  }

  TemporaryFolder folder_;
  // As Transformers writes AddedToken(special=True, normalized=False).
  const Json entry_ = parse_json(
      R"({"content": "<n>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})",
      "entry", ExitCode::bug);
};

TEST_F(AddedTokens, TokenizerJsonGetsAnEntryAtItsEnd) {
  write("tokenizer.json",
        R"({"version": "1.0", "added_tokens": [{"id": 0, "content": "<s>"}], "model": {"vocab": {"é": 1}}})");
  write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  enter_new_tokens(folder_.path(), {{"<n>", 9}});
  Json expected = entry_;
  expected["id"] = 9;
  const Json added = read("tokenizer.json").at("added_tokens");
  ASSERT_EQ(added.size(), 2u);
  EXPECT_EQ(nlohmann::json(added[1]), nlohmann::json(expected));
  EXPECT_EQ(added[1].begin().key(), "id") << "the order of the tokenizers library";
  EXPECT_EQ(read("tokenizer.json").at("model").at("vocab").at("é"), 1);
  EXPECT_FALSE(read("tokenizer_config.json").contains("added_tokens_decoder")) << "it had none, and needs none";
}

TEST_F(AddedTokens, ADecoderThatIsThereIsKeptInStep) {
  write("tokenizer.json", R"({"added_tokens": []})");
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"8": {"content": "<e>"}}, "model_max_length": 7})");
  enter_new_tokens(folder_.path(), {{"<n>", 9}});
  const Json config = read("tokenizer_config.json");
  EXPECT_EQ(config.at("added_tokens_decoder").size(), 2u);
  EXPECT_EQ(config.at("added_tokens_decoder").at("9"), entry_);
  EXPECT_EQ(config.at("model_max_length"), 7);
}

// Without a decoder Transformers reads added_tokens.json and special_tokens_map.json, with one it does not.
TEST_F(AddedTokens, ANewDecoderTakesOverAddedTokensJson) {
  copy_model();
  const std::int64_t pieces = Tokenizer::load(path("tokenizer.model")).vocab_size();
  const std::string first = std::to_string(pieces), second = std::to_string(pieces + 1);
  write("tokenizer_config.json", R"({"eos_token": "<plain>"})");
  write("added_tokens.json", R"({"<old>": )" + first + R"(, "<plain>": )" + second + "}");
  write("special_tokens_map.json", R"({"additional_special_tokens": ["<old>"], "eos_token": "</s>"})");
  const auto id = static_cast<std::int32_t>(pieces + 2);
  enter_new_tokens(folder_.path(), {{"<n>", id}});
  const Json config = read("tokenizer_config.json");
  EXPECT_EQ(config.at("eos_token"), "</s>");
  const Json decoder = config.at("added_tokens_decoder");
  EXPECT_EQ(decoder.at(first).at("content"), "<old>");
  EXPECT_EQ(decoder.at(first).at("special"), true);
  EXPECT_EQ(decoder.at(second).at("special"), false);
  EXPECT_EQ(decoder.at(std::to_string(id)), entry_);
  EXPECT_EQ(read("added_tokens.json").at("<n>"), id);
  const Tokenizer tokenizer = Tokenizer::load(folder_.path());
  EXPECT_EQ(tokenizer.vocab_size(), id + 1);
  EXPECT_EQ(tokenizer.eos_id(), tokenizer.piece_id("</s>"));
  EXPECT_EQ(tokenizer.encode_line("<n><old>"), (std::vector<std::int32_t>{id, id - 2}));
}

TEST_F(AddedTokens, FilesOfAnotherShapeAreRefused) {
  write("tokenizer.json", "[]");
  EXPECT_THAT(message(), HasSubstr("tokenizer.json: not a JSON object"));
  write("tokenizer.json", R"({"added_tokens": {}})");
  EXPECT_THAT(message(), HasSubstr("'added_tokens' is not an array"));
  write("tokenizer.json", "{");
  EXPECT_THAT(message(), HasSubstr("not valid JSON"));
  std::filesystem::remove(path("tokenizer.json"));
  write("tokenizer_config.json", R"({"added_tokens_decoder": []})");
  EXPECT_THAT(message(), HasSubstr("'added_tokens_decoder' is not an object"));
}

}  // namespace
}  // namespace steerlm
