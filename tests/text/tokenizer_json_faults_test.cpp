// Files that are damaged, contradict themselves or ask for what is not implemented.
#include <gmock/gmock.h>

#include "steerlm/core/rng.h"
#include "steerlm/text/tokenizer.h"
#include "text/nasty_lines.h"
#include "text/regex.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class TokenizerJsonFaults : public testing::Test {
 protected:
  // A whole file with a piece for every byte, in the order of GPT-2's alphabet, and one merge.
  static Json good() { return read_tokenizer_fixture("gpt2/tokenizer.json"); }
  void expect_bad(const std::string& bytes, const std::string& words) {
    write_text(folder_ / "tokenizer.json", bytes);
    for (const Path& path : {folder_ / "tokenizer.json", folder_.path()}) {
      expect_error(ExitCode::model,
                   AllOf(HasSubstr("tokenizer.json"), HasSubstr(words), Not(HasSubstr("json.exception")),
                         Not(HasSubstr("what():"))),
                   [&] { Tokenizer::load(path); });
    }
  }
  template <class Edit>
  void expect_bad_edit(Edit edit, const std::string& words) {
    Json json = good();
    edit(json);
    expect_bad(dump_json(json), words);
  }
  // `value` at a JSON pointer.
  void expect_bad_value(const std::string& pointer, const std::string& value, const std::string& words) {
    expect_bad_edit([&](Json& json) { json[Json::json_pointer(pointer)] = Json::parse(value); }, words);
  }
  TemporaryFolder folder_;
};

TEST_F(TokenizerJsonFaults, NoTokenizerFile) {
  expect_bad("{", "not valid JSON");
  expect_bad("{} x", "not valid JSON");
  expect_bad("[]", "the file is not a JSON object");
  expect_bad("hello", "not valid JSON");
  expect_bad("{}", "'model' is missing");
  expect_bad("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 499723\n", "git lfs pull");
  expect_bad(std::string(1000, '['), "nested deeper");
  expect_bad("{\"model\": " + std::string(100'000, '['), "nested deeper");
  expect_bad("{\"a\": 1, \"a\": 2}", "occurs twice");
  expect_bad("{\"model\": {\"vocab\": {\"\xff\": 1}}}", "not valid UTF-8");
  expect_bad(std::string("{\0}", 3), "NUL");
}

TEST_F(TokenizerJsonFaults, EveryTruncationIsFound) {
  const std::string bytes = dump_json(good());
  for (size_t size = 1; size < bytes.size(); size += 97) {
    write_text(folder_ / "tokenizer.json", bytes.substr(0, size));
    expect_error(ExitCode::model, testing::AnyOf(HasSubstr("not valid JSON"), HasSubstr("not valid UTF-8")),
                 [&] { Tokenizer::load(folder_.path()); });
  }
}

TEST_F(TokenizerJsonFaults, FlippedBytesNeverEndTheProcess) {
  for (const std::string kind : {"llama3", "llama2", "qwen2"}) {
    const std::string bytes = read_file(tokenizer_fixture(kind + "/tokenizer.json"), ExitCode::data, "fixture");
    for (std::uint64_t n = 0; n < 150; ++n) {
      Rng rng(3, "flip", n);
      std::string damaged = bytes;
      // The head, where the steps are, or anywhere.
      for (int i = 0; i < 3; ++i)
        damaged[rng.below(n % 2 == 0 ? 2500 : damaged.size())] = static_cast<char>(32 + rng.below(95));
      write_text(folder_ / "tokenizer.json", damaged);
      try {
        const Tokenizer tokenizer = Tokenizer::load(folder_.path());
        tokenizer.decode(tokenizer.encode_line("Some text <s> of the house, 123 é."));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::model) << error.what();
      }
    }
  }
}

TEST_F(TokenizerJsonFaults, WhatIsNotImplementedIsNamed) {
  for (const std::string type : {"Unigram", "WordPiece", "WordLevel"}) {
    expect_bad_value("/model/type", "\"" + type + "\"", "model is " + type + ", which is not supported");
  }
  expect_bad(R"({"model": {"type": "Unigram", "vocab": [["a", -1.5]]}})", "model is Unigram");
  expect_bad_value("/model/dropout", "0.1", "this value of 'dropout' is not supported (found 0.1)");
  expect_bad_value("/model/continuing_subword_prefix", R"("##")", "'continuing_subword_prefix' is not supported");
  expect_bad_value("/model/end_of_word_suffix", R"("</w>")", "'end_of_word_suffix' is not supported");
  expect_bad_value("/model/new_key", "1", "the model: the key 'new_key' is not supported");
  expect_bad_value("/new_part", "{}", "the key 'new_part' is not supported");
  expect_bad_value("/version", R"("2.0")", "this value of 'version'");
  for (const std::string type : {"NFKC", "NFD", "Lowercase", "Strip", "Precompiled", "BertNormalizer"}) {
    expect_bad_value("/normalizer", R"({"type": ")" + type + "\"}", "the normalizer " + type + " is not supported");
    expect_bad_value("/normalizer",
                     R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": ")" + type + "\"}]}",
                     "the normalizer " + type);
  }
  expect_bad_value("/normalizer", R"({"type": "Replace", "pattern": {"Regex": " +"}, "content": " "})",
                   "this value of 'pattern'");
  for (const std::string type : {"Whitespace", "BertPreTokenizer", "Punctuation", "UnicodeScripts"}) {
    expect_bad_value("/pre_tokenizer", R"({"type": ")" + type + "\"}",
                     "the pre-tokenizer " + type + " is not supported");
  }
  expect_bad_value("/pre_tokenizer",
                   R"({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithNext", "invert": false})",
                   "this value of 'behavior'");
  expect_bad_value("/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_"})", "this value of 'replacement'");
  expect_bad_value("/pre_tokenizer", R"({"type": "ByteLevel", "add_prefix_space": false, "sideways": 1})",
                   "the key 'sideways'");
  expect_bad_value("/decoder", R"({"type": "WordPiece"})", "the decoder WordPiece is not supported");
  expect_bad_value("/decoder", "null", "no decoder");
  expect_bad_value("/post_processor", R"({"type": "BertProcessing"})",
                   "the post-processor BertProcessing is not supported");
}

TEST_F(TokenizerJsonFaults, AFileCannotMakeATextGrowWithoutEnd) {
  const std::string twice = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  const auto list = [](const std::string& step, int count) {
    std::string steps;
    for (int i = 0; i < count; ++i) steps += (i == 0 ? "" : ",") + step;
    return "[" + steps + "]";
  };
  expect_bad_value("/normalizer", R"({"type": "Sequence", "normalizers": )" + list(twice, 40) + "}",
                   "the normalizer Replace: more than 4");
  expect_bad_value("/decoder", R"({"type": "Sequence", "decoders": )" + list(twice, 40) + "}",
                   "the decoder Replace: more than 4");
  expect_bad_value("/normalizer", R"({"type": "Prepend", "prepend": ")" + std::string(1000, 'x') + "\"}",
                   "this value of 'prepend'");
  const std::string digits = R"({"type": "Digits", "individual_digits": true})";
  expect_bad_value("/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": )" + list(digits, 40) + "}",
                   "more than 16 steps");
  std::string nested = digits;
  for (int i = 0; i < 8; ++i) nested = R"({"type": "Sequence", "pretokenizers": )" + list(nested, 1) + "}";
  expect_bad_value("/pre_tokenizer", nested, "this value of 'pretokenizers'");
}

TEST_F(TokenizerJsonFaults, IdsThatCannotBe) {
  expect_bad_value("/model/vocab/!", "-1", "the id of the token '!' is out of range");
  expect_bad_value("/model/vocab/!", "99999999999", "the id of the token '!' is out of range");
  expect_bad_value("/model/vocab/!", "18446744073709551615", "the id of the token '!' is out of range");
  expect_bad_value("/model/vocab/!", "9000000", "the id of the piece '!' is far behind the");
  expect_bad_value("/model/vocab/!", "1.5", "the id of the piece '!' is not an integer");
  expect_bad_value("/model/vocab/!", "\"1\"", "the id of the piece '!' is not an integer");
  expect_bad_value("/model/vocab/!", "[1]", "the id of the piece '!' is not an integer");
  expect_bad_value("/model/vocab/!", "{\"a\": 1}", "the id of the piece '!' is not an integer");
  expect_bad_value("/model/vocab/!", "null", "the id of the piece '!' is not an integer");
  expect_bad_value("/model/vocab/!", "5", "have the same id (found 5)");
  expect_bad_edit([](Json& json) { json["model"]["vocab"][""] = 5000; }, "a piece without text");
  expect_bad_edit([](Json& json) { json["model"]["vocab"] = Json::object(); }, "the vocabulary is empty");
  expect_bad_edit([](Json& json) { json["model"]["vocab"] = Json::array({1}); },
                  "the model: 'vocab' (found [1], expected an object)");
  expect_bad_edit([](Json& json) { json["model"].erase("vocab"); }, "'vocab' is missing");
}

TEST_F(TokenizerJsonFaults, MergesOutsideTheVocabulary) {
  const auto merge = [&](const std::string& entry, const std::string& words) {
    expect_bad_value("/model/merges/0", entry, words);
  };
  merge(R"("! nowhere")", "the merge of '!' and 'nowhere' needs the piece 'nowhere', which is not in the vocabulary");
  merge(R"(["nowhere", "!"])", "needs the piece 'nowhere'");
  merge(R"(["!", "~"])", "needs the piece '!~'");
  merge(R"("!")", "a merge that is not a pair");
  merge(R"("a b c")", "a merge that is not a pair");
  merge(R"(["a"])", "a merge that is not a pair");
  merge("[1, 2]", "a merge that is not a pair");
  merge("null", "a merge that is not a pair");
  expect_bad_value("/model/merges", "{}", "the model: 'merges' (found {}, expected a list)");
  expect_bad_value("/model/unk_token", "\"nowhere\"", "the unk_token 'nowhere' is not in the vocabulary");
}

TEST_F(TokenizerJsonFaults, AddedTokensOutsideTheVocabulary) {
  const auto count = good()["added_tokens"].size();
  ASSERT_EQ(count, 5u);
  expect_bad_value("/added_tokens/4/id", "4000",
                   "the id of the added token '<extra_id_2>' contradicts the vocabulary (found 4000");
  expect_bad_value("/added_tokens/0/id", "7",
                   "the id of the added token '<|endoftext|>' contradicts the vocabulary (found 7, expected 0)");
  expect_bad_value("/added_tokens/4/id", "-1", "the id of the token '<extra_id_2>' is out of range");
  expect_bad_value("/added_tokens/4/id", "true", "an added token: 'id' (found true, expected an integer");
  expect_bad_value("/added_tokens/4/content", "\"<extra_id_1>\"", "'<extra_id_1>' occurs twice");
  expect_bad_value("/added_tokens/4/content", "\"\"", "its text is empty");
  expect_bad_value("/added_tokens/4/lstrip", "1", "an added token: 'lstrip' (found 1, expected true or false)");
  expect_bad_value("/added_tokens/4/fuzzy", "true", "the key 'fuzzy' is not supported");
  expect_bad_value("/added_tokens", "{}", "the file: 'added_tokens' (found {}, expected a list)");
  expect_bad_value("/added_tokens/4", "5", "an added token is not a JSON object");
  // A token without a spelling would be found at every NUL of a text, for ever.
  expect_bad_value("/normalizer", R"({"type": "Replace", "pattern": {"String": "<extra_id_2>"}, "content": ""})",
                   "the normalizer leaves nothing of the added token '<extra_id_2>'");
}

TEST_F(TokenizerJsonFaults, PostProcessorsOutsideTheVocabulary) {
  const std::string text = R"({"Sequence": {"id": "A", "type_id": 0}})";
  const auto token = [](const std::string& id) { return R"({"SpecialToken": {"id": ")" + id + R"(", "type_id": 0}})"; };
  const auto post = [&](const std::string& single, const std::string& tokens, const std::string& words) {
    expect_bad_value("/post_processor",
                     R"({"type": "TemplateProcessing", "single": )" + single + R"(, "special_tokens": )" + tokens + "}",
                     words);
  };
  post("[" + token("<nowhere>") + "," + text + "]", "{}", "the token '<nowhere>' is not in the vocabulary");
  post("[" + text + "]", R"({"<nowhere>": {"id": "<nowhere>", "ids": [3], "tokens": ["<nowhere>"]}})",
       "'<nowhere>' is not in the vocabulary");
  post("[" + text + "]", R"({"<|endoftext|>": {"id": "<|endoftext|>", "ids": [3], "tokens": ["<|endoftext|>"]}})",
       "this value of 'ids'");
  post("[" + token("<|endoftext|>") + "," + token("<|endoftext|>") + "," + text + "]", "{}", "this value of 'single'");
  post("[]", "{}", "this value of 'single'");
  post("[5]", "{}", "this value of 'single'");
}

TEST_F(TokenizerJsonFaults, ACharacterWithoutAPieceIsNoSilentLoss) {
  Json json = read_tokenizer_fixture("llama2/tokenizer.json");
  json["model"]["byte_fallback"] = false;
  json["model"]["unk_token"] = nullptr;
  expect_bad(dump_json(json), "neither byte_fallback nor an unk_token");
  json = read_tokenizer_fixture("llama2/tokenizer.json");
  Json vocabulary = Json::object();
  for (const auto& [piece, id] : json["model"]["vocab"].items()) vocabulary[piece == "<0x41>" ? "<0x41?>" : piece] = id;
  json["model"]["vocab"] = vocabulary;
  expect_bad(dump_json(json), "no piece '<0x41>' for the byte 65");
}

TEST_F(TokenizerJsonFaults, RegularExpressions) {
  const auto split = [&](const std::string& pattern, const std::string& words) {
    expect_bad_edit(
        [&](Json& json) {
          json["pre_tokenizer"] = {
              {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
        },
        words);
  };
  split("(", "the regular expression is not valid");
  split("a)", "the regular expression is not valid");
  split("[a", "uses '['");
  split("[b-a]", "the regular expression is not valid");
  split("*", "the regular expression is not valid");
  split("\\p{Han}+", "uses '\\p{Han}', which is not supported");
  split("\\p{L", "is not supported");
  split("\\", "is not supported");
  split("(a)\\1", "uses '\\1'");
  split("^a", "uses '^'");
  split("\\bword", "uses '\\b'");
  split("\\p{N}{1,3}+", "uses '{1,3}+'");
  split("[a-z&&[^b]]", "uses '&&'");
  split("(?<name>a)", "is not supported");
  split("(?P<name>a)", "is not supported");
  split(std::string(30'000, 'a'), "the regular expression is too long");
  split(std::string(5'000, '('), "the regular expression is not valid");
}

TEST_F(TokenizerJsonFaults, AnExpressionThatTakesForEverIsStopped) {
  Json json = good();
  json["pre_tokenizer"] = Json::parse(R"({"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "(?:(?:a+)+)+[bc]"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})");
  write_text(folder_ / "tokenizer.json", dump_json(json));
  const Tokenizer tokenizer = Tokenizer::load(folder_.path());
  EXPECT_FALSE(tokenizer.encode_line("aaab").empty());
  expect_error(ExitCode::model,
               AllOf(HasSubstr("tokenizer.json"), HasSubstr("takes too many steps on a text of 60 bytes")),
               [&] { tokenizer.encode_line(std::string(60, 'a')); });
}

TEST(RegexTranslation, SpellsOutWhatDiffers) {
  const auto parts = [](std::string_view pattern, std::string_view text) {
    std::vector<std::string> result;
    for (const Regex::Part& part : Regex(pattern, "test").split(text))
      result.push_back((part.match ? "+" : "-") + std::string(part.text));
    return result;
  };
  using Parts = std::vector<std::string>;
  EXPECT_EQ(parts("\\s", "a\u180e\u0085b"), (Parts{"-a\u180e", "+\u0085", "-b"})) << "U+180E is no space";
  EXPECT_EQ(parts("[^\\s]+", "a \u180e"), (Parts{"+a", "- ", "+\u180e"}));
  EXPECT_EQ(parts("\\v", "a\x0b\u2028"), (Parts{"-a", "+\x0b", "-\u2028"}));
  EXPECT_EQ(parts("a{,2}b", "aaab"), (Parts{"-a", "+aab"}));
  EXPECT_EQ(parts("a{x", "a{x"), (Parts{"+a{x"}));
  EXPECT_EQ(parts("(?i:'s)", "'S'\u017f"), (Parts{"+'S", "+'\u017f"}));
  EXPECT_EQ(parts("\\p{L}+", "a\U00031350\U0001fae0"), (Parts{"+a\U00031350", "-\U0001fae0"}))
      << "a letter of Unicode 15";
  EXPECT_EQ(parts("\\P{N}", "1a"), (Parts{"-1", "+a"}));
  EXPECT_EQ(parts("\\p{^N}", "1a"), (Parts{"-1", "+a"}));
  EXPECT_EQ(parts("x*", "axxb"), (Parts{"-a", "+xx", "-b"})) << "empty matches cut but have no text";
  EXPECT_EQ(parts("\\u00e9|\\x{1F600}|\\x41", "é😀A"), (Parts{"+é", "+😀", "+A"}));
  EXPECT_EQ(parts("\\s+(?!\\S)|\\s+", "   a"), (Parts{"+  ", "+ ", "-a"}));
}

}  // namespace
}  // namespace steerlm
