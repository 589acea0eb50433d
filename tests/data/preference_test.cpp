// Readers that keep the pair, and the pairs that are trained: contracts.md section 5.
#include "steerlm/data/preference.h"

#include <gmock/gmock.h>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace steerlm::testing;

constexpr const char* helpsteer2 =
    R"({"split":"train","prompt":"Hi\n<extra_id_1>Assistant\nYes?\n<extra_id_1>User\nA fruit.","response_1":"A stone.","response_2":"A pear.","preference_strength":2})";
constexpr const char* helpsteer3 =
    R"({"domain":"general","language":"english","context":[{"role":"system","content":"Be brief."},{"role":"user","content":"A fruit."}],"response1":"A pear.","response2":"A stone.","overall_preference":-3,"individual_preference":[]})";
constexpr const char* hh =
    R"({"chosen":"\n\nHuman: A fruit.\n\nAssistant: A pear.","rejected":"\n\nHuman: A fruit.\n\nAssistant: A stone."})";
constexpr const char* reward_bench =
    R"({"id":7,"prompt":"A fruit.","chosen":"A pear.","chosen_model":"m","rejected":"A stone.","rejected_model":"n","subset":"alpacaeval-easy"})";
constexpr const char* reward_bench_2 =
    R"({"id":"tied:3","prompt":"A fruit.","chosen":["A pear.","A fig."],"rejected":["A stone.","A car."],"num_correct":2,"num_rejected":2,"total_completions":4,"models":["a","b","c","d"],"subset":"Ties","additional_metadata":null})";

class PreferenceTest : public ::testing::Test {
 protected:
  std::string file(const std::string& lines) { return write_file(folder_, std::to_string(++files_) + ".jsonl", lines); }
  std::vector<Preference> read(const std::string& lines, Format format = Format::auto_detect) {
    PreferenceReader reader({source(file(lines), format)}, "S");
    std::vector<Preference> preferences;
    while (auto preference = reader.next()) preferences.push_back(std::move(*preference));
    return preferences;
  }
  std::string refusal(const std::string& lines) {
    return message_of(ExitCode::data, [&] { read(lines); });
  }

  TemporaryFolder folder_;
  int files_ = 0;
};

std::vector<std::string> responses_of(const Preference& preference) {
  std::vector<std::string> texts;
  for (const Record& record : preference.responses) texts.push_back(text_of(record.conversation));
  return texts;
}

TEST_F(PreferenceTest, OfHelpSteer2IsOrderedByItsStrength) {
  const std::string turns = "User: Hi | Assistant: Yes? | User: A fruit. | Assistant: ";
  for (const Format format : {Format::auto_detect, Format::helpsteer2}) {
    const Preference better_second = read(helpsteer2, format).at(0);
    EXPECT_THAT(responses_of(better_second), ElementsAre(turns + "A pear.", turns + "A stone."));
    EXPECT_TRUE(better_second.is_pair());
    EXPECT_EQ(better_second.strength, 2);
    EXPECT_EQ(better_second.subset, "");
  }
  std::string first = helpsteer2;
  first.replace(first.find(":2}"), 3, ":-1}");
  EXPECT_THAT(responses_of(read(first).at(0)), ElementsAre(turns + "A stone.", turns + "A pear."));
  EXPECT_EQ(read(first).at(0).strength, 1);
  std::string neither = helpsteer2;
  neither.replace(neither.find(":2}"), 3, ":0}");
  EXPECT_EQ(read(neither).at(0).better, 0u);
  EXPECT_FALSE(read(neither).at(0).is_pair());
}

TEST_F(PreferenceTest, OfHelpSteer3HasItsContext) {
  for (const Format format : {Format::auto_detect, Format::helpsteer3}) {
    const Preference preference = read(helpsteer3, format).at(0);
    EXPECT_THAT(responses_of(preference),
                ElementsAre("User: A fruit. | Assistant: A pear.", "User: A fruit. | Assistant: A stone."));
    EXPECT_EQ(preference.responses[0].conversation.system, "Be brief.");
    EXPECT_EQ(preference.strength, 3);
    EXPECT_EQ(preference.responses[1].json["response"], "response2");
    EXPECT_EQ(preference.responses[1].json["domain"], "general");
  }
}

TEST_F(PreferenceTest, OfHhRlhfHasTheChosenFirstAndStrengthOne) {
  const Preference preference = read(hh).at(0);
  EXPECT_THAT(responses_of(preference),
              ElementsAre("User: A fruit. | Assistant: A pear.", "User: A fruit. | Assistant: A stone."));
  EXPECT_EQ(preference.strength, 1);
  EXPECT_TRUE(preference.is_pair());
}

TEST_F(PreferenceTest, OfRewardBenchHasItsSubset) {
  for (const Format format : {Format::auto_detect, Format::reward_bench}) {
    const Preference preference = read(reward_bench, format).at(0);
    EXPECT_THAT(responses_of(preference),
                ElementsAre("User: A fruit. | Assistant: A pear.", "User: A fruit. | Assistant: A stone."));
    EXPECT_EQ(preference.subset, "alpacaeval-easy");
    EXPECT_EQ(preference.id, "7");
    EXPECT_FALSE(preference.best_of_n);
    EXPECT_TRUE(preference.is_pair());
  }
}

TEST_F(PreferenceTest, OfRewardBench2HasAllAnswers) {
  for (const Format format : {Format::auto_detect, Format::reward_bench_2}) {
    const Preference preference = read(reward_bench_2, format).at(0);
    std::vector<std::string> names;
    for (const Record& record : preference.responses) names.push_back(record.json["response"]);
    EXPECT_THAT(names, ElementsAre("chosen[0]", "chosen[1]", "rejected[0]", "rejected[1]"));
    EXPECT_EQ(preference.responses[3].conversation.turns[1].value, "A car.");
    EXPECT_EQ(preference.better, 2u);
    EXPECT_TRUE(preference.best_of_n);
    EXPECT_EQ(preference.id, "tied:3");
    EXPECT_FALSE(preference.is_pair());
  }
}

TEST_F(PreferenceTest, LinesFollowEachOther) {
  const std::vector<Preference> two = read(std::string(hh) + "\n\n" + hh + "\n");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_THAT(two[1].place(), HasSubstr(":3"));
}

TEST_F(PreferenceTest, ARecordOfOneResponseIsNoPair) {
  for (const std::string response : {"response_1", "response1", "chosen", "chosen[0]"}) {
    EXPECT_THAT(refusal(R"({"conversations":[{"from":"User","value":"Hi"},{"from":"Assistant","value":"A pear."}],)"
                        R"("response":")" +
                        response + R"(","preference_strength":2,"overall_preference":2})"),
                AllOf(HasSubstr(":1: one response of a preference, without the other"), HasSubstr("'data convert'")));
  }
}

TEST_F(PreferenceTest, Refusals) {
  EXPECT_THAT(refusal(R"({"prompt":"x","response_1":"a","response_2":"b"})"),
              HasSubstr(":1: 'preference_strength' cannot be used (found nothing, expected a number from -3"));
  EXPECT_THAT(refusal(R"({"prompt":"x","response_1":"a","response_2":"b","preference_strength":4})"),
              HasSubstr("found the number 4"));
  EXPECT_THAT(refusal(R"({"prompt":"x","response_1":"a","response_2":"b","preference_strength":"2"})"),
              HasSubstr("found the text \"2\""));
  EXPECT_THAT(
      refusal(R"({"context":[{"role":"user","content":"q"}],"response1":"a","response2":3,"overall_preference":1})"),
      HasSubstr(":1: 'response2' has the wrong type"));
  EXPECT_THAT(refusal(R"({"prompt":"x","response":"y","helpfulness":3})"),
              HasSubstr(":1: a line that holds no preference between responses"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":"User","value":"x"},{"from":"Assistant","value":"y"}]})"),
              HasSubstr("holds no preference"));
  EXPECT_THAT(refusal(R"({"chosen":"\n\nHuman: A","rejected":"\n\nHuman: A\n\nAssistant: B"})"),
              HasSubstr(":1: 'chosen': a response that is no turn of the assistant (found a last turn of 'User')"));
  EXPECT_THAT(refusal(R"({"prompt":"x","chosen":[],"rejected":["a"],"subset":"Math"})"),
              HasSubstr("'chosen' is empty"));
  EXPECT_THAT(refusal(R"({"prompt":"x","chosen":["a"],"rejected":["b"],"num_correct":2,"subset":"Math"})"),
              HasSubstr("'num_correct' is not the number of right answers (found 2, expected 1"));
  EXPECT_EQ(refusal(R"({"prompt":"x","chosen":["a"],"rejected":["b"],"num_correct":1e0,"subset":"Math"})"), "");
  EXPECT_THAT(refusal(R"({"prompt":"x","chosen":["a"],"rejected":["b"],"num_correct":"1","subset":"Math"})"),
              HasSubstr("(found \"1\", expected 1"));
}

// Texts with a prompt beside them may be of any other set of pairs, whose prompts may hold marks.
TEST_F(PreferenceTest, OfRewardBenchIsRecognisedByItsSubset) {
  EXPECT_THAT(refusal(R"({"prompt":"\n\nHuman: x\n\nAssistant:","chosen":"a","rejected":"b"})"),
              HasSubstr("'chosen' does not start with a mark"));
}

class LoadPreferences : public PreferenceTest {
 protected:
  Dataset load(DataOptions data) {
    DatasetBuilder builder;
    encode_preferences(data, ConversationTemplate({.system = "S"}, tokenizer_), builder);
    return builder.finish();
  }
  Tokenizer tokenizer_ = Tokenizer::load(STEERLM_SOURCE_DIR "/tests/fixtures/text/unigram.model");
};

TEST_F(LoadPreferences, PairsAreNeighboursWithTheBetterFirst) {
  const Dataset dataset = load({.train = {source(file(std::string(helpsteer2) + "\n" + helpsteer2 + "\n"))}});
  ASSERT_EQ(dataset.train.size(), 4u);
  const ConversationTemplate conversation_template({.system = "S"}, tokenizer_);
  const Preference preference = read(helpsteer2).at(0);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_EQ(dataset.train[i].ids,
              conversation_template.encode_scored_turn(preference.responses[i].conversation, 3).ids);
  EXPECT_TRUE(same_group(dataset.train[0], dataset.train[1]));
  EXPECT_FALSE(same_group(dataset.train[1], dataset.train[2]));
  EXPECT_EQ(ExampleGroups(dataset.train).size(), 2u);
  EXPECT_EQ(dataset.train[3].strength, 2);
  EXPECT_EQ(dataset.train_counts.pairs, 2);
  EXPECT_EQ(dataset.train_counts.examples, 4);
}

TEST_F(LoadPreferences, APairOfWhichOneSideIsTooLongIsLeftOutWhole) {
  std::string longer = hh;
  longer.replace(longer.find("A stone."), 8, "A stone, " + std::string(200, 'x'));
  const std::string path = file(longer + "\n" + hh + "\n");
  for (const OverLength over_length : {OverLength::drop, OverLength::truncate}) {
    const Dataset dataset = load({.train = {source(path)}, .max_tokens = 100, .over_length = over_length});
    EXPECT_EQ(dataset.train.size(), 2u);
    EXPECT_EQ(dataset.train_counts.pairs, 1);
    EXPECT_EQ(dataset.train_counts.dropped_over_length, 1);
    EXPECT_GT(dataset.train_counts.longest, 100);
  }
  EXPECT_THAT(message_of(ExitCode::data,
                         [&] { load({.train = {source(path)}, .max_tokens = 100, .over_length = OverLength::error}); }),
              HasSubstr(":1: a conversation longer than data.max_tokens"));
}

TEST_F(LoadPreferences, WhatPrefersNeitherIsLeftOutAndNothingLeftIsAnError) {
  std::string neither = helpsteer2;
  neither.replace(neither.find(":2}"), 3, ":0}");
  const Dataset dataset = load({.train = {source(file(neither + "\n" + helpsteer2))}});
  EXPECT_EQ(dataset.train_counts.without_preference, 1);
  EXPECT_THAT(describe(dataset.train_counts), HasSubstr("1 pairs, 1 without a preference"));
  EXPECT_THAT(message_of(ExitCode::data, [&] { load({.train = {source(file(neither))}}); }),
              HasSubstr("the training data has no pair of which one response is preferred"));
  EXPECT_THAT(message_of(ExitCode::data, [&] { load({.train = {source(file(reward_bench_2))}}); }),
              HasSubstr(":1: more than two responses"));
}

TEST_F(LoadPreferences, WhatIsNotObeyedIsCounted) {
  std::string weighted = hh;
  weighted.insert(1, R"("weight":0,"margin":3,"preference_strength":1,)");
  const std::map<std::string, std::int64_t> unobeyed{{"'margin'", 1}, {"'preference_strength'", 1}, {"'weight'", 1}};
  const std::string path = file(std::string(helpsteer2) + "\n" + helpsteer2 + "\n");
  const Dataset dataset = load({.train = {source(path), source(file(weighted))}});
  EXPECT_EQ(dataset.train_counts.unobeyed, unobeyed) << "the strength of HelpSteer2 is obeyed";
  const Dataset own = load({.train = {source(path)}, .validation = {source(file(weighted))}});
  EXPECT_TRUE(own.train_counts.unobeyed.empty());
  EXPECT_EQ(own.validation_counts.unobeyed, unobeyed);
}

TEST_F(LoadPreferences, ValidationIsAnotherFileOrAShareOfTheDialogues) {
  std::string lines;
  for (int i = 0; i < 60; ++i) {
    const std::string prompt = R"("\n\nHuman: A fruit )" + std::to_string(i) + R"(.\n\nAssistant: )";
    lines += R"({"chosen":)" + prompt + R"(A pear.","rejected":)" + prompt + "A stone.\"}\n";
  }
  const std::string path = file(lines);
  const Dataset split = load({.train = {source(path)}, .validation_fraction = 0.3});
  EXPECT_EQ(split.train_counts.pairs + split.validation_counts.pairs, 60);
  EXPECT_GT(split.validation_counts.pairs, 8);
  EXPECT_EQ(split.validation.size(), 2u * static_cast<size_t>(split.validation_counts.pairs));
  std::int64_t held_out = 0;
  for (const char* fold : {"1/3", "2/3", "3/3"}) {
    const Dataset third = load({.train = {source(path)}, .fold = fold});
    EXPECT_EQ(third.train_counts.pairs + third.validation_counts.pairs, 60);
    EXPECT_GT(third.validation_counts.pairs, 8) << fold;
    held_out += third.validation_counts.pairs;
  }
  EXPECT_EQ(held_out, 60) << "each pair is in one fold";
  const Dataset own = load({.train = {source(path)}, .validation = {source(file(hh))}});
  EXPECT_EQ(own.train_counts.pairs, 60);
  EXPECT_EQ(own.validation_counts.pairs, 1);
}

}  // namespace
}  // namespace steerlm
