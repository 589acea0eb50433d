// Plots as inline SVG: lines over a number, and bars over categories. Colours have a contrast of at least 4.5 with
// white and differ for colour-blind eyes; a dash and a marker of its own tell each series apart in grey as well.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "steerlm/report/html.h"

namespace steerlm {

// `y` not finite: a gap in the line. `low`, `high`: the ends of an interval around y, drawn where both are finite.
struct PlotPoint {
  double x = 0;
  double y = 0;
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};

struct PlotSeries {
  std::string name;
  size_t style = 0;  // from 0; the same number looks the same in every plot
  std::vector<PlotPoint> points;
};

struct LinePlot {
  std::string title;        // what a screen reader names the plot by
  std::string description;  // and says of it
  std::string x_label, y_label;
  std::vector<PlotSeries> series;
  bool markers = false;          // at each point
  bool diagonal = false;         // a dotted line where y = x
  std::vector<double> x_covers;  // the horizontal axis shows these too
};

struct BarPlot {
  std::string title, description, x_label, y_label;
  std::vector<std::string> categories;
  struct Series {
    std::string name;
    std::vector<double> values;  // one a category, not below 0
  };
  std::vector<Series> series;  // beside each other, at most two: the first is filled, the second outlined
};

// From the last tick at or below low to the first one at or above high; where low or high is less than a quarter of a
// step beyond a tick, from or to there instead. Ticks are multiples of 1, 2 or 5 times a power
// of ten, with the smallest such step that parts low … high into less than `most` (3 or more) pieces. Around a single
// value, or none that is finite, a range is made up.
struct Axis {
  double low = 0, high = 1;  // low < high
  std::vector<double> ticks;
};
Axis make_axis(double low, double high, size_t most);
std::string tick_text(double value);

// At most `most` points (4 or more) that draw the same line: of each stretch its smallest and its largest value, in
// their order. The first and the last point stay, and so does one point of a stretch that is all gap.
std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points, size_t most);

void write_plot(HtmlWriter& page, const LinePlot& plot);
void write_bars(HtmlWriter& page, const BarPlot& plot);
// A list of what the styles, 0 and up, stand for.
void write_legend(HtmlWriter& page, const std::vector<std::string>& names);
void write_bar_legend(HtmlWriter& page, const std::vector<std::string>& names);

// The colours of the styles, "#0b5fa5", for tests of their contrast.
const std::vector<std::string>& plot_colours();

}  // namespace steerlm
