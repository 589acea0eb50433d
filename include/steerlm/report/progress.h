// How far a loop is: a bar with rate and remaining time on a terminal, a plain line now and then elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace steerlm {

double monotonic_seconds();

// Where progress goes. The default is silence.
struct ProgressOutput {
  std::function<void(std::string_view text)> write;  // empty: nothing is shown
  bool terminal = false;
  size_t columns = 80;                                // width of the terminal
  std::function<double()> clock = monotonic_seconds;  // seconds
  std::function<void(std::string_view line)> log;     // gets a plain line a minute; empty: none
};

// What a job ends with: "12.3 conversations/s, 4,567 tokens/s, 2.53 machine-days per billion
// tokens"; "" where nothing was done.
std::string describe_throughput(std::int64_t conversations, std::int64_t tokens, double seconds);

// Standard error as it is: terminal or not, its width; nothing where `quiet`.
ProgressOutput standard_error_progress(bool quiet);

// terminal   sft  [=======>                ]  340/1,000 steps  34 %  4.1 steps/s  2 min 41 s left  loss 2.31 elsewhere
// sft: 340/1,000 steps (34 %), 4.1 steps/s, 2 min 41 s left, loss 2.31 The terminal's line is drawn at most ten times a
// second, the plain one at most every ten; the last update is always shown.
class Progress {
 public:
  // `total` 0: unknown, no share and no remaining time. `done`: where a resumed loop starts; the rate leaves it out.
  Progress(std::string title, std::string unit, std::int64_t total, ProgressOutput output, std::int64_t done = 0);
  ~Progress();  // ends the terminal's line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `note`: what else the line says ("loss 2.31").
  void update(std::int64_t done, std::string_view note = {});
  // The share of the work that is done, from 0 to 1, where what is counted does not take equally long each or its total
  // is not known, which is then told as what it comes to at this rate. The remaining time goes by the share. To be told
  // before update(); first where the loop starts.
  void share(double done);
  // Shows the last state with the time that it took.
  void finish();

 private:
  void show(bool last);
  double share_done() const;               // as it is shown; below 0: unknown
  double work_done() const;                // as the time goes by it; below 0: unknown
  double remaining_seconds(double) const;  // at this time; below 0: unknown
  std::string figures(bool last, std::string_view separator, std::string_view share_format) const;
  std::string bar(bool last) const;

  std::string title_;
  std::string unit_;
  std::int64_t total_;
  ProgressOutput output_;
  std::int64_t first_;
  std::int64_t done_;
  std::string note_;
  double start_;
  double shown_;   // when the line was last shown
  double logged_;  // and last logged
  double first_share_ = -1, share_ = -1;
  // The first update: what comes before it is not as fast as the rest (memory is taken, kernels are chosen). Below 0:
  // none yet.
  double warm_ = -1, warm_work_ = 0;
  bool finished_ = false;
  bool line_open_ = false;  // the terminal's cursor is behind a bar
};

}  // namespace steerlm
