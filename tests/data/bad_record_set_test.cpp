// Training data with bad lines among good ones gives the examples of the good lines alone.
#include "steerlm/data/bad_record_set.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "data/helpers.h"
#include "steerlm/data/dataset.h"
#include "steerlm/data/preference.h"
#include "steerlm/data/response_group.h"

namespace steerlm {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace steerlm::testing;

std::string turns(const std::string& question, const std::string& answer, const std::string& more = "") {
  return R"({"conversations":[{"from":"User","value":")" + question + R"("},{"from":"Assistant","value":")" + answer +
         R"(","label":"quality:3"}])" + more + "}\n";
}
std::string pair(const std::string& question) {
  return R"({"chosen":"\n\nHuman: )" + question + R"(\n\nAssistant: b","rejected":"\n\nHuman: )" + question +
         R"(\n\nAssistant: c"})" + "\n";
}
std::string group(const std::string& question, const std::string& second = R"j("log(P(a|x,y))":-1,)j") {
  const std::string rest = R"j("log(P(y|x))":-3,"log(Q(y|a,x))":-2})j";
  return R"j({"system":"S","prompt_turns":[{"from":"User","value":")j" + question +
         R"j("}],"label":"quality:4","responses":[{"from":"Assistant","value":"one","log(P(a|x,y))":-2,)j" + rest +
         R"j(,{"from":"Assistant","value":"two",)j" + second + rest + "]}\n";
}

class BadRecordSetTest : public ::testing::Test {
 protected:
  using Encode = std::function<bool(const DataOptions&, DatasetBuilder&)>;

  DataOptions of(const std::string& lines, DataOptions data = {}) {
    data.train = {source(write_file(folder_, "f.jsonl", lines))};
    return data;
  }
  Dataset encode(const DataOptions& data, const Encode& with, bool puts_aside) {
    DatasetBuilder builder;
    builder.puts_aside = puts_aside;
    EXPECT_TRUE(with(data, builder));
    return builder.finish();
  }
  Encode conversations(Objective objective) {
    return [this, objective](const DataOptions& data, DatasetBuilder& builder) {
      return encode_conversations(data, attributes_, template_, objective, builder);
    };
  }

  // Of lines that are good but for those of the numbers given (from 1). Returns the reasons.
  std::vector<std::string> put_aside(const std::vector<std::string>& lines, const std::vector<std::int64_t>& bad,
                                     const Encode& with, const DataOptions& options = {}) {
    std::string all, good;
    for (size_t i = 0; i < lines.size(); ++i) {
      all += lines[i];
      if (std::ranges::find(bad, static_cast<std::int64_t>(i) + 1) == bad.end()) good += lines[i];
    }
    const Dataset wanted = encode(of(good, options), with, false);
    const DataOptions data = of(all, options);
    EXPECT_NE(message_of(ExitCode::data, [&] { encode(data, with, false); }), "") << "they stop a run otherwise";
    const Dataset found = encode(data, with, true);
    expect_equal(found.train, wanted.train);
    expect_equal(found.validation, wanted.validation);
    EXPECT_EQ(describe(found.train_counts), describe(wanted.train_counts));
    EXPECT_EQ(describe(found.validation_counts), describe(wanted.validation_counts));
    EXPECT_EQ(found.train_counts.labelled_turns, wanted.train_counts.labelled_turns);
    EXPECT_EQ(found.train_counts.label_sums, wanted.train_counts.label_sums);
    EXPECT_EQ(found.train_counts.groups, wanted.train_counts.groups);
    EXPECT_EQ(found.train_counts.effective_responses, wanted.train_counts.effective_responses);
    std::vector<std::string> reasons;
    std::vector<std::int64_t> numbers;
    for (size_t i = 0; i < found.bad.size(); ++i) {
      const BadRecord record = found.bad.read(i, data);
      EXPECT_EQ(record.file, data.train[0].path);
      EXPECT_EQ(record.text + "\n", lines.at(static_cast<size_t>(record.line) - 1)) << "the text of the line";
      numbers.push_back(record.line);
      reasons.push_back(record.reason);
    }
    EXPECT_EQ(numbers, bad);
    return reasons;
  }

  static void expect_equal(const ExampleSet& found, const ExampleSet& wanted) {
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].ids, wanted[i].ids);
      EXPECT_EQ(found[i].target, wanted[i].target);
      EXPECT_EQ(found[i].weight, wanted[i].weight);
      EXPECT_EQ(found[i].sampling_log_p, wanted[i].sampling_log_p);
      EXPECT_EQ(found[i].dialogue, wanted[i].dialogue);
      EXPECT_EQ(found.continues_group(i), wanted.continues_group(i));
    }
  }

  TemporaryFolder folder_;
  Attributes attributes_ = make_test_attributes();
  Tokenizer tokenizer_ = Tokenizer::load(STEERLM_SOURCE_DIR "/tests/fixtures/models/untied/tokenizer.model");
  ConversationTemplate template_{TemplateOptions{}, tokenizer_};
};

TEST_F(BadRecordSetTest, LinesThatAreNoRecordAndRecordsThatCannotBeTrained) {
  const std::vector<std::string> lines{turns("one", "a"),
                                       "[]\n",
                                       turns("two", "b", R"(,"mask":"User,Assistant")"),
                                       turns("three", std::string(300, 'c')),
                                       turns("four", "d"),
                                       "{\"conversations\": 5}\n"};
  const auto reasons = put_aside(lines, {2, 3, 4, 6}, conversations(Objective::response),
                                 {.max_tokens = 200, .over_length = OverLength::error});
  EXPECT_THAT(reasons, ElementsAre(HasSubstr("object"), HasSubstr("a record without a target"),
                                   HasSubstr("longer than data.max_tokens"), HasSubstr("conversations")));
  put_aside({lines[0], lines[1], lines[4]}, {2}, conversations(Objective::regression));
}

// Which part a bad record would be in is not known; the split of the good ones stays.
TEST_F(BadRecordSetTest, TheSplitStays) {
  std::vector<std::string> lines;
  for (int i = 0; i < 40; ++i) lines.push_back(turns("question " + std::to_string(i), "a"));
  lines[7] = "{}\n";
  lines[20] = turns("question", "a", R"(,"mask":"Assistant")");
  put_aside(lines, {8, 21}, conversations(Objective::response), {.validation_fraction = 0.3});
}

TEST_F(BadRecordSetTest, Pairs) {
  const Encode preferences = [this](const DataOptions& data, DatasetBuilder& builder) {
    return encode_preferences(data, template_, builder);
  };
  const std::string no_answer = R"({"chosen":"\n\nHuman: A","rejected":"\n\nHuman: A\n\nAssistant: B"})"
                                "\n";
  const std::string long_one = pair(std::string(300, 'x'));
  const auto reasons = put_aside({pair("a"), "{}\n", pair("b"), no_answer, long_one, pair("c")}, {2, 4, 5}, preferences,
                                 {.max_tokens = 200, .over_length = OverLength::error});
  EXPECT_THAT(reasons.at(1), HasSubstr("a response that is no turn of the assistant"));
  EXPECT_THAT(reasons.at(2), HasSubstr("longer than data.max_tokens"));
}

TEST_F(BadRecordSetTest, ResponsesToCompare) {
  const Encode groups = [this](const DataOptions& data, DatasetBuilder& builder) {
    return encode_response_groups(data, attributes_, template_, builder);
  };
  const auto reasons = put_aside({group("a"), group("b", ""), "{\"label\": 1\n", group("c")}, {2, 3}, groups);
  EXPECT_THAT(reasons.at(0), HasSubstr("response 2: a response without 'log(P(a|x,y))'"));
}

// A dry run keeps no token, but says which records are bad.
TEST_F(BadRecordSetTest, ADryRunKnowsThem) {
  const DataOptions data = of(turns("one", "a") + "{}\n" + turns("two", "b") + "[]\n");
  DatasetBuilder builder(DatasetBuilder::Bytes::dropped);
  builder.puts_aside = true;
  ASSERT_TRUE(conversations(Objective::response)(data, builder));
  const Dataset dataset = builder.finish();
  EXPECT_EQ(dataset.train.size(), 2u);
  ASSERT_EQ(dataset.bad.size(), 2u);
  EXPECT_EQ(dataset.bad.read(1, data).text, "[]");
}

TEST_F(BadRecordSetTest, WhereNothingIsLeftTheirNumberIsSaid) {
  const DataOptions data = of(turns("one", "a", R"(,"mask":"User,Assistant")") + "{}\n");
  EXPECT_THAT(message_of(ExitCode::data, [&] { encode(data, conversations(Objective::response), true); }),
              ContainsRegex("the training part of the data is empty.* 2 bad records put aside"));
}

// A file that is damaged as a whole is no bad record.
TEST_F(BadRecordSetTest, AFileThatIsCutOffEndsTheRun) {
  const std::string packed = gzip(turns("one", "a") + turns("two", "b"));
  DataOptions data;
  data.train = {source(write_file(folder_, "f.jsonl.gz", packed.substr(0, packed.size() - 9)))};
  EXPECT_THAT(message_of(ExitCode::data, [&] { encode(data, conversations(Objective::response), true); }),
              HasSubstr("f.jsonl.gz"));
}

}  // namespace
}  // namespace steerlm
