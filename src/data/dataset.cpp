#include "steerlm/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "steerlm/core/error.h"
#include "steerlm/core/hash.h"
#include "steerlm/data/batch.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/data/split.h"

namespace steerlm {
namespace {

bool is_labelled_answer(const Turn& turn) {
  return turn.from == "Assistant" && turn.label && !turn.label->text.empty();
}

// plain trains every token.
void refuse_context_in_plain(const Record& record, const ConversationTemplate& conversation_template) {
  const std::vector<Turn>& turns = record.conversation.turns;
  const auto context = std::ranges::find_if(turns, [](const Turn& turn) { return turn.context_only; });
  if (context == turns.end() || conversation_template.options().name != TemplateName::plain) return;
  fail(ExitCode::data, {.what = "a turn that is not to be trained (weight: 0), under template: plain, which trains all",
                        .where = where(record) + ", turn " + std::to_string(context - turns.begin() + 1),
                        .advice = "use another template, or take the record out"});
}

// Counts, cuts or drops; true where the example is kept.
bool fit_length(Example& example, const Record& record, const EncodeOptions& options, DatasetCounts& counts) {
  const std::int64_t length = static_cast<std::int64_t>(example.ids.size());
  counts.longest = std::max(counts.longest, length);
  if (length <= options.max_tokens) return true;
  if (options.over_length == OverLength::error) {
    fail(ExitCode::data, {.what = "a conversation longer than data.max_tokens",
                          .where = where(record),
                          .found = std::to_string(length) + " tokens",
                          .expected = "at most " + std::to_string(options.max_tokens),
                          .advice = "raise data.max_tokens, or set data.over_length to drop or truncate"});
  }
  const bool scored = options.objective == Objective::regression || options.objective == Objective::preference;
  if (options.over_length == OverLength::truncate && !scored) {
    example.ids.resize(static_cast<size_t>(options.max_tokens));
    example.target.resize(static_cast<size_t>(options.max_tokens));
    if (target_count(example) > 0) {
      ++counts.truncated;
      return true;
    }
  }
  ++counts.dropped_over_length;
  return false;
}

void keep(Example example, std::vector<Example>& examples, DatasetCounts& counts) {
  ++counts.examples;
  counts.tokens += static_cast<std::int64_t>(example.ids.size());
  counts.target_tokens += target_count(example) + label_count(example);
  examples.push_back(std::move(example));
}

// Adds what an answer's label says of each attribute.
void count_labels(const std::vector<float>& labels, DatasetCounts& counts) {
  counts.label_sums.resize(std::max(counts.label_sums.size(), labels.size()));
  counts.label_values.resize(counts.label_sums.size());
  for (size_t a = 0; a < labels.size(); ++a) {
    if (std::isnan(labels[a])) continue;
    counts.label_sums[a] += static_cast<double>(labels[a]);
    ++counts.label_values[a];
  }
}

void encode_conversation(const Record& record, const Conversation& conversation,
                         const ConversationTemplate& conversation_template, const EncodeOptions& options,
                         std::vector<Example>& examples, DatasetCounts& counts) {
  EncodedConversation encoded = conversation_template.encode(conversation);
  Example example{std::move(encoded.ids), std::move(encoded.target), {}, hash64(record.dialogue)};
  if (target_count(example) == 0) {
    if (options.objective == Objective::response) {
      fail(ExitCode::data,
           {.what = "a record without a target: none of its turns is trained",
            .where = where(record),
            .expected =
                "a turn after the first whose role is not in 'mask' and whose weight is not 0; under TEXT_TO_VALUE "
                "one with a label",
            .advice = "take the record out, or correct its 'mask', 'type', weights or labels"});
    }
    ++counts.without_target;
    return;
  }
  if (!fit_length(example, record, options, counts)) return;
  counts.label_examples += conversation.type == ConversationType::text_to_value;
  keep(std::move(example), examples, counts);
}

void encode_scored_turns(const Record& record, const ConversationTemplate& conversation_template,
                         const EncodeOptions& options, std::vector<Example>& examples, DatasetCounts& counts) {
  bool any = false;
  const std::uint64_t dialogue = hash64(record.dialogue);
  for (size_t t = 0; t < record.conversation.turns.size(); ++t) {
    const Turn& turn = record.conversation.turns[t];
    if (!is_labelled_answer(turn) || turn.context_only) continue;
    any = true;
    Example example = scored_example(conversation_template.encode_scored_turn(record.conversation, t));
    example.labels = turn.label->values;
    example.dialogue = dialogue;
    if (fit_length(example, record, options, counts)) keep(std::move(example), examples, counts);
  }
  if (!any) ++counts.without_target;
}

// Adds the examples of every source to `part`, or to `held_out` where the split says so. False: stopped.
bool encode_sources(const std::vector<SourceOptions>& sources, const DataOptions& split, const DataOptions& data,
                    const Attributes& attributes, const ConversationTemplate& conversation_template,
                    const EncodeOptions& options, DatasetBuilder& builder, DatasetBuilder::Part& part,
                    DatasetBuilder::Part& held_out) {
  RecordReader reader(sources, attributes, conversation_template.options().system, {.text = builder.puts_aside});
  std::vector<Example> examples;
  while (const auto entry = reader.next()) {
    if (const BadRecord* bad = std::get_if<BadRecord>(&*entry)) {
      builder.refuse_or_put_aside(*bad, data);
    } else {
      const Record& record = std::get<Record>(*entry);
      DatasetBuilder::Part& its = is_held_out(record.dialogue, split) ? held_out : part;
      examples.clear();
      const bool good = builder.encode_or_put_aside(its.counts, record, data, [&] {
        encode_record(record, conversation_template, options, examples, its.counts);
      });
      for (const Example& example : examples) {
        if (good) builder.add(its, example);
      }
    }
    if (!builder.record_read()) return false;
  }
  part.counts.unobeyed = reader.notes().unobeyed;
  return true;
}

constexpr size_t write_bytes = 1 << 20;

}  // namespace

void encode_record(const Record& record, const ConversationTemplate& conversation_template,
                   const EncodeOptions& options, std::vector<Example>& examples, DatasetCounts& counts) {
  ++counts.conversations;
  const std::vector<Turn>& turns = record.conversation.turns;
  counts.marker_text += std::any_of(turns.begin(), turns.end(),
                                    [&](const Turn& turn) { return conversation_template.holds_marker(turn.value); });
  for (const Turn& turn : turns) counts.labelled_turns += is_labelled_answer(turn);
  if (options.objective == Objective::response) {
    refuse_context_in_plain(record, conversation_template);
    encode_conversation(record, record.conversation, conversation_template, options, examples, counts);
    return;
  }
  if (options.objective == Objective::preference) {
    Example example = scored_example(conversation_template.encode_scored_turn(record.conversation, turns.size() - 1));
    if (fit_length(example, record, options, counts)) keep(std::move(example), examples, counts);
    return;
  }
  for (const Turn& turn : turns) counts.unlabelled_turns += turn.from == "Assistant" && !is_labelled_answer(turn);
  if (options.objective == Objective::regression) {
    encode_scored_turns(record, conversation_template, options, examples, counts);
    return;
  }
  Conversation conversation = record.conversation;
  conversation.type = ConversationType::text_to_value;
  conversation.masked_roles = {"User", "System"};
  const size_t before = examples.size();
  encode_conversation(record, conversation, conversation_template, options, examples, counts);
  if (examples.size() == before) return;
  for (const Turn& turn : turns) {  // a label is the target itself: the example has none beside it
    if (is_labelled_answer(turn) && !turn.context_only) count_labels(turn.label->values, counts);
  }
}

std::vector<Example> encode_dataset(std::span<const Record> records, const ConversationTemplate& conversation_template,
                                    const EncodeOptions& options, DatasetCounts& counts) {
  std::vector<Example> examples;
  for (const Record& record : records) encode_record(record, conversation_template, options, examples, counts);
  return examples;
}

DatasetBuilder::DatasetBuilder(Bytes bytes) : dropped_(bytes == Bytes::dropped) {}
DatasetBuilder::DatasetBuilder(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

void DatasetBuilder::refuse_or_put_aside(const BadRecord& bad_record, const DataOptions& data) {
  if (!puts_aside) {
    fail(ExitCode::data, {.what = bad_record.reason,
                          .where = place(bad_record.file, bad_record.line),
                          .advice = "`steerlm data check` with this recipe lists every bad record; "
                                    "on_bad_record=quarantine puts them aside and goes on"});
  }
  std::uint32_t source = 0;
  for (const std::vector<SourceOptions>* sources : {&data.train, &data.validation}) {
    for (const SourceOptions& each : *sources) {
      if (each.path == bad_record.file) {
        const size_t begin = bytes_.size();
        BadRecordEntry& entry = bad.emplace_back(append_bad_record(bad_record, bytes_));
        entry.source = source;
        advance(begin, entry.offset);
        return;
      }
      ++source;
    }
  }
  throw std::logic_error("a bad record of a file that is no source: " + bad_record.file);
}

bool DatasetBuilder::encode_or_put_aside(DatasetCounts& counts, const Record& record, const DataOptions& data,
                                         const std::function<void()>& encode) {
  if (!puts_aside) {
    encode();
    return true;
  }
  DatasetCounts before = counts;
  try {
    encode();
    return true;
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;
    counts = std::move(before);
    refuse_or_put_aside(bad_record(error, record.file, record.line, record.text), data);
    return false;
  }
}

void DatasetBuilder::advance(size_t begin, std::uint64_t& offset) {
  offset = offset_;
  offset_ += bytes_.size() - begin;
  if (write_ && bytes_.size() >= write_bytes) flush();
}

void DatasetBuilder::add(Part& part, const Example& example) {
  const size_t begin = bytes_.size();
  ExampleEntry& entry = part.entries.emplace_back(append_example(example, bytes_));
  if (example.group >= 0 && example.group == part.last_group) entry.flags |= ExampleEntry::continues_group;
  part.last_group = example.group;
  count_labels(example.labels, part.counts);
  if (dropped_) bytes_.resize(begin);
  advance(begin, entry.offset);
}

bool DatasetBuilder::record_read() {
  ++records_;
  return !on_record || on_record(records_);
}

void DatasetBuilder::flush() {
  write_(bytes_);
  bytes_.clear();
}

Dataset DatasetBuilder::finish() {
  const auto bytes = std::make_shared<const ExampleBytes>(std::move(bytes_));
  const auto of_examples = dropped_ ? nullptr : bytes;
  return {.train = {std::move(train.entries), of_examples, 0},
          .validation = {std::move(validation.entries), of_examples, 0},
          .train_counts = std::move(train.counts),
          .validation_counts = std::move(validation.counts),
          .bad = {std::move(bad), bytes}};
}

bool encode_conversations(const DataOptions& data, const Attributes& attributes,
                          const ConversationTemplate& conversation_template, Objective objective,
                          DatasetBuilder& builder) {
  const EncodeOptions options{objective, data.max_tokens, data.over_length};
  const bool own = !data.validation.empty();
  if (!encode_sources(data.train, own ? DataOptions() : data, data, attributes, conversation_template, options, builder,
                      builder.train, builder.validation))
    return false;
  if (builder.train.entries.empty()) {
    const DatasetCounts& counts = builder.train.counts;
    const bool unlabelled =
        objective != Objective::response && counts.conversations > 0 && counts.without_target == counts.conversations;
    fail(ExitCode::data, {.what = unlabelled ? "no assistant turn of the training data has a label"
                                             : "the training part of the data is empty",
                          .where = data.train.empty() ? "" : data.train.front().path,
                          .found = describe_empty(builder),
                          .expected = "one example or more"});
  }
  return !own || encode_validation(data, attributes, conversation_template, objective, builder);
}

bool encode_validation(const DataOptions& data, const Attributes& attributes,
                       const ConversationTemplate& conversation_template, Objective objective,
                       DatasetBuilder& builder) {
  return encode_sources(data.validation, DataOptions(), data, attributes, conversation_template,
                        {objective, data.max_tokens, data.over_length}, builder, builder.validation,
                        builder.validation);
}

Dataset load_dataset(const DataOptions& data, const Attributes& attributes,
                     const ConversationTemplate& conversation_template, Objective objective, bool puts_aside) {
  DatasetBuilder builder;
  builder.puts_aside = puts_aside;
  encode_conversations(data, attributes, conversation_template, objective, builder);
  return builder.finish();
}

bool has_labels(const std::vector<SourceOptions>& sources, const Attributes& rating_attributes) {
  if (std::ranges::any_of(sources, [](const SourceOptions& source) { return source.path == "-"; })) return true;
  RecordReader reader(sources, {}, "", {.rating_attributes = rating_attributes});
  while (const auto entry = reader.next()) {
    const Record* record = std::get_if<Record>(&*entry);
    if (record == nullptr || std::ranges::any_of(record->conversation.turns, is_labelled_answer)) return true;
  }
  return false;
}

std::string describe_empty(const DatasetBuilder& builder) {
  const std::string text = describe(builder.train.counts);
  return builder.bad.empty() ? text : text + ", " + std::to_string(builder.bad.size()) + " bad records put aside";
}

std::string describe(const DatasetCounts& counts) {
  const auto number = [](std::int64_t value, const std::string& what) { return std::to_string(value) + " " + what; };
  std::string text = number(counts.conversations, "conversations") + ", " + number(counts.examples, "examples") + ", " +
                     number(counts.tokens, "tokens") + ", " + number(counts.target_tokens, "targets");
  if (counts.pairs > 0) text += ", " + number(counts.pairs, "pairs");
  if (counts.without_preference > 0) text += ", " + number(counts.without_preference, "without a preference");
  if (counts.dropped_over_length > 0) text += ", " + number(counts.dropped_over_length, "dropped as too long");
  if (counts.truncated > 0) text += ", " + number(counts.truncated, "cut off");
  if (counts.without_target > 0) text += ", " + number(counts.without_target, "without a label");
  if (counts.unlabelled_turns > 0) text += ", " + number(counts.unlabelled_turns, "unlabelled assistant turns");
  if (counts.marker_text > 0) text += ", " + number(counts.marker_text, "with marker text in a value");
  return text + ", longest " + number(counts.longest, "tokens");
}

}  // namespace steerlm
