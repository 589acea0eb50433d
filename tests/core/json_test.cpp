#include "steerlm/core/json.h"

#include <gtest/gtest.h>

#include <string>

namespace steerlm {
namespace {

std::string refusal(const std::string& text, int max_depth = 64) {
  try {
    parse_json(text, "f:3", ExitCode::data, max_depth);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_EQ(std::string(error.what()).find("json.exception"), std::string::npos);
    return error.what();
  }
  return "";
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

}  // namespace
}  // namespace steerlm
