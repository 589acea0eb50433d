// What the statements of a chat template write: values as Python and Jinja have them.
#include <algorithm>
#include <map>
#include <optional>

#include "hf/jinja.h"

namespace steerlm::jinja {
namespace {

constexpr std::int64_t most_steps = 100'000;
constexpr size_t longest_text = 1 << 20;
constexpr std::string_view spaces = " \t\r\n\v\f";

const Json undefined(Json::value_t::discarded);
bool is_undefined(const Json& value) { return value.is_discarded(); }

void check_length(const std::string& text) {
  if (text.size() > longest_text) throw Unreadable("it writes too much");
}

// Lists and objects of a hostile template must not grow without bound, nor nest so deeply that copying them fails.
void check_size(const Json& value, int depth, std::int64_t& entries) {
  if (depth > 20 || ++entries > 100'000) throw Unreadable("it makes too large a list");
  if (!value.is_structured()) return;
  for (const Json& entry : value) check_size(entry, depth + 1, entries);
}
Json checked(Json value) {
  std::int64_t entries = 0;
  check_size(value, 0, entries);
  return value;
}

std::string kind_of(const Json& value) {
  if (is_undefined(value)) return "nothing";
  return value.is_null() ? "none" : value.type_name();
}

bool truth(const Json& value) {
  if (is_undefined(value) || value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return value.get<std::int64_t>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

const std::string& text_of(const Json& value) {
  if (!value.is_string()) throw Unreadable("an operation on a text, where there is " + kind_of(value));
  return value.get_ref<const std::string&>();
}
std::int64_t number_of(const Json& value) {
  if (!value.is_number_integer()) throw Unreadable("an operation on a number, where there is " + kind_of(value));
  return value.get<std::int64_t>();
}

// As it is written out, and as ~ joins it.
std::string written(const Json& value) {
  if (is_undefined(value)) return "";
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number_integer()) return std::to_string(value.get<std::int64_t>());
  if (value.is_string()) return value.get<std::string>();
  throw Unreadable("a list or an object that is written out");
}

bool equal(const Json& a, const Json& b) {
  if (is_undefined(a) || is_undefined(b)) return is_undefined(a) && is_undefined(b);
  return a == b;
}

std::string strip(std::string text, std::string_view characters, bool left, bool right) {
  if (right) text.erase(text.find_last_not_of(characters) + 1);
  if (left) text.erase(0, std::min(text.find_first_not_of(characters), text.size()));
  return text;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  if (from.empty()) throw Unreadable("a replacement of nothing");
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) {
    text.replace(at, from.size(), to);
    check_length(text);
  }
  return text;
}

Json split(const std::string& text, const std::string& separator) {
  if (separator.empty()) throw Unreadable("a split at nothing");
  Json parts = Json::array();
  for (size_t begin = 0;;) {
    const size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == text.npos) return parts;
    begin = end + separator.size();
  }
}

std::string changed_case(std::string text, const std::string& how) {
  for (size_t i = 0; i < text.size(); ++i) {
    const bool upper = how == "upper" || (how != "lower" && i == 0);
    char& c = text[i];
    if (static_cast<unsigned char>(c) >= 0x80) throw Unreadable("the case of letters that are not ASCII");
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// Python's a[i] of lists and objects; what is not there is undefined.
Json item_of(const Json& value, const Json& index) {
  if (value.is_object() && index.is_string()) {
    const auto found = value.find(index.get_ref<const std::string&>());
    return found == value.end() ? undefined : *found;
  }
  if (value.is_array() && index.is_number_integer()) {
    const auto size = static_cast<std::int64_t>(value.size());
    std::int64_t i = index.get<std::int64_t>();
    if (i < 0) i += size;
    return i < 0 || i >= size ? undefined : value[static_cast<size_t>(i)];
  }
  if (is_undefined(value)) throw Unreadable("a part of something that is not defined");
  if (value.is_string() && index.is_number_integer()) throw Unreadable("a character of a text");
  return undefined;
}

// Python's a[from:to:step]; of texts in ASCII alone, where a byte is a character.
Json slice_of(const Json& value, const Json& from, const Json& to, const Json& by) {
  if (!value.is_array() && !value.is_string()) throw Unreadable("a slice of " + kind_of(value));
  const bool text = value.is_string();
  if (text && std::ranges::any_of(text_of(value), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    throw Unreadable("a slice of a text that is not ASCII");
  const auto size = static_cast<std::int64_t>(text ? text_of(value).size() : value.size());
  const std::int64_t step = by.is_null() ? 1 : number_of(by);
  if (step == 0) throw Unreadable("a slice with step 0");
  const auto bound = [&](const Json& given, std::int64_t otherwise) {
    if (given.is_null()) return otherwise;
    const std::int64_t i = number_of(given) < 0 ? number_of(given) + size : number_of(given);
    return step > 0 ? std::clamp<std::int64_t>(i, 0, size) : std::clamp<std::int64_t>(i, -1, size - 1);
  };
  const std::int64_t begin = bound(from, step > 0 ? 0 : size - 1), end = bound(to, step > 0 ? size : -1);
  std::string characters;
  Json items = Json::array();
  for (std::int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    if (text)
      characters += text_of(value)[static_cast<size_t>(i)];
    else
      items.push_back(value[static_cast<size_t>(i)]);
  }
  return text ? Json(characters) : items;
}

Json items_of(const Json& map) {
  Json items = Json::array();
  for (const auto& [key, value] : map.items()) items.push_back(Json::array({key, value}));
  return items;
}

struct Arguments {
  std::vector<Json> values;  // those without a name
  std::map<std::string, Json> named;

  const Json& at(size_t i) const {
    if (i >= values.size()) throw Unreadable("too few arguments");
    return values[i];
  }
  void only(size_t most) const {
    if (values.size() > most || !named.empty()) throw Unreadable("an argument that is not known");
  }
};

Json call_method(const Json& value, const std::string& name, const Arguments& given) {
  given.only(2);
  if (value.is_string()) {
    const std::string& text = text_of(value);
    if (name == "strip" || name == "lstrip" || name == "rstrip") {
      return strip(text, given.values.empty() ? spaces : std::string_view(text_of(given.at(0))), name != "rstrip",
                   name != "lstrip");
    }
    if (name == "startswith") return text.starts_with(text_of(given.at(0)));
    if (name == "endswith") return text.ends_with(text_of(given.at(0)));
    if (name == "split" && given.values.size() == 1) return split(text, text_of(given.at(0)));
    if (name == "replace") return replaced(text, text_of(given.at(0)), text_of(given.at(1)));
    if (name == "upper" || name == "lower" || name == "capitalize") return changed_case(text, name);
  }
  if (value.is_object()) {
    if (name == "get") {
      Json found = item_of(value, given.at(0));
      if (!is_undefined(found)) return found;
      return given.values.size() > 1 ? given.at(1) : Json(nullptr);
    }
    if (name == "items") return items_of(value);
  }
  throw Unreadable("the method '" + name + "' of " + kind_of(value));
}

Json filtered(const Json& value, const std::string& name, const Arguments& given) {
  if (name == "default" || name == "d") {
    const bool empty_too = given.values.size() > 1 && truth(given.at(1));
    return is_undefined(value) || (empty_too && !truth(value)) ? (given.values.empty() ? Json("") : given.at(0))
                                                               : value;
  }
  given.only(2);
  if (name == "trim")
    return strip(text_of(value), given.values.empty() ? spaces : std::string_view(text_of(given.at(0))), true, true);
  if (name == "length" || name == "count") {
    if (value.is_string()) {  // in characters
      return std::ranges::count_if(text_of(value),
                                   [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
    }
    if (!value.is_array() && !value.is_object()) throw Unreadable("the length of " + kind_of(value));
    return value.size();
  }
  if (name == "string") return written(value);
  if (name == "upper" || name == "lower" || name == "capitalize") return changed_case(text_of(value), name);
  if (name == "replace") return replaced(text_of(value), text_of(given.at(0)), text_of(given.at(1)));
  if (name == "first" && value.is_array()) return item_of(value, 0);
  if (name == "last" && value.is_array()) return item_of(value, -1);
  if (name == "list" && value.is_array()) return value;
  if (name == "items" && value.is_object()) return items_of(value);
  if (name == "join" && value.is_array()) {
    std::string text;
    for (size_t i = 0; i < value.size(); ++i) {
      text += (i > 0 && !given.values.empty() ? text_of(given.at(0)) : "") + written(value[i]);
      check_length(text);
    }
    return text;
  }
  throw Unreadable("the filter '" + name + "'");
}

bool tested(const Json& value, const std::string& name, const Arguments& given) {
  if (name == "defined") return !is_undefined(value);
  if (name == "undefined") return is_undefined(value);
  if (name == "none") return value.is_null();
  if (name == "string") return value.is_string();
  if (name == "mapping") return value.is_object();
  if (name == "sequence" || name == "iterable") return value.is_string() || value.is_array() || value.is_object();
  if (name == "number") return value.is_number() || value.is_boolean();
  if (name == "integer") return value.is_number_integer();
  if (name == "boolean") return value.is_boolean();
  if (name == "true" || name == "false") return value.is_boolean() && value.get<bool>() == (name == "true");
  if (name == "odd" || name == "even") return (number_of(value) % 2 != 0) == (name == "odd");
  if (name == "divisibleby") return number_of(given.at(0)) != 0 && number_of(value) % number_of(given.at(0)) == 0;
  if (name == "equalto" || name == "eq") return equal(value, given.at(0));
  throw Unreadable("the test '" + name + "'");
}

Json computed(const std::string& sign, const Json& a, const Json& b) {
  if (sign == "~") return written(a) + written(b);
  if (sign == "==") return equal(a, b);
  if (sign == "!=") return !equal(a, b);
  if (sign == "in") {
    if (b.is_string()) return text_of(b).find(text_of(a)) != std::string::npos;
    if (b.is_object()) return b.contains(text_of(a));
    if (b.is_array()) return std::ranges::any_of(b, [&](const Json& entry) { return equal(entry, a); });
    throw Unreadable("'in' of " + kind_of(b));
  }
  if (sign == "+" && a.is_string()) return text_of(a) + text_of(b);
  if (sign == "+" && a.is_array() && b.is_array()) {
    Json both = a;
    for (const Json& entry : b) both.push_back(entry);
    return checked(std::move(both));
  }
  const std::int64_t x = number_of(a), y = number_of(b);
  constexpr std::int64_t large = 1'000'000'000;
  if (x > large || x < -large || y > large || y < -large) throw Unreadable("large numbers");
  if (sign == "+") return x + y;
  if (sign == "-") return x - y;
  if (sign == "*") return x * y;
  if (sign == "<") return x < y;
  if (sign == "<=") return x <= y;
  if (sign == ">") return x > y;
  if (sign == ">=") return x >= y;
  if (y == 0) throw Unreadable("a division by zero");
  const std::int64_t remainder = ((x % y) + y) % y;  // Python's, of the divisor's sign where that is positive
  if (y < 0 || sign == "/") throw Unreadable("the division '" + sign + "'");
  return sign == "%" ? remainder : (x - remainder) / y;
}

class Renderer {
 public:
  explicit Renderer(const Json& variables) {
    scopes_.emplace_back();
    for (const auto& [name, value] : variables.items()) scopes_.back()[name] = value;
  }

  std::string run(const std::vector<Statement>& statements) {
    std::string output;
    write(statements, output);
    return output;
  }

 private:
  void write(const std::vector<Statement>& statements, std::string& output) {
    for (const Statement& statement : statements) {
      step();
      check_length(output);
      switch (statement.kind) {
        case Statement::Kind::text:
          output += statement.text;
          break;
        case Statement::Kind::output:
          output += written(value(statement.expressions[0]));
          break;
        case Statement::Kind::set:
          set(statement, value(statement.expressions[0]));
          break;
        case Statement::Kind::set_block: {
          std::string text;
          write(statement.bodies[0], text);
          set(statement, text);
          break;
        }
        case Statement::Kind::branch:
          branch(statement, output);
          break;
        case Statement::Kind::loop:
          loop(statement, output);
          break;
      }
    }
  }
  void branch(const Statement& statement, std::string& output) {
    for (size_t i = 0; i < statement.bodies.size(); ++i) {
      if (i < statement.expressions.size() && !truth(value(statement.expressions[i]))) continue;
      return write(statement.bodies[i], output);
    }
  }
  // A loop has a scope of its own for every item: what is set in it is gone behind it.
  void loop(const Statement& statement, std::string& output) {
    Json items = value(statement.expressions[0]);
    if (is_undefined(items)) items = Json::array();
    if (items.is_object()) {
      Json names = Json::array();
      for (const auto& [key, entry] : items.items()) names.push_back(key);
      items = names;
    }
    if (!items.is_array()) throw Unreadable("a loop over " + kind_of(items));
    if (statement.expressions.size() > 1) {
      Json chosen = Json::array();
      for (const Json& item : items) {
        step();
        scopes_.emplace_back();
        assign(statement.text, item);
        if (truth(value(statement.expressions[1]))) chosen.push_back(item);
        scopes_.pop_back();
      }
      items = chosen;
    }
    if (items.empty() && statement.bodies.size() > 1) return write(statement.bodies[1], output);
    const size_t count = items.size();
    for (size_t i = 0; i < count; ++i) {
      step();
      scopes_.emplace_back();
      assign(statement.text, items[i]);
      Json place = {{"index", i + 1},        {"index0", i},
                    {"revindex", count - i}, {"revindex0", count - i - 1},
                    {"first", i == 0},       {"last", i + 1 == count},
                    {"length", count}};
      if (i > 0) place["previtem"] = items[i - 1];
      if (i + 1 < count) place["nextitem"] = items[i + 1];
      scopes_.back()["loop"] = std::move(place);
      write(statement.bodies[0], output);
      scopes_.pop_back();
    }
  }
  void assign(const std::string& names, const Json& item) {
    if (names.find(',') == names.npos) {
      scopes_.back()[names] = item;
      return;
    }
    const Json parts = split(names, ",");
    if (!item.is_array() || item.size() != parts.size()) throw Unreadable("a loop over pairs that are none");
    for (size_t i = 0; i < parts.size(); ++i) scopes_.back()[text_of(parts[i])] = item[i];
  }
  void set(const Statement& statement, Json value) {
    if (statement.member.empty()) {
      scopes_.back()[statement.text] = std::move(value);
      return;
    }
    Json* space = find(statement.text);
    if (space == nullptr || !space->is_object()) throw Unreadable("'" + statement.text + "' is not a namespace");
    (*space)[statement.member] = std::move(value);
    checked(*space);
  }
  Json* find(const std::string& name) {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return &found->second;
    }
    return nullptr;
  }

  Json value(const Expression& expression) {
    step();
    const auto part = [&](size_t i) { return value(expression.parts[i]); };
    switch (expression.kind) {
      case Expression::Kind::literal:
        return expression.value;
      case Expression::Kind::name: {
        const Json* found = find(expression.text);
        return found == nullptr ? undefined : *found;
      }
      case Expression::Kind::list: {
        Json list = Json::array();
        for (const Expression& entry : expression.parts) list.push_back(value(entry));
        return checked(std::move(list));
      }
      case Expression::Kind::map: {
        Json map = Json::object();
        for (size_t i = 0; i < expression.parts.size(); i += 2) map[text_of(part(i))] = part(i + 1);
        return checked(std::move(map));
      }
      case Expression::Kind::member:
        return item_of(part(0), expression.text);
      case Expression::Kind::item:
        return item_of(part(0), part(1));
      case Expression::Kind::slice:
        return slice_of(part(0), part(1), part(2), part(3));
      case Expression::Kind::call:
        return call(expression);
      case Expression::Kind::filter:
        return filtered(part(0), expression.text, arguments(expression));
      case Expression::Kind::test:
        return tested(part(0), expression.text, arguments(expression));
      case Expression::Kind::unary:
        return expression.text == "not" ? Json(!truth(part(0))) : Json(-number_of(part(0)));
      case Expression::Kind::binary:
        if (expression.text == "and" || expression.text == "or") {
          Json left = part(0);
          return truth(left) == (expression.text == "or") ? left : part(1);
        }
        return bounded(computed(expression.text, part(0), part(1)));
      case Expression::Kind::condition:
        return truth(part(0)) ? part(1) : part(2);
    }
    return undefined;
  }
  // Those behind the first part; the last of them have names.
  Arguments arguments(const Expression& expression) {
    Arguments given;
    const size_t unnamed = expression.parts.size() - expression.keys.size();
    for (size_t i = 1; i < unnamed; ++i) given.values.push_back(value(expression.parts[i]));
    for (size_t i = 0; i < expression.keys.size(); ++i)
      given.named[expression.keys[i]] = value(expression.parts[unnamed + i]);
    return given;
  }
  Json call(const Expression& expression) {
    const Expression& callee = expression.parts[0];
    const Arguments given = arguments(expression);
    if (callee.kind == Expression::Kind::member) return call_method(value(callee.parts[0]), callee.text, given);
    const std::string& name = callee.text;
    if (name == "raise_exception") throw Refused(given.values.empty() ? "" : written(given.at(0)));
    if (name == "namespace" || name == "dict") {
      if (!given.values.empty()) throw Unreadable("an argument without a name");
      Json map = Json::object();
      for (const auto& [key, entry] : given.named) map[key] = entry;
      return checked(std::move(map));
    }
    if (name == "range" && given.named.empty()) {
      const std::int64_t begin = given.values.size() > 1 ? number_of(given.at(0)) : 0;
      const std::int64_t end = number_of(given.at(given.values.size() > 1 ? 1 : 0));
      if (given.values.size() > 2 || end - begin > 1000) throw Unreadable("a range");
      Json numbers = Json::array();
      for (std::int64_t i = begin; i < end; ++i) numbers.push_back(i);
      return numbers;
    }
    throw Unreadable("a call of '" + name + "'");
  }
  static Json bounded(Json value) {
    if (value.is_string()) check_length(value.get_ref<const std::string&>());
    return value;
  }
  void step() {
    if (++steps_ > most_steps) throw Unreadable("it takes too many steps");
  }

  std::vector<std::map<std::string, Json>> scopes_;
  std::int64_t steps_ = 0;
};

}  // namespace

std::string render(const std::vector<Statement>& statements, const Json& variables) {
  return Renderer(variables).run(statements);
}

}  // namespace steerlm::jinja
