#include "hf/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "steerlm/core/json.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

// Jinja, Python, the variables of Transformers' renderer, the parameters of apply_chat_template
// (5.24), and the names below.
constexpr std::array<std::string_view, 92> taken_names{"false",
                                                       "true",
                                                       "none",
                                                       "False",
                                                       "True",
                                                       "None",
                                                       "and",
                                                       "or",
                                                       "not",
                                                       "in",
                                                       "is",
                                                       "if",
                                                       "else",
                                                       "elif",
                                                       "endif",
                                                       "for",
                                                       "endfor",
                                                       "set",
                                                       "macro",
                                                       "recursive",
                                                       "import",
                                                       "as",
                                                       "with",
                                                       "without",
                                                       "context",
                                                       "self",
                                                       "loop",
                                                       "varargs",
                                                       "kwargs",
                                                       "caller",
                                                       "super",
                                                       "range",
                                                       "dict",
                                                       "lipsum",
                                                       "cycler",
                                                       "joiner",
                                                       "namespace",
                                                       "raise_exception",
                                                       "strftime_now",
                                                       "assert",
                                                       "async",
                                                       "await",
                                                       "break",
                                                       "class",
                                                       "continue",
                                                       "def",
                                                       "del",
                                                       "except",
                                                       "finally",
                                                       "from",
                                                       "global",
                                                       "lambda",
                                                       "nonlocal",
                                                       "pass",
                                                       "raise",
                                                       "return",
                                                       "try",
                                                       "while",
                                                       "yield",
                                                       "messages",
                                                       "message",
                                                       "conversation",
                                                       "tools",
                                                       "documents",
                                                       "chat_template",
                                                       "add_generation_prompt",
                                                       "continue_final_message",
                                                       "tokenize",
                                                       "sanitize_control_tokens",
                                                       "padding",
                                                       "truncation",
                                                       "max_length",
                                                       "return_tensors",
                                                       "return_dict",
                                                       "return_assistant_tokens_mask",
                                                       "tokenizer_kwargs",
                                                       "template",
                                                       "bos_token",
                                                       "eos_token",
                                                       "unk_token",
                                                       "sep_token",
                                                       "pad_token",
                                                       "cls_token",
                                                       "mask_token",
                                                       "additional_special_tokens",
                                                       "extra_special_tokens",
                                                       "image_token",
                                                       "generation",
                                                       "steerlm_system",
                                                       "steerlm_turns",
                                                       "steerlm_label",
                                                       "steerlm_dial"};

// A Jinja string literal of any text.
std::string literal(std::string_view text) {
  std::string code = "'";
  for (const char c : text) {
    if (c == '\\' || c == '\'') code += '\\';
    if (c == '\n')
      code += "\\n";
    else if (static_cast<unsigned char>(c) < 0x20)
      code += fmt::format("\\x{:02x}", static_cast<int>(c));
    else
      code += c;
  }
  return code + "'";
}

std::string literal(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return literal(text);
}

// Blocks that leave no white space around them, whatever trim_blocks and lstrip_blocks say.
struct Jinja {
  std::string text;

  void statement(const std::string& code) { text += "{%- " + code + " -%}\n"; }
  void output(const std::string& expression) { text += "{{- " + expression + " -}}\n"; }
};

// The texts around system prompt, role, label and value: Jinja expressions.
struct Pieces {
  const TurnLayout* layout;

  std::string system() const {
    if (layout == nullptr) return literal({system_marker, "System\n"}) + " ~ steerlm_system ~ '\\n'";
    return open("'system'") + " ~ steerlm_system ~ " + close();
  }
  std::string open(const std::string& role) const {
    if (layout == nullptr) return literal(turn_marker) + " ~ (" + role + " | capitalize) ~ '\\n'";
    return literal(layout->start) + " ~ " + role + " ~ " + literal({layout->role_end, layout->before});
  }
  std::string label_line(const std::string& label) const {
    return (layout == nullptr ? literal(label_marker) + " ~ " : "") + label + " ~ '\\n'";
  }
  std::string open_label() const { return layout == nullptr ? literal(label_marker) : open("'label'"); }
  std::string close() const { return layout == nullptr ? "'\\n'" : literal({layout->end, layout->after}); }
};

void check_messages(Jinja& jinja) {
  jinja.statement("for message in messages");
  jinja.statement("if message['role'] not in ['user', 'assistant', 'system']");
  jinja.output("raise_exception('the role ' ~ message['role'] ~ ' is not user, assistant or system')");
  jinja.statement("endif");
  jinja.statement("if message['content'] is not string");
  jinja.output("raise_exception('the content of a message is not a text')");
  jinja.statement("endif");
  jinja.statement("endfor");
}

void take_system(Jinja& jinja, const std::string& system) {
  jinja.statement("if messages and messages[0]['role'] == 'system'");
  jinja.statement("set steerlm_system = messages[0]['content']");
  jinja.statement("set steerlm_turns = messages[1:]");
  jinja.statement("else");
  jinja.statement("set steerlm_system = " + literal(system));
  jinja.statement("set steerlm_turns = messages");
  jinja.statement("endif");
}

// steerlm_label: the label line of the dials.
void set_dials(Jinja& jinja, const Attributes& attributes) {
  jinja.statement("macro steerlm_dial(name, value)");
  jinja.statement(fmt::format("if value is not integer or value is boolean or value < {} or value > {}", attributes.min,
                              attributes.max));
  jinja.output(
      fmt::format("raise_exception(name ~ ' is not an integer from {} to {}')", attributes.min, attributes.max));
  jinja.statement("endif");
  jinja.output("name ~ ':' ~ value");
  jinja.statement("endmacro");
  std::string label;
  for (size_t i = 0; i < attributes.names.size(); ++i) {
    const std::string& name = attributes.names[i];
    const std::string value = std::to_string(attributes.defaults[i]);
    label += i > 0 ? " ~ ',' ~ " : "";
    label += "steerlm_dial(" + literal(name) + ", " +
             (is_keyword_dial(name) ? name + " | default(" + value + ")" : value) + ")";
  }
  jinja.statement("set steerlm_label = " + label);
}

void conditioned_turns(Jinja& jinja, const Pieces& pieces, bool dials) {
  jinja.statement("for message in steerlm_turns");
  jinja.output(pieces.open("message['role']"));
  jinja.statement("if message['label'] is string");
  jinja.output(pieces.label_line("message['label']"));
  if (dials) {
    jinja.statement(
        "elif message['role'] == 'assistant' and (message['label'] is not defined or "
        "add_generation_prompt)");
    jinja.output(pieces.label_line("steerlm_label"));
  }
  jinja.statement("endif");
  jinja.output("message['content'] ~ " + pieces.close());
  jinja.statement("endfor");
  jinja.statement("if add_generation_prompt");
  jinja.output(pieces.open("'assistant'") + (dials ? " ~ " + pieces.label_line("steerlm_label") : ""));
  if (pieces.layout == nullptr) {  // a last target ends with the marker of the turn that would follow
    jinja.statement("elif steerlm_turns | length > 1 and steerlm_turns[-1]['role'] == 'assistant'");
    jinja.output(literal(turn_marker));
  }
  jinja.statement("endif");
}

void judged_turns(Jinja& jinja, const Pieces& pieces) {
  jinja.statement("for message in steerlm_turns");
  jinja.output(pieces.open("message['role']") + " ~ message['content'] ~ " + pieces.close());
  jinja.statement("if message['label'] is string and not (loop.last and add_generation_prompt)");
  jinja.output(pieces.open_label() + " ~ message['label'] ~ " + pieces.close());
  jinja.statement("endif");
  jinja.statement("endfor");
  jinja.statement("if add_generation_prompt");
  jinja.output(pieces.open_label());
  if (pieces.layout == nullptr) {
    jinja.statement(
        "elif steerlm_turns and steerlm_turns[-1]['role'] == 'assistant' and "
        "steerlm_turns[-1]['label']");
    jinja.output(literal(turn_marker));
  }
  jinja.statement("endif");
}

void scored_turns(Jinja& jinja, const Pieces& pieces) {
  jinja.statement("for message in steerlm_turns");
  jinja.output(pieces.open("message['role']") + " ~ message['content']");
  if (pieces.layout == nullptr) {
    jinja.output(pieces.close());
  } else {
    jinja.output(literal(pieces.layout->end));
    jinja.statement("if not loop.last");
    jinja.output(literal(pieces.layout->after));
    jinja.statement("endif");
  }
  jinja.statement("endfor");
  if (pieces.layout == nullptr) jinja.output(literal(label_marker));
}

}  // namespace

bool is_keyword_dial(std::string_view name) { return std::ranges::find(taken_names, name) == taken_names.end(); }

std::string chat_template(const ModelFolder& folder, const Tokenizer& tokenizer, bool predictor) {
  const TemplateOptions& options = folder.text_template;
  if (options.name == TemplateName::plain) return "";
  const Pieces pieces{turn_layout(options.name)};
  const Attributes attributes = make_attributes(folder.attributes);
  const bool regression = folder.head.kind == HeadKind::regression;
  const bool dials = attributes.declared() && !predictor && !regression;
  Jinja jinja;
  check_messages(jinja);
  take_system(jinja, options.system);
  if (dials) set_dials(jinja, attributes);
  if (tokenizer.add_bos()) jinja.output(literal(tokenizer.piece(tokenizer.bos_id())));
  if (pieces.layout == nullptr) {
    jinja.output(pieces.system());
  } else {
    jinja.statement("if steerlm_system");
    jinja.output(pieces.system());
    jinja.statement("endif");
  }
  if (regression)
    scored_turns(jinja, pieces);
  else if (predictor)
    judged_turns(jinja, pieces);
  else
    conditioned_turns(jinja, pieces, dials);
  jinja.text.pop_back();
  return jinja.text;
}

void set_chat_template(const Path& folder, const std::string& jinja) {
  const Path path = folder / "tokenizer_config.json";
  Json json = parse_json(read_file(path, ExitCode::model, "tokenizer files"), path.string(), ExitCode::model);
  json.erase("chat_template");
  // Transformers writes "no limit" as an integer of 31 digits, which would become 1e+30 here;
  // without the key it means the same.
  if (json.contains("model_max_length") && json["model_max_length"].is_number_float()) json.erase("model_max_length");
  if (!jinja.empty()) json["chat_template"] = jinja;
  write_file_atomic(path, json.dump(2) + "\n");
}

}  // namespace steerlm
