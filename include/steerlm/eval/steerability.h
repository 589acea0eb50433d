// Does a model do what its dials say? A sweep sets one dial to every level, the others at their defaults, and measures
// the answers.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "steerlm/eval/intervals.h"

namespace steerlm {

// What is measured of an answer: values of attributes, and figures in units of their own (characters, words), which no
// attribute can be compared with.
struct Measures {
  std::vector<std::string> attributes;
  std::vector<std::string> figures;
  // The attributes are in units of their own too (characters, grades): a side effect is then counted in the spread that
  // a measure has among answers to one request, its standard deviation within a level.
  bool own_units = false;
};

// One answer of a sweep.
struct DialSample {
  size_t dial = 0;               // index of the dial that is swept
  int level = 0;                 // what was asked of it
  std::vector<double> measured;  // one value a measure: the attributes, then the figures; NaN: the answer has none
  // Of the dial's own measure, as a level; NaN where nothing says which value is which level.
  double own_level = std::numeric_limits<double>::quiet_NaN();
  size_t prompt = 0;  // what was answered
};

// Dial d over its levels l and the measures m. The measure of a dial's own attribute is the attribute with its name;
// where there is none (a judge that measures characters), `own` is -1 and own_… are NaN.
struct DialRow {
  std::string name;
  int own = -1;
  std::vector<int> levels;                 // ascending
  std::vector<std::int64_t> count;         // answers, one a level
  std::vector<std::vector<double>> means;  // (l, m), over the answers that have the measure; NaN: none has
  std::vector<double> spearman;            // of the level means with the levels, one a measure
  std::vector<double> slope;               // change of the measure a level, least squares over the answers
  std::vector<Interval> slope_interval;    // 95 %, bootstrap over the answers
  std::vector<double> effect;             // slope x (last level - first level): what the whole dial does to the measure
  std::vector<Interval> effect_interval;  // likewise
  // (l, m): how far the prompts are apart at one level, the standard deviation (n - 1) over the prompts of the mean of
  // each one's answers; NaN below two prompts.
  std::vector<std::vector<double>> prompt_spread;
  double own_spearman = 0;
  double own_slope = 0;
  Interval own_slope_interval;
  std::vector<Interval> own_mean_interval;  // of the own measure's mean at each level, likewise
  bool own_monotone = false;                // each level mean is larger than the one before
  // Mean |own level - level asked for| over the answers, at each level and at all; NaN without levels.
  std::vector<double> level_steering_error;
  double steering_error = 0;
  Interval steering_error_interval;  // 95 %, bootstrap over the answers
  double side_effect = 0;            // mean |effect| on the other attributes; NaN where none is measured
  double side_share = 0;             // side_effect / |effect on its own|

  // The own slope's interval leaves out 0. Where it does not, side_share is a share of what may be nothing.
  bool steers() const { return own_slope_interval.low > 0 || own_slope_interval.high < 0; }
};

struct DialTable {
  std::vector<std::string> measures;  // the attributes, then the figures
  size_t attributes = 0;              // how many of them are attributes
  // Of each measure within a dial and level: the square root of the sum of squares around the means / (answers -
  // means).
  std::vector<double> spread;
  bool own_units = false;     // as in Measures
  std::vector<DialRow> rows;  // one a dial, also those without an answer
};

// `dials`: names of the dials that `DialSample::dial` counts.
DialTable make_dial_table(std::span<const std::string> dials, const Measures& measures,
                          std::span<const DialSample> samples, std::uint64_t seed);

}  // namespace steerlm
