#include "steerlm/text/tokenizer_training.h"

#include "steerlm/core/rng.h"
#include "steerlm/text/tokenizer.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::HasSubstr;

std::function<std::optional<std::string>()> texts_of(std::vector<std::string> texts) {
  return [texts = std::move(texts), at = size_t{0}]() mutable -> std::optional<std::string> {
    if (at == texts.size()) return std::nullopt;
    return texts[at++];
  };
}

std::vector<std::string> corpus() {
  const std::vector<std::string> words{"the",   "house",   "quality", "of",    "an",    "old",   "humor",
                                       "man",   "helpful", "answer",  "river", "stone", "and",   "was",
                                       "green", "it",      "to",      "walk",  "under", "bridge"};
  std::vector<std::string> texts;
  for (std::uint64_t n = 0; n < 400; ++n) {
    Rng rng(1, "corpus", n);
    std::string text;
    for (int i = 0; i < 12; ++i) text += (i == 0 ? "" : i == 6 ? "\n" : " ") + words[rng.below(words.size())];
    texts.push_back(text + ".");
  }
  return texts;
}

std::string random_text(std::uint64_t n) {
  const std::vector<std::string> parts{
      "the",  "house",        " ",         "  ", "        ", "\n",   "\n\n", "\t",     "\r\n", "😀", "é", "日本", "<s>",
      "</s>", "<extra_id_1>", "quality:4", "0",  "17",       "\x01", "\x7f", "\u200b", "▅",    ".", "'", "\""};
  Rng rng(2, "nasty", n);
  std::string text;
  for (auto i = rng.below(20); i > 0; --i) text += parts[rng.below(parts.size())];
  return text;
}

class TokenizerTrainingOf : public testing::TestWithParam<TokenizerModel> {
 protected:
  std::int64_t train(std::vector<std::string> texts, std::int64_t vocab_size, const std::string& name = "t.model",
                     bool markers = false) {
    const TrainedTokenizer trained = train_tokenizer({.next_text = texts_of(std::move(texts)),
                                                      .vocab_size = vocab_size,
                                                      .model = GetParam(),
                                                      .seed = 1,
                                                      .reserve_markers = markers,
                                                      .name = name});
    write_file_atomic(folder_ / name, trained.bytes);
    return trained.vocab_size;
  }
  TemporaryFolder folder_;
};

TEST_P(TokenizerTrainingOf, EveryTextRoundTrips) {
  for (const bool markers : {false, true}) {
    train(corpus(), 400, "t.model", markers);
    const Tokenizer tokenizer = Tokenizer::load(folder_ / "t.model");
    for (std::uint64_t n = 0; n < 1000; ++n) {
      const std::string text = random_text(n);
      std::vector<std::int32_t> ids;
      tokenizer.append_first(text, ids);
      EXPECT_EQ(tokenizer.decode(ids), text);
      ids.clear();
      tokenizer.append_continuation(text, ids);
      EXPECT_EQ(tokenizer.decode_continuation(ids), text);
    }
  }
}

TEST_P(TokenizerTrainingOf, PiecesAreWhereLlamaHasThem) {
  EXPECT_EQ(train(corpus(), 295), 295);
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "t.model");
  EXPECT_EQ(tokenizer.vocab_size(), 295);
  EXPECT_EQ(tokenizer.piece(0), "<unk>");
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  std::vector<std::int32_t> newline;
  tokenizer.append_continuation("\n", newline);
  EXPECT_EQ(newline, std::vector<std::int32_t>{*tokenizer.piece_id("<0x0A>")});
  EXPECT_EQ(tokenizer.piece_id("<extra_id_1>"), std::nullopt);
}

TEST_P(TokenizerTrainingOf, MarkersArePiecesOnRequest) {
  train(corpus(), 400, "t.model", true);
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "t.model");
  for (const auto marker : {system_marker, turn_marker, label_marker}) {
    ASSERT_TRUE(tokenizer.piece_id(marker).has_value());
    EXPECT_THAT(tokenizer.encode_line(std::string("a") + std::string(marker)),
                testing::Contains(*tokenizer.piece_id(marker)));
  }
}

// The piece of a name may hold its colon and the comma before it, never a digit: a label costs two pieces an attribute.
TEST_P(TokenizerTrainingOf, ALabelIsNamesAndSingleDigits) {
  std::vector<std::string> texts = corpus();
  for (std::uint64_t n = 0; n < 400; ++n) {
    Rng rng(3, "labels", n);
    const auto value = [&] { return std::to_string(rng.below(10)); };
    texts.push_back("quality:" + value() + ",toxicity:" + value() + ",humor:" + value());
  }
  train(texts, 400);
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "t.model");
  std::vector<std::int32_t> ids;
  tokenizer.append_first("quality:4,toxicity:0,humor:9", ids);
  EXPECT_LE(ids.size(), 7u) << "a dummy prefix, three names, three values";
  for (const char digit : std::string("409")) {
    EXPECT_EQ(std::ranges::count_if(ids, [&](std::int32_t id) { return tokenizer.piece(id) == std::string(1, digit); }),
              1)
        << digit;
  }
}

TEST_P(TokenizerTrainingOf, TwoRunsGiveEqualBytes) {
  train(corpus(), 380, "a.model");
  train(corpus(), 380, "b.model");
  EXPECT_EQ(read_file(folder_ / "a.model", ExitCode::data, ""), read_file(folder_ / "b.model", ExitCode::data, ""));
}

TEST_P(TokenizerTrainingOf, VocabularyShrinksToTheText) {
  const std::int64_t size = train(corpus(), 30000);
  EXPECT_GT(size, 300);
  EXPECT_LT(size, 3000);
  EXPECT_EQ(Tokenizer::load(folder_ / "t.model").vocab_size(), size);
}

TEST_P(TokenizerTrainingOf, TooSmallAVocabularyIsRefused) {
  expect_error(
      ExitCode::recipe,
      HasSubstr("the vocabulary is too small for the text (found 100 pieces, expected at least 260: 3 special pieces, "
                "256 bytes and the"),
      [&] { train(corpus(), 100); });
  expect_error(ExitCode::recipe, HasSubstr("expected at least 263: 3 special pieces, 256 bytes, 3 markers and"),
               [&] { train(corpus(), 262, "t.model", true); });
  try {
    train(corpus(), 262);
    FAIL();
  } catch (const Error& error) {
    ASSERT_EQ(error.code(), ExitCode::recipe);
    const std::string text = error.what();
    const std::int64_t needed = std::stoll(text.substr(text.find("at least ") + 9));
    EXPECT_EQ(train(corpus(), needed), needed);
    EXPECT_THROW(train(corpus(), needed - 1), Error);
  }
}

TEST_P(TokenizerTrainingOf, OddTextsDoNotEndTheProcess) {
  const std::vector<std::vector<std::string>> odd{{"a"},
                                                  {" "},
                                                  {std::string(10000, '\t'), "x"},
                                                  {std::string("\0\0a", 3)},
                                                  {"▅▅▅", "▁"},
                                                  {"\xff\xfe broken"},
                                                  {"<s></s><unk>", "q"}};
  for (const auto& texts : odd) {
    const std::int64_t size = train(texts, 300);
    EXPECT_GE(size, 260) << texts[0];
    EXPECT_EQ(Tokenizer::load(folder_ / "t.model").vocab_size(), size);
  }
}

TEST_P(TokenizerTrainingOf, LongLinesAreNotLeftOut) {
  std::string spaced;
  for (int i = 0; i < 3000; ++i) spaced += "zebra ";
  const std::string unspaced = [] {
    std::string text;
    for (int i = 0; i < 30000; ++i) text += "é";
    return text;
  }();
  train({spaced, unspaced + std::string(70000, 'w'), "short"}, 300);
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "t.model");
  EXPECT_TRUE(tokenizer.piece_id("▁zebra").has_value());
  EXPECT_TRUE(tokenizer.piece_id("é").has_value());
  EXPECT_TRUE(tokenizer.piece_id("w").has_value());
}

TEST_P(TokenizerTrainingOf, NoTextIsAFaultOfTheData) {
  expect_error(ExitCode::data, HasSubstr("no text to train a tokenizer on"), [&] { train({}, 300); });
  expect_error(ExitCode::data, HasSubstr("no text to train a tokenizer on"), [&] { train({"", "\n\n", "\t"}, 300); });
}

INSTANTIATE_TEST_SUITE_P(Models, TokenizerTrainingOf, testing::Values(TokenizerModel::unigram, TokenizerModel::bpe),
                         [](const auto& parameter) {
                           return parameter.param == TokenizerModel::bpe ? "bpe" : "unigram";
                         });

}  // namespace
}  // namespace steerlm
