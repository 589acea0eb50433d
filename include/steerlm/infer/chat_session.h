// One conversation that grows: the keys and values of what the model has read and written stay for the next answer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "steerlm/infer/generate.h"
#include "steerlm/nn/kv_cache.h"
#include "steerlm/text/template.h"

namespace steerlm {

enum class AnswerEnd {
  stopped,  // at EOS or the end of a turn
  length,   // at max_new_tokens
  context,  // at the end of the model's context
  interrupted,
};

struct ChatAnswer {
  GenerationResult result;  // .response is what was streamed, to the byte
  AnswerEnd end = AnswerEnd::stopped;
  std::int64_t prompt_tokens = 0;
  std::int64_t prefilled_tokens = 0;  // of the prompt: what the cache did not hold
};

class ChatSession {
 public:
  // Keeps pointers to all three. settings.slots is not used.
  ChatSession(const Transformer& model, const Tokenizer& tokenizer, const ConversationTemplate& conversation_template,
              GenerationSettings settings);

  // Answers a conversation whose last turn is the user's. Of the cache stays the longest common prefix with its prompt,
  // whatever the conversation before was. `sample` is the key of the answer's random numbers: the same conversation,
  // seed and sample give the response that generate() gives, up to rounding: of a prompt in parts, on a GPU also of one
  // row beside others. `stream` gets the response piece by piece, each whole UTF-8; `interrupted` is asked between
  // tokens, and between parts of a long prompt. Throws data: the prompt fills the model's context.
  ChatAnswer answer(const Conversation& conversation, const std::optional<Label>& label, std::uint64_t sample,
                    const std::function<void(std::string_view)>& stream, const std::function<bool()>& interrupted);

 private:
  std::int64_t keep_common_prefix(const std::vector<std::int32_t>& prompt);
  void reserve(std::int64_t tokens);

  const Transformer* model_;
  const Tokenizer* tokenizer_;
  const ConversationTemplate* template_;
  GenerationSettings settings_;
  KvCache cache_;                  // slot 0
  std::vector<std::int32_t> ids_;  // what the slot holds
};

}  // namespace steerlm
