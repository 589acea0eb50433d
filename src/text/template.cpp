#include "steerlm/text/template.h"

#include <algorithm>
#include <array>

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

// Whether the turn's response, or under TEXT_TO_VALUE its label, is trained.
bool is_target(const Conversation& conversation, size_t index) {
  const Turn& turn = conversation.turns[index];
  if (std::ranges::find(conversation.masked_roles, turn.from) != conversation.masked_roles.end()) return false;
  if (conversation.type == ConversationType::text_to_value) return turn.label && !turn.label->text.empty();
  return index > 0;
}

}  // namespace

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
  void system(const std::string& prompt) {
    if (of.system_id_) {
      of.tokenizer_->append_first_piece(*of.system_id_, encoded.ids);
      of.tokenizer_->append_continuation("System\n" + prompt + "\n", encoded.ids);
    } else {
      of.tokenizer_->append_first(std::string(system_marker) + "System\n" + prompt + "\n", encoded.ids);
    }
    note(untrained);
  }
  // The marker that opens a turn is what the target turn before it stops with.
  void turn_start(std::int32_t target_turn = untrained) {
    if (!of.turn_id_) return text(steerlm::turn_marker, target_turn);
    encoded.ids.push_back(*of.turn_id_);
    note(target_turn);
  }
  void label_start() {
    if (!of.label_id_) return text(label_marker);
    encoded.ids.push_back(*of.label_id_);
    note(untrained);
  }
  // The label line before a value is one segment.
  void label_line(const std::string& label) {
    if (!of.label_id_) return text(std::string(label_marker) + label + "\n");
    label_start();
    text(label + "\n");
  }
  void role(std::string_view name, std::int32_t target_turn_before = untrained) {
    turn_start(target_turn_before);
    text(std::string(name) + "\n");
  }
};

ConversationTemplate::ConversationTemplate(TemplateOptions options, const Tokenizer& tokenizer)
    : options_(std::move(options)), tokenizer_(&tokenizer) {
  if (options_.name == TemplateName::chatml || options_.name == TemplateName::llama3) {
    fail(ExitCode::recipe, {.what = "the template " + std::string(enum_name(options_.name)) + " comes in a later version",
                            .where = "template.name",
                            .expected = "steerlm or plain"});
  }
  if (options_.name == TemplateName::plain) {
    if (tokenizer.eos_id() >= 0) return;
    fail(ExitCode::model, {.what = "the template plain ends a text with EOS, but the tokenizer has no EOS piece",
                           .where = tokenizer.path().string()});
  }
  if (options_.special_tokens == SpecialTokens::text) return;
  const auto piece = [&](std::string_view marker) {
    const auto id = tokenizer.piece_id(marker);
    if (!id) {
      fail(ExitCode::model, {.what = "template.special_tokens is added, but the tokenizer has no piece " + std::string(marker),
                             .where = tokenizer.path().string(),
                             .advice = "add the markers with 'steerlm model add-tokens', or use special_tokens: text"});
    }
    return id;
  };
  system_id_ = piece(system_marker);
  turn_id_ = piece(steerlm::turn_marker);
  label_id_ = piece(label_marker);
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
    segments.role(turn.from, before);
    before = is_target(conversation, i) ? static_cast<std::int32_t>(i) : Segments::untrained;
    const bool label_first = conversation.type == ConversationType::value_to_text;
    const bool label_last = conversation.type == ConversationType::text_to_value;
    if (label_first && turn.label) segments.label_line(turn.label->text);
    segments.text(turn.value, label_last ? Segments::untrained : before);
    segments.text("\n", label_last ? Segments::untrained : before);
    if (!label_last || !turn.label) continue;
    segments.label_start();
    segments.text(turn.label->text, before);
    segments.text("\n", before);
  }
  if (before != Segments::untrained) segments.turn_start(before);
  return std::move(segments.encoded);
}

std::vector<std::int32_t> ConversationTemplate::encode_scored_turn(const Conversation& conversation, size_t turn) const {
  Segments segments{*this};
  if (options_.name == TemplateName::plain) {
    tokenizer_->append_first(join_values(conversation, turn + 1), segments.encoded.ids);
    return std::move(segments.encoded.ids);
  }
  segments.system(conversation.system);
  for (size_t i = 0; i <= turn; ++i) {
    segments.role(conversation.turns[i].from);
    segments.text(conversation.turns[i].value);
    segments.text("\n");
  }
  segments.label_start();
  return std::move(segments.encoded.ids);
}

std::vector<std::int32_t> ConversationTemplate::encode_label_prefix(const Conversation& conversation, size_t turn) const {
  if (options_.name == TemplateName::plain) {
    fail(ExitCode::recipe, {.what = "the template plain has no labels, so a language model cannot predict them with it",
                            .where = "template.name",
                            .advice = "use template steerlm, or head.kind: regression"});
  }
  Segments segments{*this};
  segments.system(conversation.system);
  for (size_t i = 0; i <= turn; ++i) {
    const Turn& at = conversation.turns[i];
    segments.role(at.from);
    segments.text(at.value);
    segments.text("\n");
    if (i == turn || !at.label) continue;
    segments.label_start();
    segments.text(at.label->text);
    segments.text("\n");
  }
  segments.label_start();
  return std::move(segments.encoded.ids);
}

std::vector<std::int32_t> ConversationTemplate::encode_prompt(const Conversation& conversation, const std::optional<Label>& label,
                                                              std::string_view role) const {
  Segments segments{*this};
  if (options_.name == TemplateName::plain) {
    tokenizer_->append_first(join_values(conversation, conversation.turns.size()), segments.encoded.ids);
    return std::move(segments.encoded.ids);
  }
  const bool labels = label || conversation.type != ConversationType::none;
  segments.system(conversation.system);
  for (const Turn& turn : conversation.turns) {
    segments.role(turn.from);
    if (labels && turn.label) segments.label_line(turn.label->text);
    segments.text(turn.value);
    segments.text("\n");
  }
  segments.role(role);
  if (label) segments.label_line(label->text);
  return std::move(segments.encoded.ids);
}

std::string_view ConversationTemplate::turn_marker() const {
  return options_.name == TemplateName::plain ? std::string_view() : steerlm::turn_marker;
}

std::string ConversationTemplate::sha256() const {
  std::string bytes = std::string(enum_name(options_.name)) + '\n' + std::string(enum_name(options_.special_tokens)) + '\n';
  if (options_.name != TemplateName::plain) {
    bytes += std::string(system_marker) + "System\n" + options_.system + "\n" + std::string(steerlm::turn_marker) + "{role}\n" +
             std::string(label_marker) + "{label}\n{value}\n";
  }
  return sha256_hex(bytes);
}

bool ConversationTemplate::holds_marker(std::string_view value) const {
  if (options_.name == TemplateName::plain) return false;
  return std::ranges::any_of(std::array{system_marker, steerlm::turn_marker, label_marker},
                             [&](std::string_view marker) { return value.find(marker) != std::string_view::npos; });
}

}  // namespace steerlm
