// The one declaration of an options struct. Each struct has
//   void fields(auto& field) { field("learning_rate", learning_rate, between(0, 1), "step size after warm-up"); … }
// and a default beside each member; decoding, dumping, the schema and the reference page are visitors of it. A visitor
// is called as field(name, storage, range, meaning), field(name, storage, shape, meaning) or field(name, storage,
// meaning). Storage: bool, std::int64_t, double, std::string, an enum with EnumNames, std::array<double, 2>,
// std::optional, std::vector, std::map<std::string, …> of these, or another struct with fields().
#pragma once

#include <array>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace steerlm {

struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool open_min = false;  // min itself is out
  bool open_max = false;  // max itself is out
};

constexpr Range between(double min, double max) { return {min, max}; }
constexpr Range half_open(double min, double max) { return {.min = min, .max = max, .open_max = true}; }
constexpr Range at_least(double min) { return {.min = min}; }
constexpr Range above(double min) { return {.min = min, .open_min = true}; }
// Counts that are multiplied with each other have a largest value, far from where a product would overflow.
namespace largest_count {
constexpr double steps = 1e9, epochs = 1e6, batch = 1e6, samples = 1e4, tokens = 1e6, width = 1e6;
}

// How a recipe may write a value beside its plain form: one item for a list of one, `all` for a list, {path: …} for a
// path, `auto` for a count, which is stored as 0.
enum class Shape { plain, one_or_list, all_or_list, path_or_section, count_or_auto };

// The numbers that a shape brings with it.
constexpr Range range_of(Shape shape) { return shape == Shape::count_or_auto ? at_least(1) : Range{}; }

// Specialised for each enum of a recipe: `static constexpr std::array<std::pair<E, std::string_view>, N> table`.
template <class E>
struct EnumNames;

template <class E>
std::string_view enum_name(E value) {
  for (const auto& [entry, name] : EnumNames<E>::table) {
    if (entry == value) return name;
  }
  return "?";
}

template <class E>
std::optional<E> enum_value(std::string_view name) {
  for (const auto& [entry, entry_name] : EnumNames<E>::table) {
    if (entry_name == name) return entry;
  }
  return std::nullopt;
}

template <class E>
std::vector<std::string> enum_choices() {
  std::vector<std::string> names;
  for (const auto& [entry, name] : EnumNames<E>::table) names.emplace_back(name);
  return names;
}

}  // namespace steerlm
