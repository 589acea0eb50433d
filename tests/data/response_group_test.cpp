#include "steerlm/data/response_group.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/helpers.h"
#include "steerlm/data/batch.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string response(const std::string& value, const std::string& more) {
  return R"({"from":"Assistant","value":")" + value + R"(")" + (more.empty() ? "" : "," + more) + "}";
}
std::string numbers(double label, double text, double policy) {
  return R"j("log(P(a|x,y))":)j" + std::to_string(label) + R"j(,"log(P(y|x))":)j" + std::to_string(text) +
         R"j(,"log(Q(y|a,x))":)j" + std::to_string(policy);
}
std::string group(const std::string& responses, const std::string& question = "q",
                  const std::string& label = R"("quality:4,humor:1")") {
  return R"({"system":"S","prompt_turns":[{"from":"User","value":"hi"},{"from":"Assistant","value":"yes?"},)"
         R"({"from":"User","value":")" +
         question + R"("}],"label":)" + label + R"(,"responses":[)" + responses + "]}\n";
}

class ResponseGroupFiles : public ::testing::Test {
 protected:
  ResponseGroupFiles()
      : tokenizer(Tokenizer::load(STEERLM_SOURCE_DIR "/tests/fixtures/models/untied/tokenizer.model")) {}

  Dataset load(const std::string& bytes, DataOptions data = {}) {
    data.train = {testing::source(testing::write_file(folder, "groups.jsonl", bytes))};
    DatasetBuilder builder;
    encode_response_groups(data, testing::make_test_attributes(), ConversationTemplate({}, tokenizer), builder);
    return builder.finish();
  }
  std::string refused(const std::string& bytes) {
    return testing::message_of(ExitCode::data, [&] { load(bytes); });
  }

  TemporaryFolder folder;
  Tokenizer tokenizer;
};

TEST_F(ResponseGroupFiles, AResponseIsARecordWhoseEarlierAnswersAreContext) {
  const std::string path = testing::write_file(
      folder, "g.jsonl", group(response("one", numbers(-1, -2, -3)) + "," + response("two", R"("mine":1.50)")));
  ResponseGroupReader reader({testing::source(path)}, testing::make_test_attributes(), "default");
  const auto read = reader.next();
  ASSERT_TRUE(read);
  ASSERT_EQ(read->records.size(), 2u);
  for (const Record& record : read->records) {
    EXPECT_EQ(record.conversation.system, "S");
    EXPECT_THAT(testing::text_of(record.conversation),
                StartsWith("User: hi | Assistant(quality:4,humor:1): yes? | User: q | Assistant(quality:4,humor:1): "));
    EXPECT_EQ(record.conversation.type, ConversationType::value_to_text);
    EXPECT_TRUE(record.conversation.turns[1].context_only);
    EXPECT_FALSE(is_target(record.conversation, 1));
    EXPECT_TRUE(is_target(record.conversation, 3));
  }
  EXPECT_EQ(read->records[1].conversation.turns[3].value, "two");
  EXPECT_EQ(read->place, path + ":1");
  EXPECT_THAT(dump_json(read->json), HasSubstr(R"("mine":1.50)"));
  EXPECT_FALSE(reader.next());
  // Any other command reads them as records of their own.
  EXPECT_EQ(read_records({testing::source(path)}, testing::make_test_attributes(), "").size(), 2u);
  ResponseGroupReader unlabelled({testing::source(path)}, testing::make_test_attributes(), "", Labels::dropped);
  EXPECT_EQ(unlabelled.next()->records[0].conversation.type, ConversationType::none);
}

TEST_F(ResponseGroupFiles, WeightsAreTheSoftmaxOfTheThreeNumbers) {
  const auto loaded =
      load(group(response("one", numbers(-1, -2, -3)) + "," + response("two two", numbers(-2, -2.5, -1.5)) + "," +
                 response("three", numbers(-900, -2, -3))) +
           group(response("a", numbers(-1, -5, -5)) + "," + response("b", numbers(-1, -7, -7)), "other"));
  const std::vector<Example> examples = loaded.train.read_all();
  ASSERT_EQ(examples.size(), 5u);
  const double first = std::exp(0), second = std::exp(-3);  // log w: 0, -3, -899
  EXPECT_NEAR(examples[0].weight, first / (first + second), 1e-12);
  EXPECT_NEAR(examples[1].weight, second / (first + second), 1e-12);
  EXPECT_EQ(examples[2].weight, 0);
  EXPECT_EQ(examples[1].sampling_log_p, -1.5);
  EXPECT_TRUE(same_group(examples[0], examples[2]));
  EXPECT_FALSE(same_group(examples[2], examples[3]));
  EXPECT_EQ(examples[3].weight, 0.5);
  EXPECT_EQ(loaded.train_counts.groups, 2);
  EXPECT_EQ(loaded.train_counts.alike, 1) << "equal weights";
  const double effective = 1 / (std::pow(examples[0].weight, 2) + std::pow(examples[1].weight, 2));
  EXPECT_NEAR(loaded.train_counts.effective_responses, (effective + 2) / 2, 1e-12);
}

TEST_F(ResponseGroupFiles, WhatLeavesFewerThanTwoResponsesIsCounted) {
  DataOptions data;
  data.max_tokens = 150;
  const std::string lone = group(response("one", numbers(-1, -2, -3)), "lone"),
                    pair = group(response("a", numbers(-1, -2, -3)) + "," + response("b", numbers(-1, -2, -4)));
  const std::string cut =
      group(response("a", numbers(-1, -2, -3)) + "," + response(std::string(900, 'x'), numbers(-1, -2, -3)), "cut");
  const auto loaded = load(lone + pair + cut, data);
  EXPECT_EQ(loaded.train_counts.groups, 1);
  EXPECT_EQ(loaded.train_counts.single, 2);
  EXPECT_EQ(loaded.train_counts.dropped_over_length, 1);
  EXPECT_EQ(loaded.train.size(), 2u);
  EXPECT_THAT(refused(lone), HasSubstr("no prompt of the training data has two responses"));
}

TEST_F(ResponseGroupFiles, HeldOutPromptsAreWhole) {
  std::string lines;
  for (int i = 0; i < 30; ++i)
    lines += R"({"prompt_turns":[{"from":"User","value":"question )" + std::to_string(i) +
             R"("}],"label":"quality:1","responses":[)" + response("a", numbers(-1, -2, -3)) + "," +
             response("b", numbers(-1, -2, -3)) + "]}\n";
  DataOptions data;
  data.validation_fraction = 0.4;
  const auto loaded = load(lines, data);
  EXPECT_GT(loaded.validation_counts.groups, 3);
  EXPECT_EQ(loaded.train_counts.groups + loaded.validation_counts.groups, 30);
  EXPECT_EQ(ExampleGroups(loaded.validation).size(), static_cast<size_t>(loaded.validation_counts.groups));
  EXPECT_EQ(loaded.validation.size(), 2 * static_cast<size_t>(loaded.validation_counts.groups));
}

TEST_F(ResponseGroupFiles, WhatCannotBeUsedIsRefused) {
  const std::string good = response("a", numbers(-1, -2, -3));
  EXPECT_THAT(refused(group(good + "," + response("b", R"j("log(P(a|x,y))":"-1.9")j"))),
              AllOf(HasSubstr("groups.jsonl:1: response 2"), HasSubstr("the text \"-1.9\""),
                    HasSubstr("write it without quotes")));
  EXPECT_THAT(refused(group(good + "," + response("b", R"j("log(P(y|x))":0.5)j"))), HasSubstr("at most 0"));
  EXPECT_THAT(refused(group(good + "," + response("b", R"j("log(P(y|x))":-1e999)j"))), HasSubstr("finite"));
  EXPECT_THAT(refused(group(good + "," + response("b", R"j("log(P(y|x))":-1)j"))),
              AllOf(HasSubstr("without 'log(Q(y|a,x))'"), HasSubstr("steerlm score --responses")));
  EXPECT_THAT(refused(group(good + "," + response("b", numbers(-1, -1, -1) + R"(,"tokens":3)"))),
              HasSubstr("of other tokens than those that are trained"));
  EXPECT_THAT(refused(group(good + "," + response("b", R"("tokens":0.5)"))), HasSubstr("an integer above 0"));
  EXPECT_THAT(refused(group(good, "q", "null")), HasSubstr("without the label"));
  EXPECT_THAT(refused(group(good, "q", R"("wit:4")")), HasSubstr("wit"));
  EXPECT_THAT(refused(group("")), HasSubstr("'responses' is empty"));
  EXPECT_THAT(
      refused(
          R"({"prompt_turns":[{"from":"User","value":"a"},{"from":"Assistant","value":"b"}],"label":"quality:1","responses":[)" +
          good + "]}"),
      HasSubstr("does not end in a user turn"));
  EXPECT_THAT(refused(R"({"prompt_turns":[],"label":"quality:1","responses":[)" + good + "]}"), HasSubstr("no turn"));
  EXPECT_THAT(refused(group(R"({"from":"User","value":"a"})")), HasSubstr("a response of another role"));
  EXPECT_THAT(refused(R"({"conversations":[{"from":"User","value":"a"},{"from":"Assistant","value":"b"}]})"),
              HasSubstr("no record of SteerLM 2.0"));
}

TEST_F(ResponseGroupFiles, ValidationAloneNeedsNoTrainingData) {
  const std::string good = group(response("one", numbers(-1, -2, -3)) + "," + response("two", numbers(-1, -2, -3)));
  const DataOptions data{.validation = {testing::source(testing::write_file(folder, "v.jsonl", good + "{}\n"))}};
  const ConversationTemplate conversation_template({}, tokenizer);
  DatasetBuilder builder(DatasetBuilder::Bytes::dropped);
  builder.puts_aside = true;
  EXPECT_TRUE(encode_validation_groups(data, testing::make_test_attributes(), conversation_template, builder));
  EXPECT_EQ(builder.validation.counts.groups, 1);
  EXPECT_EQ(builder.validation.entries.size(), 2u);
  EXPECT_EQ(builder.bad.size(), 1u);
}

TEST(ResponseWeights, DoNotOverflow) {
  EXPECT_THAT(response_weights({-5000, -5000}), ElementsAre(0.5, 0.5));
  EXPECT_THAT(response_weights({4000, 3000}), ElementsAre(1, 0));
}

}  // namespace
}  // namespace steerlm
