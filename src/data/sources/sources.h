// From what others publish to our conversation record (contracts.md section 5): one function a
// format. Each takes one object of a file and gives the records that it becomes, before they are checked by
// parse_record. Values stay byte for byte, user turns have no label, ratings become integers of the declared range, and
// names that are not declared are dropped. All throw data at `where`, the object's file:line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/data/options.h"
#include "steerlm/text/attributes.h"

namespace steerlm {

// What the object is, by its keys; nothing where they say nothing.
std::optional<Format> detect_format(const Json& object);

// Dispatches on the format, which is not auto. For `text` the object is the line as a JSON string.
std::vector<Json> convert(Format format, Json object, const Attributes& attributes, const std::string& where);

// OpenAssistant trees: every root-to-leaf path of two turns or more. Ratings 0..1; `labels` is {name: {value, count}}
// or {name: […], value: […]}.
std::vector<Json> from_oasst(const Json& tree, const Attributes& attributes, const std::string& where);
// Anthropic hh-rlhf: `chosen` and `rejected`, texts with "\n\nHuman:" and "\n\nAssistant:" marks.
std::vector<Json> from_hh_rlhf(const Json& pair, const std::string& where);
// HelpSteer: prompt, response, five ratings 0-4.
std::vector<Json> from_helpsteer(const Json& row, const Attributes& attributes, const std::string& where);
// HelpSteer2: the same with earlier turns inside `prompt`; rows of preference/ (response_1, response_2) become two
// conversations.
std::vector<Json> from_helpsteer2(const Json& row, const Attributes& attributes, const std::string& where);
// ShareGPT, FastChat: conversations [{from: human | gpt, value}].
std::vector<Json> from_sharegpt(Json object, const std::string& where);
// The chat format of Hugging Face and OpenAI: messages [{role, content}].
std::vector<Json> from_messages(Json object, const std::string& where);
// A line a text, for template: plain.
std::vector<Json> from_text(const Json& line, const std::string& where);

// A line for read_prompts: `prompt` (a text) or `turns` (texts, the first is the user's), and no response.
bool is_prompt_line(const Json& object);
Json from_prompt_line(const Json& object, const std::string& where);

// What the formats share.
// -------------------------------------------------------------------------------------------------------

// {"from", "value", "label": null}
Json make_turn(std::string_view from, std::string_view value);
// {"mask": "User", "type": "VALUE_TO_TEXT", "conversations": turns}
Json make_record(Json turns);

// A label from ratings: min + (rating - low) / (high - low) * (max - min), rounded half to even.
class RatedLabel {
 public:
  RatedLabel(const Attributes& attributes, double low, double high);
  // Drops a name that is not declared. Throws data for a rating that is no number, or outside low … high.
  void rate(const std::string& name, const Json& rating, const std::string& where);
  // The label's text, null where nothing was rated.
  Json json() const;

 private:
  const Attributes& attributes_;
  double low_, high_;
  std::vector<float> values_;
  bool any_ = false;
};

}  // namespace steerlm
