#include "steerlm/report/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "steerlm/report/table.h"

namespace steerlm {
namespace {

// In the units of the viewBox, which are pixels where the page is wide enough.
constexpr double width = 400, height = 250, left = 66, right = 20, top = 10, bottom = 42;
constexpr double plot_width = width - left - right, plot_height = height - top - bottom;
constexpr size_t most_points = 600;  // a series: more than there are pixels
constexpr size_t most_ticks = 6;

constexpr std::array<const char*, 5> dashes{"", "7 3", "2 2", "9 3 2 3", "4 2"};
constexpr size_t marker_kinds = 6;

std::string number(double value) { return fmt::format("{:.2f}", value); }

// What of a series is drawn alike.
struct Style {
  std::string colour, dash;
  size_t marker;
};
Style style_of(size_t style) {
  const auto& colours = plot_colours();
  // With each round of the colours the dashes move on, so that the pairs repeat after 30 series.
  const size_t dash = (style + style / colours.size()) % dashes.size();
  return {colours[style % colours.size()], dashes[dash], style % marker_kinds};
}

void write_marker(HtmlWriter& page, size_t kind, double x, double y, const std::string& colour) {
  const double r = 3.2;
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string points;
    for (const auto& [dx, dy] : corners) points += number(x + r * dx) + "," + number(y + r * dy) + " ";
    points.pop_back();
    page.empty("polygon", {{"points", points}, {"fill", colour}});
  };
  const auto cross = [&](double dx, double dy) {
    const std::string path = "M" + number(x - r * dx) + " " + number(y - r * dy) + "L" + number(x + r * dx) + " " +
                             number(y + r * dy) + "M" + number(x - r * dy) + " " + number(y + r * dx) + "L" +
                             number(x + r * dy) + " " + number(y - r * dx);
    page.empty("path", {{"d", path}, {"stroke", colour}, {"stroke-width", "1.6"}, {"fill", "none"}});
  };
  switch (kind) {
    case 0:
      page.empty("circle", {{"cx", number(x)}, {"cy", number(y)}, {"r", number(r)}, {"fill", colour}});
      break;
    case 1:
      polygon({{-1, -1}, {1, -1}, {1, 1}, {-1, 1}});
      break;
    case 2:
      polygon({{0, -1.3}, {1.2, 0.9}, {-1.2, 0.9}});
      break;
    case 3:
      polygon({{0, -1.4}, {1.2, 0}, {0, 1.4}, {-1.2, 0}});
      break;
    case 4:
      cross(1, 1);
      break;
    default:
      cross(1.2, 0);
  }
}

struct Frame {
  Axis x, y;
  double px(double value) const { return left + plot_width * (value - x.low) / (x.high - x.low); }
  double py(double value) const { return top + plot_height * (1 - (value - y.low) / (y.high - y.low)); }
};

void open_svg(HtmlWriter& page, const std::string& title, const std::string& description) {
  page.open("svg", {{"class", "plot"},
                    {"role", "img"},
                    {"viewBox", fmt::format("0 0 {} {}", width, height)},
                    {"aria-label", title + ". " + description}});
  page.element("title", title);
  page.element("desc", description);
}

void write_text(HtmlWriter& page, double x, double y, const std::string& anchor, const std::string& text) {
  page.element("text", text, {{"x", number(x)}, {"y", number(y)}, {"text-anchor", anchor}});
}

void write_line(HtmlWriter& page, double x1, double y1, double x2, double y2, const char* kind) {
  page.empty("line", {{"x1", number(x1)}, {"y1", number(y1)}, {"x2", number(x2)}, {"y2", number(y2)}, {"class", kind}});
}

void write_y_axis(HtmlWriter& page, const Frame& frame, const std::string& label) {
  for (double tick : frame.y.ticks) {
    write_line(page, left, frame.py(tick), width - right, frame.py(tick), "grid");
    write_text(page, left - 5, frame.py(tick) + 4, "end", tick_text(tick));
  }
  const std::string middle = number(top + plot_height / 2);
  page.element("text", label,
               {{"x", "12"},
                {"y", middle},
                {"text-anchor", "middle"},
                {"transform", "rotate(-90 12 " + middle + ")"},
                {"class", "label"}});
}

void write_x_label(HtmlWriter& page, const std::string& label) {
  page.element(
      "text", label,
      {{"x", number(left + plot_width / 2)}, {"y", number(height - 6)}, {"text-anchor", "middle"}, {"class", "label"}});
}

Frame frame_of(const LinePlot& plot) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double x_low = infinity, x_high = -infinity, y_low = infinity, y_high = -infinity;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      if (!std::isfinite(point.y)) continue;
      x_low = std::min(x_low, point.x);
      x_high = std::max(x_high, point.x);
      for (double y : {point.y, point.low, point.high}) {
        if (!std::isfinite(y)) continue;
        y_low = std::min(y_low, y);
        y_high = std::max(y_high, y);
      }
    }
  }
  for (double x : plot.x_covers) {
    x_low = std::min(x_low, x);
    x_high = std::max(x_high, x);
  }
  if (plot.diagonal && x_low <= x_high) {
    y_low = std::min(y_low, x_low);
    y_high = std::max(y_high, x_high);
  }
  return {make_axis(x_low, x_high, most_ticks), make_axis(y_low, y_high, most_ticks)};
}

void write_series(HtmlWriter& page, const Frame& frame, const PlotSeries& series, bool markers) {
  const Style style = style_of(series.style);
  const std::vector<PlotPoint> points = thinned(series.points, most_points);
  std::string path;
  bool drawing = false;
  for (const PlotPoint& point : points) {
    if (std::isfinite(point.y)) {
      path += (drawing ? "L" : "M") + number(frame.px(point.x)) + " " + number(frame.py(point.y));
    }
    drawing = std::isfinite(point.y);
  }
  if (!path.empty())
    page.empty("path", {{"d", path}, {"class", "series"}, {"stroke", style.colour}, {"stroke-dasharray", style.dash}});
  size_t finite = 0;
  for (const PlotPoint& point : points) {
    if (!std::isfinite(point.y)) continue;
    ++finite;
    const double x = frame.px(point.x);
    if (std::isfinite(point.low) && std::isfinite(point.high)) {
      const double low = frame.py(point.low), high = frame.py(point.high);
      const std::string bar = fmt::format("M{0} {1}L{0} {2}M{3} {1}L{4} {1}M{3} {2}L{4} {2}", number(x), number(low),
                                          number(high), number(x - 3), number(x + 3));
      page.empty("path", {{"d", bar}, {"class", "interval"}, {"stroke", style.colour}});
    }
    if (markers) write_marker(page, style.marker, x, frame.py(point.y), style.colour);
  }
  // A line of one point would not be seen.
  if (!markers && finite == 1) {
    for (const PlotPoint& point : points) {
      if (std::isfinite(point.y)) write_marker(page, style.marker, frame.px(point.x), frame.py(point.y), style.colour);
    }
  }
}

void write_bar(HtmlWriter& page, double x, double y, double bar_width, bool outlined) {
  page.empty("rect", {{"x", number(x)},
                      {"y", number(y)},
                      {"width", number(bar_width)},
                      {"height", number(top + plot_height - y)},
                      {"class", outlined ? "bar second" : "bar first"}});
}

}  // namespace

const std::vector<std::string>& plot_colours() {
  static const std::vector<std::string> colours{"#0b5fa5", "#b3420a", "#00724d", "#7b3294", "#1a1a1a", "#8a6100"};
  return colours;
}

Axis make_axis(double low, double high, size_t most) {
  if (!std::isfinite(low) || !std::isfinite(high) || low > high) {
    low = 0;
    high = 1;
  }
  if (low == high) {
    const double room = low == 0 ? 1 : std::abs(low) / 2;
    low -= room;
    high += room;
  }
  // The exact step of the most ticks, rounded up to 1, 2 or 5 times a power of ten.
  const double exact = (high - low) / static_cast<double>(most - 1);
  const double power = std::pow(10, std::floor(std::log10(exact)));
  double step = 10 * power;
  for (double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= exact * (1 - 1e-9)) step = factor * power;
  }
  const double first = std::floor(low / step + 0.25), last = std::ceil(high / step - 0.25);
  Axis axis{std::min(low, first * step), std::max(high, last * step), {}};
  for (double k = first; k <= last; ++k) axis.ticks.push_back(k == 0 ? 0 : k * step);
  return axis;
}

std::string tick_text(double value) {
  const double size = std::abs(value);
  if (size >= 1000 && size < 1e15 && value == std::trunc(value)) return format_count(static_cast<std::int64_t>(value));
  return fmt::format("{:.6g}", value);
}

std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<PlotPoint> kept{points.front()};
  const size_t inner = points.size() - 2, stretches = (most - 2) / 2;
  for (size_t s = 0; s < stretches; ++s) {
    const size_t begin = 1 + s * inner / stretches, end = 1 + (s + 1) * inner / stretches;
    std::optional<size_t> smallest, largest;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(points[i].y)) continue;
      if (!smallest || points[i].y < points[*smallest].y) smallest = i;
      if (!largest || points[i].y > points[*largest].y) largest = i;
    }
    if (!smallest) {
      if (begin < end) kept.push_back(points[begin]);
      continue;
    }
    kept.push_back(points[std::min(*smallest, *largest)]);
    if (*smallest != *largest) kept.push_back(points[std::max(*smallest, *largest)]);
  }
  kept.push_back(points.back());
  return kept;
}

void write_plot(HtmlWriter& page, const LinePlot& plot) {
  const Frame frame = frame_of(plot);
  open_svg(page, plot.title, plot.description);
  write_y_axis(page, frame, plot.y_label);
  for (double tick : frame.x.ticks) {
    write_line(page, frame.px(tick), top + plot_height, frame.px(tick), top + plot_height + 4, "axis");
    write_text(page, frame.px(tick), top + plot_height + 16, "middle", tick_text(tick));
  }
  write_x_label(page, plot.x_label);
  write_line(page, left, top + plot_height, width - right, top + plot_height, "axis");
  write_line(page, left, top, left, top + plot_height, "axis");
  if (plot.diagonal) {
    const double low = std::max(frame.x.low, frame.y.low), high = std::min(frame.x.high, frame.y.high);
    if (low < high) write_line(page, frame.px(low), frame.py(low), frame.px(high), frame.py(high), "diagonal");
  }
  for (const PlotSeries& series : plot.series) write_series(page, frame, series, plot.markers);
  page.close("svg");
}

void write_bars(HtmlWriter& page, const BarPlot& plot) {
  double highest = 0;
  for (const BarPlot::Series& series : plot.series) {
    for (double value : series.values) highest = std::max(highest, value);
  }
  Frame frame;
  frame.y = make_axis(0, highest > 0 ? highest : 1, most_ticks);
  open_svg(page, plot.title, plot.description);
  write_y_axis(page, frame, plot.y_label);
  const double slot = plot_width / static_cast<double>(std::max<size_t>(plot.categories.size(), 1));
  const double bar_width = 0.8 * slot / static_cast<double>(std::max<size_t>(plot.series.size(), 1));
  for (size_t c = 0; c < plot.categories.size(); ++c) {
    const double begin = left + slot * static_cast<double>(c);
    const bool has_room = c % (plot.categories.size() / 12 + 1) == 0;
    if (has_room) write_text(page, begin + slot / 2, top + plot_height + 16, "middle", plot.categories[c]);
    for (size_t s = 0; s < plot.series.size(); ++s) {
      const double x = begin + 0.1 * slot + bar_width * static_cast<double>(s);
      write_bar(page, x, frame.py(plot.series[s].values.at(c)), bar_width, s > 0);
    }
  }
  write_line(page, left, top + plot_height, width - right, top + plot_height, "axis");
  write_x_label(page, plot.x_label);
  page.close("svg");
}

void write_legend(HtmlWriter& page, const std::vector<std::string>& names) {
  page.open("ul", {{"class", "legend"}});
  for (size_t s = 0; s < names.size(); ++s) {
    const Style style = style_of(s);
    page.open("li");
    page.open("svg", {{"viewBox", "0 0 44 12"}, {"width", "44"}, {"height", "12"}, {"aria-hidden", "true"}});
    page.empty("path",
               {{"d", "M1 6L43 6"}, {"class", "series"}, {"stroke", style.colour}, {"stroke-dasharray", style.dash}});
    write_marker(page, style.marker, 22, 6, style.colour);
    page.close("svg");
    page.element("bdi", names[s]);
    page.close("li");
  }
  page.close("ul");
}

void write_bar_legend(HtmlWriter& page, const std::vector<std::string>& names) {
  page.open("ul", {{"class", "legend"}});
  for (size_t s = 0; s < names.size(); ++s) {
    page.open("li");
    page.open("svg", {{"viewBox", "0 0 20 12"}, {"width", "20"}, {"height", "12"}, {"aria-hidden", "true"}});
    page.empty(
        "rect",
        {{"x", "1"}, {"y", "1"}, {"width", "18"}, {"height", "10"}, {"class", s > 0 ? "bar second" : "bar first"}});
    page.close("svg");
    page.element("bdi", names[s]);
    page.close("li");
  }
  page.close("ul");
}

}  // namespace steerlm
