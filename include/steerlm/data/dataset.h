// From records to training sequences.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/data/bad_record_set.h"
#include "steerlm/data/example.h"
#include "steerlm/data/example_set.h"
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
  std::int64_t conversations = 0;   // records seen; of preferences lines
  std::int64_t examples = 0;        // sequences made of them
  std::int64_t label_examples = 0;  // of these: the targets are labels (type TEXT_TO_VALUE, objective label)
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
  // Of the labelled answers in the examples (objectives label, where a conversation that was cut counts whole, and
  // regression), for each attribute: the sum of the labels, and how many are known.
  std::vector<double> label_sums;
  std::vector<std::int64_t> label_values;
  // Of responses to compare (data/response_group.h):
  std::int64_t groups = 0;         // prompts with two responses or more
  std::int64_t single = 0;         // prompts left out because fewer than two responses are left: nothing is compared
  std::int64_t alike = 0;          // groups whose weights are all the same
  double effective_responses = 0;  // mean over the groups of 1 / sum w'^2: how many responses the weights leave
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
  ExampleSet train;
  ExampleSet validation;
  DatasetCounts train_counts;
  DatasetCounts validation_counts;
  BadRecordSet bad;  // what DatasetBuilder has put aside; the counts say nothing of it
};

// Takes the examples of both parts in the order in which they are read.
class DatasetBuilder {
 public:
  struct Part {
    std::vector<ExampleEntry> entries;
    DatasetCounts counts;
    std::int64_t last_group = -1;
  };
  // What becomes of the bytes of the examples: kept in memory, thrown away, or given to `write`, front to back.
  enum class Bytes { kept, dropped };
  explicit DatasetBuilder(Bytes bytes = Bytes::kept);
  explicit DatasetBuilder(std::function<void(std::string_view bytes)> write);

  // Bad records are put aside: what of the data cannot be used is left out, and its description kept in Dataset::bad,
  // of dropped bytes too. Without this a bad record ends the reading.
  bool puts_aside = false;
  // One of `data`. Throws data where nothing is put aside.
  void refuse_or_put_aside(const BadRecord& bad, const DataOptions& data);
  // Calls encode(), which throws before it changes anything but `counts`. Where it throws data and bad records are put
  // aside, nothing of it is left in `counts`, `record`, whose text was kept, is put aside, and the answer is no.
  bool encode_or_put_aside(DatasetCounts& counts, const Record& record, const DataOptions& data,
                           const std::function<void()>& encode);

  void add(Part& part, const Example& example);
  bool record_read();  // one more, of whatever part; false: reading is to end here
  // What is not written yet is.
  void flush();
  // Of bytes that are kept or dropped. Takes everything.
  Dataset finish();

  Part train, validation;
  std::vector<BadRecordEntry> bad;
  std::function<bool(std::int64_t records)> on_record;  // called after each record: false stops; may be empty

 private:
  // Behind what was appended to bytes_ at `begin`, whose `offset` is set.
  void advance(size_t begin, std::uint64_t& offset);

  std::function<void(std::string_view bytes)> write_;
  bool dropped_ = false;
  std::string bytes_;         // kept, or not written yet
  std::uint64_t offset_ = 0;  // of the next bytes
  std::int64_t records_ = 0;
};

// Reads data.train and data.validation; without data.validation, data.fold or the share validation_fraction of the
// training dialogues is held out. Records are dropped as soon as they are encoded. A bad record, of which encode_record
// makes nothing, is put aside where the builder does so. Throws data at the first one otherwise, and when no training
// example is left. False: stopped by the builder.
bool encode_conversations(const DataOptions& data, const Attributes& attributes,
                          const ConversationTemplate& conversation_template, Objective objective,
                          DatasetBuilder& builder);
// data.validation alone, for a stage that looks at it before there is anything to train on. False: stopped.
bool encode_validation(const DataOptions& data, const Attributes& attributes,
                       const ConversationTemplate& conversation_template, Objective objective, DatasetBuilder& builder);
// The same of both, into memory; `puts_aside`: DatasetBuilder's.
Dataset load_dataset(const DataOptions& data, const Attributes& attributes,
                     const ConversationTemplate& conversation_template, Objective objective, bool puts_aside = false);

// Whether an assistant turn of the sources has a label that is not empty. A bad record, whose fault may be its label,
// counts as having one, and so does standard input, which can be read only once.
bool has_labels(const std::vector<SourceOptions>& sources, const Attributes& rating_attributes);

// One line for the log: "1200 conversations, 1187 examples, 13 over 4096 tokens dropped, …"
std::string describe(const DatasetCounts& counts);
// The same of what gave a builder no training example, and how many records it has put aside.
std::string describe_empty(const DatasetBuilder& builder);

}  // namespace steerlm
