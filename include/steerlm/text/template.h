// How a conversation becomes ids, and which of them are trained: contracts.md section 7.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
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
  std::vector<std::int32_t>
      turn;  // the turn whose target this token is, else -1; plain: 0 for a single turn, -1 for several
};

// What a regression head reads of a conversation.
struct ScoredTurn {
  std::vector<std::int32_t> ids;
  size_t value_begin = 0;  // first token of the scored turn's value; of an empty one that of the turn's end
};

// What stands around role and value of a turn in chatml and llama3. `start`, `role_end` and `end` are markers: single
// pieces of the tokenizer, whatever special_tokens says. Roles are written in lower case, and a label line before the
// value is "{label}\n".
//   chatml  https://github.com/openai/openai-python/blob/v0.27.0/chatml.md, as Qwen2.5's chat template writes it
//   llama3  the prompt format of Llama 3's model card and chat template; values are not trimmed, as that template does
// A label that is predicted (TEXT_TO_VALUE) is a turn of its own, of the role `label`, behind the turn that it is of.
struct TurnLayout {
  std::string_view start;
  std::string_view role_end;  // "": none
  std::string_view before;    // text between role and value
  std::string_view end;       // what a turn is stopped with
  std::string_view after;     // text behind it
};
inline constexpr TurnLayout chatml_layout{"<|im_start|>", "", "\n", "<|im_end|>", "\n"};
inline constexpr TurnLayout llama3_layout{"<|start_header_id|>", "<|end_header_id|>", "\n\n", "<|eot_id|>", ""};

// Nothing for steerlm and plain.
const TurnLayout* turn_layout(TemplateName name);
// All markers that the template writes: of steerlm, of a TurnLayout, none.
std::vector<std::string_view> template_markers(TemplateName name);

class ConversationTemplate {
 public:
  // Keeps a pointer to the tokenizer, which must outlive it. Throws model: a marker that has to be one is no piece of
  // the tokenizer (steerlm with special_tokens: added, chatml, llama3), or the template needs an EOS that the tokenizer
  // lacks.
  ConversationTemplate(TemplateOptions options, const Tokenizer& tokenizer);

  // Training. VALUE_TO_TEXT and none: of every turn but the first whose role is not masked, value and end are targets.
  // TEXT_TO_VALUE: of every such turn with a label that is not empty, label and end. A turn that is context only is
  // none. The end is "\n" + <extra_id_1> in
  // steerlm, else the layout's `end` without the text after it. plain: every token.
  EncodedConversation encode(const Conversation& conversation) const;

  // Input of a regression head: the turns up to and with `turn`, without label lines; it ends with a bare <extra_id_2>
  // in steerlm, with the turn's end marker in chatml and llama3. plain: the values up to it, as one text
  // (value_begin 0).
  ScoredTurn encode_scored_turn(const Conversation& conversation, size_t turn) const;
  // The same of a reward model that was trained elsewhere, on the text of its chat template: that goes on behind the
  // end marker, in chatml with "\n". Tokens `pad` at the end are left out, as the ...ForSequenceClassification of
  // Transformers take the hidden state of the last token that is another one.
  ScoredTurn encode_whole_turn(const Conversation& conversation, size_t turn, std::optional<std::int64_t> pad) const;

  // What a language-model predictor continues with the label of `turn`: TEXT_TO_VALUE up to where the label begins; the
  // turns before with the labels that they have. Throws recipe for plain, which has no labels.
  std::vector<std::int32_t> encode_label_prefix(const Conversation& conversation, size_t turn) const;

  // What generation continues: all turns, then the start of a turn of `role`, and the label line if there is a label. A
  // turn's own label is written before its value if there is a label or the conversation's type is not none. plain: the
  // values; no labels.
  std::vector<std::int32_t> encode_prompt(const Conversation& conversation, const std::optional<Label>& label,
                                          std::string_view role = "Assistant") const;

  // Generation stops where the decoded text holds it; "" where only ids stop it (plain, chatml, llama3).
  std::string_view turn_marker() const;
  // The piece that ends a turn, at which generation stops too: special pieces decode to nothing. None for plain, and
  // where <extra_id_1> is text.
  std::optional<std::int32_t> end_of_turn_id() const;
  const TemplateOptions& options() const { return options_; }
  std::string sha256() const;  // over every byte that the template itself writes, the system prompt included
  bool holds_marker(std::string_view value) const;  // the text of a marker, which a model could take for one

 private:
  struct Segments;

  TemplateOptions options_;
  const Tokenizer* tokenizer_;
  const TurnLayout* layout_;                                // null: steerlm, plain
  std::map<std::string_view, std::int32_t> marker_pieces_;  // empty: the markers are text
};

}  // namespace steerlm
