#include "steerlm/data/statistics.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace steerlm::testing;

Record record_with_label(const std::string& label, const Attributes& attributes) {
  const std::string line =
      R"({"conversations":[{"from":"User","value":"é1"},{"from":"Assistant","value":"x","label":")" + label + "\"}]}";
  return parse_record(parse_json(line, "f:1", ExitCode::data), attributes, "", "f", 1);
}

TEST(StatisticsTest, HistogramBins) {
  Histogram histogram;
  for (const std::int64_t value : {0, 1, 2, 3, 3, 4, 100}) histogram.add(value);
  std::vector<std::vector<std::int64_t>> bins;
  for (const Histogram::Bin& bin : histogram.bins()) bins.push_back({bin.first, bin.last, bin.count});
  EXPECT_THAT(bins, ElementsAre(ElementsAre(0, 0, 1), ElementsAre(1, 1, 1), ElementsAre(2, 3, 3), ElementsAre(4, 7, 1),
                                ElementsAre(64, 127, 1)));
  EXPECT_EQ(histogram.count(), 7);
  EXPECT_EQ(histogram.max(), 100);
  EXPECT_DOUBLE_EQ(histogram.mean(), 113.0 / 7);
}

TEST(StatisticsTest, Labels) {
  const Attributes attributes = make_attributes({.names = {"quality", "humor"}, .min = 0, .max = 4, .defaults = {}});
  DataStatistics statistics(attributes);
  for (const char* label : {"humor:1", "quality:3,humor:2", "", "humor:3"})
    statistics.add(record_with_label(label, attributes));
  EXPECT_EQ(statistics.records, 4);
  EXPECT_EQ(statistics.types.at("VALUE_TO_TEXT"), 4);
  EXPECT_EQ(statistics.user_turns, 4);
  EXPECT_EQ(statistics.assistant_turns, 4);
  EXPECT_EQ(statistics.labelled_turns, 3);
  EXPECT_EQ(statistics.characters.max(), 3);  // characters, not bytes
  ASSERT_EQ(statistics.labels.size(), 2u);
  EXPECT_EQ(statistics.labels[0].first, "quality");
  EXPECT_EQ(statistics.labels[0].second.count(), 1);
  EXPECT_TRUE(std::isnan(statistics.labels[0].second.standard_deviation()));
  EXPECT_DOUBLE_EQ(statistics.labels[1].second.mean(), 2.0);
  EXPECT_DOUBLE_EQ(statistics.labels[1].second.standard_deviation(), 1.0);
}

TEST(StatisticsTest, LabelsOfUnknownNames) {
  DataStatistics statistics{Attributes{}};
  statistics.add(record_with_label("b:-7,a:3", Attributes{}));
  ASSERT_EQ(statistics.labels.size(), 2u);
  EXPECT_EQ(statistics.labels[0].first, "b");
  EXPECT_EQ(statistics.labels[0].second.values.begin()->first, -7);
  for (const char* label : {"a", "a:", ":3", "a:1.5", "a:1,", "a:x", "a:1 "}) {
    EXPECT_THAT(message_of(ExitCode::data, [&] { statistics.add(record_with_label(label, Attributes{})); }),
                HasSubstr("f:1, turn 2: an entry of the label cannot be read"))
        << label;
  }
  EXPECT_THAT(message_of(ExitCode::data, [&] { statistics.add(record_with_label("a:1,a:1", Attributes{})); }),
              HasSubstr("names an attribute twice"));
  EXPECT_EQ(statistics.records, 1);
}

TEST(StatisticsTest, MarkerText) {
  Conversation conversation{.turns = {{"User", "x<extra_id_1>y", {}},
                                      {"Assistant", "<extra_id_3> extra_id_0", {}},
                                      {"User", "<extra_id_0><extra_id_2>", {}}}};
  EXPECT_THAT(turns_with_marker_text(conversation, TemplateName::steerlm), ElementsAre(0u, 2u));
}

}  // namespace
}  // namespace steerlm
