// `without` of a source: contracts.md section 5.
#include <gmock/gmock.h>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using namespace steerlm::testing;

std::string labelled(const std::string& label) {
  return R"({"conversations":[{"from":"User","value":"u"},{"from":"Assistant","value":"a","label":)" + label + "}]}\n";
}

class Without : public ::testing::Test {
 protected:
  // The labels of a file of three, as records and their JSON have them; "-" for none.
  static std::vector<std::string> labels_of(const SourceOptions& options, const Attributes& attributes) {
    std::vector<std::string> labels;
    for (const Record& record : read_records({options}, attributes, "S")) {
      const Turn& turn = record.conversation.turns[1];
      labels.push_back(turn.label ? turn.label->text : "-");
      const Json& json = record.json.at("conversations")[1].at("label");
      EXPECT_EQ(json, turn.label ? Json(turn.label->text) : Json());
    }
    return labels;
  }
  SourceOptions without(std::vector<std::string> names) {
    SourceOptions options = source(
        write_file(folder_, "f.jsonl",
                   labelled(R"("quality:1,humor:2,verbosity:3")") + labelled(R"("humor:4")") + labelled("null")));
    options.without = std::move(names);
    return options;
  }
  TemporaryFolder folder_;
};

TEST_F(Without, TakesTheAttributesOutOfTheLabels) {
  const Attributes all = make_test_attributes();
  EXPECT_EQ(labels_of(without({}), all), (std::vector<std::string>{"quality:1,humor:2,verbosity:3", "humor:4", "-"}));
  EXPECT_EQ(labels_of(without({"humor"}), all), (std::vector<std::string>{"quality:1,verbosity:3", "-", "-"}))
      << "a label of which nothing is left is none";
  EXPECT_EQ(labels_of(without({"verbosity", "quality"}), all), (std::vector<std::string>{"humor:2", "humor:4", "-"}));
}

TEST_F(Without, TheModelNeedsNotHaveThem) {
  const Attributes two{.names = {"quality", "verbosity"}, .min = 0, .max = 4};
  EXPECT_EQ(labels_of(without({"humor"}), two), (std::vector<std::string>{"quality:1,verbosity:3", "-", "-"}));
  EXPECT_THAT(message_of(ExitCode::data, [&] { labels_of(without({}), two); }), HasSubstr("humor"));
}

TEST_F(Without, ANameThatNoLabelHasIsAMistake) {
  const SourceOptions options = without({"humor", "humour"});
  const std::string expected =
      options.path + ": `without` names an attribute that no label of the source has (found 'humour')";
  EXPECT_THAT(message_of(ExitCode::data, [&] { read_records({options}, make_test_attributes(), "S"); }),
              HasSubstr(expected));
  RecordReader reader({options}, make_test_attributes(), "S");
  EXPECT_THAT(message_of(ExitCode::data,
                         [&] {
                           while (reader.next()) {
                           }
                         }),
              HasSubstr(expected));
}

TEST_F(Without, AMalformedLabelStaysOne) {
  SourceOptions options = source(write_file(folder_, "f.jsonl", labelled(R"("humor:2,quality:1,")")));
  options.without = {"humor"};
  EXPECT_NE(message_of(ExitCode::data, [&] { read_records({options}, make_test_attributes(), "S"); }), "");
}

TEST_F(Without, LabelsThatAreNotReadAreNotAskedForNames) {
  SourceOptions options = without({"humour"});
  options.labels = SourceLabels::drop;
  EXPECT_EQ(read_records({options}, make_test_attributes(), "S").size(), 3u);
}

TEST_F(Without, GoesWithShuffledLabels) {
  SourceOptions options = without({"humor"});
  options.labels = SourceLabels::shuffle;
  EXPECT_EQ(labels_of(options, make_test_attributes()), (std::vector<std::string>{"quality:1,verbosity:3", "-", "-"}));
}

}  // namespace
}  // namespace steerlm
