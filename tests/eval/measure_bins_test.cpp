#include "steerlm/eval/measure_bins.h"

#include <gmock/gmock.h>

#include <fstream>

#include "steerlm/core/fs.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// numpy's quantile and searchsorted: tools/make_measure_fixtures.py.
TEST(MeasureBins, EdgesAndLevelsAreNumpys) {
  const std::string path = STEERLM_SOURCE_DIR "/tests/fixtures/text/measures.json";
  const Json fixture = parse_json(read_file(path, ExitCode::data, "fixture"), path, ExitCode::data);
  int compared = 0;
  for (const Json& sample : fixture.at("bins")) {
    const std::string name = sample.at("name");
    const auto values = sample.at("values").get<std::vector<float>>();
    for (const Json& expected : sample.at("expected")) {
      const auto edges = expected.at("edges").get<std::vector<double>>();
      const std::vector<double> found = quantile_edges(values, static_cast<int>(edges.size()) + 1);
      ASSERT_EQ(found.size(), edges.size());
      for (size_t e = 0; e < edges.size(); ++e) EXPECT_NEAR(found[e], edges[e], 1e-12 * edges[e]) << name;
      const auto levels = expected.at("levels").get<std::vector<int>>();
      for (size_t i = 0; i < values.size(); ++i, ++compared)
        EXPECT_EQ(level_of(static_cast<double>(values[i]), edges, 3), 3 + levels[i]) << name << ": " << values[i];
    }
  }
  EXPECT_GT(compared, 500);
}

TEST(MeasureBins, AValueOnAnEdgeHasTheLowerLevel) {
  const std::vector<double> edges{0, 0, 2};
  EXPECT_EQ(level_of(0, edges, 0), 0) << "where edges coincide the smallest value has the lowest level";
  EXPECT_EQ(level_of(1, edges, 0), 2);
  EXPECT_EQ(level_of(2, edges, 0), 2);
  EXPECT_EQ(level_of(2.1, edges, 0), 3);
  EXPECT_EQ(level_of(-1, edges, -5), -5);
  // 0.7 as a double is above 0.7 as a float: what gave an edge stands on it.
  const std::vector<float> values{0.7f, 0.7f, 0.7f};
  EXPECT_EQ(level_of(0.7, quantile_edges(values, 2), 0), 0);
}

// 0.1, 0.2, 0.4, 0.6 and 0.8 are smaller as doubles than as floats, 0.7 and 0.9 are larger.
TEST(MeasureBins, AValueOnAnEdgeOfOnesOwnHasTheLowerLevel) {
  const std::vector<double> edges{0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9};
  for (size_t e = 0; e < edges.size(); ++e) {
    EXPECT_EQ(level_of(edges[e], edges, 0), static_cast<int>(e)) << edges[e];
    EXPECT_EQ(level_of(edges[e] + 1e-6, edges, 0), static_cast<int>(e) + 1) << edges[e];
  }
}

// The place of the 7th of 10 edges among 91 values is 0.7 * 90 = 63, which a product of doubles misses by a hair.
TEST(MeasureBins, AnEdgeOnAValueIsThatValue) {
  std::vector<float> values;
  for (int i = 0; i < 63; ++i) values.push_back(static_cast<float>(i));
  values.insert(values.end(), 28, 100.0f);
  const std::vector<double> edges = quantile_edges(values, 10);
  EXPECT_EQ(edges[6], 100);
  EXPECT_EQ(level_of(100, edges, 0), 6);
  for (const int levels : {2, 3, 7, 10, 11, 100}) {
    for (const int times : {1, 2, 9, 137}) {
      std::vector<float> whole;
      for (int i = 0; i <= levels * times; ++i) whole.push_back(static_cast<float>(i));
      const std::vector<double> found = quantile_edges(whole, levels);
      for (int k = 1; k < levels; ++k)
        EXPECT_EQ(found[static_cast<size_t>(k) - 1], k * times) << levels << " " << times;
    }
  }
}

class MeasureBinsFile : public ::testing::Test {
 protected:
  std::string message(const std::string& json) {
    const std::string path = (folder_.path() / "edges.json").string();
    std::ofstream(path, std::ios::binary) << json;
    std::string text = message_of(ExitCode::data, [&] { read_measure_bins(path); });
    if (!text.empty()) {
      EXPECT_THAT(text, HasSubstr("edges.json"));
    }
    return text;
  }
  TemporaryFolder folder_;
};

TEST_F(MeasureBinsFile, IsReadAsItIsWritten) {
  const MeasureBins bins{.min = 1,
                         .max = 3,
                         .attributes = {{"verbosity", TextMeasure::characters, {10.25, 1.0 / 3 + 20}},
                                        {"lists", TextMeasure::list_items, {0, 0}}}};
  const std::string path = (folder_.path() / "e.json").string();
  std::ofstream(path) << to_json(bins).dump(2);
  const MeasureBins read = read_measure_bins(path);
  EXPECT_EQ(read.min, 1);
  EXPECT_EQ(read.max, 3);
  ASSERT_EQ(read.attributes.size(), 2);
  EXPECT_EQ(read.attributes[0].name, "verbosity");
  EXPECT_EQ(read.attributes[1].measure, TextMeasure::list_items);
  EXPECT_THAT(read.attributes[0].edges, ElementsAre(10.25, 1.0 / 3 + 20));
  EXPECT_THAT(read.attributes[1].edges, ElementsAre(0, 0));
}

TEST_F(MeasureBinsFile, WhatIsNotOneIsRefused) {
  const auto with = [](const std::string& attribute) {
    return R"({"min": 0, "max": 2, "attributes": {"a": )" + attribute + "}}";
  };
  EXPECT_EQ(message(with(R"({"measure": "words", "edges": [1, 2]})")), "");
  EXPECT_THAT(message("[]"), HasSubstr("not a file of edges"));
  EXPECT_THAT(message("{"), HasSubstr("edges.json"));
  EXPECT_THAT(message(R"({"min": 0, "attributes": {}})"), HasSubstr("missing key 'max'"));
  EXPECT_THAT(message(R"({"min": 0, "max": 2})"), HasSubstr("missing key 'attributes'"));
  EXPECT_THAT(message(R"({"min": 0, "max": 2, "attributes": {}})"), HasSubstr("names no attribute"));
  EXPECT_THAT(message(R"({"min": 0, "max": 2, "attributes": []})"), HasSubstr("'attributes' is not an object"));
  EXPECT_THAT(message(R"({"min": 0.5, "max": 2, "attributes": {}})"), HasSubstr("'min' is no value of an attribute"));
  EXPECT_THAT(message(R"({"min": 2, "max": 2, "attributes": {}})"), HasSubstr("'max' is not above 'min'"));
  EXPECT_THAT(message(R"({"min": 0, "max": 2, "measures": {}})"), HasSubstr("'measures' is an unknown key"));
  EXPECT_THAT(message(with(R"({"edges": [1, 2]})")), HasSubstr("missing key 'attributes.a.measure'"));
  EXPECT_THAT(message(with(R"({"measure": "word", "edges": [1, 2]})")),
              AllOf(HasSubstr("'attributes.a.measure' is no measure (found \"word\""), HasSubstr("words")));
  EXPECT_THAT(message(with(R"({"measure": 3, "edges": [1, 2]})")), HasSubstr("is no measure (found 3"));
  EXPECT_THAT(message(with(R"({"measure": "words"})")), HasSubstr("missing key 'attributes.a.edges'"));
  EXPECT_THAT(message(with(R"({"measure": "words", "edges": 3})")), HasSubstr("is not a list"));
  EXPECT_THAT(message(with(R"({"measure": "words", "edges": [1, "2"]})")), HasSubstr("not a number (found \"2\""));
  EXPECT_THAT(message(with(R"({"measure": "words", "edges": [1]})")), HasSubstr("(found 1, expected 2 numbers"));
  EXPECT_THAT(message(with(R"({"measure": "words", "edges": [2, 1]})")), HasSubstr("is not in order"));
  EXPECT_THAT(message(with(R"({"measure": "words", "edges": [1, 2], "edge": 3})")),
              HasSubstr("'attributes.a.edge' is an unknown key"));
  EXPECT_THAT(message(R"({"min": 0, "max": 1, "attributes": {"a b": {"measure": "words", "edges": [1]}}})"),
              HasSubstr("not a name for an attribute"));
}

}  // namespace
}  // namespace steerlm
