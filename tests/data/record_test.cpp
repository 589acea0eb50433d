// Records and labels: contracts.md section 5.
#include "steerlm/data/record.h"

#include <gmock/gmock.h>

#include <limits>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using namespace steerlm::testing;

Record parse(const std::string& json, const Attributes& attributes = make_test_attributes()) {
  return parse_record(parse_json_as_written(json, "f:7", ExitCode::data), attributes, "the default", "f", 7);
}

std::string refusal(const std::string& json) {
  return message_of(ExitCode::data, [&] { parse(json); });
}

const std::string hello = R"("conversations":[{"from":"User","value":"Hi"},{"from":"Assistant","value":"Hello"}])";

TEST(RecordTest, WholeRecord) {
  const Record record =
      parse(R"({"system":"You chat with Bo.","mask":"User, System","type":"TEXT_TO_VALUE","conversations":[
    {"from":"User","value":"Name a red fruit.\n","label":null},{"from":"Assistant","value":"","label":"humor:1,quality:3"}]})");
  EXPECT_EQ(record.conversation.system, "You chat with Bo.");
  EXPECT_THAT(record.conversation.masked_roles, ElementsAre("User", "System"));
  EXPECT_EQ(record.conversation.type, ConversationType::text_to_value);
  EXPECT_EQ(text_of(record.conversation), "User: Name a red fruit.\n | Assistant(quality:3,humor:1): ");
  EXPECT_EQ(record.dialogue, "Name a red fruit.\n");
  EXPECT_EQ(where(record), "f:7");
}

TEST(RecordTest, Defaults) {
  const Record record = parse("{" + hello + "}");
  EXPECT_EQ(record.conversation.system, "the default");
  EXPECT_THAT(record.conversation.masked_roles, ElementsAre("User"));
  EXPECT_EQ(record.conversation.type, ConversationType::none);
  EXPECT_EQ(parse(R"({"conversations":[{"from":"Assistant","value":"x","label":""}]})").conversation.type,
            ConversationType::value_to_text);
  EXPECT_EQ(parse(R"({"type":null,"conversations":[{"from":"Assistant","value":"x","label":"quality:1"}]})")
                .conversation.type,
            ConversationType::value_to_text);
  EXPECT_THAT(parse(R"({"mask":"",)" + hello + "}").conversation.masked_roles, IsEmpty());
  EXPECT_THAT(parse(R"({"mask":" Assistant ,User",)" + hello + "}").conversation.masked_roles,
              ElementsAre("Assistant", "User"));
  EXPECT_EQ(parse(R"({"system":"",)" + hello + "}").conversation.system, "");
}

TEST(RecordTest, NullIsAsGoodAsMissing) {
  const Record record = parse(
      R"({"system":null,"mask":null,"type":null,"tree_id":null,"conversations":[{"from":"User","value":"Hi","label":null,"weight":null,"train":null},{"from":"Assistant","value":"Hello","label":null,"loss":null,"masked":null}]})");
  EXPECT_EQ(record.conversation.system, "the default");
  EXPECT_THAT(record.conversation.masked_roles, ElementsAre("User"));
  EXPECT_EQ(record.conversation.type, ConversationType::none);
  EXPECT_EQ(record.dialogue, "Hi");
  EXPECT_FALSE(record.conversation.turns[1].context_only);
  EXPECT_THAT(refusal(R"({"conversations":null})"), StartsWith("f:7: 'conversations' is missing"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":null,"value":"x"}]})"),
              StartsWith("f:7, turn 1: 'from' is missing"));
}

// What publishers write on a turn that is not to be trained, and on one that is.
TEST(RecordTest, TurnsThatAreContextOnly) {
  const auto context = [](const std::string& keys) {
    return parse(R"({"conversations":[{"from":"User","value":"Hi"},{"from":"Assistant","value":"x",)" + keys + "}]}")
        .conversation.turns[1]
        .context_only;
  };
  for (const char* keys :
       {R"("weight":0)", R"("weight":0.0)", R"("weight":0.00)", R"("weight":false)", R"("train":false)", R"("train":0)",
        R"("training":false)", R"("trainable":false)", R"("train_on_turn":false)", R"("loss":false)",
        R"("masked":true)", R"("masked":1)", R"("loss":0)", R"("loss":0.0)", R"("weight":1,"train":false)"}) {
    EXPECT_TRUE(context(keys)) << keys;
  }
  for (const char* keys :
       {R"("weight":1)", R"("weight":1.0)", R"("train":true)", R"("training":1)", R"("loss":true)", R"("masked":false)",
        R"("masked":0)", R"("loss":1)", R"("loss":0.25)", R"("masked":"a [MASK]")"}) {
    EXPECT_FALSE(context(keys)) << keys;
  }
  for (const char* keys : {R"("weight":0.5)", R"("weight":2)", R"("weight":-1)", R"("weight":1e400)",
                           R"("train":"false")", R"("training":[])"}) {
    EXPECT_THAT(message_of(ExitCode::data, [&] { context(keys); }), HasSubstr("is neither 0 nor 1")) << keys;
  }
  EXPECT_THAT(message_of(ExitCode::data, [&] { context(R"("weight":"0")"); }),
              StartsWith("f:7, turn 2: 'weight' is neither 0 nor 1 (found the text \"0\", expected 0 (the turn is "
                         "context) or 1 (it is trained))"));
}

TEST(RecordTest, LabelsThatAreDroppedOrIgnored) {
  const std::string line =
      R"({"type":"TEXT_TO_VALUE","conversations":[{"from":"User","value":"Hi","label":3},{"from":"Assistant","value":"x","label":"qualty:9","weight":0}]})";
  const auto parse_with = [&](Labels labels) {
    return parse_record(parse_json(line, "f:7", ExitCode::data), make_test_attributes(), "", "f", 7, labels,
                        labels != Labels::ignored);
  };
  const Record dropped = parse_with(Labels::dropped);
  EXPECT_EQ(text_of(dropped.conversation), "User: Hi | Assistant: x");
  EXPECT_EQ(dropped.conversation.type, ConversationType::none);
  EXPECT_TRUE(dropped.conversation.turns[1].context_only);
  EXPECT_TRUE(dropped.json["conversations"][1]["label"].is_null());
  const Record ignored = parse_with(Labels::ignored);
  EXPECT_EQ(text_of(ignored.conversation), "User: Hi | Assistant: x");
  EXPECT_FALSE(ignored.conversation.turns[1].context_only);
  EXPECT_EQ(dump_json(ignored.json), line);
  EXPECT_THAT(message_of(ExitCode::data, [&] { parse_with(Labels::obeyed); }), HasSubstr("labels: drop"));
}

TEST(RecordTest, DialogueIsTheTreeElseTheFirstUserText) {
  EXPECT_EQ(parse(R"({"tree_id":"t1",)" + hello + "}").dialogue, "t1");
  EXPECT_EQ(parse(R"({"tree_id":12,)" + hello + "}").dialogue, "12");
  EXPECT_EQ(parse(R"({"tree_id":null,)" + hello + "}").dialogue, "Hi");
  EXPECT_EQ(parse(R"({"conversations":[{"from":"Assistant","value":"a"},{"from":"User","value":"u"}]})").dialogue, "u");
  EXPECT_EQ(parse(R"({"conversations":[{"from":"Assistant","value":"a"}]})").dialogue, "a");
}

TEST(RecordTest, LabelsAsWrittenWithoutDeclaredAttributes) {
  const Record record =
      parse(R"({"conversations":[{"from":"Assistant","value":"a","label":"what:ever, b"}]})", Attributes{});
  EXPECT_EQ(record.conversation.turns[0].label->text, "what:ever, b");
}

TEST(RecordTest, UnknownKeysTravelThrough) {
  const std::string line =
      R"({"z":1,"big":9007199254740993,"unsigned":18446744073709551615,"least":-9223372036854775808,"zero":-0.0,"float":1.0,"huge":123456789012345678901234567890,"exact":0.1000000000000000000001,"more":[1e400,-0,1.50,1E5],"nul":"a\u0000b","":[{"":null}],)" +
      hello + R"(,"a":{"b":[1,2.5,1e+300]}})";
  const Record record = parse(line);
  EXPECT_EQ(dump_json(record.json), line);
  EXPECT_EQ(dump_json(annotate(record, {}, false, make_test_attributes())), line);
}

TEST(RecordTest, Refusals) {
  EXPECT_THAT(refusal("[]"), StartsWith("f:7: a record that is not an object (found an array"));
  EXPECT_THAT(refusal("{}"), StartsWith("f:7: 'conversations' is missing"));
  EXPECT_THAT(refusal(R"({"conversations":{}})"),
              StartsWith("f:7: 'conversations' has the wrong type (found an object, expected an array)"));
  EXPECT_THAT(refusal(R"({"conversations":[]})"), StartsWith("f:7: an empty conversation"));
  EXPECT_THAT(refusal(R"({"conversations":["x"]})"),
              StartsWith("f:7, turn 1: a turn that is not an object (found text"));
  EXPECT_THAT(refusal(R"({"conversations":[{"value":"x"}]})"), StartsWith("f:7, turn 1: 'from' is missing"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":1,"value":"x"}]})"),
              StartsWith("f:7, turn 1: 'from' has the wrong type (found the number 1"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":"","value":"x"}]})"),
              StartsWith("f:7, turn 1: unknown role in 'from' (found '', expected User"));
  EXPECT_THAT(
      refusal(R"({"conversations":[{"from":"User","value":"x"},{"from":"assistant","value":"x"}]})"),
      StartsWith("f:7, turn 2: unknown role in 'from' (found 'assistant', expected User, Assistant, System); did you "
                 "mean 'Assistant'?"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":"User"}]})"), StartsWith("f:7, turn 1: 'value' is missing"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":"User","value":null}]})"),
              StartsWith("f:7, turn 1: 'value' is missing"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":"User","value":"x","label":3}]})"),
              StartsWith("f:7, turn 1: 'label' has the wrong type (found the number 3, expected text or null)"));
  EXPECT_THAT(refusal(R"({"system":1,)" + hello + "}"), StartsWith("f:7: 'system' has the wrong type"));
  EXPECT_THAT(refusal(R"({"mask":["User"],)" + hello + "}"), StartsWith("f:7: 'mask' has the wrong type"));
  EXPECT_THAT(refusal(R"({"mask":"User,Usre",)" + hello + "}"), HasSubstr("unknown role in 'mask' (found 'Usre'"));
  EXPECT_THAT(refusal(R"({"mask":"User,",)" + hello + "}"), HasSubstr("unknown role in 'mask' (found ''"));
  EXPECT_THAT(refusal(R"({"type":"VALUE_TO_TXT",)" + hello + "}"), HasSubstr("did you mean 'VALUE_TO_TEXT'?"));
  EXPECT_THAT(refusal(R"({"type":false,)" + hello + "}"), StartsWith("f:7: 'type' has the wrong type (found false"));
  for (const char* label : {"qualty:3", "quality:3,quality:3", "quality:5", "quality:1.5", "quality", "quality:-1"}) {
    EXPECT_THAT(
        refusal(R"({"conversations":[{"from":"Assistant","value":"x","label":")" + std::string(label) + "\"}]}"),
        StartsWith("f:7, turn 1: "))
        << label;
  }
}

TEST(RecordTest, ToJson) {
  Conversation conversation{"S",
                            {"User", "System"},
                            ConversationType::value_to_text,
                            {{"User", "Hi", {}}, {"Assistant", "Yo", Label{"quality:1", {}}}}};
  EXPECT_EQ(
      dump_json(to_json(conversation)),
      R"({"system":"S","mask":"User,System","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"Hi","label":null},{"from":"Assistant","value":"Yo","label":"quality:1"}]})");
  conversation.type = ConversationType::none;
  conversation.masked_roles.clear();
  conversation.turns[1].context_only = true;
  const Record back = parse(dump_json(to_json(conversation)));
  EXPECT_EQ(back.conversation.type, ConversationType::none);
  EXPECT_THAT(back.conversation.masked_roles, IsEmpty());
  EXPECT_TRUE(back.conversation.turns[1].context_only);
}

class RecordAnnotation : public ::testing::Test {
 protected:
  const Attributes attributes_ = make_attributes({.names = {"quality", "humor"}, .min = 0, .max = 4, .defaults = {}});
  std::string annotated(const std::string& turn, bool keep_human) {
    const Record record =
        parse(R"({"conversations":[{"from":"User","value":"Hi","x":1},)" + turn + R"(],"y":2})", attributes_);
    const std::vector<float> values{4, 0};
    const std::vector<TurnScores> scores{{1, make_label(attributes_, values), {3.9f, -0.1f}}};
    return dump_json(annotate(record, scores, keep_human, attributes_));
  }
  // "label | gt_label" of a turn with these keys where what people gave is kept and the predictor says 4 and 0.
  std::string kept(const std::string& keys) {
    const std::string line = R"({"conversations":[{"from":"Assistant","value":"Yo",)" + keys + "}]}";
    const Record record =
        parse_record(parse_json_as_written(line, "f", ExitCode::data), attributes_, "", "f", 1, Labels::kept);
    const std::vector<TurnScores> scores{{0, make_label(attributes_, std::vector<float>{4, 0}), {4, 0}}};
    const Json turn = annotate(record, scores, true, attributes_)["conversations"][0];
    return turn["label"].get<std::string>() + " | " + (turn.contains("gt_label") ? turn["gt_label"].dump() : "none");
  }
};

TEST_F(RecordAnnotation, WritesLabelAndScores) {
  EXPECT_EQ(
      annotated(R"({"from":"Assistant","value":"Yo"})", false),
      R"({"conversations":[{"from":"User","value":"Hi","x":1},{"from":"Assistant","value":"Yo","label":"quality:4,humor:0","scores":{"quality":3.9,"humor":-0.1}}],"y":2})");
  EXPECT_EQ(
      annotated(R"({"label":"","from":"Assistant","value":"Yo"})", true),
      R"({"conversations":[{"from":"User","value":"Hi","x":1},{"label":"quality:4,humor:0","from":"Assistant","value":"Yo","scores":{"quality":3.9,"humor":-0.1}}],"y":2})");
}

TEST_F(RecordAnnotation, HumanLabels) {
  const std::string turn = R"({"from":"Assistant","value":"Yo","label":"humor:2"})";
  EXPECT_THAT(annotated(turn, false),
              HasSubstr(R"("label":"quality:4,humor:0","scores":{"quality":3.9,"humor":-0.1},"gt_label":"humor:2"})"));
  EXPECT_THAT(annotated(turn, true),
              HasSubstr(R"("label":"quality:4,humor:2","scores":{"quality":3.9,"humor":-0.1},"gt_label":"humor:2"})"));
}

// The predictor has other attributes, or another range: what the human said stays as it was.
TEST_F(RecordAnnotation, HumanLabelsOfOtherAttributes) {
  std::int64_t not_kept = 0;
  const auto annotated_with = [&](const std::string& label, bool keep_human) {
    const Record record =
        parse_record(parse_json(R"({"conversations":[{"from":"Assistant","value":"Yo","label":)" + label + "}]}", "f",
                                ExitCode::data),
                     attributes_, "", "f", 1, Labels::ignored);
    const std::vector<TurnScores> scores{{0, make_label(attributes_, std::vector<float>{4, 0}), {4, 0}}};
    const Json turn = annotate(record, scores, keep_human, attributes_, &not_kept)["conversations"][0];
    return turn["label"].get<std::string>() + " " + (turn.contains("gt_label") ? turn["gt_label"].dump() : "none");
  };
  EXPECT_EQ(annotated_with(R"("violence:3,humor:2")", false), R"(quality:4,humor:0 "violence:3,humor:2")");
  EXPECT_EQ(annotated_with(R"("violence:3,humor:2")", true), R"(quality:4,humor:2 "violence:3,humor:2")");
  EXPECT_EQ(annotated_with(R"("quality:9,humor:2")", true), R"(quality:4,humor:2 "quality:9,humor:2")");
  EXPECT_EQ(annotated_with(R"("good answer")", true), R"(quality:4,humor:0 "good answer")");
  EXPECT_EQ(annotated_with("3", true), "quality:4,humor:0 3");
  not_kept = 0;
  annotated_with(R"("quality:9,humor:2,violence:7")", true);
  EXPECT_EQ(not_kept, 1);
  annotated_with(R"("quality:9,humor:x")", true);
  EXPECT_EQ(not_kept, 3);
  annotated_with(R"("quality:9")", false);
  EXPECT_EQ(not_kept, 3) << "nothing was to be kept";
  EXPECT_EQ(annotated_with("null", true), "quality:4,humor:0 none");
}

TEST_F(RecordAnnotation, AgainOnAnAnnotatedRecord) {
  const std::string turn =
      R"({"from":"Assistant","value":"Yo","label":"quality:1,humor:1","scores":{"quality":1.0,"humor":1.0},"gt_label":"humor:2"})";
  EXPECT_THAT(annotated(turn, true),
              HasSubstr(R"("label":"quality:4,humor:2","scores":{"quality":3.9,"humor":-0.1},"gt_label":"humor:2"})"));
  const std::string predicted =
      R"({"from":"Assistant","value":"Yo","label":"quality:1,humor:1","scores":{"quality":1.0,"humor":1.0}})";
  EXPECT_THAT(annotated(predicted, true),
              HasSubstr(R"("label":"quality:4,humor:0","scores":{"quality":3.9,"humor":-0.1}}])"));
}

// Keys of these names are an annotation only where they say what one writes; else the label is a person's.
TEST_F(RecordAnnotation, ScoresOfSomethingElseLeaveTheHumanLabel) {
  const std::string human = R"(quality:3,humor:3 | "quality:3,humor:3")";
  for (const char* scores : {R"({"readability":0.3})", "{}", "[3,3]", "3", R"({"quality":3.0})",
                             R"({"quality":3.1,"humor":"3"})", R"({"humor":3.0,"quality":3.0})",
                             R"({"quality":3.0,"humor":3.0,"readability":3.0})", R"({"quality":0.3,"humor":2.9})"}) {
    EXPECT_EQ(kept(R"("label":"quality:3,humor:3","scores":)" + std::string(scores)), human) << scores;
  }
  EXPECT_EQ(kept(R"("label":"quality:3","scores":{"quality":3.0,"humor":3.0})"), R"(quality:3,humor:0 | "quality:3")");
  EXPECT_EQ(kept(R"("label":"good","scores":{"quality":3.0,"humor":3.0})"), R"(quality:4,humor:0 | "good")");
  EXPECT_EQ(kept(R"("label":3,"scores":{"quality":3.0})"), "quality:4,humor:0 | 3");
  EXPECT_EQ(kept(R"("label":"quality:1","gt_label":"humor:2")"), R"(quality:1,humor:2 | "quality:1,humor:2")");
  EXPECT_EQ(kept(R"("label":"quality:1","gt_label":"quality:2")"), R"(quality:1,humor:0 | "quality:1")");
  EXPECT_EQ(kept(R"("label":"","gt_label":"humor:2")"), R"(quality:4,humor:2 | "humor:2")");
  EXPECT_EQ(kept(R"("label":"quality:1","gt_label":4)"), R"(quality:1,humor:0 | "quality:1")");
}

// What predictors of every kind write, and what `data measure` adds to it, is nobody's word.
TEST_F(RecordAnnotation, AgainOnWhatEveryPredictorWrites) {
  const std::string none = "quality:4,humor:0 | none";
  EXPECT_EQ(kept(R"("label":"quality:4,humor:0","scores":{"quality":5.2,"humor":-1.7})"), none) << "clamped";
  EXPECT_EQ(kept(R"("label":"quality:2,humor:4","scores":{"quality":2.5,"humor":3.5})"), none) << "half to even";
  EXPECT_EQ(kept(R"("label":"quality:0,humor:4","scores":{"quality":2.33,"humor":1.67})"), none)
      << "most probable values: of 0, 3 and 4 the mean is 2 1/3";
  EXPECT_EQ(kept(R"("label":"violence:7","scores":{"violence":6.8})"), none) << "of another predictor";
  EXPECT_EQ(
      kept(R"("label":"quality:4,humor:2","scores":{"quality":3.9,"humor":-0.1},"gt_label":"violence:1,humor:2")"),
      R"(quality:4,humor:2 | "violence:1,humor:2")");
  EXPECT_EQ(
      kept(R"("label":"quality:4,humor:0,length:9","scores":{"quality":3.9,"humor":0.0},"measures":{"length":80})"),
      none);
  EXPECT_EQ(kept(R"("label":"quality:0","measures":{"quality":8},"gt_label":"quality:2")"),
            R"(quality:2,humor:0 | "quality:2")")
      << "measured anew";
}

TEST_F(RecordAnnotation, ScoresMustBeFinite) {
  const Record record = parse("{" + hello + "}", attributes_);
  const std::vector<TurnScores> scores{{1, Label{}, {1.0f, std::numeric_limits<float>::quiet_NaN()}}};
  EXPECT_THAT(message_of(ExitCode::model, [&] { annotate(record, scores, false, attributes_); }),
              StartsWith("f:7, turn 2: the predictor's score of 'humor' is not finite"));
}

}  // namespace
}  // namespace steerlm
