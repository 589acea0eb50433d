// Keys that mean something to other programs and nothing to this one. They travel along; `data check` names them.
#include <algorithm>
#include <array>

#include "data/json_access.h"
#include "data/sources/sources.h"

namespace steerlm {
namespace {

// OpenAI, Hugging Face's TRL, axolotl, ms-swift, LLaMA-Factory and the data sets that they publish.
constexpr std::array record_keys{"tools",
                                 "functions",
                                 "function_call",
                                 "tool_choice",
                                 "parallel_tool_calls",
                                 "image",
                                 "images",
                                 "video",
                                 "videos",
                                 "audio",
                                 "audios",
                                 "documents",
                                 "weight",
                                 "weights",
                                 "sample_weight",
                                 "loss_weight",
                                 "loss_mask",
                                 "loss_scale",
                                 "label",
                                 "labels",
                                 "chosen",
                                 "rejected",
                                 "rejected_response",
                                 "rejected_messages",
                                 "chosen_weight",
                                 "rejected_weight",
                                 "preference_strength",
                                 "preferred_output",
                                 "non_preferred_output",
                                 "margin",
                                 "kto_tag",
                                 "train",
                                 "training",
                                 "trainable",
                                 "train_on_turn",
                                 "loss",
                                 "masked",
                                 "reward",
                                 "rewards",
                                 "score",
                                 "rating",
                                 "ratings",
                                 "deleted",
                                 "ignore",
                                 "exclude",
                                 "review_result",
                                 "train_on_input",
                                 "train_on_inputs",
                                 "mask_history",
                                 "split",
                                 "chat_template",
                                 "chat_template_kwargs",
                                 "enable_thinking",
                                 "system_prompt",
                                 "history",
                                 "input_ids",
                                 "segments"};
constexpr std::array turn_keys{"tool_calls", "tool_call_id", "function_call", "name",          "image",
                               "images",     "video",        "videos",        "audio",         "audios",
                               "refusal",    "thinking",     "reasoning",     "loss_mask",     "reasoning_content",
                               "loss_scale", "loss_weight",  "train_detail",  "segments",      "prefix",
                               "labels",     "recipient",    "channel",       "cache_control", "mask",
                               "is_masked",  "ignore",       "learn",         "do_train",      "calculate_loss",
                               "score",      "reward",       "rating",        "ratings",       "rejected",
                               "deleted",    "review_result"};

// Of these false says that something is not trained; true asks for what is done anyway.
constexpr std::array false_matters{"train", "training", "trainable",      "train_on_turn", "loss",
                                   "learn", "do_train", "calculate_loss", "review_result"};

// An empty list, false or "train" asks for nothing; a `label` of false is KTO's undesirable answer.
bool asks_for_something(const std::string& key, const Json& value) {
  if (value.is_null() || value == "") return false;
  if (value.is_structured() && value.empty()) return false;
  if (const std::optional<bool> truth = truth_of(value);
      truth && std::ranges::find(false_matters, key) != false_matters.end())
    return !*truth;
  if (value == false) return key == "label";
  return !(key == "split" && value.is_string() && value.get_ref<const std::string&>().starts_with("train"));
}

// The keys of a turn and of the parts of its text; `of` is what the note calls it ("a turn").
void note_keys(const Json& turn, const std::string& of, std::set<std::string>& unobeyed) {
  for (const auto& [key, member] : turn.items()) {
    if (std::ranges::find(turn_keys, key) != turn_keys.end() && asks_for_something(key, member))
      unobeyed.insert("'" + key + "' of " + of);
  }
  const Json* parts = find_member(turn, "content_parts");
  if (parts == nullptr || !parts->is_array()) return;
  for (const Json& part : *parts) {
    if (part.is_object()) note_keys(part, "a part of " + of, unobeyed);
  }
}

}  // namespace

void note_unobeyed(const Record& record, const Attributes& attributes, std::set<std::string>& unobeyed) {
  for (const auto& [key, member] : record.json.items()) {
    const bool known = std::ranges::find(record_keys, key) != record_keys.end() || attributes.index(key).has_value();
    if (known && asks_for_something(key, member)) unobeyed.insert("'" + key + "'");
  }
  if (find_member(record.json, "tree_id") != nullptr && !tree_of(record.json)) unobeyed.insert("'tree_id'");
  const Json* system = find_member(record.json, "system_message");
  if (system != nullptr && system->is_object()) note_keys(*system, "the system message", unobeyed);
  for (const Json& turn : record.json.at("conversations")) {
    note_keys(turn, "a turn", unobeyed);
    // Spellings of a weight that have other meanings too are obeyed only where they are true or false, 0 or 1.
    for (const std::string key : {"loss", "masked"}) {
      const Json* value = find_member(turn, key);
      if (value != nullptr && !truth_of(*value)) unobeyed.insert("'" + key + "' of a turn");
    }
  }
}

}  // namespace steerlm
