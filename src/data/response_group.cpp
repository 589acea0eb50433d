#include "steerlm/data/response_group.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/input_sources.h"
#include "data/json_access.h"
#include "data/sources/sources.h"
#include "steerlm/core/utf8.h"
#include "steerlm/data/batch.h"
#include "steerlm/data/place.h"
#include "steerlm/data/split.h"

namespace steerlm {

struct ResponseGroupReader::State {
  InputSources sources;
  Attributes attributes;
  std::string system;
  Labels labels;
  bool text;

  ResponseGroup group_of(InputObject object) const;  // throws data
};

ResponseGroupReader::ResponseGroupReader(std::vector<SourceOptions> sources, Attributes attributes,
                                         std::string default_system, Labels labels, bool text)
    : state_(std::make_unique<State>(
          State{InputSources(std::move(sources)), std::move(attributes), std::move(default_system), labels, text})) {}
ResponseGroupReader::ResponseGroupReader(ResponseGroupReader&&) noexcept = default;
ResponseGroupReader::~ResponseGroupReader() = default;

ResponseGroup ResponseGroupReader::State::group_of(InputObject object) const {
  if (object.error) throw *object.error;
  const std::string& file = sources.file();
  ResponseGroup group{.json = std::move(object.value), .place = place(file, object.line)};
  if (object.format != Format::steerlm2) {
    fail(ExitCode::data, {.what = "a line that is no record of SteerLM 2.0",
                          .where = group.place,
                          .expected = "an object with prompt_turns, label and responses",
                          .advice = "docs/steerlm2.md shows one; sample responses with a recipe that has prompts"});
  }
  std::set<std::string> unobeyed;
  for (Json& json : from_response_group(group.json, {attributes, labels, group.place, unobeyed})) {
    group.records.push_back(parse_record(std::move(json), attributes, system, file, object.line, labels));
    group.records.back().part = static_cast<std::int64_t>(group.records.size()) - 1;
  }
  for (Record& record : group.records) {
    record.parts = static_cast<std::int64_t>(group.records.size());
    record.input_hash = object.input_hash;
  }
  if (text) group.records.front().text = as_utf8(object.text);
  return group;
}

std::optional<ResponseGroup> ResponseGroupReader::next() {
  std::optional<InputObject> object = state_->sources.next();
  if (!object) return std::nullopt;
  return made_of(std::move(*object), [&](InputObject its) { return state_->group_of(std::move(its)); });
}

std::optional<std::variant<ResponseGroup, BadRecord>> ResponseGroupReader::next_or_bad() {
  std::optional<InputObject> object = state_->sources.next();
  if (!object) return std::nullopt;
  const std::int64_t line = object->line;
  const std::string line_text = object->text;
  try {
    return made_of(std::move(*object), [&](InputObject its) { return state_->group_of(std::move(its)); });
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;
    return bad_record(error, state_->sources.file(), line, as_utf8(line_text));
  }
}

std::optional<double> ResponseGroupReader::share_read() const { return state_->sources.share_read(); }

std::vector<double> response_weights(const std::vector<double>& log_w) {
  const double most = *std::ranges::max_element(log_w);
  std::vector<double> weights;
  double sum = 0;
  for (double value : log_w) sum += weights.emplace_back(std::exp(value - most));
  for (double& weight : weights) weight /= sum;
  return weights;
}

namespace {

double number_in(const Json& response, std::string_view key, const std::string& where) {
  const Json* value = find_member(response, key);
  if (value == nullptr) {
    fail(ExitCode::data, {.what = "a response without '" + std::string(key) + "'",
                          .where = where,
                          .expected = "the three log-probabilities of each response",
                          .advice = "compute it with `steerlm score --responses`"});
  }
  return *number_of(*value);
}

// The examples of a group, without weights yet, and their log w.
void encode_group(const ResponseGroup& group, std::int64_t number, const ConversationTemplate& conversation_template,
                  const EncodeOptions& options, std::vector<Example>& examples, std::vector<double>& log_w,
                  DatasetCounts& counts) {
  if (group.records.front().conversation.type == ConversationType::none) {
    fail(ExitCode::data, {.what = "responses without the label that they were sampled at",
                          .where = group.place,
                          .expected = "a 'label' beside 'prompt_turns'"});
  }
  for (const Record& record : group.records) {
    const size_t before = examples.size();
    encode_record(record, conversation_template, options, examples, counts);
    if (examples.size() == before) continue;  // too long
    Example& example = examples.back();
    const Json& response = record.json.at("conversations").back();
    const std::string where = group.place + ", response " + std::to_string(record.part + 1);
    example.group = number;
    example.sampling_log_p = number_in(response, response_given_label_key, where);
    log_w.push_back(number_in(response, label_given_response_key, where) + number_in(response, response_key, where) -
                    example.sampling_log_p);
    const Json* tokens = find_member(response, response_tokens_key);
    if (tokens == nullptr || *tokens == target_count(example)) continue;
    fail(ExitCode::data, {.what = "the log-probabilities of a response are of other tokens than those that are trained",
                          .where = where,
                          .found = dump_json(*tokens) + " tokens",
                          .expected = std::to_string(target_count(example)) + " tokens",
                          .advice = "compute them again with models of the policy's tokenizer and template"});
  }
}

void add_group(std::vector<Example> examples, const std::vector<double>& log_w, DatasetBuilder& builder,
               DatasetBuilder::Part& part) {
  DatasetCounts& counts = part.counts;
  if (examples.size() < 2) {
    ++counts.single;
    return;
  }
  const std::vector<double> weights = response_weights(log_w);
  double squares = 0;
  for (size_t i = 0; i < examples.size(); ++i) {
    examples[i].weight = weights[i];
    squares += weights[i] * weights[i];
    builder.add(part, examples[i]);
  }
  const auto [least, most] = std::ranges::minmax(weights);
  counts.alike += most - least < 1e-9;
  counts.effective_responses += (1 / squares - counts.effective_responses) / static_cast<double>(++counts.groups);
}

bool encode_sources(const std::vector<SourceOptions>& sources, double validation_fraction, const DataOptions& data,
                    const Attributes& attributes, const ConversationTemplate& conversation_template,
                    const EncodeOptions& options, DatasetBuilder& builder, DatasetBuilder::Part& part,
                    DatasetBuilder::Part& held_out) {
  ResponseGroupReader reader(sources, attributes, conversation_template.options().system, Labels::obeyed,
                             builder.puts_aside);
  std::int64_t number = 0;
  while (const auto line = reader.next_or_bad()) {
    if (const BadRecord* bad = std::get_if<BadRecord>(&*line)) {
      builder.refuse_or_put_aside(*bad, data);
    } else {
      const ResponseGroup& group = std::get<ResponseGroup>(*line);
      const Record& first = group.records.front();
      DatasetBuilder::Part& its = is_validation(first.dialogue, validation_fraction) ? held_out : part;
      std::vector<Example> examples;
      std::vector<double> log_w;
      const bool good = builder.encode_or_put_aside(its.counts, first, data, [&] {
        encode_group(group, number++, conversation_template, options, examples, log_w, its.counts);
      });
      if (good) add_group(std::move(examples), log_w, builder, its);
    }
    if (!builder.record_read()) return false;
  }
  return true;
}

}  // namespace

bool encode_response_groups(const DataOptions& data, const Attributes& attributes,
                            const ConversationTemplate& conversation_template, DatasetBuilder& builder) {
  const EncodeOptions options{Objective::response, data.max_tokens, data.over_length};
  const bool own = !data.validation.empty();
  if (!encode_sources(data.train, own ? 0.0 : data.validation_fraction, data, attributes, conversation_template,
                      options, builder, builder.train, builder.validation))
    return false;
  if (builder.train.counts.groups == 0) {
    fail(ExitCode::data, {.what = "no prompt of the training data has two responses or more",
                          .where = data.train.empty() ? "" : data.train.front().path,
                          .found = describe_empty(builder),
                          .expected = "responses of one prompt to compare with each other"});
  }
  return !own || encode_validation_groups(data, attributes, conversation_template, builder);
}

bool encode_validation_groups(const DataOptions& data, const Attributes& attributes,
                              const ConversationTemplate& conversation_template, DatasetBuilder& builder) {
  return encode_sources(data.validation, 0, data, attributes, conversation_template,
                        {Objective::response, data.max_tokens, data.over_length}, builder, builder.validation,
                        builder.validation);
}

}  // namespace steerlm
