#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "steerlm/core/fields.h"

namespace steerlm {

// What weights of a model folder may be stored as: our name, and Hugging Face's in config.json.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 3> dtype_names{
    {{"fp32", "float32"}, {"bf16", "bfloat16"}, {"fp16", "float16"}}};

// What a language model of this program was trained to write: answers, or the labels of answers.
enum class Writes { text, labels };
template <>
struct EnumNames<Writes> {
  static constexpr std::array<std::pair<Writes, std::string_view>, 2> table{
      {{Writes::text, "text"}, {Writes::labels, "labels"}}};
};

// fp32, bf16, fp16.
inline std::vector<std::string> supported_dtypes() {
  std::vector<std::string> names;
  for (const auto& [ours, theirs] : dtype_names) names.emplace_back(ours);
  return names;
}

}  // namespace steerlm
