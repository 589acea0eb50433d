#include "steerlm/report/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "report/standard_error.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

constexpr double terminal_seconds = 0.1;
constexpr double plain_seconds = 10;
constexpr double log_seconds = 60;
constexpr size_t bar_width = 24;

// Two or three digits that say something: "0.12", "4.1", "12,345".
std::string format_rate(double rate) {
  if (rate < 0.1) return fmt::format("{:.2g}", rate);
  if (rate < 1) return format_number(rate, 2);
  return rate < 100 ? format_number(rate, 1) : format_count(static_cast<std::int64_t>(rate));
}

// The first two digits, then zeros: "12,000".
std::string format_about(double value) {
  double unit = 1;
  while (value / unit >= 99.5) unit *= 10;
  return format_count(static_cast<std::int64_t>(std::round(value / unit) * unit));
}

// At most `columns` columns of the text; what is cut is cut between code points.
std::string cut_to_width(std::string text, size_t columns) {
  while (display_width(text) > columns) {
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.pop_back();
    text.pop_back();
  }
  return text;
}

}  // namespace

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string describe_throughput(std::int64_t conversations, std::int64_t tokens, double seconds) {
  if (conversations <= 0 || tokens <= 0 || seconds <= 0) return "";
  const double token_rate = static_cast<double>(tokens) / seconds;
  constexpr double seconds_of_day = 86400, billion = 1e9;
  return format_rate(static_cast<double>(conversations) / seconds) + " conversations/s, " + format_rate(token_rate) +
         " tokens/s, " + format_rate(billion / token_rate / seconds_of_day) + " machine-days per billion tokens";
}

ProgressOutput standard_error_progress(bool quiet) {
  ProgressOutput output;
  if (quiet) return output;
  output.write = write_standard_error;
  output.terminal = ::isatty(STDERR_FILENO) == 1;
  winsize size{};
  if (output.terminal && ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    output.columns = size.ws_col;
  return output;
}

Progress::Progress(std::string title, std::string unit, std::int64_t total, ProgressOutput output, std::int64_t done)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      output_(std::move(output)),
      first_(done),
      done_(done),
      start_(output_.clock()),
      shown_(start_ - terminal_seconds),
      logged_(start_) {  // a terminal shows the first update, elsewhere ten seconds pass
  if (!output_.terminal) shown_ = start_;
}

Progress::~Progress() {
  if (line_open_) output_.write("\n");
}

void Progress::share(double done) {
  if (first_share_ < 0) first_share_ = done;
  share_ = done;
}

void Progress::update(std::int64_t done, std::string_view note) {
  done_ = done;
  note_ = note;
  const double now = output_.clock();
  if (warm_ < 0) {
    warm_ = now;
    warm_work_ = work_done();
  }
  if (output_.write && now - shown_ >= (output_.terminal ? terminal_seconds : plain_seconds)) show(false);
  if (output_.log && now - logged_ >= log_seconds) {
    logged_ = now;
    output_.log(title_ + ": " + figures(false, ", ", " ({} %)"));
  }
}

void Progress::finish() {
  if (output_.write && !finished_) show(true);
  finished_ = true;
}

void Progress::show(bool last) {
  shown_ = output_.clock();
  if (output_.terminal) {
    const std::string line = fmt::format("{}  {}{}", title_, bar(last), figures(last, "  ", "  {} %"));
    // The last column stays free: some terminals break the line there.
    output_.write("\r" + cut_to_width(line, output_.columns - 1) + "\x1b[K" + (last ? "\n" : ""));
    line_open_ = !last;
  } else {
    output_.write(title_ + ": " + figures(last, ", ", " ({} %)") + "\n");
  }
}

double Progress::share_done() const {
  if (total_ > 0) return std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
  return share_;
}

double Progress::work_done() const { return share_ >= 0 ? share_ : share_done(); }

// From the work since the first update, where there is some; else, of the first update, since the start.
double Progress::remaining_seconds(double now) const {
  const double done = work_done();
  const double first = share_ >= 0  ? first_share_
                       : total_ > 0 ? static_cast<double>(first_) / static_cast<double>(total_)
                                    : 0;
  const bool warm = done > warm_work_;
  const double seconds = now - (warm ? warm_ : start_), work = done - (warm ? warm_work_ : first);
  if (done < 0 || done >= 1 || work <= 0 || seconds <= 0) return -1;
  return seconds * (1 - done) / work;
}

std::string Progress::bar(bool last) const {
  const double share = share_done();
  if (share < 0 || output_.columns < 60 + bar_width) return "";
  const auto filled = static_cast<size_t>(share * bar_width);
  std::string text(filled, '=');
  if (filled < bar_width) text += last ? ' ' : '>';
  text.resize(bar_width, ' ');
  return "[" + text + "]  ";
}

std::string Progress::figures(bool last, std::string_view separator, std::string_view share_format) const {
  const double now = output_.clock(), elapsed = now - start_;
  const double rate = elapsed > 0 ? static_cast<double>(done_ - first_) / elapsed : 0;
  const double share = share_done();
  std::string text = format_count(done_);
  if (total_ > 0) text += "/" + format_count(total_);
  // Two digits of an estimate say all that it knows.
  if (total_ <= 0 && share > 0 && !last) text += " of about " + format_about(static_cast<double>(done_) / share);
  text += " " + unit_;
  if (share >= 0) text += fmt::format(fmt::runtime(share_format), static_cast<std::int64_t>(100 * share + 1e-9));
  const auto add = [&](std::string_view part) { (text += separator) += part; };
  if (rate > 0) add(format_rate(rate) + " " + unit_ + "/s");
  if (last) {
    add("in " + format_duration(elapsed));
  } else if (const double left = remaining_seconds(now); left >= 0) {
    add(format_duration(left) + " left");
  }
  if (!note_.empty()) add(note_);
  return text;
}

}  // namespace steerlm
