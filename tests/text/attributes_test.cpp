#include "steerlm/text/attributes.h"

#include <cmath>
#include <limits>

#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

constexpr float unknown = std::numeric_limits<float>::quiet_NaN();

Attributes four() {
  return make_attributes(
      {.names = {"quality", "humor", "helpfulness"}, .min = 0, .max = 4, .defaults = {{"quality", 4}}});
}

TEST(Attributes, DefaultsFillUpWithMin) {
  const Attributes attributes = make_attributes({.names = {"a", "b"}, .min = -2, .max = 9, .defaults = {{"b", 7}}});
  EXPECT_EQ(attributes.defaults, (std::vector<int>{-2, 7}));
  EXPECT_EQ(attributes.index("b"), 1u);
  EXPECT_EQ(attributes.index("c"), std::nullopt);
  EXPECT_TRUE(attributes.declared());
  EXPECT_FALSE(make_attributes({}).declared());
}

TEST(Attributes, EveryFaultIsReportedAtOnce) {
  expect_error(
      ExitCode::recipe,
      AllOf(HasSubstr("attributes.names[1]: not a name for an attribute (found '2b'"),
            HasSubstr("'quality' is named twice"),
            HasSubstr("attributes.max: the range of the attributes is empty (found 0, expected more than "
                      "attributes.min, which is 4)"),
            HasSubstr("'qualty', which is not an attribute"), HasSubstr("did you mean 'quality'?")),
      [] {
        make_attributes({.names = {"quality", "2b", "quality"}, .min = 4, .max = 0, .defaults = {{"qualty", 1}}});
      });
  for (const char* name : {"", "a b", "a:b", "a,b", "é", "a-b"}) {
    expect_error(ExitCode::recipe, HasSubstr("not a name"), [&] { make_attributes({.names = {name}}); });
  }
  expect_error(
      ExitCode::recipe,
      HasSubstr("attributes.defaults.a: the default of 'a' is out of range (found 5, expected an integer from 0 to 4)"),
      [] {
        make_attributes({.names = {"a"}, .defaults = {{"a", 5}}});
      });
  expect_error(ExitCode::recipe, HasSubstr("the range of the attributes is empty"),
               [] { make_attributes({.names = {"a"}, .min = 4, .max = 4}); });
  expect_error(ExitCode::recipe, HasSubstr("attributes.max: out of range"),
               [] { make_attributes({.names = {"a"}, .max = 1'000'000'000'000}); });
}

TEST(Attributes, LabelIsReadInAnyOrderAndWrittenInOne) {
  const Label label = parse_label(four(), "helpfulness:0,quality:4", "x:1");
  EXPECT_EQ(label.text, "quality:4,helpfulness:0");
  EXPECT_EQ(label.values[0], 4.0f);
  EXPECT_TRUE(std::isnan(label.values[1]));
  EXPECT_EQ(label.values[2], 0.0f);
}

TEST(Attributes, EmptyLabelHasNoValues) {
  const Label label = parse_label(four(), "", "x:1");
  EXPECT_EQ(label.text, "");
  ASSERT_EQ(label.values.size(), 3u);
  for (const float value : label.values) EXPECT_TRUE(std::isnan(value));
}

TEST(Attributes, BadLabelsSayWhatAndWhere) {
  const auto expect_bad = [](const std::string& text, const testing::Matcher<std::string>& matcher) {
    expect_error(ExitCode::data, AllOf(HasSubstr("train.jsonl:7: "), matcher),
                 [&] { parse_label(four(), text, "train.jsonl:7"); });
  };
  expect_bad("humour:1",
             AllOf(HasSubstr("unknown attribute (found 'humour', expected one of quality, humor, helpfulness)"),
                   HasSubstr("did you mean 'humor'?")));
  expect_bad("humor:1,humor:1", HasSubstr("names an attribute twice (found 'humor'"));
  expect_bad("humor:5", HasSubstr("'humor' is out of range (found '5', expected an integer from 0 to 4)"));
  expect_bad("humor:-1", HasSubstr("out of range (found '-1'"));
  expect_bad("humor:99999999999999999999", HasSubstr("out of range"));
  for (const char* number : {"1.5", "1.0", "", " 1", "1 ", "+1", "01", "x", "-", "1e0", "nan"}) {
    expect_bad(std::string("humor:") + number, HasSubstr("'humor' is not an integer (found '" + std::string(number) +
                                                         "', expected an integer from 0 to 4)"));
  }
  expect_bad("humor:7", EndsWith("; if ratings go up to 7, say so with attributes.max: 7 in a recipe, --max 7 to "
                                 "`steerlm data`; for a model that is trained already bring them into its range"));
  expect_bad("humor:-2",
             HasSubstr("; if ratings begin at -2, say so with attributes.min: -2 in a recipe, --min -2 to"));
  expect_bad("humor:2000000", EndsWith("; mend the rating"));
  expect_bad("humor: 1", EndsWith("; write it without spaces: jq -c '(.. | objects | .label | strings) |= gsub(\" \"; "
                                  "\"\")' FILE > NEW.jsonl"));
  expect_bad("humor:1.0",
             EndsWith("; round it: jq -c '(.. | objects | .label | strings) |= (split(\",\") | map(split(\":\") | "
                      "\"\\(.[0]):\\(.[1] | tonumber | round)\") | join(\",\"))' FILE > NEW.jsonl"));
  expect_bad("humor:x", EndsWith("expected an integer from 0 to 4)"));
  for (const char* text : {"humor", "humor:1,", ",humor:1", "humor:1,,quality:1", ","}) {
    expect_bad(text, HasSubstr("an entry without a value"));
  }
  expect_bad("humor:1, quality:1", HasSubstr("unknown attribute (found ' quality'"));
}

TEST(Attributes, WhatCannotBeUsedOfALabelIsLeftOut) {
  const auto left = [](const std::string& text) { return parse_label(four(), text, "x", LabelFaults::leave_out).text; };
  EXPECT_EQ(left("violence:9,humor:1,quality:2"), "quality:2,humor:1");
  EXPECT_EQ(left("violence:9"), "");
  EXPECT_EQ(left("humor:9,quality:x,helpfulness:1"), "helpfulness:1");
  EXPECT_EQ(left("quality:1,quality:2,,spam"), "quality:1");
}

TEST(Attributes, UndeclaredLabelsStayAsWritten) {
  const Label label = parse_label(make_attributes({}), "b:1,a:2.5 free text", "x");
  EXPECT_EQ(label.text, "b:1,a:2.5 free text");
  EXPECT_TRUE(label.values.empty());
}

TEST(Attributes, NegativeValuesAreWrittenAndReadBack) {
  const Attributes attributes = make_attributes({.names = {"a", "b", "c"}, .min = -3, .max = 9});
  const Label label = make_label(attributes, std::vector<float>{-3.0f, unknown, 9.0f});
  EXPECT_EQ(label.text, "a:-3,c:9");
  EXPECT_EQ(parse_label(attributes, label.text, "x").text, label.text);
  EXPECT_EQ(parse_label(attributes, "a:-0", "x").text, "a:0");
}

TEST(Attributes, ScoresAreRoundedHalfToEvenThenClamped) {
  const Attributes attributes = make_attributes({.names = {"a"}, .min = 0, .max = 4});
  const std::vector<std::pair<double, int>> cases{
      {0.5, 0},    {1.5, 2},    {2.5, 2},
      {3.5, 4},    {-7.0, 0},   {99.0, 4},
      {2.4999, 2}, {2.5001, 3}, {std::numeric_limits<double>::infinity(), 4}};
  for (const auto& [score, value] : cases) EXPECT_EQ(round_score(score, attributes), value) << score;
  expect_error(ExitCode::model, HasSubstr("not a number"), [&] { round_score(std::nan(""), attributes); });
}

}  // namespace
}  // namespace steerlm
