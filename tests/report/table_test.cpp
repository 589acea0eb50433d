#include "steerlm/report/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace steerlm {
namespace {

TEST(Table, AlignsNumbersRightAndTextLeft) {
  EXPECT_EQ(format_table({{"attribute", "MAE", "n"}, {"quality", "0.41", "1,000"}, {"humor", "–", "12"}}),
            "attribute   MAE      n\n"
            "---------  ----  -----\n"
            "quality    0.41  1,000\n"
            "humor         –     12\n");
}

TEST(Table, FillsShortRowsAndLeavesNoSpacesAtLineEnds) {
  EXPECT_EQ(format_table({{"a", "long header"}, {"x"}, {"y", "z"}}),
            "a  long header\n"
            "-  -----------\n"
            "x\n"
            "y  z\n");
  EXPECT_EQ(format_table({}), "");
  EXPECT_EQ(format_table({{"only", "header"}}), "only  header\n----  ------\n");
}

TEST(Table, WidthIsThatOfTheTerminal) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("né–"), 3u);
  EXPECT_EQ(display_width("日本"), 4u);
  EXPECT_EQ(display_width("e\xCC\x81"), 1u) << "e and a combining accent";
  EXPECT_EQ(display_width("\xF0\x9F\x98\x80"), 2u) << "an emoji";
  EXPECT_EQ(display_width("\xFF\xE2\x82"), 3u) << "bytes that are no UTF-8";
  EXPECT_EQ(format_table({{"a", "b"}, {"é", "x"}, {"日", "y"}}), "a   b\n--  -\né   x\n日  y\n");
}

TEST(Table, Numbers) {
  EXPECT_EQ(format_number(3.14159, 2), "3.14");
  EXPECT_EQ(format_number(-0.001, 2), "0.00");
  EXPECT_EQ(format_number(-0.5, 1), "-0.5");
  EXPECT_EQ(format_number(std::nan(""), 2), "–");
  EXPECT_EQ(format_number(std::numeric_limits<double>::infinity(), 1), "inf");
}

TEST(Table, Counts) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(-1000), "-1,000");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_count(-123), "-123");
}

TEST(Table, BytesAndDurations) {
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1500), "1.5 KB");
  EXPECT_EQ(format_bytes(999'960), "1.0 MB");
  EXPECT_EQ(format_bytes(2'345'000'000), "2.3 GB");
  EXPECT_EQ(format_duration(9.4), "9 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(200), "3 min 20 s");
  EXPECT_EQ(format_duration(7500), "2 h 05 min");
  EXPECT_EQ(format_duration(273'600), "3 d 04 h");
  EXPECT_EQ(format_duration(std::nan("")), "–");
}

}  // namespace
}  // namespace steerlm
