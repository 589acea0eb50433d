#include "recipe/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include "recipe/hints.h"
#include "recipe/resolve.h"
#include "steerlm/core/part_number.h"
#include "steerlm/core/suggest.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

bool is_attribute_name(const std::string& name) {
  const auto inside = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         std::all_of(name.begin(), name.end(), inside);
}

class Checks {
 public:
  Checks(const Recipe& recipe, const Yaml& tree, const Decoder& decoder, std::vector<Fault>& faults)
      : recipe_(recipe), tree_(tree), decoder_(decoder), faults_(faults) {}

  void run() {
    for (std::string_view path : required_keys(recipe_.stage)) require(path);
    device();
    if (recipe_.attributes_given) attributes();
    switch (recipe_.stage) {
      case Stage::train_predictor:
        predictor_template();
        head();
        [[fallthrough]];
      case Stage::sft:
        model();
        training();
        break;
      case Stage::bootstrap:
        bootstrap();
        break;
      case Stage::steerlm2:
        steerlm2();
        break;
      case Stage::annotate:
        annotate();
        break;
      case Stage::evaluate:
        evaluate();
        break;
      case Stage::generate:
        if (has("model") && find_path(tree_, "model")->kind == Yaml::Kind::mapping) require("model.path");
        if (!decoder_.faulty("shard")) part("shard", recipe_.generate.shard, 0, 1);
        break;
      case Stage::tokenizer:
      case Stage::pipeline:
        break;
    }
    sources(tree_, "");
  }

 private:
  bool has(std::string_view path) const { return find_path(tree_, path) != nullptr; }
  void fault(std::string_view path, Fault fault) {
    fault.where = where_of(tree_, path);
    faults_.push_back(std::move(fault));
  }

  // A key that is there and holds something.
  void require(std::string_view path, std::string advice = "") {
    const Yaml* node = find_path(tree_, path);
    if (node == nullptr) {
      fault(path, {.what = "missing key '" + std::string(path) + "'", .advice = std::move(advice)});
      return;
    }
    const bool empty_text = node->kind == Yaml::Kind::scalar && node->quoted && node->text.empty();
    const bool empty_list = node->kind == Yaml::Kind::sequence && node->items.empty();
    if (empty_text || empty_list) fault(path, {.what = std::string("'").append(path).append("' is empty")});
  }

  void device() {
    if (decoder_.faulty("device") || is_device_name(recipe_.device)) return;
    fault("device", {.what = "wrong value of 'device'",
                     .found = "'" + recipe_.device + "'",
                     .expected = std::string(device_names),
                     .advice = device_advice(recipe_.device)});
  }

  // Names and range that the recipe does not give are the model folder's, which is looked at when it is opened; without
  // one they are the method's. The steps of a pipeline have models, the pipeline has none.
  bool takes_the_methods() const { return has("model.init") && recipe_.attributes_given; }
  bool knows_names() const { return has("attributes.names") || takes_the_methods(); }
  bool knows_range() const { return (has("attributes.min") && has("attributes.max")) || takes_the_methods(); }

  void attributes() {
    if (decoder_.faulty("attributes")) return;
    const AttributeOptions& options = recipe_.attributes;
    std::set<std::string> seen;
    for (const std::string& name : options.names) {
      if (!is_attribute_name(name)) {
        fault("attributes.names", {.what = "not an attribute name",
                                   .found = "'" + name + "'",
                                   .expected = "letters, digits and _, no digit first"});
      } else if (!seen.insert(name).second) {
        fault("attributes.names", {.what = "the attribute '" + name + "' occurs twice"});
      }
    }
    if (knows_range() && options.min >= options.max) {
      fault(has("attributes.max") ? "attributes.max" : "attributes.min",
            {.what = "'attributes.max' must be above 'attributes.min'",
             .found = std::to_string(options.min) + " to " + std::to_string(options.max)});
      return;
    }
    for (const auto& [name, value] : options.defaults) attribute_value("attributes.defaults", name, value);
    if (!options.names.empty() || !knows_names()) return;
    if (recipe_.stage == Stage::train_predictor)
      fault("attributes.names", {.what = "a predictor needs at least one attribute"});
    if (recipe_.stage == Stage::bootstrap)
      fault("attributes.names", {.what = "bootstrapping draws labels, and needs at least one attribute"});
    if (recipe_.stage == Stage::evaluate && has("dials"))
      fault("attributes.names", {.what = "a sweep of dials needs at least one attribute"});
  }

  bool known_attribute(const std::string& path, const std::string& name) {
    const std::vector<std::string>& names = recipe_.attributes.names;
    if (std::find(names.begin(), names.end(), name) != names.end()) return true;
    std::string advice = suggest(name, names);
    if (advice.empty()) advice = "known are " + join(names);
    fault(path + "." + name, {.what = "unknown attribute '" + name + "' in '" + path + "'", .advice = advice});
    return false;
  }

  void attribute_value(const std::string& path, const std::string& name, std::int64_t value) {
    const AttributeOptions& options = recipe_.attributes;
    const std::string key = path + "." + name;
    if (knows_names() && !known_attribute(path, name)) return;
    if (!knows_range()) return;
    if (value < options.min || value > options.max) {
      fault(key, {.what = "'" + key + "' is out of range",
                  .found = std::to_string(value),
                  .expected = "an integer from " + std::to_string(options.min) + " to " + std::to_string(options.max)});
    }
  }

  void model() {
    if (!has("model") || decoder_.faulty("model")) return;
    const ModelOptions& options = recipe_.model;
    if (has("model.path") && options.init)
      fault("model.init", {.what = "'model.path' and 'model.init' exclude each other"});
    else if (has("model.path") && has("model.tokenizer"))
      fault("model.tokenizer", {.what = "'model.tokenizer' is only for 'model.init'; a model folder has its own"});
    else if (has("model.path"))
      require("model.path");
    else if (!options.init)
      fault("model", {.what = "missing key 'model.path'",
                      .advice = "or start from nothing with model.init and model.tokenizer"});
    else
      require("model.tokenizer", "a fresh model takes its vocabulary from it");
    if (options.init) fresh_model(*options.init);
  }

  void predictor_template() {
    if (decoder_.faulty("template") || recipe_.text_template.name != TemplateName::plain) return;
    fault("template.name", {.what = "the template plain has neither turns nor labels, which a predictor needs",
                            .advice = "use template.name: steerlm"});
  }

  void head() {
    if (decoder_.faulty("head")) return;
    const PredictorOptions& options = recipe_.head;
    const bool ridge = options.kind == PredictorKind::ridge, pairwise = is_pairwise(options.loss);
    if (pairwise && options.kind != PredictorKind::regression) {
      fault(has("head.loss") ? "head.loss" : "head",
            {.what = "preferences train the scores of a regression head",
             .found = "head.kind '" + std::string(enum_name(options.kind)) + "'",
             .advice = "give head.kind: regression"});
    }
    if (!pairwise && has("head.attribute_weights")) {
      fault("head.attribute_weights", {.what = "'head.attribute_weights' is for the losses of preference pairs",
                                       .found = "head.loss 'mse'",
                                       .expected = "head.loss bradley_terry, margin or scaled"});
    }
    attribute_weights("head.attribute_weights", options.attribute_weights);
    if (has("head.bias") && options.kind == PredictorKind::language_model) {
      fault("head.bias", {.what = "'head.bias' is of a head that gives scores",
                          .found = "head.kind: language_model",
                          .advice = "leave it out, or give head.kind: regression"});
    }
    if (!ridge) {
      for (const char* key : {"head.pooling", "head.penalties", "head.penalty_folds", "head.features"}) {
        if (has(key))
          fault(key, {.what = "'" + std::string(key) + "' is for 'head.kind: ridge' alone",
                      .found = "head.kind: " + std::string(enum_name(options.kind)),
                      .advice = "leave it out, or give head.kind: ridge"});
      }
      return;
    }
    for (const char* key : {"head.penalties", "head.features"}) {
      if (has(key)) require(key);
    }
    if (recipe_.lora) {
      fault("lora", {.what = "'lora' trains the model, which 'head.kind: ridge' leaves as it is",
                     .advice = "leave it out, or use head.kind: regression"});
    }
    if (has("head.bias") && !options.bias) {
      fault("head.bias", {.what = "'head.kind: ridge' has a bias: it is the mean that no penalty pulls at",
                          .advice = "leave head.bias out"});
    }
  }

  // Names that only a model folder declares are looked at when it is opened.
  void attribute_weights(const std::string& path, const std::map<std::string, double>& weights) {
    if (!has(path)) return;
    if (std::ranges::all_of(weights, [](const auto& weight) { return weight.second == 0; }))
      fault(path, {.what = "'" + path + "' leaves nothing of a reward", .expected = "a weight other than 0"});
    if (!knows_names() || decoder_.faulty("attributes")) return;
    for (const auto& [name, weight] : weights) known_attribute(path, name);
  }

  void fresh_model(const ModelConfig& config) {
    const std::int64_t heads = config.num_attention_heads;
    const std::int64_t head_dim = config.head_dim != 0 ? config.head_dim : config.hidden_size / heads;
    if (config.head_dim == 0 && config.hidden_size % heads != 0) {
      fault("model.init.num_attention_heads",
            {.what = "'num_attention_heads' does not divide 'hidden_size'",
             .found = std::to_string(heads) + " heads, width " + std::to_string(config.hidden_size)});
    } else if (head_dim % 2 != 0) {
      fault("model.init.head_dim", {.what = "the width of a head must be even", .found = std::to_string(head_dim)});
    }
    if (config.num_key_value_heads != 0 && heads % config.num_key_value_heads != 0) {
      fault("model.init.num_key_value_heads",
            {.what = "'num_key_value_heads' does not divide 'num_attention_heads'",
             .found = std::to_string(config.num_key_value_heads) + " of " + std::to_string(heads)});
    }
  }

  void lora() {
    if (!recipe_.lora || decoder_.faulty("lora")) return;
    if (recipe_.model.init) {
      fault("lora", {.what = "'lora' adapts a model that is there; 'model.init' makes one from nothing",
                     .advice = "give model.path"});
    }
    const std::vector<std::string> known(lora_projections.begin(), lora_projections.end());
    std::set<std::string> seen;
    for (const std::string& target : recipe_.lora->targets) {
      if (std::find(known.begin(), known.end(), target) == known.end()) {
        fault("lora.targets", {.what = "LoRA cannot adapt '" + target + "'",
                               .expected = "some of " + join(known),
                               .advice = suggest(target, known)});
      } else if (!seen.insert(target).second) {
        fault("lora.targets", {.what = "the target '" + target + "' occurs twice"});
      }
    }
    if (recipe_.lora->targets.empty())
      fault("lora.targets", {.what = "LoRA has nothing to adapt", .expected = "some of " + join(known)});
    in_fp32("lora.alpha", recipe_.lora->scale());
  }

  // A factor that training, which computes in fp32, would read as infinite or as 0.
  void in_fp32(const char* key, double value) {
    const float single = static_cast<float>(value);
    if (value == 0 || (std::isfinite(single) && single != 0)) return;
    fault(key, {.what = "'" + std::string(key) + "' comes to a number that fp32 does not have",
                .found = fmt::format("{}", value),
                .expected = "between 1e-45 and 3.4e38"});
  }

  void training() {
    lora();
    if (!decoder_.faulty("optimizer")) {
      in_fp32("optimizer.clip_grad_norm", recipe_.optimizer.clip_grad_norm);
      in_fp32("optimizer.eps", std::max(recipe_.optimizer.eps, 1.0));  // one that is too small is 0
    }
    if (recipe_.train.epochs && recipe_.train.steps && !decoder_.faulty("train")) {
      fault("train.steps",
            {.what = "'train.epochs' and 'train.steps' exclude each other", .advice = "give one of them"});
    }
    const double peak = recipe_.optimizer.learning_rate, floor = recipe_.schedule.min_learning_rate;
    if (floor > peak && !decoder_.faulty("schedule") && !decoder_.faulty("optimizer")) {
      fault("schedule.min_learning_rate",
            {.what = "'schedule.min_learning_rate' is above 'optimizer.learning_rate': the rate would climb",
             .found = fmt::format("{} and {}", floor, peak),
             .advice = "a decay goes down to min_learning_rate: lower it, or raise optimizer.learning_rate"});
    }
    const bool fraction = recipe_.data.validation_fraction > 0;
    if (has("data.validation") && recipe_.data.validation.empty() && !decoder_.faulty("data")) {
      fault("data.validation",
            {.what = "'data.validation' is empty", .advice = "give data.validation a file, or leave the key out"});
    }
    if (has("data.validation") && fraction) {
      fault("data.validation_fraction", {.what = "'data.validation' and 'data.validation_fraction' exclude each other",
                                         .advice = "give one of them"});
    }
    if (recipe_.data.validation_fraction == 1) {
      fault("data.validation_fraction", {.what = "'data.validation_fraction' holds out all of the training data",
                                         .found = "1",
                                         .expected = "less than 1"});
    }
    if (has("data.fold") && !decoder_.faulty("data")) {
      part("data.fold", recipe_.data.fold, 1, 2);
      for (const char* other : {"data.validation", "data.validation_fraction"}) {
        if (has(other) && (fraction || std::string_view(other) == "data.validation"))
          fault("data.fold", {.what = "'data.fold' and '" + std::string(other) + "' exclude each other",
                              .advice = "give one of them"});
      }
    }
    if (has("data.cache_dir")) require("data.cache_dir");
    if (recipe_.checkpoint.keep_best && !has("data.validation") && !fraction && !has("data.fold")) {
      fault("checkpoint.keep_best", {.what = "'checkpoint.keep_best' needs validation data",
                                     .advice = "give data.validation or data.validation_fraction"});
    }
  }

  // i/n with i from `first`, n of at least `least`.
  void part(const char* key, const std::string& text, long first, long least) {
    const std::optional<PartNumber> part = parse_part_number(text);
    const std::string example = first == 0 ? "i/n, such as 0/4" : "k/n, such as 1/5";
    if (!part) {
      fault(key, {.what = "wrong value of '" + std::string(key) + "'", .found = "'" + text + "'", .expected = example});
      return;
    }
    const auto [index, count] = *part;
    if (count < least) {
      fault(key, {.what = "'" + std::string(key) + "' is out of range",
                  .found = text,
                  .expected = "n of at least " + std::to_string(least)});
    } else if (index < first || index >= first + count) {
      fault(key, {.what = "'" + std::string(key) + "' is out of range",
                  .found = text,
                  .expected = (first == 0 ? "i from 0 to " : "k from 1 to ") + std::to_string(first + count - 1)});
    }
  }

  void bootstrap() {
    if (recipe_.bootstrap.start_from == StartFrom::base) require("model.path", "start_from: base starts from it");
    if (recipe_.bootstrap.mix_original || has("data.train")) require("data.train", "mix_original: true adds it");
    training();
    if (!recipe_.attributes_given || decoder_.faulty("attributes") || decoder_.faulty("select")) return;
    for (const auto& [name, text] : recipe_.bootstrap.select) {
      std::int64_t value = recipe_.attributes.max;  // "max"
      std::from_chars(text.data(), text.data() + text.size(), value);
      attribute_value("select", name, value);
    }
  }

  void steerlm2() {
    if (has("prompts")) {
      require("prompts");
      require("prior", "P(y|x) of the responses is its");
      require("predictor", "P(a|x,y) of the responses is its");
      if (has("data.train"))
        fault("data.train", {.what = "'prompts' and 'data.train' exclude each other",
                             .advice = "prompts are answered; data.train has responses with their log-probabilities"});
    } else {
      require("data.train", "or sample responses: give prompts, prior and predictor");
    }
    if (recipe_.data.over_length == OverLength::truncate && !decoder_.faulty("data"))
      fault("data.over_length",
            {.what = "a response that is cut off has another log-probability", .expected = "drop or error"});
    training();
  }

  void annotate() {
    if (!decoder_.faulty("shard")) part("shard", recipe_.annotate.shard, 0, 1);
  }

  void evaluate() {
    if (!has("model") && !has("predictor") && !has("dials") && !has("pairs")) {
      fault("", {.what = "nothing to evaluate", .expected = "predictor, model, dials or pairs"});
      return;
    }
    if (has("model")) require("model.path");
    if (has("predictor")) require("predictor");
    // Pairs alone need no labelled records.
    if (!has("pairs") || has("model") || has("dials") || has("data.validation")) require("data.validation");
    if (has("pairs")) {
      require("pairs.sources");
      require("predictor", "pairs are scored by a predictor");
      if (recipe_.pairs && !decoder_.faulty("pairs"))
        attribute_weights("pairs.attribute_weights", recipe_.pairs->attribute_weights);
    }
    if (has("dials")) {
      require("dials.prompts");
      require("model.path", "the dials are those of a model");
      if (!decoder_.faulty("dials")) {
        sweep();
        judge();
      }
    }
  }

  // An answer that is counted twice makes intervals too small.
  void sweep() {
    const DialOptions& options = *recipe_.dials;
    for (const char* key : {"dials.attributes", "dials.levels"}) {
      const Yaml* list = find_path(tree_, key);
      if (list == nullptr || list->kind != Yaml::Kind::sequence) continue;
      if (list->items.empty())
        fault(key, {.what = "'" + std::string(key) + "' is empty", .expected = "all, or a list that names some"});
    }
    std::set<std::string> names;
    for (const std::string& name : options.attributes) {
      if (!names.insert(name).second) fault("dials.attributes", {.what = "the dial '" + name + "' is named twice"});
    }
    std::set<std::int64_t> levels;
    for (const std::int64_t level : options.levels) {
      if (!levels.insert(level).second)
        fault("dials.levels", {.what = "the level " + std::to_string(level) + " is named twice"});
    }
    if (options.samples_per_prompt > 1 && options.sampling.temperature == 0) {
      fault("dials.samples_per_prompt",
            {.what = "equal answers would be counted as if each were drawn by itself",
             .found = std::to_string(options.samples_per_prompt) + " samples at temperature 0",
             .expected = "1, or dials.sampling.temperature above 0"});
    }
  }

  void judge() {
    const DialOptions& options = *recipe_.dials;
    if (options.judge == Judge::predictor) require("predictor", "judge: predictor asks it");
    for (const char* key : {"dials.measures", "dials.edges"}) {
      if (!has(key) || options.judge == Judge::text) continue;
      fault(key, {.what = "'" + std::string(key) + "' is of the judge that measures texts",
                  .found = "judge: " + std::string(enum_name(options.judge)),
                  .advice = "give judge: text, or leave it out"});
    }
    if (has("dials.measures") && has("dials.edges")) {
      fault("dials.edges", {.what = "'dials.measures' and 'dials.edges' exclude each other",
                            .advice = "give one of them: the file of edges names measures too"});
    }
    if (has("dials.edges")) require("dials.edges");
    if (has("dials.perplexity_model")) require("dials.perplexity_model");
  }

  // Every section of a source list names its file.
  void sources(const Yaml& node, const std::string& path) {
    for (const YamlEntry& entry : node.entries) {
      const std::string below = path.empty() ? entry.key : path + "." + entry.key;
      const bool list = below == "data.train" || below == "data.validation" || below == "input" || below == "prompts" ||
                        below == "dials.prompts" || below == "pairs.sources";
      if (!list) {
        sources(entry.value, below);
        continue;
      }
      for (size_t i = 0; i < entry.value.items.size(); ++i)
        source(entry.value.items[i], below + "[" + std::to_string(i) + "]");
    }
  }
  void source(const Yaml& node, const std::string& path) {
    const Yaml* file = node.kind == Yaml::Kind::mapping ? find(node, "path") : &node;
    if (file == nullptr)
      faults_.push_back({.what = "missing key '" + path + ".path'", .where = node.where});
    else if (file->quoted && file->text.empty())
      faults_.push_back({.what = "'" + path + "' names no file", .where = file->where});
    const Yaml* labels = node.kind == Yaml::Kind::mapping ? find(node, "labels") : nullptr;
    if (labels != nullptr && labels->text == "shuffle" && !path.starts_with("data.")) {
      faults_.push_back({.what = "nothing shuffles the labels of '" + path + "'",
                         .where = labels->where,
                         .expected = "keep or drop",
                         .advice = "labels: shuffle is for data.train and data.validation"});
    }
    const Yaml* without = node.kind == Yaml::Kind::mapping ? find(node, "without") : nullptr;
    const bool takes_out = without != nullptr && !without->items.empty();
    if (takes_out && !path.starts_with("data.")) {
      faults_.push_back({.what = "nothing takes attributes out of the labels of '" + path + "'",
                         .where = without->where,
                         .advice = "`without` is for data.train and data.validation"});
    }
    if (takes_out && labels != nullptr && labels->text == "drop") {
      faults_.push_back({.what = "'" + path + "' has labels: drop, and no label for `without` to take from",
                         .where = without->where,
                         .advice = "leave one of the two out"});
    }
  }

  const Recipe& recipe_;
  const Yaml& tree_;
  const Decoder& decoder_;
  std::vector<Fault>& faults_;
};

}  // namespace

void check_recipe(const Recipe& recipe, const Yaml& tree, const Decoder& decoder, std::vector<Fault>& faults) {
  Checks(recipe, tree, decoder, faults).run();
}

}  // namespace steerlm
