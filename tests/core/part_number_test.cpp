#include "steerlm/core/part_number.h"

#include <gtest/gtest.h>

#include <tuple>

namespace steerlm {
namespace {

TEST(PartNumberTest, TakesWholeNumbersAlone) {
  for (const auto& [text, index, count] :
       {std::tuple{"0/1", 0, 1}, {"3/4", 3, 4}, {"999999999/999999999", 999999999, 999999999}, {"5/5", 5, 5}}) {
    const auto part = parse_part_number(text);
    ASSERT_TRUE(part) << text;
    EXPECT_EQ(part->index, index);
    EXPECT_EQ(part->count, count);
  }
  for (const char* text : {"", "/", "1", "1/", "/1", "0/0", "01/2", "1/02", "-1/2", "+1/2", "1 /2", "1/2/3", "1.0/2",
                           "1/1000000000", "1000000000/1"})
    EXPECT_FALSE(parse_part_number(text)) << text;
}

}  // namespace
}  // namespace steerlm
