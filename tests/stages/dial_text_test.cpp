// The dial table that `evaluate` prints.
#include <gtest/gtest.h>

#include <sstream>
#include <tuple>

#include "stages/dial_sweep.h"

namespace steerlm {
namespace {

// The cells of the lines, which are texts without spaces but for those of the headings.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string joined;
    for (std::string word; words >> word;) joined += (joined.empty() ? "" : " ") + word;
    lines.push_back(joined);
  }
  return lines;
}

// Of dial a no answer at level 2 could be judged, of dial b none at level 0.
TEST(DialText, ALevelWithoutAJudgedAnswerKeepsItsColumn) {
  const std::vector<std::string> dials{"a", "b"};
  std::vector<DialSample> samples;
  for (const auto& [dial, level, value] : std::vector<std::tuple<size_t, int, double>>{
           {0, 0, 1.0}, {0, 0, 1.0}, {0, 1, 3.0}, {0, 1, 3.0}, {1, 1, 2.0}, {1, 1, 2.0}, {1, 2, 4.0}, {1, 2, 4.0}}) {
    samples.push_back({.dial = dial, .level = level, .measured = {value, value}});
  }
  const DialTable table = make_dial_table(dials, {.attributes = dials, .figures = {}}, samples, 1);
  const std::vector<std::string> lines = lines_of(dial_text(table, {}));
  ASSERT_EQ(lines.size(), 4u) << "the second one underlines the headings";
  EXPECT_EQ(lines[0], "dial measure at 0 at 1 at 2 Spearman slope 95 % of slope side effect");
  EXPECT_TRUE(lines[2].starts_with("a a 1.00 3.00 – 1.000 2.000 ")) << lines[2];
  EXPECT_TRUE(lines[3].starts_with("b b – 2.00 4.00 1.000 2.000 ")) << lines[3];
}

}  // namespace
}  // namespace steerlm
