#include "steerlm/data/record_reader.h"
#include "steerlm/data/place.h"

#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include "data/input_sources.h"
#include "data/sources/sources.h"
#include "steerlm/core/rng.h"
#include "steerlm/core/suggest.h"
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

// Of rows without a rating, before a file is taken for one without.
constexpr int most_unrated_rows = 10000;

bool is_helpsteer(const InputObject& object) {
  return object.format == Format::helpsteer || object.format == Format::helpsteer2;
}

bool is_rated_as_helpsteer(const InputObject& object) {
  return is_helpsteer(object) && has_helpsteer_rating(object.value);
}

// A label without the entries of some attributes.
struct ShortenedLabel {
  std::string text;
  std::vector<std::string> taken;
};
ShortenedLabel without_attributes(const std::string& label, const std::vector<std::string>& names) {
  ShortenedLabel shortened;
  for (size_t begin = 0; begin <= label.size();) {  // an empty last entry is a fault, which the parser names
    const size_t end = std::min(label.find(',', begin), label.size());
    const std::string entry = label.substr(begin, end - begin);
    const std::string name = entry.substr(0, entry.find(':'));
    if (std::ranges::find(names, name) != names.end()) {
      shortened.taken.push_back(name);
    } else {
      shortened.text += (shortened.text.empty() ? "" : ",") + entry;
    }
    begin = end + 1;
  }
  return shortened;
}

// From objects to records.
struct Converter {
  Attributes attributes;
  std::string system;
  ReadOptions options;
  ReadNotes notes = {};
  std::set<std::pair<std::string, std::string>> taken = {};  // path, attribute: what `without` has found

  bool takes_out(const SourceOptions& source) const {
    return !source.without.empty() && source.labels != SourceLabels::drop && options.labels == Labels::obeyed;
  }

  // Of a record in the conversation format; a label of which nothing is left is none.
  void take_out(Json& record, const SourceOptions& source) {
    const auto turns = record.is_object() ? record.find("conversations") : record.end();
    if (turns == record.end() || !turns->is_array()) return;  // a fault, which the parser names
    for (Json& turn : *turns) {
      const auto label = turn.is_object() ? turn.find("label") : turn.end();
      if (label == turn.end() || !label->is_string()) continue;
      const ShortenedLabel shortened = without_attributes(label->get<std::string>(), source.without);
      if (shortened.taken.empty()) continue;
      *label = shortened.text.empty() ? Json(nullptr) : Json(shortened.text);
      for (const std::string& name : shortened.taken) taken.emplace(source.path, name);
    }
  }

  // After the last record: a name that no label had is a mistake, and the file would be trained on as it is.
  void check_taken(const std::vector<SourceOptions>& sources) const {
    for (const SourceOptions& source : sources) {
      if (!takes_out(source)) continue;
      for (const std::string& name : source.without) {
        if (taken.contains({source.path, name})) continue;
        fail(ExitCode::data, {.what = "`without` names an attribute that no label of the source has",
                              .where = source.path,
                              .found = "'" + name + "'",
                              .advice = "take the name out of `without`, or mend its spelling"});
      }
    }
  }

  // The records that an object becomes. Throws data.
  std::vector<Record> convert(InputObject object, const SourceOptions& source) {
    const std::string& file = source.path;
    if (object.error) throw *object.error;
    const std::string where = place(file, object.line);
    if (object.format == Format::auto_detect) throw unrecognised(object, where);
    const bool own = options.helpsteer_attributes && is_rated_as_helpsteer(object);
    notes.helpsteer |= own;
    const Attributes& labels_of = own ? *options.helpsteer_attributes : attributes;
    const Attributes& ratings_of = options.rating_attributes && !own ? *options.rating_attributes : labels_of;
    const Labels labels = source.labels == SourceLabels::drop ? Labels::dropped : options.labels;
    std::set<std::string> unobeyed;
    std::vector<Json> objects =
        steerlm::convert(object.format, std::move(object.value), {ratings_of, labels, where, unobeyed});
    std::vector<Record> records;
    for (Json& json : objects) {
      if (takes_out(source)) take_out(json, source);
      records.push_back(parse_record(std::move(json), labels_of, system, file, object.line, labels, options.weights));
      records.back().part = static_cast<std::int64_t>(records.size()) - 1;
      records.back().parts = static_cast<std::int64_t>(objects.size());
      note_unobeyed(records.back(), labels_of, unobeyed);
    }
    for (const std::string& key : unobeyed) ++notes.unobeyed[key];
    return records;
  }
};

bool has_label(const Turn& turn) { return turn.label && !turn.label->text.empty(); }

// The labels of a source in a random order (Fisher and Yates), the same in every pass through it. They are found by a
// pass of their own.
class ShuffledLabels {
 public:
  ShuffledLabels(SourceOptions source, const Converter& converter) {
    const std::uint64_t seed = source.seed;
    source.repeat = 1;
    source.labels = SourceLabels::keep;
    RecordReader reader({std::move(source)}, converter.attributes, converter.system, converter.options);
    while (auto entry = reader.next()) {
      Record* record = std::get_if<Record>(&*entry);
      if (record == nullptr) continue;  // the pass that the labels are for meets it again
      for (Turn& turn : record->conversation.turns) {
        if (has_label(turn)) labels_.push_back(std::move(*turn.label));
      }
    }
    for (size_t i = labels_.size(); i > 1; --i)
      std::swap(labels_[i - 1], labels_[Rng(seed, "shuffle labels", i).below(i)]);
  }

  // Gives the labelled turns of the source's next record the next labels.
  void give(Record& record) {
    for (size_t t = 0; t < record.conversation.turns.size(); ++t) {
      Turn& turn = record.conversation.turns[t];
      if (!has_label(turn)) continue;
      if (given_ == labels_.size())
        fail(ExitCode::data, {.what = "the file was changed while it was read", .where = where(record)});
      turn.label = labels_[given_++];
      record.json["conversations"][t]["label"] = turn.label->text;
    }
  }

 private:
  std::vector<Label> labels_;
  size_t given_ = 0;
};

// Does to the records of `sources`, one after another, what labels: shuffle asks for.
class LabelShuffle {
 public:
  void apply(const InputSources& sources, const Converter& converter, Record& record) {
    if (sources.source().labels != SourceLabels::shuffle || converter.options.labels != Labels::obeyed) return;
    if (pass_ != sources.passes()) labels_.emplace(sources.source(), converter);
    pass_ = sources.passes();
    labels_->give(record);
  }

 private:
  std::optional<ShuffledLabels> labels_;  // of the pass that is being read
  std::int64_t pass_ = 0;
};

}  // namespace

struct RecordReader::State {
  State(std::vector<SourceOptions> of, Attributes attributes, std::string system, ReadOptions options)
      : sources(std::move(of)), converter{std::move(attributes), std::move(system), std::move(options)} {}

  InputSources sources;
  Converter converter;
  LabelShuffle shuffle = {};
  std::deque<Record> waiting = {};  // of the line last read
};

RecordReader::RecordReader(std::vector<SourceOptions> sources, Attributes attributes, std::string default_system,
                           ReadOptions options)
    : state_(std::make_unique<State>(std::move(sources), std::move(attributes), std::move(default_system),
                                     std::move(options))) {}
RecordReader::RecordReader(RecordReader&&) noexcept = default;
RecordReader::~RecordReader() = default;

ReadNotes RecordReader::notes() const {
  ReadNotes notes = state_->converter.notes;
  notes.blank_lines = state_->sources.blank_lines();
  return notes;
}

std::optional<double> RecordReader::share_read() const { return state_->sources.share_read(); }

std::optional<std::variant<Record, BadRecord>> RecordReader::next() {
  State& s = *state_;
  while (s.waiting.empty()) {
    std::optional<InputObject> object = s.sources.next();
    if (!object) {
      s.converter.check_taken(s.sources.all());
      return std::nullopt;
    }
    const std::uint64_t input_hash = object->input_hash;
    BadRecord bad{s.sources.file(), object->line, "", std::move(object->text), input_hash};
    try {
      std::vector<Record> records = made_of(
          std::move(*object), [&](InputObject its) { return s.converter.convert(std::move(its), s.sources.source()); });
      for (Record& record : records) {
        s.shuffle.apply(s.sources, s.converter, record);
        if (s.converter.options.text) record.text = as_utf8(bad.text);
        record.input_hash = input_hash;
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

BadRecord bad_record(const Error& error, std::string file, std::int64_t line, std::string text) {
  std::string reason = reason_of(error, file, line);
  return {std::move(file), line, std::move(reason), std::move(text)};
}

void refuse(const BadRecord& bad) {
  fail(ExitCode::data,
       {.what = bad.reason,
        .where = place(bad.file, bad.line),
        .advice = "`steerlm data check` lists every bad record: of a recipe's data with the recipe, of a file with "
                  "--input FILE and the --attributes, --min and --max of the model"});
}

std::vector<Record> read_records(const std::vector<SourceOptions>& sources, const Attributes& attributes,
                                 const std::string& default_system) {
  InputSources objects(sources);
  Converter converter{attributes, default_system, {}};
  LabelShuffle shuffle;
  std::vector<Record> records;
  while (std::optional<InputObject> object = objects.next()) {
    std::vector<Record> of_object = made_of(
        std::move(*object), [&](InputObject its) { return converter.convert(std::move(its), objects.source()); });
    for (Record& record : of_object) {
      shuffle.apply(objects, converter, record);
      records.push_back(std::move(record));
    }
  }
  converter.check_taken(sources);
  return records;
}

std::string describe_unobeyed(const std::map<std::string, std::int64_t>& unobeyed) {
  std::vector<std::string> entries;
  for (const auto& [key, lines] : unobeyed)
    entries.push_back(key + " (" + std::to_string(lines) + (lines == 1 ? " line)" : " lines)"));
  return join(entries);
}

void refuse_empty_input(const std::string& verb, const std::vector<SourceOptions>& sources) {
  std::vector<std::string> paths;
  for (const SourceOptions& source : sources) paths.push_back(source.path == "-" ? "standard input" : source.path);
  fail(ExitCode::data,
       {.what = "nothing to " + verb + ": the input is empty", .where = join(paths), .expected = "one record or more"});
}

bool are_rated_as_helpsteer(const std::vector<SourceOptions>& sources) {
  bool helpsteer = false;
  for (const SourceOptions& source : sources) {
    if (source.path == "-" || source.labels == SourceLabels::drop) continue;
    ObjectReader reader(source);
    std::optional<InputObject> object = reader.next();
    while (object && object->error) object = reader.next();
    if (object && object->format == Format::oasst) return false;
    // A file has one format; its first rows may be without ratings.
    bool rated = object && is_rated_as_helpsteer(*object);
    for (int rows = 0; object && is_helpsteer(*object) && !rated && rows < most_unrated_rows; ++rows) {
      object = reader.next();
      rated = object && !object->error && is_rated_as_helpsteer(*object);
    }
    helpsteer |= rated;
  }
  return helpsteer;
}

namespace {

// The prompts of a line. Throws data.
std::vector<Prompt> prompts_of(InputObject object, const SourceOptions& source, Converter& converter) {
  const std::string& file = source.path;
  const std::int64_t line = object.line;
  std::optional<Json> prompt_line;
  std::vector<Record> records;
  if (!object.error && is_prompt_line(object.value)) {
    prompt_line = std::move(object.value);
    std::set<std::string> unobeyed;
    records.push_back(parse_record(from_prompt_line(*prompt_line, place(file, line), unobeyed), converter.attributes,
                                   converter.system, file, line));
    note_unobeyed(records.back(), converter.attributes, unobeyed);
    for (const std::string& key : unobeyed) ++converter.notes.unobeyed[key];
  } else {
    if (!object.error) drop_tools_behind_user(object.value);
    records = converter.convert(std::move(object), source);
  }
  std::vector<Prompt> prompts;
  for (Record& record : records) {
    std::vector<Turn>& turns = record.conversation.turns;
    while (!turns.empty() && turns.back().from != "User") turns.pop_back();
    if (turns.empty())
      fail(ExitCode::data, {.what = "a conversation without a user turn gives no prompt", .where = where(record)});
    prompts.push_back(
        {std::move(record.conversation), prompt_line ? *prompt_line : std::move(record.json), file, line});
  }
  return prompts;
}

}  // namespace

std::vector<Prompt> read_prompts(const std::vector<SourceOptions>& sources, const Attributes& attributes,
                                 const std::string& default_system, std::int64_t max, BadPrompts bad,
                                 ReadNotes* notes) {
  InputSources objects(sources);
  Converter converter{attributes, default_system, {}};
  std::vector<Prompt> prompts;
  const auto take_notes = [&] {
    if (notes != nullptr) notes->unobeyed = std::move(converter.notes.unobeyed);
  };
  while (std::optional<InputObject> object = objects.next()) {
    const std::string text = bad == BadPrompts::kept ? as_utf8(object->text) : "";
    const std::int64_t line = object->line;
    const std::uint64_t input_hash = object->input_hash;
    std::vector<Prompt> own;
    try {
      own = made_of(std::move(*object),
                    [&](InputObject its) { return prompts_of(std::move(its), objects.source(), converter); });
    } catch (const Error& error) {
      if (bad == BadPrompts::refused || error.code() != ExitCode::data) throw;
      own.push_back({.file = objects.file(), .line = line, .fault = reason_of(error, objects.file(), line)});
    }
    for (Prompt& prompt : own) {
      if (max > 0 && static_cast<std::int64_t>(prompts.size()) == max) {
        take_notes();
        return prompts;
      }
      prompt.text = text;
      prompt.input_hash = input_hash;
      prompts.push_back(std::move(prompt));
    }
  }
  take_notes();
  return prompts;
}

}  // namespace steerlm
