#include "steerlm/data/dataset.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/helpers.h"
#include "steerlm/data/batch.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace steerlm::testing;

class DatasetTest : public ::testing::Test {
 protected:
  std::string write(const std::string& lines) { return write_file(folder_, "f.jsonl", lines); }
  Dataset load(const std::string& lines, Objective objective, DataOptions data = {}) {
    data.train = {source(write(lines))};
    return load_dataset(data, attributes_, template_, objective);
  }
  // What a model is trained to write.
  std::string trained(const Example& example) {
    std::vector<std::int32_t> ids;
    for (size_t i = 0; i < example.ids.size(); ++i) {
      if (example.target[i] != 0) ids.push_back(example.ids[i]);
    }
    return tokenizer_.decode_continuation(ids);
  }

  TemporaryFolder folder_;
  Attributes attributes_ = make_test_attributes();
  Tokenizer tokenizer_ = Tokenizer::load(STEERLM_SOURCE_DIR "/tests/fixtures/text/unigram.model");
  ConversationTemplate template_{TemplateOptions{}, tokenizer_};
};

const std::string labelled =
    R"({"conversations":[{"from":"User","value":"Hi"},{"from":"Assistant","value":"Hello","label":"humor:1"},{"from":"User","value":"And?"},{"from":"Assistant","value":"Nothing","label":"quality:2,humor:3"},{"from":"Assistant","value":"More"}]})"
    "\n";
const std::string unlabelled =
    R"({"conversations":[{"from":"User","value":"Who"},{"from":"Assistant","value":"Bo","label":""}]})"
    "\n";
const std::string user_only = R"({"conversations":[{"from":"User","value":"Who"}]})"
                              "\n";

TEST_F(DatasetTest, Responses) {
  const Dataset dataset = load(labelled + unlabelled, Objective::response);
  ASSERT_EQ(dataset.train.size(), 2u);
  EXPECT_EQ(trained(dataset.train[0]), "Hello\n<extra_id_1>Nothing\n<extra_id_1>More\n<extra_id_1>");
  EXPECT_EQ(trained(dataset.train[1]), "Bo\n<extra_id_1>");
  const DatasetCounts& counts = dataset.train_counts;
  EXPECT_EQ(counts.conversations, 2);
  EXPECT_EQ(counts.examples, 2);
  EXPECT_EQ(counts.tokens, static_cast<std::int64_t>(dataset.train[0].ids.size() + dataset.train[1].ids.size()));
  EXPECT_EQ(counts.target_tokens, target_count(dataset.train[0]) + target_count(dataset.train[1]));
  EXPECT_EQ(counts.longest, static_cast<std::int64_t>(dataset.train[0].ids.size()));
  EXPECT_EQ(counts.unlabelled_turns, 0);
}

TEST_F(DatasetTest, ARecordWithoutATargetIsAnError) {
  const std::string message = message_of(ExitCode::data, [&] { load(labelled + user_only, Objective::response); });
  EXPECT_THAT(message, HasSubstr("f.jsonl:2: a record without a target"));
}

const std::string weightless =
    R"({"conversations":[{"from":"User","value":"Hi"},{"from":"Assistant","value":"Wrong","label":"humor:1","weight":0},{"from":"User","value":"And?"},{"from":"Assistant","value":"Right","label":"humor:3"}]})"
    "\n";

TEST_F(DatasetTest, ATurnOfWeightZeroIsNoTargetOfAnything) {
  const Dataset responses = load(weightless, Objective::response);
  EXPECT_EQ(trained(responses.train[0]), "Right\n<extra_id_1>");
  EXPECT_NE(tokenizer_.decode_continuation(responses.train[0].ids).find("Wrong"), std::string::npos) << "it is context";
  EXPECT_EQ(trained(load(weightless, Objective::label).train[0]), "humor:3\n<extra_id_1>");
  const Dataset scored = load(weightless, Objective::regression);
  ASSERT_EQ(scored.train.size(), 1u);
  EXPECT_EQ(scored.train[0].labels.at(2), 3.0f);
  const ConversationTemplate plain({.name = TemplateName::plain}, tokenizer_);
  DataOptions data;
  data.train = {source(write(weightless))};
  EXPECT_THAT(message_of(ExitCode::data, [&] { load_dataset(data, attributes_, plain, Objective::response); }),
              HasSubstr("f.jsonl:1, turn 2: a turn that is not to be trained (weight: 0), under template: plain"));
}

TEST_F(DatasetTest, WhatIsNotObeyedIsCounted) {
  const Dataset dataset = load(labelled + "{\"tools\":[1]," + labelled.substr(1), Objective::response);
  EXPECT_EQ(dataset.train_counts.unobeyed, (std::map<std::string, std::int64_t>{{"'tools'", 1}}));
}

TEST_F(DatasetTest, Labels) {
  const Dataset dataset = load(labelled + unlabelled + user_only, Objective::label);
  ASSERT_EQ(dataset.train.size(), 1u);
  EXPECT_EQ(trained(dataset.train[0]), "humor:1\n<extra_id_1>quality:2,humor:3\n<extra_id_1>");
  EXPECT_EQ(dataset.train_counts.conversations, 3);
  EXPECT_EQ(dataset.train_counts.label_examples, 1);
  EXPECT_EQ(dataset.train_counts.without_target, 2);
  EXPECT_EQ(dataset.train_counts.unlabelled_turns, 2);
}

TEST_F(DatasetTest, RecordsThatTrainLabelsAreCountedAmongResponses) {
  const std::string judged = R"({"type":"TEXT_TO_VALUE",)" + labelled.substr(1);
  const Dataset dataset = load(labelled + judged + unlabelled, Objective::response);
  EXPECT_EQ(trained(dataset.train[1]), "humor:1\n<extra_id_1>quality:2,humor:3\n<extra_id_1>");
  EXPECT_EQ(dataset.train_counts.examples, 3);
  EXPECT_EQ(dataset.train_counts.label_examples, 1);
  EXPECT_EQ(load(labelled, Objective::regression).train_counts.label_examples, 0);
}

// The mean labels of the training part, which a predictor is compared with, whatever its head.
TEST_F(DatasetTest, TheLabelsOfTheExamplesAreSummed) {
  for (const Objective objective : {Objective::label, Objective::regression}) {
    const DatasetCounts counts = load(labelled + unlabelled + user_only + weightless, objective).train_counts;
    ASSERT_GE(counts.label_sums.size(), 3u);
    EXPECT_EQ(counts.label_sums[0], 2) << "quality";
    EXPECT_EQ(counts.label_values[0], 1);
    EXPECT_EQ(counts.label_sums[2], 1 + 3 + 3) << "humor, without the turn of weight 0";
    EXPECT_EQ(counts.label_values[2], 3);
  }
  DataOptions data;
  data.max_tokens = static_cast<std::int64_t>(load(weightless, Objective::label).train[0].ids.size());
  const DatasetCounts dropped = load(labelled + weightless, Objective::label, data).train_counts;
  ASSERT_EQ(dropped.dropped_over_length, 1) << "the longer one";
  EXPECT_EQ(dropped.label_sums[2], 3);
  EXPECT_EQ(dropped.label_values[2], 1) << "of a conversation that is dropped no label counts";
}

TEST_F(DatasetTest, Regression) {
  const Dataset dataset = load(labelled + unlabelled + user_only, Objective::regression);
  ASSERT_EQ(dataset.train.size(), 2u);
  EXPECT_LT(dataset.train[0].ids.size(), dataset.train[1].ids.size());
  EXPECT_THAT(tokenizer_.decode_continuation(dataset.train[1].ids),
              ::testing::EndsWith("<extra_id_1>Assistant\nNothing\n<extra_id_2>"));
  EXPECT_TRUE(std::isnan(dataset.train[0].labels[0]));
  EXPECT_EQ(dataset.train[0].labels[2], 1);
  EXPECT_EQ(dataset.train[1].labels[0], 2);
  EXPECT_EQ(dataset.train_counts.without_target, 2);
  EXPECT_EQ(dataset.train_counts.unlabelled_turns, 2);
  EXPECT_EQ(dataset.train_counts.target_tokens, 3);
}

TEST_F(DatasetTest, NoLabelAtAll) {
  for (const Objective objective : {Objective::label, Objective::regression}) {
    EXPECT_THAT(message_of(ExitCode::data, [&] { load(unlabelled + user_only, objective); }),
                HasSubstr("f.jsonl: no assistant turn of the training data has a label (found 2 conversations"));
  }
}

TEST_F(DatasetTest, OverLengthDropAndError) {
  const std::int64_t shorter = load(unlabelled, Objective::response).train_counts.longest;
  DataOptions data;
  data.max_tokens = shorter;
  const Dataset dropped = load(labelled + unlabelled, Objective::response, data);
  EXPECT_EQ(dropped.train.size(), 1u);
  EXPECT_EQ(dropped.train_counts.dropped_over_length, 1);
  EXPECT_GT(dropped.train_counts.longest, shorter);
  data.over_length = OverLength::error;
  EXPECT_THAT(message_of(ExitCode::data, [&] { load(labelled + unlabelled, Objective::response, data); }),
              HasSubstr("f.jsonl:1: a conversation longer than data.max_tokens"));
}

TEST_F(DatasetTest, OverLengthTruncate) {
  const Example whole = load(labelled, Objective::response).train[0];
  const size_t first_target =
      static_cast<size_t>(std::find(whole.target.begin(), whole.target.end(), 1) - whole.target.begin());
  DataOptions data;
  data.over_length = OverLength::truncate;
  data.max_tokens = static_cast<std::int64_t>(first_target) + 1;
  const Dataset cut = load(labelled, Objective::response, data);
  ASSERT_EQ(cut.train.size(), 1u);
  EXPECT_EQ(cut.train[0].ids, std::vector<std::int32_t>(whole.ids.begin(), whole.ids.begin() + data.max_tokens));
  EXPECT_EQ(target_count(cut.train[0]), 1);
  EXPECT_EQ(cut.train_counts.truncated, 1);
  data.max_tokens = static_cast<std::int64_t>(first_target);  // no target is left
  EXPECT_THAT(
      message_of(ExitCode::data, [&] { load(labelled, Objective::response, data); }),
      HasSubstr("the training part of the data is empty (found 1 conversations, 0 examples, 0 tokens, 0 targets, 1 "
                "dropped as too long"));
}

TEST_F(DatasetTest, RegressionInputIsNeverCut) {
  DataOptions data;
  data.over_length = OverLength::truncate;
  const Dataset whole = load(labelled, Objective::regression);
  data.max_tokens = static_cast<std::int64_t>(whole.train[0].ids.size());
  const Dataset dataset = load(labelled, Objective::regression, data);
  ASSERT_EQ(dataset.train.size(), 1u);
  EXPECT_EQ(dataset.train[0].ids, whole.train[0].ids);
  EXPECT_EQ(dataset.train_counts.dropped_over_length, 1);
  EXPECT_EQ(dataset.train_counts.truncated, 0);
}

TEST_F(DatasetTest, MarkerTextIsCounted) {
  const Dataset dataset = load(
      unlabelled + R"({"conversations":[{"from":"User","value":"<extra_id_1>"},{"from":"Assistant","value":"x"}]})",
      Objective::response);
  EXPECT_EQ(dataset.train_counts.marker_text, 1);
  EXPECT_THAT(describe(dataset.train_counts), HasSubstr("2 conversations, 2 examples"));
  EXPECT_THAT(describe(dataset.train_counts), HasSubstr("1 with marker text in a value"));
}

TEST_F(DatasetTest, SplitHoldsOutWholeTrees) {
  std::string lines;
  for (int tree = 0; tree < 40; ++tree) {
    for (int path = 0; path < 3; ++path) {
      lines += R"({"tree_id":"tree )" + std::to_string(tree) + R"(","conversations":[{"from":"User","value":"p)" +
               std::to_string(path) + R"("},{"from":"Assistant","value":"x"}]})" + "\n";
    }
  }
  DataOptions data;
  data.validation_fraction = 0.3;
  const Dataset dataset = load(lines, Objective::response, data);
  EXPECT_EQ(dataset.train.size() + dataset.validation.size(), 120u);
  EXPECT_GT(dataset.validation.size(), 12u);
  EXPECT_LT(dataset.validation.size(), 66u);
  EXPECT_EQ(dataset.validation.size() % 3, 0u);
  data.validation_fraction = 1;
  EXPECT_THAT(message_of(ExitCode::data, [&] { load(lines, Objective::response, data); }),
              HasSubstr("the training part of the data is empty"));
}

TEST_F(DatasetTest, ValidationSourcesReplaceTheFraction) {
  DataOptions data;
  data.validation_fraction = 0.9;
  data.validation = {source(write_file(folder_, "v.jsonl", unlabelled))};
  const Dataset dataset = load(labelled + unlabelled, Objective::response, data);
  EXPECT_EQ(dataset.train.size(), 2u);
  ASSERT_EQ(dataset.validation.size(), 1u);
  EXPECT_EQ(dataset.validation_counts.examples, 1);
}

TEST_F(DatasetTest, BadRecordsStop) {
  EXPECT_THAT(message_of(ExitCode::data, [&] { load(labelled + "{\"conversations\":[{}]}\n", Objective::response); }),
              HasSubstr("f.jsonl:2: turn 1: 'from' is missing"));
}

// A stage looks at it before it has anything to train on.
TEST_F(DatasetTest, ValidationAloneNeedsNoTrainingData) {
  const DataOptions data{.validation = {source(write(labelled + user_only))}};
  DatasetBuilder builder(DatasetBuilder::Bytes::dropped);
  builder.puts_aside = true;
  EXPECT_TRUE(encode_validation(data, attributes_, template_, Objective::response, builder));
  EXPECT_EQ(builder.validation.entries.size(), 1u);
  EXPECT_EQ(builder.bad.size(), 1u);
  EXPECT_TRUE(builder.train.entries.empty());
  DatasetBuilder stops(DatasetBuilder::Bytes::dropped);
  EXPECT_THAT(
      message_of(ExitCode::data, [&] { encode_validation(data, attributes_, template_, Objective::response, stops); }),
      HasSubstr("f.jsonl:2"));
}

}  // namespace
}  // namespace steerlm
