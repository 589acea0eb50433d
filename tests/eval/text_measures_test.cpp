#include "steerlm/eval/text_measures.h"

#include <gmock/gmock.h>

#include <cmath>
#include <string>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/eval/readability.h"

namespace steerlm {
namespace {

Json fixture_texts() {
  const std::string path = STEERLM_SOURCE_DIR "/tests/fixtures/text/measures.json";
  return parse_json(read_file(path, ExitCode::data, "fixture"), path, ExitCode::data).at("texts");
}

double measured(TextMeasure measure, std::string_view text) {
  return measure_text(measure, text).value_or(std::nan(""));
}

// lexicalrichness, markdown-it and Python's Unicode tables: tools/make_measure_fixtures.py.
TEST(TextMeasures, AgreeWithOtherPrograms) {
  int compared = 0;
  const Json texts = fixture_texts();
  for (const Json& entry : texts) {
    const std::string text = entry.at("text"), name = entry.at("name");
    for (const TextMeasure measure :
         {TextMeasure::characters, TextMeasure::question_marks, TextMeasure::upper_case, TextMeasure::type_token_ratio,
          TextMeasure::mtld, TextMeasure::list_items, TextMeasure::code_lines}) {
      const Json& expected = entry.at(std::string(enum_name(measure)));
      const std::optional<double> found = measure_text(measure, text);
      ASSERT_EQ(found.has_value(), !expected.is_null()) << name << ": " << enum_name(measure);
      if (!found) continue;
      EXPECT_NEAR(*found, expected.get<double>(), 1e-9 * std::abs(expected.get<double>()))
          << name << ": " << enum_name(measure);
      ++compared;
    }
  }
  EXPECT_GT(compared, 100);
}

// textstat counts syllables by a dictionary, and rounds to one decimal.
TEST(TextMeasures, GradeIsNearThatOfTextstat) {
  int compared = 0;
  const Json texts = fixture_texts();
  for (const Json& entry : texts) {
    if (entry.at("kind") != "prose") continue;
    const std::string text = entry.at("text"), name = entry.at("name");
    EXPECT_EQ(measured(TextMeasure::words, text), entry.at("words").get<double>()) << name;
    EXPECT_EQ(measured(TextMeasure::sentences, text), entry.at("sentences").get<double>()) << name;
    EXPECT_NEAR(measured(TextMeasure::flesch_kincaid, text), entry.at("flesch_kincaid").get<double>(), 2.0) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 7);
}

TEST(TextMeasures, APointJoinsTwoDigitsAlone) {
  EXPECT_EQ(measured(TextMeasure::words, "3.14 and 1.2.3"), 3);
  EXPECT_EQ(measured(TextMeasure::words, "in 2020.The 3.a a.3"), 7);
  EXPECT_EQ(measured(TextMeasure::sentences, "In 2020.The end."), 2);
}

// A variation selector (U+FE0F) or another mark that follows no letter and no digit is no word.
TEST(TextMeasures, AMarkAloneIsNoWord) {
  EXPECT_EQ(measured(TextMeasure::words, "Wow! ❤️"), 1);
  EXPECT_EQ(measured(TextMeasure::sentences, "Wow! ❤️"), 1);
  EXPECT_EQ(measured(TextMeasure::words, "☀️ ☁️ ✌️"), 0);
  EXPECT_FALSE(measure_text(TextMeasure::mtld, "☀️ ☁️ ✌️"));
  EXPECT_EQ(measured(TextMeasure::words, "1️⃣ 2️⃣"), 2) << "keycaps: a digit and its marks";
  EXPECT_EQ(measured(TextMeasure::words, "cafe\u0301 a\u0301-\u0301b"), 3) << "marks go on with a word and join none";
}

TEST(TextMeasures, GradeByHand) {
  EXPECT_EQ(measured(TextMeasure::flesch_kincaid, "The cat sat on a table."), 0.39 * 6 + 11.8 * 7 / 6 - 15.59);
}

// a b a b a b: the ratio is 2/3 <= 0.72 after "a b a", so that the six words are two factors, forwards and backwards.
TEST(TextMeasures, MtldByHand) {
  EXPECT_EQ(measured(TextMeasure::mtld, "a b a b a b"), 3);
  // Forwards the ratio ends at 3/4, which is 0.25 / 0.28 of a factor; backwards "c c" is one, and "b a" nothing of one.
  EXPECT_NEAR(measured(TextMeasure::mtld, "a b c c"), (4 / (0.25 / 0.28) + 4.0 / 1) / 2, 1e-12);
  EXPECT_EQ(measured(TextMeasure::mtld, "a b c d"), 4) << "no word twice: no factor";
  EXPECT_EQ(measured(TextMeasure::mtld, "A b a B a b"), 3) << "in lower case";
}

TEST(TextMeasures, WhatATextDoesNotSayIsUnknown) {
  for (const char* text : {"", " \n", "?! ...", "\xff\xfe"}) {
    for (const TextMeasure unknown :
         {TextMeasure::flesch_kincaid, TextMeasure::type_token_ratio, TextMeasure::mtld, TextMeasure::upper_case})
      EXPECT_FALSE(measure_text(unknown, text)) << text << ": " << enum_name(unknown);
    for (const TextMeasure count :
         {TextMeasure::words, TextMeasure::sentences, TextMeasure::list_items, TextMeasure::code_lines})
      EXPECT_EQ(measured(count, text), 0) << text << ": " << enum_name(count);
  }
  EXPECT_EQ(measured(TextMeasure::characters, ""), 0);
  EXPECT_EQ(measured(TextMeasure::characters, "a\xff"), 1) << "a byte that is not UTF-8 is no character";
  EXPECT_FALSE(measure_text(TextMeasure::upper_case, "42 日本語")) << "no letter has a case";
  EXPECT_EQ(measured(TextMeasure::flesch_kincaid, "日本語"), 0.39 + 11.8 - 15.59) << "one word, one syllable";
}

TEST(TextMeasures, LinesOfCodeAndOfLists) {
  const auto items = [](const char* text) { return measured(TextMeasure::list_items, text); };
  const auto code = [](const char* text) { return measured(TextMeasure::code_lines, text); };
  EXPECT_EQ(items("• one\n  • two\n+ three\n12) four"), 4);
  EXPECT_EQ(items("-\n- \n1234567890. too many digits\n1.5 is a number\n* * *"), 0);
  EXPECT_EQ(items("```\n- in code\n```\n- out"), 1);
  EXPECT_EQ(items("- one\r\n- two\r\n"), 2);
  EXPECT_EQ(code("````\n```\nx\n```\n````\ny"), 3) << "a shorter fence does not close a longer one";
  EXPECT_EQ(code("```\na\n``` b\n```"), 2) << "a fence with something behind it does not close";
  EXPECT_EQ(code("  ```\n  a\n  ```\nb"), 1);
  EXPECT_EQ(code("~~~\n```\n~~~\n```"), 1);
  EXPECT_EQ(code("``\na\n``"), 0);
}

}  // namespace
}  // namespace steerlm
