#include "stages/perplexity.h"

#include <fmt/format.h>

#include <algorithm>

#include "steerlm/data/batch.h"
#include "steerlm/infer/score.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/sample.h"
#include "steerlm/text/template.h"

namespace steerlm {
namespace {

// What stands before the response: no labels, and the system prompt of the model unless the input gives one.
std::vector<std::int32_t> encode_plain_prompt(const ConversationTemplate& conversation_template,
                                              const Tokenizer& tokenizer, const Prompt& prompt) {
  Conversation conversation = prompt.conversation;
  conversation.type = ConversationType::none;
  for (Turn& turn : conversation.turns) turn.label.reset();
  if (!prompt.json.contains("system") || prompt.json["system"].is_null())
    conversation.system = conversation_template.options().system;
  std::vector<std::int32_t> ids = conversation_template.encode_prompt(conversation, std::nullopt);
  if (conversation_template.options().name == TemplateName::plain) tokenizer.append_continuation("\n", ids);
  return ids;
}

}  // namespace

OpenModel open_perplexity_model(const std::string& folder, const Computing& computing, const Context& context) {
  OpenModel model = open_model(folder, computing,
                               {.options = {.name = TemplateName::plain}, .given = {.name = true}, .yields = true});
  require_language_model(model.folder, "dials.perplexity_model");
  context.log->info(fmt::format("perplexity of the answers: {} with the template {}{}", folder,
                                enum_name(model.folder.text_template.name),
                                model.folder.template_warning.empty()
                                    ? ""
                                    : ", guessed from the markers of a chat template that cannot be read as a whole"));
  warn_notes(model.notes, context);
  return model;
}

std::vector<std::optional<ResponseLikelihood>> response_likelihoods(const OpenModel& model,
                                                                    std::span<const PromptedResponse> responses,
                                                                    const std::function<bool()>& go_on) {
  const ConversationTemplate conversation_template = make_template(model.folder, model.tokenizer);
  const auto context = static_cast<size_t>(model.folder.config.context_length());
  std::vector<std::optional<ResponseLikelihood>> likelihoods(responses.size());
  std::vector<Example> examples;
  std::vector<size_t> scored;  // the response of each example
  for (size_t i = 0; i < responses.size(); ++i) {
    Example example{.ids = encode_plain_prompt(conversation_template, model.tokenizer, *responses[i].prompt)};
    example.target.resize(example.ids.size(), 0);
    model.tokenizer.append_continuation(responses[i].response, example.ids);
    example.target.resize(example.ids.size(), 1);
    if (example.ids.size() > context) continue;
    likelihoods[i].emplace();
    if (target_count(example) == 0) continue;  // an empty response
    examples.push_back(std::move(example));
    scored.push_back(i);
  }
  std::vector<std::vector<double>> log_p;
  try {
    std::vector<size_t> ends;
    for (size_t e = 0; e < examples.size(); ++e) ends.push_back(e + 1);
    log_p = token_log_probabilities(model.transformer, examples, {scored_at_once(model, default_batch_tokens), ends},
                                    [&](std::span<const TokenScores>) { return !go_on || go_on(); });
    if (!log_p.empty() && log_p.back().empty()) return {};
  } catch (const Error& error) {
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults) fault.where = fault.where.empty() ? model.folder.path.string() : fault.where;
    throw Error(error.code(), std::move(faults));
  }
  for (size_t e = 0; e < examples.size(); ++e) {
    ResponseLikelihood& likelihood = *likelihoods[scored[e]];
    for (const double value : log_p[e]) likelihood.sum += value;  // 0 where nothing is a target
    likelihood.tokens = target_count(examples[e]);
  }
  return likelihoods;
}

void check_perplexity_model(const OpenModel& model, std::span<const Prompt> prompts) {
  std::vector<PromptedResponse> short_answers;
  for (const Prompt& prompt : prompts) short_answers.push_back({&prompt, "a"});
  const auto fits = [](const auto& likelihood) { return likelihood.has_value(); };
  if (std::ranges::any_of(response_likelihoods(model, short_answers), fits)) return;
  fail(ExitCode::data, {.what = "no prompt fits into the context of the model that the perplexity is measured under",
                        .where = model.folder.path.string(),
                        .expected = "prompts shorter than " + std::to_string(model.folder.config.context_length()) +
                                    " tokens of its tokenizer",
                        .advice = "take shorter prompts, or name another model in dials.perplexity_model"});
}

}  // namespace steerlm
