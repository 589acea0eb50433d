// Answers of several models, compared by a judge: what is written for it, and what is made of what it says.
#include <gmock/gmock.h>

#include <cmath>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

std::string answer(const std::string& prompt, const std::string& response) {
  return Json({{"prompt", prompt}, {"response", response}, {"finish", "stop"}}).dump() + "\n";
}

class JudgementsProgram : public Program {
 protected:
  // Four prompts where a's answer is 10 characters longer, and two where b's is.
  void write_six() {
    std::string a, b;
    for (int i = 0; i < 6; ++i) {
      a += answer("q" + std::to_string(i), std::string(i < 4 ? 15 : 5, 'a'));
      b += answer("q" + std::to_string(i), std::string(i < 4 ? 5 : 15, 'b'));
    }
    write("a.jsonl", a);
    write("b.jsonl", b);
    const Result result = run("judgements write --answers a=a.jsonl --answers b=b.jsonl --output comparisons.jsonl");
    ASSERT_EQ(result.code, 0) << result.errors;
  }

  // What a judge says who prefers the system `winner(prompt number)` in both orders; "" is a tie.
  std::string judge(const std::function<std::string(int)>& winner) const {
    std::string lines;
    for (const Json& line : json_lines(read("comparisons.jsonl"))) {
      const std::string name = winner(line["number"]);
      lines += Json({{"id", line["id"]}, {"winner", name.empty() ? "tie" : name}}).dump() + "\n";
    }
    return lines;
  }
  Result read_judged(const std::string& lines) {
    write("judged.jsonl", lines);
    return run("judgements read --comparisons comparisons.jsonl --judged judged.jsonl --output r.json --overwrite");
  }
  Json figures() const { return parse_json(read("r.json"), "r.json", ExitCode::data); }
};

TEST_F(JudgementsProgram, WritesEveryTwoSystemsInBothOrders) {
  for (const char* name : {"a", "b", "c"})
    write(std::string(name) + ".jsonl",
          answer("q0", name + std::string("0")) + "\n" + answer("q1", name + std::string("1")));
  const Result result =
      run("judgements write --answers a=a.jsonl --answers b=b.jsonl --answers c=c.jsonl --output comparisons.jsonl");
  ASSERT_EQ(result.code, 0) << result.errors;
  const std::vector<Json> lines = json_lines(read("comparisons.jsonl"));
  std::vector<std::string> ids;
  for (const Json& line : lines) ids.push_back(line["id"]);
  EXPECT_EQ(ids, (std::vector<std::string>{"0/a/b", "0/b/a", "0/a/c", "0/c/a", "0/b/c", "0/c/b", "1/a/b", "1/b/a",
                                           "1/a/c", "1/c/a", "1/b/c", "1/c/b"}));
  EXPECT_EQ(lines[9],
            Json::parse(R"({"id": "1/c/a", "number": 1, "prompt": "q1", "first": "c", "second": "a", "order": 2,
                                      "first_response": "c1", "second_response": "a1"})"));
  const Result again =
      run("experiment --write-judgements - --answers a=a.jsonl --answers b=b.jsonl --answers c=c.jsonl");
  EXPECT_EQ(again.code, 0) << again.errors;
  EXPECT_EQ(again.output, read("comparisons.jsonl")) << "the other spelling of the same";
}

TEST_F(JudgementsProgram, TakesWhatGenerateWrites) {
  make_model("untied", "model", R"("quality")");
  write("in.jsonl",
        R"({"system":"Be brief.","conversations":[{"from":"User","value":"one"},{"from":"Assistant","value":"two",)"
        R"("label":"quality:1"},{"from":"User","value":"three"}]})"
        "\n"
        R"({"prompt":"four"})"
        "\n"
        R"({"turns":["five","six","seven"]})"
        "\n");
  for (const char* level : {"0", "4"}) {
    const Result result = run("generate --model model --input in.jsonl --max-new-tokens 5 --device cpu --set quality=" +
                              std::string(level) + " --output at-" + level + ".jsonl");
    ASSERT_EQ(result.code, 0) << result.errors;
  }
  const Result result =
      run("judgements write --answers low=at-0.jsonl --answers high=at-4.jsonl --output comparisons.jsonl");
  ASSERT_EQ(result.code, 0) << result.errors;
  const std::vector<Json> lines = json_lines(read("comparisons.jsonl"));
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[0]["system"], "Be brief.");
  EXPECT_EQ(lines[0]["earlier_turns"],
            Json::parse(R"([{"from": "User", "value": "one"}, {"from": "Assistant", "value": "two"}])"));
  EXPECT_EQ(lines[0]["prompt"], "three");
  EXPECT_FALSE(lines[2].contains("system"));
  EXPECT_EQ(lines[2]["prompt"], "four");
  EXPECT_EQ(lines[4]["earlier_turns"][1]["value"], "six");
  const std::vector<Json> low = json_lines(read("at-0.jsonl")), high = json_lines(read("at-4.jsonl"));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(lines[2 * i]["first_response"], low[i]["response"]);
    EXPECT_EQ(lines[2 * i]["second_response"], high[i]["response"]);
    EXPECT_EQ(lines[2 * i + 1]["first_response"], high[i]["response"]);
  }
}

TEST_F(JudgementsProgram, ComparisonsArePackedAsTheirNameSays) {
  write_six();
  for (const std::string ending : {".gz", ".zst"}) {
    const Result packed =
        run("judgements write --answers a=a.jsonl --answers b=b.jsonl --output packed.jsonl" + ending);
    ASSERT_EQ(packed.code, 0) << packed.errors;
    write("judged.jsonl", judge([](int) { return "a"; }));
    const Result result = run("judgements read --judged judged.jsonl --comparisons packed.jsonl" + ending +
                              " --output r" + ending + ".json");
    EXPECT_EQ(result.code, 0) << result.errors;
  }
  expect_refused(run("judgements read --judged judged.jsonl --comparisons comparisons.jsonl --output r.json.gz"), 2,
                 "this output is not packed");
}

TEST_F(JudgementsProgram, RatesWhatTheJudgePrefers) {
  write_six();
  // a wins 3 of the 4 where its answer is the longer one, and 1 of the 2 where it is not.
  const auto winner = [](int prompt) { return prompt == 3 || prompt == 5 ? "b" : "a"; };
  const Result result = read_judged(judge(winner));
  ASSERT_EQ(result.code, 0) << result.errors;
  const Json pair = figures()["pairs"][0];
  EXPECT_EQ(pair["first"], "a");
  EXPECT_EQ(pair["second"], "b");
  EXPECT_EQ(pair["prompts"], 6);
  EXPECT_EQ(pair["won"], 8);
  EXPECT_EQ(pair["lost"], 4);
  EXPECT_EQ(pair["both_orders"], 6);
  EXPECT_EQ(pair["consistent"], 6);
  EXPECT_NEAR(pair["win_rate"].get<double>(), 4.0 / 6, 1e-12);
  // Two differences of lengths, +-10: the intercept is the mean of the logits, (log 3 + log 1) / 2.
  EXPECT_NEAR(pair["length_controlled"].get<double>(), std::sqrt(3.0) / (1 + std::sqrt(3.0)), 1e-9);
  const Json systems = figures()["systems"];
  EXPECT_GT(systems[0]["elo"].get<double>(), systems[1]["elo"].get<double>());
  EXPECT_NEAR(systems[0]["elo"].get<double>() + systems[1]["elo"].get<double>(), 2000, 1e-6);
  EXPECT_LT(systems[0]["elo_interval"][0], systems[0]["elo_interval"][1]);
  EXPECT_NEAR(systems[0]["mean_characters"].get<double>(), (4 * 15 + 2 * 5) / 6.0, 1e-12);
  EXPECT_THAT(result.output, HasSubstr("equal lengths"));
  EXPECT_THAT(result.output, HasSubstr("0.667"));
  EXPECT_THAT(result.output, HasSubstr("6 of 6"));

  // A preference between 1 and 2 says the same; a copy of the comparison with it does too, in any order of the lines.
  const std::string before = read("r.json");
  std::vector<std::string> lines;
  for (Json line : json_lines(read("comparisons.jsonl"))) {
    line["preference"] = line["first"] == winner(line["number"]) ? 1 : 2;
    lines.push_back(line.dump() + "\n");
  }
  std::string backwards;
  for (const std::string& line : lines) backwards = line + backwards;
  ASSERT_EQ(read_judged(backwards).code, 0);
  EXPECT_EQ(read("r.json"), before);
}

TEST_F(JudgementsProgram, TiesAndTheTasteForAPlace) {
  write_six();
  std::string lines;
  for (const Json& line : json_lines(read("comparisons.jsonl"))) {
    const int prompt = line["number"];
    lines += Json({{"id", line["id"]}, {"winner", prompt == 0 ? "b" : prompt == 1 ? "tie" : "first"}}).dump() + "\n";
  }
  ASSERT_EQ(read_judged(lines).code, 0);
  const Json pair = figures()["pairs"][0];
  EXPECT_EQ(pair["won"], 4);
  EXPECT_EQ(pair["tied"], 2);
  EXPECT_EQ(pair["lost"], 6);
  EXPECT_EQ(pair["consistent"], 2) << "the first answer always: no prompt has one winner";
  EXPECT_NEAR(pair["win_rate"].get<double>(), (0 + 0.5 + 4 * 0.5) / 6, 1e-12);
}

TEST_F(JudgementsProgram, TheOracleOfTheToyLanguageJudges) {
  write("right.jsonl", answer("copy fig kiwi", "fig kiwi") + answer("copy apple plum", "apple plum"));
  write("wrong.jsonl", answer("copy fig kiwi", "kiwi fig") + answer("copy apple plum", "apple plum"));
  const Result result =
      run("judgements write --answers right=right.jsonl --answers wrong=wrong.jsonl --judge toy --output "
          "comparisons.jsonl");
  ASSERT_EQ(result.code, 0) << result.errors;
  std::vector<std::string> winners;
  for (const Json& line : json_lines(read("comparisons.jsonl"))) winners.push_back(line["winner"]);
  EXPECT_EQ(winners, (std::vector<std::string>{"first", "second", "tie", "tie"}));
  ASSERT_EQ(run("judgements read --comparisons comparisons.jsonl --judged comparisons.jsonl --output r.json").code, 0);
  EXPECT_EQ(figures()["pairs"][0]["win_rate"], 0.75);

  write("a.jsonl", answer("What is red?", "A cherry."));
  write("b.jsonl", answer("What is red?", "My nose."));
  expect_refused(run("judgements write --answers a=a.jsonl --answers b=b.jsonl --judge toy --output x.jsonl"), 3,
                 "a.jsonl:1: the oracle of the toy language cannot judge this prompt");
  EXPECT_FALSE(exists("x.jsonl"));
}

TEST_F(JudgementsProgram, AnswersThatCannotBeCompared) {
  write("a.jsonl", answer("q0", "r") + answer("q1", "r"));
  const std::string command = "judgements write --answers a=a.jsonl --answers b=b.jsonl --output x.jsonl";
  write("b.jsonl", answer("q0", "s") + answer("q2", "s"));
  expect_refused(run(command), 3,
                 R"(b.jsonl:2: answers to different prompts (found "q2", expected the prompt of a.jsonl:2, "q1")");
  write("b.jsonl", answer("q0", "s"));
  expect_refused(run(command), 3,
                 "b.jsonl: files with different numbers of answers (found 1, expected 2, as in a.jsonl)");
  write("b.jsonl", R"({"prompt":"q0"})");
  expect_refused(run(command), 3, "b.jsonl:1: 'response' is missing");
  write("b.jsonl", R"({"response":"s"})");
  expect_refused(run(command), 3, "b.jsonl:1: a line without a prompt");
  write("b.jsonl", answer("q0", "s") + R"({"prompt":"q1","system":"Be rude.","response":"s"})");
  expect_refused(run(command), 3, "b.jsonl:2: answers to different prompts");
  write("b.jsonl", R"({"turns":["x","y","q0"],"response":"s"})");
  expect_refused(run(command), 3, "b.jsonl:1: answers to different prompts");
  write("b.jsonl", "\n");
  expect_refused(run(command), 3, "b.jsonl: no answer is in the file");
  EXPECT_FALSE(exists("x.jsonl"));
  expect_refused(run("judgements write --answers a=a.jsonl --output x.jsonl"), 2, "nothing to compare");
  expect_refused(run("judgements write --answers a=a.jsonl --answers a=b.jsonl --output x.jsonl"), 2,
                 "two systems of one name");
  expect_refused(run("judgements write --answers a/b=a.jsonl --answers a=b.jsonl --output x.jsonl"), 2, "another name");
  expect_refused(run("judgements write --answers tie=a.jsonl --answers a=b.jsonl --output x.jsonl"), 2, "another name");
  expect_refused(run("judgements write --answers a.jsonl --answers b=b.jsonl --output x.jsonl"), 2, "NAME=FILE");
  write("b.jsonl", answer("q0", "s") + answer("q1", "s"));
  expect_refused(run("judgements write --answers a=a.jsonl --answers b=b.jsonl --output a.jsonl --overwrite"), 2,
                 "a.jsonl");
  write("x.jsonl", "mine");
  expect_refused(run(command), 5, "x.jsonl");
  EXPECT_EQ(read("x.jsonl"), "mine");
}

TEST_F(JudgementsProgram, JudgementsThatAreNotOfTheComparisons) {
  write_six();
  const std::string good = judge([](int) { return "a"; });
  const auto first_line = [&](const std::string& line) { return line + "\n" + good.substr(good.find('\n') + 1); };
  expect_refused(read_judged(first_line(R"({"id":"7/a/b","winner":"a"})")), 3,
                 "judged.jsonl:1: an unknown comparison (found id '7/a/b'");
  expect_refused(read_judged(good.substr(good.find('\n') + 1)), 3,
                 R"(judged.jsonl: 1 of 12 comparisons have no judgement (found none for the id "0/a/b")");
  expect_refused(read_judged(good + R"({"id":"0/b/a","winner":"a"})"), 3,
                 "judged.jsonl:13: a comparison that is judged twice");
  expect_refused(read_judged(first_line(R"({"id":"0/a/b","first":"b","second":"a","winner":"a"})")), 3,
                 "judged.jsonl:1: 'first' is not that of the comparison with this id");
  expect_refused(read_judged(first_line(R"({"id":"0/a/b","first_response":"x","winner":"a"})")), 3,
                 "'first_response' is not that");
  expect_refused(read_judged(first_line(R"({"id":"0/a/b"})")), 3, "judged.jsonl:1: no judgement");
  expect_refused(read_judged(first_line(R"({"id":"0/a/b","winner":"a","preference":1})")), 3,
                 "both 'winner' and 'preference'");
  expect_refused(read_judged(first_line(R"({"id":"0/a/b","winner":"c"})")), 3,
                 "'winner' is no answer of the comparison");
  expect_refused(read_judged(first_line(R"({"id":"0/a/b","preference":0})")), 3, "'preference' is no preference");
  expect_refused(read_judged(first_line(R"({"id":"0/a/b","preference":null})")), 3, "judged.jsonl:1: no judgement");
  expect_refused(read_judged(first_line(R"({"winner":"a"})")), 3, "judged.jsonl:1: 'id' is missing");
  expect_refused(read_judged(first_line("[]")), 3, "judged.jsonl:1: a line that is no JSON object");
  EXPECT_FALSE(exists("r.json"));

  const std::string comparisons = read("comparisons.jsonl");
  write("comparisons.jsonl", comparisons.substr(comparisons.find('\n') + 1));
  expect_refused(read_judged(good), 3, "comparisons.jsonl:1: a comparison without the one in the other order");
  write("comparisons.jsonl", comparisons + comparisons);
  expect_refused(read_judged(good), 3, "comparisons.jsonl:13: a comparison that is there twice");
  std::string other = comparisons;
  other.replace(other.find(R"("second":"b")"), 12, R"("second":"c")");
  write("comparisons.jsonl", other);
  expect_refused(read_judged(good), 3,
                 "comparisons.jsonl:1: the id of the comparison is not that of its number and systems");
  const auto refuse_with = [&](const std::string& from, const std::string& to, const std::string& what) {
    std::string changed = comparisons;
    changed.replace(changed.find(from), from.size(), to);
    write("comparisons.jsonl", changed);
    expect_refused(read_judged(good), 3, what + " is not that of the comparison in the other order");
  };
  refuse_with(R"("prompt":"q0")", R"("prompt":"zzz")", "comparisons.jsonl:1: 'prompt'");
  refuse_with(R"("second_response":"bbbbb")", R"("second_response":"z")", "comparisons.jsonl:1: 'second_response'");
  refuse_with(R"("order":2)", R"("order":1)", "comparisons.jsonl:1: 'order'");
  refuse_with(R"("order":1)", R"("order":7)", "comparisons.jsonl:1: 'order'");
  write("comparisons.jsonl", "");
  expect_refused(read_judged(good), 3, "comparisons.jsonl: no comparison is in the file");
  write("comparisons.jsonl", comparisons);
  EXPECT_EQ(read_judged(good).code, 0);
  EXPECT_EQ(read_judged(first_line(R"({"id":"0/a/b","winner":"a","preference":null,"first":null})")).code, 0)
      << "null is the same as missing";
  expect_refused(run("judgements read --comparisons comparisons.jsonl --judged judged.jsonl --output r.json"), 5,
                 "r.json");
}

TEST_F(JudgementsProgram, ExperimentEitherRunsOrWrites) {
  write("a.jsonl", answer("q0", "r"));
  write("b.jsonl", answer("q0", "s"));
  const std::string answers = " --answers a=a.jsonl --answers b=b.jsonl";
  expect_refused(run("experiment m1-dials --write-judgements x.jsonl" + answers), 2,
                 "--write-judgements runs no experiment");
  expect_refused(run("experiment m1-dials --out out" + answers), 2, "are of --write-judgements alone");
  expect_refused(run("experiment --out out"), 2, "NAME is required");
  expect_refused(run("experiment m1-dials"), 2, "--out is required");
  EXPECT_FALSE(exists("x.jsonl"));
  EXPECT_FALSE(exists("out"));
}

}  // namespace
}  // namespace steerlm
