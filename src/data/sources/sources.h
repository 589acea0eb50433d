// From what others publish to our conversation record (docs/data.md): one function a format. Each takes one object of a
// file and gives the records that it becomes, before they are checked by parse_record. Values stay byte for byte,
// ratings become integers of the declared range, names that are not declared are left out of the label, and keys that
// no part of the record is made of travel along. All throw data at `where`, the object's file:line.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/data/options.h"
#include "steerlm/data/record.h"
#include "steerlm/text/attributes.h"

namespace steerlm {

struct Conversion {
  const Attributes& attributes;  // what ratings become labels of
  Labels labels;                 // obeyed: a rating that cannot be used is an error
  const std::string& where;
  std::set<std::string>& unobeyed;  // gets what carries meaning and is lost
};

// What the object is, by its keys, of `conversations` by the roles of the turns; nothing where they say nothing.
std::optional<Format> detect_format(const Json& object);

// Dispatches on the format, which is not auto. For `text` the object is the line as a JSON string.
std::vector<Json> convert(Format format, Json object, const Conversion& conversion);

// OpenAssistant trees: every root-to-leaf path of two turns or more. Ratings 0..1; `labels` is {name: {value, count}}
// or {name: […], value: […]}.
std::vector<Json> from_oasst(const Json& tree, const Conversion& conversion);
// Anthropic hh-rlhf: `chosen` and `rejected`, texts with "\n\nHuman:" and "\n\nAssistant:" marks; `response` says which
// of the two a conversation is.
std::vector<Json> from_hh_rlhf(const Json& pair, const Conversion& conversion);
// HelpSteer: prompt, response, five ratings 0-4.
std::vector<Json> from_helpsteer(const Json& row, const Conversion& conversion);
// HelpSteer2: the same with earlier turns inside `prompt`; rows of preference/ (response_1, response_2) become two
// conversations, whose `response` says which of the two it is.
std::vector<Json> from_helpsteer2(const Json& row, const Conversion& conversion);
// HelpSteer3 preference: context (messages), response1, response2; two conversations likewise.
std::vector<Json> from_helpsteer3(const Json& row, const Conversion& conversion);
// Whether a row of HelpSteer or HelpSteer2 has one of the five ratings.
bool has_helpsteer_rating(const Json& row);
// RewardBench: prompt, chosen, rejected (texts), subset. RewardBench 2: chosen and rejected are lists of texts. A
// conversation for each answer, the chosen ones first, whose `response` says which it is: "chosen", "rejected[2]".
std::vector<Json> from_reward_bench(const Json& row, const Conversion& conversion);
std::vector<Json> from_reward_bench_2(const Json& row, const Conversion& conversion);
// ShareGPT, FastChat: conversations [{from: human | gpt, value}].
std::vector<Json> from_sharegpt(const Json& object, const Conversion& conversion);
// The chat format of Hugging Face and OpenAI: messages [{role, content}].
std::vector<Json> from_messages(const Json& object, const Conversion& conversion);
// SteerLM 2.0 (NeMo-Aligner): prompt_turns, label and responses, each a record whose earlier answers are context only
// (data/response_group.h).
std::vector<Json> from_response_group(const Json& group, const Conversion& conversion);
// A line a text, for template: plain.
std::vector<Json> from_text(const Json& line, const Conversion& conversion);

// "User" for user, human …; nothing for a role that has no place in a record.
std::optional<std::string_view> our_role(std::string_view role);

// A line for read_prompts: it has `prompt` or `turns` (data/prompt_line.h), and no response.
bool is_prompt_line(const Json& object);
// Keys that are not of the prompt travel along; `unobeyed` gets those that are lost.
Json from_prompt_line(const Json& object, const std::string& where, std::set<std::string>& unobeyed);

// A line that says `response` beside turns that end with the user's, or beside turns or `prompt` with what else
// `generate` writes (`token_ids`, `logprob` and `finish`: HelpSteer has the first two keys too). The response becomes
// the turn behind the last one of the user; what the input had there gives way to it.
bool is_generated(const Json& object);
Json from_generated(const Json& object, const Conversion& conversion);
// Of a line that is none of these: a `response` beside a conversation that has its answers is lost (Magpie's rows have
// the first of them there).
void note_unused_response(const Json& object, std::set<std::string>& unobeyed);

// Of `conversations`, else `messages`, with roles in any spelling: whether the last turn is the user's.
bool ends_with_user(const Json& object);
// Takes the turns behind the last one of the user out of them, if there is one of the user.
void drop_behind_user(Json& object);
// The same where one of these turns is a tool's or does nothing but call one: a record cannot have it, and a prompt
// does not need it.
void drop_tools_behind_user(Json& object);

// Of `conversations`: sharegpt or conversations, by the first turn of a role that only one of them spells so; nothing
// where no turn has a role of either.
std::optional<Format> conversations_or_sharegpt(const Json& turns);

// Adds the keys of a record and of its turns that other programs act on and this one does not: `tools`, `images` …
void note_unobeyed(const Record& record, const Attributes& attributes, std::set<std::string>& unobeyed);

// What the formats share.
// -------------------------------------------------------------------------------------------------------

// {"from", "value", "label": null}
Json make_turn(std::string_view from, std::string_view value);
// {"mask": "User", "type": "VALUE_TO_TEXT", "conversations": turns}
Json make_record(Json turns);
// Copies the members of `object` into the record, but for those in `taken`. Where the record has one of the name, that
// of the object is lost, which is noted.
void carry_over(const Json& object, std::span<const std::string_view> taken, Json& record,
                std::set<std::string>& unobeyed);
// The same for the keys of a turn.
void carry_over_to_turn(const Json& entry, std::span<const std::string_view> taken, Json& turn,
                        std::set<std::string>& unobeyed);

// A label from ratings: min + (rating - low) / (high - low) * (max - min), rounded half to even.
class RatedLabel {
 public:
  RatedLabel(const Conversion& conversion, double low, double high);
  // False for a rating that does not become part of the label: its name is not declared, or it cannot be used, which
  // throws data where labels are obeyed (no number, or outside low … high). `advice_for`: of the name and what
  // it is rated with.
  bool rate(const std::string& name, const Json& rating, const std::string& where,
            std::string (*advice_for)(const std::string& name, const Json& rating) = nullptr);
  // The label's text, null where nothing was rated.
  Json json() const;

 private:
  const Conversion& conversion_;
  double low_, high_;
  std::vector<float> values_;
  bool any_ = false;
};

}  // namespace steerlm
