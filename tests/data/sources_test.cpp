// Published sources: contracts.md section 5.
#include <gmock/gmock.h>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace steerlm::testing;

std::vector<std::string> texts(const std::string& name, Format format = Format::auto_detect, int max = 4) {
  return texts_of({source(fixture(name), format)}, make_test_attributes(0, max));
}

std::string refusal(const std::string& line, Format format = Format::auto_detect) {
  TemporaryFolder folder;
  const std::string path = write_file(folder, "f.jsonl", line);
  std::string message = message_of(ExitCode::data, [&] { texts_of({source(path, format)}, make_test_attributes()); });
  return message.starts_with(path) ? message.substr(path.size()) : message;
}

TEST(SourcesTest, OasstPaths) {
  const auto expected = ElementsAre(
      "User: Name a red fruit. | Assistant(quality:3,toxicity:0,humor:2): A cherry. | User: Another one? | Assistant: "
      "A\nstrawberry.",
      "User: Name a red fruit. | Assistant(quality:3,toxicity:0,humor:2): A cherry. | User: Another one? | "
      "Assistant(quality:1): Fire.",
      "User: Name a red fruit. | Assistant(quality:3,toxicity:0,humor:2): A cherry. | User: Thanks.",
      "User: Name a red fruit. | Assistant: ",  //
      "User: Hi | Assistant(quality:2,creativity:4): Hello");
  EXPECT_THAT(texts("oasst.jsonl"), expected);
  EXPECT_THAT(texts("oasst.jsonl", Format::oasst), expected);
}

TEST(SourcesTest, OasstRatingsAreRoundedHalfToEven) {
  // quality 0.75 * 9 = 6.75 -> 7, humor 0.5 * 9 = 4.5 -> 4; 0.1666666 * 9 = 1.4999994 -> 1
  EXPECT_THAT(texts("oasst.jsonl", Format::oasst, 9)[1],
              HasSubstr("Assistant(quality:7,toxicity:0,humor:4): A cherry."));
  EXPECT_THAT(texts("oasst.jsonl", Format::oasst, 9)[1], HasSubstr("Assistant(quality:1): Fire."));
  // 0.5 * 3 = 1.5 -> 2, 0.5 * 5 = 2.5 -> 2
  EXPECT_THAT(texts("oasst.jsonl", Format::oasst, 3)[4], HasSubstr("quality:2"));
  EXPECT_THAT(texts("oasst.jsonl", Format::oasst, 5)[4], HasSubstr("quality:2"));
}

TEST(SourcesTest, OasstKeepsTheTree) {
  const std::vector<Record> records = read_records({source(fixture("oasst.jsonl"))}, make_test_attributes(), "S");
  ASSERT_EQ(records.size(), 5u);
  EXPECT_EQ(records[2].dialogue, "tree-a");
  EXPECT_EQ(records[4].dialogue, "tree-c");
  EXPECT_EQ(records[4].line, 3);
  EXPECT_EQ(
      dump_json(records[4].json),
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"Hi","label":null},{"from":"Assistant","value":"Hello","label":"quality:2,creativity:4"}],"tree_id":"tree-c"})");
}

TEST(SourcesTest, OasstRefusals) {
  const auto tree = [](const std::string& message) {
    return R"({"message_tree_id":"t","prompt":{"message_id":"m1","role":"prompter","text":"x","replies":[)" + message +
           "]}}";
  };
  EXPECT_THAT(refusal(tree(R"({"message_id":"m2","role":"asistant","text":"x"})")),
              HasSubstr(":1, message m2: unknown role (found 'asistant', expected prompter or assistant); did you mean "
                        "'assistant'?"));
  EXPECT_THAT(refusal(tree(R"({"message_id":"m2","role":"assistant"})")),
              HasSubstr(":1, message m2: 'text' is missing"));
  EXPECT_THAT(refusal(tree(R"({"message_id":"m2","role":"assistant","text":"x","replies":{}})")),
              HasSubstr("'replies' has the wrong type"));
  EXPECT_THAT(
      refusal(tree(R"({"message_id":"m2","role":"assistant","text":"x","labels":{"quality":{"value":1.5}}})")),
      HasSubstr(
          ":1, message m2: the rating of 'quality' cannot be used (found 1.5, expected a number from 0.0 to 1.0)"));
  EXPECT_THAT(refusal(tree(R"({"role":"assistant","text":"x","labels":{"quality":{"count":1}}})")),
              HasSubstr("the label 'quality' has no 'value'"));
  EXPECT_THAT(refusal(tree(R"({"role":"assistant","text":"x","labels":{"name":["quality"],"value":[]}})")),
              HasSubstr("1 names and 0 values"));
  EXPECT_THAT(refusal(R"({"prompt":"x"})", Format::oasst),
              HasSubstr(":1: 'prompt' has the wrong type (found text, expected an object)"));
}

TEST(SourcesTest, HhRlhf) {
  for (const Format format : {Format::auto_detect, Format::hh_rlhf}) {
    EXPECT_THAT(
        texts("hh_rlhf.jsonl", format),
        ElementsAre("User: Hi   | Assistant:  Hello\n\nthere | User: Bye | Assistant: ", "User: Hi   | Assistant: "));
  }
  EXPECT_THAT(refusal(R"({"chosen":"Human: x","rejected":""})"),
              HasSubstr(":1: 'chosen' does not start with a mark (found \"Human: x\""));
  EXPECT_THAT(refusal(R"({"chosen":"\n\nHuman: x","rejected":3})"), HasSubstr(":1: 'rejected' has the wrong type"));
}

TEST(SourcesTest, HelpSteer) {
  EXPECT_THAT(texts("helpsteer.jsonl", Format::helpsteer),
              ElementsAre("User: What is two and two? | Assistant(helpfulness:4,coherence:3,verbosity:1): Four.",
                          "User: Sing. | Assistant(helpfulness:2,coherence:4): La."));
  // 0-4 to 0-9: 3 -> 6.75 -> 7, 1 -> 2.25 -> 2, 2 -> 4.5 -> 4
  EXPECT_THAT(texts("helpsteer.jsonl", Format::auto_detect, 9),
              ElementsAre("User: What is two and two? | Assistant(helpfulness:9,coherence:7,verbosity:2): Four.",
                          "User: Sing. | Assistant(helpfulness:4,coherence:9): La."));
  EXPECT_THAT(refusal(R"({"prompt":"x","response":"y","helpfulness":5})"),
              HasSubstr("the rating of 'helpfulness' cannot be used (found 5"));
  EXPECT_THAT(refusal(R"({"prompt":"x","response":"y","helpfulness":[3,4]})"),
              HasSubstr("(found an array, expected a number from 0.0 to 4.0)"));
  EXPECT_THAT(refusal(R"({"prompt":"x","response":null})"), HasSubstr(":1: 'response' has the wrong type"));
}

TEST(SourcesTest, HelpSteer2SplitsThePrompt) {
  for (const Format format : {Format::auto_detect, Format::helpsteer2}) {
    EXPECT_THAT(texts("helpsteer2.jsonl", format),
                ElementsAre("User: Name a fruit. | Assistant: A cherry.\nIt is red. | User: Another?\n | "
                            "Assistant(helpfulness:3,coherence:4,verbosity:2): A pear.",
                            "User: Hello | Assistant(helpfulness:1,coherence:2,verbosity:0): Hi"));
  }
  EXPECT_THAT(texts("helpsteer2.jsonl", Format::helpsteer)[0],
              HasSubstr("User: Name a fruit.\n<extra_id_1>Assistant\n"));
}

TEST(SourcesTest, PreferenceRows) {
  EXPECT_THAT(texts("preference.jsonl"),
              ElementsAre("User: Name a fruit. | Assistant: A pear.", "User: Name a fruit. | Assistant: A stone."));
  EXPECT_THAT(refusal(R"({"prompt":"x","response_1":"y"})"), HasSubstr(":1: 'response_2' is missing"));
}

TEST(SourcesTest, ShareGptArrayAndLines) {
  for (const Format format : {Format::auto_detect, Format::sharegpt}) {
    const std::vector<Record> records =
        read_records({source(fixture("sharegpt.json"), format)}, make_test_attributes(), "S");
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].conversation.system, "Be brief.");
    EXPECT_EQ(text_of(records[0].conversation), "User: Who are you? | Assistant: Bo.");
    EXPECT_EQ(
        dump_json(records[0].json),
        R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"Who are you?","label":null},{"from":"Assistant","value":"Bo.","label":null,"weight":1}],"system":"Be brief.","id":"one"})");
    EXPECT_EQ(records[1].conversation.system, "S");
    EXPECT_EQ(records[1].line, 2);
  }
  TemporaryFolder folder;
  const std::string lines = write_file(
      folder, "f.jsonl", R"({"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello"}]})");
  EXPECT_THAT(texts_of({source(lines)}, make_test_attributes()), ElementsAre("User: Hi | Assistant: Hello"));
  EXPECT_THAT(
      refusal(R"({"conversations":[{"from":"human","value":"x"},{"from":"gtp","value":"x"}]})"),
      HasSubstr(":1, turn 2: unknown role in 'from' (found 'gtp', expected human, gpt, user, assistant, system)"));
  EXPECT_THAT(refusal(R"([{"conversations":[{"from":"human","value":"x"}]},{"conversations":[]}])"),
              HasSubstr(":2: an empty conversation"));
  EXPECT_THAT(refusal(R"([{"conversations":[]})"), HasSubstr("not valid JSON"));
}

TEST(SourcesTest, Messages) {
  for (const Format format : {Format::auto_detect, Format::messages}) {
    const std::vector<Record> records =
        read_records({source(fixture("messages.jsonl"), format)}, make_test_attributes(), "S");
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].conversation.system, "Be brief.");
    EXPECT_EQ(text_of(records[0].conversation), "User: Hi | Assistant: Hello");
    EXPECT_THAT(dump_json(records[0].json), HasSubstr(R"("system":"Be brief.","id":7,"source":"x"})"));
    EXPECT_EQ(text_of(records[1].conversation), "User: Hi | System: The user is five. | Assistant: Hello!");
    EXPECT_THAT(records[1].conversation.masked_roles, ElementsAre("User", "System"));
  }
  EXPECT_THAT(refusal(R"({"messages":[{"role":"tool","content":"x"}]})"),
              HasSubstr(":1, turn 1: unknown role in 'role' (found 'tool', expected user, assistant, system)"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"user","content":[]}]})"),
              HasSubstr(":1, turn 1: 'content' has the wrong type (found an array, expected text)"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"system","content":"x"}]})"), HasSubstr(":1: an empty conversation"));
  EXPECT_THAT(refusal(R"({"messages":[]})"), HasSubstr(":1: an empty conversation"));
}

TEST(SourcesTest, Text) {
  EXPECT_THAT(texts("lines.txt"), ElementsAre("User: first text", "User: {\"second\": \"text\"}"));
  EXPECT_THAT(texts("messages.jsonl", Format::text)[1], HasSubstr("User: {\"messages\""));
  EXPECT_THAT(refusal("fine\nb\xFF"
                      "d",
                      Format::text),
              HasSubstr(":2: not valid UTF-8 at byte 2"));
  EXPECT_THAT(refusal(std::string("a\0b", 3), Format::text), HasSubstr(":1: a raw NUL byte at byte 2"));
}

TEST(SourcesTest, NotRecognised) {
  EXPECT_THAT(refusal(R"({"conversation":[]})"),
              HasSubstr(":1: no known kind of record (found the key 'conversation'"));
  EXPECT_THAT(refusal(R"({"conversation":[]})"), HasSubstr("did you mean 'conversations'?"));
  EXPECT_THAT(refusal("{}"), HasSubstr("(found an empty object"));
  EXPECT_THAT(refusal("{\"prompt\":\"x\"}"), HasSubstr("a line of prompts cannot be trained on"));
  EXPECT_THAT(refusal("garbage"), HasSubstr(":1: not valid JSON"));
  EXPECT_THAT(refusal("3", Format::messages), HasSubstr(":1: a line that is no object (found the number 3"));
}

}  // namespace
}  // namespace steerlm
