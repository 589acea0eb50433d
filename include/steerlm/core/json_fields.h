// The fields of one JSON object in a file of a model folder, each of its type.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "steerlm/core/fields.h"
#include "steerlm/core/json.h"
#include "steerlm/core/suggest.h"

namespace steerlm {

// A JSON integer from `min` to `max`.
std::optional<std::int64_t> as_integer(const Json& value, std::int64_t min, std::int64_t max);

// For messages: as one line, cut where it is longer than `most` bytes.
std::string shortened_json(const Json& value, size_t most = 200);

// Throws model for the keys of an object in a model folder that are not `known`, all of them at once: they might change
// `what`, "what the model computes" say. A key that is null is as good as missing.
void refuse_unknown_keys(const Json& json, const std::string& where, const std::string& what,
                         const std::function<bool(const std::string& key)>& known);

// A key with the value null is the same as no key, but for has(). Every member that reads notes the key as known, for
// end(). Whatever is not as asked for is thrown as model.
class JsonFields {
 public:
  // `name`: what messages call the object where `where` is a file with many ("the pre-tokenizer Split").
  JsonFields(const Json& json, std::string where, std::string name = "");

  const Json& json() const { return json_; }
  const std::string& where() const { return where_; }
  bool has(const char* key) const { return json_.contains(key); }  // null counts

  // nullptr: not there, or null.
  const Json* find(const char* key);
  const Json& require(const char* key);
  // Without `otherwise` the key must be there.
  std::string text(const char* key, std::optional<std::string> otherwise = std::nullopt);
  bool flag(const char* key, std::optional<bool> otherwise = std::nullopt);
  std::optional<bool> optional_flag(const char* key);
  std::int64_t integer(const char* key, std::int64_t min, std::int64_t max,
                       std::optional<std::int64_t> otherwise = std::nullopt);
  double positive(const char* key, std::optional<double> otherwise = std::nullopt);
  std::optional<double> optional_number(const char* key);  // finite
  // The key changes the computation, and only these values of it are implemented.
  void only(const char* key, const std::vector<Json>& implemented);

  // A visitor of an options struct (core/fields.h): value.fields(json_fields) reads its keys. The range and the
  // meaning of a recipe's key are not looked at.
  template <class T, class... Rest>
  void operator()(const char* key, T& value, const Rest&... rest) {
    ((void)rest, ...);
    if (const Json* entry = find(key)) read(key, *entry, value);
  }

  void ignore(std::initializer_list<const char*> keys);  // they change nothing
  void end() const;                                      // refuses the keys that are not known

  [[noreturn]] void refuse(std::string_view what, std::string found = "", std::string expected = "",
                           std::string advice = "") const;  // "the pre-tokenizer Split: what"
  // "'key' (found its value, expected …)"
  [[noreturn]] void refuse_value(const char* key, const Json& found, std::string expected,
                                 std::string advice = "") const;
  [[noreturn]] void refuse_value(const char* key) const;  // a value that is not implemented

 private:
  void read(const char* key, const Json& entry, std::string& value) const;
  void read(const char* key, const Json& entry, bool& value) const;
  void read(const char* key, const Json& entry, std::int64_t& value) const;
  void read(const char* key, const Json& entry, std::vector<std::string>& value) const;
  void read(const char* key, const Json& entry, std::map<std::string, std::int64_t>& value) const;
  template <class E>
  requires std::is_enum_v<E>
  void read(const char* key, const Json& entry, E& value) const {
    std::string text;
    read(key, entry, text);
    const auto choice = enum_value<E>(text);
    if (!choice) refuse_value(key, entry, join(enum_choices<E>(), " or "), suggest(text, enum_choices<E>()));
    value = *choice;
  }

  const Json& json_;
  std::string where_;
  std::string name_;
  std::vector<std::string> known_;
};

}  // namespace steerlm
