#include "steerlm/stages/response_scores.h"

#include <cmath>
#include <stdexcept>

#include "steerlm/core/stop.h"
#include "steerlm/data/batch.h"
#include "steerlm/infer/beta_law.h"
#include "steerlm/infer/score.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/stages/predict.h"

namespace steerlm {
namespace {

std::string place_of(const ResponseGroup& group, size_t response) {
  return group.place + ", response " + std::to_string(response + 1);
}

void require_label(const ResponseGroup& group) {
  const auto& label = group.records.front().conversation.turns.back().label;
  if (label && !label->text.empty()) return;
  fail(ExitCode::data, {.what = "responses without the label that they were sampled at",
                        .where = group.place,
                        .expected = "a 'label' beside 'prompt_turns'"});
}

void set_logarithm(ResponseGroup& group, size_t response, std::string_view key, double value) {
  if (!std::isfinite(value)) {
    fail(ExitCode::model, {.what = "'" + std::string(key) + "' of a response is not finite",
                           .where = place_of(group, response),
                           .advice = beyond_range});
  }
  group.json.at("responses").at(response)[key] = value;
}

ScoredGroups set_label_given_response(const OpenModel& model, const BetaOptions& beta, std::int64_t batch_tokens,
                                      std::span<ResponseGroup> groups, const std::function<bool()>& go_on) {
  std::vector<Record> records;
  for (const ResponseGroup& group : groups) records.insert(records.end(), group.records.begin(), group.records.end());
  const std::vector<RecordPrediction> predictions = predict_records(model, records, batch_tokens, go_on);
  auto prediction = predictions.begin();
  ScoredGroups done;
  for (ResponseGroup& group : groups) {
    if (predictions.end() - prediction < std::ssize(group.records)) break;
    require_label(group);
    std::int64_t tokens = 0;
    for (size_t r = 0; r < group.records.size(); ++r, ++prediction) {
      tokens += prediction->tokens;
      if (!prediction->fault.empty()) fail(ExitCode::data, {.what = prediction->fault, .where = place_of(group, r)});
      const Label& label = *group.records[r].conversation.turns.back().label;
      set_logarithm(group, r, label_given_response_key,
                    label_log_probability(prediction->turns.back().scores, label, model.attributes, beta));
    }
    done.add(group.records.size(), tokens);
  }
  return done;
}

void set_tokens(ResponseGroup& group, size_t response, std::int64_t tokens) {
  Json& entry = group.json.at("responses").at(response);
  const Json before = entry.contains(response_tokens_key) ? entry[response_tokens_key] : Json();
  if (!before.is_null() && before != tokens) {
    fail(ExitCode::data, {.what = "log-probabilities of one response that are of different tokens cannot be compared",
                          .where = place_of(group, response),
                          .found = std::to_string(tokens) + " tokens",
                          .expected = dump_json(before) + ", as the model before had",
                          .advice = "take models of one tokenizer and one template"});
  }
  entry[response_tokens_key] = tokens;
}

ScoredGroups set_response(const OpenModel& model, std::string_view key, std::int64_t batch_tokens,
                          std::span<ResponseGroup> groups, const std::function<bool()>& go_on) {
  const ConversationTemplate conversation_template = make_template(model.folder, model.tokenizer);
  if (conversation_template.options().name == TemplateName::plain) {
    fail(ExitCode::recipe, {.what = "under the template plain a response has no probability of its own",
                            .where = model.folder.path.string(),
                            .expected = "a model that was fine-tuned on conversations",
                            .advice = "fine-tune it with `steerlm sft` on texts without labels (labels: drop)"});
  }
  const std::int64_t context = model.folder.config.context_length();
  std::vector<Example> examples;
  std::vector<size_t> ends;  // of each group's examples
  for (const ResponseGroup& group : groups) {
    for (size_t r = 0; r < group.records.size(); ++r) {
      EncodedConversation encoded = conversation_template.encode(group.records[r].conversation);
      const auto length = static_cast<std::int64_t>(encoded.ids.size());
      if (length > context) {
        fail(ExitCode::data, {.what = "prompt and response are longer than the model's context",
                              .where = place_of(group, r),
                              .found = std::to_string(length) + " tokens",
                              .expected = "at most " + std::to_string(context),
                              .advice = "take such responses out; in a steerlm2 recipe lower sampling.max_new_tokens"});
      }
      examples.push_back({std::move(encoded.ids), std::move(encoded.target), {}});
    }
    ends.push_back(examples.size());
  }
  const auto log_p = token_log_probabilities(model.transformer, examples, {scored_at_once(model, batch_tokens), ends},
                                             [&](std::span<const TokenScores>) { return !go_on || go_on(); });
  ScoredGroups done;
  for (size_t e = 0; ResponseGroup & group : groups) {
    const size_t end = ends[done.groups];
    if (end > e && log_p[end - 1].empty()) break;
    std::int64_t read = 0;
    for (size_t r = 0; r < group.records.size(); ++r, ++e) {
      double sum = 0;
      for (const double value : log_p[e]) sum += value;  // 0 where nothing is trained
      read += std::ssize(examples[e].ids);
      set_tokens(group, r, target_count(examples[e]));
      set_logarithm(group, r, key, sum);
    }
    done.add(group.records.size(), read);
  }
  return done;
}

}  // namespace

ResponseGroupReader read_groups(const OpenModel& model, ResponseScore score,
                                const std::vector<SourceOptions>& sources) {
  const Labels labels = score == ResponseScore::response ? Labels::dropped : Labels::obeyed;
  return {sources, model.attributes, model.folder.text_template.system, labels};
}

size_t scored_groups(const OpenModel& model) { return computes_rows_alone(model) ? 4 : 64; }

ScoredGroups score_responses(const OpenModel& model, ResponseScore score, const BetaOptions& beta,
                             std::int64_t batch_tokens, std::span<ResponseGroup> groups,
                             const std::function<bool()>& go_on) {
  switch (score) {
    case ResponseScore::label_given_response:
      return set_label_given_response(model, beta, batch_tokens, groups, go_on);
    case ResponseScore::response:
      return set_response(model, response_key, batch_tokens, groups, go_on);
    case ResponseScore::response_given_label:
      for (const ResponseGroup& group : groups) require_label(group);
      return set_response(model, response_given_label_key, batch_tokens, groups, go_on);
  }
  throw std::logic_error("an unknown score");
}

std::optional<ScoredGroups> score_into(BlockOutput& output, const OpenModel& model, ResponseScore score,
                                       const BetaOptions& beta, std::int64_t batch_tokens,
                                       const std::function<std::vector<ResponseGroup>()>& next,
                                       const std::function<void()>& appended) {
  ScoredGroups all;
  while (!output.finished()) {
    std::vector<ResponseGroup> groups = next();
    if (stop_requested()) return std::nullopt;
    if (groups.empty()) break;
    const ScoredGroups scored =
        score_responses(model, score, beta, batch_tokens, groups, [] { return !stop_requested(); });
    const bool whole = scored.groups == groups.size();
    if (scored.groups > 0 && (whole || computes_rows_alone(model))) {
      std::string lines;
      for (const ResponseGroup& group : std::span(groups).first(scored.groups)) lines += dump_json(group.json) + "\n";
      output.append(static_cast<std::int64_t>(scored.groups), lines, "", Json::object(),
                    groups[scored.groups - 1].records.front().input_hash);
    }
    if (!whole) return std::nullopt;
    all.groups += scored.groups;
    all.responses += scored.responses;
    all.tokens += scored.tokens;
    appended();
  }
  return all;
}

}  // namespace steerlm
