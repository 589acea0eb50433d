// What is made of files of answers, and what an answer's line takes the place of.
#include <gmock/gmock.h>

#include <fstream>

#include "steerlm/core/json.h"
#include "steerlm/stages/judgements.h"
#include "steerlm/stages/sample.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AnswerFiles : public ::testing::Test {
 protected:
  // The first comparison of two systems that gave this line.
  Json compared(const std::string& line) {
    const std::string path = (folder_.path() / "answers.jsonl").string();
    std::ofstream(path, std::ios::binary) << line << "\n";
    const std::string lines = make_comparisons({{"a", path}, {"b", path}}, false);
    return parse_json(lines.substr(0, lines.find('\n')), "comparison", ExitCode::data);
  }
  TemporaryFolder folder_;
};

// What `evaluate` writes of a prompt with turns: `prompt` is the last of them.
TEST_F(AnswerFiles, EarlierTurnsAreOfTheComparison) {
  const Json line = compared(R"({"turns":["one","two","three"],"response":"r","prompt":"three"})");
  EXPECT_EQ(line.at("prompt"), "three");
  EXPECT_EQ(line.at("earlier_turns"),
            Json::parse(R"([{"from": "User", "value": "one"}, {"from": "Assistant", "value": "two"}])"));
  EXPECT_FALSE(
      compared(R"({"turns":["one","two","three"],"response":"r","prompt":"other"})").contains("earlier_turns"));
  EXPECT_EQ(compared(R"({"conversations":null,"prompt":"q","response":"r"})").at("prompt"), "q");
  EXPECT_EQ(compared(R"({"turns":null,"prompt":"q","response":"r"})").at("prompt"), "q");
}

// As in prompts that are to be answered (data/prompt_line).
TEST_F(AnswerFiles, PromptsThatAreNoneAreRefused) {
  const auto refusal = [&](const std::string& prompt) {
    return message_of(ExitCode::data, [&] { compared("{" + prompt + R"("response":"r"})"); });
  };
  EXPECT_THAT(refusal(R"("turns":["one","two"],)"),
              HasSubstr("answers.jsonl:1: 'turns' does not end with a text of the user (found 2 texts"));
  EXPECT_THAT(refusal(R"("turns":["one",2,"three"],)"), HasSubstr("an entry of 'turns' has the wrong type"));
  EXPECT_THAT(refusal(R"("turns":"one",)"), HasSubstr("'turns' has the wrong type"));
  EXPECT_THAT(refusal(R"("prompt":1,)"), HasSubstr("'prompt' has the wrong type"));
  EXPECT_THAT(refusal(R"("turns":[],)"), HasSubstr("a line without a prompt"));
  EXPECT_THAT(refusal(""), HasSubstr("a line without a prompt"));
}

// One side of a pair says which it is in `response`, where the answer goes.
TEST(ReplacedKeys, AreThoseThatAreLost) {
  const auto replaced = [](const char* input) { return replaced_keys(Json::parse(input), response_keys_written); };
  EXPECT_THAT(replaced(R"({"response":"chosen","id":1})"), ElementsAre("response"));
  EXPECT_THAT(replaced(R"({"logprob":-1,"finish":null})"), ElementsAre("logprob"));
  EXPECT_THAT(replaced(R"({"prompt":"q"})"), IsEmpty());
  EXPECT_THAT(replaced(R"({"token_ids":[],"logprob":-1,"finish":"stop"})"), IsEmpty()) << "of a former answer";
}

}  // namespace
}  // namespace steerlm
