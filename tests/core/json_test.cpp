#include "steerlm/core/json_array.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "support/message_of.h"

namespace steerlm {
namespace {

std::string refusal(const std::string& text, int max_depth = 64) {
  std::string message = message_of(ExitCode::data, [&] { parse_json(text, "f:3", ExitCode::data, max_depth); });
  EXPECT_EQ(message.find("json.exception"), std::string::npos);
  return message;
}

class JsonRoundTripTest : public testing::TestWithParam<std::string> {};

TEST_P(JsonRoundTripTest, ReadAndWrittenIsTheSame) {
  EXPECT_EQ(dump_json(parse_json(GetParam(), "f", ExitCode::data)), GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, JsonRoundTripTest,
                         testing::Values(R"({"b":1,"a":[true,false,null]})", R"({"":"empty key"})", "-0.0",
                                         "9223372036854775807", "-9223372036854775808", "18446744073709551615", "0.1",
                                         "1e-07", "1.5", R"("\u0000")", R"("ü🙂\n\"\\")", "[]", "{}", "[[],[{}]]"));

TEST(JsonTest, KindsOfNumbersStay) {
  EXPECT_TRUE(parse_json("1", "f", ExitCode::data).is_number_integer());
  EXPECT_TRUE(parse_json("1.0", "f", ExitCode::data).is_number_float());
  EXPECT_EQ(dump_json(parse_json("1.0", "f", ExitCode::data)), "1.0");
}

// What a library cannot hold, or would spell in another way.
class JsonAsWrittenTest : public testing::TestWithParam<std::string> {};

TEST_P(JsonAsWrittenTest, ReadAndWrittenIsTheSame) {
  const std::string line = R"({"a":[1,)" + GetParam() + R"(,"x"],"ü\n":{"b":)" + GetParam() + R"(},"c":[],"d":{}})";
  EXPECT_EQ(dump_json(parse_json_as_written(line, "f", ExitCode::data)), line);
  EXPECT_EQ(dump_json(parse_json_as_written(GetParam(), "f", ExitCode::data)), GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, JsonAsWrittenTest,
                         testing::Values("-0", "-0.0", "1.0", "1.50", "100.0", "1e5", "1E5", "1e+05", "1e400", "-1e400",
                                         "1e-400", "18446744073709551615", "18446744073709551616",
                                         "-9223372036854775809", "123456789012345678901234567890", "0.1",
                                         "0.1000000000000000000001", "0.1000000000000000055511151231257827", "0.30",
                                         "2.5e-7", "5e-324", "1.7976931348623157e308", "9007199254740993.0"));

TEST(JsonTest, ANumberThatIsKeptAsItsText) {
  const Json value = parse_json_as_written("[1e400,2,0.5,\"1e400\"]", "f", ExitCode::data);
  EXPECT_EQ(written_number(value[0]), "1e400");
  EXPECT_FALSE(value[0].is_number());
  EXPECT_TRUE(value[1].is_number_integer());
  EXPECT_FALSE(written_number(value[1]));
  EXPECT_TRUE(value[2].is_number_float());
  EXPECT_FALSE(written_number(value[3]));
}

// nlohmann's parser is the oracle: texts that are mended and broken at random places are read by both or by neither,
// to the same value.
TEST(JsonTest, TheSameLanguageAsNlohmann) {
  const std::vector<std::string> seeds{
      R"({"a":[1,2.5,-3e-7,true,false,null,"x\n\u00e9\ud83d\ude00ü"],"b":{"":{},"c":[]},"d":18446744073709551616})",
      R"( [ {"k" : -0 , "z":1.0,"q":0.1,"e":1E5} , "\"\\\/\b\f\n\r\t" ] )", R"("\u0000")", "-0.0"};
  const std::string characters = "{}[],:\"\\0123456789.eE+-tfn u\x01\xc3\xa9";
  std::mt19937 random(1);
  int read = 0, refused = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string text = seeds[random() % seeds.size()];
    for (unsigned change = random() % 4; change > 0; --change) {
      const size_t at = random() % text.size();
      const char character = characters[random() % characters.size()];
      switch (random() % 3) {
        case 0:
          text.erase(at, 1);
          break;
        case 1:
          text.insert(at, 1, character);
          break;
        default:
          text[at] = character;
      }
      if (text.empty()) text = "0";
    }
    const std::string message = refusal(text);
    if (message.find("occurs twice") != std::string::npos) continue;
    const Json expected = Json::parse(text, nullptr, false);
    ASSERT_EQ(message.empty(), !expected.is_discarded()) << text << "\n" << message;
    ++(message.empty() ? read : refused);
    if (message.empty()) {
      ASSERT_EQ(parse_json(text, "f", ExitCode::data).dump(), expected.dump()) << text;
    }
  }
  EXPECT_GT(read, 10000);
  EXPECT_GT(refused, 10000);
}

TEST(JsonTest, KeysThatOccurTwiceInALargeObject) {
  std::string members;
  for (int i = 0; i < 100; ++i) members += "\"k" + std::to_string(i) + "\":0,";
  for (const int repeated : {0, 15, 16, 99}) {
    const std::string key = "k" + std::to_string(repeated);
    EXPECT_EQ(refusal("{" + members + "\"" + key + "\":1}"), "f:3: the key '" + key + "' occurs twice in one object");
  }
  EXPECT_EQ(refusal("{" + members + "\"k\":1}"), "");
}

TEST(JsonTest, WhatIsRefusedIsNotBuilt) {
  const auto keep = [](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key) return !(depth == 2 && value == "left out");
    return !(event == Json::parse_event_t::value && value == 3);
  };
  EXPECT_EQ(
      dump_json(parse_json(R"({"left out":1,"a":{"left out":[1],"b":3,"c":[2,3,4]}})", "f", ExitCode::data, 64, keep)),
      R"({"left out":1,"a":{"c":[2,4]}})");
}

struct Case {
  std::string text, message;
};
class JsonRefusedTest : public testing::TestWithParam<Case> {};

TEST_P(JsonRefusedTest, WithPlace) {
  const std::string message = refusal(GetParam().text);
  EXPECT_EQ(message.rfind("f:3: ", 0), 0u) << message;
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(All, JsonRefusedTest,
                         testing::Values(Case{"", "not valid JSON"}, Case{"{", "not valid JSON"},
                                         Case{"{} {}", "not valid JSON"}, Case{"[1,]", "not valid JSON"},
                                         Case{"NaN", "not valid JSON"}, Case{"[Infinity]", "not valid JSON"},
                                         Case{"1e999", "a number that no double can hold"},
                                         Case{R"({"a":1,"a":2})", "the key 'a' occurs twice in one object"},
                                         Case{R"([{"b":{"a":1,"a":2}}])", "the key 'a' occurs twice"},
                                         Case{"\"\xff\"", "not valid UTF-8 at byte 2"},
                                         Case{std::string("\"a\0\"", 4), "a raw NUL byte at byte 3"},
                                         Case{R"("\ud800")", "not valid JSON"}, Case{R"("\udc00x")", "not valid JSON"},
                                         Case{"'a'", "not valid JSON"}));

TEST(JsonTest, Depth) {
  EXPECT_EQ(refusal("[[[]]]", 3), "");
  EXPECT_EQ(refusal("[[[[]]]]", 3), "f:3: nested deeper than 3 levels");
  EXPECT_EQ(refusal(std::string(1000000, '[')), "f:3: nested deeper than 64 levels");
  EXPECT_EQ(refusal(R"({"a":1,"b":{"a":1}})"), "") << "the same key in two objects is fine";
}

TEST(JsonTest, FaultsOfAnArrayOfRecordsHaveElementAndLine) {
  const auto fault = [](const std::string& text) {
    return message_of(ExitCode::data, [&] { parse_json_array(text, "d.json", ExitCode::data); });
  };
  const auto levels = [](size_t count) { return std::string(count, '[') + std::string(count, ']'); };
  EXPECT_EQ(fault(" [" + levels(64) + "]"), "") << "the array is no level of its elements";
  EXPECT_EQ(fault("[1,\n" + levels(65) + "]"), "d.json, element 2, line 2: nested deeper than 64 levels");
  EXPECT_EQ(fault("[\n{\"a\":1},\n{\"x\":1,\n\"x\":1}\n]"),
            "d.json, element 2, line 4: the key 'x' occurs twice in one object");
  EXPECT_EQ(fault("[1,\n\nNaN]"),
            "d.json, element 2, line 3: not valid JSON at byte 6: unexpected 'N', expected a value");
  EXPECT_EQ(fault("[1]\n x"),
            "d.json, line 2: not valid JSON at byte 6: unexpected 'x', expected nothing behind the value");
  EXPECT_EQ(fault("[\n\"\xff\"]"), "d.json, line 2: not valid UTF-8 at byte 4");
  EXPECT_EQ(dump_json(parse_json_array("[1.50,{}]", "d.json", ExitCode::data)), "[1.50,{}]");
}

}  // namespace
}  // namespace steerlm
