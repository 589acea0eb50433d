// The keys of a GGUF file, each of its type. Untrusted input.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/store/gguf.h"

namespace steerlm {

// Every member that reads a key notes it as used. Whatever is not as asked for throws model and names file and key.
class GgufKeys {
 public:
  explicit GgufKeys(const GgufFile& file) : file_(file) {}

  const GgufFile& file() const { return file_; }
  std::string where() const { return file_.path().string(); }
  bool has(const std::string& key) const { return file_.find_value(key) != nullptr; }

  std::string text(const std::string& key);  // must be there
  std::optional<std::string> optional_text(const std::string& key);
  // Without `otherwise` the key must be there.
  std::int64_t integer(const std::string& key, std::int64_t min, std::int64_t max,
                       std::optional<std::int64_t> otherwise = std::nullopt);
  std::optional<std::int64_t> optional_integer(const std::string& key, std::int64_t min, std::int64_t max);
  // Above 0. The number that its fp32 value was written from: 1e-05, not 9.99999975e-06.
  double positive(const std::string& key, std::optional<double> otherwise = std::nullopt);
  std::optional<bool> flag(const std::string& key);
  // Arrays that must be there.
  const std::vector<std::string>& texts(const std::string& key);
  const std::vector<std::int32_t>& integers(const std::string& key);
  const std::vector<float>& numbers(const std::string& key);

  // A key that changes what is computed, and is implemented with this value alone (a flag counts as 0 or 1).
  void only(const std::string& key, double implemented);

  // Keys that are there and were not used, in the file's order.
  std::vector<std::string> unused() const;

  [[noreturn]] void refuse(const std::string& key, const std::string& what, std::string found = "",
                           std::string expected = "",
                           std::string advice = "") const;  // "the key 'key' what"

 private:
  const GgufValue* use(const std::string& key);
  template <class T>
  const T& array(const std::string& key, const char* elements);
  std::optional<double> optional_number(const std::string& key);

  const GgufFile& file_;
  std::set<std::string> used_;
};

}  // namespace steerlm
