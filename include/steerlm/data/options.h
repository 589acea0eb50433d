#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fields.h"

namespace steerlm {

enum class Format {
  auto_detect,
  conversations,
  oasst,
  hh_rlhf,
  helpsteer,
  helpsteer2,
  helpsteer3,
  reward_bench,
  reward_bench_2,
  sharegpt,
  messages,
  steerlm2,
  text
};
template <>
struct EnumNames<Format> {
  static constexpr std::array<std::pair<Format, std::string_view>, 13> table{
      {{Format::auto_detect, "auto"},
       {Format::conversations, "conversations"},
       {Format::oasst, "oasst"},
       {Format::hh_rlhf, "hh-rlhf"},
       {Format::helpsteer, "helpsteer"},
       {Format::helpsteer2, "helpsteer2"},
       {Format::helpsteer3, "helpsteer3"},
       {Format::reward_bench, "reward-bench"},
       {Format::reward_bench_2, "reward-bench-2"},
       {Format::sharegpt, "sharegpt"},
       {Format::messages, "messages"},
       {Format::steerlm2, "steerlm2"},
       {Format::text, "text"}}};
};

enum class SourceLabels { keep, drop, shuffle };
template <>
struct EnumNames<SourceLabels> {
  static constexpr std::array<std::pair<SourceLabels, std::string_view>, 3> table{
      {{SourceLabels::keep, "keep"}, {SourceLabels::drop, "drop"}, {SourceLabels::shuffle, "shuffle"}}};
};

struct SourceOptions {
  std::string path;  // "-": standard input
  Format format = Format::auto_detect;
  std::int64_t repeat = 1;
  std::int64_t limit = 0;
  SourceLabels labels = SourceLabels::keep;
  std::vector<std::string> without;
  std::uint64_t seed = 0;  // of shuffle; no key: load_recipe gives it the recipe's

  void fields(auto& field) {
    field("path", path, "file; .gz and .zst are unpacked; '-' is standard input");
    field("format", format, "what the file holds; auto recognises it");
    field("repeat", repeat, between(1, largest_count::samples), "how often the source is taken");
    field("limit", limit, at_least(0), "lines of the file that are read; 0: all");
    field("labels", labels,
          "controls of a comparison: drop: read as chat without labels; shuffle: labels of data.train and "
          "data.validation change places at random among the labelled turns of the source");
    field("without", without, "attributes that are taken out of the source's labels before they are read");
  }
};

enum class OverLength { drop, truncate, error };
template <>
struct EnumNames<OverLength> {
  static constexpr std::array<std::pair<OverLength, std::string_view>, 3> table{
      {{OverLength::drop, "drop"}, {OverLength::truncate, "truncate"}, {OverLength::error, "error"}}};
};

struct DataOptions {
  std::vector<SourceOptions> train;
  std::vector<SourceOptions> validation;
  double validation_fraction = 0;
  std::string fold;  // "k/n", k from 1; empty: none
  std::int64_t max_tokens = 4096;
  OverLength over_length = OverLength::drop;
  bool shuffle = true;
  std::string cache_dir;

  void fields(auto& field) {
    field("train", train, Shape::one_or_list, "training sources");
    field("validation", validation, Shape::one_or_list, "validation sources");
    field("validation_fraction", validation_fraction, between(0, 1),
          "share of the training dialogues that is held out, by tree or first user text");
    field("fold", fold,
          "k/n: the k-th of n equal parts of the training dialogues (k from 1) is held out, for cross-validation");
    field("max_tokens", max_tokens, between(2, largest_count::tokens), "longest conversation, in tokens");
    field("over_length", over_length, "what happens to a longer one");
    field("shuffle", shuffle, "false: file order");
    field("cache_dir", cache_dir,
          "folder that keeps the encoded training data, also for other runs; not given: run_dir/data");
  }
};

}  // namespace steerlm
