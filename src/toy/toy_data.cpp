#include "steerlm/toy/toy_data.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/output.h"
#include "steerlm/core/rng.h"
#include "steerlm/toy/oracle.h"
#include "toy/language.h"

namespace steerlm {
namespace {

constexpr size_t attributes = 6;
constexpr std::uint64_t annotators = 5;

// What sets one file apart from another.
struct Source {
  std::string purpose;                       // part of the key of every draw
  std::array<int, 3> task_weights{1, 1, 1};  // copy, reverse, sort
  int min_items = 3;
  int max_items = 5;
  double two_tasks = 0;       // share of conversations with a second task
  bool held_out = false;      // prompts that no other source has
  std::vector<size_t> rated;  // attributes that the annotators rate; none: no labels
};

// Whose labels a file has: an annotator's, the oracle's, drawn without a look at the text, or nobody's.
enum class Labels { annotator, oracle, random, none };

const std::vector<size_t> all_rated{0, 1, 2, 3, 4, 5};

// One annotator: a bias an attribute, one size of noise, one share of missing values.
struct Annotator {
  std::array<double, attributes> bias{};
  double noise = 0;
  double missing = 0;
};

Annotator make_annotator(std::uint64_t seed, std::uint64_t index) {
  Rng rng(seed, "toy annotator", index);
  Annotator annotator;
  for (double& bias : annotator.bias) bias = 0.6 * rng.uniform() - 0.3;
  annotator.noise = 0.3 + 0.4 * rng.uniform();
  annotator.missing = 0.1 + 0.3 * rng.uniform();
  return annotator;
}

int round_level(double value) { return static_cast<int>(std::clamp(std::nearbyint(value), 0.0, 4.0)); }

std::string label_of(const std::vector<int>& values, const std::vector<size_t>& which) {
  std::string label;
  for (size_t a : which) {
    if (!label.empty()) label += ',';
    label += toy_attribute_names()[a] + ':' + std::to_string(values[a]);
  }
  return label;
}

// What the annotator writes; the first rated attribute when every value would be missing.
std::string noisy_label(const Annotator& annotator, const std::vector<double>& truth, const std::vector<size_t>& rated,
                        Rng& rng) {
  std::vector<int> values(attributes);
  std::vector<size_t> kept;
  for (size_t a : rated) {
    values[a] = round_level(truth[a] + annotator.bias[a] + annotator.noise * rng.normal());
    if (rng.uniform() >= annotator.missing) kept.push_back(a);
  }
  if (kept.empty() && !rated.empty()) kept.push_back(rated.front());
  return label_of(values, kept);
}

std::vector<int> draw_levels(Rng& rng) {
  std::vector<int> levels(attributes);
  for (int& level : levels) level = static_cast<int>(rng.below(5));
  return levels;
}

// Two in five responses are of full quality; all else is uniform.
ToyDials draw_dials(Rng& rng) {
  const bool full = rng.uniform() < 0.25;
  const std::vector<int> levels = draw_levels(rng);
  return {full ? 4 : levels[0], levels[1], levels[2], levels[3], levels[4], levels[5]};
}

// One prompt in ten is held out, by its text.
std::string draw_prompt(const Source& source, Rng& rng) {
  const auto below = [&rng](int count) { return static_cast<int>(rng.below(static_cast<std::uint64_t>(count))); };
  for (;;) {
    const auto& weights = source.task_weights;
    int place = below(weights[0] + weights[1] + weights[2]);
    size_t task = 0;
    while (place >= weights[task]) place -= weights[task++];
    std::string prompt =
        make_toy_prompt(toy_tasks[task], source.min_items + below(source.max_items - source.min_items + 1), rng);
    if ((fnv1a(prompt) % 10 == 0) == source.held_out) return prompt;
  }
}

Json values_of(const std::vector<double>& truth) {
  Json values = Json::object();
  for (size_t a = 0; a < attributes; ++a) values[toy_attribute_names()[a]] = truth[a];
  return values;
}

std::string all_values(const std::vector<int>& values) { return label_of(values, all_rated); }

std::vector<int> rounded(const std::vector<double>& truth) {
  std::vector<int> values;
  for (double value : truth) values.push_back(round_level(value));
  return values;
}

// The texts of a source are the same whatever the labels are.
Json make_record(const Source& source, std::uint64_t seed, std::uint64_t index, Labels labels) {
  Rng rng(seed, source.purpose, index), random(seed, source.purpose + " random label", index);
  const std::uint64_t who = rng.below(annotators);
  const Annotator annotator = make_annotator(seed, who);
  const bool annotated = labels == Labels::annotator && !source.rated.empty();
  const int tasks = rng.uniform() < source.two_tasks ? 2 : 1;
  Json turns = Json::array(), oracle = Json::array();
  for (int i = 0; i < tasks; ++i) {
    const std::string prompt = draw_prompt(source, rng);
    const std::string response = make_toy_response(prompt, draw_dials(rng), rng);
    const std::vector<double> truth = toy_oracle(prompt, response);
    const std::string noisy = noisy_label(annotator, truth, source.rated, rng);
    Json label = nullptr;
    if (annotated) label = noisy;
    if (labels == Labels::oracle) label = all_values(rounded(truth));
    if (labels == Labels::random) label = all_values(draw_levels(random));
    turns.push_back({{"from", "User"}, {"value", prompt}, {"label", nullptr}});
    turns.push_back({{"from", "Assistant"}, {"value", response}, {"label", std::move(label)}});
    oracle.push_back(values_of(truth));
  }
  Json record = {{"mask", "User"}, {"type", "VALUE_TO_TEXT"}, {"conversations", std::move(turns)}};
  if (annotated) record["annotator"] = who;
  record["oracle"] = std::move(oracle);
  return record;
}

void write_records(Output& file, const Source& source, std::int64_t count, std::uint64_t seed,
                   Labels labels = Labels::annotator) {
  std::string bytes;
  for (std::int64_t i = 0; i < count; ++i) {
    bytes += dump_json(make_record(source, seed, static_cast<std::uint64_t>(i), labels)) + '\n';
  }
  file.write(bytes);
}

// Two responses to a prompt in the format of HelpSteer2's preferences; how much better the second is, to the oracle or
// to an annotator who looks at both with his noise. The oracle's pairs are those that it does not find equal.
Json make_pair(const Source& source, std::uint64_t seed, std::uint64_t index, Labels labels) {
  Rng rng(seed, source.purpose, index);
  const Annotator annotator = make_annotator(seed, rng.below(annotators));
  for (;;) {
    const std::string prompt = draw_prompt(source, rng);
    const std::string first = make_toy_response(prompt, draw_dials(rng), rng);
    const std::string second = make_toy_response(prompt, draw_dials(rng), rng);
    const std::vector<double> first_truth = toy_oracle(prompt, first), second_truth = toy_oracle(prompt, second);
    double difference = toy_utility(second_truth) - toy_utility(first_truth);
    if (labels == Labels::annotator) difference += annotator.noise * (rng.normal() - rng.normal());
    const int strength = static_cast<int>(std::clamp(std::nearbyint(difference), -3.0, 3.0));
    if (labels == Labels::oracle && strength == 0) continue;
    return {{"prompt", prompt},
            {"response_1", first},
            {"response_2", second},
            {"preference_strength", strength},
            {"oracle", {values_of(first_truth), values_of(second_truth)}}};
  }
}

void write_pairs(Output& file, const Source& source, std::int64_t count, std::uint64_t seed, Labels labels) {
  std::string bytes;
  for (std::int64_t i = 0; i < count; ++i)
    bytes += dump_json(make_pair(source, seed, static_cast<std::uint64_t>(i), labels)) + '\n';
  file.write(bytes);
}

void write_prompts(Output& file, std::int64_t count, std::uint64_t seed) {
  const Source source{.purpose = "toy prompts", .held_out = true};
  std::string bytes;
  for (std::int64_t i = 0; i < count; ++i) {
    Rng rng(seed, source.purpose, static_cast<std::uint64_t>(i));
    bytes += dump_json({{"prompt", draw_prompt(source, rng)}}) + '\n';
  }
  file.write(bytes);
}

// What a base model knows before it sees a label: how a task is done, one line each, and, half as often, responses of
// all qualities.
void write_base(Output& file, std::int64_t count, std::uint64_t seed) {
  const Source source{.purpose = "toy base"};
  std::string bytes;
  for (std::int64_t i = 0; i < count; ++i) {
    Rng rng(seed, source.purpose, static_cast<std::uint64_t>(i));
    const std::string prompt = draw_prompt(source, rng);
    bytes += prompt;
    for (const std::string& item : toy_answer(prompt)) bytes += ' ' + item;
    bytes += '\n';
    if (i % 2 == 0) bytes += prompt + ' ' + make_toy_response(prompt, draw_dials(rng), rng) + '\n';
  }
  file.write(bytes);
}

// A value and a label line start right after a marker or a line end, so their first word has no space before it.
// sentencepiece cuts at a change of script: behind a colon, such words become pieces too.
void write_tokenizer_text(Output& file, std::int64_t count, std::uint64_t seed) {
  const Source source{.purpose = "toy tokenizer"};
  std::string bytes;
  for (std::int64_t i = 0; i < count; ++i) {
    Rng rng(seed, source.purpose, static_cast<std::uint64_t>(i));
    const std::string prompt = draw_prompt(source, rng);
    bytes += "<extra_id_0>:System :Do the task. <extra_id_1>:User <extra_id_1>:Assistant <extra_id_2>:" +
             all_values(draw_levels(rng)) + '\n';
    bytes += ':' + prompt + " :" + make_toy_response(prompt, draw_dials(rng), rng) + '\n';
  }
  file.write(bytes);
}

}  // namespace

void make_toy_data(const Path& given, std::int64_t count, std::uint64_t seed, bool overwrite) {
  // A file is made in memory, where ten million records take some gigabytes.
  constexpr std::int64_t most = 10'000'000;
  if (count < 1 || count > most) {
    fail(ExitCode::recipe, {.what = "cannot make toy data",
                            .where = "--count",
                            .found = std::to_string(count),
                            .expected = "from 1 to " + std::to_string(most) + " records"});
  }
  std::error_code error;
  const bool there = std::filesystem::is_directory(given, error);
  const Path directory = there ? given : check_output_folder(given.string(), {.overwrite = true});
  make_directory(directory);
  constexpr std::array names{
      "validation.jsonl", "truth.jsonl",       "first.jsonl",       "second.jsonl",           "unlabelled.jsonl",
      "prompts.jsonl",    "base.txt",          "tokenizer.txt",     "control-none.jsonl",     "control-random.jsonl",
      "pairs.jsonl",      "pairs-truth.jsonl", "train-truth.jsonl", "unlabelled-truth.jsonl", "train.jsonl"};
  std::map<std::string, Output> files;  // all of them are opened first: none is written where one is refused
  for (const char* name : names) files.emplace(name, Output((directory / name).string(), {.overwrite = overwrite}));
  const std::int64_t held_out = std::clamp<std::int64_t>(count / 20, 1, 1000);
  const std::int64_t fifth = std::max<std::int64_t>(count / 5, 1);
  const Source validation{.purpose = "toy validation", .two_tasks = 0.1, .held_out = true, .rated = all_rated};
  write_records(files.at("validation.jsonl"), validation, held_out, seed);
  write_records(files.at("truth.jsonl"), validation, held_out, seed, Labels::oracle);
  write_records(files.at("first.jsonl"), {.purpose = "toy first", .rated = {0, 1, 2, 3}}, fifth, seed);
  write_records(files.at("second.jsonl"), {.purpose = "toy second", .rated = {4, 5}}, fifth, seed);
  const Source shifted{.purpose = "toy unlabelled", .task_weights = {1, 2, 5}, .min_items = 4, .max_items = 7};
  write_records(files.at("unlabelled.jsonl"), shifted, fifth, seed);
  write_records(files.at("unlabelled-truth.jsonl"), shifted, held_out, seed, Labels::oracle);
  write_prompts(files.at("prompts.jsonl"), held_out, seed);
  write_base(files.at("base.txt"), count, seed);
  write_tokenizer_text(files.at("tokenizer.txt"), std::clamp<std::int64_t>(count / 5, 200, 4000), seed);
  const Source train{.purpose = "toy train", .two_tasks = 0.1, .rated = all_rated};
  write_records(files.at("control-none.jsonl"), train, (count + 1) / 2, seed, Labels::none);
  write_records(files.at("control-random.jsonl"), train, (count + 1) / 2, seed, Labels::random);
  write_pairs(files.at("pairs.jsonl"), {.purpose = "toy pairs"}, (count + 1) / 2, seed, Labels::annotator);
  write_pairs(files.at("pairs-truth.jsonl"), {.purpose = "toy pairs truth", .held_out = true}, held_out, seed,
              Labels::oracle);
  write_records(files.at("train-truth.jsonl"), train, held_out, seed, Labels::oracle);
  write_records(files.at("train.jsonl"), train, count, seed);
  for (const char* name : names) files.at(name).finish();  // train.jsonl last
}

}  // namespace steerlm
