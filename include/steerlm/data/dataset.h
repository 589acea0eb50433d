// From records to training sequences, encoded once into memory.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "steerlm/data/example.h"
#include "steerlm/data/options.h"
#include "steerlm/data/record.h"
#include "steerlm/text/attributes.h"
#include "steerlm/text/template.h"

namespace steerlm {

enum class Objective {
  response,    // AC-SFT, chat, plain text: a conversation is an example; one without a target is an error
  label,       // language-model predictor: a conversation in the TEXT_TO_VALUE layout, whatever its type; its labelled
               // assistant turns are the targets, but for those that are context only; one without a label is counted
  regression,  // an example a labelled assistant turn, likewise; turns without a label are counted
  preference,  // the last turn, which is the assistant's, as a regression input, whatever its label
};

struct DatasetCounts {
  std::int64_t conversations = 0;  // records seen; of preferences lines
  std::int64_t examples = 0;       // sequences made of them
  // Sequences longer than max_tokens that were left out, also those without a target left after a cut.
  std::int64_t dropped_over_length = 0;
  // Of preferences: pairs of which one side was too long.
  std::int64_t pairs = 0;               // of preferences: pairs that are examples
  std::int64_t without_preference = 0;  // of preferences: lines that prefer neither response
  std::int64_t truncated = 0;           // sequences cut on the right and kept
  std::int64_t without_target = 0;      // records without a labelled turn (objectives label and regression)
  std::int64_t unlabelled_turns = 0;    // assistant turns without a label (objectives label and regression)
  std::int64_t labelled_turns = 0;      // assistant turns with a label
  std::int64_t marker_text = 0;         // records with a template marker inside a value
  std::int64_t tokens = 0;              // of the examples
  // Predicted tokens of the examples; regression: known attribute values; preferences: scores.
  std::int64_t target_tokens = 0;
  std::int64_t longest = 0;                      // tokens of the longest sequence seen, dropped ones included
  std::map<std::string, std::int64_t> unobeyed;  // ReadNotes::unobeyed
};

struct EncodeOptions {
  Objective objective = Objective::response;
  std::int64_t max_tokens = 4096;
  OverLength over_length = OverLength::drop;
};

// Appends the examples of one record. Throws data: a record without a target, or of which plain would train a turn that
// is context only (objective response), an over-long one under over_length: error. A regression input is never cut,
// since its end is what is scored: truncate drops it.
void encode_record(const Record& record, const ConversationTemplate& conversation_template,
                   const EncodeOptions& options, std::vector<Example>& examples, DatasetCounts& counts);

std::vector<Example> encode_dataset(std::span<const Record> records, const ConversationTemplate& conversation_template,
                                    const EncodeOptions& options, DatasetCounts& counts);

struct Dataset {
  std::vector<Example> train;
  std::vector<Example> validation;
  DatasetCounts train_counts;
  DatasetCounts validation_counts;
};

// Reads data.train and data.validation; without data.validation, data.fold or the share validation_fraction of the
// training dialogues is held out. Records are dropped as soon as they are encoded. Throws data at the first bad record,
// and when no training example is left.
Dataset load_dataset(const DataOptions& data, const Attributes& attributes,
                     const ConversationTemplate& conversation_template, Objective objective);

// Whether an assistant turn of the sources has a label that is not empty. A bad record, whose fault may be its label,
// counts as having one, and so does standard input, which can be read only once.
bool has_labels(const std::vector<SourceOptions>& sources, const Attributes& rating_attributes);

// One line for the log: "1200 conversations, 1187 examples, 13 over 4096 tokens dropped, …"
std::string describe(const DatasetCounts& counts);

}  // namespace steerlm
