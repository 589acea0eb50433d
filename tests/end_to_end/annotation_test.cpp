// Annotation: what is written, and that neither kills nor shards change a byte of it.
#include <regex>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

const std::string names = R"("quality", "humor", "length")";

class Annotation : public Program {
 protected:
  void SetUp() override {
    make_model("classifier", "predictor", names);
    write("annotate.yaml", "stage: annotate\npredictor: predictor\ninput: in.jsonl\noutput: out.jsonl\nrun_dir: run\n");
  }

  static std::string many(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      lines += conversation("question " + std::to_string(i),
                            std::string(static_cast<size_t>(i % 37), 'a') + " answer " + std::to_string(i),
                            i % 3 == 0 ? "quality:" + std::to_string(i % 5) : "");
    }
    return lines;
  }

  std::int64_t blocks(const std::string& run_dir) const {
    return exists(run_dir + "/ledger.jsonl")
               ? static_cast<std::int64_t>(lines_of(read(run_dir + "/ledger.jsonl")).size()) - 1
               : 0;
  }

  void wait_for_growth(const Path& name) const {
    std::error_code gone;  // the program may be done by now
    const auto size = std::filesystem::file_size(path(name), gone);
    for (int i = 0; i < 20000 && !gone && std::filesystem::file_size(path(name), gone) == size; ++i) ::usleep(10);
  }

  // What annotation must leave alone of a record.
  static Json without_labels(Json record) {
    for (Json& turn : record.at("conversations")) {
      for (const char* key : {"label", "scores", "gt_label"}) turn.erase(key);
    }
    return record;
  }
};

const char* const two_turns =
    R"({"id":12345678901234567,"zero":-0.0,"system":"S","mask":"User","type":"VALUE_TO_TEXT","conversations":[)"
    R"({"from":"User","value":"a","label":null,"x":[1]},{"from":"Assistant","value":"b","label":"humor:1,quality:3"},)"
    R"({"from":"User","value":"c"},{"from":"Assistant","value":"d","label":null}],"tail":"\u0000"})"
    "\n";

TEST_F(Annotation, WritesLabelsAndScoresInInputOrderAndLeavesTheRest) {
  const std::string input = two_turns + many(20);
  write("in.jsonl", input);
  expect_says(run("annotate annotate.yaml"), "21 records (22 assistant turns) annotated into out.jsonl, 0 put aside");
  const std::vector<Json> before = json_lines(input), after = json_lines(read("out.jsonl"));
  ASSERT_EQ(after.size(), before.size());
  const std::regex label("quality:[0-4],humor:[0-4],length:[0-4]");
  for (size_t r = 0; r < before.size(); ++r) {
    EXPECT_EQ(dump_json(without_labels(after[r])), dump_json(without_labels(before[r])));
    for (size_t t = 0; t < before[r].at("conversations").size(); ++t) {
      const Json &old = before[r].at("conversations")[t], &turn = after[r].at("conversations")[t];
      if (turn.at("from") == "User") {
        EXPECT_EQ(dump_json(turn), dump_json(old));
        continue;
      }
      EXPECT_TRUE(std::regex_match(turn.at("label").get<std::string>(), label)) << turn;
      std::string rounded;
      for (const auto& [name, score] : turn.at("scores").items()) {
        const int value = std::clamp(static_cast<int>(std::nearbyint(score.get<double>())), 0, 4);
        rounded += (rounded.empty() ? "" : ",") + name + ":" + std::to_string(value);
      }
      EXPECT_EQ(turn.at("label"), rounded);
      const bool labelled = old.contains("label") && old.at("label").is_string();
      ASSERT_EQ(turn.contains("gt_label"), labelled) << turn;
    }
  }
  EXPECT_EQ(after[0].at("conversations")[1].at("gt_label"), "humor:1,quality:3");
  EXPECT_EQ(read("out.jsonl").substr(0, 45), R"({"id":12345678901234567,"zero":-0.0,"system":)");
  EXPECT_FALSE(exists("out.jsonl.quarantine.jsonl"));
  EXPECT_FALSE(exists("out.jsonl.part"));
}

TEST_F(Annotation, HumanLabelsThatAreKeptStayAndTheOthersAreFilledIn) {
  write("in.jsonl", conversation("q", "a", "humor:3"));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  ASSERT_EQ(run("annotate annotate.yaml human_labels=keep run_dir=keep output=keep.jsonl").code, 0);
  const Json predicted = json_lines(read("out.jsonl"))[0].at("conversations")[1],
             kept = json_lines(read("keep.jsonl"))[0].at("conversations")[1];
  EXPECT_EQ(kept.at("scores"), predicted.at("scores"));
  EXPECT_EQ(kept.at("gt_label"), "humor:3");
  EXPECT_EQ(kept.at("label"),
            std::regex_replace(predicted.at("label").get<std::string>(), std::regex("humor:."), "humor:3"));
}

// A rating that is written over may be anything, one that is to be kept has to be a number.
TEST_F(Annotation, ARatingInQuotesCannotBeKept) {
  make_model("classifier", "helpful", R"("helpfulness", "correctness", "length")");
  write("in.jsonl", R"({"prompt":"a","response":"b","helpfulness":"4"})"
                    "\n");
  EXPECT_EQ(run("annotate annotate.yaml predictor=helpful").code, 0);
  EXPECT_EQ(run("annotate annotate.yaml predictor=helpful human_labels=keep run_dir=keep output=keep.jsonl").code, 3);
  EXPECT_NE(read("keep.jsonl.quarantine.jsonl").find("the rating of 'helpfulness' cannot be used"), std::string::npos);
}

TEST_F(Annotation, ALanguageModelWritesAllowedValuesAndTheirExpectations) {
  make_model("untied", "writer", names);
  write("in.jsonl", two_turns + many(6));
  const Result result = run("annotate annotate.yaml predictor=writer");
  ASSERT_EQ(result.code, 0) << result.errors;
  const std::vector<Json> records = json_lines(read("out.jsonl"));
  ASSERT_EQ(records.size(), 7u);
  const std::regex label("quality:[0-4],humor:[0-4],length:[0-4]");
  for (const Json& record : records) {
    for (const Json& turn : record.at("conversations")) {
      if (turn.at("from") == "User") continue;
      EXPECT_TRUE(std::regex_match(turn.at("label").get<std::string>(), label)) << turn;
      EXPECT_EQ(turn.at("scores").size(), 3u);
      for (const Json& score : turn.at("scores")) {
        EXPECT_GT(score.get<double>(), 0);
        EXPECT_LT(score.get<double>(), 4);
      }
    }
  }
  EXPECT_EQ(records[0].at("conversations")[1].at("gt_label"), "humor:1,quality:3");
}

TEST_F(Annotation, KilledAgainAndAgainGivesTheBytesOfAnUndisturbedRun) {
  write("in.jsonl", many(200) + "{}\n" + many(100));
  ASSERT_EQ(run("annotate annotate.yaml block_records=8").code, 0);
  int kills = 0;
  Result result{137, "", ""};
  for (; result.code != 0 && kills < 30; ++kills) {
    const std::int64_t begin = blocks("killed");
    // Some blocks further each time, then in the middle of a block or, every other time, as soon as its lines are in
    // the file and its entry in the ledger is not.
    result = run_until("annotate annotate.yaml block_records=8 run_dir=killed output=killed.jsonl", SIGKILL, [&] {
      if (blocks("killed") < begin + 5) return false;
      if (kills % 2 == 0)
        ::usleep(static_cast<useconds_t>(1000 * (kills % 5)));
      else
        wait_for_growth("killed.jsonl.part");
      return true;
    });
    ASSERT_TRUE(result.code == 0 || result.code == 137) << result.code << result.errors;
    // A kill may fall behind the last rename: what has its final name is whole.
    if (exists("killed.jsonl")) {
      ASSERT_EQ(read("killed.jsonl"), read("out.jsonl")) << "half an output under its final name";
    }
  }
  ASSERT_EQ(result.code, 0);
  EXPECT_GE(kills, 4);
  EXPECT_EQ(read("killed.jsonl"), read("out.jsonl"));
  EXPECT_EQ(read("killed.jsonl.quarantine.jsonl"), read("out.jsonl.quarantine.jsonl"));
}

TEST_F(Annotation, StoppedOnRequestItGoesOnAndATornTailIsRepaired) {
  write("in.jsonl", many(300));
  ASSERT_EQ(run("annotate annotate.yaml block_records=8").code, 0);
  const std::string again = "annotate annotate.yaml block_records=8 run_dir=torn output=torn.jsonl";
  const Result stopped = run_until(again, SIGTERM, [&] { return blocks("torn") >= 3; });
  EXPECT_EQ(stopped.code, 75) << stopped.errors;
  EXPECT_NE(stopped.errors.find("the same command goes on"), std::string::npos) << stopped.errors;
  append("torn.jsonl.part", R"({"conversations":[{"from":"Us)");
  append("torn/ledger.jsonl", R"({"block":)");
  expect_says(run(again), "goes on after");
  EXPECT_EQ(read("torn.jsonl"), read("out.jsonl"));
}

TEST_F(Annotation, BytesThatWereLostFromTheUnfinishedOutputAreWrittenAgain) {
  write("in.jsonl", many(300));
  ASSERT_EQ(run("annotate annotate.yaml block_records=8").code, 0);
  const std::string again = "annotate annotate.yaml block_records=8 run_dir=torn output=torn.jsonl";
  ASSERT_EQ(run_until(again, SIGTERM, [&] { return blocks("torn") >= 3; }).code, 75);
  const std::string part = read("torn.jsonl.part");
  write("torn.jsonl.part", part.substr(0, part.size() - 5));
  ASSERT_EQ(run(again).code, 0);
  EXPECT_EQ(read("torn.jsonl"), read("out.jsonl"));
}

TEST_F(Annotation, ShardsAreTheWholeToTheBit) {
  write("in.jsonl", many(70));
  ASSERT_EQ(run("annotate annotate.yaml block_records=8").code, 0);
  std::vector<std::vector<std::string>> shards;
  for (const std::string shard : {"0", "1", "2"}) {
    const Result result = run("annotate annotate.yaml block_records=8 shard=" + shard + "/3 run_dir=run" + shard +
                              " output=out" + shard + ".jsonl");
    ASSERT_EQ(result.code, 0) << result.errors;
    shards.push_back(lines_of(read("out" + shard + ".jsonl")));
  }
  std::string whole;
  size_t taken[3] = {0, 0, 0};
  for (size_t record = 0; record < 70; ++record) {
    const size_t shard = record / 8 % 3;
    ASSERT_LT(taken[shard], shards[shard].size());
    whole += shards[shard][taken[shard]++] + "\n";
  }
  EXPECT_EQ(whole, read("out.jsonl"));
  EXPECT_EQ(shards[0].size() + shards[1].size() + shards[2].size(), 70u);
  expect_refused(run("annotate annotate.yaml shard=3/3 run_dir=none output=none.jsonl"), 2, "shard");
}

TEST_F(Annotation, BadRecordsAreSetAsideWithLineAndReason) {
  const std::string long_value(1200, 'x');
  write("in.jsonl", conversation("q", "first") + "{\"conversations\": [\n" + "{\"mask\":\"Usr\"," +
                        conversation("q", "b").substr(1) + "\n" + conversation("q", long_value) +
                        "{\"conversations\":[]}\n" + conversation("q", "last"));
  ASSERT_EQ(run("annotate annotate.yaml max_bad_share=1").code, 0);
  EXPECT_EQ(lines_of(read("out.jsonl")).size(), 2u);
  const std::vector<Json> bad = json_lines(read("out.jsonl.quarantine.jsonl"));
  ASSERT_EQ(bad.size(), 4u);
  const std::vector<std::pair<int, std::string>> expected{{2, "not valid JSON"},
                                                          {3, "did you mean 'User'?"},
                                                          {5, "tokens of context, the predictor has 256"},
                                                          {6, "empty conversation"}};
  for (size_t i = 0; i < bad.size(); ++i) {
    EXPECT_EQ(bad[i].at("file"), "in.jsonl");
    EXPECT_EQ(bad[i].at("line"), expected[i].first);
    EXPECT_NE(bad[i].at("reason").get<std::string>().find(expected[i].second), std::string::npos)
        << bad[i].at("reason");
    EXPECT_TRUE(bad[i].contains("record"));
  }
}

// What is about to be written over is nobody's fault: it stays in gt_label as it was.
TEST_F(Annotation, LabelsOfOtherAttributesAreKeptAsTheyWere) {
  const std::vector<std::string> labels{"violence:9,humor:2", "quality:7", "good", "quality:1.5,humor:1"};
  std::string lines;
  for (const std::string& label : labels) lines += conversation("q", "a", label);
  write("in.jsonl", lines + R"({"conversations":[{"from":"Assistant","value":"a","label":3,"weight":0.5}]})"
                            "\n");
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const Result result = run("annotate annotate.yaml human_labels=keep run_dir=keep output=keep.jsonl");
  ASSERT_EQ(result.code, 0) << result.errors;
  expect_says(result, "2 values that people gave are not integers from 0 to 4 and could not be kept");
  const std::vector<Json> written = json_lines(read("out.jsonl")), kept = json_lines(read("keep.jsonl"));
  ASSERT_EQ(written.size(), 5u);
  for (size_t i = 0; i < labels.size(); ++i) {
    EXPECT_EQ(written[i].at("conversations")[1].at("gt_label"), labels[i]);
    EXPECT_EQ(kept[i].at("conversations")[1].at("gt_label"), labels[i]);
  }
  EXPECT_EQ(written[4].at("conversations")[0].at("gt_label"), 3);
  EXPECT_EQ(written[4].at("conversations")[0].at("weight"), 0.5);
  const auto label_of = [](const Json& record) { return record.at("conversations")[1].at("label").get<std::string>(); };
  EXPECT_NE(label_of(kept[0]).find("humor:2"), std::string::npos) << label_of(kept[0]);
  EXPECT_EQ(label_of(kept[1]), label_of(written[1])) << "7 is out of the predictor's range";
  EXPECT_NE(label_of(kept[3]).find("humor:1"), std::string::npos) << label_of(kept[3]);
}

TEST_F(Annotation, NumbersTravelAsTheyWereWritten) {
  write(
      "in.jsonl",
      R"({"a":1.50,"b":[1e400,-0,123456789012345678901234567890,0.1000000000000000000001],"conversations":[{"from":"User","value":"x","n":1E5},{"from":"Assistant","value":"y"}],"c":1.0})"
      "\n");
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string line = read("out.jsonl");
  EXPECT_EQ(
      line.substr(0, line.find(R"("y")")),
      R"({"a":1.50,"b":[1e400,-0,123456789012345678901234567890,0.1000000000000000000001],"conversations":[{"from":"User","value":"x","n":1E5},{"from":"Assistant","value":)");
  EXPECT_TRUE(line.ends_with(R"(}],"c":1.0})"
                             "\n"))
      << line;
}

// Nothing annotated is no success, and an input that is mended needs no fresh start.
TEST_F(Annotation, AnInputWithoutRecords) {
  for (const std::string bytes : {"", "\n \n"}) {
    write("in.jsonl", bytes);
    expect_refused(run("annotate annotate.yaml"), 3, "in.jsonl: nothing to annotate: the input is empty");
    expect_refused(run("annotate annotate.yaml --dry-run run_dir=dry"), 3, "nothing to annotate");
  }
  EXPECT_FALSE(exists("out.jsonl"));
  write("in.jsonl", R"({"conversations":[{"from":"User","value":"x"}]})"
                    "\n");
  expect_refused(run("annotate annotate.yaml"), 3, "no record has an assistant turn");
  write("in.jsonl", "{}\n");
  expect_refused(run("annotate annotate.yaml run_dir=bad output=bad.jsonl max_bad_share=1"), 3,
                 "every record is a bad one");
  write("in.jsonl", many(3));
  ASSERT_EQ(run("annotate annotate.yaml run_dir=good output=good.jsonl").code, 0);
  // A shard of a small input may well be empty.
  ASSERT_EQ(run("annotate annotate.yaml shard=1/2 run_dir=shard output=shard.jsonl").code, 0);
}

TEST_F(Annotation, ABadRecordCanStopIt) {
  write("in.jsonl", conversation("q", "a") + "{\"conversations\": [\n" + conversation("q", "b"));
  expect_refused(run("annotate annotate.yaml on_bad_record=stop"), 3, "in.jsonl:2");
  EXPECT_FALSE(exists("out.jsonl"));
  write("in.jsonl", conversation("q", "a") + conversation("q", std::string(1200, 'x')));
  expect_refused(run("annotate annotate.yaml on_bad_record=stop run_dir=other output=other.jsonl"), 3, "in.jsonl:2");
  EXPECT_FALSE(exists("other.jsonl"));
}

TEST_F(Annotation, TooManyBadRecordsEndWithAnError) {
  write("in.jsonl", many(15) + "{}\n");
  for (int time = 0; time < 2; ++time) {  // and the same command says the same
    const Result result = run("annotate annotate.yaml");
    expect_refused(result, 3, "too many bad records");
    EXPECT_NE(result.errors.find("1 of 16"), std::string::npos) << result.errors;
    EXPECT_NE(result.errors.find("out.jsonl.quarantine.jsonl"), std::string::npos) << result.errors;
    EXPECT_EQ(lines_of(read("out.jsonl.quarantine.jsonl")).size(), 1u);
  }
}

TEST_F(Annotation, AFinishedOneSaysSoAndChangesNothing) {
  write("in.jsonl", many(5));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string output = read("out.jsonl"), ledger = read("run/ledger.jsonl");
  expect_says(run("annotate annotate.yaml"), "nothing to do");
  EXPECT_EQ(read("out.jsonl"), output);
  EXPECT_EQ(read("run/ledger.jsonl"), ledger);
}

TEST_F(Annotation, AFinishedOutputThatIsGoneOrWasChangedIsMadeAgain) {
  write("in.jsonl", many(5));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string whole = read("out.jsonl");
  std::filesystem::remove(path("out.jsonl"));
  expect_says(run("annotate annotate.yaml"), "out.jsonl is gone: it is made again");
  EXPECT_EQ(read("out.jsonl"), whole);
  std::string changed = whole;
  changed[changed.size() / 2] ^= 1;
  write("out.jsonl", changed);
  expect_says(run("annotate annotate.yaml"), "it is kept as out.jsonl.previous and made again");
  EXPECT_EQ(read("out.jsonl"), whole);
  EXPECT_EQ(read("out.jsonl.previous"), changed);
  expect_says(run("annotate annotate.yaml"), "nothing to do");
  write("out.jsonl", "mine");
  expect_refused(run("annotate annotate.yaml"), 5, "out.jsonl.previous");
  EXPECT_EQ(read("out.jsonl"), "mine");
  EXPECT_EQ(read("out.jsonl.previous"), changed);
}

TEST_F(Annotation, AnotherPredictorOrInputInTheRunDirectoryIsRefused) {
  write("in.jsonl", many(5));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string output = read("out.jsonl");
  make_model("classifier", "other", names);
  expect_refused(run("annotate annotate.yaml predictor=other"), 2, "another recipe: predictor");
  write("in.jsonl", many(6));
  expect_refused(run("annotate annotate.yaml"), 2, "in.jsonl has changed");
  write("in.jsonl", many(5));
  expect_says(run("annotate annotate.yaml"), "nothing to do");
  std::filesystem::remove_all(path("predictor"));
  make_model("classifier", "predictor", R"("quality", "humor", "verbosity")");
  expect_refused(run("annotate annotate.yaml"), 2, "predictor/steerlm.json has changed");
  EXPECT_EQ(read("out.jsonl"), output);
  write("in.jsonl", many(6));
  ASSERT_EQ(run("annotate annotate.yaml --fresh").code, 0);
  EXPECT_EQ(lines_of(read("out.jsonl")).size(), 6u);
}

TEST_F(Annotation, AnOutputOfNobodysIsOverwrittenOnlyWhenAsked) {
  write("in.jsonl", many(5));
  write("out.jsonl", "mine\n");
  expect_refused(run("annotate annotate.yaml"), 5, "out.jsonl");
  expect_refused(run("annotate annotate.yaml --fresh"), 5, "out.jsonl");
  EXPECT_EQ(read("out.jsonl"), "mine\n");
  EXPECT_FALSE(exists("run"));
  ASSERT_EQ(run("annotate annotate.yaml --overwrite").code, 0);
  EXPECT_EQ(lines_of(read("out.jsonl")).size(), 5u);
}

// Files beside the output, and whatever standard input was redirected from.
TEST_F(Annotation, AnInputIsNeverWrittenOver) {
  write("in.jsonl", many(5));
  for (const char* name : {"out.jsonl.quarantine.jsonl", "out.jsonl.part", "out.jsonl.quarantine.jsonl.part"}) {
    write(name, many(5));
    for (const std::string option : {"", " --overwrite", " --dry-run"})
      expect_refused(run("annotate annotate.yaml input=" + std::string(name) + option), 2, "the output is an input");
    EXPECT_EQ(read(name), many(5));
    std::filesystem::remove(path(name));
  }
  const std::string recipe = read("annotate.yaml");
  expect_refused(run("annotate annotate.yaml input=- output=in.jsonl --overwrite <in.jsonl"), 2,
                 "the output is an input (found input: standard input)");
  expect_refused(run("annotate - output=annotate.yaml --overwrite <annotate.yaml"), 2, "the output is an input");
  EXPECT_EQ(read("in.jsonl"), many(5));
  EXPECT_EQ(read("annotate.yaml"), recipe);
  // What an earlier run wrote is the input of this one.
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string output = read("out.jsonl");
  EXPECT_EQ(run("annotate annotate.yaml input=- output=again.jsonl --fresh <out.jsonl").code, 0);
  EXPECT_EQ(read("out.jsonl"), output);
}

TEST_F(Annotation, AnotherCurrentDirectoryMovesNobodysFile) {
  write("in.jsonl", many(5));
  std::filesystem::create_directory(path("elsewhere"));
  const std::string given = " '" + path("annotate.yaml").string() + "' run_dir='" + path("run").string() + "' input='" +
                            path("in.jsonl").string() + "' predictor='" + path("predictor").string() + "'";
  const std::string there = "env -C elsewhere";
  ASSERT_EQ(run("annotate" + given).code, 0);
  const std::string output = read("out.jsonl");
  write("elsewhere/out.jsonl", "mine");
  const auto before = contents();
  for (const std::string option : {"", " --dry-run", " --fresh"})
    expect_refused(run("annotate" + given + option, there), 5, "elsewhere/out.jsonl");
  EXPECT_EQ(changes_since(before), "");
  std::filesystem::remove(path("elsewhere/out.jsonl"));
  for (const std::string option : {"", " --dry-run"})
    expect_refused(run("annotate" + given + option, there), 2, "another recipe: output");
  EXPECT_EQ(read("out.jsonl"), output);
  expect_says(run("annotate" + given), "nothing to do");
}

// A stream is written through, a link followed, and neither is renamed.
TEST_F(Annotation, WhatStandsInPlaceOfAFinishedOutputStays) {
  write("in.jsonl", many(5));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string whole = read("out.jsonl");
  const auto link_to = [&](const char* target) {
    std::filesystem::remove(path("out.jsonl"));
    std::filesystem::create_symlink(target, path("out.jsonl"));
  };
  write("other", "mine");
  link_to("other");
  expect_refused(run("annotate annotate.yaml"), 5, "other");
  expect_refused(run("annotate annotate.yaml --dry-run"), 5, "other");
  EXPECT_EQ(read("other"), "mine");
  for (const char* target : {"/dev/null", "later"}) {
    std::filesystem::remove_all(path("run"));
    std::filesystem::remove(path("out.jsonl"));
    ASSERT_EQ(run("annotate annotate.yaml").code, 0);
    link_to(target);
    expect_says(run("annotate annotate.yaml"), "out.jsonl is gone: it is made again");
    EXPECT_TRUE(std::filesystem::is_symlink(path("out.jsonl")));
    expect_says(run("annotate annotate.yaml"), "nothing to do");
  }
  EXPECT_EQ(read("later"), whole);
  EXPECT_FALSE(exists("out.jsonl.previous"));
}

TEST_F(Annotation, ACopyOfTheRunDirectoryOwnsNoOutput) {
  write("in.jsonl", many(5));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string output = read("out.jsonl");
  std::filesystem::copy(path("run"), path("copy"), std::filesystem::copy_options::recursive);
  expect_says(run("annotate annotate.yaml run_dir=copy"), "nothing to do");
  expect_refused(run("annotate annotate.yaml run_dir=copy --fresh"), 5, "out.jsonl");
  EXPECT_EQ(run("annotate annotate.yaml run_dir=copy output=new.jsonl --fresh").code, 0);
  EXPECT_EQ(read("out.jsonl"), output);
  write("out.jsonl", "mine");
  std::filesystem::remove_all(path("copy"));
  std::filesystem::copy(path("run"), path("copy"), std::filesystem::copy_options::recursive);
  expect_refused(run("annotate annotate.yaml run_dir=copy"), 5, "out.jsonl");
  expect_refused(run("annotate annotate.yaml run_dir=copy --dry-run"), 5, "out.jsonl");
  EXPECT_EQ(read("out.jsonl"), "mine");
}

// No run file that somebody has edited is a mistake of the program.
TEST_F(Annotation, EditedRunFilesAreDamaged) {
  write("in.jsonl", many(5));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string output = read("out.jsonl");
  std::string ledger = read("run/ledger.jsonl");
  ledger.replace(ledger.find("\"counts\":{"),
                 ledger.find('}', ledger.find("\"counts\":{")) + 1 - ledger.find("\"counts\":{"), "\"counts\":5");
  write("run/ledger.jsonl", ledger);
  std::filesystem::remove(path("run/done.json"));
  EXPECT_EQ(run("annotate annotate.yaml").code, 0);
  EXPECT_EQ(read("out.jsonl"), output);
  write("run/.steerlm-run/run.json", R"({"format": 1, "stage": 7})");
  for (const std::string option : {"", " --dry-run", " --fresh"})
    expect_refused(run("annotate annotate.yaml" + option), 5, "the run directory's mark is damaged");
}

TEST_F(Annotation, CompressedAndPipedInputsGiveTheSameBytes) {
  write("in.jsonl", many(30));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  ASSERT_EQ(run("annotate annotate.yaml input=in.jsonl.gz run_dir=gz output=gz.jsonl", "gzip -k in.jsonl &&").code, 0);
  EXPECT_EQ(read("gz.jsonl"), read("out.jsonl"));
  ASSERT_EQ(run("annotate annotate.yaml input=- run_dir=piped output=piped.jsonl", "cat in.jsonl |").code, 0);
  EXPECT_EQ(read("piped.jsonl"), read("out.jsonl"));
}

TEST_F(Annotation, ALanguageModelWithoutAttributesIsNoPredictor) {
  write("in.jsonl", many(5));
  copy_model("untied", "plain");
  expect_refused(run("annotate annotate.yaml predictor=plain"), 4, "not an attribute predictor");
  EXPECT_FALSE(exists("out.jsonl"));
}

}  // namespace
}  // namespace steerlm
