// What is beside the output of a shard belongs to it, and what `--merge` advises works.
#include <gmock/gmock.h>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class ShardFiles : public Program {
 protected:
  void SetUp() override {
    make_model("classifier", "predictor", R"("quality", "humor", "length")");
    make_model("untied", "model", R"("quality", "humor")");
    write(
        "annotate.yaml",
        "stage: annotate\npredictor: predictor\ninput: in.jsonl\noutput: whole.jsonl\nrun_dir: run\nblock_records: 4\n"
        "max_bad_share: 0.5\n");
    write("generate.yaml",
          "stage: generate\nmodel: model\nprompts: prompts.jsonl\noutput: whole.jsonl\nrun_dir: run\n"
          "sampling: {max_new_tokens: 4}\n");
    std::string lines;
    for (int i = 0; i < 20; ++i)
      lines += i == 5 ? "{}\n" : conversation("question " + std::to_string(i), "answer " + std::to_string(i));
    write("in.jsonl", lines);
    write("prompts.jsonl", "{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}\n");
  }

  static std::string shard(const std::string& stage, const std::string& i, const std::string& ending = "") {
    return "run " + stage + ".yaml shard=" + i + "/2 run_dir=run" + i + " output=s" + i + ".jsonl" + ending;
  }
  // What merging writes; the files are removed again.
  std::string merged(const std::string& stage, const std::string& ending = "") {
    const std::string shards = " s0.jsonl" + ending + " s1.jsonl" + ending;
    const Result result = run(stage + " --merge merged.jsonl" + shards);
    EXPECT_EQ(result.code, 0) << result.errors;
    if (result.code != 0) return "";
    std::string bytes = read("merged.jsonl");
    const Path bad = "merged.jsonl.quarantine.jsonl";
    if (exists(bad)) bytes += read(bad);
    std::filesystem::remove(path("merged.jsonl"));
    std::filesystem::remove(path(bad));
    return bytes;
  }
};

TEST_F(ShardFiles, WhatIsLostOrChangedOfAFinishedRunIsMadeAgain) {
  for (const std::string ending : {"", ".gz"}) {
    for (const char* i : {"0", "1"}) ASSERT_EQ(run(shard("annotate", i, ending)).code, 0) << read("err.txt");
    const std::string whole = merged("annotate", ending), output = read("s1.jsonl" + ending);
    for (const std::string beside : {".shard.json", ".quarantine.jsonl"}) {
      const std::string file = "s1.jsonl" + ending + beside, bytes = read(file);
      for (const bool gone : {true, false}) {
        std::filesystem::remove(path(file));
        if (!gone) write(file, "{}\n");
        EXPECT_EQ(run("annotate --merge merged.jsonl s0.jsonl" + ending + " s1.jsonl" + ending).code, 3);
        expect_says(run(shard("annotate", "1", ending)),
                    file + (gone ? " is gone: it is made again" : " was changed after it was written"));
        EXPECT_EQ(read(file), bytes);
        EXPECT_EQ(read("s1.jsonl" + ending), output);
        EXPECT_EQ(merged("annotate", ending), whole);
        expect_says(run(shard("annotate", "1", ending)), "nothing to do");
        std::filesystem::remove(path(file + ".previous"));
      }
    }
    for (const char* name : {"run0", "run1"}) std::filesystem::remove_all(path(name));
  }
}

TEST_F(ShardFiles, ThoseOfAGenerationToo) {
  for (const char* i : {"0", "1"}) ASSERT_EQ(run(shard("generate", i)).code, 0) << read("err.txt");
  const std::string whole = merged("generate");
  for (const char* file : {"s0.jsonl.shard.json", "s1.jsonl.shard.json"}) {  // the second shard is empty
    std::filesystem::remove(path(file));
    expect_says(run(shard("generate", std::string(file).substr(1, 1))), "is gone: it is made again");
    EXPECT_EQ(merged("generate"), whole);
  }
}

// --fresh or not: the earlier run and its output stay.
TEST_F(ShardFiles, OfAnotherJobAreFoundBeforeAnythingIsRemoved) {
  for (const std::string stage : {"annotate", "generate"}) {
    const std::string whole = "run " + stage + ".yaml output=s0.jsonl run_dir=run-" + stage;
    ASSERT_EQ(run(whole + " --overwrite").code, 0) << read("err.txt");
    write("s0.jsonl.shard.json", R"({"job": "mine"})");
    const std::string done = read("run-" + stage + "/done.json"), output = read("s0.jsonl");
    for (const char* how : {" --fresh", " --fresh --dry-run"})
      expect_refused(run(whole + " shard=0/2" + how), 5, "s0.jsonl.shard.json");
    EXPECT_EQ(read("run-" + stage + "/done.json"), done);
    EXPECT_EQ(read("s0.jsonl"), output);
    EXPECT_EQ(read("s0.jsonl.shard.json"), R"({"job": "mine"})");
    EXPECT_EQ(run(whole + " shard=0/2 --fresh --overwrite").code, 0) << read("err.txt");
    EXPECT_EQ(run(whole + " shard=1/2 --fresh").code, 0) << "that of its own run makes way";
    std::filesystem::remove(path("s0.jsonl.shard.json"));
  }
}

TEST_F(ShardFiles, GoWithTheOldRunDirectoryOfAStep) {
  write("pipeline.yaml",
        "stage: pipeline\nrun_dir: pipe\nsteps:\n  - {name: labels, stage: annotate, predictor: predictor, input: "
        "in.jsonl, output: s0.jsonl, shard: 0/2, block_records: 4, max_bad_share: 0.5}\n");
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0) << read("err.txt");
  const std::string old = read("s0.jsonl.shard.json");
  EXPECT_EQ(run("pipeline pipeline.yaml steps.labels.human_labels=keep").code, 0) << read("err.txt");
  EXPECT_EQ(read("pipe/labels.previous/outputs/s0.jsonl.shard.json"), old);
  EXPECT_NE(read("s0.jsonl.shard.json"), old);
}

TEST_F(ShardFiles, AnInputIsNoneOfTheFilesThatAreMadeBesideAnOutput) {
  std::filesystem::copy_file(path("in.jsonl"), path("s0.jsonl.shard.json"));
  std::filesystem::copy_file(path("in.jsonl"), path("o.jsonl.part.ledger"));
  std::filesystem::create_directory(path("folder.jsonl.shard.json"));
  const auto before = contents();
  for (const std::string how : {"", " --overwrite"}) {
    expect_refused(run(shard("annotate", "0") + " input=s0.jsonl.shard.json" + how), 2, "the output is an input");
    const std::string score = "score --model predictor" + how + " --input ";
    expect_refused(run(score + "s0.jsonl.shard.json --shard 0/2 --output s0.jsonl"), 2, "the output is an input");
    expect_refused(run(score + "o.jsonl.part.ledger --output o.jsonl"), 2, "the output is an input");
    expect_refused(run(score + "in.jsonl --output o.jsonl"), 5,
                   "o.jsonl.part.ledger: a file that this run did not write is in the way");
    expect_refused(run("generate --model model --prompt a --output o.jsonl" + how), 5, "o.jsonl.part.ledger");
    expect_refused(run(score + "in.jsonl --shard 0/2 --output folder.jsonl"), 5, "folder.jsonl.shard.json");
    write("two.yaml",
          "stage: pipeline\nrun_dir: two\nsteps:\n"
          "  - {name: a, stage: annotate, predictor: predictor, input: in.jsonl, output: s.jsonl, shard: 0/2}\n"
          "  - {name: b, stage: annotate, predictor: predictor, input: in.jsonl, output: s.jsonl.shard.json}\n");
    expect_refused(run("pipeline two.yaml" + how), 2, "step b cannot be here: step a writes s.jsonl");
  }
  EXPECT_EQ(changes_since(before), "two.yaml ");
}

// The list of a run without shards is its reader's.
TEST_F(ShardFiles, AListOfBadRecordsThatWasReadMayBeRemoved) {
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  std::filesystem::remove(path("whole.jsonl.quarantine.jsonl"));
  expect_says(run("annotate annotate.yaml"), "nothing to do");
}

TEST_F(ShardFiles, TheAdviceOfAMergeWorksForEveryCommand) {
  write("in.jsonl", conversation("a", "b") + conversation("c", "d"));
  const auto scores = [](const std::string& i) {
    return "score --model predictor --input in.jsonl --output s" + i + ".jsonl --shard " + i + "/2";
  };
  const auto answers = [](const std::string& i) {
    return "generate --model model --max-new-tokens 4 --input prompts.jsonl --output s" + i + ".jsonl --shard " + i +
           "/2";
  };
  const std::pair<std::string, std::function<std::string(std::string)>> commands[] = {
      {"score", scores}, {"generate", answers}, {"annotate", [](const std::string& i) {
                                                   return shard("annotate", i);
                                                 }}};
  for (const auto& [name, command] : commands) {
    for (const char* i : {"0", "1"}) ASSERT_EQ(run(command(i)).code, 0) << read("err.txt");
    const std::string whole = merged(name);
    append("s0.jsonl", "more\n");
    expect_refused(run(name + " --merge merged.jsonl s0.jsonl s1.jsonl"), 3, "again with --fresh --overwrite");
    const Result again = run(command("0") + " --fresh --overwrite");
    EXPECT_EQ(again.code, 0) << again.errors;
    EXPECT_EQ(merged(name), whole) << name;
    append("s1.jsonl", "more\n");  // which is empty
    expect_refused(run(name + " --merge merged.jsonl s0.jsonl s1.jsonl"), 3, "s1.jsonl: the shard was changed");
    for (const char* i : {"0", "1"}) {
      std::filesystem::remove_all(path(std::string("run") + i));
      for (const char* ending : {"", ".previous", ".shard.json", ".shard.json.previous"})
        std::filesystem::remove(path(std::string("s") + i + ".jsonl" + ending));
    }
  }
}

}  // namespace
}  // namespace steerlm
