// The tokenizer.json that is written beside a tokenizer.model for Transformers, and what is said where there can be
// none. Fixtures: tools/make_spm_json_fixtures.py, which compares the ids that `tokenizers` gives with sentencepiece's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "steerlm/text/tokenizer.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string bytes_of(const Path& path) { return read_file(path, ExitCode::model, "file"); }
Json json_of(const Path& path) { return parse_json(bytes_of(path), path.string(), ExitCode::model); }

TEST(SpmJson, GivesTheIdsOfAModelThatChangesATextFirst) {
  const Json expected = json_of(fixture("normalised/expected.json"));
  TemporaryFolder folder;
  for (const std::string name : {"unigram", "bpe"}) {
    const Tokenizer tokenizer = Tokenizer::load(fixture("normalised/" + name + ".model"));
    EXPECT_THAT(tokenizer.notes(), IsEmpty()) << name;
    tokenizer.copy_to(folder / name);
    const Json& of = expected.at("models").at(name);
    EXPECT_EQ(sha256_file(folder / name / "tokenizer.json", ExitCode::model), of.at("tokenizer_json_sha256")) << name;
    EXPECT_EQ(json_of(folder / name / "tokenizer_config.json").at("tokenizer_class"), "PreTrainedTokenizerFast");
    const Tokenizer written = Tokenizer::load(folder / name);
    EXPECT_THAT(written.notes(), IsEmpty()) << name;
    for (size_t i = 0; i < of.at("ids").size(); ++i) {
      const auto line = expected.at("lines").at(i).get<std::string>();
      EXPECT_EQ(Json(tokenizer.encode_line(line)), of.at("ids").at(i)) << name << ": " << line;
      EXPECT_EQ(Json(written.encode_line(line)), of.at("ids").at(i)) << name << ": " << line;
    }
  }
}

TEST(SpmJson, DropsSpacesAsTheModelDoes) {
  TemporaryFolder folder;
  const std::string drops("\x1a\x02\x20\x01", 4);  // normalizer_spec, remove_extra_whitespaces: true
  write_text(folder / "drops.model", bytes_of(fixture("bpe.model")) + drops);
  Tokenizer::load(folder / "drops.model").copy_to(folder / "made");
  const Json json = json_of(folder / "made/tokenizer.json");
  EXPECT_EQ(json.at("model").at("type"), "BPE");
  const Json& steps = json.at("normalizer").at("normalizers");
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_EQ(steps[0].at("pattern").at("Regex"), "\\A +|[ \xE2\x96\x81]+\\z");
  EXPECT_EQ(steps[1].at("pattern").at("Regex"), " {2,}");
  EXPECT_EQ(steps[2].at("type"), "Prepend");
}

struct Beyond {
  std::string model;   // of the fixtures
  std::string fields;  // added to its bytes
  std::string says;
};

// Every key that changes ids is obeyed or told.
TEST(SpmJson, WhatNoneCanSayIsNotedWhereverTheModelIsRead) {
  const std::vector<Beyond> models{
      {"unigram.model", std::string("\x12\x03\xC0\x01\x01", 5),
       "puts spaces behind words ('treat_whitespace_as_suffix')"},
      {"bpe.model", std::string("\x12\x03\xC0\x01\x01", 5), "puts spaces behind words ('treat_whitespace_as_suffix')"},
      {"unigram.model", std::string("\x1a\x02\x28\x00", 4), "keeps spaces as they are ('escape_whitespaces: false')"},
      {"unigram.model", std::string("\x12\x02\x18\x03", 4), "takes words whole ('model_type: word')"},
      {"normalised/bpe.model", std::string("\x1a\x05\x0a\x03own", 7),
       "changes texts by rules of its own ('normalization_rule_name: own')"},
      {"markers.model", std::string("\x1a\x02\x20\x01", 4), "has user-defined pieces among those that BPE makes"}};
  TemporaryFolder folder;
  for (const Beyond& beyond : models) {
    write_text(folder / "it.model", bytes_of(fixture(beyond.model)) + beyond.fields);
    const Tokenizer tokenizer = Tokenizer::load(folder / "it.model");
    EXPECT_THAT(tokenizer.notes(), ElementsAre(HasSubstr(beyond.says + ", which no tokenizer.json can say")));
    const Path made = folder / "made";
    std::filesystem::remove_all(made);
    tokenizer.copy_to(made);
    EXPECT_FALSE(std::filesystem::exists(made / "tokenizer.json")) << beyond.says;
    EXPECT_THAT(Tokenizer::load(made).notes(), testing::Contains(HasSubstr(beyond.says)));
  }
}

TEST(SpmJson, AUserDefinedPieceThatTheRulesWouldChangeIsOneOfThem) {
  TemporaryFolder folder;
  // sentencepiece leaves the piece alone, and would make "fi" of it elsewhere.
  std::string bytes = bytes_of(fixture("normalised/unigram.model"));
  const std::string ligature = "\xEF\xAC\x81";
  bytes += std::string("\x0a\x0c\x0a\x03", 4) + ligature + std::string("\x15\x00\x00\x00\x00\x18\x04", 7);
  write_text(folder / "it.model", bytes);
  EXPECT_THAT(Tokenizer::load(folder / "it.model").notes(),
              ElementsAre(HasSubstr("leaves the user-defined piece '" + ligature + "' as it is")));
}

// A folder with a tokenizer_config.json keeps it and gets no tokenizer.json.
TEST(SpmJson, WhatLlamaTokenizerDoesNotKnowIsNoted) {
  TemporaryFolder folder;
  const auto notes = [&](const std::string& model, const std::string& name, const std::string& type) {
    const Path path = folder / "it";
    std::filesystem::remove_all(path);
    std::filesystem::create_directory(path);
    std::filesystem::copy_file(fixture(model), path / "tokenizer.model");
    write_text(path / "tokenizer_config.json", R"({"tokenizer_class": ")" + name + R"(", "add_bos_token": false})");
    write_text(path / "config.json", R"({"model_type": ")" + type + R"("})");
    return Tokenizer::load(path).notes();
  };
  EXPECT_THAT(notes("unigram.model", "LlamaTokenizer", "llama"),
              ElementsAre(HasSubstr("is no BPE, which LlamaTokenizer of Transformers 5 does not know")));
  EXPECT_THAT(notes("normalised/bpe.model", "CodeLlamaTokenizer", "llama"),
              ElementsAre(HasSubstr("changes characters (nmt_nfkc), which CodeLlamaTokenizer")));
  EXPECT_THAT(notes("bpe.model", "LlamaTokenizer", "llama"), IsEmpty());
  EXPECT_THAT(notes("unigram.model", "PreTrainedTokenizerFast", "llama"), IsEmpty());
  EXPECT_THAT(notes("unigram.model", "LlamaTokenizer", "mistral"), IsEmpty());
}

}  // namespace
}  // namespace steerlm
