// How likely another language model finds responses: dials.perplexity_model of `evaluate`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/data/record_reader.h"
#include "steerlm/stages/base_model.h"

namespace steerlm {

// The model with the template that its folder says, by steerlm.json or its chat template; a folder that says none, or
// whose chat template is none of this program's, is read as plain text. Which one it is goes to the log. Throws model
// for a predictor, and as open_model.
OpenModel open_perplexity_model(const std::string& folder, const Computing& computing, const Context& context);

struct PromptedResponse {
  const Prompt* prompt;
  std::string_view response;
};

// Of the tokens of a response: what `sum` / `tokens` is the mean of.
struct ResponseLikelihood {
  double sum = 0;  // natural logarithm
  std::int64_t tokens = 0;

  double negative_log_likelihood() const {
    return -sum / static_cast<double>(tokens);
  }  // a token, in nats; NaN of none
};

// The log-probability of each response's text behind its prompt, as the model's own template writes it without labels,
// under the model's own system prompt where the prompt has none; the marker that ends a turn is not counted. The
// template plain has no turns: the values of the prompt's turns and the response, a line end between two of them. The
// tokens are the model's: those of prompt and response are made apart. Nothing for a response that does not fit into
// the model's context with its prompt. Throws model, naming the folder, where a number is not finite.
//
// Where `go_on`, which is asked after each batch, says no, the result is empty.
std::vector<std::optional<ResponseLikelihood>> response_likelihoods(const OpenModel& model,
                                                                    std::span<const PromptedResponse> responses,
                                                                    const std::function<bool()>& go_on = {});

// Before anything is sampled: throws model where the likelihood of a short response is not finite, data where no prompt
// fits into the model's context.
void check_perplexity_model(const OpenModel& model, std::span<const Prompt> prompts);

}  // namespace steerlm
