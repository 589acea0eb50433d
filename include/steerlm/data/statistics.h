// What is in a set of records: counts, lengths, and how labels are spread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "steerlm/data/record.h"
#include "steerlm/text/attributes.h"

namespace steerlm {

// Counts by powers of two: 0, 1, 2-3, 4-7, …
class Histogram {
 public:
  void add(std::int64_t value);
  std::int64_t count() const { return count_; }
  std::int64_t max() const { return max_; }
  double mean() const;
  // Smallest and largest value of a bin, and how many there are; empty bins between are left out.
  struct Bin {
    std::int64_t first, last, count;
  };
  std::vector<Bin> bins() const;

 private:
  std::map<int, std::int64_t> counts_;  // by bit width
  std::int64_t count_ = 0, sum_ = 0, max_ = 0;
};

struct LabelStatistics {
  std::map<int, std::int64_t> values;  // value -> assistant turns that have it

  std::int64_t count() const;
  double mean() const;
  double standard_deviation() const;  // of the sample, n - 1; NaN below two values
};

struct DataStatistics {
  std::int64_t records = 0;
  std::map<std::string, std::int64_t> types;  // "VALUE_TO_TEXT", "TEXT_TO_VALUE", "none" -> records
  std::int64_t user_turns = 0;
  std::int64_t assistant_turns = 0;
  std::int64_t labelled_turns = 0;  // assistant turns with a label that is not empty
  Histogram turns;                  // a record
  Histogram characters;             // of the values of a record
  std::vector<std::pair<std::string, LabelStatistics>>
      labels;  // in the order of the names, else in that of their appearance

  explicit DataStatistics(const Attributes& attributes);
  // Throws data, and counts nothing, for a label that is not name:integer, … where no attributes are declared.
  void add(const Record& record);

 private:
  Attributes attributes_;
};

// Indices of the turns whose value spells one of the template's markers.
std::vector<size_t> turns_with_marker_text(const Conversation& conversation, TemplateName name);

}  // namespace steerlm
