// What the template looks like; that it renders the program's bytes is
// tests/end_to_end/chat_template_test.py's to say.
#include "hf/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "steerlm/core/json.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ChatTemplate : public ::testing::Test {
 protected:
  static Path fixture(const std::string& name) { return Path(STEERLM_SOURCE_DIR) / "tests/fixtures/models" / name; }
  Json config(const Path& path) const {
    const Path file = path / "tokenizer_config.json";
    return parse_json(read_file(file, ExitCode::model, "file"), file.string(), ExitCode::model);
  }
  // A copy of a base whose files carry templates of their own.
  Path base() const {
    const Path path = folder_.path() / "base";
    std::filesystem::copy(fixture("untied"), path);
    Json json = config(path);
    json["chat_template"] = "{{ messages.__class__ }}";
    std::ofstream(path / "tokenizer_config.json") << json.dump();
    std::ofstream(path / "chat_template.jinja") << "{{ theirs }}";
    std::ofstream(path / "chat_template.json") << R"({"chat_template": "{{ theirs }}"})";
    return path;
  }

  TemporaryFolder folder_;
};

TEST_F(ChatTemplate, OursReplacesEveryOneOfTheBase) {
  const Path path = base();
  const ModelFolder folder = open_model_folder(path);
  const NamedTensors tensors = read_weights(folder, Weights::language_model);
  const Tokenizer tokenizer = Tokenizer::load(path);
  const Path made = folder_.path() / "made";
  write_model_folder(made, folder, tensors, tokenizer, default_max_shard_bytes, ModelCard{.steps = 1});
  EXPECT_EQ(config(made).at("chat_template"), chat_template(folder, tokenizer, false));
  Json others = config(made);
  others.erase("chat_template");
  Json theirs = config(path);
  theirs.erase("chat_template");
  theirs.erase("model_max_length");  // 1000000000000000019884624838656, what Transformers takes anyway
  EXPECT_EQ(others, theirs);
  EXPECT_FALSE(std::filesystem::exists(made / "chat_template.jinja"));
  EXPECT_FALSE(std::filesystem::exists(made / "chat_template.json"));

  ModelFolder plain = folder;
  plain.text_template.name = TemplateName::plain;
  std::filesystem::remove_all(made);
  write_model_folder(made, plain, tensors, tokenizer, default_max_shard_bytes, ModelCard{.steps = 1});
  EXPECT_FALSE(config(made).contains("chat_template"));
}

TEST_F(ChatTemplate, WithoutACardTheFolderKeepsItsOwn) {
  const Path path = base();
  const ModelFolder folder = open_model_folder(path);
  const Path made = folder_.path() / "made";
  write_model_folder(made, folder, read_weights(folder, Weights::language_model), Tokenizer::load(path));
  EXPECT_EQ(config(made).at("chat_template"), config(path).at("chat_template"));
  for (const char* name : {"chat_template.jinja", "chat_template.json"})
    EXPECT_EQ(read_file(made / name, ExitCode::model, "file"), read_file(path / name, ExitCode::model, "file")) << name;
  EXPECT_FALSE(std::filesystem::exists(made / "README.md"));
}

TEST_F(ChatTemplate, TextsAreLiterals) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("untied"));
  ModelFolder folder;
  folder.text_template.system = "it's {{ x }}\n\"\\\x01\r\xC3\xA9";
  EXPECT_THAT(chat_template(folder, tokenizer, false),
              HasSubstr("set steerlm_system = 'it\\'s {{ x }}\\n\"\\\\\\x01\\x0d\xC3\xA9'"));
  EXPECT_THAT(chat_template(folder, tokenizer, false), HasSubstr("{{- '<s>' -}}"));
}

TEST_F(ChatTemplate, DialsAreOnlyThoseThatAKeywordCanName) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("untied"));
  ModelFolder folder;
  EXPECT_THAT(chat_template(folder, tokenizer, false), Not(HasSubstr("steerlm_label")));
  folder.attributes = {.names = {"quality", "not", "messages"}, .min = 0, .max = 9, .defaults = {{"not", 7}}};
  const std::string text = chat_template(folder, tokenizer, false);
  EXPECT_THAT(text, HasSubstr("steerlm_dial('quality', quality | default(0)) ~ ',' ~ "
                              "steerlm_dial('not', 7) ~ ',' ~ steerlm_dial('messages', 0)"));
  EXPECT_TRUE(is_keyword_dial("humor"));
  for (const char* name : {"not", "messages", "max_length", "class", "range", "steerlm_label"})
    EXPECT_FALSE(is_keyword_dial(name)) << name;
}

}  // namespace
}  // namespace steerlm
