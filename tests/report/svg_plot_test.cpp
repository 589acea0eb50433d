// Scales, thinning and marks of the plots, read back from the SVG.
#include "steerlm/report/svg_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <set>

namespace steerlm {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr double gap = std::numeric_limits<double>::quiet_NaN();

TEST(SvgPlot, TicksAreStepsOfOneTwoOrFive) {
  EXPECT_THAT(make_axis(0, 4, 6).ticks, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(make_axis(1, 938, 6).ticks, ElementsAre(0, 200, 400, 600, 800, 1000));
  EXPECT_THAT(make_axis(0, 10, 6).ticks, ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(make_axis(0, 22, 6).ticks, ElementsAre(0, 5, 10, 15, 20, 25));
  const Axis beyond = make_axis(-0.2, 4.2, 6);  // less than a quarter of a step beyond the ticks
  EXPECT_THAT(beyond.ticks, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(beyond.low, -0.2);
  EXPECT_EQ(beyond.high, 4.2);
  EXPECT_THAT(make_axis(-0.3, 0.3, 4).ticks, ElementsAre(DoubleNear(-0.4, 1e-12), DoubleNear(-0.2, 1e-12), 0,
                                                         DoubleNear(0.2, 1e-12), DoubleNear(0.4, 1e-12)));
  const Axis rates = make_axis(0, 5e-6, 6);
  EXPECT_EQ(rates.ticks.size(), 6u);
  EXPECT_EQ(tick_text(rates.ticks[1]), "1e-06");
  EXPECT_EQ(rates.low, 0);
  EXPECT_NEAR(rates.high, 5e-6, 1e-18);
}

TEST(SvgPlot, AnAxisHoldsWhatItIsMadeForAndStaysShort) {
  for (double low : {-1e6, -3.7, 0.0, 1e-7, 2.5, 99.0}) {
    for (double span : {1e-6, 0.013, 1.0, 6.0, 7.7, 1234.0, 9e9}) {
      const Axis axis = make_axis(low, low + span, 6);
      EXPECT_LE(axis.low, low + 1e-6 * span);
      EXPECT_GE(axis.high, low + span * (1 - 1e-6));
      EXPECT_LE(axis.ticks.size(), 8u) << low << " " << span;
      EXPECT_GE(axis.ticks.size(), 3u) << low << " " << span;
    }
  }
}

TEST(SvgPlot, OneValueAndNoneHaveAnAxisToo) {
  for (double value : {0.0, 3.0, -2e-5}) {
    const Axis axis = make_axis(value, value, 6);
    EXPECT_LT(axis.low, value);
    EXPECT_GT(axis.high, value);
  }
  const Axis none = make_axis(INFINITY, -INFINITY, 6);
  EXPECT_EQ(none.low, 0);
  EXPECT_EQ(none.high, 1);
  EXPECT_FALSE(make_axis(gap, gap, 6).ticks.empty());
}

TEST(SvgPlot, TickTexts) {
  EXPECT_EQ(tick_text(0), "0");
  EXPECT_EQ(tick_text(0.30000000000000004), "0.3");
  EXPECT_EQ(tick_text(15000), "15,000");
  EXPECT_EQ(tick_text(-2000000), "-2,000,000");
  EXPECT_EQ(tick_text(0.0005), "0.0005");
}

TEST(SvgPlot, ThinningKeepsEndsAndExtremes) {
  std::vector<PlotPoint> points;
  for (int i = 0; i < 10'000; ++i) points.push_back({.x = static_cast<double>(i), .y = std::sin(i * 0.01)});
  points[4321].y = 50;
  points[4322].y = -50;
  const std::vector<PlotPoint> few = thinned(points, 100);
  EXPECT_LE(few.size(), 100u);
  EXPECT_GE(few.size(), 90u);
  EXPECT_EQ(few.front().x, 0);
  EXPECT_EQ(few.back().x, 9999);
  bool highest = false, lowest = false;
  for (size_t i = 0; i < few.size(); ++i) {
    highest = highest || few[i].y == 50;
    lowest = lowest || few[i].y == -50;
    EXPECT_TRUE(i == 0 || few[i - 1].x < few[i].x) << "in their order";
  }
  EXPECT_TRUE(highest && lowest);
  EXPECT_EQ(thinned(few, 100).size(), few.size()) << "what is short stays as it is";
}

TEST(SvgPlot, ThinningKeepsAGap) {
  std::vector<PlotPoint> points;
  for (int i = 0; i < 1000; ++i)
    points.push_back({.x = static_cast<double>(i), .y = i >= 400 && i < 600 ? gap : 1.0 + i});
  size_t gaps = 0;
  for (const PlotPoint& point : thinned(points, 40)) gaps += std::isnan(point.y) ? 1 : 0;
  EXPECT_GT(gaps, 0u);
}

std::string drawn(const LinePlot& plot) {
  HtmlWriter page;
  write_plot(page, plot);
  return page.take();
}

// The path of the only series.
std::string path_of(const std::string& svg) {
  std::smatch match;
  const std::regex pattern("<path d=\"([^\"]*)\" class=\"series\"");
  return std::regex_search(svg, match, pattern) ? match[1].str() : "";
}

TEST(SvgPlot, PointsLieWhereTheAxesSay) {
  // Axes 0 … 10 and 0 … 4 over a plot of 314 x 198 whose corner is at (66, 10).
  const std::string svg =
      drawn({.title = "t", .series = {{"s", 0, {{.x = 0, .y = 0}, {.x = 5, .y = 4}, {.x = 10, .y = 1}}}}});
  EXPECT_EQ(path_of(svg), "M66.00 208.00L223.00 10.00L380.00 158.50");
}

TEST(SvgPlot, ALineHasGapsAndNoNumbersThatAreNone) {
  const std::string svg = drawn({.title = "t",
                                 .series = {{"s",
                                             0,
                                             {{.x = 0, .y = 0},
                                              {.x = 1, .y = 4},
                                              {.x = 2, .y = gap},
                                              {.x = 3, .y = INFINITY},
                                              {.x = 8, .y = 2},
                                              {.x = 10, .y = 4}}}}});
  EXPECT_EQ(path_of(svg), "M66.00 208.00L97.40 10.00M317.20 109.00L380.00 10.00");
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(SvgPlot, NoPointOnePointAndEqualPointsAreDrawn) {
  EXPECT_EQ(path_of(drawn({.title = "none"})), "");
  const std::string one = drawn({.title = "one", .series = {{"s", 0, {{.x = 7, .y = 3}}}}});
  EXPECT_THAT(one, HasSubstr("<circle")) << "a line of one point is not seen";
  EXPECT_THAT(one, Not(HasSubstr("nan")));
  const std::string equal = drawn({.title = "equal", .series = {{"s", 0, {{.x = 1, .y = 0.5}, {.x = 2, .y = 0.5}}}}});
  EXPECT_THAT(equal, Not(HasSubstr("nan")));
  EXPECT_THAT(equal, Not(HasSubstr("<circle")));
}

TEST(SvgPlot, IntervalsAreDrawnWhereThereAreAnyAndCountForTheAxis) {
  const std::string svg = drawn({.title = "t",
                                 .series = {{"s", 0, {{.x = 0, .y = 1, .low = 0, .high = 4}, {.x = 10, .y = 1}}}},
                                 .markers = true});
  std::smatch match;
  ASSERT_TRUE(std::regex_search(svg, match, std::regex("<path d=\"([^\"]*)\" class=\"interval\"")));
  EXPECT_EQ(match[1].str(), "M66.00 208.00L66.00 10.00M63.00 208.00L69.00 208.00M63.00 10.00L69.00 10.00");
  EXPECT_EQ(match.suffix().str().find("class=\"interval\""), std::string::npos) << "the second point has none";
}

TEST(SvgPlot, NamesAndUnitsAreInThePictureAndEscaped) {
  const std::string svg =
      drawn({.title = "<T>", .description = "a \"d\"", .x_label = "step & more", .y_label = "nats"});
  EXPECT_THAT(svg, HasSubstr("<title>&lt;T&gt;</title><desc>a &quot;d&quot;</desc>"));
  EXPECT_THAT(svg, HasSubstr("role=\"img\""));
  EXPECT_THAT(svg, HasSubstr(">step &amp; more</text>"));
  EXPECT_THAT(svg, HasSubstr(">nats</text>"));
}

TEST(SvgPlot, BarsBeginAtZero) {
  HtmlWriter page;
  write_bars(page, {.title = "t", .categories = {"0", "1"}, .series = {{"a", {50, 0}}, {"b", {25, 100}}}});
  const std::string svg = page.take();
  std::vector<std::string> heights;
  const std::regex pattern("height=\"([0-9.]+)\" class=\"bar");
  for (std::sregex_iterator match(svg.begin(), svg.end(), pattern), end; match != end; ++match)
    heights.push_back((*match)[1].str());
  EXPECT_THAT(heights, ElementsAre("99.00", "49.50", "0.00", "198.00"));
}

// WCAG 2.1, relative luminance and contrast ratio.
double luminance(const std::string& colour) {
  double sum = 0;
  const double weights[] = {0.2126, 0.7152, 0.0722};
  for (size_t i = 0; i < 3; ++i) {
    const double part = std::stoi(colour.substr(1 + 2 * i, 2), nullptr, 16) / 255.0;
    sum += weights[i] * (part <= 0.03928 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4));
  }
  return sum;
}

TEST(SvgPlot, ColoursStandOutFromWhiteAndStylesDiffer) {
  for (const std::string& colour : plot_colours()) EXPECT_GE(1.05 / (luminance(colour) + 0.05), 4.5) << colour;
  HtmlWriter page;
  write_legend(page, std::vector<std::string>(30, "run"));
  const std::string legend = page.take();
  std::set<std::string> styles;
  const std::regex pattern("stroke=\"(#[0-9a-f]+)\" stroke-dasharray=\"([0-9 ]*)\"");
  for (std::sregex_iterator match(legend.begin(), legend.end(), pattern), end; match != end; ++match)
    styles.insert((*match)[0].str());
  EXPECT_EQ(styles.size(), 30u);
}

}  // namespace
}  // namespace steerlm
