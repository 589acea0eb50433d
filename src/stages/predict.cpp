#include "steerlm/stages/predict.h"

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

constexpr std::int64_t decoder_slots = 64;

std::string too_long(size_t turn, size_t tokens, std::int64_t context) {
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
      own.push_back(scored_example(conversation_template.encode_scored_turn(records[r].conversation, turn)));
      own_places.push_back({r, turn});
      const size_t tokens = own.back().ids.size();
      if (static_cast<std::int64_t>(tokens) > context && encoded.faults[r].empty())
        encoded.faults[r] = too_long(turn, tokens, context);
    }
    if (!encoded.faults[r].empty()) continue;
    std::ranges::move(own, std::back_inserter(encoded.examples));
    std::ranges::move(own_places, std::back_inserter(encoded.places));
  }
}

void predict_regression(const OpenModel& model, std::span<const Record> records, const EncodedRecords& encoded,
                        std::int64_t batch_tokens, std::vector<RecordPrediction>& predictions) {
  const auto& places = encoded.places;
  const auto scores =
      attribute_scores(model.transformer, model.folder.head.pooling, std::span(encoded.examples), batch_tokens);
  for (size_t i = 0; i < places.size(); ++i) {
    std::vector<float> rounded;
    for (size_t a = 0; a < scores[i].size(); ++a) {
      const float score = scores[i][a];
      if (!std::isfinite(score)) {
        const bool named = model.attributes.declared();
        fail(ExitCode::model,
             {.what = "the predictor's score of " +
                      (named ? "'" + model.attributes.names.at(a) + "'" : "label " + std::to_string(a)) +
                      " is not finite",
              .where = where(records[places[i].record]) + ", turn " + std::to_string(places[i].turn + 1),
              .advice = beyond_range});
      }
      if (!model.attributes.declared()) continue;
      rounded.push_back(static_cast<float>(round_score(static_cast<double>(score), model.attributes)));
    }
    predictions[places[i].record].turns.push_back({places[i].turn, make_label(model.attributes, rounded), scores[i]});
  }
}

// Tokens of the longest label line.
size_t label_room(const OpenModel& model) {
  std::vector<std::int32_t> ids;
  model.tokenizer.append_continuation(
      make_label(model.attributes,
                 std::vector<float>(model.attributes.names.size(), static_cast<float>(model.attributes.max)))
          .text,
      ids);
  return ids.size() + 1;
}

void predict_by_writing(const OpenModel& model, const ConversationTemplate& conversation_template,
                        std::span<const Record> records, std::vector<RecordPrediction>& predictions) {
  const std::int64_t context = model.folder.config.context_length();
  std::vector<Conversation> written;
  for (const Record& record : records) {
    Conversation conversation = record.conversation;
    conversation.type = ConversationType::text_to_value;
    for (Turn& turn : conversation.turns) turn.label.reset();
    written.push_back(std::move(conversation));
  }
  const size_t room = label_room(model);
  // Round k: the k-th assistant turn of every record, which sees the labels of the rounds before.
  for (size_t round = 0;; ++round) {
    std::vector<std::vector<std::int32_t>> prefixes;
    std::vector<std::pair<size_t, size_t>> places;
    for (size_t r = 0; r < records.size(); ++r) {
      const std::vector<size_t> turns = assistant_turns(written[r]);
      if (round >= turns.size() || !predictions[r].fault.empty()) continue;
      auto prefix = conversation_template.encode_label_prefix(written[r], turns[round]);
      const size_t tokens = prefix.size() + room;
      if (static_cast<std::int64_t>(tokens) > context) {
        predictions[r] = {{}, too_long(turns[round], tokens, context)};
        continue;
      }
      prefixes.push_back(std::move(prefix));
      places.emplace_back(r, turns[round]);
    }
    if (places.empty() &&
        std::ranges::none_of(written, [&](const Conversation& c) { return assistant_turns(c).size() > round; }))
      return;
    const auto labels = decode_labels(model.transformer, model.tokenizer, model.attributes, prefixes, decoder_slots);
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

void require_predictor(const ModelFolder& folder) {
  if (!folder.attributes.names.empty()) return;
  const bool regression = folder.head.kind == HeadKind::regression;
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

const std::vector<std::string>& score_names(const OpenModel& model) {
  return model.attributes.declared() ? model.attributes.names : model.folder.label_names;
}

EncodedRecords encode_for_prediction(const OpenModel& model, std::span<const Record> records) {
  EncodedRecords encoded{{}, {}, std::vector<std::string>(records.size())};
  if (model.folder.head.kind == HeadKind::regression)
    encode_scored_turns(model, make_template(model.folder, model.tokenizer), records, encoded);
  return encoded;
}

std::vector<RecordPrediction> predict_records(const OpenModel& model, std::span<const Record> records,
                                              const EncodedRecords& encoded, std::int64_t batch_tokens) {
  std::vector<RecordPrediction> predictions(records.size());
  for (size_t r = 0; r < records.size(); ++r) predictions[r].fault = encoded.faults[r];
  if (model.folder.head.kind == HeadKind::regression) {
    predict_regression(model, records, encoded, batch_tokens, predictions);
  } else {
    predict_by_writing(model, make_template(model.folder, model.tokenizer), records, predictions);
  }
  return predictions;
}

std::vector<RecordPrediction> predict_records(const OpenModel& model, std::span<const Record> records,
                                              std::int64_t batch_tokens) {
  return predict_records(model, records, encode_for_prediction(model, records), batch_tokens);
}

}  // namespace steerlm
