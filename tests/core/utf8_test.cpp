#include "steerlm/core/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace steerlm {
namespace {

TEST(Utf8Test, WellFormed) {
  for (const std::string& text :
       {std::string(""), std::string("plain"), std::string("ä€🙂"), std::string("\0", 1), std::string("\xC2\x80"),
        std::string("\xDF\xBF"), std::string("\xE0\xA0\x80"), std::string("\xED\x9F\xBF"), std::string("\xEE\x80\x80"),
        std::string("\xF0\x90\x80\x80"), std::string("\xF4\x8F\xBF\xBF")}) {
    EXPECT_EQ(find_invalid_utf8(text), std::nullopt) << text;
  }
}

struct Case {
  std::string text;
  size_t offset;
};
class Utf8InvalidTest : public testing::TestWithParam<Case> {};

TEST_P(Utf8InvalidTest, FirstBadByte) { EXPECT_EQ(find_invalid_utf8(GetParam().text), GetParam().offset); }

INSTANTIATE_TEST_SUITE_P(All, Utf8InvalidTest,
                         testing::Values(Case{"\x80", 0}, Case{"ab\xFF", 2}, Case{"\xC3", 0}, Case{"a\xC3(", 1},
                                         Case{"\xC0\x80", 0}, Case{"\xC1\xBF", 0}, Case{"\xE0\x9F\xBF", 0},
                                         Case{"\xED\xA0\x80", 0}, Case{"\xED\xBF\xBF", 0}, Case{"\xE2\x82", 0},
                                         Case{"\xF0\x8F\xBF\xBF", 0}, Case{"\xF4\x90\x80\x80", 0},
                                         Case{"\xF5\x80\x80\x80", 0}, Case{"ä\xF0\x9F\x99", 2}));

}  // namespace
}  // namespace steerlm
