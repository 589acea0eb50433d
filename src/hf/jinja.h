// A reader of chat templates: the part of Jinja that works out what a template writes for a conversation of texts. It
// has values, conditions, loops over these values and operations on texts, as Transformers' renderer has them
// (trim_blocks, lstrip_blocks), and nothing else: no attribute of a Python object, no file, no clock, no recursion, and
// a bounded number of steps. A template that needs more is not readable.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/json.h"

namespace steerlm::jinja {

// What the template needs and this reader does not have; the message says it in a few words.
struct Unreadable : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// The template itself refuses the conversation (raise_exception).
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Expression {
  enum class Kind { literal, name, list, map, member, item, slice, call, filter, test, unary, binary, condition };
  Kind kind = Kind::literal;
  std::string text;                 // name, operator, member, filter, test
  Json value;                       // literal
  std::vector<Expression> parts;    // operands; a call: the callee and its arguments
  std::vector<std::string> keys{};  // map: keys are parts too; call, filter: names of the last arguments
};

struct Statement {
  enum class Kind { text, output, set, set_block, branch, loop };
  Kind kind = Kind::text;
  std::string text;                            // text; set: the name; loop: names with ',' between them
  std::string member;                          // set: of a namespace
  std::vector<Expression> expressions;         // output, set: one; branch: one a body, without one: else
  std::vector<std::vector<Statement>> bodies;  // branch; loop: the body, then the else
};

// Throws Unreadable.
std::vector<Statement> parse(std::string_view source);

// What the template writes. `variables`: an object of what the template sees. Throws Unreadable, Refused.
std::string render(const std::vector<Statement>& statements, const Json& variables);

}  // namespace steerlm::jinja
