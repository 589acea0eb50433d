// What a predictor says of the assistant turns of records: the one place where both kinds of predictor are asked.
#pragma once

#include <functional>
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
  std::int64_t tokens = 0;        // that the predictor read for it
};

// Throws model where the folder is no predictor of attributes: a language model without attributes or one that says
// that it was trained to write answers, or a reward model that declares none; and where a language model cannot write
// its labels, as check_label_values says.
void require_predictor(const ModelFolder& folder, const Tokenizer& tokenizer);
void require_predictor(const OpenModel& predictor);
// Throws recipe where its range is not that of the policy's dials.
void require_range(const ModelFolder& predictor, const AttributeOptions& policy);
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

// Tokens of context that each assistant turn of the record needs; of a language-model predictor, which has not written
// the labels yet, at most.
std::vector<std::int64_t> context_needed(const ModelFolder& predictor, const Tokenizer& tokenizer,
                                         const ConversationTemplate& conversation_template, const Record& record);
// RecordPrediction's fault, told without the weights.
std::string prediction_fault(const ModelFolder& predictor, const Tokenizer& tokenizer,
                             const ConversationTemplate& conversation_template, const Record& record);

// Predictions of the records, in their order: `take` is given those of the next ones, a batch's at a time. A regression
// predictor sees no earlier labels; a language-model predictor sees those that it has just written: its scores are
// expectations over the allowed values, its label the most probable values. Without declared attributes there are
// scores, and labels are empty. A conversation longer than the model's context is a fault, never cut.
//
// `go_on`, where it is given, is asked often; when it says false, false is returned and nothing more is taken. What is
// batched together from a record on that was not taken does not depend on the records before it: who goes on there
// later gets the same numbers.
bool predict_each(const OpenModel& model, std::span<const Record> records, const EncodedRecords& encoded,
                  std::int64_t batch_tokens, const std::function<void(std::span<const RecordPrediction>)>& take,
                  const std::function<bool()>& go_on = {});

// Bytes of the turns' texts, which say about how long a record takes.
std::int64_t text_bytes(const Record& record);

// All of them. Stopped by `go_on` they are fewer than the records.
std::vector<RecordPrediction> predict_records(const OpenModel& model, std::span<const Record> records,
                                              std::int64_t batch_tokens, const std::function<bool()>& go_on = {});

// What the folder's regression head reads: its own text, or, where it was trained elsewhere (no template.sha256),
// that of its chat template.
ScoredTurn scored_turn(const ModelFolder& folder, const ConversationTemplate& conversation_template,
                       const Conversation& conversation, size_t turn);

// Tokens of a batch of scored texts where no recipe says how many.
inline constexpr std::int64_t default_batch_tokens = 16384;
// How many tokens are scored at once where `batch_tokens` are allowed. On a CPU more than a thousand make nothing
// faster, and a batch is what a stop on request waits for.
std::int64_t scored_at_once(const OpenModel& model, std::int64_t batch_tokens);

}  // namespace steerlm
