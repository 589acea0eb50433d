// `steerlm report` as a command: what it takes, where it writes, and that a pipeline writes the page at its end.
// contracts.md sections 1, 2 and 8. What is in the page is looked at by report_page_test.py.
#include <gmock/gmock.h>

#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

using testing::HasSubstr;

class Report : public TrainingProgram {
 protected:
  void SetUp() override {
    TrainingProgram::SetUp();
    ASSERT_EQ(run("sft sft.yaml train.steps=2").code, 0);
  }
};

TEST_F(Report, WritesAPageWithoutTouchingTheRun) {
  const auto before = contents();
  expect_says(run("report run --out page.html"), "");
  EXPECT_EQ(changes_since(before), "page.html ");
  const std::string page = read("page.html");
  EXPECT_THAT(page, testing::StartsWith("<!DOCTYPE html>\n<html lang=\"en\">"));
  EXPECT_THAT(page, testing::EndsWith("</html>\n"));
  EXPECT_EQ(run("report run --out -").output, page) << "the same bytes again, without a date";
  EXPECT_EQ(run("report run --out /dev/stdout").output, page);
}

TEST_F(Report, AnExistingFileIsReplacedOnlyWithOverwrite) {
  write("page.html", "mine");
  expect_refused(run("report run --out page.html"), 5, "page.html");
  EXPECT_EQ(read("page.html"), "mine");
  EXPECT_EQ(run("report run --out page.html --overwrite").code, 0);
  EXPECT_THAT(read("page.html"), HasSubstr("</html>"));
  EXPECT_TRUE(temporaries_of(path("page.html")).empty());
}

TEST_F(Report, AnOutputInsideARunThatIsReadIsRefused) {
  expect_refused(run("report run --out run/page.html"), 2, "run/page.html");
  expect_refused(run("report run --out run/recipe.yaml --overwrite"), 2, "run/recipe.yaml");
  EXPECT_FALSE(exists("run/page.html"));
}

// The page has figures of it, and the run knows its bytes.
TEST_F(Report, TheOutputOfARunThatIsReadStays) {
  write("generate.yaml",
        "stage: generate\nmodel: run/model\nprompts: prompts.jsonl\noutput: out.jsonl\nrun_dir: answers\n"
        "sampling: {max_new_tokens: 2}\n");
  write("prompts.jsonl", "{\"prompt\":\"a\"}\n");
  ASSERT_EQ(run("run generate.yaml").code, 0) << read("err.txt");
  std::filesystem::create_symlink("out.jsonl", path("link"));
  const auto before = contents();
  for (const char* out : {"out.jsonl", "./out.jsonl", "link"})
    expect_refused(run(std::string("report answers --overwrite --out ") + out), 2, "the output is an input");
  EXPECT_EQ(changes_since(before), "");
  EXPECT_EQ(run("report answers --out other.html").code, 0);
}

TEST_F(Report, WhatIsNoRunDirectoryIsRefused) {
  std::filesystem::create_directory(path("empty"));
  for (const char* other : {"empty", "none", "sft.yaml", "run/model"}) {
    const Result result = run(std::string("report run ") + other + " --out page.html");
    expect_refused(result, 5, std::string(other) + ": this is no run directory");
    EXPECT_THAT(result.errors, HasSubstr("run_dir"));
    EXPECT_FALSE(exists("page.html")) << other;
  }
  expect_refused(run("report --out page.html"), 2, "RUN");
  expect_refused(run("report run"), 2, "--out");
}

TEST_F(Report, ARunThatWasStoppedAndOneWithoutAManifestAreShown) {
  std::filesystem::remove(path("run/done.json"));
  write("run/.steerlm-run/files.jsonl", "{\"file\": 3}\n");
  const Result result = run("report run --out -");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("not finished"));
  EXPECT_THAT(result.output, HasSubstr("What is missing or damaged"));
  EXPECT_THAT(result.output, HasSubstr("files.jsonl"));
}

class PipelineReport : public TrainingProgram {
 protected:
  void SetUp() override {
    TrainingProgram::SetUp();
    write("pipeline.yaml",
          "stage: pipeline\nrun_dir: pipe\nattributes: {names: [quality, humor], min: 0, max: 4}\nsteps:\n" +
              step("first") + step("second"));
  }
  std::string step(const std::string& name) const {
    return "  - {name: " + name + ", stage: sft, model: {path: " + model_ +
           "}, data: {train: [{path: train.jsonl}], max_tokens: 256}, train: {steps: 1, batch_size: 4}}\n";
  }
};

TEST_F(PipelineReport, IsWrittenAtTheEndAndKnownToTheManifest) {
  const Result result = run("pipeline pipeline.yaml");
  expect_says(result, "pipe/report.html");
  const std::string page = read("pipe/report.html");
  EXPECT_THAT(page, HasSubstr("2 of 2 steps finished"));
  EXPECT_THAT(page, HasSubstr("pipe/second"));
  EXPECT_THAT(page, HasSubstr("done in ")) << "what the pipeline says of a step";
  EXPECT_THAT(read("pipe/.steerlm-run/files.jsonl"), HasSubstr("\"report.html\""));
  const auto before = contents();
  EXPECT_EQ(run("pipeline pipeline.yaml").code, 0);
  EXPECT_EQ(changes_since(before), "") << "nothing ran";
  // A step that has not run is said to.
  std::filesystem::remove_all(path("pipe/second"));
  EXPECT_THAT(run("report pipe --out -").output, HasSubstr("1 of 2 steps finished"));
  EXPECT_THAT(run("report pipe --out -").output, HasSubstr("not run"));
}

TEST_F(PipelineReport, AFailureToWriteItIsAWarning) {
  std::filesystem::create_directory(path("pipe"));
  ASSERT_EQ(run("pipeline pipeline.yaml --only first").code, 0);
  std::filesystem::remove(path("pipe/report.html"));
  std::filesystem::create_directory(path("pipe/report.html"));
  const Result result = run("pipeline pipeline.yaml");
  expect_says(result, "warning: the page about the pipeline, pipe/report.html, cannot be written");
  EXPECT_TRUE(exists("pipe/second/done.json"));
}

TEST_F(PipelineReport, AForeignFileOfItsNameStays) {
  ASSERT_EQ(run("pipeline pipeline.yaml --only first").code, 0);
  std::string manifest = read("pipe/.steerlm-run/files.jsonl"), kept;
  for (const std::string& line : lines_of(manifest))
    kept += line.find("report.html") == std::string::npos ? line + "\n" : "";
  write("pipe/.steerlm-run/files.jsonl", kept);
  write("pipe/report.html", "mine");
  expect_says(run("pipeline pipeline.yaml"), "cannot be written");
  EXPECT_EQ(read("pipe/report.html"), "mine");
}

TEST_F(PipelineReport, NoStepWritesToItsPlace) {
  write("pipeline.yaml", "stage: pipeline\nrun_dir: pipe\nsteps:\n  - {name: a, stage: annotate, predictor: " + model_ +
                             ", input: train.jsonl, output: pipe/report.html}\n");
  expect_refused(run("pipeline pipeline.yaml --dry-run"), 2, "pipe/report.html");
}

}  // namespace
}  // namespace steerlm
