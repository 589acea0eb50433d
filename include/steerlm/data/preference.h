// Preferences: a prompt with responses of which some are better than others. What the sources say of it is what the
// records of a line carry (docs/data.md): `response`, which of the responses a record is, and in HelpSteer2 and
// HelpSteer3 `preference_strength` and `overall_preference`, -3 (the first is much better) to 3 (the second is).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "steerlm/data/dataset.h"
#include "steerlm/data/record.h"
#include "steerlm/data/record_reader.h"

namespace steerlm {

struct Preference {
  std::vector<Record> responses;  // the better ones first; each ends in the assistant's turn
  size_t better = 1;              // how many are: 0 where nobody prefers one to the other
  double strength = 1;            // how much, above 0 to 3; 1 where the source does not say
  bool best_of_n = false;         // of RewardBench 2: lists of right and wrong answers
  std::string subset, id;         // "" where the source has none

  bool is_pair() const { return better == 1 && responses.size() == 2; }
  std::string place() const;  // file:line
};

class PreferenceReader {
 public:
  // `text`: Record::text of the responses is kept.
  PreferenceReader(std::vector<SourceOptions> sources, std::string default_system, bool text = false);
  // Nothing at the end. Throws data at the first bad line, for a line that holds no preference, and for a response that
  // does not end in the assistant's turn.
  std::optional<Preference> next();
  // The same, but what is wrong with a line is given instead of thrown.
  std::optional<std::variant<Preference, BadRecord>> next_or_bad();
  // Of what has been read so far; HelpSteer2's `preference_strength`, which is obeyed here, is not among them.
  ReadNotes notes() const;

 private:
  RecordReader reader_;
  std::int64_t strengths_ = 0;  // lines whose `preference_strength` was obeyed
};

// Throws data: a line of more than two responses has no pair to train on.
[[noreturn]] void refuse_several_responses(const Preference& preference);

// The pairs of data.train and data.validation, or of the share data.validation_fraction of the training dialogues: two
// neighbours of one group, the better one first, each encoded as a regression input that ends in its last turn.
// A pair of which one side is over data.max_tokens is left out whole (counted), or an error, as data.over_length says;
// one without a preference is left out (counted). A bad line, or one with more than two responses, is put aside where
// the builder does so. Throws data for the first one otherwise, and where no training pair is left. False: stopped by
// the builder.
bool encode_preferences(const DataOptions& data, const ConversationTemplate& conversation_template,
                        DatasetBuilder& builder);

}  // namespace steerlm
