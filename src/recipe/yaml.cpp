#include "recipe/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <utility>

#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

// Byte offsets to "name:line:column", columns in characters. The offsets come mostly in order, so it walks on from the
// last one.
class Positions {
 public:
  Positions(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

  std::string at(size_t offset) {
    offset = std::min(offset, text_.size());
    if (offset < at_) at_ = 0, line_ = 1, column_ = 1;
    for (; at_ < offset; ++at_) {
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte == '\n') {
        ++line_;
        column_ = 1;
      } else if ((byte & 0xC0u) != 0x80u) {
        ++column_;
      }
    }
    return name_ + ":" + std::to_string(line_) + ":" + std::to_string(column_);
  }

 private:
  std::string_view text_;
  std::string name_;
  size_t at_ = 0;
  int line_ = 1, column_ = 1;
};

// Builds the tree from yaml-cpp's events and notes what a recipe must not have.
class Builder : public YAML::EventHandler {
 public:
  Builder(std::string_view text, const std::string& name, bool fixed_where, std::vector<Fault>& faults)
      : text_(text), name_(name), fixed_where_(fixed_where), positions_(text, name), faults_(faults) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (!root_) return;
    if (fixed_where_) {
      fail(ExitCode::recipe, {.what = "there is something after the value",
                              .where = name_,
                              .expected = "one value in brackets or quotes",
                              .advice = "a text that begins with a bracket or a quote is quoted as a whole, and for "
                                        "the shell once more: 'KEY=\"…\"'"});
    }
    fail(ExitCode::recipe, {.what = "a second document starts here", .where = where(mark), .expected = "one document"});
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Yaml node = scalar(mark, "null");
    refuse_anchor(anchor, node);
    add(std::move(node));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Yaml node = scalar(mark, "");
    refuse(node, "an alias (*name); recipes have no anchors and aliases", "write the value out");
    add(std::move(node));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Yaml node = scalar(mark, value);
    node.quoted = tag == "!";
    // A quoted scalar has the tag "!" from the parser; a '!' in the text itself is the user's.
    refuse_tag(mark, tag == "!" ? "?" : tag, node);
    refuse_anchor(anchor, node);
    if (node.quoted && !has_closing_quote(static_cast<size_t>(std::max(mark.pos, 0)))) {
      fail(ExitCode::recipe, {.what = "not valid YAML", .where = node.where, .advice = "a closing quote is missing"});
    }
    if (value.find('\0') != std::string::npos) refuse(node, "a NUL character in a text", "");
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, Yaml::Kind::sequence, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, Yaml::Kind::mapping, tag, anchor);
  }
  void OnMapEnd() override { close(); }

  std::optional<Yaml> take_root() { return std::move(root_); }
  std::string where(const YAML::Mark& mark) {
    if (fixed_where_) return name_;
    return positions_.at(mark.pos < 0 ? 0 : static_cast<size_t>(mark.pos));
  }

 private:
  struct Open {
    Yaml node;
    std::set<std::string> keys;                              // of a mapping, seen so far
    std::optional<std::pair<std::string, std::string>> key;  // the key whose value comes next, and where it stands
    bool refused_key = false;                                // that key is refused, its value goes nowhere
  };

  Yaml scalar(const YAML::Mark& mark, std::string value) { return {.text = std::move(value), .where = where(mark)}; }

  void refuse(Yaml& node, std::string what, std::string advice) {
    faults_.push_back({.what = std::move(what), .where = node.where, .advice = std::move(advice)});
    node.kind = Yaml::Kind::refused;
  }
  void refuse_anchor(YAML::anchor_t anchor, Yaml& node) {
    if (anchor != YAML::NullAnchor)
      refuse(node, "an anchor (&name); recipes have no anchors and aliases", "write the value out");
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag, Yaml& node) {
    const auto offset = static_cast<size_t>(std::max(mark.pos, 0));
    const bool written = offset < text_.size() && text_[offset] == '!';
    if (written || (tag != "?" && !tag.empty()))
      refuse(node, "a tag (!type); recipes have no tags", "quote the value if it is a text");
  }

  // The parser takes the end of the text for a closing quote.
  bool has_closing_quote(size_t at) const {
    if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) return true;  // a block scalar
    const char quote = text_[at];
    for (++at; at < text_.size(); ++at) {
      if (quote == '"' && text_[at] == '\\')
        ++at;
      else if (text_[at] == quote && quote == '\'' && text_.substr(at + 1, 1) == "'")
        ++at;
      else if (text_[at] == quote)
        return true;
    }
    return false;
  }

  void open(const YAML::Mark& mark, Yaml::Kind kind, const std::string& tag, YAML::anchor_t anchor) {
    Open next{.node = {.kind = kind, .where = where(mark)}, .keys = {}, .key = {}};
    if (stack_.size() >= static_cast<size_t>(max_recipe_depth)) {
      fail(ExitCode::recipe,
           {.what = "nested deeper than " + std::to_string(max_recipe_depth) + " levels", .where = next.node.where});
    }
    Yaml probe = next.node;
    refuse_tag(mark, tag, probe);
    refuse_anchor(anchor, probe);
    stack_.push_back(std::move(next));
  }
  void close() {
    Yaml node = std::move(stack_.back().node);
    stack_.pop_back();
    add(std::move(node));
  }

  void add(Yaml node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& top = stack_.back();
    if (top.node.kind == Yaml::Kind::sequence) {
      top.node.items.push_back(std::move(node));
    } else if (top.key) {
      if (is_null(node)) node.where = top.key->second;  // the parser puts a missing value where the next token is
      if (!top.refused_key) top.node.entries.push_back({top.key->first, top.key->second, std::move(node)});
      top.key.reset();
    } else {
      add_key(top, node);
    }
  }
  void add_key(Open& top, Yaml& node) {
    const size_t before = faults_.size();
    if (node.kind != Yaml::Kind::refused) {
      if (node.kind != Yaml::Kind::scalar || is_null(node)) {
        refuse(node, "a key must be a word", "");
      } else if (node.text == "<<" && !node.quoted) {
        refuse(node, "a merge key (<<); recipes have no merge keys", "write the keys out");
      } else if (!top.keys.insert(node.text).second) {
        refuse(node, "the key '" + node.text + "' occurs twice", "");
      }
    }
    top.refused_key = faults_.size() != before || node.kind == Yaml::Kind::refused;
    top.key = {node.text, node.where};
  }

  std::string_view text_;
  const std::string& name_;
  bool fixed_where_;
  Positions positions_;
  std::vector<Fault>& faults_;
  std::vector<Open> stack_;
  std::optional<Yaml> root_;
};

// yaml-cpp's messages in words that say what to do: the first part of a message that is found decides.
constexpr std::pair<std::string_view, std::string_view> syntax_advice[] = {
    {"flow not found", "a bracket or a comma between the items is missing, or one is too many"},
    {"flow end", "a bracket or a comma between the items is missing, or one is too many"},
    {"end of", "check the indentation, and that each key is followed by ': '"},
    {"map value", "a text with ': ' in it needs quotes; a key needs a line of its own"},
    {"map key", "check the indentation of this key"},
    {"block entry", "check the indentation of this list item"},
    {"EOF in scalar", "a closing quote is missing"},
    {"escape", "an unknown escape inside double quotes; use single quotes"},
    {"hex", "an unknown escape inside double quotes; use single quotes"},
    {"unicode", "an unknown escape inside double quotes; use single quotes"},
    {"anchor", "recipes have no anchors and aliases"},
    {"alias", "recipes have no anchors and aliases"},
    {"tag", "recipes have no tags"},
    {"", "check indentation, quotes and brackets here"}};

// The offset of a tab in the indentation of the line of `offset` or of the one before, where the fault may come from.
std::optional<size_t> tab_in_indentation(std::string_view text, size_t offset) {
  size_t begin = std::min(offset, text.size());
  for (int line = 0; line < 2; ++line) {
    const size_t break_before = begin == 0 ? text.npos : text.rfind('\n', begin - 1);
    const size_t start = break_before == text.npos ? 0 : break_before + 1;
    const size_t first = text.find_first_not_of(' ', start);
    if (first != text.npos && text[first] == '\t') return first;
    if (start == 0) break;
    begin = start - 1;
  }
  return std::nullopt;
}

// The line that ends before `end`, without its line break.
std::string_view line_before(std::string_view text, size_t end) {
  const size_t break_before = end == 0 ? text.npos : text.rfind('\n', end - 1);
  const size_t start = break_before == text.npos ? 0 : break_before + 1;
  return text.substr(start, end - start);
}

// Where the first word of a line ends, behind spaces and dashes of a list; 0 where the line begins otherwise.
size_t end_of_first_word(std::string_view line) {
  const size_t begin = std::min(line.find_first_not_of(" -"), line.size());
  size_t end = begin;
  while (end < line.size() && (std::isalnum(static_cast<unsigned char>(line[end])) != 0 || line[end] == '_')) ++end;
  return end == begin ? 0 : end;
}

// What is wrong where the ':' at `offset` ends the first word of its line, and yet no key: the line goes on with the
// value above it, because it is indented more than that value's key, or because that line lacks the space behind its
// own ':' and is a text as a whole. Nothing where the ':' stands elsewhere.
std::optional<Fault> explain_key(std::string_view text, size_t offset, Positions& positions) {
  const std::string_view line = line_before(text, offset);
  if (line.empty() || end_of_first_word(line) != line.size()) return std::nullopt;
  size_t end = offset - line.size();
  std::string_view above;
  while (end > 0 && above.find_first_not_of(" \r") == above.npos) {
    end -= 1;  // the line break
    above = line_before(text, end);
    end -= above.size();
  }
  const size_t colon = end_of_first_word(above);
  if (colon > 0 && colon + 1 < above.size() && above[colon] == ':' && above[colon + 1] != ' ' &&
      above[colon + 1] != '\r') {
    return Fault{.what = "not valid YAML",
                 .where = positions.at(end + colon),
                 .advice = "a key is followed by ': ', with a space"};
  }
  return Fault{.what = "not valid YAML",
               .where = positions.at(offset),
               .advice = "check the indentation: this line is indented as if it went on with the value above it"};
}

Fault explain_syntax(const std::string& message, char at) {
  if (at == '@' || at == '`' || at == '%') {
    return {.what = "not valid YAML", .advice = std::string("a text that starts with ") + at + " needs quotes"};
  }
  for (const auto& [part, advice] : syntax_advice) {
    if (message.find(part) != std::string::npos) return {.what = "not valid YAML", .advice = std::string(advice)};
  }
  return {.what = "not valid YAML"};
}

void check_bytes(std::string_view text, const std::string& name, bool fixed_where) {
  const auto at = [&](size_t offset) { return fixed_where ? name : Positions(text, name).at(offset); };
  if (text.size() > max_recipe_bytes) {
    fail(ExitCode::recipe, {.what = "the recipe is too large",
                            .where = name,
                            .found = std::to_string(text.size()) + " bytes",
                            .expected = "at most " + std::to_string(max_recipe_bytes)});
  }
  if (const auto bad = find_invalid_utf8(text)) fail(ExitCode::recipe, {.what = "not valid UTF-8", .where = at(*bad)});
  const auto control = std::find_if(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F;
  });
  if (control != text.end()) {
    fail(ExitCode::recipe, {.what = "a control character", .where = at(static_cast<size_t>(control - text.begin()))});
  }
}

std::optional<Yaml> parse(std::string_view text, const std::string& name, bool fixed_where,
                          std::vector<Fault>& faults) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  Builder builder(text, name, fixed_where, faults);
  std::istringstream stream{std::string(text)};
  try {
    check_bytes(text, name, fixed_where);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Error& error) {
    faults.insert(faults.end(), error.faults().begin(), error.faults().end());
    throw Error(ExitCode::recipe, faults);
  } catch (const YAML::Exception& error) {
    const auto offset = static_cast<size_t>(std::max(error.mark.pos, 0));
    Fault fault = explain_syntax(error.msg, offset < text.size() ? text[offset] : '\0');
    fault.where = builder.where(error.mark);
    if (!fixed_where && error.msg.find("map value") != std::string::npos) {
      Positions positions(text, name);
      if (std::optional<Fault> key = explain_key(text, offset, positions)) fault = std::move(*key);
    }
    if (const auto tab = fixed_where ? std::nullopt : tab_in_indentation(text, offset)) {
      fault = {.what = "a tab in the indentation",
               .where = Positions(text, name).at(*tab),
               .advice = "indent with spaces: YAML allows no tabs there"};
    }
    faults.push_back(std::move(fault));
    throw Error(ExitCode::recipe, faults);
  }
  return builder.take_root();
}

}  // namespace

Yaml parse_yaml(std::string_view text, const std::string& name, std::vector<Fault>& faults) {
  std::optional<Yaml> root = parse(text, name, false, faults);
  if (!root || (root->kind == Yaml::Kind::scalar && is_null(*root))) {
    faults.push_back({.what = "the recipe is empty", .where = name});
    throw Error(ExitCode::recipe, faults);
  }
  if (root->kind != Yaml::Kind::mapping) {
    faults.push_back({.what = "a recipe is a list of keys and values",
                      .where = root->where,
                      .found = root->kind == Yaml::Kind::sequence ? "a list" : "a single value"});
    throw Error(ExitCode::recipe, faults);
  }
  return std::move(*root);
}

Yaml parse_yaml_value(std::string_view text, const std::string& where, std::vector<Fault>& faults) {
  std::optional<Yaml> root = parse(text, where, true, faults);
  return root ? std::move(*root) : Yaml{.text = "null", .where = where};
}

bool is_null(const Yaml& node) {
  if (node.kind != Yaml::Kind::scalar || node.quoted) return false;
  return node.text.empty() || node.text == "~" || node.text == "null" || node.text == "Null" || node.text == "NULL";
}

bool looks_like_integer(std::string_view text) {
  static const std::regex pattern("[-+]?(0|[1-9][0-9]*)");
  return text.size() <= 64 && std::regex_match(text.begin(), text.end(), pattern);
}

bool looks_like_number(std::string_view text) {
  static const std::regex pattern("[-+]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][-+]?[0-9]+)?");
  return text.size() <= 64 && std::regex_match(text.begin(), text.end(), pattern);
}

const Yaml* find(const Yaml& mapping, std::string_view key) {
  for (const YamlEntry& entry : mapping.entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

Yaml* find(Yaml& mapping, std::string_view key) { return const_cast<Yaml*>(find(std::as_const(mapping), key)); }

const Yaml* find_path(const Yaml& root, std::string_view path) {
  const size_t dot = path.find('.');
  const Yaml* node = find(root, path.substr(0, dot));
  return node == nullptr || dot == std::string_view::npos ? node : find_path(*node, path.substr(dot + 1));
}

const std::string& where_of(const Yaml& root, std::string_view path) {
  const size_t dot = path.find('.');
  const Yaml* node = find(root, path.substr(0, dot));
  if (node == nullptr) return root.where;
  return dot == std::string_view::npos ? node->where : where_of(*node, path.substr(dot + 1));
}

Yaml make_text(std::string text, std::string where) {
  return {.text = std::move(text), .quoted = true, .where = std::move(where)};
}

}  // namespace steerlm
