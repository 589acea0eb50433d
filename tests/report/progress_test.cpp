#include "steerlm/report/progress.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <sstream>
#include <vector>

#include "steerlm/report/table.h"

namespace steerlm {
namespace {

struct Screen {
  std::vector<std::string> texts;
  double now = 100;

  ProgressOutput output(bool terminal, size_t columns = 120) {
    return {.write = [this](std::string_view text) { texts.emplace_back(text); },
            .terminal = terminal,
            .columns = columns,
            .clock = [this] { return now; }};
  }
};

TEST(Progress, APlainLineComesEveryTenSeconds) {
  Screen screen;
  Progress progress("sft", "steps", 1000, screen.output(false));
  for (int step = 1; step <= 25; ++step) {
    screen.now += 1;
    progress.update(4 * step, "loss 2.31");
  }
  ASSERT_EQ(screen.texts.size(), 2u);
  EXPECT_EQ(screen.texts[0], "sft: 40/1,000 steps (4 %), 4.0 steps/s, 4 min 00 s left, loss 2.31\n");
  EXPECT_EQ(screen.texts[1], "sft: 80/1,000 steps (8 %), 4.0 steps/s, 3 min 50 s left, loss 2.31\n");
  progress.finish();
  progress.finish();
  ASSERT_EQ(screen.texts.size(), 3u) << "finishing twice says it once";
  EXPECT_EQ(screen.texts[2], "sft: 100/1,000 steps (10 %), 4.0 steps/s, in 25 s, loss 2.31\n");
}

TEST(Progress, ATerminalHasABarThatIsDrawnOver) {
  Screen screen;
  {
    Progress progress("sft", "steps", 100, screen.output(true));
    for (int i = 0; i < 100; ++i) {
      screen.now += 0.01;
      progress.update(i + 1);
    }
    ASSERT_GE(screen.texts.size(), 9u);
    EXPECT_LE(screen.texts.size(), 11u) << "ten times a second at most";
    screen.texts.clear();
    screen.now += 1;
    progress.update(50, "loss 1");
    EXPECT_EQ(screen.texts.at(0),
              "\rsft  [============>           ]  50/100 steps  50 %  25.0 steps/s  2 s left  loss 1\x1b[K");
    screen.texts.clear();
  }
  EXPECT_EQ(screen.texts, std::vector<std::string>{"\n"}) << "an open line is ended";
}

TEST(Progress, FinishEndsTheBar) {
  Screen screen;
  Progress progress("annotate", "records", 4, screen.output(true));
  screen.now += 2;
  progress.update(4);
  screen.texts.clear();
  progress.finish();
  EXPECT_EQ(screen.texts.at(0),
            "\rannotate  [========================]  4/4 records  100 %  2.0 records/s  in 2 s\x1b[K\n");
}

TEST(Progress, ANarrowTerminalIsNotOverrun) {
  for (size_t columns : {1u, 20u, 40u, 84u, 200u}) {
    Screen screen;
    Progress progress("naïve title", "steps", 100, screen.output(true, columns));
    screen.now += 1;
    progress.update(50, "a note that is rather long: it says nothing, but takes fifty columns and more to do so");
    const std::string line = screen.texts.at(0).substr(1, screen.texts.at(0).size() - 4);
    EXPECT_LE(display_width(line), columns - 1);
  }
}

TEST(Progress, AResumedLoopIsTimedFromWhereItStarts) {
  Screen screen;
  Progress progress("sft", "steps", 1000, screen.output(false), 900);
  screen.now += 10;
  progress.update(910);
  EXPECT_EQ(screen.texts.at(0), "sft: 910/1,000 steps (91 %), 1.0 steps/s, 1 min 30 s left\n");
}

TEST(Progress, AnUnknownTotalHasNoShareAndNoBar) {
  Screen plain, terminal;
  Progress lines("convert", "records", 0, plain.output(false)), bar("convert", "records", 0, terminal.output(true));
  plain.now += 10;
  terminal.now += 10;
  lines.update(12345);
  bar.update(12345);
  EXPECT_EQ(plain.texts.at(0), "convert: 12,345 records, 1,234 records/s\n");
  EXPECT_EQ(terminal.texts.at(0), "\rconvert  12,345 records  1,234 records/s\x1b[K");
}

TEST(Progress, QuietIsSilent) {
  EXPECT_FALSE(standard_error_progress(true).write);
  EXPECT_TRUE(standard_error_progress(false).write);
  Progress progress("sft", "steps", 10, standard_error_progress(true));
  testing::internal::CaptureStderr();
  progress.update(5);
  progress.finish();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// Where the total is not known, a share of the input is: here two thirds of the records are in its first half.
TEST(Progress, AShareOfTheInputGivesTotalAndRemainingTime) {
  Screen screen;
  std::vector<std::string> logged;
  ProgressOutput output = screen.output(false);
  output.log = [&](std::string_view line) { logged.emplace_back(line); };
  Progress progress("annotate", "records", 0, output, 1000);
  progress.share(0.1);  // a run that goes on
  for (int second = 1; second <= 90; ++second) {
    screen.now += 1;
    progress.share(0.1 + 0.005 * second);
    progress.update(1000 + 100 * second, "2 bad");
  }
  EXPECT_EQ(screen.texts.at(0),
            "annotate: 2,000 of about 13,000 records (15 %), 100 records/s, 2 min 50 s left, 2 bad\n");
  EXPECT_EQ(screen.texts.at(8),
            "annotate: 10,000 of about 18,000 records (55 %), 100 records/s, 1 min 30 s left, 2 bad\n");
  ASSERT_EQ(logged.size(), 1u) << "a line a minute";
  EXPECT_EQ(logged[0], "annotate: 7,000 of about 18,000 records (40 %), 100 records/s, 2 min 00 s left, 2 bad");
  progress.finish();
  EXPECT_EQ(screen.texts.back(), "annotate: 10,000 records (55 %), 100 records/s, in 1 min 30 s, 2 bad\n");
}

// A job whose batches take as long as they have tokens, with a first one that takes long besides, gives its remaining
// time to 10 % from a tenth of its time on, whatever the order of the lengths is.
class RemainingTime : public ::testing::TestWithParam<std::vector<std::int64_t>> {};

// "2 h 05 min" as seconds; rounded as it was shown.
double seconds_of(const std::string& text) {
  double seconds = 0;
  std::istringstream words(text);
  double number = 0;
  for (std::string unit; words >> number >> unit;)
    seconds += number * (unit == "d" ? 86400 : unit == "h" ? 3600 : unit == "min" ? 60 : 1);
  return seconds;
}

TEST_P(RemainingTime, IsRightFromATenthOn) {
  const std::vector<std::int64_t>& lengths = GetParam();
  const double all = static_cast<double>(std::reduce(lengths.begin(), lengths.end()));
  for (const bool total_known : {false, true}) {
    for (const size_t resumed_at : {size_t{0}, lengths.size() / 2}) {
      Screen screen;
      const auto steps = static_cast<std::int64_t>(lengths.size());
      double done = 0;
      for (size_t i = 0; i < resumed_at; ++i) done += static_cast<double>(lengths[i]);
      Progress progress("training", "steps", total_known ? steps : 0, screen.output(false),
                        static_cast<std::int64_t>(resumed_at));
      progress.share(done / all);
      const double job_seconds = (all - done) + 500;  // at a token a second, and what the first batch takes besides
      const double begin = screen.now;
      screen.now += 500;
      int lines = 0;
      for (size_t i = resumed_at; i < lengths.size(); ++i) {
        screen.now += static_cast<double>(lengths[i]);
        done += static_cast<double>(lengths[i]);
        progress.share(done / all);
        progress.update(static_cast<std::int64_t>(i) + 1);
        const double elapsed = screen.now - begin, left = job_seconds - elapsed;
        if (elapsed < job_seconds / 10 || left < 60) continue;
        const std::string line = screen.texts.back();
        const size_t end = line.find(" left"), start = line.rfind(", ", end) + 2;
        ASSERT_NE(end, std::string::npos) << line;
        EXPECT_NEAR(seconds_of(line.substr(start, end - start)), left, left / 10 + 31) << line << " batch " << i;
        ++lines;
      }
      EXPECT_GT(lines, 50);
    }
  }
}

std::vector<std::int64_t> lengths_of(int count, const std::function<std::int64_t(int)>& length) {
  std::vector<std::int64_t> lengths;
  for (int i = 0; i < count; ++i) lengths.push_back(length(i));
  return lengths;
}

INSTANTIATE_TEST_SUITE_P(Jobs, RemainingTime,
                         ::testing::Values(lengths_of(400, [](int) { return 30; }),
                                           lengths_of(400, [](int i) { return 15 + i; }),
                                           lengths_of(400, [](int i) { return 415 - i; }),
                                           lengths_of(400, [](int i) { return i % 7 == 0 ? 300 : 20; })));

TEST(Progress, ThroughputIsToldInMachineDays) {
  // 1e9 tokens at 1,000 tokens/s are 1e6 s, 11.57 days.
  EXPECT_EQ(describe_throughput(50, 10'000, 10),
            "5.0 conversations/s, 1,000 tokens/s, 11.6 machine-days per billion tokens");
  // 3 conversations of 1e9 / 86,400 tokens each in 3 s: a day for a billion.
  EXPECT_EQ(describe_throughput(3, 3 * 1'000'000'000LL / 86'400, 3),
            "1.0 conversations/s, 11,574 tokens/s, 1.0 machine-days per billion tokens");
  EXPECT_EQ(describe_throughput(1, 4'000'000, 2),
            "0.50 conversations/s, 2,000,000 tokens/s, 0.0058 machine-days per billion tokens");
  EXPECT_EQ(describe_throughput(0, 0, 10), "");
}

}  // namespace
}  // namespace steerlm
