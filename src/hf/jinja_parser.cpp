// The order of operations is that of jinja2 3.1, parser.py.
#include <charconv>
#include <optional>

#include "hf/jinja.h"
#include "hf/jinja_lexer.h"

namespace steerlm::jinja {
namespace {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  std::vector<Statement> run() {
    std::string ended_by;
    std::vector<Statement> statements = body(ended_by);
    if (!ended_by.empty()) throw Unreadable("'" + ended_by + "' without its beginning");
    return statements;
  }

 private:
  using Kind = Expression::Kind;

  // ---- statements ----

  // Up to the tag that ends it (endif, else, elif, …), which is consumed; "": the end of the template.
  std::vector<Statement> body(std::string& ended_by) {
    const Nesting nesting(*this);
    std::vector<Statement> statements;
    ended_by.clear();
    while (at_ < tokens_.size()) {
      const Token token = tokens_[at_++];
      if (token.kind == Token::Kind::text) {
        statements.push_back({.kind = Statement::Kind::text, .text = token.text});
      } else if (token.text == "{{") {
        statements.push_back({.kind = Statement::Kind::output, .expressions = {expression()}});
        expect_end();
      } else {
        const std::string tag = name();
        if (tag.starts_with("end") || tag == "else" || tag == "elif") {
          ended_by = tag;
          return statements;
        }
        statement(tag, statements);
      }
    }
    return statements;
  }
  void statement(const std::string& tag, std::vector<Statement>& statements) {
    if (tag == "if") return statements.push_back(branch());
    if (tag == "for") return statements.push_back(loop());
    if (tag == "set") return statements.push_back(set());
    if (tag == "macro") return macro();
    if (tag == "generation") {  // marks what an assistant writes
      expect_end();
      std::string ended_by;
      for (Statement& inner : body(ended_by)) statements.push_back(std::move(inner));
      return close(ended_by, "endgeneration");
    }
    throw Unreadable("the tag '" + tag + "'");
  }
  Statement branch() {
    Statement made{.kind = Statement::Kind::branch};
    std::string ended_by = "elif";
    while (ended_by == "elif") {
      made.expressions.push_back(expression());
      expect_end();
      made.bodies.push_back(body(ended_by));
    }
    if (ended_by == "else") {
      expect_end();
      made.bodies.push_back(body(ended_by));
    }
    close(ended_by, "endif");
    return made;
  }
  Statement loop() {
    Statement made{.kind = Statement::Kind::loop, .text = name()};
    while (take(",")) made.text += "," + name();
    if (name() != "in") throw Unreadable("a loop without 'in'");
    made.expressions.push_back(condition(false));
    if (take_name("if")) made.expressions.push_back(expression());
    expect_end();
    std::string ended_by;
    made.bodies.push_back(body(ended_by));
    if (ended_by == "else") {
      expect_end();
      made.bodies.push_back(body(ended_by));
    }
    close(ended_by, "endfor");
    return made;
  }
  Statement set() {
    Statement made{.kind = Statement::Kind::set, .text = name()};
    if (take(".")) made.member = name();
    if (take("=")) {
      made.expressions.push_back(expression());
      expect_end();
      return made;
    }
    made.kind = Statement::Kind::set_block;
    expect_end();
    std::string ended_by;
    made.bodies.push_back(body(ended_by));
    close(ended_by, "endset");
    return made;
  }
  // Its definition writes nothing; a call of it is not readable.
  void macro() {
    while (at_ < tokens_.size() && tokens_[at_].kind != Token::Kind::end) ++at_;
    expect_end();
    std::string ended_by;
    body(ended_by);
    close(ended_by, "endmacro");
  }
  void close(const std::string& ended_by, const std::string& expected) {
    if (ended_by != expected) throw Unreadable("no '" + expected + "'");
    expect_end();
  }
  void expect_end() {
    if (at_ >= tokens_.size() || tokens_[at_].kind != Token::Kind::end)
      throw Unreadable("a block that does not end where it should");
    ++at_;
  }

  // ---- expressions, from the loosest to the tightest ----

  Expression expression() { return condition(true); }
  Expression condition(bool allowed) {
    const Nesting nesting(*this);
    Expression value = either();
    while (allowed && take_name("if")) {
      Expression test = either();
      Expression otherwise{.kind = Kind::name, .text = ""};  // undefined
      if (take_name("else")) otherwise = condition(true);
      value = {.kind = Kind::condition, .parts = {std::move(test), std::move(value), std::move(otherwise)}};
    }
    return value;
  }
  Expression either() {
    Expression left = both();
    while (take_name("or")) left = binary("or", std::move(left), both());
    return left;
  }
  Expression both() {
    Expression left = negation();
    while (take_name("and")) left = binary("and", std::move(left), negation());
    return left;
  }
  Expression negation() {
    const Nesting nesting(*this);
    if (take_name("not")) return {.kind = Kind::unary, .text = "not", .parts = {negation()}};
    return comparison();
  }
  Expression comparison() {
    Expression left = sum();
    for (;;) {
      if (const auto sign = take_any({"==", "!=", "<=", ">=", "<", ">"})) {
        left = binary(*sign, std::move(left), sum());
      } else if (take_name("in")) {
        left = binary("in", std::move(left), sum());
      } else if (is_name("not") && at_ + 1 < tokens_.size() && tokens_[at_ + 1].text == "in") {
        at_ += 2;
        left = {.kind = Kind::unary, .text = "not", .parts = {binary("in", std::move(left), sum())}};
      } else {
        return left;
      }
    }
  }
  Expression sum() {
    Expression left = joined();
    while (const auto sign = take_any({"+", "-"})) left = binary(*sign, std::move(left), joined());
    return left;
  }
  Expression joined() {
    Expression left = product();
    while (take("~")) left = binary("~", std::move(left), product());
    return left;
  }
  Expression product() {
    Expression left = unary();
    while (const auto sign = take_any({"*", "/", "//", "%"})) left = binary(*sign, std::move(left), unary());
    return left;
  }
  Expression unary() {
    const Nesting nesting(*this);
    if (take("-")) return {.kind = Kind::unary, .text = "-", .parts = {unary()}};
    return filtered(postfix(primary()));
  }
  Expression primary() {
    if (at_ >= tokens_.size()) throw Unreadable("an expression without an end");
    const Token token = tokens_[at_++];
    if (token.kind == Token::Kind::string) {
      std::string text = token.text;
      while (at_ < tokens_.size() && tokens_[at_].kind == Token::Kind::string) text += tokens_[at_++].text;
      return literal(text);
    }
    if (token.kind == Token::Kind::number) {
      std::int64_t number = 0;
      const char* const end = token.text.data() + token.text.size();
      if (std::from_chars(token.text.data(), end, number).ptr != end) throw Unreadable("the number " + token.text);
      return literal(number);
    }
    if (token.kind == Token::Kind::name) {
      if (token.text == "true" || token.text == "True") return literal(true);
      if (token.text == "false" || token.text == "False") return literal(false);
      if (token.text == "none" || token.text == "None") return literal(nullptr);
      return {.kind = Kind::name, .text = token.text};
    }
    if (token.text == "(") return parenthesis();
    if (token.text == "[") {
      Expression made{.kind = Kind::list};
      until("]", [&] { made.parts.push_back(expression()); });
      return made;
    }
    if (token.text == "{") {
      Expression made{.kind = Kind::map};
      until("}", [&] {
        made.parts.push_back(expression());
        require(":");
        made.parts.push_back(expression());
      });
      return made;
    }
    throw Unreadable("'" + token.text + "' in an expression");
  }
  Expression parenthesis() {
    Expression made{.kind = Kind::list};
    bool comma = false;
    while (!take(")")) {
      made.parts.push_back(expression());
      if (take(","))
        comma = true;
      else if (!is_sign(")"))
        throw Unreadable("brackets that do not end");
    }
    if (made.parts.size() == 1 && !comma) {
      Expression inner = std::move(made.parts[0]);
      return inner;
    }
    return made;
  }
  Expression postfix(Expression value) {
    for (;;) {
      if (take(".")) {
        const std::string member =
            at_ < tokens_.size() && tokens_[at_].kind == Token::Kind::number ? tokens_[at_++].text : name();
        value = {.kind = Kind::member, .text = member, .parts = {std::move(value)}};
      } else if (take("[")) {
        value = subscript(std::move(value));
      } else if (take("(")) {
        value = {.kind = Kind::call, .parts = {std::move(value)}};
        arguments(value);
      } else {
        return value;
      }
    }
  }
  Expression subscript(Expression value) {
    Expression made{.kind = Kind::slice, .parts = {std::move(value)}};
    const auto part = [&] { made.parts.push_back(is_sign(":") || is_sign("]") ? literal(nullptr) : expression()); };
    part();
    if (take("]")) {
      made.kind = Kind::item;
      return made;
    }
    while (take(":")) part();
    require("]");
    made.parts.resize(4, literal(nullptr));
    return made;
  }
  // Filters and tests bind as tightly as a subscript.
  Expression filtered(Expression value) {
    for (;;) {
      if (take("|")) {
        value = {.kind = Kind::filter, .text = name(), .parts = {std::move(value)}};
        if (take("(")) arguments(value);
      } else if (take_name("is")) {
        const bool negated = take_name("not");
        value = {.kind = Kind::test, .text = name(), .parts = {std::move(value)}};
        if (take("(")) {
          arguments(value);
        } else if (at_ < tokens_.size() &&
                   (tokens_[at_].kind == Token::Kind::string || tokens_[at_].kind == Token::Kind::number)) {
          value.parts.push_back(postfix(primary()));
        }
        if (negated) value = {.kind = Kind::unary, .text = "not", .parts = {std::move(value)}};
      } else {
        return value;
      }
    }
  }
  void arguments(Expression& call) {
    until(")", [&] {
      if (at_ + 1 < tokens_.size() && tokens_[at_].kind == Token::Kind::name && tokens_[at_ + 1].text == "=" &&
          tokens_[at_ + 1].kind == Token::Kind::sign) {
        call.keys.push_back(name());
        ++at_;
      } else if (!call.keys.empty()) {
        throw Unreadable("an argument without a name behind one with");
      }
      call.parts.push_back(expression());
    });
  }
  void until(std::string_view end, const auto& item) {
    while (!take(end)) {
      item();
      if (!take(",") && !is_sign(end)) throw Unreadable("a list that does not end");
    }
  }

  static Expression literal(Json value) { return {.kind = Kind::literal, .value = std::move(value)}; }
  static Expression binary(std::string sign, Expression left, Expression right) {
    return {.kind = Kind::binary, .text = std::move(sign), .parts = {std::move(left), std::move(right)}};
  }
  std::string name() {
    if (at_ >= tokens_.size() || tokens_[at_].kind != Token::Kind::name) throw Unreadable("a name is missing");
    return tokens_[at_++].text;
  }
  bool is_name(std::string_view text) const {
    return at_ < tokens_.size() && tokens_[at_].kind == Token::Kind::name && tokens_[at_].text == text;
  }
  bool is_sign(std::string_view text) const {
    return at_ < tokens_.size() && tokens_[at_].kind == Token::Kind::sign && tokens_[at_].text == text;
  }
  bool take_name(std::string_view text) { return is_name(text) && ++at_ > 0; }
  bool take(std::string_view text) { return is_sign(text) && ++at_ > 0; }
  std::optional<std::string> take_any(std::initializer_list<std::string_view> signs) {
    for (const std::string_view sign : signs) {
      if (take(sign)) return std::string(sign);
    }
    return std::nullopt;
  }
  void require(std::string_view sign) {
    if (!take(sign)) throw Unreadable("no '" + std::string(sign) + "'");
  }

  // A hostile template must not exhaust the stack.
  struct Nesting {
    explicit Nesting(Parser& parser) : depth(parser.depth_) {
      if (++depth > 100) throw Unreadable("it is nested too deeply");
    }
    ~Nesting() { --depth; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    int& depth;
  };

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

std::vector<Statement> parse(std::string_view source) { return Parser(tokens_of(source)).run(); }

}  // namespace steerlm::jinja
