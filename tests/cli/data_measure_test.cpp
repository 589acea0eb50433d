// `data measure`: contracts.md section 5.
#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "cli/run_command.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class DataMeasure : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  std::string read(const std::string& name) {
    std::ostringstream bytes;
    bytes << std::ifstream(path(name), std::ios::binary).rdbuf();
    return bytes.str();
  }
  // Answers of 1, 2, … `count` characters.
  static std::string answers(int count) {
    std::string lines;
    for (int i = 1; i <= count; ++i)
      lines += turn_line(R"("value":")" + std::string(static_cast<size_t>(i), 'a') + '"');
    return lines;
  }
  static std::string turn_line(const std::string& members) {
    return R"({"conversations":[{"from":"User","value":"Why? Say why."},{"from":"Assistant",)" + members + "}]}\n";
  }
  // `input` is what is on standard input.
  Outcome measure(std::vector<std::string> words, const std::string& input = "") {
    words.insert(words.begin(), {"data", "measure"});
    return run_command(std::move(words), input);
  }
  // The last turn of each line.
  static std::vector<Json> turns(const std::string& lines) {
    std::vector<Json> found;
    std::istringstream stream(lines);
    for (std::string line; std::getline(stream, line);)
      found.push_back(parse_json(line, "line", ExitCode::bug).at("conversations").back());
    return found;
  }
  static std::vector<std::string> labels(const std::string& lines) {
    std::vector<std::string> found;
    for (const Json& turn : turns(lines))
      found.push_back(turn.contains("label") && turn["label"].is_string() ? turn["label"].get<std::string>() : "none");
    return found;
  }
  TemporaryFolder folder_;
};

TEST_F(DataMeasure, LevelsAreTheQuantilesOfTheFile) {
  const Outcome outcome = measure({"--input", write("i.jsonl", answers(10)), "--output", path("o.jsonl"),
                                   "--attributes", "verbosity:characters,asks:question_marks", "--min", "1", "--max",
                                   "5", "--write-edges", path("e.json")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(labels(read("o.jsonl")),
              ElementsAre("verbosity:1,asks:1", "verbosity:1,asks:1", "verbosity:2,asks:1", "verbosity:2,asks:1",
                          "verbosity:3,asks:1", "verbosity:3,asks:1", "verbosity:4,asks:1", "verbosity:4,asks:1",
                          "verbosity:5,asks:1", "verbosity:5,asks:1"));
  EXPECT_EQ(turns(read("o.jsonl")).at(6).at("measures").dump(), R"({"verbosity":7.0,"asks":0.0})");
  EXPECT_THAT(outcome.err, ContainsRegex("verbosity +characters +1 +2\\.8000 +2\n"));
  EXPECT_THAT(outcome.err, ContainsRegex(" 3 +4\\.6000 +6\\.4000 +2\n"));
  EXPECT_THAT(outcome.err, HasSubstr("warning: asks: no turn has the level 2, 3, 4, 5"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("warning: verbosity")));
  EXPECT_THAT(outcome.err, HasSubstr("o.jsonl: 10 records\n"));
  const Json edges = parse_json(read("e.json"), "edges", ExitCode::bug);
  EXPECT_EQ(edges.at("min"), 1);
  EXPECT_EQ(edges.at("max"), 5);
  EXPECT_EQ(edges.at("attributes").at("verbosity").at("measure"), "characters");
  EXPECT_EQ(edges.at("attributes").at("verbosity").at("edges").size(), 4u);
}

TEST_F(DataMeasure, EdgesOfAFileMakeTheSameLevelsElsewhereAndOnAStream) {
  const std::string input = write("i.jsonl", answers(10));
  ASSERT_EQ(measure({"--input", input, "--output", path("o.jsonl"), "--attributes", "verbosity:characters", "--max",
                     "4", "--write-edges", path("e.json")})
                .code,
            0);
  const Outcome again = measure({"--input", input, "--output", "-", "--edges", path("e.json")});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.out, read("o.jsonl"));
  const Outcome few = measure({"--input", write("few.jsonl", answers(3)), "--output", "-", "--edges", path("e.json")});
  EXPECT_THAT(labels(few.out), ElementsAre("verbosity:0", "verbosity:0", "verbosity:1"));
  EXPECT_THAT(few.err, HasSubstr("no turn has the level 2, 3, 4"));
}

TEST_F(DataMeasure, StandsBesideTheLabelsOfPeople) {
  const std::string input =
      write("i.jsonl", turn_line(R"("value":"Yes.","label":"humor:2,quality:4")") +
                           turn_line(R"("value":"Yes, of course it is.","label":null)") +
                           turn_line(R"("value":"...","label":"humor:1")") + turn_line(R"("value":"?!","label":null)") +
                           turn_line(R"("value":"No?","label":"")"));
  const Outcome outcome = measure(
      {"--input", input, "--output", path("o.jsonl"), "--attributes", "complexity:flesch_kincaid", "--max", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(labels(read("o.jsonl")),
              ElementsAre("humor:2,quality:4,complexity:0", "complexity:4", "humor:1", "none", "complexity:0"));
  EXPECT_FALSE(turns(read("o.jsonl")).at(0).contains("gt_label")) << "what people said is still in the label";
  EXPECT_THAT(outcome.err, ContainsRegex("unknown +2\n"));
}

TEST_F(DataMeasure, AValueThatIsThereIsReplacedOnRequestOnly) {
  const std::string input = write("i.jsonl", turn_line(R"("value":"a","label":"verbosity:3,humor:1")") +
                                                 turn_line(R"("value":"aaaa","label":"humor:2")"));
  const std::vector<std::string> words{
      "--input", input, "--output", path("o.jsonl"), "--attributes", "verbosity:characters", "--max", "4"};
  const Outcome refused = measure(words);
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, HasSubstr("i.jsonl:1, turn 2: the label has 'verbosity' already (found "
                                     "'verbosity:3,humor:1'); --overwrite-labels"));
  EXPECT_FALSE(std::filesystem::exists(path("o.jsonl")));
  std::vector<std::string> forced = words;
  forced.push_back("--overwrite-labels");
  const Outcome outcome = measure(forced);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(labels(read("o.jsonl")), ElementsAre("verbosity:0,humor:1", "humor:2,verbosity:4"));
  EXPECT_EQ(turns(read("o.jsonl")).at(0).at("gt_label"), "verbosity:3,humor:1");
  EXPECT_FALSE(turns(read("o.jsonl")).at(1).contains("gt_label"));
  // Once more, over what was measured: nobody's word is replaced, and what people said stays.
  const Outcome twice = measure({"--input", path("o.jsonl"), "--output", "-", "--attributes", "verbosity:words",
                                 "--max", "4", "--overwrite-labels"});
  EXPECT_EQ(twice.code, 0) << twice.err;
  EXPECT_THAT(labels(twice.out), ElementsAre("verbosity:0,humor:1", "humor:2,verbosity:0"));
  EXPECT_EQ(turns(twice.out).at(0).at("gt_label"), "verbosity:3,humor:1");
  EXPECT_FALSE(turns(twice.out).at(1).contains("gt_label"));
  EXPECT_EQ(turns(twice.out).at(1).at("measures").at("verbosity"), 1.0);
}

// A label that people gave may have a `gt_label` beside it, which says more, and one of a model says nothing of people.
TEST_F(DataMeasure, WhatPeopleSaidIsKeptWhole) {
  const auto kept = [&](const std::string& keys) {
    const Outcome outcome = measure({"--input", write("i.jsonl", turn_line(R"("value":"x",)" + keys)), "--output", "-",
                                     "--attributes", "v:characters", "--max", "4", "--overwrite-labels"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const Json turn = turns(outcome.out).at(0);
    return turn["label"].get<std::string>() + " | " + (turn.contains("gt_label") ? turn["gt_label"].dump() : "none");
  };
  EXPECT_EQ(kept(R"("label":"q:1,v:2","gt_label":"h:3")"), R"(q:1,v:0 | "q:1,v:2,h:3")");
  EXPECT_EQ(kept(R"("label":"q:1,v:2","scores":{"q":1.2,"v":1.9},"gt_label":"h:3")"), R"(q:1,v:0 | "h:3")");
  EXPECT_EQ(kept(R"("label":"q:1,v:2","scores":{"q":1.2,"v":1.9})"), "q:1,v:0 | none");
}

TEST_F(DataMeasure, PacksAsTheNameSays) {
  const std::string input = write("i.jsonl", answers(10));
  const std::vector<std::string> words{"--input", input, "--attributes", "verbosity:characters",
                                       "--max",   "4",   "--output"};
  const auto into = [&](const std::string& output) {
    std::vector<std::string> all = words;
    all.push_back(output);
    return measure(all);
  };
  const std::string lines = into("-").out;
  EXPECT_EQ(into(path("o.jsonl.gz")).code, 0);
  EXPECT_EQ(read("o.jsonl.gz").substr(0, 2), "\x1f\x8b");
  EXPECT_EQ(
      run_command({"data", "convert", "--input", path("o.jsonl.gz"), "--output", "-", "--attributes", "verbosity"}).out,
      lines);
}

TEST_F(DataMeasure, EdgesAreNotPacked) {
  const Outcome outcome = measure({"--input", write("i.jsonl", answers(10)), "--output", "-", "--attributes",
                                   "verbosity:characters", "--max", "4", "--write-edges", path("e.json.gz")});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--write-edges: this output is not packed, and its name says that it is"));
}

TEST_F(DataMeasure, OtherKeysTravelAndUserTurnsAreLeftAlone) {
  const std::string line =
      R"({"a":1.50,"conversations":[{"from":"User","value":"x","b":-0},{"from":"Assistant","value":"y"}],"d":1e400})"
      "\n";
  const Outcome outcome = measure(
      {"--input", write("i.jsonl", line), "--output", "-", "--attributes", "verbosity:characters", "--max", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(
      outcome.out,
      R"({"a":1.50,"conversations":[{"from":"User","value":"x","b":-0},{"from":"Assistant","value":"y","measures":{"verbosity":1.0},"label":"verbosity:0"}],"d":1e400})"
      "\n");
}

// Ratings of HelpSteer and of trees come into the same range.
TEST_F(DataMeasure, PublishedSources) {
  const std::string fixtures = STEERLM_SOURCE_DIR "/tests/fixtures/data/";
  const auto of = [&](const std::string& name, std::vector<std::string> more) {
    std::vector<std::string> words{"--input", fixtures + name, "--output", "-", "--attributes", "length:characters"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = measure(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  };
  EXPECT_THAT(of("helpsteer.jsonl", {"--max", "8"}),
              HasSubstr("helpfulness:8,correctness:8,coherence:6,complexity:0,verbosity:2,length:"));
  EXPECT_THAT(of("oasst.jsonl", {}), HasSubstr("quality:7,toxicity:0,humor:4,length:"));
  EXPECT_THAT(of("oasst.jsonl", {"--method", "helpsteer"}), HasSubstr("quality:3,toxicity:0,humor:2,length:"));
  EXPECT_THAT(of("hh_rlhf.jsonl", {}), HasSubstr(R"("label":"length:)"));
}

TEST_F(DataMeasure, WhatCannotBeIsRefused) {
  const std::string input = write("i.jsonl", answers(3));
  const auto refused = [&](std::vector<std::string> words, int code, const std::string& text) {
    words.insert(words.end(), {"--output", path("o.jsonl")});
    const Outcome outcome = measure(words);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(text));
    EXPECT_FALSE(std::filesystem::exists(path("o.jsonl"))) << text;
    EXPECT_TRUE(temporaries_of(path("o.jsonl")).empty()) << text;
  };
  const std::string one = "verbosity:characters";
  refused({"--input", input}, 2, "nothing says what is measured");
  refused({"--input", input, "--attributes", "verbosity"}, 2, "an attribute without a measure");
  refused({"--input", input, "--attributes", "verbosity:character"}, 2, "did you mean 'characters'?");
  refused({"--input", input, "--attributes", one + "," + one}, 2, "named twice");
  refused({"--input", input, "--attributes", one, "--min", "4", "--max", "4"}, 2, "range of the attributes is empty");
  refused({"--input", "-", "--attributes", one}, 2, "can be read only once");
  refused({"--input", "/dev/null", "--attributes", one}, 2, "can be read only once");
  refused({"--input", path("none.jsonl"), "--attributes", one}, 3, "none.jsonl");
  refused({"--input", write("empty.jsonl", "\n"), "--attributes", one}, 3, "nothing to measure");
  refused({"--input", write("bad.jsonl", answers(1) + "{\n"), "--attributes", one}, 3, "bad.jsonl:2: ");
  refused({"--input", write("bad.txt", "\xff\n"), "--format", "text", "--attributes", one}, 3,
          "; `steerlm data check --input '" + path("bad.txt") + "' --format text` lists every bad record");
  refused({"--input", input, "--attributes", "complexity:flesch_kincaid", "--edges", input}, 2,
          "takes no --attributes");
  refused({"--input", input, "--edges", path("none.json")}, 3, "none.json");
  refused({"--input", input, "--edges", input}, 3, "i.jsonl");
  refused({"--input", write("w.jsonl", turn_line(R"("value":"...")")), "--attributes", "complexity:flesch_kincaid"}, 3,
          "no assistant turn says anything of 'complexity'");
  refused(
      {"--input", write("r.jsonl", turn_line(R"("value":"a","label":"quality:9")")), "--attributes", one, "--max", "4"},
      3, "r.jsonl:1, turn 2: the label's value of 'quality' is out of range");
  refused({"--input", write("l.jsonl", turn_line(R"("value":"a","label":"good")")), "--attributes", one}, 3,
          "l.jsonl:1, turn 2: the label has an entry without a value");
  refused({"--input", write("m.jsonl", turn_line(R"("value":"a","measures":[1])")), "--attributes", one}, 3,
          "m.jsonl:1, turn 2: the turn has a key 'measures' of another meaning (found [1]");
  refused({"--input", input, "--attributes", one, "--write-edges", path("o.jsonl")}, 2,
          "two outputs that are one file");
  write("e.json", "old");
  refused({"--input", input, "--attributes", one, "--write-edges", path("e.json")}, 5, "e.json");
  EXPECT_EQ(read("e.json"), "old");
}

}  // namespace
}  // namespace steerlm
