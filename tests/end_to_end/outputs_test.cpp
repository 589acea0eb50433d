// Outputs that need a process of its own: redirected standard streams, chat's /save, two writers at once, a stale
// temporary. Every command over every kind of place is in tests/cli/outputs_test.cpp.
#include <sys/stat.h>

#include <algorithm>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class OutputPaths : public Program {
 protected:
  void SetUp() override {
    copy_model("untied", "model");
    std::string lines;
    for (int i = 0; i < 20; ++i) lines += conversation("question " + std::to_string(i), "answer");
    write("in.jsonl", lines);
  }
  Result save(const std::string& argument) {
    write("lines.txt", "hi\n/save " + argument + "\n");
    return run("chat --model model --max-new-tokens 2 --temperature 0 <lines.txt");
  }
};

const std::string score = "score --model model --input in.jsonl --output ";

TEST_F(OutputPaths, StandardStreamsThatAreRedirectedIntoAFile) {
  const Result to_dash = run(score + "-");
  EXPECT_EQ(lines_of(to_dash.output).size(), 20u) << to_dash.errors;
  for (const char* name : {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
    EXPECT_EQ(run(score + name).output, to_dash.output);
  EXPECT_EQ(run(score + "/dev/stderr --quiet").errors, to_dash.output);
  EXPECT_EQ(run(score + "/dev/fd/7 7>seven.txt").code, 0);
  EXPECT_EQ(read("seven.txt"), to_dash.output);

  // What is read through a redirection is an input all the same.
  const std::string before = read("in.jsonl");
  expect_refused(run("score --model model --input - --output in.jsonl --overwrite <in.jsonl"), 2,
                 "the output is an input");
  expect_refused(run("score --model model --input in.jsonl --output /dev/fd/7 7>>in.jsonl"), 2,
                 "the output is an input");
  EXPECT_EQ(read("in.jsonl"), before);
}

TEST_F(OutputPaths, SaveOfChat) {
  expect_says(save("talk.jsonl"), "saved as one record in talk.jsonl");
  const std::string talk = read("talk.jsonl");
  EXPECT_EQ(json_lines(talk).size(), 1u);

  write("there.jsonl", "precious");
  expect_says(save("there.jsonl"), "there.jsonl: the file exists already");
  EXPECT_EQ(read("there.jsonl"), "precious");
  expect_says(save("--overwrite there.jsonl"), "saved as one record in there.jsonl");
  EXPECT_EQ(read("there.jsonl"), talk);

  std::filesystem::create_symlink("later.jsonl", path("link"));
  expect_says(save("link"), "saved");
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_EQ(read("later.jsonl"), talk);

  std::filesystem::create_symlink("/dev/null", path("null"));
  expect_says(save("null"), "saved");
  EXPECT_TRUE(std::filesystem::is_symlink(path("null")));
  std::filesystem::create_directory(path("folder"));
  for (const auto& [argument, message] :
       {std::pair{"--overwrite folder", "a folder where a file is expected"},
        std::pair{"none/talk.jsonl", "its folder does not exist"}, std::pair{"there.jsonl/x", "Not a directory"},
        std::pair{"model/talk.jsonl", "the output lies in a folder that is read"},
        std::pair{"--overwrite model/config.json", "the output"}, std::pair{"--overwrite", "a file is missing"}}) {
    const auto before = contents();
    expect_says(save(argument), message);
    EXPECT_EQ(changes_since(before), before.contains("lines.txt") ? "lines.txt " : "") << argument;
  }
}

TEST_F(OutputPaths, SaveOfChatNeverTakesTheScriptThatItReads) {
  const Result result = save("--overwrite lines.txt");
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.errors.find("lines.txt: the output is an input (found input: standard input)"), std::string::npos)
      << result.errors;
  EXPECT_EQ(read("lines.txt"), "hi\n/save --overwrite lines.txt\n");
}

TEST_F(OutputPaths, OfTwoWritersAtOnceOneIsWhole) {
  ASSERT_EQ(run(score + "reference.jsonl").code, 0);
  for (int time = 0; time < 3; ++time) {
    const std::string output = "out" + std::to_string(time) + ".jsonl";
    const Result second =
        run(score + output, "{ (" STEERLM_PROGRAM " " + score + output + " 2>first.txt; echo $? >code.txt) & };");
    for (int wait = 0; wait < 500 && (!exists("code.txt") || read("code.txt").empty()); ++wait) ::usleep(20'000);
    const int first = std::stoi(read("code.txt"));
    std::filesystem::remove(path("code.txt"));
    EXPECT_TRUE((first == 0 && second.code == 5) || (first == 5 && second.code == 0)) << first << " " << second.code;
    EXPECT_EQ(read(output), read("reference.jsonl"));
    EXPECT_TRUE(temporaries_of(path(output)).empty());
  }
}

TEST_F(OutputPaths, AStaleTemporaryBlocksNothing) {
  for (int n = 0; n < 3; ++n)
    write("out.jsonl." + std::to_string(::getpid()) + "-" + std::to_string(n) + ".part", "stale");
  EXPECT_EQ(run(score + "out.jsonl").code, 0);
  write("other.jsonl.part", "mine");
  expect_refused(run(score + "other.jsonl"), 5, "a file that this run did not write is in the way");
  EXPECT_EQ(read("other.jsonl.part"), "mine");
  EXPECT_FALSE(exists("other.jsonl.part.lock"));
}

// The file that --overwrite would replace is there until the folder is whole.
TEST_F(OutputPaths, AnInterruptLeavesTheFileThatAFolderWasToReplace) {
  write("m", "mine");
  const std::string make =
      "model init --tokenizer model --output m --overwrite --hidden-size 512 --intermediate-size 2048 "
      "--num-hidden-layers 16 --num-attention-heads 8";
  const auto begun = [&] {
    const auto folder = std::filesystem::directory_iterator(path("."));
    return std::ranges::any_of(folder, [](const auto& entry) {
      return entry.path().filename().string().starts_with("m.") && entry.is_directory();
    });
  };
  const auto before = contents();
  EXPECT_EQ(run_until(make, SIGTERM, begun).code, 128 + SIGTERM);
  EXPECT_EQ(changes_since(before), "");
}

// The run directory that a model lies in is read too.
TEST_F(OutputPaths, InTheRunDirectoryOfTheModel) {
  write("sft.yaml",
        "stage: sft\nmodel: {path: model}\ndata: {train: [{path: in.jsonl}]}\nrun_dir: run\n"
        "train: {steps: 1, batch_size: 2}\n");
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const auto before = contents();
  const std::string command = "score --model run/model --input in.jsonl --output ";
  expect_refused(run(command + "run/scores.jsonl"), 2, "the output lies in a folder that is read");
  expect_refused(run(command + "run/metrics.jsonl --overwrite"), 2, "the output");
  EXPECT_EQ(changes_since(before), "");
}

}  // namespace
}  // namespace steerlm
