#include "data/object_reader.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "data/file_kind.h"
#include "data/json_access.h"
#include "data/sources/sources.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/json_array.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/utf8.h"
#include "steerlm/data/place.h"

namespace steerlm {
namespace {

constexpr size_t kept_text = 64 << 10;
constexpr std::int64_t max_array_bytes = std::int64_t{1} << 30;

// The path without .gz or .zst ends in one of these.
bool ends_in(std::string_view path, std::initializer_list<std::string_view> endings) {
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (path.ends_with(packed)) path.remove_suffix(packed.size());
  }
  for (const std::string_view ending : endings) {
    if (path.ends_with(ending)) return true;
  }
  return false;
}

void replace_all(std::string& text, std::string_view old, std::string_view replacement) {
  for (size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + replacement.size()))
    text.replace(at, old.size(), replacement);
}

// What writes the file's content to standard output; a window of zstd --long has to be allowed.
std::string unpacking(const std::string& unpacker) {
  return unpacker + (unpacker == "zstd" ? " --long=31" : "") + " -dc ";
}

// The advice with the path in it, where a shell takes the path as it is. Of a packed file it holds for what is inside.
Error not_data(const FileKind& kind, const std::string& path, const std::string& unpacker) {
  const bool simple = path != "-" && std::ranges::all_of(path, [](char c) {
                        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                               std::string_view("_-./+=@").find(c) != std::string_view::npos;
                      });
  const std::string file = simple ? path : "FILE";
  std::string advice = kind.advice;
  replace_all(advice, "FILE", unpacker.empty() ? file : "UNPACKED");
  if (!unpacker.empty()) advice = "unpack it (" + unpacking(unpacker) + file + " > UNPACKED), then " + advice;
  return Error(ExitCode::data, {.what = "this is " + kind.name,
                                .where = path == "-" ? "standard input" : path,
                                .expected = "records, one JSON object a line, or a JSON array of them",
                                .advice = advice});
}

// The first line of what is no JSON, for the message.
std::string beginning_of(std::string_view head) {
  constexpr size_t shown = 40;
  const std::string_view line = head.substr(0, std::min(head.find_first_of("\r\n"), shown));
  return Json(line).dump(-1, ' ', false, Json::error_handler_t::replace) + " …";
}

// What format: auto can tell without parsing: JSON starts with a bracket, and text is what is called so.
Format first_guess(const SourceOptions& source, LineReader& lines) {
  const char first = lines.first_character();
  const std::string_view head = lines.head();
  if (const auto kind = binary_kind(head)) throw not_data(*kind, source.path, lines.unpacker());
  if (source.format == Format::text) return Format::text;
  const bool automatic = source.format == Format::auto_detect;
  if (automatic && ends_in(source.path, {".txt"})) return Format::text;
  auto kind = text_kind(head);
  if (!kind && first != 0 && first != '{' && first != '[') {  // a table of one column says it by its name alone
    if (ends_in(source.path, {".csv"})) kind = table_of(',');
    if (ends_in(source.path, {".tsv"})) kind = table_of('\t');
  }
  if (kind) throw not_data(*kind, source.path, lines.unpacker());
  if (automatic && first != 0 && first != '{' && first != '[' && !ends_in(source.path, {".json", ".jsonl"})) {
    fail(ExitCode::data, {.what = "neither JSON lines nor a JSON array",
                          .where = source.path == "-" ? "standard input" : source.path,
                          .found = beginning_of(head),
                          .advice = "if each line is a text, give the file a name that ends in .txt, or say format: "
                                    "text in a recipe, --format text to `steerlm data`"});
  }
  return source.format;
}

void check_text(std::string_view line, const std::string& where) {
  if (const auto bad = find_invalid_utf8(line)) {
    fail(ExitCode::data, {.what = "not valid UTF-8 at byte " + std::to_string(*bad + 1), .where = where});
  }
  if (const size_t nul = line.find('\0'); nul != std::string_view::npos) {
    fail(ExitCode::data, {.what = "a raw NUL byte at byte " + std::to_string(nul + 1), .where = where});
  }
}

// A command of Python; `rows` is an expression of what it writes, one a line.
std::string python(const std::string& modules, const std::string& rows) {
  return "python3 -c \"import " + modules + "; [print(json.dumps(r)) for r in " + rows + "]\" < FILE > NEW.jsonl";
}

// What mends text that other programs write for JSON; "" where it is none of that. `what`: the parser's fault.
std::string advice_for_json(const std::string& what, std::string_view text, bool array) {
  constexpr std::string_view place_of = "not valid JSON at byte ";
  if (!what.starts_with(place_of)) return "";
  const size_t at = std::stoul(what.substr(place_of.size())) - 1;
  const std::string_view rest = text.substr(std::min(at, text.size()));
  const auto goes_on = [&](std::initializer_list<std::string_view> words) {
    return std::ranges::any_of(words, [&](std::string_view word) { return rest.starts_with(word); });
  };
  if (what.ends_with("expected nothing behind the value")) {
    if (array && goes_on({"["})) {
      return "if each line is the list of a conversation's messages: jq -c '{messages: .}' FILE > NEW.jsonl; if the "
             "arrays hold records: jq -c '.[]' FILE > NEW.jsonl";
    }
    if (!array && goes_on({"{"})) return "write each object on a line of its own: jq -c . FILE > NEW.jsonl";
    if (!array && goes_on({","}) && is_blank(rest.substr(1)))
      return "take the commas at line ends out: sed 's/,[[:space:]]*$//' FILE > NEW.jsonl";
    return "";
  }
  if (goes_on({"NaN", "Infinity"})) {
    const std::string constants = "parse_constant=lambda c: None)";
    return "JSON has no such number; this writes null for it: " +
           python("json, sys", array ? "json.load(sys.stdin, " + constants
                                     : "(json.loads(l, " + constants + " for l in sys.stdin if l.strip())");
  }
  if (goes_on({"'", "True", "False", "None"})) {
    return "if this is Python's notation, write it as JSON: " +
           python("ast, json, sys", array ? "ast.literal_eval(sys.stdin.read())"
                                          : "(ast.literal_eval(l) for l in sys.stdin if l.strip())");
  }
  const size_t before = text.substr(0, at).find_last_not_of(" \t\r\n");
  if (goes_on({"]", "}"}) && before != std::string_view::npos && text[before] == ',')
    return "take the comma in front of it out";
  return "";
}

// Of a text that is no JSON the advice that its content gives.
Error with_json_advice(const Error& error, std::string_view text, bool array) {
  std::vector<Fault> faults = error.faults();
  for (Fault& fault : faults) {
    if (fault.advice.empty()) fault.advice = advice_for_json(fault.what, text, array);
  }
  return {error.code(), std::move(faults)};
}

Json parse_array(const std::string& text, const std::string& where) {
  try {
    return parse_json_array(text, where, ExitCode::data);
  } catch (const Error& error) {
    throw with_json_advice(error, text, true);
  }
}

}  // namespace

ObjectReader::ObjectReader(const SourceOptions& source)
    : source_(source), lines_(source.path), format_(first_guess(source, lines_)) {
  if (lines_.first_character() == '[' && format_ != Format::text) {
    try {
      array_ = parse_array(lines_.rest(max_array_bytes), source.path == "-" ? "standard input" : source.path);
    } catch (const Error& error) {
      throw fitted(error, {.unpacker = lines_.unpacker()});  // commands of the file as a whole
    }
  }
}

std::optional<InputObject> ObjectReader::next() {
  if (array_) return next_element();
  for (;;) {
    const std::optional<Line> line = lines_.next();
    if (!line || (source_.limit > 0 && line->number > source_.limit)) return std::nullopt;
    lines_read_ = line->number;
    add_to_hash(line->text);
    if (is_blank(line->text)) {
      ++blank_lines_;
      continue;
    }
    InputObject object;
    object.line = line->number;
    object.text = line->text.substr(0, kept_text);
    object.input_hash = input_hash_;
    object.container = {.unpacker = lines_.unpacker()};
    try {
      if (line->too_long) {
        fail(ExitCode::data, {.what = "a line of more than " + std::to_string(max_line_bytes >> 20) + " MiB",
                              .where = place(source_.path, line->number)});
      }
      parse(line->text, object);
    } catch (const Error& error) {
      object.error = error;
    }
    return object;
  }
}

std::optional<double> ObjectReader::share_read() const {
  const auto part = [](std::int64_t done, std::int64_t all) {
    return all > 0 ? static_cast<double>(done) / static_cast<double>(all) : 0;
  };
  const double of_limit = part(array_ ? elements_ : lines_read_, source_.limit);
  if (array_) return std::max(of_limit, part(elements_, static_cast<std::int64_t>(array_->size())));
  const std::optional<double> of_file = lines_.share_read();
  return of_file ? std::max(of_limit, *of_file) : of_file;
}

void ObjectReader::parse(std::string_view line, InputObject& object) {
  const std::string where = place(source_.path, object.line);
  if (format_ == Format::text) {
    check_text(line, where);
    object.value = line;
  } else {
    try {
      object.value = parse_json_as_written(line, where, ExitCode::data);
    } catch (const Error& error) {
      throw with_json_advice(error, line, false);
    }
  }
  set_format(object);
}

void ObjectReader::add_to_hash(std::string_view text) {
  if (source_.path == "-") input_hash_ = hash64(std::to_string(input_hash_) + "\n" + std::string(text));
}

void ObjectReader::set_format(InputObject& object) {
  if (format_ == Format::auto_detect) format_ = detect_format(object.value).value_or(Format::auto_detect);
  object.format = format_;
  // No turn says whose `conversations` these are. By either format the record is a bad one; a later one may say it.
  if (format_ == Format::auto_detect && object.value.is_object() && find_member(object.value, "conversations"))
    object.format = Format::sharegpt;
}

std::optional<InputObject> ObjectReader::next_element() {
  if (elements_ == static_cast<std::int64_t>(array_->size()) || (source_.limit > 0 && elements_ == source_.limit))
    return std::nullopt;
  InputObject object;
  object.value = std::move((*array_)[static_cast<size_t>(elements_)]);
  object.line = ++elements_;
  object.text = dump_json(object.value);
  add_to_hash(object.text);
  object.text.resize(std::min(object.text.size(), kept_text));
  object.input_hash = input_hash_;
  object.container = {.array = true, .unpacker = lines_.unpacker()};
  set_format(object);
  return object;
}

namespace {

std::string jq(const std::string& filter) { return "jq -c '" + filter + "' FILE > NEW.jsonl"; }

// What the sets of other programs call a prompt and its answer, both of them texts: TRL, KTO; Alpaca; Dolly; ms-swift;
// OpenRLHF and others.
struct OtherKeys {
  std::string prompt, answer;
  std::string context = {};  // a text that belongs to the prompt
};
const std::vector<OtherKeys> other_keys{{"prompt", "completion"},
                                        {"instruction", "output", "input"},
                                        {"instruction", "response", "context"},
                                        {"query", "response"},
                                        {"input", "output"},
                                        {"question", "answer"}};

// The filter that makes records of them. All other keys stay: `system`, labels and ratings change what is trained.
std::string filter_for(const OtherKeys& other, bool history) {
  const std::string prompt = other.context.empty() ? "." + other.prompt
                                                   : "([." + other.prompt + ", ." + other.context +
                                                         "] | map(select(. != null and . != \"\")) | join(\"\\n\\n\"))";
  std::string made = "{prompt: " + prompt + ", response: ." + other.answer + "}";
  if (history) {
    made =
        "{messages: [(.history // [] | .[] | {role: \"user\", content: .[0]}, {role: \"assistant\", content: .[1]}), "
        "{role: \"user\", content: " +
        prompt + "}, {role: \"assistant\", content: ." + other.answer + "}]}";
  }
  std::vector<std::string> taken;
  for (const std::string& key : {other.prompt, other.context, other.answer}) {
    const bool stays = !history && (key == "prompt" || key == "response");
    if (!key.empty() && !stays) taken.push_back("." + key);
  }
  if (history) taken.emplace_back(".history");
  return ". + " + made + " | del(" + join(taken) + ")";
}

// Of keys that another program's sets have; "" where they are none of them.
std::string advice_for_other_keys(const Json& object) {
  const auto has_text = [&](std::string_view key) {
    const Json* value = find_member(object, key);
    return value != nullptr && value->is_string();
  };
  const auto has_list = [&](std::string_view key) {
    const Json* value = find_member(object, key);
    return value != nullptr && value->is_array();
  };
  for (const OtherKeys& other : other_keys) {
    const bool history = object.contains("history") || other.prompt == "query";  // which ms-swift's rows may have
    if (has_text(other.prompt) && has_text(other.answer))
      return "make a record of it: " + jq(filter_for(other, history));
  }
  if (has_list("prompt") && has_list("completion"))
    return "make a record of it: " + jq(". + {messages: (.prompt + .completion)} | del(.prompt, .completion)");
  const Json* prompt = find_member(object, "prompt");
  if (prompt != nullptr && prompt->is_object() && prompt->contains("0")) {
    return "this is a table written by columns; pandas writes rows with to_json('NEW.jsonl', orient='records', "
           "lines=True, force_ascii=False)";
  }
  return "";
}

// Capybara's `conversation`: a question and its answer in each entry.
bool is_list_of_exchanges(const Json& list) {
  return list.is_array() && !list.empty() && std::ranges::all_of(list, [](const Json& entry) {
           return entry.is_object() && entry.contains("input") && entry.contains("output");
         });
}

// Of an object that is no known kind of record.
std::string advice_for(const Json& object, bool of_array) {
  const auto has = [&](std::string_view key) { return find_member(object, key) != nullptr; };
  if (std::string advice = advice_for_other_keys(object); !advice.empty()) return advice;
  if (is_prompt_line(object) && !object.contains("response")) {
    return "a line of prompts cannot be trained on, annotated or scored: it has no 'response'; an answer of another "
           "name gets this one with " +
           jq(".response = .NAME | del(.NAME)");
  }
  if (has("message_id") && has("role") && has("text")) {
    return "this is one message of OpenAssistant: whole trees are read, which are in its files that end in "
           ".trees.jsonl.gz";
  }
  for (const char* key : {"conversations", "messages", "prompt", "response", "response_1", "response1", "response2",
                          "chosen", "rejected"}) {
    if (object.contains(key) && object[key].is_null())
      return std::string("'") + key + "' is null, which is the same as missing: leave the record out, or fill it in";
  }
  // A key that is spelled as a format has it is not the mistake.
  const std::vector<std::string> names{"conversations", "messages", "prompt", "response", "chosen", "rejected"};
  const std::vector<std::string> others{"response_1", "response_2", "response1", "response2", "responses"};
  for (const auto& [key, member] : object.items()) {
    if (std::ranges::find(names, key) != names.end() || std::ranges::find(others, key) != others.end()) continue;
    if (is_list_of_exchanges(member)) {
      return "make a record of it: " + jq(". + {messages: [.[\"" + key +
                                          "\"][] | {role: \"user\", content: .input}, {role: \"assistant\", content: "
                                          ".output}]} | del(.[\"" +
                                          key + "\"])");
    }
    if (std::string advice = suggest(key, names); !advice.empty()) return advice;
  }
  const auto is_record = [](const Json& entry) { return detect_format(entry).has_value(); };
  for (const auto& [key, member] : object.items()) {
    if (member.is_array() && std::ranges::any_of(member, is_record))
      return "if the records are in '" + key + "', take them out: jq -c '.[\"" + key + "\"][]' FILE > NEW.jsonl";
  }
  if (has("role") && has("content")) {
    return std::string("this is one message; if the file is one conversation: jq -c -n '{messages: ") +
           (of_array ? "input" : "[inputs]") + "}' FILE > NEW.jsonl";
  }
  if (has("text")) {
    return "for `template: {name: plain}`, which trains texts: " +
           jq("{conversations: [{from: \"User\", value: .text}]}");
  }
  return "docs/data.md says which keys each kind of record has";
}

}  // namespace

Error unrecognised(const InputObject& object, const std::string& where) {
  const Json& value = object.value;
  Fault fault{
      .what = "no known kind of record",
      .where = where,
      .found = kind_of(value),
      .expected =
          "'conversations', 'messages', 'prompt' with 'response', 'chosen' with 'rejected', or an OpenAssistant tree"};
  if (value.is_object()) {
    std::vector<std::string> keys;
    for (const auto& [key, member] : value.items()) keys.push_back("'" + key + "'");
    fault.found = keys.empty() ? "an empty object" : (keys.size() == 1 ? "the key " : "the keys ") + join(keys);
    fault.advice = advice_for(value, object.container.array);
  } else if (value.is_array() && !value.empty() && value.front().is_object() && value.front().contains("content")) {
    fault.advice = "if this is the list of a conversation's messages: " + jq("{messages: .}");
  }
  return {ExitCode::data, std::move(fault)};
}

Error fitted(const Error& error, const Container& container) {
  std::vector<Fault> faults = error.faults();
  for (Fault& fault : faults) {
    std::string& advice = fault.advice;
    if (container.array) {
      replace_all(advice, "jq -c '", "jq -c '.[] | ");
      replace_all(advice, "map(json.loads, sys.stdin)", "json.load(sys.stdin)");
    }
    if (container.unpacker.empty()) continue;
    for (const std::string program : {"jq -c ", "python3 -c ", "sed '"})
      replace_all(advice, program, unpacking(container.unpacker) + "FILE | " + program);
    replace_all(advice, " < FILE > NEW.jsonl", " > NEW.jsonl");
    replace_all(advice, " FILE > NEW.jsonl", " > NEW.jsonl");
  }
  return {error.code(), std::move(faults)};
}

}  // namespace steerlm
