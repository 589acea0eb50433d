#include "steerlm/data/record_reader.h"
#include "steerlm/data/place.h"

#include <deque>
#include <utility>

#include "data/object_reader.h"
#include "data/sources/sources.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

// "turn 2: 'value' is missing (…)": the message without "file:line", which is kept beside it.
std::string reason_of(const Error& error, const std::string& file, std::int64_t line) {
  const std::string prefix = place(file, line);
  std::string reason;
  for (Fault fault : error.faults()) {
    if (fault.where.starts_with(prefix)) {
      fault.where.erase(0, prefix.size());
      if (fault.where.starts_with(", ")) fault.where.erase(0, 2);
    }
    reason += (reason.empty() ? "" : "; ") + format_fault(fault);
  }
  return reason;
}

// Every byte that is not part of well-formed UTF-8 becomes U+FFFD, so that the line can be written down.
std::string as_utf8(const std::string& text) {
  std::string valid;
  for (std::string_view rest = text;;) {
    const std::optional<size_t> bad = find_invalid_utf8(rest);
    valid += rest.substr(0, bad.value_or(rest.size()));
    if (!bad) return valid;
    valid += "\uFFFD";
    rest.remove_prefix(*bad + 1);
  }
}

void check_standard_input(const std::vector<SourceOptions>& sources) {
  std::int64_t times = 0;
  for (const SourceOptions& source : sources) times += source.path == "-" ? source.repeat : 0;
  if (times > 1) {
    fail(ExitCode::recipe, {.what = "standard input can be read only once",
                            .found = std::to_string(times) + " times",
                            .advice = "write it to a file first"});
  }
}

// The objects of several sources, each `repeat` times.
class Sources {
 public:
  explicit Sources(std::vector<SourceOptions> sources) : sources_(std::move(sources)) {
    check_standard_input(sources_);
  }

  std::optional<InputObject> next() {
    for (; source_ < sources_.size(); ++source_, repeat_ = 0) {
      for (; repeat_ < sources_[source_].repeat; ++repeat_) {
        if (!reader_) reader_.emplace(sources_[source_]);
        if (std::optional<InputObject> object = reader_->next()) return object;
        reader_.reset();
      }
    }
    return std::nullopt;
  }
  const std::string& file() const { return sources_[source_].path; }
  const SourceOptions& source() const { return sources_[source_]; }

 private:
  std::vector<SourceOptions> sources_;
  size_t source_ = 0;
  std::int64_t repeat_ = 0;
  std::optional<ObjectReader> reader_;
};

void drop_labels(Conversation& conversation) {
  conversation.type = ConversationType::none;
  for (Turn& turn : conversation.turns) turn.label.reset();
}

// The records that an object becomes. Throws data.
std::vector<Record> to_records(InputObject object, const Attributes& attributes, const Attributes& rating_attributes,
                               const std::string& system, const SourceOptions& source) {
  const std::string& file = source.path;
  if (object.error) throw *object.error;
  const std::string where = place(file, object.line);
  if (object.format == Format::auto_detect) throw unrecognised(object.value, where);
  std::vector<Record> records;
  for (Json& json : convert(object.format, std::move(object.value), rating_attributes, where)) {
    records.push_back(parse_record(std::move(json), attributes, system, file, object.line));
    if (source.labels == SourceLabels::drop) drop_labels(records.back().conversation);
  }
  return records;
}

}  // namespace

struct RecordReader::State {
  Sources sources;
  Attributes attributes;
  Attributes rating_attributes;
  std::string system;
  std::deque<Record> waiting;  // of the line last read
};

RecordReader::RecordReader(std::vector<SourceOptions> sources, const Attributes& attributes, std::string default_system,
                           const std::optional<Attributes>& rating_attributes)
    : state_(std::make_unique<State>(State{Sources(std::move(sources)),
                                           attributes,
                                           rating_attributes.value_or(attributes),
                                           std::move(default_system),
                                           {}})) {}
RecordReader::RecordReader(RecordReader&&) noexcept = default;
RecordReader::~RecordReader() = default;

std::optional<std::variant<Record, BadRecord>> RecordReader::next() {
  State& s = *state_;
  while (s.waiting.empty()) {
    std::optional<InputObject> object = s.sources.next();
    if (!object) return std::nullopt;
    BadRecord bad{s.sources.file(), object->line, "", std::move(object->text)};
    try {
      for (Record& record :
           to_records(std::move(*object), s.attributes, s.rating_attributes, s.system, s.sources.source())) {
        s.waiting.push_back(std::move(record));
      }
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      bad.reason = reason_of(error, bad.file, bad.line);
      bad.text = as_utf8(bad.text);
      return bad;
    }
  }
  Record record = std::move(s.waiting.front());
  s.waiting.pop_front();
  return record;
}

void refuse(const BadRecord& bad) {
  fail(ExitCode::data, {.what = bad.reason,
                        .where = place(bad.file, bad.line),
                        .advice = "steerlm data check lists every bad record of a file"});
}

std::vector<Record> read_records(const std::vector<SourceOptions>& sources, const Attributes& attributes,
                                 const std::string& default_system) {
  Sources objects(sources);
  std::vector<Record> records;
  while (std::optional<InputObject> object = objects.next()) {
    for (Record& record : to_records(std::move(*object), attributes, attributes, default_system, objects.source())) {
      records.push_back(std::move(record));
    }
  }
  return records;
}

std::vector<Prompt> read_prompts(const std::vector<SourceOptions>& sources, const Attributes& attributes,
                                 const std::string& default_system, std::int64_t max) {
  Sources objects(sources);
  std::vector<Prompt> prompts;
  while (std::optional<InputObject> object = objects.next()) {
    const std::string& file = objects.file();
    const std::int64_t line = object->line;
    std::optional<Json> prompt_line;
    std::vector<Record> records;
    if (!object->error && is_prompt_line(object->value)) {
      prompt_line = std::move(object->value);
      records.push_back(
          parse_record(from_prompt_line(*prompt_line, place(file, line)), attributes, default_system, file, line));
    } else {
      records = to_records(std::move(*object), attributes, attributes, default_system, objects.source());
    }
    for (Record& record : records) {
      if (max > 0 && static_cast<std::int64_t>(prompts.size()) == max) return prompts;
      std::vector<Turn>& turns = record.conversation.turns;
      while (!turns.empty() && turns.back().from != "User") turns.pop_back();
      if (turns.empty()) {
        fail(ExitCode::data, {.what = "a conversation without a user turn gives no prompt", .where = where(record)});
      }
      prompts.push_back(
          {std::move(record.conversation), prompt_line ? *prompt_line : std::move(record.json), file, line});
    }
  }
  return prompts;
}

}  // namespace steerlm
