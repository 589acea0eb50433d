#include "steerlm/stages/predict.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "steerlm/core/suggest.h"
#include "steerlm/infer/label_decoder.h"
#include "steerlm/infer/score.h"
#include "steerlm/kernels/finite.h"

namespace steerlm {
namespace {

using Take = std::function<void(std::span<const RecordPrediction>)>;

constexpr std::int64_t decoder_slots = 64;
constexpr size_t decoded_records = 256;    // whose labels are written together
constexpr std::int64_t cpu_tokens = 1024;  // that each thread of a CPU scores at once

std::string too_long(size_t turn, std::int64_t tokens, std::int64_t context) {
  return fmt::format("turn {} needs {} tokens of context, the predictor has {}", turn + 1, tokens, context);
}

std::vector<size_t> assistant_turns(const Conversation& conversation) {
  std::vector<size_t> turns;
  for (size_t t = 0; t < conversation.turns.size(); ++t) {
    if (conversation.turns[t].from == "Assistant") turns.push_back(t);
  }
  return turns;
}

void encode_scored_turns(const OpenModel& model, const ConversationTemplate& conversation_template,
                         std::span<const Record> records, EncodedRecords& encoded) {
  const std::int64_t context = model.folder.config.context_length();
  for (size_t r = 0; r < records.size(); ++r) {
    std::vector<Example> own;
    std::vector<EncodedRecords::Place> own_places;
    for (size_t turn : assistant_turns(records[r].conversation)) {
      own.push_back(scored_example(scored_turn(model.folder, conversation_template, records[r].conversation, turn)));
      own_places.push_back({r, turn});
      const auto tokens = std::ssize(own.back().ids);
      if (tokens > context && encoded.faults[r].empty()) encoded.faults[r] = too_long(turn, tokens, context);
    }
    if (!encoded.faults[r].empty()) continue;
    std::ranges::move(own, std::back_inserter(encoded.examples));
    std::ranges::move(own_places, std::back_inserter(encoded.places));
  }
}

TurnScores turn_scores(const OpenModel& model, const Record& record, size_t turn, const AttributeScores& scores) {
  std::vector<float> rounded;
  for (size_t a = 0; a < scores.size(); ++a) {
    const float score = scores[a];
    if (!std::isfinite(score)) {
      const bool named = model.attributes.declared();
      fail(ExitCode::model, {.what = "the predictor's score of " +
                                     (named ? "'" + model.attributes.names.at(a) + "'" : "label " + std::to_string(a)) +
                                     " is not finite",
                             .where = where(record) + ", turn " + std::to_string(turn + 1),
                             .advice = beyond_range});
    }
    if (!model.attributes.declared()) continue;
    rounded.push_back(static_cast<float>(round_score(static_cast<double>(score), model.attributes)));
  }
  return {turn, make_label(model.attributes, rounded), scores};
}

bool predict_regression(const OpenModel& model, std::span<const Record> records, const EncodedRecords& encoded,
                        std::int64_t batch_tokens, const Take& take, const std::function<bool()>& go_on) {
  std::vector<size_t> ends;  // of each record's turns among the examples
  for (size_t r = 0, e = 0; r < records.size(); ++r) {
    while (e < encoded.places.size() && encoded.places[e].record == r) ++e;
    ends.push_back(e);
  }
  size_t taken = 0;  // records
  const auto take_until = [&](std::span<const AttributeScores> scores) {
    std::vector<RecordPrediction> predictions;
    for (; taken < records.size() && ends[taken] <= scores.size(); ++taken) {
      RecordPrediction& prediction = predictions.emplace_back();
      prediction.fault = encoded.faults[taken];
      for (size_t e = taken == 0 ? 0 : ends[taken - 1]; e < ends[taken]; ++e) {
        prediction.tokens += static_cast<std::int64_t>(encoded.examples[e].ids.size());
        prediction.turns.push_back(turn_scores(model, records[taken], encoded.places[e].turn, scores[e]));
      }
    }
    take(predictions);
    return !go_on || go_on();
  };
  // Records without a turn to score before the first one, or at the end, wait for nothing.
  const std::int64_t most = scored_at_once(model, batch_tokens);
  const auto scores = attribute_scores(model.transformer, model.folder.head.pooling, std::span(encoded.examples),
                                       {most, ends}, take_until);
  const bool stopped = !scores.empty() && taken < records.size() && scores.back().empty();
  if (!stopped && taken < records.size()) take_until(scores);
  return taken == records.size();
}

// The label line of most tokens, and how many it takes with its line end.
struct LongestLabel {
  Label label;
  std::int64_t tokens = 0;
};
LongestLabel longest_label(const Attributes& attributes, const Tokenizer& tokenizer) {
  LongestLabel longest;
  for (const int value : {attributes.min, attributes.max}) {
    Label label = make_label(attributes, std::vector<float>(attributes.names.size(), static_cast<float>(value)));
    std::vector<std::int32_t> ids;
    tokenizer.append_continuation(label.text, ids);
    if (std::ssize(ids) + 1 > longest.tokens) longest = {std::move(label), std::ssize(ids) + 1};
  }
  return longest;
}

// As a language-model predictor reads it: without labels.
Conversation without_labels(const Record& record) {
  Conversation conversation = record.conversation;
  conversation.type = ConversationType::text_to_value;
  for (Turn& turn : conversation.turns) turn.label.reset();
  return conversation;
}

// Fewer predictions than records: `go_on` has said no.
std::vector<RecordPrediction> predict_by_writing(const OpenModel& model,
                                                 const ConversationTemplate& conversation_template,
                                                 std::span<const Record> records, const std::function<bool()>& go_on) {
  std::vector<RecordPrediction> predictions(records.size());
  const std::int64_t context = model.folder.config.context_length();
  std::vector<Conversation> written;
  for (const Record& record : records) written.push_back(without_labels(record));
  const std::int64_t room = longest_label(model.attributes, model.tokenizer).tokens;
  // Round k: the k-th assistant turn of every record, which sees the labels of the rounds before.
  for (size_t round = 0;; ++round) {
    std::vector<std::vector<std::int32_t>> prefixes;
    std::vector<std::pair<size_t, size_t>> places;
    for (size_t r = 0; r < records.size(); ++r) {
      const std::vector<size_t> turns = assistant_turns(written[r]);
      if (round >= turns.size() || !predictions[r].fault.empty()) continue;
      auto prefix = conversation_template.encode_label_prefix(written[r], turns[round]);
      const std::int64_t tokens = std::ssize(prefix) + room;
      if (tokens > context) {
        predictions[r] = {.turns = {}, .fault = too_long(turns[round], tokens, context)};
        continue;
      }
      predictions[r].tokens += tokens;
      prefixes.push_back(std::move(prefix));
      places.emplace_back(r, turns[round]);
    }
    if (places.empty() &&
        std::ranges::none_of(written, [&](const Conversation& c) { return assistant_turns(c).size() > round; }))
      return predictions;
    const auto labels =
        decode_labels(model.transformer, model.tokenizer, model.attributes, prefixes, decoder_slots, go_on);
    if (labels.size() < prefixes.size()) return {};
    for (size_t i = 0; i < places.size(); ++i) {
      const auto [record, turn] = places[i];
      const Label label = make_label(model.attributes, labels[i].best);
      written[record].turns[turn].label = label;
      predictions[record].turns.push_back({turn, label, labels[i].expected});
    }
  }
}

// A steerlm.json that names the rows of a reward model's score.
std::string example_declaration(const ModelFolder& folder) {
  std::vector<std::string> names;
  for (std::int64_t row = 0; row < folder.num_labels; ++row)
    names.push_back(row == 0 ? "quality" : "attribute" + std::to_string(row));
  const Json attributes{{"names", names}, {"min", 0}, {"max", 4}};
  return dump_json(Json{{"attributes", attributes}});
}

}  // namespace

void require_predictor(const ModelFolder& folder, const Tokenizer& tokenizer) {
  if (!folder.attributes.names.empty() && folder.writes == Writes::text) {
    fail(ExitCode::model, {.what = "the model folder is not an attribute predictor: it was trained to write answers",
                           .where = folder.path.string(),
                           .found = "head.writes 'text' in its steerlm.json",
                           .expected = "a regression head, or a language model that writes labels",
                           .advice = "train one with `steerlm train-predictor`"});
  }
  const bool regression = folder.head.kind == HeadKind::regression;
  if (!folder.attributes.names.empty()) {
    if (!regression) check_label_values(tokenizer, make_attributes(folder.attributes), ExitCode::model);
    return;
  }
  fail(
      ExitCode::model,
      {.what = regression ? "the model folder scores, but does not say which attributes, so that it can write no labels"
                          : "the model folder is not an attribute predictor: its steerlm.json declares no attributes",
       .where = folder.path.string(),
       .found = regression ? join(folder.label_names) : "",
       .advice = regression
                     ? "`steerlm score` gives its raw scores; to annotate, write a steerlm.json into the folder, "
                       "such as " +
                           example_declaration(folder) + ", or start `steerlm train-predictor` from it"
                     : "train one with `steerlm train-predictor`"});
}

void require_predictor(const OpenModel& predictor) { require_predictor(predictor.folder, predictor.tokenizer); }

void require_range(const ModelFolder& predictor, const AttributeOptions& policy) {
  const AttributeOptions& own = predictor.attributes;
  if (own.min == policy.min && own.max == policy.max) return;
  fail(ExitCode::recipe, {.what = "policy and predictor have different ranges",
                          .where = predictor.path.string(),
                          .found = fmt::format("{} to {}", own.min, own.max),
                          .expected = fmt::format("{} to {}, as the policy", policy.min, policy.max),
                          .advice = "train predictor and policy on the same range"});
}

const std::vector<std::string>& score_names(const OpenModel& model) {
  return model.attributes.declared() ? model.attributes.names : model.folder.label_names;
}

EncodedRecords encode_for_prediction(const OpenModel& model, std::span<const Record> records) {
  EncodedRecords encoded{{}, {}, std::vector<std::string>(records.size())};
  if (model.folder.head.kind == HeadKind::regression)
    encode_scored_turns(model, make_template(model.folder, model.tokenizer), records, encoded);
  return encoded;
}

std::vector<std::int64_t> context_needed(const ModelFolder& predictor, const Tokenizer& tokenizer,
                                         const ConversationTemplate& conversation_template, const Record& record) {
  std::vector<std::int64_t> needed;
  if (predictor.head.kind == HeadKind::regression) {
    for (const size_t turn : assistant_turns(record.conversation))
      needed.push_back(std::ssize(scored_turn(predictor, conversation_template, record.conversation, turn).ids));
    return needed;
  }
  const LongestLabel longest = longest_label(make_attributes(predictor.attributes), tokenizer);
  Conversation written = without_labels(record);
  for (const size_t turn : assistant_turns(written)) {
    needed.push_back(std::ssize(conversation_template.encode_label_prefix(written, turn)) + longest.tokens);
    written.turns[turn].label = longest.label;
  }
  return needed;
}

std::string prediction_fault(const ModelFolder& predictor, const Tokenizer& tokenizer,
                             const ConversationTemplate& conversation_template, const Record& record) {
  const std::int64_t context = predictor.config.context_length();
  const std::vector<std::int64_t> needed = context_needed(predictor, tokenizer, conversation_template, record);
  const auto over = std::ranges::find_if(needed, [&](std::int64_t tokens) { return tokens > context; });
  if (over == needed.end()) return "";
  return too_long(assistant_turns(record.conversation)[static_cast<size_t>(over - needed.begin())], *over, context);
}

ScoredTurn scored_turn(const ModelFolder& folder, const ConversationTemplate& conversation_template,
                       const Conversation& conversation, size_t turn) {
  const bool trained_here = !folder.template_sha256.empty();
  if (trained_here) return conversation_template.encode_scored_turn(conversation, turn);
  return conversation_template.encode_whole_turn(conversation, turn, folder.pad_token_id);
}

std::int64_t scored_at_once(const OpenModel& model, std::int64_t batch_tokens) {
  return model.transformer.device().is_cuda() ? batch_tokens
                                              : std::min(batch_tokens, cpu_tokens * at::get_num_threads());
}

bool predict_each(const OpenModel& model, std::span<const Record> records, const EncodedRecords& encoded,
                  std::int64_t batch_tokens, const Take& take, const std::function<bool()>& go_on) {
  if (model.folder.head.kind == HeadKind::regression)
    return predict_regression(model, records, encoded, batch_tokens, take, go_on);
  const ConversationTemplate conversation_template = make_template(model.folder, model.tokenizer);
  for (size_t begin = 0; begin < records.size(); begin += decoded_records) {
    const std::span own = records.subspan(begin, std::min(decoded_records, records.size() - begin));
    const std::vector<RecordPrediction> predictions = predict_by_writing(model, conversation_template, own, go_on);
    if (predictions.size() < own.size()) return false;
    take(predictions);
  }
  return true;
}

std::int64_t text_bytes(const Record& record) {
  std::int64_t bytes = 0;
  for (const Turn& turn : record.conversation.turns) bytes += std::ssize(turn.value);
  return bytes;
}

std::vector<RecordPrediction> predict_records(const OpenModel& model, std::span<const Record> records,
                                              std::int64_t batch_tokens, const std::function<bool()>& go_on) {
  std::vector<RecordPrediction> predictions;
  predict_each(
      model, records, encode_for_prediction(model, records), batch_tokens,
      [&](std::span<const RecordPrediction> next) { predictions.insert(predictions.end(), next.begin(), next.end()); },
      go_on);
  return predictions;
}

}  // namespace steerlm
