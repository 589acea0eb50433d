// What is read of a conversation that a regression head scores.
#include "steerlm/stages/predict.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
  std::vector<std::int32_t> ids() const {
    Record record;
    record.conversation = {.turns = {{.from = "User", .value = "Why?"}, {.from = "Assistant", .value = "Because."}}};
    const OpenModel model = open_model(model_, cpu_fp32);
    return encode_for_prediction(model, std::span(&record, 1)).examples.at(0).ids;
  }

  TemporaryFolder folder_;
  Path model_ = folder_.path() / "model";
};

// A published reward model takes the last token that is no padding, as Transformers does; a predictor of this program
// the end of the turn, whatever its config.json calls padding.
TEST_F(EncodeForPrediction, PaddingAtTheEndIsNotReadWithoutASteerlmJson) {
  const std::vector<std::int32_t> whole = ids();
  set_pad(whole.back());
  std::vector<std::int32_t> shorter = whole;
  while (shorter.back() == whole.back()) shorter.pop_back();
  EXPECT_EQ(ids(), shorter);
  set_pad(whole.front());
  EXPECT_EQ(ids(), whole);

  std::ofstream(model_ / "steerlm.json") << R"({"attributes": {"names": ["a", "b", "c"], "min": 0, "max": 4}})";
  const std::vector<std::int32_t> own = ids();
  set_pad(own.back());
  EXPECT_EQ(ids(), own);
}

}  // namespace
}  // namespace steerlm
