// The keys of a config.json, null being as good as absent where nothing else is said.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/json.h"

namespace steerlm {

// A JSON integer from 0 to `max`.
std::optional<std::int64_t> as_integer(const Json& value, std::int64_t max);
std::string text_of(const Json& value);

class ConfigReader {
 public:
  ConfigReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  [[noreturn]] void refuse(std::string what, std::string found = "", std::string expected = "",
                           std::string advice = "") const;
  bool has(const char* key) const { return json_.contains(key); }  // null counts
  const Json* find(const char* key) const;
  // 1 to `max`; without `otherwise` the key must be there.
  std::int64_t integer(const char* key, std::int64_t max, std::optional<std::int64_t> otherwise = std::nullopt) const;
  double positive(const char* key, std::optional<double> otherwise = std::nullopt) const;
  std::optional<double> optional_number(const char* key) const;
  bool boolean(const char* key, bool otherwise) const;
  // The key changes the computation, and only these values of it are implemented.
  void only(const char* key, const std::vector<Json>& implemented) const;
  const Json& json() const { return json_; }
  const std::string& where() const { return where_; }

 private:
  const Json& json_;
  std::string where_;
};

}  // namespace steerlm
