#include "hf/chat_template.h"

#include <fmt/format.h>

#include "steerlm/core/json.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

// Jinja, Python, the variables of Transformers' renderer, the parameters of apply_chat_template
// (5.24), and the names below.
constexpr std::string_view taken_names =
    " false true none False True None and or not in is if else elif endif for endfor set macro recursive import as "
    "with without context self loop varargs kwargs caller super range dict lipsum cycler joiner namespace "
    "raise_exception strftime_now assert async await break class continue def del except finally from global lambda "
    "nonlocal pass raise return try while yield messages message conversation tools documents chat_template "
    "add_generation_prompt continue_final_message tokenize sanitize_control_tokens padding truncation max_length "
    "return_tensors return_dict return_assistant_tokens_mask tokenizer_kwargs template bos_token eos_token "
    "unk_token sep_token pad_token cls_token mask_token additional_special_tokens extra_special_tokens image_token "
    "generation steerlm_system steerlm_turns steerlm_label steerlm_dial steerlm_cut ";

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

// Blocks that leave no white space around them, whatever trim_blocks and lstrip_blocks say.
struct Jinja {
  std::string text;

  void statement(const std::string& code) { text += "{%- " + code + " -%}\n"; }
  void output(const std::string& expression) { text += "{{- " + expression + " -}}\n"; }
};

// The texts around system prompt, role, label and value: Jinja expressions, with a cut where the program begins a new
// segment.
class Pieces {
 public:
  Pieces(const TemplateOptions& options, bool cuts)
      : layout_(turn_layout(options.name)),
        cut_(cuts ? " ~ steerlm_cut ~ " : " ~ "),
        marker_cut_(layout_ != nullptr || options.special_tokens == SpecialTokens::added ? cut_ : " ~ ") {}

  const TurnLayout* layout() const { return layout_; }
  std::string system() const {
    if (layout_ == nullptr)
      return literal(system_marker) + marker_cut_ + "'System\\n' ~ steerlm_system ~ '\\n'" + last_cut();
    return open("'system'") + " ~ steerlm_system" + cut_ + close();
  }
  std::string open(const std::string& role) const {
    if (layout_ == nullptr) return literal(turn_marker) + cut_ + "(" + role + " | capitalize) ~ '\\n'" + last_cut();
    if (layout_->role_end.empty())
      return literal(layout_->start) + cut_ + role + " ~ " + literal(layout_->before) + last_cut();
    return literal(layout_->start) + cut_ + role + cut_ + literal(layout_->role_end) + cut_ + literal(layout_->before) +
           last_cut();
  }
  std::string label_line(const std::string& label) const {
    return (layout_ == nullptr ? literal(label_marker) + marker_cut_ : "") + label + " ~ '\\n'" + last_cut();
  }
  std::string open_label() const { return layout_ == nullptr ? literal(label_marker) + last_cut() : open("'label'"); }
  // Behind a value.
  std::string value(const std::string& text) const { return text + last_cut(); }
  std::string end() const { return literal(layout_->end) + last_cut(); }
  std::string after() const { return literal(layout_->after) + last_cut(); }
  std::string close() const { return layout_ == nullptr ? "'\\n'" + last_cut() : end() + " ~ " + after(); }
  std::string bare(std::string_view text) const { return literal(text) + last_cut(); }

 private:
  std::string last_cut() const { return cut_ == " ~ " ? "" : " ~ steerlm_cut"; }

  const TurnLayout* layout_;
  std::string cut_;         // between segments
  std::string marker_cut_;  // behind a marker that is a piece; a marker that is text is one segment with what follows
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
  jinja.output(pieces.value("message['content']") + " ~ " + pieces.close());
  jinja.statement("endfor");
  jinja.statement("if add_generation_prompt");
  jinja.output(pieces.open("'assistant'") + (dials ? " ~ " + pieces.label_line("steerlm_label") : ""));
  if (pieces.layout() == nullptr) {  // a last target ends with the marker of the turn that would follow
    jinja.statement("elif steerlm_turns | length > 1 and steerlm_turns[-1]['role'] == 'assistant'");
    jinja.output(pieces.bare(turn_marker));
  }
  jinja.statement("endif");
}

void judged_turns(Jinja& jinja, const Pieces& pieces) {
  jinja.statement("for message in steerlm_turns");
  jinja.output(pieces.open("message['role']") + " ~ " + pieces.value("message['content']") + " ~ " + pieces.close());
  jinja.statement("if message['label'] is string and not (loop.last and add_generation_prompt)");
  jinja.output(pieces.open_label() + " ~ " + pieces.value("message['label']") + " ~ " + pieces.close());
  jinja.statement("endif");
  jinja.statement("endfor");
  jinja.statement("if add_generation_prompt");
  jinja.output(pieces.open_label());
  if (pieces.layout() == nullptr) {
    jinja.statement(
        "elif steerlm_turns and steerlm_turns[-1]['role'] == 'assistant' and "
        "steerlm_turns[-1]['label']");
    jinja.output(pieces.bare(turn_marker));
  }
  jinja.statement("endif");
}

void scored_turns(Jinja& jinja, const Pieces& pieces) {
  jinja.statement("for message in steerlm_turns");
  jinja.output(pieces.open("message['role']") + " ~ " + pieces.value("message['content']"));
  if (pieces.layout() == nullptr) {
    jinja.output(pieces.close());
  } else {
    jinja.output(pieces.end());
    jinja.statement("if not loop.last");
    jinja.output(pieces.after());
    jinja.statement("endif");
  }
  jinja.statement("endfor");
  if (pieces.layout() == nullptr) jinja.output(pieces.bare(label_marker));
}

}  // namespace

bool encodes_segments_alike(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> first, later;
  if (tokenizer.add_bos()) later.push_back(tokenizer.bos_id());
  tokenizer.append_first("a", first);
  tokenizer.append_continuation("a", later);
  return first == later;
}

bool is_keyword_dial(std::string_view name) {
  return taken_names.find(" " + std::string(name) + " ") == taken_names.npos;
}

std::string chat_template(const ModelFolder& folder, const Tokenizer& tokenizer, bool predictor) {
  const TemplateOptions& options = folder.text_template;
  if (options.name == TemplateName::plain) return "";
  const bool cuts = encodes_segments_alike(tokenizer);
  const Pieces pieces(options, cuts);
  const Attributes attributes = make_attributes(folder.attributes);
  const bool regression = folder.head.kind == HeadKind::regression;
  const bool dials = attributes.declared() && !predictor && !regression;
  Jinja jinja;
  check_messages(jinja);
  take_system(jinja, options.system);
  if (cuts) jinja.statement("set steerlm_cut = steerlm_cut | default('')");
  if (dials) set_dials(jinja, attributes);
  if (tokenizer.add_bos()) jinja.output(pieces.bare(tokenizer.piece(tokenizer.bos_id())));
  if (pieces.layout() == nullptr) {
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

void set_chat_template(const Path& folder, const Json& chat_template) {
  const Path path = folder / "tokenizer_config.json";
  Json json = parse_json(read_file(path, ExitCode::model, "tokenizer files"), path.string(), ExitCode::model);
  json.erase("chat_template");
  // Transformers writes "no limit" as an integer of 31 digits, which would become 1e+30 here;
  // without the key it means the same.
  if (json.contains("model_max_length") && json["model_max_length"].is_number_float()) json.erase("model_max_length");
  if (chat_template != Json("")) json["chat_template"] = chat_template;
  write_file_atomic(path, json.dump(2) + "\n");
}

}  // namespace steerlm
