#include "steerlm/core/error.h"

#include <gtest/gtest.h>

namespace steerlm {
namespace {

TEST(ErrorTest, AFaultSaysWhereWhatFoundExpectedAndAdvice) {
  EXPECT_EQ(format_fault({.what = "bad"}), "bad");
  EXPECT_EQ(format_fault({.what = "bad", .where = "a:1:2"}), "a:1:2: bad");
  EXPECT_EQ(format_fault({.what = "bad", .found = "x"}), "bad (found x)");
  EXPECT_EQ(format_fault({.what = "bad", .expected = "y"}), "bad (expected y)");
  EXPECT_EQ(format_fault({.what = "bad", .where = "a", .found = "x", .expected = "y", .advice = "do z"}),
            "a: bad (found x, expected y); do z");
}

TEST(ErrorTest, CarriesCodeAndEveryFault) {
  const Error error(ExitCode::data, std::vector<Fault>{{.what = "one"}, {.what = "two", .where = "b"}});
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_EQ(error.faults().size(), 2u);
  EXPECT_STREQ(error.what(), "one\nb: two");
}

TEST(ErrorTest, FailThrows) {
  try {
    fail(ExitCode::resources, {.what = "full"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::resources);
    EXPECT_STREQ(error.what(), "full");
  }
}

// contracts.md section 1.
TEST(ErrorTest, ExitCodesAreTheContracts) {
  EXPECT_EQ(static_cast<int>(ExitCode::done), 0);
  EXPECT_EQ(static_cast<int>(ExitCode::recipe), 2);
  EXPECT_EQ(static_cast<int>(ExitCode::data), 3);
  EXPECT_EQ(static_cast<int>(ExitCode::model), 4);
  EXPECT_EQ(static_cast<int>(ExitCode::resources), 5);
  EXPECT_EQ(static_cast<int>(ExitCode::diverged), 6);
  EXPECT_EQ(static_cast<int>(ExitCode::bug), 70);
  EXPECT_EQ(static_cast<int>(ExitCode::stopped), 75);
}

}  // namespace
}  // namespace steerlm
