#include "steerlm/text/template.h"

#include <algorithm>

#include "steerlm/core/hash.h"

namespace steerlm {
namespace {

std::string join_values(const Conversation& conversation, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) text += '\n';
    text += conversation.turns[i].value;
  }
  return text;
}

std::string lower_case(std::string_view role) {
  std::string text(role);
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

}  // namespace

const TurnLayout* turn_layout(TemplateName name) {
  if (name == TemplateName::chatml) return &chatml_layout;
  return name == TemplateName::llama3 ? &llama3_layout : nullptr;
}

std::vector<std::string_view> template_markers(TemplateName name) {
  if (name == TemplateName::plain) return {};
  const TurnLayout* layout = turn_layout(name);
  if (layout == nullptr) return {system_marker, turn_marker, label_marker};
  std::vector<std::string_view> markers{layout->start, layout->role_end, layout->end};
  std::erase(markers, std::string_view());
  return markers;
}

// Appends segments, each encoded by itself: contracts.md section 7.
struct ConversationTemplate::Segments {
  static constexpr std::int32_t untrained = -1;

  const ConversationTemplate& of;
  EncodedConversation encoded = {};

  void note(std::int32_t target_turn) {
    encoded.target.resize(encoded.ids.size(), target_turn != untrained);
    encoded.turn.resize(encoded.ids.size(), target_turn);
  }
  void text(std::string_view value, std::int32_t target_turn = untrained) {
    of.tokenizer_->append_continuation(value, encoded.ids);
    note(target_turn);
  }
  void marker(std::string_view name, std::int32_t target_turn = untrained) {
    if (of.marker_pieces_.empty()) return text(name, target_turn);
    const std::int32_t id = of.marker_pieces_.at(name);
    if (encoded.ids.empty())
      of.tokenizer_->append_first_piece(id, encoded.ids);
    else
      encoded.ids.push_back(id);
    note(target_turn);
  }
  void system(const std::string& prompt) {
    if (of.layout_ != nullptr) {
      if (prompt.empty()) return;
      open("system");
      text(prompt);
      return close();
    }
    const std::string block = "System\n" + prompt + "\n";
    if (of.marker_pieces_.empty()) {
      of.tokenizer_->append_first(std::string(system_marker) + block, encoded.ids);
      return note(untrained);
    }
    marker(system_marker);
    text(block);
  }
  // In steerlm the marker that opens a turn is what the target turn before it stops with.
  void open(std::string_view role, std::int32_t target_turn_before = untrained) {
    if (of.layout_ == nullptr) {
      marker(steerlm::turn_marker, target_turn_before);
      return text(std::string(role) + "\n");
    }
    marker(of.layout_->start);
    if (of.layout_->role_end.empty()) return text(lower_case(role) + std::string(of.layout_->before));
    text(lower_case(role));
    marker(of.layout_->role_end);
    text(of.layout_->before);
  }
  // The label line before a value is one segment.
  void label_line(const std::string& label) {
    if (of.layout_ != nullptr) return text(label + "\n");
    if (of.marker_pieces_.empty()) return text(std::string(label_marker) + label + "\n");
    marker(label_marker);
    text(label + "\n");
  }
  // Where a label that is predicted begins.
  void open_label() {
    if (of.layout_ != nullptr) return open("label");
    marker(label_marker);
  }
  // Behind a value, or a label that is predicted.
  void close(std::int32_t target_turn = untrained) {
    if (of.layout_ == nullptr) return text("\n", target_turn);
    marker(of.layout_->end, target_turn);
    text(of.layout_->after);
  }
  // Behind the value that a regression head scores.
  void close_scored() {
    if (of.layout_ != nullptr) return marker(of.layout_->end);
    text("\n");
    marker(label_marker);
  }
  void finish(std::int32_t target_turn) {
    if (of.layout_ == nullptr && target_turn != untrained) marker(steerlm::turn_marker, target_turn);
  }
};

ConversationTemplate::ConversationTemplate(TemplateOptions options, const Tokenizer& tokenizer)
    : options_(std::move(options)), tokenizer_(&tokenizer), layout_(turn_layout(options_.name)) {
  const std::string name(enum_name(options_.name));
  if (options_.name == TemplateName::plain) {
    if (tokenizer.eos_id() >= 0) return;
    fail(ExitCode::model, {.what = "the template plain ends a text with EOS, but the tokenizer has no EOS piece",
                           .where = tokenizer.path().string()});
  }
  if (layout_ == nullptr && options_.special_tokens == SpecialTokens::text) return;
  for (const std::string_view marker : template_markers(options_.name)) {
    const auto id = tokenizer.piece_id(marker);
    if (id) {
      marker_pieces_.emplace(marker, *id);
    } else if (layout_ != nullptr) {
      fail(
          ExitCode::model,
          {.what = "the template " + name + " needs the marker " + std::string(marker) +
                   " as a piece of the tokenizer, which has none",
           .where = tokenizer.path().string(),
           .expected = "a model that was tuned with the markers of " + name,
           .advice = "start from such a model, or use template.name: steerlm, on the command line --template steerlm"});
    } else {
      fail(ExitCode::model,
           {.what = "template.special_tokens is added, but the tokenizer has no piece " + std::string(marker),
            .where = tokenizer.path().string(),
            .advice = "add the markers with 'steerlm model add-tokens --model MODEL --output DIR', or use "
                      "template.special_tokens: text"});
    }
  }
}

EncodedConversation ConversationTemplate::encode(const Conversation& conversation) const {
  Segments segments{*this};
  const size_t count = conversation.turns.size();
  if (options_.name == TemplateName::plain) {
    tokenizer_->append_first(join_values(conversation, count), segments.encoded.ids);
    segments.encoded.ids.push_back(tokenizer_->eos_id());
    segments.note(0);
    if (count != 1) std::ranges::fill(segments.encoded.turn, Segments::untrained);
    return std::move(segments.encoded);
  }
  segments.system(conversation.system);
  std::int32_t before = Segments::untrained;  // the turn before, if it is a target
  for (size_t i = 0; i < count; ++i) {
    const Turn& turn = conversation.turns[i];
    segments.open(turn.from, before);
    before = is_target(conversation, i) ? static_cast<std::int32_t>(i) : Segments::untrained;
    const bool label_first = conversation.type == ConversationType::value_to_text;
    const bool label_last = conversation.type == ConversationType::text_to_value;
    if (label_first && turn.label) segments.label_line(turn.label->text);
    segments.text(turn.value, label_last ? Segments::untrained : before);
    segments.close(label_last ? Segments::untrained : before);
    if (!label_last || !turn.label) continue;
    segments.open_label();
    segments.text(turn.label->text, before);
    segments.close(before);
  }
  segments.finish(before);
  return std::move(segments.encoded);
}

ScoredTurn ConversationTemplate::encode_scored_turn(const Conversation& conversation, size_t turn) const {
  Segments segments{*this};
  size_t value_begin = 0;
  if (options_.name == TemplateName::plain) {
    tokenizer_->append_first(join_values(conversation, turn + 1), segments.encoded.ids);
    return {std::move(segments.encoded.ids), value_begin};
  }
  segments.system(conversation.system);
  for (size_t i = 0; i <= turn; ++i) {
    segments.open(conversation.turns[i].from);
    value_begin = segments.encoded.ids.size();
    segments.text(conversation.turns[i].value);
    if (i < turn) segments.close();
  }
  segments.close_scored();
  return {std::move(segments.encoded.ids), value_begin};
}

ScoredTurn ConversationTemplate::encode_whole_turn(const Conversation& conversation, size_t turn,
                                                   std::optional<std::int64_t> pad) const {
  ScoredTurn scored = encode_scored_turn(conversation, turn);
  if (layout_ != nullptr) tokenizer_->append_continuation(layout_->after, scored.ids);
  while (scored.ids.size() > 1 && scored.ids.back() == pad) scored.ids.pop_back();
  return scored;
}

std::vector<std::int32_t> ConversationTemplate::encode_label_prefix(const Conversation& conversation,
                                                                    size_t turn) const {
  if (options_.name == TemplateName::plain) {
    fail(ExitCode::recipe, {.what = "the template plain has no labels, so a language model cannot predict them with it",
                            .where = "template.name",
                            .advice = "use template.name: steerlm"});
  }
  Segments segments{*this};
  segments.system(conversation.system);
  for (size_t i = 0; i <= turn; ++i) {
    const Turn& at = conversation.turns[i];
    segments.open(at.from);
    segments.text(at.value);
    segments.close();
    if (i == turn || !at.label) continue;
    segments.open_label();
    segments.text(at.label->text);
    segments.close();
  }
  segments.open_label();
  return std::move(segments.encoded.ids);
}

std::vector<std::int32_t> ConversationTemplate::encode_prompt(const Conversation& conversation,
                                                              const std::optional<Label>& label,
                                                              std::string_view role) const {
  Segments segments{*this};
  if (options_.name == TemplateName::plain) {
    tokenizer_->append_first(join_values(conversation, conversation.turns.size()), segments.encoded.ids);
    return std::move(segments.encoded.ids);
  }
  const bool labels = label || conversation.type != ConversationType::none;
  segments.system(conversation.system);
  for (const Turn& turn : conversation.turns) {
    segments.open(turn.from);
    if (labels && turn.label) segments.label_line(turn.label->text);
    segments.text(turn.value);
    segments.close();
  }
  segments.open(role);
  if (label) segments.label_line(label->text);
  return std::move(segments.encoded.ids);
}

std::string_view ConversationTemplate::turn_marker() const {
  return options_.name == TemplateName::steerlm ? steerlm::turn_marker : std::string_view();
}

std::optional<std::int32_t> ConversationTemplate::end_of_turn_id() const {
  if (marker_pieces_.empty()) return std::nullopt;
  return marker_pieces_.at(layout_ == nullptr ? steerlm::turn_marker : layout_->end);
}

std::string ConversationTemplate::sha256() const {
  std::string bytes = std::string(enum_name(options_.name)) + '\n';
  if (layout_ != nullptr) {
    const auto turn = [&](const std::string& role, const std::string& text) {
      for (const std::string_view part : {layout_->start, std::string_view(role), layout_->role_end, layout_->before,
                                          std::string_view(text), layout_->end, layout_->after}) {
        bytes += part;
      }
    };
    turn("system", options_.system);
    turn("{role}", "{label}\n{value}");
    turn("label", "{label}");
    return sha256_hex(bytes);
  }
  bytes += std::string(enum_name(options_.special_tokens)) + '\n';
  if (options_.name != TemplateName::plain) {
    bytes += std::string(system_marker) + "System\n" + options_.system + "\n" + std::string(steerlm::turn_marker) +
             "{role}\n" + std::string(label_marker) + "{label}\n{value}\n";
  }
  return sha256_hex(bytes);
}

bool ConversationTemplate::holds_marker(std::string_view value) const {
  return std::ranges::any_of(template_markers(options_.name),
                             [&](std::string_view marker) { return value.find(marker) != std::string_view::npos; });
}

}  // namespace steerlm
