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

// What `generate` wrote: the response is the answer to the last turn of the user.
TEST(SourcesTest, GeneratedResponsesAreTurns) {
  TemporaryFolder folder;
  const std::string more = R"("response":"A plum.","token_ids":[1,2],"logprob":-1.5,"finish":"stop"})";
  const auto read = [&](const std::string& prompt) {
    return read_records({source(write_file(folder, "f.jsonl", "{" + prompt + "," + more))}, make_test_attributes(), "");
  };
  const auto said = [](const Record& record) {
    std::string text;
    for (const Turn& turn : record.conversation.turns) text += turn.from + ": " + turn.value + " | ";
    return text;
  };
  EXPECT_EQ(said(read(R"("prompt":"Name a fruit.")").at(0)), "User: Name a fruit. | Assistant: A plum. | ");
  EXPECT_EQ(said(read(R"("question_id":7,"turns":["Name a fruit."])").at(0)),
            "User: Name a fruit. | Assistant: A plum. | ");
  EXPECT_EQ(read(R"("prompt":"Name a fruit.","turns":2)").at(0).json.at("turns"), 2) << "of `prompt` a key like others";
  const Record record = read(R"("system":"S","conversations":[{"from":"User","value":"Hi"},{"from":"Assistant",)"
                             R"("value":"Hello","label":"quality:3"},{"from":"User","value":"Name a fruit."},)"
                             R"({"from":"Assistant","value":"An apple.","label":"quality:1"}],"id":9)")
                            .at(0);
  EXPECT_EQ(said(record), "User: Hi | Assistant: Hello | User: Name a fruit. | Assistant: A plum. | ")
      << "the answer of the input is another one";
  EXPECT_FALSE(record.conversation.turns.back().label) << "the label was of the other answer";
  EXPECT_EQ(record.conversation.system, "S");
  EXPECT_EQ(record.json.at("id"), 9);
  EXPECT_EQ(record.json.at("token_ids"), Json({1, 2})) << "other keys travel along";
  EXPECT_FALSE(record.json.contains("response")) << "read again it is a record like any other";
  EXPECT_THAT(refusal(R"({"prompt":"x","response":3,"token_ids":[],"logprob":0,"finish":"stop"})"),
              HasSubstr("'response'"));
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
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"Hi","label":null,"message_id":"c0"},{"from":"Assistant","value":"Hello","label":"quality:2,creativity:4","message_id":"c1"}],"tree_id":"tree-c"})");
}

// What the tree and its messages have besides, but for `labels` and `replies`.
TEST(SourcesTest, OasstKeysTravelAndAreObeyed) {
  TemporaryFolder folder;
  const std::string path = write_file(
      folder, "f.jsonl",
      R"({"message_tree_id":"t","tree_state":"growing","system":"Be brief.","origin":1.50,"prompt":{"message_id":"m0","role":"prompter","text":"Hi","replies":[{"message_id":"m1","role":"assistant","text":"a","label":"quality:4","labels":{"quality":{"value":0.25}},"weight":0,"rank":null,"replies":[{"role":"prompter","text":"And?","lang":"en","replies":[{"role":"assistant","text":"b","train":false,"deleted":true,"review_result":false},{"role":"assistant","text":"c","deleted":false,"review_result":true}]}]}]}})");
  RecordReader reader({source(path)}, make_test_attributes(), "S");
  const Record first = std::get<Record>(*reader.next()), second = std::get<Record>(*reader.next());
  EXPECT_EQ(text_of(first.conversation), "User: Hi | Assistant(quality:4): a | User: And? | Assistant: b");
  EXPECT_EQ(first.conversation.system, "Be brief.");
  EXPECT_TRUE(first.conversation.turns[1].context_only);
  EXPECT_TRUE(first.conversation.turns[3].context_only);
  EXPECT_FALSE(second.conversation.turns[3].context_only);
  EXPECT_EQ(
      dump_json(first.json),
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"Hi","label":null,"message_id":"m0"},{"from":"Assistant","value":"a","label":"quality:4","message_id":"m1","weight":0,"rank":null},{"from":"User","value":"And?","label":null,"lang":"en"},{"from":"Assistant","value":"b","label":null,"train":false,"deleted":true,"review_result":false}],"tree_id":"t","tree_state":"growing","system":"Be brief.","origin":1.50})");
  EXPECT_THAT(reader.notes().unobeyed,
              ElementsAre(std::pair{"'deleted' of a turn", 1}, std::pair{"'labels' of a turn, beside 'label'", 1},
                          std::pair{"'review_result' of a turn", 1}));
  EXPECT_THAT(
      refusal(R"({"prompt":{"role":"prompter","text":"x","replies":[{"role":"assistant","text":"y","weight":2}]}})"),
      HasSubstr(":1, turn 2: 'weight' is neither 0 nor 1"));
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
  EXPECT_THAT(
      refusal(tree(
          R"({"message_id":"m2","role":"assistant","text":"x","labels":{"name":["quality","quality"],"value":[0.75,0.2]}})")),
      HasSubstr(":1, message m2: 'labels.name' has a label twice (found 'quality', expected each label at most once)"));
  EXPECT_EQ(refusal(tree(R"({"role":"assistant","text":"x","labels":{"name":["spam","spam"],"value":[0,1]}})")), "")
      << "it is no attribute";
  EXPECT_THAT(refusal(R"({"prompt":"x"})", Format::oasst),
              HasSubstr(":1: 'prompt' has the wrong type (found text, expected an object)"));
}

TEST(SourcesTest, HhRlhf) {
  for (const Format format : {Format::auto_detect, Format::hh_rlhf}) {
    EXPECT_THAT(
        texts("hh_rlhf.jsonl", format),
        ElementsAre("User: Hi   | Assistant:  Hello\n\nthere | User: Bye | Assistant: ", "User: Hi   | Assistant: "));
  }
  const std::vector<Record> records = read_records({source(fixture("hh_rlhf.jsonl"))}, make_test_attributes(), "S");
  EXPECT_EQ(records[0].json["response"], "chosen");
  EXPECT_EQ(records[1].json["response"], "rejected");
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
  EXPECT_THAT(refusal(R"({"prompt":"x","response":null})"), HasSubstr("no known kind of record"));
  EXPECT_THAT(refusal(R"({"prompt":"x","response":null})", Format::helpsteer), HasSubstr(":1: 'response' is missing"));
  EXPECT_THAT(
      refusal(R"({"prompt":"x","response":"y","helpfulness":"4"})"),
      HasSubstr("the rating of 'helpfulness' cannot be used (found the text \"4\", expected a number from 0.0 to "
                "4.0); write it without quotes"));
}

TEST(SourcesTest, RatingsThatAreNoAttributesStayKeys) {
  const Attributes attributes = make_attributes({.names = {"helpfulness"}, .min = 0, .max = 4, .defaults = {}});
  const std::vector<Record> records = read_records({source(fixture("helpsteer.jsonl"))}, attributes, "S");
  EXPECT_EQ(
      dump_json(records[0].json),
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"What is two and two?","label":null},{"from":"Assistant","value":"Four.","label":"helpfulness:4"}],"correctness":4,"coherence":3,"complexity":0,"verbosity":1})");
}

TEST(SourcesTest, ATurnOfAHelpSteer2PromptMayBeEmpty) {
  TemporaryFolder folder;
  const auto turns = [&](const std::string& prompt) {
    const std::string line = R"({"prompt":")" + prompt + R"(","response":"a","helpfulness":3})";
    std::vector<std::string> values;
    const Record record = read_records({source(write_file(folder, "f.jsonl", line))}, make_test_attributes(), "").at(0);
    for (const Turn& turn : record.conversation.turns) values.push_back(turn.value);
    return values;
  };
  EXPECT_THAT(turns(R"(q1\n<extra_id_1>Assistant\n<extra_id_1>User\nq2)"), ElementsAre("q1", "", "q2", "a"));
  EXPECT_THAT(turns(R"(q1\n<extra_id_1>Assistant\n\n<extra_id_1>User\nq2)"), ElementsAre("q1", "", "q2", "a"));
  EXPECT_THAT(turns(R"(q1\n<extra_id_1>Assistant\nx\n<extra_id_1>User)"), ElementsAre("q1", "x", "", "a"));
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
  const std::vector<Record> records = read_records({source(fixture("preference.jsonl"))}, make_test_attributes(), "S");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].part, 1);
  EXPECT_EQ(records[1].parts, 2);
  EXPECT_EQ(
      dump_json(records[1].json),
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"Name a fruit.","label":null},{"from":"Assistant","value":"A stone.","label":null}],"response":"response_2","split":"train","preference_strength":-3,"preference_statement":"the first is one"})");
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
  EXPECT_THAT(refusal(R"({"conversations":[{"from":"human","value":"x"},{"from":"gtp","value":"x"}]})"),
              HasSubstr(":1, turn 2: unknown role in 'from' (found 'gtp', expected user, human"));
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
              HasSubstr(":1, turn 1: a turn of the role 'tool': conversations with tools cannot be trained on"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"usr","content":"x"}]})"), HasSubstr("did you mean 'user'?"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"user","content":3}]})"),
              HasSubstr(":1, turn 1: 'content' has the wrong type (found the number 3, expected text)"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null}]})"),
              HasSubstr(":1, turn 2: 'content' is missing"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]})"),
              HasSubstr(":1, turn 1: a turn that calls a tool ('tool_calls') and has no text"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"system","content":"x"}]})"), HasSubstr(":1: an empty conversation"));
  EXPECT_THAT(refusal(R"({"messages":[]})"), HasSubstr(":1: an empty conversation"));
}

std::string converted(const std::string& line) {
  TemporaryFolder folder;
  const std::vector<Record> records =
      read_records({source(write_file(folder, "f.jsonl", line))}, make_test_attributes(), "S");
  return records.size() == 1 ? dump_json(records[0].json) : std::to_string(records.size()) + " records";
}

// A label in our spelling, and whatever says that a turn is not to be trained, travel from every kind of chat.
TEST(SourcesTest, LabelsAndWeightsOfChat) {
  const std::string expected =
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"a","label":null},{"from":"Assistant","value":"b","label":"quality:1,humor:2","weight":0}]})";
  EXPECT_EQ(
      converted(
          R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","label":"quality:1,humor:2","weight":0}]})"),
      expected);
  EXPECT_EQ(
      converted(
          R"({"conversations":[{"from":"human","value":"a","label":null},{"from":"gpt","value":"b","label":"quality:1,humor:2","weight":0}]})"),
      expected);
  for (
      const char* line :
      {R"({"conversations":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0,"label":"quality:1,humor:2"}]})",
       R"({"messages":[{"from":"user","value":"a"},{"from":"assistant","value":"b","weight":0,"label":"quality:1,humor:2"}]})",
       R"({"conversations":[{"from":"user","value":"a","role":null},{"from":"assistant","content":"b","value":null,"weight":0,"label":"quality:1,humor:2"}]})"}) {
    const Record record = [&] {
      TemporaryFolder folder;
      return read_records({source(write_file(folder, "f.jsonl", line))}, make_test_attributes(), "S").at(0);
    }();
    EXPECT_EQ(text_of(record.conversation), "User: a | Assistant(quality:1,humor:2): b") << line;
    EXPECT_TRUE(record.conversation.turns[1].context_only) << line;
  }
  EXPECT_THAT(
      refusal(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","label":"good"}]})"),
      HasSubstr(":1, turn 2: the label has an entry without a value"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"assistant","content":"b","label":4}]})"),
              HasSubstr(":1, turn 1: 'label' has the wrong type (found the number 4"));
}

TEST(SourcesTest, MaskAndTypeOfRecordsInSmallLetters) {
  EXPECT_EQ(
      converted(
          R"({"mask":"user, system","type":"TEXT_TO_VALUE","conversations":[{"from":"user","value":"a"},{"from":"assistant","value":"b","label":"quality:1"}]})"),
      R"({"mask":"User,System","type":"TEXT_TO_VALUE","conversations":[{"from":"User","value":"a","label":null},{"from":"Assistant","value":"b","label":"quality:1"}]})");
  EXPECT_THAT(converted(R"({"mask":"","conversations":[{"from":"user","value":"a"},{"from":"system","value":"b"}]})"),
              HasSubstr(R"({"mask":"System",)"));
}

TEST(SourcesTest, RolesOfChat) {
  EXPECT_THAT(
      converted(
          R"({"conversations":[{"from":"Human","value":"a"},{"from":"chatgpt","value":"b"},{"from":"USER","value":"c"},{"from":"bard","value":"d"},{"from":"model","value":"e"}]})"),
      HasSubstr(R"("from":"Assistant","value":"d")"));
  EXPECT_THAT(converted(R"({"messages":[{"role":"developer","content":"T"},{"role":"user","content":"a"}]})"),
              HasSubstr(R"("system":"T")"));
}

TEST(SourcesTest, ContentInParts) {
  EXPECT_THAT(
      converted(
          R"({"messages":[{"role":"user","content":[{"type":"text","text":"a "},{"type":"text","text":"b"}]},{"role":"assistant","content":["c"]}]})"),
      HasSubstr(R"([{"from":"User","value":"a b","label":null},{"from":"Assistant","value":"c","label":null}])"));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})"),
              HasSubstr(":1, turn 1: a part of 'content' is not text (found the type \"image_url\""));
  EXPECT_THAT(refusal(R"({"messages":[{"role":"user","content":[3]}]})"),
              HasSubstr("a part of 'content' has the wrong type"));
}

// The keys of a leading system message, and of the parts of a text, have no turn or text of their own any more.
TEST(SourcesTest, KeysOfASystemMessageAndOfPartsTravel) {
  EXPECT_EQ(
      converted(
          R"({"messages":[{"role":"system","content":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],"id":1.50,"name":"Bo"},{"role":"user","content":["a",{"type":"text","text":"b","id":7}],"x":1},{"role":"assistant","content":[{"type":"text","text":"c"}]}],"id":2})"),
      R"({"mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"ab","label":null,"content_parts":[{},{"id":7}],"x":1},{"from":"Assistant","value":"c","label":null}],"system":"S","system_message":{"content_parts":[{"cache_control":{"type":"ephemeral"}}],"id":1.50,"name":"Bo"},"id":2})");
  EXPECT_THAT(
      converted(
          R"({"conversations":[{"from":"system","value":"S","label":"quality:1"},{"from":"human","value":"a"}]})"),
      HasSubstr(R"("system":"S","system_message":{"label":"quality:1"}})"));
  EXPECT_THAT(
      converted(R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"a"}],"system_message":"T"})"),
      HasSubstr(R"("system":"S","system_message":"T"})"));
}

// Exports of tables write null for what a row lacks.
TEST(SourcesTest, NullIsAsGoodAsMissing) {
  for (
      const char* line :
      {R"({"conversations":null,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})",
       R"({"messages":null,"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]})",
       R"({"prompt":"a","response":"b","chosen":null,"rejected":null,"response_1":null,"response_2":null})",
       R"({"prompt":"a","response":"b","helpfulness":null,"coherence":null})",
       R"({"prompt":null,"response":null,"conversations":[{"from":null,"value":null,"role":"user","content":"a"},{"from":null,"value":null,"role":"assistant","content":"b"}]})",
       R"({"conversations":null,"message_tree_id":null,"prompt":{"role":"prompter","text":"a","labels":null,"replies":[{"role":"assistant","text":"b","labels":{"quality":null,"humor":{"value":null}},"replies":null}]}})"}) {
    TemporaryFolder folder;
    EXPECT_THAT(texts_of({source(write_file(folder, "f.jsonl", line))}, make_test_attributes()),
                ElementsAre("User: a | Assistant: b"))
        << line;
  }
}

TEST(SourcesTest, NumbersTravelAsTheyWereWritten) {
  EXPECT_THAT(
      converted(
          R"({"messages":[{"role":"user","content":"a","x":1.50},{"role":"assistant","content":"b"}],"score":1e400,"id":[123456789012345678901234567890,-0]})"),
      ::testing::AllOf(HasSubstr(R"("x":1.50)"),
                       HasSubstr(R"("score":1e400,"id":[123456789012345678901234567890,-0]})")));
  EXPECT_THAT(converted(R"({"prompt":"a","response":"b","helpfulness":3.0,"verbosity":1.50})"),
              HasSubstr(R"("label":"helpfulness:3,verbosity:2")"));
}

TEST(SourcesTest, AnArrayOfAnyFormat) {
  EXPECT_EQ(refusal(R"([{"prompt":"a","response":"b"}])"), "");
  EXPECT_EQ(refusal(R"([{"messages":[{"role":"user","content":"a"}]}])", Format::messages), "");
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
  EXPECT_THAT(refusal(R"({"data":[{"messages":[]}]})"), HasSubstr("jq -c '.[\"data\"][]'"));
  EXPECT_THAT(refusal(R"({"data":[{"id":1},{"prompt":"a","response":"b"}]})"), HasSubstr("jq -c '.[\"data\"][]'"));
  EXPECT_THAT(refusal(R"({"prompt":"q","response_1":null,"response_2":"b"})"), HasSubstr("'response_1' is null"));
  EXPECT_THAT(refusal(R"({"message_id":"m","parent_id":null,"text":"a","role":"prompter","rank":null})"),
              HasSubstr("whole trees are read, which are in its files that end in .trees.jsonl.gz"));
  // No key is misspelt, and what a list holds is no record.
  for (const char* line :
       {R"({"context":[{"role":"user","content":"q"}],"response":"a","feedback":["b"]})",
        R"({"context":[{"role":"user","content":"q"}],"original_response":"a","edited_response":"b"})"})
    EXPECT_THAT(refusal(line), ::testing::EndsWith("; docs/data.md says which keys each kind of record has"));
  EXPECT_THAT(refusal("garbage"), HasSubstr(":1: not valid JSON"));
  EXPECT_THAT(refusal("3", Format::messages), HasSubstr(":1: a line that is not an object (found the number 3"));
}

}  // namespace
}  // namespace steerlm
