// labels: shuffle of a source: contracts.md section 5.
#include <gmock/gmock.h>

#include <algorithm>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Ne;
using namespace steerlm::testing;

// 40 records of a labelled and an unlabelled answer; the label is of the text.
class LabelShuffle : public ::testing::Test {
 protected:
  LabelShuffle() {
    for (int i = 0; i < 40; ++i) {
      lines_ += R"({"conversations":[{"from":"User","value":"u"},{"from":"Assistant","value":")" + std::to_string(i) +
                R"(","label":"quality:)" + std::to_string(i % 5) + ",humor:" + std::to_string(i / 10) +
                R"("},{"from":"Assistant","value":"free","label":null}]})"
                "\n";
    }
  }
  SourceOptions shuffled(std::uint64_t seed = 7) {
    SourceOptions options = source(write_file(folder_, "f.jsonl", lines_));
    options.labels = SourceLabels::shuffle;
    options.seed = seed;
    return options;
  }
  static std::vector<std::string> labels_of(const std::vector<SourceOptions>& sources) {
    std::vector<std::string> labels;
    for (const Record& record : read_records(sources, make_test_attributes(), "S")) {
      EXPECT_FALSE(record.conversation.turns[2].label) << "a turn without a label gets none";
      const Label& label = *record.conversation.turns[1].label;
      EXPECT_EQ(record.json.at("conversations")[1].at("label"), label.text);
      EXPECT_EQ(label.text, make_label(make_test_attributes(), label.values).text) << "text and values stay together";
      labels.push_back(label.text);
    }
    return labels;
  }
  TemporaryFolder folder_;
  std::string lines_;
};

TEST_F(LabelShuffle, TheLabelsChangePlaces) {
  SourceOptions kept = shuffled();
  kept.labels = SourceLabels::keep;
  const std::vector<std::string> before = labels_of({kept}), after = labels_of({shuffled()});
  EXPECT_THAT(after, Ne(before));
  std::int64_t in_place = 0;
  for (size_t i = 0; i < before.size(); ++i) in_place += before[i] == after[i];
  EXPECT_LT(in_place, 12) << "of 40 labels, of which two are equal each";
  std::vector<std::string> sorted_before = before, sorted_after = after;
  std::ranges::sort(sorted_before);
  std::ranges::sort(sorted_after);
  EXPECT_EQ(sorted_before, sorted_after) << "the same labels, each as often";
}

TEST_F(LabelShuffle, TheSeedDecides) {
  EXPECT_EQ(labels_of({shuffled(7)}), labels_of({shuffled(7)}));
  EXPECT_NE(labels_of({shuffled(7)}), labels_of({shuffled(8)}));
}

TEST_F(LabelShuffle, EveryPassAndBothReadersGiveTheSame) {
  SourceOptions twice = shuffled();
  twice.repeat = 2;
  std::vector<std::string> once = labels_of({shuffled()}), expected = once;
  expected.insert(expected.end(), once.begin(), once.end());
  EXPECT_EQ(labels_of({twice}), expected);
  SourceOptions kept = shuffled();
  kept.labels = SourceLabels::keep;
  RecordReader reader({kept, shuffled()}, make_test_attributes(), "S");
  std::vector<std::string> read;
  while (const auto entry = reader.next()) read.push_back(std::get<Record>(*entry).conversation.turns[1].label->text);
  ASSERT_EQ(read.size(), 80u);
  EXPECT_THAT(std::vector<std::string>(read.begin() + 40, read.end()), ElementsAreArray(once))
      << "the source before is left alone";
  EXPECT_EQ(read[7], "quality:2,humor:0");
}

TEST_F(LabelShuffle, OnlyTheLinesThatAreReadTakePart) {
  SourceOptions few = shuffled();
  few.limit = 10;
  const std::vector<std::string> labels = labels_of({few});
  EXPECT_EQ(labels.size(), 10u);
  for (const std::string& label : labels) EXPECT_THAT(label, HasSubstr("humor:0"));
}

TEST_F(LabelShuffle, BadLinesHaveNoPart) {
  lines_.insert(lines_.find('\n') + 1, "{\n");
  RecordReader reader({shuffled()}, make_test_attributes(), "S");
  int bad = 0, records = 0;
  while (const auto entry = reader.next()) ++(std::holds_alternative<BadRecord>(*entry) ? bad : records);
  EXPECT_EQ(bad, 1);
  EXPECT_EQ(records, 40);
}

TEST_F(LabelShuffle, LabelsThatAreNotReadAreLeftAlone) {
  RecordReader reader({shuffled()}, make_test_attributes(), "S", {.labels = Labels::ignored});
  const auto entry = reader.next();
  EXPECT_EQ(std::get<Record>(*entry).json.at("conversations")[1].at("label"), "quality:0,humor:0");
}

TEST_F(LabelShuffle, StandardInputCannotBeReadTwice) {
  SourceOptions options = source("-");
  options.labels = SourceLabels::shuffle;
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { read_records({options}, make_test_attributes(), "S"); }),
              HasSubstr("reads its source twice"));
}

}  // namespace
}  // namespace steerlm
