// The label that a language model writes, against a brute force that scores every allowed value as a whole sequence.
#include "steerlm/infer/label_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "infer/small_model.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/core/rng.h"
#include "steerlm/infer/score.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

// Attribute by attribute: the log-probability of each value's text after what is written already. What the values' ids
// have in common adds the same to each.
DecodedLabel brute_force(const Transformer& model, const Tokenizer& tokenizer, const Attributes& attributes,
                         const std::vector<std::int32_t>& prefix) {
  DecodedLabel label;
  std::string written;
  for (const std::string& name : attributes.names) {
    std::vector<double> scores;
    for (int value = attributes.min; value <= attributes.max; ++value) {
      Example example{.ids = prefix};
      tokenizer.append_continuation(written + name + ":" + std::to_string(value), example.ids);
      example.target.assign(example.ids.size(), 0);
      std::fill(example.target.begin() + static_cast<std::ptrdiff_t>(prefix.size()), example.target.end(),
                std::uint8_t{1});
      const std::vector<double> log_p = token_log_probabilities(model, std::span(&example, 1), 1000)[0];
      scores.push_back(std::accumulate(log_p.begin(), log_p.end(), 0.0));
    }
    const auto best = std::max_element(scores.begin(), scores.end());
    double total = 0, expected = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      total += std::exp(scores[i] - *best);
      expected += std::exp(scores[i] - *best) * (attributes.min + static_cast<double>(i));
    }
    const int value = attributes.min + static_cast<int>(best - scores.begin());
    label.best.push_back(static_cast<float>(value));
    label.expected.push_back(static_cast<float>(expected / total));
    written += name + ":" + std::to_string(value) + ",";
  }
  return label;
}

class LabelDecoder : public testing::Test {
 protected:
  std::vector<std::int32_t> prefix(std::uint64_t index, size_t length) const {
    Rng rng(5, "prefix", index);
    std::vector<std::int32_t> ids;
    const auto pieces = static_cast<std::uint64_t>(tokenizer_.vocab_size() - 3);
    for (size_t i = 0; i < length; ++i) ids.push_back(static_cast<std::int32_t>(3 + rng.below(pieces)));
    return ids;
  }

  const Tokenizer tokenizer_ = Tokenizer::load(tokenizer_file);
  const Transformer model_ =
      small_model(tokenizer_.vocab_size(), [](ModelConfig& config) { config.max_position_embeddings = 128; });
  const Attributes attributes_ = make_attributes({.names = {"quality", "humor", "not_toxic"}, .min = 0, .max = 9});
};

TEST_F(LabelDecoder, FindsTheBestValuesAndTheirExpectations) {
  std::vector<std::vector<std::int32_t>> prefixes;
  for (std::uint64_t i = 0; i < 12; ++i) prefixes.push_back(prefix(i, 2 + 5 * i));
  const std::vector<DecodedLabel> labels = decode_labels(model_, tokenizer_, attributes_, prefixes, 4);
  ASSERT_EQ(labels.size(), prefixes.size());
  std::set<float> values;
  for (size_t i = 0; i < prefixes.size(); ++i) {
    const DecodedLabel expected = brute_force(model_, tokenizer_, attributes_, prefixes[i]);
    EXPECT_EQ(labels[i].best, expected.best) << i;
    ASSERT_EQ(labels[i].expected.size(), 3u);
    for (size_t a = 0; a < 3; ++a)
      EXPECT_NEAR(labels[i].expected[a], expected.expected[a], 1e-4f) << i << ", attribute " << a;
    values.insert(labels[i].best.begin(), labels[i].best.end());
  }
  EXPECT_GT(values.size(), 3u) << "the model prefers one value always: the test would see little";
}

TEST_F(LabelDecoder, ALabelDoesNotDependOnItsNeighbours) {
  std::vector<std::vector<std::int32_t>> prefixes;
  for (std::uint64_t i = 0; i < 9; ++i) prefixes.push_back(prefix(i, 2 + (i * 7) % 40));
  const std::vector<DecodedLabel> together = decode_labels(model_, tokenizer_, attributes_, prefixes, 4);
  for (size_t i = 0; i < prefixes.size(); ++i) {
    const std::vector<DecodedLabel> alone =
        decode_labels(model_, tokenizer_, attributes_, std::span(&prefixes[i], 1), 4);
    EXPECT_EQ(alone[0].best, together[i].best) << i;
    EXPECT_EQ(alone[0].expected, together[i].expected) << i;
  }
}

// With "0," to "4," one piece each, and "5," two, labels take different numbers of steps: some are done while their
// neighbours, in later slots, are not.
TEST_F(LabelDecoder, LabelsOfDifferentNumbersOfPiecesDoNotMix) {
  const TemporaryFolder folder;
  Json json = Json::parse(read_file(Path(STEERLM_SOURCE_DIR) / "tests/fixtures/tokenizers/mistral/tokenizer.json",
                                    ExitCode::data, "tokenizer"));
  Json& vocab = json["model"]["vocab"];
  const auto pieces = static_cast<std::int64_t>(vocab.size());
  for (int digit = 0; digit < 5; ++digit) {
    vocab[std::to_string(digit) + ","] = pieces + digit;
    json["model"]["merges"].push_back({std::to_string(digit), ","});
  }
  for (Json& token : json["added_tokens"]) {
    if (token["id"] >= pieces) token["id"] = token["id"].get<std::int64_t>() + 5;
  }
  const Path file = folder.path() / "tokenizer.json";
  write_file_atomic(file, json.dump());
  const Tokenizer tokenizer = Tokenizer::load(file);
  ASSERT_EQ(tokenizer.encode_line("4,").size() + 1, tokenizer.encode_line("5,").size());
  const Transformer model = small_model(tokenizer.vocab_size(), [](ModelConfig& config) {
    config.max_position_embeddings = 128;
    config.initializer_range = 0.4;
  });

  std::vector<std::vector<std::int32_t>> prefixes;
  for (std::uint64_t i = 0; i < 16; ++i) prefixes.push_back(prefix(i, 2 + 3 * i));
  const std::vector<DecodedLabel> labels = decode_labels(model, tokenizer, attributes_, prefixes, 8);
  std::set<std::int64_t> pieces_of_labels;
  for (size_t i = 0; i < prefixes.size(); ++i) {
    const DecodedLabel expected = brute_force(model, tokenizer, attributes_, prefixes[i]);
    EXPECT_EQ(labels[i].best, expected.best) << i;
    for (size_t a = 0; a < 3; ++a) EXPECT_NEAR(labels[i].expected[a], expected.expected[a], 1e-4f) << i;
    pieces_of_labels.insert(std::ranges::count_if(labels[i].best, [](float value) { return value < 5; }));
  }
  EXPECT_GT(pieces_of_labels.size(), 1u) << "all labels have as many pieces: the test would see nothing";
}

TEST_F(LabelDecoder, NothingGivesNothing) {
  EXPECT_TRUE(decode_labels(model_, tokenizer_, attributes_, {}, 4).empty());
}

TEST_F(LabelDecoder, ValuesThatOnePieceDoesNotTellApartAreRefused) {
  const std::vector<std::vector<std::int32_t>> prefixes{prefix(0, 5)};
  try {
    decode_labels(model_, tokenizer_, make_attributes({.names = {"quality"}, .min = 0, .max = 100}), prefixes, 4);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::model);
  }
}

TEST_F(LabelDecoder, ARangeThatOnePieceDoesNotTellApartIsKnownBeforeAnythingIsTrained) {
  check_label_values(tokenizer_, attributes_, ExitCode::recipe);
  for (const auto& [min, max] : {std::pair{-2, 3}, std::pair{0, 10}, std::pair{-1'000'000, 1'000'000}}) {
    const Attributes attributes = make_attributes({.names = {"quality"}, .min = min, .max = max});
    const std::string message =
        message_of(ExitCode::recipe, [&] { check_label_values(tokenizer_, attributes, ExitCode::recipe); });
    EXPECT_NE(message.find("head.kind: regression, or on labels of one digit"), std::string::npos) << message;
  }
}

TEST_F(LabelDecoder, APrefixWithoutRoomForTheLabelIsRefused) {
  const std::vector<std::vector<std::int32_t>> prefixes{prefix(0, 126)};
  try {
    decode_labels(model_, tokenizer_, attributes_, prefixes, 4);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
  }
}

}  // namespace
}  // namespace steerlm
