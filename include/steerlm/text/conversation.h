// A conversation in memory: the NeMo record without what only travels through.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace steerlm {

// What is trained of a turn (contracts.md section 5): VALUE_TO_TEXT conditions the response on the label, TEXT_TO_VALUE
// writes the label after the response, none has no label lines.
enum class ConversationType { none, value_to_text, text_to_value };

// A parsed label. `values` has one entry an attribute, in the order of the names, NaN where the label does not name it;
// empty where no attributes are declared. `text` is the canonical label line ("quality:4,humor:0", "" for an empty
// label).
struct Label {
  std::string text;
  std::vector<float> values;
};

struct Turn {
  std::string from;   // "User", "Assistant", …
  std::string value;  // byte for byte
  std::optional<Label> label;
  bool context_only = false;  // never a target, whatever its role (weight: 0)
};

struct Conversation {
  std::string system;
  std::vector<std::string> masked_roles;  // roles that are never a target
  ConversationType type = ConversationType::none;
  std::vector<Turn> turns;
};

// Whether the turn's response, or under TEXT_TO_VALUE its label, is trained.
bool is_target(const Conversation& conversation, size_t turn);

}  // namespace steerlm
