// What a predictor is measured on: labels that say something, records that are not too long.
#include "stages/predictor_report.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "steerlm/core/error.h"
#include "support/computing.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

TEST(IsRated, AnEmptyLabelIsNone) {
  const float unknown = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(is_rated({.from = "Assistant", .value = "a", .label = Label{"quality:3", {3, unknown}}}));
  EXPECT_FALSE(is_rated({.from = "Assistant", .value = "a", .label = Label{"", {unknown, unknown}}}));
  EXPECT_FALSE(is_rated({.from = "Assistant", .value = "a"}));
  EXPECT_FALSE(is_rated({.from = "Assistant", .value = "a", .label = Label{"quality:3", {3}}, .context_only = true}));
}

// A regression head and a language model, both with a context of 256 tokens.
class LongRecords : public testing::TestWithParam<const char*> {
 protected:
  LongRecords() {
    const Path fixture = Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models" / GetParam();
    std::filesystem::copy(fixture, folder_.path() / "model");
    std::ofstream(folder_.path() / "model" / "steerlm.json")
        << R"({"attributes": {"names": ["quality", "humor", "length"], "min": 0, "max": 4},)"
        << R"( "template": {"system": "Be good."}})";
  }
  static Record record(std::int64_t line, size_t length) {
    Record record;
    record.file = "a.jsonl";
    record.line = line;
    record.conversation = {.system = "Be good.",
                           .turns = {{.from = "User", .value = "x"},
                                     {.from = "Assistant", .value = std::string(length, 'y'), .label = {}}}};
    return record;
  }
  // The lines that are left of a short, a longer, and a record over the context.
  std::vector<std::int64_t> left(const DataOptions& data) {
    std::vector<Record> records{record(1, 4), record(2, 150), record(3, 2000)};
    Log log(false, false, [&](std::string_view text) { said += text; });
    const OpenModel model = open_model(folder_.path() / "model", cpu_fp32);
    leave_out_long_records(model, data, records, {.log = &log});
    std::vector<std::int64_t> lines;
    for (const Record& each : records) lines.push_back(each.line);
    return lines;
  }
  std::string refusal(const DataOptions& data) {
    return message_of(ExitCode::data, [&] { left(data); });
  }

  TemporaryFolder folder_;
  std::string said;
};

TEST_P(LongRecords, AreLeftOutByTheSmallerOfBothLimits) {
  using Lines = std::vector<std::int64_t>;
  EXPECT_EQ(left({.max_tokens = 120}), Lines{1});
  EXPECT_THAT(said, testing::HasSubstr("2 validation records are longer than data.max_tokens 120 and were left out"));
  said.clear();
  EXPECT_EQ(left({.max_tokens = 4096}), (Lines{1, 2}));
  EXPECT_THAT(said, testing::HasSubstr("1 validation records are longer than the predictor's context of 256 tokens"));
  EXPECT_EQ(left({.max_tokens = 120, .over_length = OverLength::truncate}), Lines{1}) << "what is scored is never cut";
}

TEST_P(LongRecords, AreToldBeforeAsThePredictionTellsThem) {
  const OpenModel model = open_model(folder_.path() / "model", cpu_fp32);
  const ConversationTemplate conversation_template = make_template(model.folder, model.tokenizer);
  size_t faults = 0;
  for (size_t length = 10; length < 300; length += 9) {
    const Record one = record(1, length);
    const std::string fault = prediction_fault(model.folder, model.tokenizer, conversation_template, one);
    EXPECT_EQ(fault, predict_records(model, std::span(&one, 1), 4096).at(0).fault) << length;
    faults += !fault.empty();
  }
  EXPECT_GT(faults, 2u);
  EXPECT_LT(faults, 30u);
}

TEST_P(LongRecords, AreAnErrorWhereTheRecipeSaysSo) {
  EXPECT_THAT(refusal({.max_tokens = 120, .over_length = OverLength::error}),
              testing::AllOf(testing::HasSubstr("a.jsonl:2: a conversation longer than data.max_tokens"),
                             testing::HasSubstr("expected at most 120")));
  EXPECT_THAT(refusal({.max_tokens = 4096, .over_length = OverLength::error}),
              testing::AllOf(testing::HasSubstr("a.jsonl:3: a conversation longer than the predictor's context"),
                             testing::HasSubstr("expected at most 256")));
  EXPECT_THAT(refusal({.max_tokens = 2}),
              testing::HasSubstr("no validation record is left to measure the predictor on"));
}

INSTANTIATE_TEST_SUITE_P(Both, LongRecords, testing::Values("classifier", "untied"));

}  // namespace
}  // namespace steerlm
