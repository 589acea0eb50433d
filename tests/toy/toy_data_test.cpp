#include "steerlm/toy/toy_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "steerlm/toy/oracle.h"

namespace steerlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ToyData : public testing::Test {
 protected:
  ToyData() : directory_(Path(testing::TempDir()) / ("toy_data_" + std::to_string(::getpid()))) {}
  ~ToyData() override { steerlm::remove_all(directory_); }

  std::vector<std::string> lines(const std::string& name) const {
    std::istringstream text(read_file(directory_ / name, ExitCode::data, "toy file"));
    std::vector<std::string> found;
    for (std::string line; std::getline(text, line);) found.push_back(line);
    return found;
  }
  std::vector<Json> records(const std::string& name) const {
    std::vector<Json> found;
    for (const std::string& line : lines(name)) found.push_back(parse_json(line, name, ExitCode::data));
    return found;
  }

  Path directory_;
};

std::map<std::string, int> parse(const std::string& label) {
  std::map<std::string, int> values;
  std::istringstream text(label);
  for (std::string part; std::getline(text, part, ',');)
    values[part.substr(0, part.find(':'))] = std::stoi(part.substr(part.find(':') + 1));
  return values;
}

TEST_F(ToyData, WritesEveryFile) {
  make_toy_data(directory_, 200, 1);
  std::map<std::string, size_t> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    found[entry.path().filename()] = lines(entry.path().filename()).size();
  }
  const std::map<std::string, size_t> expected{
      {"train.jsonl", 200},      {"validation.jsonl", 10},    {"truth.jsonl", 10},           {"first.jsonl", 40},
      {"second.jsonl", 40},      {"unlabelled.jsonl", 40},    {"prompts.jsonl", 10},         {"base.txt", 300},
      {"tokenizer.txt", 400},    {"control-none.jsonl", 100}, {"control-random.jsonl", 100}, {"pairs.jsonl", 100},
      {"pairs-truth.jsonl", 10}, {"train-truth.jsonl", 10},   {"unlabelled-truth.jsonl", 10}};
  EXPECT_EQ(found, expected);
}

TEST_F(ToyData, TheSeedAndTheCountAloneDecide) {
  make_toy_data(directory_ / "a", 50, 7);
  make_toy_data(directory_ / "b", 50, 7);
  make_toy_data(directory_ / "c", 50, 8);
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "a")) {
    const Path name = entry.path().filename();
    const std::string a = sha256_file(directory_ / "a" / name, ExitCode::data);
    EXPECT_EQ(a, sha256_file(directory_ / "b" / name, ExitCode::data)) << name;
    EXPECT_NE(a, sha256_file(directory_ / "c" / name, ExitCode::data)) << name;
  }
}

TEST_F(ToyData, ARecordIsAConversationWithItsTruth) {
  make_toy_data(directory_, 300, 3);
  size_t two_tasks = 0;
  for (const Json& record : records("train.jsonl")) {
    EXPECT_EQ(record["mask"], "User");
    EXPECT_EQ(record["type"], "VALUE_TO_TEXT");
    const Json& turns = record["conversations"];
    ASSERT_EQ(turns.size(), 2 * record["oracle"].size());
    two_tasks += turns.size() == 4 ? 1 : 0;
    for (size_t t = 0; t < turns.size(); t += 2) {
      EXPECT_EQ(turns[t]["from"], "User");
      EXPECT_TRUE(turns[t]["label"].is_null());
      EXPECT_EQ(turns[t + 1]["from"], "Assistant");
      const auto truth = toy_oracle(turns[t]["value"].get<std::string>(), turns[t + 1]["value"].get<std::string>());
      for (size_t a = 0; a < truth.size(); ++a) EXPECT_EQ(record["oracle"][t / 2][toy_attribute_names()[a]], truth[a]);
    }
  }
  EXPECT_GT(two_tasks, 10u);
  EXPECT_LT(two_tasks, 60u);
}

TEST_F(ToyData, AnnotatorsAreNoisyAndLeaveValuesOut) {
  make_toy_data(directory_, 2000, 5);
  std::map<std::string, int> known;
  std::map<std::string, double> error, bias;
  std::map<int, std::pair<int, int>> missing_by;  // annotator -> missing, all
  for (const Json& record : records("train.jsonl")) {
    for (size_t i = 0; i < record["oracle"].size(); ++i) {
      const auto values = parse(record["conversations"][2 * i + 1]["label"].get<std::string>());
      auto& [missing, all] = missing_by[record["annotator"].get<int>()];
      missing += 6 - static_cast<int>(values.size());
      all += 6;
      for (const auto& [name, value] : values) {
        ASSERT_TRUE(value >= 0 && value <= 4) << name;
        ++known[name];
        error[name] += std::abs(value - record["oracle"][i][name].get<double>());
      }
    }
  }
  ASSERT_EQ(known.size(), 6u);
  for (const auto& [name, count] : known) {
    EXPECT_GT(error[name] / count, 0.1) << name;
    EXPECT_LT(error[name] / count, 0.8) << name;
  }
  ASSERT_EQ(missing_by.size(), 5u);
  for (const auto& [who, counts] : missing_by) {
    const double share = 1.0 * counts.first / counts.second;
    EXPECT_TRUE(share > 0.07 && share < 0.43) << "annotator " << who << ": " << share;
  }
}

TEST_F(ToyData, SourcesDifferInWhatTheyRate) {
  make_toy_data(directory_, 500, 9);
  const auto names = [&](const std::string& file) {
    std::set<std::string> found;
    for (const Json& record : records(file)) {
      for (const Json& turn : record["conversations"]) {
        if (turn["label"].is_null()) continue;
        for (const auto& [name, value] : parse(turn["label"].get<std::string>())) found.insert(name);
      }
    }
    return found;
  };
  EXPECT_THAT(names("first.jsonl"), ElementsAre("creativity", "humor", "quality", "toxicity"));
  EXPECT_THAT(names("second.jsonl"), ElementsAre("complexity", "verbosity"));
  EXPECT_TRUE(names("unlabelled.jsonl").empty());
  const auto noisy = records("validation.jsonl"), exact = records("truth.jsonl");
  for (size_t i = 0; i < exact.size(); ++i) {
    EXPECT_EQ(noisy[i]["conversations"][1]["value"], exact[i]["conversations"][1]["value"]);
    const auto values = parse(exact[i]["conversations"][1]["label"].get<std::string>());
    ASSERT_EQ(values.size(), 6u);
    for (const auto& [name, value] : values)
      EXPECT_EQ(value, std::nearbyint(exact[i]["oracle"][0][name].get<double>()));
  }
}

TEST_F(ToyData, ControlsHaveTheTextsOfTrainAndLabelsThatSayNothing) {
  make_toy_data(directory_, 1000, 4);
  const auto train = records("train.jsonl"), none = records("control-none.jsonl"),
             random = records("control-random.jsonl");
  double error = 0;
  for (size_t i = 0; i < random.size(); ++i) {
    EXPECT_EQ(none[i]["oracle"], train[i]["oracle"]);
    for (size_t t = 0; t < train[i]["conversations"].size(); ++t) {
      EXPECT_EQ(none[i]["conversations"][t]["value"], train[i]["conversations"][t]["value"]);
      EXPECT_EQ(random[i]["conversations"][t]["value"], train[i]["conversations"][t]["value"]);
      EXPECT_TRUE(none[i]["conversations"][t]["label"].is_null());
    }
    const auto values = parse(random[i]["conversations"][1]["label"].get<std::string>());
    ASSERT_EQ(values.size(), 6u);
    error += std::abs(values.at("humor") - random[i]["oracle"][0]["humor"].get<double>()) /
             static_cast<double>(random.size());
  }
  EXPECT_NEAR(error, 1.6, 0.2) << "the mean distance of two independent levels: 8 / 5";
}

TEST_F(ToyData, PairsPreferTheBetterResponse) {
  make_toy_data(directory_, 2000, 6);
  const auto utility = [](const Json& values) {
    return values["quality"].get<double>() - values["toxicity"].get<double>() / 2;
  };
  std::set<std::string> prompts;
  for (const Json& pair : records("pairs-truth.jsonl")) {
    const double difference = utility(pair["oracle"][1]) - utility(pair["oracle"][0]);
    EXPECT_EQ(pair["preference_strength"], std::clamp(std::nearbyint(difference), -3.0, 3.0));
    EXPECT_NE(pair["preference_strength"], 0);
    const auto truth = toy_oracle(pair["prompt"].get<std::string>(), pair["response_2"].get<std::string>());
    EXPECT_EQ(pair["oracle"][1]["quality"], truth[0]);
    prompts.insert(pair["prompt"].get<std::string>());
  }
  int wrong = 0, none = 0, all = 0;
  for (const Json& pair : records("pairs.jsonl")) {
    const double difference = utility(pair["oracle"][1]) - utility(pair["oracle"][0]);
    const int strength = pair["preference_strength"].get<int>();
    ASSERT_TRUE(strength >= -3 && strength <= 3);
    wrong += strength * difference < 0;
    none += strength == 0;
    ++all;
    EXPECT_EQ(prompts.count(pair["prompt"]), 0u);
  }
  EXPECT_GT(wrong, all / 100) << "annotators are noisy";
  EXPECT_LT(wrong, all / 6);
  EXPECT_GT(none, all / 20);
}

TEST_F(ToyData, PromptsOfValidationAreHeldOut) {
  make_toy_data(directory_, 4000, 2);
  std::set<std::string> trained;
  for (const char* file : {"train.jsonl", "first.jsonl", "second.jsonl", "unlabelled.jsonl"}) {
    for (const Json& record : records(file)) {
      for (const Json& turn : record["conversations"]) trained.insert(turn["value"].get<std::string>());
    }
  }
  for (const Json& record : records("validation.jsonl"))
    EXPECT_EQ(trained.count(record["conversations"][0]["value"]), 0u);
  for (const Json& prompt : records("prompts.jsonl")) EXPECT_EQ(trained.count(prompt["prompt"]), 0u);
}

TEST_F(ToyData, RefusesACountOutOfRangeAndAFileInTheWay) {
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{99'999'999'999}}) {
    try {
      make_toy_data(directory_ / "none", count, 1);
      FAIL() << count;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::recipe);
      EXPECT_THAT(error.what(), HasSubstr("expected from 1 to 10000000 records"));
    }
    EXPECT_FALSE(std::filesystem::exists(directory_ / "none")) << "nothing is made";
  }
  write_file_atomic(directory_.string() + "_file", "");
  EXPECT_THROW(make_toy_data(directory_.string() + "_file", 1, 1), Error);
  steerlm::remove_all(directory_.string() + "_file");
}

TEST_F(ToyData, OneRecordIsEnough) {
  make_toy_data(directory_, 1, 1);
  EXPECT_EQ(records("train.jsonl").size(), 1u);
  EXPECT_EQ(records("validation.jsonl").size(), 1u);
}

// The thresholds of configs/experiments/m3-denoising.yaml are how far the annotators' labels are from the truth, in the
// data that make-toy makes without options.
TEST_F(ToyData, TheThresholdsOfDenoisingAreTheLabelsOwnErrors) {
  make_toy_data(directory_, 20'000, 1234);
  std::map<std::string, double> error, known;
  const std::vector<Json> noisy = records("validation.jsonl"), truth = records("truth.jsonl");
  ASSERT_EQ(noisy.size(), truth.size());
  for (size_t i = 0; i < noisy.size(); ++i) {
    const Json &turns = noisy[i]["conversations"], &true_turns = truth[i]["conversations"];
    for (size_t t = 1; t < turns.size(); t += 2) {
      const auto right = parse(true_turns[t]["label"].get<std::string>());
      for (const auto& [name, value] : parse(turns[t]["label"].get<std::string>())) {
        error[name] += std::abs(value - right.at(name));
        ++known[name];
      }
    }
  }
  const std::string text =
      read_file(STEERLM_SOURCE_DIR "/configs/experiments/m3-denoising.yaml", ExitCode::data, "experiment");
  for (const std::string& name : toy_attribute_names()) {
    const std::string before = "{measure: \"" + name + " error, held out\", at_most: ";
    const size_t at = text.find(before);
    ASSERT_NE(at, std::string::npos) << name;
    EXPECT_NEAR(std::stod(text.substr(at + before.size())), error[name] / known[name], 0.0006) << name;
  }
}

// The files of truth are the first records of what they are the truth of.
TEST_F(ToyData, TruthIsOfTheSameTexts) {
  make_toy_data(directory_, 200, 1);
  for (const std::string name : {"train", "unlabelled"}) {
    const std::vector<Json> all = records(name + ".jsonl"), truth = records(name + "-truth.jsonl");
    for (size_t i = 0; i < truth.size(); ++i) {
      EXPECT_EQ(truth[i]["oracle"], all[i]["oracle"]);
      for (size_t t = 0; t < truth[i]["conversations"].size(); ++t) {
        const Json &turn = truth[i]["conversations"][t], &same = all[i]["conversations"][t];
        EXPECT_EQ(turn["value"], same["value"]);
        if (t % 2 == 0) continue;
        for (const auto& [attribute, value] : parse(turn["label"].get<std::string>()))
          EXPECT_EQ(value, std::nearbyint(truth[i]["oracle"][t / 2][attribute].get<double>())) << attribute;
      }
    }
  }
}

}  // namespace
}  // namespace steerlm
