#include "steerlm/core/fields.h"

#include <gtest/gtest.h>

namespace steerlm {

enum class Colour { red, deep_blue };
template <>
struct EnumNames<Colour> {
  static constexpr std::array<std::pair<Colour, std::string_view>, 2> table{
      {{Colour::red, "red"}, {Colour::deep_blue, "deep-blue"}}};
};

namespace {

TEST(FieldsTest, NamesOfEnums) {
  EXPECT_EQ(enum_name(Colour::deep_blue), "deep-blue");
  EXPECT_EQ(enum_value<Colour>("deep-blue"), Colour::deep_blue);
  EXPECT_EQ(enum_value<Colour>("Red"), std::nullopt);
  EXPECT_EQ(enum_choices<Colour>(), (std::vector<std::string>{"red", "deep-blue"}));
}

TEST(FieldsTest, Ranges) {
  EXPECT_EQ(between(1, 2).max, 2);
  EXPECT_FALSE(between(1, 2).open_max);
  EXPECT_TRUE(half_open(0, 1).open_max);
  EXPECT_FALSE(at_least(1).open_min);
  EXPECT_TRUE(above(0).open_min);
  EXPECT_EQ(above(0).max, std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace steerlm
