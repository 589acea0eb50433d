// What is read of a conversation that a regression head scores.
#include "steerlm/stages/predict.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "stages/preference_report.h"
#include "steerlm/core/json.h"
#include "support/computing.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class EncodeForPrediction : public testing::Test {
 protected:
  EncodeForPrediction() {
    std::filesystem::copy(Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models" / "classifier", model_);
  }
  void set_pad(std::int64_t id) const {
    const Path file = model_ / "config.json";
    Json config = parse_json(read_file(file, ExitCode::model, "model config"), file.string(), ExitCode::model);
    config["pad_token_id"] = id;
    std::ofstream(file) << config.dump();
  }
  static Record record(const std::string& answer) {
    Record record;
    record.conversation = {.turns = {{.from = "User", .value = "Why?"}, {.from = "Assistant", .value = answer}}};
    return record;
  }
  std::vector<std::int32_t> ids() const {
    const Record record = this->record("Because.");
    const OpenModel model = open_model(model_, cpu_fp32);
    return encode_for_prediction(model, std::span(&record, 1)).examples.at(0).ids;
  }

  TemporaryFolder folder_;
  Path model_ = folder_.path() / "model";
};

// A published reward model takes the last token that is no padding, as Transformers does, also where a steerlm.json
// names its attributes and a template; a predictor that was trained here the end of the turn, whatever its config.json
// calls padding.
TEST_F(EncodeForPrediction, PaddingAtTheEndIsReadByAHeadThatWasTrainedHereAlone) {
  const std::vector<std::int32_t> whole = ids();
  set_pad(whole.back());
  std::vector<std::int32_t> shorter = whole;
  while (shorter.back() == whole.back()) shorter.pop_back();
  EXPECT_EQ(ids(), shorter);
  set_pad(whole.front());
  EXPECT_EQ(ids(), whole);

  set_pad(whole.back());
  Json own{{"attributes", {{"names", {"a", "b", "c"}}, {"min", 0}, {"max", 4}}}};
  const auto write_own = [&] { std::ofstream(model_ / "steerlm.json") << own.dump(); };
  write_own();
  EXPECT_EQ(ids(), shorter);
  own["template"] = {{"name", "steerlm"}};
  write_own();
  EXPECT_EQ(ids(), shorter);
  const OpenModel model = open_model(model_, cpu_fp32);
  own["template"]["sha256"] = make_template(model.folder, model.tokenizer).sha256();
  write_own();
  EXPECT_EQ(ids(), whole);
}

// Pairs are compared by the scores that their responses have alone.
TEST_F(EncodeForPrediction, PairsAreScoredAtTheSameToken) {
  std::vector<Preference> pairs(40);
  std::vector<Record> responses;
  for (size_t i = 0; i < pairs.size(); ++i) {
    for (const char* answer : {"yes ", "a house "}) responses.push_back(record(answer + std::to_string(i)));
    pairs[i].responses = {responses[2 * i], responses[2 * i + 1]};
  }
  std::vector<double> accuracies;
  const std::int32_t last = ids().back();
  for (const bool padded : {false, true}) {
    if (padded) set_pad(last);
    const OpenModel model = open_model(model_, cpu_fp32);
    const std::vector<RecordPrediction> alone = predict_records(model, responses, 4096);
    double right = 0;
    for (size_t i = 0; i < pairs.size(); ++i)
      right += alone[2 * i].turns[0].scores[0] > alone[2 * i + 1].turns[0].scores[0];
    Log log = Log::silent();
    const auto report = report_preferences(model, pairs, {1, 0, 0}, 1, {.log = &log}, [] { return true; });
    accuracies.push_back(report.value().json.at("accuracy"));
    EXPECT_DOUBLE_EQ(accuracies.back(), right / static_cast<double>(pairs.size()));
  }
  EXPECT_NE(accuracies[0], accuracies[1]) << "it matters where they are read";
}

}  // namespace
}  // namespace steerlm
