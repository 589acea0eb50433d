#include "steerlm/report/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <limits>

#include "steerlm/core/json.h"
#include "steerlm/core/run_files.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class MetricsLines : public testing::Test {
 protected:
  MetricsLines() : path_(Path(testing::TempDir()) / ("metrics_" + std::to_string(::getpid()) + ".jsonl")) {}
  ~MetricsLines() override {
    set_fs_fault({});
    std::filesystem::remove(path_);
  }
  std::string bytes() const { return read_file(path_, ExitCode::resources, "metrics"); }
  MetricsFile open() {
    return MetricsFile(path_, [this] { return time_ += 0.5; });
  }

  Path path_;
  double time_ = 1000;
};

TEST_F(MetricsLines, AreWrittenInOrderAndAtOnce) {
  MetricsFile file = open();
  file.write(1, {{"train/loss", 2.25}, {"train/learning_rate", 1e-5}, {"a \"name\"", 3}});
  EXPECT_EQ(bytes(),
            "{\"step\":1,\"time\":1000.5,\"train/loss\":2.25,\"train/learning_rate\":1e-05,\"a \\\"name\\\"\":3}\n");
  file.write(2, {});
  file.sync();
  EXPECT_EQ(bytes().substr(bytes().find('\n') + 1), "{\"step\":2,\"time\":1001}\n");
}

TEST_F(MetricsLines, NumbersReadBackAsTheyWere) {
  const double values[] = {0.1, 1.0 / 3, 2e6, 1e22, 5e-324, -1.7976931348623157e308, 0x1p53, 123456789.125, 0};
  for (double value : values) {
    const Json line = parse_json(format_metrics(1, 2, {{"x", value}}), "line", ExitCode::bug);
    EXPECT_EQ(line["x"].get<double>(), value);
  }
  EXPECT_EQ(format_metrics(1, 2, {{"x", 0.1}, {"y", 2e6}}), "{\"step\":1,\"time\":2,\"x\":0.1,\"y\":2000000}");
}

TEST_F(MetricsLines, WhatIsNotFiniteIsNull) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(format_metrics(1, 2, {{"a", std::nan("")}, {"b", infinity}, {"c", -infinity}}),
            "{\"step\":1,\"time\":2,\"a\":null,\"b\":null,\"c\":null}");
}

TEST_F(MetricsLines, CutBackKeepsEarlierLinesByteForByte) {
  // Line 2 is spelt as this program would not: it stays as it is.
  const std::string kept =
      "{\"step\":1,\"time\":1,\"x\":1}\n{ \"time\": 1.50, \"step\": 2 "
      "}\n{\"step\":2,\"time\":2,\"validation/loss\":3}\n";
  write_file_atomic(path_, kept + "{\"step\":3,\"time\":3}\n{\"step\":4,\"ti");
  MetricsFile file = open();
  file.cut_back(2);
  EXPECT_EQ(bytes(), kept);
  file.write(3, {});
  EXPECT_EQ(bytes(), kept + "{\"step\":3,\"time\":1000.5}\n") << "goes on behind what was kept";
}

TEST_F(MetricsLines, CutBackRemovesATornTailOfAnEarlierStep) {
  const std::string kept = "{\"step\":1,\"time\":1}\n";
  for (const char* torn : {"{\"step\":2", "{\"step\":2,\"time\":2}", "{\"st\n", "\xFF\n", "{\"time\":1}\n", "[1]\n"}) {
    write_file_atomic(path_, kept + torn);
    open().cut_back(5);
    EXPECT_EQ(bytes(), kept) << torn;
  }
}

TEST_F(MetricsLines, CutBackToZeroEmptiesAndOfNothingIsNothing) {
  MetricsFile file = open();
  file.cut_back(3);
  EXPECT_EQ(bytes(), "");
  file.write(1, {});
  file.cut_back(0);
  EXPECT_EQ(bytes(), "");
}

TEST_F(MetricsLines, AFailedCutBackLeavesTheFileAsItWas) {
  const std::string before = "{\"step\":1,\"time\":1}\n{\"step\":2,\"time\":1}\n";
  for (const char* failing : {"open", "write", "fsync", "rename"}) {
    write_file_atomic(path_, before);
    MetricsFile file = open();
    set_fs_fault([failing](std::string_view operation, const Path&) { return operation == failing ? ENOSPC : 0; });
    try {
      file.cut_back(1);
      ADD_FAILURE() << failing;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::resources);
    }
    set_fs_fault({});
    EXPECT_EQ(bytes(), before) << failing;
  }
}

// Where the next run tidies it up after a kill.
TEST_F(MetricsLines, CutBackOfARunHasItsTemporaryInTheFolderOfTheMark) {
  const TemporaryFolder folder;
  MetricsFile file(RunFiles::open(folder.path(), {}).grow("metrics.jsonl"));
  file.write(1, {});
  std::vector<Path> folders;
  set_fs_fault([&](std::string_view operation, const Path& path) {
    if (operation == "open" && path.extension() == ".part") folders.push_back(path.parent_path());
    return 0;
  });
  file.cut_back(0);
  EXPECT_EQ(read_file(folder.path() / "metrics.jsonl", ExitCode::resources, "metrics"), "");
  EXPECT_EQ(folders, std::vector<Path>{folder.path() / run_mark_folder});
}

}  // namespace
}  // namespace steerlm
