#include "steerlm/hf/chat_template_reading.h"

#include <algorithm>
#include <array>

#include "hf/folder_json.h"
#include "hf/jinja.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/utf8.h"
#include "steerlm/text/template.h"

namespace steerlm {
namespace {

// Markers of published chat templates that are not ours; the first that occurs names the kind.
struct Kind {
  std::string_view marker, whose;
};
constexpr std::array kinds{Kind{"[INST]", "Mistral's and Llama 2's"},
                           Kind{"<start_of_turn>", "Gemma's"},
                           Kind{"<|turn>", "Gemma's"},
                           Kind{"<|im_sep|>", "Phi-4's"},
                           Kind{"<|im_user|>", "Kimi's"},
                           Kind{"<\xEF\xBD\x9CUser\xEF\xBD\x9C>", "DeepSeek's"},
                           Kind{"<|start_of_role|>", "Granite's"},
                           Kind{"<|START_OF_TURN_TOKEN|>", "Command R's"},
                           Kind{"<|header_start|>", "Llama 4's"},
                           Kind{"<|channel|>", "gpt-oss's"},
                           Kind{"<|end|>", "Phi-3's"},
                           Kind{"<|user|>", "Zephyr's"},
                           Kind{"[|user|]", "EXAONE's"},
                           Kind{"<extra_id_1>", "steerlm's"},
                           Kind{"### Instruction", "Alpaca's"},
                           Kind{"USER:", "Vicuna's"},
                           Kind{"<|im_start|>", "ChatML's"},
                           Kind{"<|start_header_id|>", "Llama 3's"}};

std::string kind_of(std::string_view source) {
  const auto found =
      std::ranges::find_if(kinds, [&](const Kind& kind) { return source.find(kind.marker) != source.npos; });
  if (found == kinds.end()) return "turns without a marker that is known";
  return std::string(found->marker) + ", as " + std::string(found->whose);
}

// The conversations that the template is asked for.
constexpr std::string_view system_probe = "Speak briefly.", question = "Why?", answer = "Because.",
                           next_question = "And then?";
// Reasoning, which some templates take off.
constexpr std::string_view reason = "why", reasoned_answer = "<think>\nwhy\n</think>\n\nBecause.";

Json message(std::string_view role, std::string_view content) { return {{"role", role}, {"content", content}}; }

class Probe {
 public:
  Probe(std::string_view source, const Tokenizer& tokenizer)
      : statements_(jinja::parse(source)),
        bos_(tokenizer.bos_id() < 0 ? "" : tokenizer.piece(tokenizer.bos_id())),
        eos_(tokenizer.eos_id() < 0 ? "" : tokenizer.piece(tokenizer.eos_id())) {}

  // Without BOS at the front; whether it was there is `writes_bos`.
  std::string render(const Json& messages, bool add_generation_prompt) {
    Json variables = {{"messages", messages},
                      {"add_generation_prompt", add_generation_prompt},
                      {"tools", nullptr},
                      {"documents", nullptr}};
    if (!bos_.empty()) variables["bos_token"] = bos_;
    if (!eos_.empty()) variables["eos_token"] = eos_;
    std::string text = jinja::render(statements_, variables);
    writes_bos_ = !bos_.empty() && bos_ != chatml_layout.start && text.starts_with(bos_);
    return writes_bos_ ? text.substr(bos_.size()) : text;
  }
  bool writes_bos() const { return writes_bos_; }

 private:
  std::vector<jinja::Statement> statements_;
  std::string bos_, eos_;
  bool writes_bos_ = false;
};

// The bytes that the program's template writes.
struct Writer {
  const TurnLayout& layout;

  std::string open(std::string_view role) const {
    std::string text(layout.start);
    return text.append(role).append(layout.role_end).append(layout.before);
  }
  std::string close() const { return std::string(layout.end) + std::string(layout.after); }
  std::string turn(std::string_view role, std::string_view value) const {
    return open(role) + std::string(value) + close();
  }

  // The system prompt at the front of `text`, which is taken off; "" of an empty block, nothing where there is none.
  std::optional<std::string> take_system(std::string& text) const {
    const std::string begin = open("system");
    const size_t end = text.find(close());
    if (!text.starts_with(begin) || end == text.npos) return std::nullopt;
    const std::string prompt = text.substr(begin.size(), end - begin.size());
    text.erase(0, end + close().size());
    return prompt;
  }
};

std::string quoted(const std::string& text) { return dump_json(text); }

size_t count(std::string_view text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

// `text` with the last `part` in it as `other`.
std::string with_last(std::string text, std::string_view part, std::string_view other) {
  const size_t at = text.rfind(part);
  return at == text.npos ? text : text.replace(at, part.size(), other);
}

// What a template that writes the turns of the program's does otherwise. Each difference is looked for against what the
// template itself writes of a simpler conversation, so that one is not taken for another.
class Comparison {
 public:
  // `simple`: what it writes of the question alone; `own_system`, `begin`: that before and behind the turn.
  Comparison(Probe& probe, const Writer& writer, std::string simple, std::string own_system, std::string begin,
             ChatTemplateReading& reading)
      : probe_(probe),
        writer_(writer),
        simple_(std::move(simple)),
        own_system_(std::move(own_system)),
        begin_(std::move(begin)),
        reading_(reading) {}

  void compare() {
    given_system();
    const std::string turns = writer_.turn("user", question) + writer_.turn("assistant", answer);
    const std::string prompt = writer_.turn("user", next_question) + begin_;
    const Json ended = Json::array({message("user", question), message("assistant", answer)});
    Json going = ended;
    going.push_back(message("user", next_question));
    const auto whole = render(going, true, "a conversation with an earlier answer");
    const bool same = whole && *whole == own_system_ + turns + prompt;
    if (whole && !same) differs("writes earlier answers in another way");
    auto trained = render(ended, false, "a conversation that ends with an answer");
    if (trained && *trained != own_system_ + turns) {
      differs("writes the last answer of a conversation in another way");
      trained.reset();
    }
    ends_of("user turns", simple_, Json::array({message("user", question)}), 0, true);
    if (whole) ends_of("answers", *whole, going, 1, true);
    if (trained) ends_of("answers", *trained, ended, 1, false);
    if (given_)
      ends_of("system prompts", *given_, Json::array({message("system", system_probe), message("user", question)}), 0,
              true);
    say_ends();
    if (same) longer(turns, prompt);
    empty_text(simple_, Json::array({message("user", question)}), 0);
    if (whole) empty_text(*whole, going, 1);
    if (whole) reasoning(*whole);
  }

 private:
  void differs(const std::string& phrase) {
    if (std::ranges::find(reading_.differences, phrase) == reading_.differences.end())
      reading_.differences.push_back(phrase);
  }
  // Nothing where it does not write the conversation; then `what` names it.
  std::optional<std::string> render(const Json& messages, bool prompt, const std::string& what) {
    try {
      return probe_.render(messages, prompt);
    } catch (const jinja::Refused&) {
      differs("refuses " + what);
    } catch (const jinja::Unreadable& error) {
      differs("cannot be read as a whole (" + std::string(error.what()) + ")");
    }
    return std::nullopt;
  }
  void given_system() {
    auto text =
        render(Json::array({message("system", system_probe), message("user", question)}), true, "a system prompt");
    if (!text) return;
    if (text->find(system_probe) == text->npos) return differs("leaves out a system prompt that is given");
    const std::string written = *text;
    const std::string prompt = writer_.take_system(*text).value_or("");
    const size_t at = prompt.find(system_probe);
    if (at == prompt.npos || *text != writer_.turn("user", question) + begin_)
      return differs("writes a system prompt that is given in another way");
    given_ = written;
    if (prompt != system_probe)
      differs("puts " + quoted(prompt.substr(0, at) + "…" + prompt.substr(at + system_probe.size())) +
              " around a system prompt that is given");
  }
  // `plain`: what it writes of `messages`; the one at `at`, a turn of `role`, then gets spaces and line ends around it.
  void ends_of(const std::string& role, const std::string& plain, Json messages, size_t at, bool prompt) {
    const auto text = messages[at]["content"].get<std::string>();
    if (std::ranges::find(roles_, role) == roles_.end()) roles_.push_back(role);
    const auto known = [&](const std::vector<std::string>& roles) { return !roles.empty() && roles.back() == role; };
    if (known(without_spaces_) || known(without_line_ends_) || known(other_ends_)) return;
    for (const std::string& spaced : {" \n" + text + "\n ", "\n " + text + " \n"}) {
      messages[at]["content"] = spaced;
      const auto written = render(messages, prompt, "a text with spaces at its ends");
      const std::string expected = with_last(plain, text, spaced);
      if (!written) return;
      if (*written == expected) continue;
      std::vector<std::string>& shorter = spaced.starts_with(' ') ? without_spaces_ : without_line_ends_;
      (written->size() < expected.size() ? shorter : other_ends_).push_back(role);
      return;
    }
  }
  void say_ends() {
    const auto names = [&](const std::vector<std::string>& roles) {
      return roles == roles_ ? "texts" : join(roles, " and ");
    };
    if (!without_spaces_.empty()) differs("takes spaces off the ends of " + names(without_spaces_));
    if (!without_line_ends_.empty()) differs("takes line ends off the ends of " + names(without_line_ends_));
    if (!other_ends_.empty()) differs("writes " + names(other_ends_) + " with spaces at their ends in another way");
  }
  // `turns`: a question and its answer; `prompt`: the next one.
  void longer(const std::string& turns, const std::string& prompt) {
    Json messages = Json::array();
    std::string expected;
    for (int i = 0; i < 4; ++i) {
      messages.push_back(message("user", question));
      messages.push_back(message("assistant", answer));
      expected += turns;
    }
    messages.push_back(message("user", next_question));
    expected = own_system_ + expected + prompt;
    const auto text = render(messages, true, "a long conversation");
    if (text && *text != expected) {
      return differs(text->size() < expected.size() ? "leaves out turns of a long conversation"
                                                    : "writes long conversations in another way");
    }
    if (!given_ || !text) return;
    const size_t behind = writer_.turn("user", question).size() + begin_.size();
    const auto with_system = render(Json::array({message("system", system_probe), message("user", question),
                                                 message("assistant", answer), message("user", next_question)}),
                                    true, "a system prompt before an earlier answer");
    if (with_system && *with_system != given_->substr(0, given_->size() - behind) + turns + prompt)
      differs("writes a system prompt before an earlier answer in another way");
  }
  // `plain`: what it writes of `messages`; the one at `at` then is empty.
  void empty_text(const std::string& plain, Json messages, size_t at) {
    const auto text = messages[at]["content"].get<std::string>();
    messages[at]["content"] = "";
    const auto written = render(messages, true, "an empty text");
    if (written && *written != with_last(plain, text, "")) differs("writes empty texts in another way");
  }
  // `whole`: what it writes of the same conversation without reasoning.
  void reasoning(const std::string& whole) {
    const auto text = render(
        Json::array({message("user", question), message("assistant", reasoned_answer), message("user", next_question)}),
        true, "an earlier answer with <think>…</think>");
    if (!text || *text == with_last(whole, answer, reasoned_answer)) return;
    differs(count(*text, reason) > count(whole, reason) ? "writes <think>…</think> of earlier answers in another way"
                                                        : "leaves <think>…</think> out of earlier answers");
  }

  Probe& probe_;
  const Writer& writer_;
  std::string simple_, own_system_, begin_;
  ChatTemplateReading& reading_;
  std::optional<std::string> given_;  // what it writes of a system prompt and the question, where that is as ours
  std::vector<std::string> roles_, without_spaces_, without_line_ends_,
      other_ends_;  // of texts with spaces around them
};

// Whether it writes the turns of `name`; then `reading` says how well.
bool reads_as(TemplateName name, std::string_view source, const Tokenizer& tokenizer, ChatTemplateReading& reading) {
  const Writer writer{*turn_layout(name)};
  try {
    Probe probe(source, tokenizer);
    const std::string simple = probe.render(Json::array({message("user", question)}), true);
    const bool writes_bos = probe.writes_bos();
    std::string text = simple;
    const std::optional<std::string> system = writer.take_system(text);
    const std::string own_system = simple.substr(0, simple.size() - text.size());
    const std::string prompt = writer.turn("user", question) + writer.open("assistant");
    if (!text.starts_with(prompt)) return false;
    reading.system = system.value_or("");
    if (system && system->empty())
      reading.differences.emplace_back("writes an empty system block where no system prompt is given");
    if (text.size() > prompt.size())
      reading.differences.push_back("begins an answer with " + quoted(text.substr(prompt.size())));
    if (writes_bos != tokenizer.add_bos())
      reading.differences.push_back(writes_bos ? "begins with BOS, which the tokenizer does not add"
                                               : "does not begin with BOS, which the tokenizer adds");
    if (source.find("strftime_now") != source.npos)
      reading.differences.push_back("may name the day's date, in place of which the one that it falls back to is used");
    const std::string begin = text.substr(writer.turn("user", question).size());
    Comparison(probe, writer, simple, own_system, begin, reading).compare();
    return true;
  } catch (const jinja::Refused&) {
    return false;
  } catch (const jinja::Unreadable& error) {  // its markers are all that is known of it
    reading.unreadable = error.what();
    return true;
  }
}

std::optional<std::string> named_default(const Json& value, const std::string& where) {
  if (value.is_null()) return std::nullopt;
  if (value.is_string()) return value.get<std::string>();
  const auto refuse = [&]() {
    fail(ExitCode::model, {.what = "'chat_template' is neither a text nor a list of named ones", .where = where});
  };
  if (!value.is_array()) refuse();
  for (const Json& entry : value) {
    if (!entry.is_object() || !entry.value("name", Json()).is_string() || !entry.value("template", Json()).is_string())
      refuse();
    if (entry["name"] == "default") return entry["template"].get<std::string>();
  }
  return std::nullopt;
}

bool has_jinja_file(const Path& folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) return false;
  return std::ranges::any_of(files_of(folder, ExitCode::model),
                             [](const Path& file) { return file.extension() == ".jinja"; });
}

}  // namespace

ChatTemplateReading read_chat_template(std::string_view source, const Tokenizer& tokenizer) {
  for (const TemplateName name : {TemplateName::chatml, TemplateName::llama3}) {
    const std::vector<std::string_view> markers = template_markers(name);
    if (!std::ranges::all_of(markers, [&](std::string_view marker) { return source.find(marker) != source.npos; }))
      continue;
    if (name == TemplateName::chatml && source.find("<|im_sep|>") != source.npos) continue;
    ChatTemplateReading reading;
    const auto missing =
        std::ranges::find_if(markers, [&](std::string_view marker) { return !tokenizer.piece_id(marker); });
    if (missing != markers.end()) {
      reading.kind = kind_of(source) + ", but the tokenizer has no piece " + std::string(*missing);
      return reading;
    }
    if (!reads_as(name, source, tokenizer, reading)) {
      reading.kind = "the markers of " + std::string(enum_name(name)) + " in turns of another form";
      return reading;
    }
    reading.name = name;
    return reading;
  }
  return {.kind = kind_of(source)};
}

std::optional<ChatTemplateReading> read_folder_chat_template(const Path& folder, const Tokenizer& tokenizer) {
  constexpr size_t largest = 1 << 20;
  std::optional<std::string> source;
  std::error_code error;
  const Path named = folder / "additional_chat_templates";  // each a file
  const auto none_is_default = [](const Path& file) {
    return ChatTemplateReading{.file = file.string(), .kind = "several templates, none of them named default"};
  };
  Path file = named / "default.jinja";
  if (!std::filesystem::exists(file, error)) file = folder / "chat_template.jinja";
  if (std::filesystem::exists(file, error)) {
    source = read_file(file, ExitCode::model, "chat template");
  } else if (has_jinja_file(named)) {
    return none_is_default(named);
  } else if (file = folder / "tokenizer_config.json"; std::filesystem::exists(file, error)) {
    const Json json = read_folder_json(file, "tokenizer files");
    if (!json.is_object() || !json.contains("chat_template")) return std::nullopt;
    source = named_default(json["chat_template"], file.string());
    if (!source && !json["chat_template"].is_null()) return none_is_default(file);
  }
  if (!source || source->empty()) return std::nullopt;
  if (source->size() > largest || find_invalid_utf8(*source)) {
    fail(ExitCode::model, {.what = "a chat template that is too large or not valid UTF-8",
                           .where = file.string(),
                           .expected = "at most 1 MiB"});
  }
  ChatTemplateReading reading = read_chat_template(*source, tokenizer);
  reading.file = file.string();
  return reading;
}

}  // namespace steerlm
