// One conversation of a data file: what is trained or annotated of it, and the JSON object that it came from, whose
// unknown keys travel through untouched. The format is the NeMo conversation record (contracts.md section 5).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/text/attributes.h"
#include "steerlm/text/conversation.h"

namespace steerlm {

struct Record {
  Conversation conversation;
  Json json;         // the object as read, converted to the conversation format; json["conversations"][i] is turn i
  std::string file;  // as given; "-" is standard input
  std::int64_t line = 0;  // from 1; in a JSON array the number of the element
  std::int64_t part = 0;  // which of the `parts` records that the line became, from 0
  std::int64_t parts = 1;
  std::string dialogue;  // what the validation split goes by: the tree id, else the first user text
  std::string text;      // of ReadOptions::text: the line, as BadRecord::text
  // Which input of standard input this is, up to the record's line: of each line the hash64 of the hash before and the
  // line. 0 where nothing was read of it.
  std::uint64_t input_hash = 0;
};

// What becomes of the labels of the turns, and of what says that a turn is not to be trained.
enum class Labels {
  obeyed,
  dropped,  // labels are taken out unread: the record is chat without labels
  ignored,  // neither read nor checked, and left in the JSON: annotation writes labels of its own
  kept,     // as ignored, but ratings are checked: annotation is to keep what people gave
};

// Missing `system`: `default_system`; missing `mask`: User; missing `type`: VALUE_TO_TEXT where a turn has a label,
// else none; null is as good as missing. `weight: 0` on a turn, or what others spell it with, makes it context, unless
// `weights` is false: then it is neither read nor checked. Throws data, naming file:line and the turn.
Record parse_record(Json object, const Attributes& attributes, std::string_view default_system, const std::string& file,
                    std::int64_t line, Labels labels = Labels::obeyed, bool weights = true);

// A new record. Labels are written as their text, null where a turn has none or the type is none; `weight` is 0 for a
// turn that is context only.
Json to_json(const Conversation& conversation);

// "train.jsonl:7"
std::string where(const Record& record);

// What a predictor says of one assistant turn: the label, and one raw score an attribute.
struct TurnScores {
  size_t turn;
  Label label;
  std::vector<float> scores;
};

// The record's JSON with `label` and `scores` of the given turns written and a non-empty human label kept in
// `gt_label` as it was, whatever it names. keep_human: attributes that a human gave a value of the range keep it, the
// others are filled in; values outside are added to `not_kept`. In a record that was annotated before, the human label
// is the one in `gt_label`. Throws model for a score that is not finite.
Json annotate(const Record& record, std::span<const TurnScores> scores, bool keep_human, const Attributes& attributes,
              std::int64_t* not_kept = nullptr);

}  // namespace steerlm
