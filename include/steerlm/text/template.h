// How a conversation becomes ids, and which of them are trained: contracts.md section 7, steerlm.md section 2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/text/conversation.h"
#include "steerlm/text/options.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {

// Three vectors of one length.
struct EncodedConversation {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> target;  // 1: the prediction of this token, from the position before it, is trained
  std::vector<std::int32_t> turn;    // the turn whose target this token is, else -1; plain: 0 for a single turn, -1 for several
};

class ConversationTemplate {
 public:
  // Keeps a pointer to the tokenizer, which must outlive it. Throws model: special_tokens is `added` and a marker is no piece of
  // the tokenizer, or the template needs an EOS that the tokenizer lacks; recipe: chatml, llama3.
  ConversationTemplate(TemplateOptions options, const Tokenizer& tokenizer);

  // Training. VALUE_TO_TEXT and none: of every turn but the first whose role is not masked, value + "\n" + <extra_id_1> are
  // targets. TEXT_TO_VALUE: of every such turn with a label that is not empty, label + "\n" + <extra_id_1>. plain: every token.
  EncodedConversation encode(const Conversation& conversation) const;

  // Input of a regression head: the turns up to and with `turn`, without label lines, then a bare <extra_id_2>; plain: the values
  // up to it.
  std::vector<std::int32_t> encode_scored_turn(const Conversation& conversation, size_t turn) const;

  // What a language-model predictor continues with the label of `turn`: TEXT_TO_VALUE up to <extra_id_2>; the turns before with
  // the labels that they have. Throws recipe for plain, which has no labels.
  std::vector<std::int32_t> encode_label_prefix(const Conversation& conversation, size_t turn) const;

  // What generation continues: all turns, then <extra_id_1>, role, "\n", and <extra_id_2>, label, "\n" if there is a label. A
  // turn's own label is written before its value if there is a label or the conversation's type is not none. plain: the values;
  // no labels.
  std::vector<std::int32_t> encode_prompt(const Conversation& conversation, const std::optional<Label>& label,
                                          std::string_view role = "Assistant") const;

  std::string_view turn_marker() const;  // generation stops where the decoded text holds it; "" for plain
  const TemplateOptions& options() const { return options_; }
  std::string sha256() const;                       // over every byte that the template itself writes, the system prompt included
  bool holds_marker(std::string_view value) const;  // the text of a marker, which a model could take for one

 private:
  struct Segments;

  TemplateOptions options_;
  const Tokenizer* tokenizer_;
  // Pieces of the markers with special_tokens: added.
  std::optional<std::int32_t> system_id_;
  std::optional<std::int32_t> turn_id_;
  std::optional<std::int32_t> label_id_;
};

}  // namespace steerlm
