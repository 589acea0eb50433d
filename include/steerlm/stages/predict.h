// What a predictor says of the assistant turns of records: the one place where both kinds of predictor are asked.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "steerlm/data/example.h"
#include "steerlm/data/record.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/text/template.h"

namespace steerlm {

struct RecordPrediction {
  std::vector<TurnScores> turns;  // every assistant turn, in order
  std::string fault;              // why the record cannot be scored; empty: it was
};

// Throws model where the folder is no predictor of attributes: a language model without attributes, or a reward model
// that declares none.
void require_predictor(const ModelFolder& folder);
// What the scores are called: the attributes; of a reward model that declares none config.json's labels.
const std::vector<std::string>& score_names(const OpenModel& model);

// What of a prediction needs no device: the texts of records as the predictor reads them. `records` must live on. For a
// language-model predictor, whose texts hold the labels that it writes, there is nothing to encode before.
struct EncodedRecords {
  struct Place {
    size_t record, turn;
  };
  std::vector<Example> examples;
  std::vector<Place> places;        // of each example
  std::vector<std::string> faults;  // of each record, as RecordPrediction's
};
EncodedRecords encode_for_prediction(const OpenModel& model, std::span<const Record> records);

// A regression predictor sees no earlier labels; a language-model predictor sees those that it has just written: its
// scores are expectations over the allowed values, its label the most probable values. Without declared
// attributes there are scores, and labels are empty. A conversation longer than the
// model's context is a fault, never cut. What is batched together depends on these records alone.
std::vector<RecordPrediction> predict_records(const OpenModel& model, std::span<const Record> records,
                                              const EncodedRecords& encoded, std::int64_t batch_tokens);
std::vector<RecordPrediction> predict_records(const OpenModel& model, std::span<const Record> records,
                                              std::int64_t batch_tokens);

}  // namespace steerlm
