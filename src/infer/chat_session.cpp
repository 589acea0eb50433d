#include "steerlm/infer/chat_session.h"

#include <algorithm>
#include <stdexcept>

#include "infer/response.h"
#include "steerlm/core/error.h"
#include "steerlm/nn/rope.h"

namespace steerlm {
namespace {

constexpr std::int64_t slot = 0;
constexpr std::int64_t part_tokens = 512;  // of a long prompt between two looks at `interrupted`

}  // namespace

ChatSession::ChatSession(const Transformer& model, const Tokenizer& tokenizer,
                         const ConversationTemplate& conversation_template, GenerationSettings settings)
    : model_(&model),
      tokenizer_(&tokenizer),
      template_(&conversation_template),
      settings_(std::move(settings)),
      cache_(make_kv_cache(model, 1, 1)) {}

// Cuts the cache back to what it has in common with the prompt, less the prompt's last token, whose hidden state is
// needed; gives the number of tokens that stay.
std::int64_t ChatSession::keep_common_prefix(const std::vector<std::int32_t>& prompt) {
  std::int64_t common = std::ranges::mismatch(ids_, prompt).in1 - ids_.begin();
  // Under dynamic scaling a key depends on the length of the text that it was computed in: a prompt is read in one
  // part, and nothing of it stays for the next.
  if (angles_depend_on_length(model_->config)) common = 0;
  const std::int64_t kept = std::min(common, static_cast<std::int64_t>(prompt.size()) - 1);
  ids_.resize(static_cast<size_t>(kept));
  cache_.lengths[slot] = kept;
  return kept;
}

// Room for `tokens` in all; grows at least twofold, so that a long conversation is copied seldom.
void ChatSession::reserve(std::int64_t tokens) {
  if (tokens <= cache_.capacity) return;
  KvCache larger =
      make_kv_cache(*model_, 1, std::min(model_->config.context_length(), std::max(tokens, 2 * cache_.capacity)));
  const std::int64_t length = cache_.lengths[slot];
  for (size_t i = 0; i < cache_.k_rgte.size(); ++i) {
    larger.k_rgte[i].narrow(2, 0, length).copy_(cache_.k_rgte[i].narrow(2, 0, length));
    larger.v_rgte[i].narrow(2, 0, length).copy_(cache_.v_rgte[i].narrow(2, 0, length));
    cache_.k_rgte[i].reset();
    cache_.v_rgte[i].reset();
  }
  larger.lengths = cache_.lengths;
  cache_ = std::move(larger);
}

ChatAnswer ChatSession::answer(const Conversation& conversation, const std::optional<Label>& label,
                               std::uint64_t sample, const std::function<void(std::string_view)>& stream,
                               const std::function<bool()>& interrupted) {
  const std::vector<std::int32_t> prompt = template_->encode_prompt(conversation, label);
  const std::int64_t context = model_->config.context_length(), n = static_cast<std::int64_t>(prompt.size());
  if (n >= context) {
    fail(ExitCode::data, {.what = "the conversation no longer fits the model's context",
                          .found = std::to_string(n) + " tokens",
                          .expected = "fewer than " + std::to_string(context)});
  }
  ChatAnswer answer{.end = AnswerEnd::interrupted, .prompt_tokens = n};
  std::int64_t read = keep_common_prefix(prompt);
  reserve(n);
  at::Tensor hidden_rd;
  while (read < n) {
    if (interrupted()) return answer;
    const std::int64_t part = std::min(angles_depend_on_length(model_->config) ? n : part_tokens, n - read);
    const std::vector<std::int32_t> ids(prompt.begin() + read, prompt.begin() + read + part);
    const SlotPrompt next{slot, ids};
    hidden_rd = prefill(*model_, cache_, {&next, 1});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    answer.prefilled_tokens += part;
    read += part;
  }

  GenerationResult& result = answer.result;
  const auto pass_on = [&](std::string_view text, size_t length) {
    if (!text.starts_with(result.response))
      throw std::logic_error("ChatSession: a token has changed the text before it");
    if (length <= result.response.size()) return;
    const std::string_view piece = text.substr(result.response.size(), length - result.response.size());
    result.response += piece;
    stream(piece);
  };
  std::vector<bool> active(cache_.lengths.size(), false);
  active[slot] = true;
  std::vector<std::int32_t> next_ids(active.size(), 0);
  while (!interrupted()) {
    const at::Tensor logits_rv = response_logits(*model_, hidden_rd.narrow(0, slot, 1));
    const double draw = draw_of(settings_, sample, result.ids.size());
    const HostTokens tokens = sample_rows(logits_rv, {draw}, settings_);
    const bool stopped = append_token(*tokenizer_, settings_, {tokens.ids[0], tokens.logprobs[0]}, result);
    const std::int64_t sampled = static_cast<std::int64_t>(result.ids.size());
    const std::string text = response_text(*tokenizer_, result.ids, settings_);
    if (stopped || sampled >= settings_.sampling.max_new_tokens || n + sampled >= context) {
      answer.end = stopped                                        ? AnswerEnd::stopped
                   : sampled >= settings_.sampling.max_new_tokens ? AnswerEnd::length
                                                                  : AnswerEnd::context;
      pass_on(text, text.size());
      return answer;
    }
    pass_on(text, settled_length(text, settings_.stop_text));
    reserve(n + sampled);
    next_ids[slot] = result.ids.back();
    hidden_rd = decode_step(*model_, cache_, next_ids, active);
    ids_.push_back(next_ids[slot]);
  }
  return answer;
}

}  // namespace steerlm
