#include "text/tokenizer_json.h"

#include "steerlm/core/hash.h"
#include "steerlm/text/tokenizer.h"
#include "text/nasty_lines.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Ids = std::vector<std::int32_t>;

const std::vector<std::string> kinds{"llama3", "qwen2", "gpt2", "llama2", "mistral", "metaspace", "unknown"};

// 12 bits of the SHA-256 as two characters of base64.
std::string short_digest(const std::string& text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned long bits = std::stoul(sha256_hex(text).substr(0, 3), nullptr, 16);
  return {digits[bits >> 6], digits[bits & 63]};
}

Ids first(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.append_first(text, ids);
  if (tokenizer.add_bos()) ids.erase(ids.begin());
  return ids;
}

class TokenizerJsonOf : public testing::TestWithParam<std::string> {
 protected:
  // The lines that this kind was tried on.
  static std::vector<std::string> lines(const Json& expected) {
    const NastyLines nasty;
    const auto new_marks = expected["new_marks"].get<std::vector<std::uint64_t>>();
    std::vector<std::string> result;
    for (std::uint64_t index = 0; index < expected["count"].get<std::uint64_t>(); ++index) {
      if (GetParam() == "qwen2" && std::ranges::find(new_marks, index) != new_marks.end()) continue;
      result.push_back(nasty.line(index));
    }
    return result;
  }
  const Tokenizer tokenizer_ = Tokenizer::load(tokenizer_fixture(GetParam()));
};

TEST_P(TokenizerJsonOf, LinesAndTheirTextAreThoseOfTransformers) {
  const Json expected = read_tokenizer_fixture("lines.json");
  const Json& kind = expected["kinds"][GetParam()];
  const std::vector<std::string> all = lines(expected);
  const auto digests = kind["lines"].get<std::string>();
  ASSERT_EQ(digests.size(), 2 * all.size());
  ASSERT_GT(all.size(), 19'500u);
  std::string rows;
  int wrong = 0;
  for (size_t i = 0; i < all.size() && wrong < 10; ++i) {
    const Ids ids = tokenizer_.encode_line(all[i]);
    const std::string row = dump_json(Json::array({ids, tokenizer_.decode(ids)}));
    if (short_digest(row) != digests.substr(2 * i, 2)) {
      ADD_FAILURE() << "line " << i << ": " << all[i] << "\n" << row;
      ++wrong;
    }
    if (i > 0) rows += '\n';
    rows += row;
  }
  EXPECT_EQ(sha256_hex(rows), kind["sha256"].get<std::string>());
}

TEST_P(TokenizerJsonOf, PlainTextIsThatOfTokenizersWithoutSpecialTokens) {
  const Json expected = read_tokenizer_fixture("lines.json");
  const Json& kind = expected["kinds"][GetParam()];
  std::vector<std::string> sample = lines(expected);
  std::erase_if(sample, [](const std::string& line) { return line.find("plain") != std::string::npos; });
  const size_t count = kind["first"].get<std::string>().size() / 2;
  ASSERT_GE(count, 1000u);
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(short_digest(dump_json(Json(first(tokenizer_, sample[i])))),
              kind["first"].get<std::string>().substr(2 * i, 2))
        << sample[i];
    EXPECT_EQ(short_digest(dump_json(Json(continuation(tokenizer_, sample[i])))),
              kind["continuation"].get<std::string>().substr(2 * i, 2))
        << sample[i];
  }
}

TEST_P(TokenizerJsonOf, CopiesGiveTheSameIds) {
  const TemporaryFolder folder;
  tokenizer_.copy_to(folder / "copy");
  const Tokenizer copy = Tokenizer::load(folder / "copy");
  EXPECT_EQ(copy.sha256(), sha256_file(tokenizer_fixture(GetParam() + "/tokenizer.json"), ExitCode::model));
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    EXPECT_EQ(read_file(folder / "copy" / name, ExitCode::model, "copy"),
              read_file(tokenizer_fixture(GetParam()) / name, ExitCode::model, "fixture"));
  }
  // A bare file: the config that is written names what the file says, and nothing that would change ids.
  const Tokenizer bare = Tokenizer::load(tokenizer_fixture(GetParam() + "/tokenizer.json"));
  bare.copy_to(folder / "bare");
  const Tokenizer again = Tokenizer::load(folder / "bare");
  for (const std::string line : {"Hello <s> the  house", "<|begin_of_text|>x", "日本語"}) {
    EXPECT_EQ(again.encode_line(line), tokenizer_.encode_line(line));
    EXPECT_EQ(first(again, line), first(tokenizer_, line));
  }
  EXPECT_EQ(again.add_bos(), tokenizer_.add_bos());
  EXPECT_EQ(again.bos_id(), bare.bos_id());
}

TEST_P(TokenizerJsonOf, TokensOneByOneJoinToTheText) {
  const std::string text =
      GetParam() == "unknown" ? "It's a long,  long road" : "It's a long,  long\troad\r to naïveté 123456!";
  const Ids ids = continuation(tokenizer_, text);
  std::string joined;
  for (const std::int32_t id : ids) joined += tokenizer_.decode_continuation(Ids{id});
  if (joined.find("\xEF\xBF\xBD") == std::string::npos) {
    EXPECT_EQ(joined, text);
  }
  EXPECT_EQ(tokenizer_.decode_continuation(ids), text);
  EXPECT_EQ(tokenizer_.decode_continuation(continuation(tokenizer_, " the")), " the");
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerJsonOf, testing::ValuesIn(kinds),
                         [](const auto& parameter) { return parameter.param; });

TEST(TokenizerJson, NamesAndEnds) {
  const Tokenizer llama3 = Tokenizer::load(tokenizer_fixture("llama3"));
  EXPECT_TRUE(llama3.add_bos());
  EXPECT_EQ(llama3.piece(llama3.bos_id()), "<|begin_of_text|>");
  EXPECT_EQ(llama3.piece(llama3.eos_id()), "<|end_of_text|>");
  EXPECT_EQ(llama3.piece_id("Ġ(("), continuation(llama3, " ((").at(0)) << "no merge makes it";
  EXPECT_EQ(llama3.piece_id("no such piece"), std::nullopt);
  EXPECT_EQ(llama3.piece(-1), "");
  EXPECT_EQ(llama3.piece(static_cast<std::int32_t>(llama3.vocab_size())), "");
  expect_error(ExitCode::data, HasSubstr("not in the vocabulary"),
               [&] { llama3.decode(Ids{static_cast<std::int32_t>(llama3.vocab_size())}); });
  Ids ids;
  llama3.append_first_piece(*llama3.piece_id("<|eot_id|>"), ids);
  EXPECT_EQ(ids, (Ids{llama3.bos_id(), *llama3.piece_id("<|eot_id|>")}));

  const Tokenizer qwen2 = Tokenizer::load(tokenizer_fixture("qwen2"));
  EXPECT_FALSE(qwen2.add_bos());
  EXPECT_EQ(qwen2.bos_id(), -1);
  EXPECT_EQ(qwen2.piece(qwen2.eos_id()), "<|endoftext|>");
  const Tokenizer bare = Tokenizer::load(tokenizer_fixture("llama2/tokenizer.json"));
  EXPECT_TRUE(bare.add_bos());
  EXPECT_EQ(bare.piece(bare.bos_id()), "<s>");
  EXPECT_EQ(bare.eos_id(), -1) << "the file does not say";
}

TEST(TokenizerJson, SpecialTextAndMarkersArePlainTextInAConversation) {
  const Tokenizer gpt2 = Tokenizer::load(tokenizer_fixture("gpt2"));
  const std::int32_t marker = *gpt2.piece_id("<extra_id_1>");
  EXPECT_THAT(gpt2.encode_line("a<extra_id_1>b"), Contains(marker));
  for (const std::string text : {"a<extra_id_1>b", "<|endoftext|>", "x <mask> y"}) {
    for (const Ids& ids : {first(gpt2, text), continuation(gpt2, text)}) {
      EXPECT_THAT(ids, Not(Contains(marker))) << text;
      EXPECT_THAT(ids, Not(Contains(gpt2.eos_id()))) << text;
    }
    EXPECT_EQ(gpt2.decode_continuation(continuation(gpt2, text)), text);
  }
  EXPECT_EQ(gpt2.decode(Ids{marker}), "<extra_id_1>") << "generation stops at its text";
  const Tokenizer qwen2 = Tokenizer::load(tokenizer_fixture("qwen2"));
  EXPECT_THAT(continuation(qwen2, "<think>"), ElementsAre(*qwen2.piece_id("<think>")))
      << "an added token that is not special";
}

TEST(TokenizerJson, BrokenCharactersBecomeReplacements) {
  const Tokenizer llama2 = Tokenizer::load(tokenizer_fixture("llama2"));
  const auto byte = [&](const char* piece) { return *llama2.piece_id(piece); };
  EXPECT_EQ(llama2.decode_continuation(Ids{byte("<0xF0>"), byte("<0x9F>")}), "\xEF\xBF\xBD\xEF\xBF\xBD")
      << "one a byte";
  const Tokenizer llama3 = Tokenizer::load(tokenizer_fixture("llama3"));
  EXPECT_EQ(llama3.decode(Ids{*llama3.piece_id("ð"), *llama3.piece_id("Ł")}), "\xEF\xBF\xBD") << "one a cut character";
  EXPECT_EQ(continuation(llama3, "a\xF0\x9F"), continuation(llama3, "a\xEF\xBF\xBD\xEF\xBF\xBD"));
}

TEST(TokenizerJson, AFolderOfTwoTokenizersIsReadFromTheJson) {
  const TemporaryFolder folder;
  std::filesystem::copy(tokenizer_fixture("llama3"), folder / "m");
  std::filesystem::copy_file(fixture("bpe.model"), folder / "m" / "tokenizer.model");
  EXPECT_EQ(Tokenizer::load(folder / "m").path(), folder / "m" / "tokenizer.json");
  EXPECT_EQ(Tokenizer::load(folder / "m" / "tokenizer.model").path(), folder / "m" / "tokenizer.model");
}

TEST(TokenizerJson, TheFolderSaysWhatIsSpecial) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "m");
  std::filesystem::copy_file(tokenizer_fixture("qwen2/tokenizer.json"), folder / "m" / "tokenizer.json");
  const auto load = [&](const std::string& config) {
    write_text(folder / "m" / "tokenizer_config.json", config);
    return Tokenizer::load(folder / "m");
  };
  const Tokenizer plain = load("{}");
  const std::int32_t think = *plain.piece_id("<think>");
  EXPECT_FALSE(plain.add_bos()) << "its post-processor adds none";
  EXPECT_EQ(plain.eos_id(), -1);
  EXPECT_EQ(plain.decode(Ids{think}), "<think>");
  const Tokenizer special = load(R"({"eos_token": "<think>", "bos_token": "<|im_start|>", "add_bos_token": true})");
  EXPECT_EQ(special.eos_id(), think);
  EXPECT_FALSE(special.add_bos()) << "beside a tokenizer.json nobody reads add_bos_token";
  EXPECT_EQ(special.bos_id(), special.piece_id("<|im_start|>"));
  EXPECT_EQ(special.decode(Ids{think}), "");
  EXPECT_THAT(continuation(special, "<think>"), Not(Contains(think)));
  EXPECT_EQ(load(R"({"pad_token": "[nowhere]"})").vocab_size(), plain.vocab_size());
  const std::string next = std::to_string(plain.vocab_size());
  const Tokenizer more =
      load(R"({"added_tokens_decoder": {")" + next + R"(": {"content": "<more>", "special": true}}})");
  EXPECT_EQ(std::to_string(*more.piece_id("<more>")), next);
  EXPECT_EQ(more.vocab_size(), plain.vocab_size() + 1);
  expect_error(ExitCode::model, HasSubstr("'<more>' of the folder's tokenizer files is not in the vocabulary"),
               [&] { load(R"({"added_tokens_decoder": {"90000": {"content": "<more>", "special": true}}})"); });
  expect_error(ExitCode::model, HasSubstr("disagree on the id of '<think>'"),
               [&] { load(R"({"added_tokens_decoder": {"3": {"content": "<think>"}}})"); });
}

// With such a merge a text cannot be taken word by word.
TEST(TokenizerJson, MergesMayReachOverASpace) {
  const TemporaryFolder folder;
  write_text(folder / "tokenizer.json",
             R"({"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
      "decoder": {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, "model": {"type": "BPE", "unk_token": "?",
      "vocab": {"?": 0, "▁": 1, "a": 2, "b": 3, "a▁": 4, "▁a": 5}, "merges": ["a ▁", "▁ a"]}})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.encode_line("b a b"), (Ids{3, 1, 4, 3}));
  EXPECT_EQ(tokenizer.encode_line("b a"), (Ids{3, 5}));
  EXPECT_EQ(tokenizer.decode(Ids{3, 1, 4, 3}), "b a b");
}

TEST(TokenizerJson, LongWordsAndRunsOfSpacesEndSoon) {
  const std::string text = std::string(200'000, 'a') + std::string(200'000, ' ') + std::string(200'000, '1') + "e";
  for (const std::string& kind : kinds) {
    const Tokenizer tokenizer = Tokenizer::load(tokenizer_fixture(kind));
    EXPECT_TRUE(tokenizer.decode_continuation(continuation(tokenizer, text)) == text) << kind;
  }
}

TEST(TokenizerJson, SeveralThreadsEncodeAtOnce) { expect_same_in_threads(Tokenizer::load(tokenizer_fixture("qwen2"))); }

}  // namespace
}  // namespace steerlm
