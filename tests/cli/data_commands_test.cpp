#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "cli/run_command.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string fixtures = STEERLM_SOURCE_DIR "/tests/fixtures/";

Outcome run(std::vector<std::string> words) {
  words.insert(words.begin(), "data");
  return run_command(std::move(words));
}

class DataCommands : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& bytes) {
    std::string path = (folder_.path() / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  static std::string read(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
  }
  TemporaryFolder folder_;
};

const std::string helpsteer_note =
    ": ratings of HelpSteer, which are the attributes: helpfulness, correctness, coherence, complexity, verbosity, 0 "
    "to 4 "
    "(--method or --attributes chooses others)\n";

TEST_F(DataCommands, Convert) {
  const std::string input = fixtures + "data/helpsteer.jsonl";
  const Outcome outcome = run({"convert", "--format", "helpsteer", "--input", input, "--output", path("o.jsonl")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, input + helpsteer_note + path("o.jsonl") + ": 2 records\n");
  EXPECT_EQ(
      read(path("o.jsonl")),
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"What is two and two?","label":null},{"from":"Assistant","value":"Four.","label":"helpfulness:4,correctness:4,coherence:3,complexity:0,verbosity:1"}]})"
      "\n"
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"Sing.","label":null},{"from":"Assistant","value":"La.","label":"helpfulness:2,coherence:4"}],"correctness":null})"
      "\n");
}

// A tokenizer of bytes that has no piece for 21 of them, x and Z among these.
TEST_F(DataCommands, CheckCountsBytesThatTheTokenizerHasNoPieceFor) {
  const std::string data = write("data.jsonl", R"({"system":"s","conversations":[{"from":"User","value":"xxZ a"},)"
                                               R"({"from":"Assistant","value":"b x"}]})");
  const std::string recipe = write("r.yaml", "stage: sft\nrun_dir: run\nmodel: {init: {}, tokenizer: '" + fixtures +
                                                 "tokenizers/lacking'}\ndata: {train: [{path: '" + data + "'}]}\n");
  const Outcome outcome = run({"check", recipe});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("bytes without a piece"));
  EXPECT_THAT(outcome.out, HasSubstr("has no piece for these bytes of the texts, so that the model does not see them: "
                                     "0x5A: 1, 0x78: 3\n"));
}

// HelpSteer's ratings are its own attributes unless somebody says otherwise.
TEST_F(DataCommands, AttributesOfRatings) {
  const auto labels = [&](std::vector<std::string> options, const std::string& name) {
    std::vector<std::string> words{"convert", "--input", fixtures + "data/" + name, "--output", "-"};
    words.insert(words.end(), options.begin(), options.end());
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::string all;
    for (const std::string& part : {outcome.out}) {
      for (size_t at = part.find("\"label\":\""); at != std::string::npos; at = part.find("\"label\":\"", at + 1))
        all += part.substr(at + 9, part.find('"', at + 9) - at - 9) + "|";
    }
    return all;
  };
  EXPECT_EQ(labels({}, "helpsteer.jsonl"),
            "helpfulness:4,correctness:4,coherence:3,complexity:0,verbosity:1|helpfulness:2,coherence:4|");
  EXPECT_EQ(labels({"--method", "helpsteer2"}, "helpsteer.jsonl"), labels({}, "helpsteer.jsonl"));
  EXPECT_EQ(labels({"--max", "8"}, "helpsteer.jsonl"),
            "helpfulness:8,correctness:8,coherence:6,complexity:0,verbosity:2|helpfulness:4,coherence:8|");
  EXPECT_EQ(labels({"--method", "steerlm"}, "helpsteer.jsonl"), "helpfulness:9|helpfulness:4|");
  EXPECT_THAT(labels({"--method", "helpsteer"}, "oasst.jsonl"), HasSubstr("quality:3,toxicity:0,humor:2|"));
  EXPECT_THAT(labels({}, "oasst.jsonl"), HasSubstr("quality:7,toxicity:0,humor:4|"));
  EXPECT_EQ(run({"convert", "--method", "helpster", "--input", "x", "--output", "-"}).code, 2);
  for (const char* command : {"check", "stats"}) {
    const Outcome outcome = run({command, "--input", fixtures + "data/helpsteer2.jsonl"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, ::testing::ContainsRegex("correctness +2 +1 +2.00 +2.83 +0: 1, 4: 1"));
    EXPECT_THAT(outcome.out, HasSubstr("ratings of HelpSteer, which are the attributes"));
  }
}

TEST_F(DataCommands, ARecipeOnHelpSteerTakesItsAttributes) {
  const std::string recipe =
      write("r.yaml", "stage: train-predictor\nrun_dir: " + path("run") + "\nmodel: {path: " + fixtures +
                          "models/tied}\ndata: {train: [" + fixtures + "data/helpsteer2.jsonl]}\n");
  const Outcome outcome = run({"check", recipe});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("correctness +2 +1 +2.00"));
  EXPECT_THAT(outcome.out, ::testing::Not(HasSubstr("not among the attributes")));
  const Outcome chosen = run({"check", recipe, "attributes.names=[helpfulness]", "attributes.max=4"});
  EXPECT_THAT(chosen.out, ::testing::ContainsRegex("the rating 'correctness', which is not among the attributes +2\n"));
}

TEST_F(DataCommands, ConvertToStandardOutputWithOtherAttributes) {
  const Outcome outcome = run({"convert", "--input", fixtures + "data/helpsteer.jsonl", "--output", "-", "--attributes",
                               "verbosity,correctness", "--max", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(R"("label":"verbosity:1,correctness:4")"));
  EXPECT_THAT(outcome.err, HasSubstr("the rating 'coherence', which is not among the attributes (2 lines)"));
}

TEST_F(DataCommands, ConvertWritesLabelsInOrderAndKeepsOtherKeys) {
  const std::string input = write(
      "i.jsonl",
      R"({"a":1.50,"conversations":[{"value":"x","from":"Assistant","label":"humor:1,quality:2","b":-0}],"c":null,"d":1e400})");
  EXPECT_EQ(run({"convert", "--input", input, "--output", path("o.jsonl")}).code, 0);
  EXPECT_EQ(
      read(path("o.jsonl")),
      R"({"a":1.50,"conversations":[{"value":"x","from":"Assistant","label":"quality:2,humor:1","b":-0}],"c":null,"d":1e400})"
      "\n");
}

TEST_F(DataCommands, ConvertLeavesNothingBehindAfterABadRecord) {
  const std::string input =
      write("i.jsonl", "{\"conversations\":[{\"from\":\"User\",\"value\":\"x\"}]}\n{\"conversations\":[]}\n");
  write("o.jsonl", "old");
  const Outcome outcome = run({"convert", "--input", input, "--output", path("o.jsonl"), "--overwrite"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr(input + ":2: an empty conversation"));
  EXPECT_EQ(read(path("o.jsonl")), "old");
  EXPECT_TRUE(temporaries_of(path("o.jsonl")).empty());
}

TEST_F(DataCommands, ConvertPacksAsTheNameSays) {
  const std::string input = fixtures + "data/helpsteer.jsonl";
  const std::string lines = run({"convert", "--input", input, "--output", "-"}).out;
  for (const auto& [name, magic] :
       {std::pair("o.jsonl.gz", "\x1f\x8b"), std::pair("o.jsonl.zst", "\x28\xb5\x2f\xfd")}) {
    ASSERT_EQ(run({"convert", "--input", input, "--output", path(name)}).code, 0);
    EXPECT_THAT(read(path(name)), StartsWith(magic));
    EXPECT_EQ(run({"convert", "--input", path(name), "--output", "-", "--method", "helpsteer2"}).out, lines);
  }
}

// What a bad record's message says of `data check` finds the same record, and every other one.
TEST_F(DataCommands, ConvertNamesTheCheckThatListsAll) {
  const std::string labels =
      write("l.jsonl",
            R"({"conversations":[{"from":"User","value":"x"},{"from":"Assistant","value":"x","label":"quality:11"}]})"
            "\n{\n");
  const std::string ratings = write("r.jsonl", R"({"prompt":"a","response":"b","complexity":7})"
                                               "\n{\n");
  struct Case {
    std::string input;
    std::vector<std::string> words, said;
  };
  for (const Case& test :
       {Case{labels, {}, {"--method", "steerlm"}}, Case{labels, {"--max", "4"}, {"--method", "steerlm", "--max", "4"}},
        Case{labels,
             {"--attributes", "quality,humor", "--min", "0", "--max", "4"},
             {"--attributes", "quality,humor", "--min", "0", "--max", "4"}},
        Case{labels,
             {"--format", "conversations", "--method", "helpsteer"},
             {"--format", "conversations", "--method", "helpsteer"}},
        Case{ratings, {}, {}}}) {
    std::vector<std::string> convert{"convert", "--input", test.input, "--output", "-"};
    convert.insert(convert.end(), test.words.begin(), test.words.end());
    std::vector<std::string> check{"check", "--input", test.input};
    std::string command = "`steerlm data check --input '" + test.input + "'";
    for (const std::string& word : test.said) {
      check.push_back(word);
      command += " " + word;
    }
    const Outcome refused = run(convert);
    EXPECT_EQ(refused.code, 3);
    EXPECT_THAT(refused.err, HasSubstr(test.input + ":1: "));
    EXPECT_THAT(refused.err, HasSubstr("; " + command + "` lists every bad record"));
    const Outcome listed = run(check);
    EXPECT_THAT(listed.out, HasSubstr(test.input + ":1: ")) << command;
    EXPECT_THAT(listed.out, HasSubstr(test.input + ":2: ")) << command;
    EXPECT_THAT(listed.out, ::testing::Not(HasSubstr("data check"))) << command;
  }
}

TEST_F(DataCommands, CheckOfPairsSaysNothingOfItself) {
  const std::string pairs =
      write("p.jsonl", R"({"prompt":"q","response_1":"a","response_2":"b","preference_strength":"2"})"
                       "\n");
  const std::string recipe = write(
      "r.yaml", "stage: train-predictor\nrun_dir: " + path("run") + "\nmodel: {path: " + fixtures +
                    "models/tied}\nhead: {kind: regression, loss: bradley_terry}\ndata: {train: [" + pairs + "]}\n");
  const Outcome outcome = run({"check", recipe});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.out, HasSubstr(pairs + ":1: 'preference_strength' cannot be used"));
  EXPECT_THAT(outcome.out, ::testing::Not(HasSubstr("data check")));
}

TEST_F(DataCommands, BadCommandLines) {
  EXPECT_EQ(run({"convert", "--input", "x"}).code, 2);
  const Outcome format = run({"convert", "--format", "oast", "--input", "x", "--output", "y"});
  EXPECT_EQ(format.code, 2);
  EXPECT_THAT(format.err, HasSubstr("did you mean 'oasst'?"));
  const Outcome range =
      run({"convert", "--input", fixtures + "data/oasst.jsonl", "--output", path("y"), "--min", "4", "--max", "4"});
  EXPECT_EQ(range.code, 2);
  EXPECT_EQ(run({"check"}).code, 2);
  EXPECT_EQ(run({"convert", "--input", path("none"), "--output", path("y")}).code, 3);
  EXPECT_EQ(run({"convert", "--input", fixtures + "data/oasst.jsonl", "--output", path("none") + "/y"}).code, 5);
}

TEST_F(DataCommands, CheckGoesThroughTheWholeFile) {
  const std::string input = write(
      "i.jsonl",
      "{\n"
      R"({"conversations":[{"from":"User","value":"<extra_id_1>"},{"from":"Assistant","value":"x","label":"quality:3,x:1"}]})"
      "\n"
      R"({"conversations":[{"from":"usr","value":"x"}]})"
      "\n"
      R"({"conversations":[{"from":"User","value":"x"},{"from":"Assistant","value":"x","label":"quality:x"}]})"
      "\n"
      R"({"conversations":[{"from":"User","value":"x"}]})"
      "\n");
  const Outcome outcome = run({"check", "--input", input, "--format", "conversations"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.out, HasSubstr(input + ":1: not valid JSON"));
  EXPECT_THAT(outcome.out, HasSubstr(input + ":2, turn 1: marker text in the value"));
  EXPECT_THAT(outcome.out, HasSubstr(input + ":3: turn 1: unknown role in 'from' (found 'usr'"));
  EXPECT_THAT(outcome.out, HasSubstr(input + ":4, turn 2: an entry of the label cannot be read (found 'quality:x'"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("records +2\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("bad records +3\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("records without a target +1\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("quality +1 +0 +3.00"));
  EXPECT_EQ(outcome.err, "error: 3 bad records; each is listed with its line and reason on standard output\n");
  EXPECT_EQ(run({"check", "--input", input, "--format", "conversations", "--attributes", "quality"}).code, 3);
}

TEST_F(DataCommands, CheckNamesWhatIsNotObeyed) {
  const std::string input = write(
      "i.jsonl",
      "\n"
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0},{"role":"user","content":"c","name":"Bo"},{"role":"assistant","content":"d","label":"quality:1"}],"tools":[{"type":"function"}]})"
      "\n\n");
  const Outcome outcome = run({"check", "--input", input});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("blank lines +2\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("turns of weight 0 +1\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("not obeyed: other programs act on it +lines\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("'name' of a turn +1\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("'tools' +1\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("quality +1 +1 +1.00"));
  const std::string said =
      input + ": not obeyed, though other programs act on it: 'name' of a turn (1 line), 'tools' (1 line)\n";
  EXPECT_EQ(run({"convert", "--input", input, "--output", "-"}).err, said);
  EXPECT_EQ(run({"show-mask", "--model", fixtures + "models/tied", "--input", input}).err, said);
}

TEST_F(DataCommands, CheckAndStatsOfGoodData) {
  const Outcome outcome = run({"check", "--input", fixtures + "data/oasst.jsonl", "--max", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("records +5\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("quality +5 +2 "));
  const Outcome stats = run({"stats", "--input", fixtures + "data/oasst.jsonl", "--max", "4"});
  EXPECT_EQ(stats.code, 0) << stats.err;
  EXPECT_THAT(stats.out, ::testing::ContainsRegex("type VALUE_TO_TEXT +5\n"));
  EXPECT_THAT(stats.out, ::testing::ContainsRegex("humor +3 +4 +2.00 +0.00"));
}

TEST_F(DataCommands, CheckOfARecipe) {
  const std::string long_value(3000, 'x');
  const std::string data =
      write("d.jsonl", R"({"conversations":[{"from":"User","value":"x"},{"from":"Assistant","value":")" + long_value +
                           "\"}]}\n"
                           R"({"conversations":[{"from":"User","value":"x"}]})"
                           "\n");
  const std::string recipe =
      write("r.yaml", "stage: sft\nrun_dir: " + path("run") + "\nmodel: {path: " + fixtures +
                          "models/tied}\ndata: {max_tokens: 500, train: [{path: " + data + "}]}\n");
  const Outcome outcome = run({"check", recipe});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.out, StartsWith(data + ":2: a record without a target"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("records over 256 tokens +1\n"));
  EXPECT_THAT(outcome.out, HasSubstr("tokens of a record"));
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

// Notes of each file of prompts, added up.
TEST_F(DataCommands, CheckNamesWhatIsNotObeyedOfPrompts) {
  const std::string beside = R"({"prompt":"c","turns":["a"]})"
                             "\n",
                    alone = R"({"prompt":"d"})"
                            "\n";
  const std::string first = write("first.jsonl", beside + alone), second = write("second.jsonl", beside + beside);
  const std::string recipe =
      write("r.yaml", "stage: generate\nrun_dir: " + path("run") + "\nmodel: " + fixtures + "models/tied\nprompts: [" +
                          first + ", " + second + "]\noutput: " + path("out.jsonl") + "\n");
  const Outcome outcome = run({"check", recipe});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("prompts +4\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("'turns', beside 'prompt' +3\n"));
}

// The names of `defaults` are those of the predictor's folder, which `data check` does not open.
TEST_F(DataCommands, CheckOfARecipeThatLeavesTheNamesToAFolder) {
  const std::string data = write(
      "d.jsonl", R"({"conversations":[{"from":"User","value":"x"},{"from":"Assistant","value":"y","label":"wit:3"}]})"
                 "\n");
  const std::string recipe =
      write("r.yaml", "stage: evaluate\nrun_dir: " + path("run") + "\npredictor: " + path("predictor") +
                          "\nattributes: {defaults: {wit: 3}}\ndata: {validation: [" + data + "]}\n");
  const Outcome outcome = run({"check", recipe});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("wit +1 +0 +3.00"));
}

TEST_F(DataCommands, ShowMask) {
  const std::string data = write(
      "d.jsonl",
      R"({"conversations":[{"from":"User","value":"Hi"},{"from":"Assistant","value":"Hello there","label":"quality:3"}]})"
      "\n"
      R"({"conversations":[{"from":"User","value":"Hi"}]})");
  const Outcome json = run({"show-mask", "--model", fixtures + "models/tied", "--input", data, "--json"});
  ASSERT_EQ(json.code, 0) << json.err;
  std::istringstream lines(json.out);
  std::string line;
  std::vector<std::string> trained;
  std::vector<std::int64_t> masked;
  while (std::getline(lines, line)) {
    const Json object = parse_json(line, "output", ExitCode::bug);
    trained.push_back(object.at("trained_text").get<std::string>());
    EXPECT_EQ(object.at("token_ids").size(), object.at("pieces").size());
    EXPECT_EQ(object.at("token_ids").size(), object.at("mask").size());
    std::int64_t sum = 0;
    for (const Json& entry : object.at("mask")) sum += entry.get<std::int64_t>();
    masked.push_back(sum);
  }
  EXPECT_THAT(trained, ElementsAre("Hello there\n<extra_id_1>", ""));
  EXPECT_GT(masked[0], 3);
  EXPECT_EQ(masked[1], 0);
  const Outcome text = run({"show-mask", "--model", fixtures + "models/tied", "--input", data});
  EXPECT_THAT(text.out, HasSubstr("<extra_id_1>Assistant\n<extra_id_2>quality:3\n[[Hello there\n<extra_id_1>]]\n"));
  const std::string weights = write(
      "w.jsonl",
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"WRONG","weight":0},{"role":"user","content":"b"},{"role":"assistant","content":"good","label":"quality:3"}]})");
  const Outcome weighted = run({"show-mask", "--model", fixtures + "models/tied", "--input", weights});
  EXPECT_EQ(weighted.code, 0) << weighted.err;
  EXPECT_THAT(weighted.out, HasSubstr("Assistant\nWRONG\n<extra_id_1>User\nb\n"));
  EXPECT_THAT(weighted.out, HasSubstr("<extra_id_1>Assistant\n<extra_id_2>quality:3\n[[good\n<extra_id_1>]]\n"));
  EXPECT_EQ(run({"show-mask", "--model", path("none"), "--input", data}).code, 4);
  EXPECT_EQ(run({"show-mask", "--model", fixtures + "models/tied", "--input", path("none")}).code, 3);
}

TEST_F(DataCommands, MakeToy) {
  const Outcome outcome = run({"make-toy", "--output", path("toy"), "--count", "20", "--seed", "3"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(run({"make-toy", "--output", path("again"), "--count", "20", "--seed", "3"}).code, 0);
  EXPECT_EQ(read(path("toy/train.jsonl")), read(path("again/train.jsonl")));
  const Outcome check = run({"check", "--input", path("toy/train.jsonl")});
  EXPECT_EQ(check.code, 0) << check.out;
  EXPECT_THAT(check.out, ::testing::ContainsRegex("records +20\n"));
  EXPECT_EQ(run({"make-toy", "--output", path("none"), "--count", "0"}).code, 2);
}

}  // namespace
}  // namespace steerlm
