// The fields of one JSON object of a tokenizer's file, each read once and of its type; what nobody asked for is a
// fault.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "steerlm/core/json.h"

namespace steerlm {

class JsonFields {
 public:
  // `name`: of the object, for messages ("the pre-tokenizer Split"). Throws model, at `where`, as all members do.
  JsonFields(const Json& json, std::string name, const std::string& where);

  // nullptr: not there, or null.
  const Json* find(const char* key);
  const Json& require(const char* key);
  std::string text(const char* key);
  std::string text_or(const char* key, std::string fallback);
  bool flag(const char* key, bool fallback);
  std::int64_t integer(const char* key);
  void ignore(std::initializer_list<const char*> keys);  // they change no ids
  void end() const;                                      // refuses the keys that were not read

  [[noreturn]] void refuse(std::string_view what) const;  // "the pre-tokenizer Split: what"
  [[noreturn]] void refuse_value(const char* key) const;  // a value that is not implemented

 private:
  const Json& json_;
  std::string name_;
  const std::string& where_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace steerlm
