#include "steerlm/hf/chat_template_reading.h"

#include <algorithm>
#include <array>

#include "hf/folder_json.h"
#include "hf/jinja.h"
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
// Spaces at the ends, and reasoning, which some templates take off.
constexpr std::string_view spaced_question = " \nWhy?\n ", reasoned_answer = "<think>\nwhy\n</think>\n\nBecause.";

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
  std::string system(const std::string& prompt) const { return prompt.empty() ? "" : turn("system", prompt); }

  // The system prompt at the front of `text`, which is taken off; "" where there is none.
  std::string take_system(std::string& text) const {
    const std::string begin = open("system");
    const size_t end = text.find(close());
    if (!text.starts_with(begin) || end == text.npos) return "";
    const std::string prompt = text.substr(begin.size(), end - begin.size());
    text.erase(0, end + close().size());
    return prompt;
  }
};

std::string quoted(const std::string& text) { return dump_json(text); }

// `begin`: how it begins an answer. What differs when the template is given a system prompt, more turns, texts with
// spaces.
void compare(Probe& probe, const Writer& writer, const std::string& own_system, const std::string& begin,
             ChatTemplateReading& reading) {
  const auto differs = [&](const Json& messages, bool prompt, const std::string& expected, const std::string& phrase) {
    try {
      if (probe.render(messages, prompt) != expected) reading.differences.push_back(phrase);
    } catch (const jinja::Refused&) {
      reading.differences.push_back(phrase);
    } catch (const jinja::Unreadable& error) {
      reading.differences.push_back("cannot be read as a whole (" + std::string(error.what()) + ")");
    }
  };
  const std::string system = writer.system(own_system);
  const std::string first = system + writer.turn("user", question);

  std::string given = "does not take a system prompt";
  try {
    std::string text = probe.render(Json::array({message("system", system_probe), message("user", question)}), true);
    const std::string prompt = writer.take_system(text);
    const size_t at = prompt.find(system_probe);
    if (prompt == system_probe && text == writer.turn("user", question) + begin)
      given.clear();
    else if (at != prompt.npos && text == writer.turn("user", question) + begin)
      given = "puts " + quoted(prompt.substr(0, at) + "…" + prompt.substr(at + system_probe.size())) +
              " around a system prompt that is given";
    else
      given = "writes a system prompt that is given in another way";
  } catch (const std::runtime_error&) {
  }
  if (!given.empty()) reading.differences.push_back(given);

  differs(Json::array({message("user", question), message("assistant", answer), message("user", next_question)}), true,
          first + writer.turn("assistant", answer) + writer.turn("user", next_question) + begin,
          "writes earlier answers in another way");
  differs(Json::array({message("user", question), message("assistant", answer)}), false,
          first + writer.turn("assistant", answer), "writes the last answer of a conversation in another way");
  differs(Json::array({message("user", spaced_question)}), true, system + writer.turn("user", spaced_question) + begin,
          "takes spaces off the ends of texts");
  differs(
      Json::array({message("user", question), message("assistant", reasoned_answer), message("user", next_question)}),
      true, first + writer.turn("assistant", reasoned_answer) + writer.turn("user", next_question) + begin,
      "leaves <think>…</think> out of earlier answers");
}

// Whether it writes the turns of `name`; then `reading` says how well.
bool reads_as(TemplateName name, std::string_view source, const Tokenizer& tokenizer, ChatTemplateReading& reading) {
  const Writer writer{*turn_layout(name)};
  try {
    Probe probe(source, tokenizer);
    std::string text = probe.render(Json::array({message("user", question)}), true);
    const bool writes_bos = probe.writes_bos();
    const std::string system = writer.take_system(text);
    const std::string prompt = writer.turn("user", question) + writer.open("assistant");
    if (!text.starts_with(prompt)) return false;
    reading.system = system;
    if (text.size() > prompt.size())
      reading.differences.push_back("begins an answer with " + quoted(text.substr(prompt.size())));
    if (writes_bos != tokenizer.add_bos())
      reading.differences.push_back(writes_bos ? "begins with BOS, which the tokenizer does not add"
                                               : "does not begin with BOS, which the tokenizer adds");
    if (source.find("strftime_now") != source.npos)
      reading.differences.push_back("may name the day's date, in place of which the one that it falls back to is used");
    compare(probe, writer, system, text.substr(writer.turn("user", question).size()), reading);
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
  std::string file = "chat_template.jinja";
  std::error_code error;
  if (std::filesystem::exists(folder / file, error)) {
    source = read_file(folder / file, ExitCode::model, "chat template");
  } else {
    for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
      file = name;
      if (!std::filesystem::exists(folder / file, error)) continue;
      const Json json = read_folder_json(folder / file, "tokenizer files");
      if (!json.is_object() || !json.contains("chat_template")) continue;
      source = named_default(json["chat_template"], (folder / file).string());
      if (!source && !json["chat_template"].is_null())
        return ChatTemplateReading{.file = (folder / file).string(),
                                   .kind = "several templates, none of them named default"};
      if (source) break;
    }
  }
  if (!source || source->empty()) return std::nullopt;
  if (source->size() > largest || find_invalid_utf8(*source)) {
    fail(ExitCode::model, {.what = "a chat template that is too large or not valid UTF-8",
                           .where = (folder / file).string(),
                           .expected = "at most 1 MiB"});
  }
  ChatTemplateReading reading = read_chat_template(*source, tokenizer);
  reading.file = (folder / file).string();
  return reading;
}

}  // namespace steerlm
