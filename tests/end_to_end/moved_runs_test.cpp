// Projects that are moved, copied or made anew in the old place: a run knows what is its own, and nothing else.
#include "end_to_end/program.h"

namespace steerlm {
namespace {

class MovedRuns : public Program {
 protected:
  void SetUp() override {
    make_model("classifier", "predictor", R"("quality", "humor", "length")");
    make_project("p", 5);
    ASSERT_EQ(annotate("p").code, 0);
  }
  void make_project(const Path& folder, int records) {
    std::filesystem::create_directory(path(folder));
    std::string lines;
    for (int i = 0; i < records; ++i) lines += conversation("question " + std::to_string(i), "an answer");
    write(folder / "in.jsonl", lines);
    write(folder / "a.yaml", "stage: annotate\npredictor: " + path("predictor").string() +
                                 "\ninput: in.jsonl\noutput: out.jsonl\nrun_dir: run\n");
  }
  Result annotate(const std::string& folder, const std::string& more = "") const {
    return run("annotate a.yaml " + more + ")", "(cd " + folder + " &&");
  }
  void copy(const char* from, const Path& to) const {
    std::filesystem::copy(path(from), to, std::filesystem::copy_options::recursive);
  }
  // A pipeline of two annotations, the second of what the first has written; all three are further keys of the steps.
  void write_pipeline(const std::string& both, const std::string& one = "", const std::string& two = "") {
    const std::string step = ", stage: annotate, predictor: " + path("predictor").string() +
                             ", output: \"@self/o.jsonl\"" + both + ", input: ";
    write("p/pipeline.yaml", "stage: pipeline\nrun_dir: first\nsteps:\n  - {name: one" + one + step +
                                 "in.jsonl}\n  - {name: two" + two + step + "\"@one/o.jsonl\"}\n");
  }
  Result pipeline(const std::string& more) const { return run("pipeline pipeline.yaml " + more + ")", "(cd p &&"); }
};

TEST_F(MovedRuns, AMovedAndACopiedProjectAreFinished) {
  std::filesystem::rename(path("p"), path("q"));
  expect_says(annotate("q"), "nothing to do");
  copy("q", path("r"));
  expect_says(annotate("r"), "nothing to do");
  std::filesystem::remove_all(path("q"));
  expect_says(annotate("r"), "nothing to do");
}

TEST_F(MovedRuns, ALinkToAnotherPlaceOfTheOutputIsFollowed) {
  std::filesystem::create_directory(path("p/disk1"));
  std::filesystem::create_directory_symlink("disk1", path("p/data"));
  ASSERT_EQ(annotate("p", "output=data/out.jsonl run_dir=linked").code, 0);
  std::filesystem::rename(path("p/disk1"), path("p/disk2"));
  std::filesystem::remove(path("p/data"));
  std::filesystem::create_directory_symlink("disk2", path("p/data"));
  expect_says(annotate("p", "output=data/out.jsonl run_dir=linked"), "nothing to do");
}

// Where the project was there is another one now, of other records or of the same.
TEST_F(MovedRuns, WhatIsMadeInTheOldPlaceIsNotTheMovedRuns) {
  for (const int records : {3, 5}) {
    std::filesystem::rename(path("p"), path("q"));
    make_project("p", records);
    ASSERT_EQ(annotate("p").code, 0);
    copy("q", path("kept"));
    const std::string output = read("p/out.jsonl");
    expect_says(annotate("q"), "nothing to do");
    EXPECT_EQ(annotate("q", "--fresh").code, 0);
    EXPECT_EQ(read("q/out.jsonl"), read("kept/out.jsonl"));
    EXPECT_EQ(annotate("q", "--fresh output=new.jsonl").code, 0);
    EXPECT_EQ(read("p/out.jsonl"), output);
    EXPECT_FALSE(exists("p/out.jsonl.previous"));
    std::filesystem::remove_all(path("p"));
    std::filesystem::remove_all(path("kept"));
    std::filesystem::rename(path("q"), path("p"));
    ASSERT_EQ(annotate("p", "--fresh").code, 0);
  }
}

// What its steps have made of each other lies in its run directory, and moves with it.
TEST_F(MovedRuns, AMovedAndACopiedPipelineAreFinished) {
  write_pipeline("");
  ASSERT_EQ(pipeline("").code, 0);
  const std::string made = read("p/first/two/o.jsonl");
  std::filesystem::rename(path("p/first"), path("p/second"));
  copy("p/second", path("p/third"));
  for (const std::string run_dir : {"second", "third"}) {
    const Result again = pipeline("run_dir=" + run_dir);
    expect_says(again, "one (annotate): done already, skipped");
    expect_says(again, "two (annotate): done already, skipped");
  }
  EXPECT_EQ(read("p/third/two/o.jsonl"), made);
  write("p/in.jsonl", conversation("another question", "an answer"));
  const Result changed = pipeline("run_dir=second");
  EXPECT_EQ(changed.code, 0) << changed.errors;
  EXPECT_NE(read("p/second/two/o.jsonl"), made);
  EXPECT_EQ(read("p/third/two/o.jsonl"), made);
}

// Each command ends after a block; before the next one the run directory gets another name, or goes to another disk.
TEST_F(MovedRuns, AnUnfinishedPipelineGoesOnWhereItIsMoved) {
  write("p/in.jsonl", read("p/in.jsonl") + "{}\n");
  write_pipeline(", block_records: 2, max_bad_share: 0.5");
  ASSERT_EQ(pipeline("run_dir=whole").code, 0);
  std::string folder = "moved 0";
  int code = pipeline("max_minutes=1e-9 'run_dir=" + folder + "'").code, moves = 0;
  ASSERT_EQ(code, 75);
  for (int i = 1; code == 75 && i < 30; ++i, ++moves) {
    const std::string now = (i % 4 < 2 ? "moved " : "moved_") + std::to_string(i);
    if (i % 2 == 1) {
      std::filesystem::rename(path("p") / folder, path("p") / now);
    } else {
      copy(("p/" + folder).c_str(), path("p") / now);
      std::filesystem::remove_all(path("p") / folder);
    }
    const Result result = pipeline("max_minutes=1e-9 'run_dir=" + now + "'");
    EXPECT_EQ(result.errors.find("runs again"), std::string::npos) << result.errors;
    folder = now;
    code = result.code;
  }
  EXPECT_EQ(code, 0);
  EXPECT_GE(moves, 2);
  for (const Path file : {"one/o.jsonl", "two/o.jsonl"}) EXPECT_EQ(read("p" / (folder / file)), read("p/whole" / file));
  EXPECT_EQ(read("p" / (folder / Path("one/o.jsonl.quarantine.jsonl"))), read("p/whole/one/o.jsonl.quarantine.jsonl"));
}

// As one does when a disk is full.
TEST_F(MovedRuns, AnUnfinishedRunGoesOnBehindALinkFromItsOldPlace) {
  ASSERT_EQ(annotate("p", "block_records=2 run_dir=whole output=whole.jsonl").code, 0);
  const std::string command = "block_records=2 run_dir=new output=new/out.jsonl ";
  ASSERT_EQ(annotate("p", command + "max_minutes=1e-9").code, 75);
  std::filesystem::create_directory(path("p/disk"));
  std::filesystem::rename(path("p/new"), path("p/disk/new"));
  std::filesystem::create_directory_symlink("disk/new", path("p/new"));
  expect_says(annotate("p", command), "goes on after 2 records");
  EXPECT_EQ(read("p/disk/new/out.jsonl"), read("p/whole.jsonl"));
  expect_says(annotate("p", command), "nothing to do");
  EXPECT_EQ(annotate("p", command + "--fresh").code, 0) << read("err.txt");
  EXPECT_EQ(read("p/disk/new/out.jsonl"), read("p/whole.jsonl"));
}

// The folder around both is a run directory too, and stays where it is.
TEST_F(MovedRuns, AnUnfinishedPipelineGoesOnUnderAnotherNameInARunDirectory) {
  write_pipeline(", block_records: 2");
  ASSERT_EQ(pipeline("run_dir=outer --only one").code, 0);
  ASSERT_EQ(pipeline("run_dir=outer/whole").code, 0);
  ASSERT_EQ(pipeline("run_dir=outer/first --only one").code, 0);
  ASSERT_EQ(pipeline("run_dir=outer/first max_minutes=1e-9").code, 75);
  std::filesystem::rename(path("p/outer/first"), path("p/outer/second"));
  const Result again = pipeline("run_dir=outer/second");
  expect_says(again, "one (annotate): done already, skipped");
  expect_says(again, "goes on after 2 records");
  EXPECT_EQ(read("p/outer/second/two/o.jsonl"), read("p/outer/whole/two/o.jsonl"));
}

// OUTPUT.shard.json has the paths that the input had before the move.
TEST_F(MovedRuns, AShardWhoseOutputWasLostIsMadeAgainBehindTheMove) {
  write("p/in.jsonl", read("p/in.jsonl") + "{}\n");
  write_pipeline(", block_records: 2", ", max_bad_share: 0.5", ", shard: 0/2");
  ASSERT_EQ(pipeline("").code, 0) << read("err.txt");
  const std::string made = read("p/first/two/o.jsonl");
  std::filesystem::rename(path("p/first"), path("p/second"));
  std::filesystem::remove(path("p/second/two/o.jsonl"));
  const Result again = pipeline("run_dir=second");
  EXPECT_EQ(again.code, 0) << again.errors;
  EXPECT_EQ(read("p/second/two/o.jsonl"), made);
  EXPECT_NE(read("p/second/two/o.jsonl.shard.json").find("second/one"), std::string::npos);
}

// What has other bytes than before the move is another input.
TEST_F(MovedRuns, AnInputThatWasChangedBehindTheMoveIsAnotherOne) {
  write_pipeline(", block_records: 2");
  ASSERT_EQ(pipeline("--only one").code, 0);
  ASSERT_EQ(pipeline("--only two max_minutes=1e-9").code, 75);
  std::filesystem::rename(path("p/first"), path("p/second"));
  append("p/second/one/o.jsonl", conversation("one more", "answer"));
  expect_says(pipeline("--only two run_dir=second"), "the input second/one/o.jsonl has changed");
}

// The ledger is finished and the run is not: a changed output is in the way before anything is removed.
TEST_F(MovedRuns, AChangedOutputOfARunThatEndedBadlyStopsAFreshOne) {
  write("p/in.jsonl", read("p/in.jsonl") + "{\"bad\":1}\n");
  std::filesystem::remove_all(path("p/run"));
  std::filesystem::remove(path("p/out.jsonl"));
  ASSERT_EQ(annotate("p").code, 3);
  write("p/out.jsonl", "mine");
  const auto before = contents();
  expect_refused(annotate("p", "--fresh --dry-run"), 5, "out.jsonl");
  expect_refused(annotate("p", "--fresh"), 5, "out.jsonl");
  EXPECT_EQ(changes_since(before), "");
}

TEST_F(MovedRuns, ADryRunSaysWhatAFreshOneWouldKeep) {
  write("p/out.jsonl", "mine");
  expect_says(annotate("p", "--fresh --dry-run"), "out.jsonl, which was changed, would be kept as out.jsonl.previous");
}

}  // namespace
}  // namespace steerlm
