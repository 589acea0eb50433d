#include <algorithm>
#include <cctype>

#include "recipe/yaml.h"

namespace steerlm {
namespace {

// Texts that every YAML reader takes for a text when they stand without quotes.
bool is_plain_text(const std::string& text) {
  if (text.empty()) return false;
  const auto first = static_cast<unsigned char>(text[0]);
  if (std::isalpha(first) == 0 && first != '/' && first != '_' && first != '.') return false;
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_./+=-").find(c) != std::string_view::npos;
  });
  if (!plain || looks_like_number(text)) return false;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  static constexpr std::string_view words[] = {"null", "true", "false", "yes",  "no",  "on",  "off",
                                               "y",    "n",    ".nan",  ".inf", "...", "nan", "inf"};
  return std::find(std::begin(words), std::end(words), lower) == std::end(words);
}

std::string quote(const std::string& text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\x";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string key_text(const std::string& key) { return is_plain_text(key) ? key : quote(key); }

bool is_flow(const Yaml& node) {
  if (node.kind == Yaml::Kind::mapping) return node.entries.empty();
  return std::all_of(node.items.begin(), node.items.end(),
                     [](const Yaml& item) { return item.kind == Yaml::Kind::scalar; });
}

void write_flow(const Yaml& node, std::string& out) {
  if (node.kind == Yaml::Kind::mapping) {
    out += "{}";
    return;
  }
  out += '[';
  for (size_t i = 0; i < node.items.size(); ++i) {
    if (i > 0) out += ", ";
    out += write_scalar(node.items[i]);
  }
  out += ']';
}

// `lead`: what stands before the first line, "" or "- " of a list item.
void write_block(const Yaml& node, size_t indent, std::string_view lead, std::string& out) {
  const auto start_line = [&] {
    out.append(indent - lead.size(), ' ');
    out += lead;
    lead = {};
  };
  if (node.kind == Yaml::Kind::sequence) {
    for (const Yaml& item : node.items) {
      if (item.kind == Yaml::Kind::scalar || is_flow(item)) {
        start_line();
        out += "- ";
        if (item.kind == Yaml::Kind::scalar)
          out += write_scalar(item);
        else
          write_flow(item, out);
        out += '\n';
      } else {
        write_block(item, indent + 2, "- ", out);
      }
    }
    return;
  }
  for (const YamlEntry& entry : node.entries) {
    start_line();
    out += key_text(entry.key);
    out += ':';
    if (entry.value.kind == Yaml::Kind::scalar) {
      out += ' ';
      out += write_scalar(entry.value);
      out += '\n';
    } else if (is_flow(entry.value)) {
      out += ' ';
      write_flow(entry.value, out);
      out += '\n';
    } else {
      out += '\n';
      write_block(entry.value, indent + 2, "", out);
    }
  }
}

}  // namespace

std::string write_scalar(const Yaml& scalar) {
  return scalar.quoted && !is_plain_text(scalar.text) ? quote(scalar.text) : scalar.text;
}

std::string write_yaml(const Yaml& root) {
  std::string out;
  write_block(root, 0, "", out);
  return out;
}

}  // namespace steerlm
