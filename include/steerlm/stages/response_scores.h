// The three log-probabilities of SteerLM 2.0 for the responses of a prompt: what `steerlm score --responses` and the
// stage steerlm2 share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "steerlm/data/block_job.h"
#include "steerlm/data/response_group.h"
#include "steerlm/infer/options.h"
#include "steerlm/stages/base_model.h"

namespace steerlm {

enum class ResponseScore {
  label_given_response,  // log P(a|x,y): a predictor's scores, by the Beta law
  response,              // log P(y|x): a language model, no label line anywhere
  response_given_label,  // log Q'(y|a,x): a language model, the label before the response, and before earlier answers
                         // without one of their own
};

// Reads the groups as the score needs them. Labels are checked against the model's attributes.
ResponseGroupReader read_groups(const OpenModel& model, ResponseScore score, const std::vector<SourceOptions>& sources);

// What was done: groups, and the responses and tokens that the model has read for them.
struct ScoredGroups {
  size_t groups = 0;
  std::int64_t responses = 0, tokens = 0;

  void add(size_t more_responses, std::int64_t more_tokens) {
    ++groups;
    responses += static_cast<std::int64_t>(more_responses);
    tokens += more_tokens;
  }
};

// Sets the score's key in each response of the groups, and of a language model `tokens`, the number of tokens that it
// is the sum of: the response, the end of its turn and what generation stops with. What is batched together depends on
// these groups alone. Throws data for a conversation longer than the model's context, for a group without a label where
// the score is of one, and where `tokens` is another number already: the models tokenise differently.
//
// Of the first groups, as many as are done: all, or fewer where `go_on`, which is asked after each batch, said no.
ScoredGroups score_responses(const OpenModel& model, ResponseScore score, const BetaOptions& beta,
                             std::int64_t batch_tokens, std::span<ResponseGroup> groups,
                             const std::function<bool()>& go_on = {});

// Scores what `next` gives, the groups of one call together, until it gives none, and appends a line a group to the
// output, whose finish() is the caller's; `appended` is called after each. An output that is finished is left as it is.
// Returns what this process has done; nothing where a stop was requested: of groups that were begun those that are done
// are appended where numbers do not depend on what is computed beside them, else none.
std::optional<ScoredGroups> score_into(BlockOutput& output, const OpenModel& model, ResponseScore score,
                                       const BetaOptions& beta, std::int64_t batch_tokens,
                                       const std::function<std::vector<ResponseGroup>()>& next,
                                       const std::function<void()>& appended);

// How many groups are given to one call. Where numbers do not depend on what is computed beside them it may be few, so
// that a stop costs little.
size_t scored_groups(const OpenModel& model);

}  // namespace steerlm
