// What the validation of a training measures, each name in one place: metrics.jsonl, done.json, the model card and
// checkpoint.keep_best call it so.
#pragma once

#include <vector>

#include "steerlm/eval/predictor_metrics.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/report/metrics.h"
#include "steerlm/stages/context.h"

namespace steerlm {

// Of a language model: the mean negative log-likelihood of a target, and perplexity, which is exp(loss).
Metrics language_model_metrics(double loss);
// Of a reward: the mean loss of a pair, and the share of pairs whose better response has the higher reward.
Metrics preference_metrics(double loss, double pairwise_accuracy);
// Of SteerLM 2.0: the mean loss and the mean distance of a group of responses.
Metrics response_metrics(double loss, double distance);
// Of a head that scores attributes: the mean squared error over all known entries, which is what it is trained on, and
// what append_predictor_metrics adds.
Metrics regression_metrics(const std::vector<AttributeMetrics>& rows);
// "validation/mae/quality", "validation/pearson/quality", …
void append_predictor_metrics(Metrics& metrics, const std::vector<AttributeMetrics>& rows);

// The value of keep_best's metric in a validation. Throws recipe, with the names that there are, where it has none.
double kept_metric(const KeepBestOptions& keep_best, const Metrics& validation);

// keep_best's metric is one that the validation of this recipe's training will have; throws recipe, with those that
// there are. A mode that keeps the worst weights is a warning.
void check_keep_best(const Recipe& recipe, const Context& context);

}  // namespace steerlm
