// The commands of docs/batch.md are run as they stand there, with a stand-in for Slurm.
#include <sys/stat.h>

#include <gmock/gmock.h>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class BatchPage : public Program {
 protected:
  void SetUp() override {
    make_model("classifier", "predictor", R"("quality", "humor", "length")");
    write("annotate.yaml",
          "stage: annotate\npredictor: predictor\ninput: in.jsonl\noutput: whole.jsonl\nrun_dir: runs/whole\n"
          "block_records: 8\n");
    std::string lines;
    for (int i = 0; i < 100; ++i)
      lines += i % 40 == 7 ? "{}\n" : conversation("question " + std::to_string(i), std::string(i % 29 + 1, 'a'));
    write("in.jsonl", lines);
    std::filesystem::create_directories(path("bin"));
    std::filesystem::create_symlink(STEERLM_PROGRAM, path("bin/steerlm"));
    ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  }

  // The fenced blocks of a section.
  static std::vector<std::string> blocks_of(const std::string& section) {
    const std::string page = read_file(Path(STEERLM_SOURCE_DIR) / "docs" / "batch.md", ExitCode::data, "page");
    const size_t begin = page.find("\n## " + section + "\n");
    EXPECT_NE(begin, std::string::npos) << section;
    std::vector<std::string> blocks;
    bool fenced = false;
    for (const std::string& line : lines_of(page.substr(begin + 1, page.find("\n## ", begin + 1) - begin))) {
      if (line.starts_with("```")) {
        fenced = !fenced;
        if (fenced) blocks.emplace_back();
      } else if (fenced) {
        blocks.back() += line + "\n";
      }
    }
    return blocks;
  }

  Result shell(const std::string& commands, const std::string& environment = "") {
    write("commands.sh", "PATH=$PWD/bin:$PATH\n" + commands);
    return run("--version && " + environment + " bash commands.sh </dev/null");
  }

  void program(const std::string& name, const std::string& text) {
    write("bin/" + name, "#!/bin/bash\n" + text);
    ::chmod(path("bin/" + name).c_str(), 0755);
  }
};

TEST_F(BatchPage, ALoopOverProcessesGivesTheWhole) {
  const std::vector<std::string> blocks = blocks_of("A loop over processes on one machine");
  ASSERT_EQ(blocks.size(), 2u);
  const Result merged = shell(blocks[0]);
  ASSERT_EQ(merged.code, 0) << merged.errors;
  EXPECT_THAT(merged.errors,
              testing::HasSubstr("4 shards of 100 records merged into annotated.jsonl: 97 lines, 3 put"));
  EXPECT_EQ(read("annotated.jsonl"), read("whole.jsonl"));
  EXPECT_EQ(read("annotated.jsonl.quarantine.jsonl"), read("whole.jsonl.quarantine.jsonl"));

  // `score` takes no bad record.
  std::string good;
  for (int i = 0; i < 2500; ++i) good += conversation("q" + std::to_string(i), std::string(i % 29 + 1, 'a'));
  write("in.jsonl", good);
  const Result scored = shell(blocks[1]);
  ASSERT_EQ(scored.code, 0) << scored.errors;
  ASSERT_EQ(run("score --model predictor --input in.jsonl --output all.jsonl").code, 0);
  ASSERT_EQ(std::system(("gzip -d " + path("scores.jsonl.gz").string()).c_str()), 0);
  EXPECT_EQ(read("scores.jsonl"), read("all.jsonl"));
  EXPECT_EQ(lines_of(read("scores.jsonl")).size(), 2500u);
}

// The stand-in gives each task what Slurm gives it, with so little time that each run does one block, and runs again
// what was requeued.
TEST_F(BatchPage, ASlurmArrayGivesTheWhole) {
  const std::vector<std::string> blocks = blocks_of("A Slurm array");
  ASSERT_EQ(blocks.size(), 2u);
  write("annotate.sbatch", blocks[0]);
  program("scontrol", "[ $1 = requeue ] && echo ${2#*_} >> requeued\n");
  program("sbatch", R"([ $1 = --wait ] || exit 1
last=$(sed -n 's/^#SBATCH --array=0-//p' $2)
tasks=$(seq 0 $last)
while [ -n "$tasks" ]; do
  : > requeued
  for task in $tasks; do
    SLURM_ARRAY_JOB_ID=17 SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$((last + 1)) \
      SLURM_JOB_END_TIME=$(($(date +%s) + 30)) bash $2
    echo $task $? >> ended
  done
  tasks=$(cat requeued)
done
)");
  const Result result = shell(blocks[1]);
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(read("annotated-by-tasks.jsonl"), read("whole.jsonl"));
  const std::vector<std::string> ended = lines_of(read("ended"));
  EXPECT_EQ(std::ranges::count_if(ended, [](const std::string& line) { return line.ends_with(" 0"); }), 4);
  EXPECT_GE(std::ranges::count_if(ended, [](const std::string& line) { return line.ends_with(" 75"); }), 8);
  EXPECT_EQ(ended.size(), static_cast<size_t>(std::ranges::count_if(ended, [](const std::string& line) {
              return line.ends_with(" 75") || line.ends_with(" 0");
            })));
  EXPECT_THAT(read("runs/task-0/log.txt"), testing::HasSubstr("stopped by SLURM_JOB_END_TIME"));
}

TEST_F(BatchPage, AJobThatIsTakenAwayIsGivenAgainUntilItIsDone) {
  const std::vector<std::string> blocks = blocks_of("A job that may be taken away");
  ASSERT_EQ(blocks.size(), 1u);
  const Result result = shell(blocks[0], "SLURM_JOB_END_TIME=$(($(date +%s) + 20))");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(read("preempted.jsonl"), read("whole.jsonl"));
  const std::string log = read("runs/preempted/log.txt");
  size_t stops = 0;
  for (size_t at = 0; (at = log.find("stopped by", at)) != std::string::npos; ++at) ++stops;
  EXPECT_GE(stops, 8u);
}

}  // namespace
}  // namespace steerlm
