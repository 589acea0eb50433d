// A resolved recipe: plain structs, a default beside each key. Which keys a stage uses is said once, in fields().
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/fields.h"
#include "steerlm/data/options.h"
#include "steerlm/eval/options.h"
#include "steerlm/infer/options.h"
#include "steerlm/nn/options.h"
#include "steerlm/optim/options.h"
#include "steerlm/text/options.h"
#include "steerlm/train/options.h"

namespace steerlm {

enum class Stage { tokenizer, train_predictor, annotate, sft, bootstrap, steerlm2, generate, evaluate, pipeline };
template <>
struct EnumNames<Stage> {
  static constexpr std::array<std::pair<Stage, std::string_view>, 9> table{{{Stage::tokenizer, "tokenizer"},
                                                                            {Stage::train_predictor, "train-predictor"},
                                                                            {Stage::annotate, "annotate"},
                                                                            {Stage::sft, "sft"},
                                                                            {Stage::bootstrap, "bootstrap"},
                                                                            {Stage::steerlm2, "steerlm2"},
                                                                            {Stage::generate, "generate"},
                                                                            {Stage::evaluate, "evaluate"},
                                                                            {Stage::pipeline, "pipeline"}}};
};

// The three generations of the method (docs/recipes.md has their defaults): they set defaults only.
enum class Method { steerlm, helpsteer, helpsteer2 };
template <>
struct EnumNames<Method> {
  static constexpr std::array<std::pair<Method, std::string_view>, 3> table{
      {{Method::steerlm, "steerlm"}, {Method::helpsteer, "helpsteer"}, {Method::helpsteer2, "helpsteer2"}}};
};

// A Hugging Face folder, or a fresh model over a tokenizer file.
struct ModelOptions {
  std::string path;
  std::optional<ModelConfig> init;
  std::string tokenizer;

  void fields(auto& field) {
    field("path", path, "Hugging Face model folder to start from");
    field("init", init, "start from nothing instead: keys of config.json");
    field("tokenizer", tokenizer, "tokenizer file of a fresh model");
  }
};

// How a predictor is trained. The result of `ridge` is a model with a regression head.
enum class PredictorKind { language_model, regression, ridge };
template <>
struct EnumNames<PredictorKind> {
  static constexpr std::array<std::pair<PredictorKind, std::string_view>, 3> table{
      {{PredictorKind::language_model, "language_model"},
       {PredictorKind::regression, "regression"},
       {PredictorKind::ridge, "ridge"}}};
};

struct PredictorOptions {
  PredictorKind kind = PredictorKind::regression;
  HeadLoss loss = HeadLoss::mse;
  bool bias = true;
  HeadPooling pooling = HeadPooling::last;
  std::map<std::string, double> attribute_weights;  // pairwise losses: empty: helpfulness, else the first attribute
  std::vector<double> penalties{1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6};
  std::int64_t penalty_folds = 5;
  std::string features;

  // What the trained model ends in.
  HeadOptions model_head() const {
    return {.kind = kind == PredictorKind::language_model ? HeadKind::language_model : HeadKind::regression,
            .loss = loss,
            .bias = bias,
            .pooling = pooling};
  }
  void fields(auto& field) {
    field("kind", kind,
          "regression: a linear layer on the last token, trained with the model; ridge: the same layer on the frozen "
          "model, solved in closed form; language_model: writes the label string");
    field("loss", loss,
          "loss of the regression head: mse of labels; bradley_terry, margin and scaled are of preference pairs");
    field("bias", bias,
          "false: a head without bias, as Transformers' sequence classification has it; ridge always has one");
    field("pooling", pooling,
          "ridge: last: the head reads the hidden state of the last token; mean: the mean of those of the scored turn, "
          "from the first token of its text to the last token of the input");
    field("attribute_weights", attribute_weights,
          "pairwise losses: a response's reward is this weighted sum of its scores; none: helpfulness, else the first");
    field("penalties", penalties, above(0),
          "ridge: penalties to choose from, for each attribute on held-out dialogues; factors of the squared weights "
          "of standardised features beside the sum of squared errors");
    field("penalty_folds", penalty_folds, between(2, 1000),
          "ridge: parts of the training dialogues, each of which is held out once for the choice of the penalty");
    field("features", features,
          "ridge: folder that keeps the model's hidden states, also for other runs; not given: "
          "run_dir/features");
  }
};

enum class HumanLabels { overwrite, keep };
template <>
struct EnumNames<HumanLabels> {
  static constexpr std::array<std::pair<HumanLabels, std::string_view>, 2> table{
      {{HumanLabels::overwrite, "overwrite"}, {HumanLabels::keep, "keep"}}};
};
enum class OnBadRecord { stop, quarantine };
template <>
struct EnumNames<OnBadRecord> {
  static constexpr std::array<std::pair<OnBadRecord, std::string_view>, 2> table{
      {{OnBadRecord::stop, "stop"}, {OnBadRecord::quarantine, "quarantine"}}};
};
// What a training stage does with records, prompts and labels that cannot be used.
struct BadRecordOptions {
  OnBadRecord on_bad_record = OnBadRecord::stop;
  double max_bad_share = 0.05;

  void fields(auto& field) {
    field("on_bad_record", on_bad_record,
          "stop at the first record that cannot be used, or put it aside in run_dir/quarantine.jsonl and go on");
    field("max_bad_share", max_bad_share, between(0, 1), "a larger share of bad records ends with exit 3");
  }
};
enum class StartFrom { policy, base };
template <>
struct EnumNames<StartFrom> {
  static constexpr std::array<std::pair<StartFrom, std::string_view>, 2> table{
      {{StartFrom::policy, "policy"}, {StartFrom::base, "base"}}};
};
enum class Judge { toy, predictor, text };
template <>
struct EnumNames<Judge> {
  static constexpr std::array<std::pair<Judge, std::string_view>, 3> table{
      {{Judge::toy, "toy"}, {Judge::predictor, "predictor"}, {Judge::text, "text"}}};
};
enum class TokenizerKind { unigram, bpe };
template <>
struct EnumNames<TokenizerKind> {
  static constexpr std::array<std::pair<TokenizerKind, std::string_view>, 2> table{
      {{TokenizerKind::unigram, "unigram"}, {TokenizerKind::bpe, "bpe"}}};
};

// `i/n`: the part i (from 0) of n. Out of range is an error of the recipe.
struct AnnotateOptions {
  std::string predictor;
  std::vector<SourceOptions> input;  // a path in the recipe is one source
  std::string output;
  std::string shard = "0/1";
  std::int64_t batch_tokens = 16384;
  std::int64_t block_records = 1024;
  HumanLabels human_labels = HumanLabels::overwrite;
  OnBadRecord on_bad_record = OnBadRecord::quarantine;
  double max_bad_share = 0.05;

  void fields(auto& field) {
    field("predictor", predictor, "model folder of the attribute predictor");
    field("input", input, Shape::one_or_list, "a path, or a list of sources");
    field("output", output, "annotated records, JSON lines");
    field("shard", shard, "i/n: annotate the i-th of n parts (i from 0) into an output of its own");
    field("batch_tokens", batch_tokens, at_least(1), "tokens scored at once; bounds memory, never changes a score");
    field("block_records", block_records, at_least(1), "records that are sorted, batched, written and synced together");
    field("human_labels", human_labels,
          "overwrite: predicted labels replace them; keep: only missing attributes are filled in");
    field("on_bad_record", on_bad_record, "stop at the first bad record, or put it aside and go on");
    field("max_bad_share", max_bad_share, between(0, 1), "a larger share of bad records ends with exit 3");
  }
};

struct BootstrapOptions {
  std::string policy;
  std::string predictor;
  std::vector<SourceOptions> prompts;
  std::int64_t max_prompts = 0;
  std::string labels_from;
  std::map<std::string, std::string> select;  // attribute -> "max" or a value
  std::int64_t samples_per_prompt = 1;
  SamplingOptions sampling;
  StartFrom start_from = StartFrom::policy;
  bool mix_original = false;

  void fields(auto& field) {
    field("policy", policy, "model folder that answers the prompts");
    field("predictor", predictor, "model folder that annotates the answers");
    field("prompts", prompts, Shape::one_or_list,
          "sources: each record up to its last user turn, or lines with prompt or turns");
    field("max_prompts", max_prompts, at_least(0), "prompts taken; 0: all");
    field("labels_from", labels_from, "annotated records whose distinct labels are drawn from");
    field("select", select, "values that a drawn label must have: a number, or max for the largest that occurs");
    field("samples_per_prompt", samples_per_prompt, between(1, largest_count::samples), "answers for each prompt");
    field("sampling", sampling, "how answers are sampled");
    field("start_from", start_from, "what the second fine-tuning starts from: policy, or base (model.path)");
    field("mix_original", mix_original, "add data.train to the sampled records");
  }
};

// SteerLM 2.0 (HelpSteer2, arXiv 2406.08673, section 4.5), whose published settings the defaults are.
struct Steerlm2Options {
  std::string policy;
  std::string prior;
  std::string predictor;
  std::vector<SourceOptions> prompts;
  std::int64_t max_prompts = 0;
  std::map<std::string, std::int64_t> set;
  std::int64_t samples_per_prompt = 10;
  SamplingOptions sampling{.top_k = 0, .temperature = 0.7, .top_p = 0.9};
  BetaOptions beta;
  std::int64_t batch_tokens = 16384;
  std::int64_t iterations = 2;

  void fields(auto& field) {
    field("policy", policy, "model folder Q' that answers the prompts at the label, and that training starts from");
    field("prior", prior,
          "model folder that was trained without labels: how probable a response is before a label is asked for");
    field("predictor", predictor,
          "model folder whose scores say by the Beta law how probable the label is, given a response");
    field("prompts", prompts, Shape::one_or_list,
          "sources: each record up to its last user turn, or lines with prompt or turns; none: data.train has the "
          "responses");
    field("max_prompts", max_prompts, at_least(0), "prompts taken; 0: all");
    field("set", set, "dials of the one label; the others take the policy's defaults");
    field("samples_per_prompt", samples_per_prompt, between(2, largest_count::samples),
          "responses for each prompt, n of the paper");
    field("sampling", sampling, "how responses are sampled");
    field("beta", beta, "from the predictor's scores to the probability of the label");
    field("batch_tokens", batch_tokens, at_least(1), "tokens scored at once; bounds memory, never changes a score");
    field("iterations", iterations, between(1, 1000),
          "rounds of sampling and training, each from the policy of the one before");
  }
};

struct GenerateOptions {
  std::string model;
  std::vector<SourceOptions> prompts;
  std::int64_t max_prompts = 0;
  std::map<std::string, std::int64_t> set;
  std::int64_t samples_per_prompt = 1;
  SamplingOptions sampling;
  std::string output;
  std::string shard = "0/1";
  OnBadRecord on_bad_record = OnBadRecord::quarantine;
  double max_bad_share = 0.05;

  void fields(auto& field) {
    field("model", model, Shape::path_or_section, "model folder");
    field("prompts", prompts, Shape::one_or_list,
          "sources: each record up to its last user turn, or lines with prompt or turns");
    field("max_prompts", max_prompts, at_least(0), "prompts taken; 0: all");
    field("set", set, "dials; the others take the model folder's defaults");
    field("samples_per_prompt", samples_per_prompt, between(1, largest_count::samples), "answers for each prompt");
    field("sampling", sampling, "how answers are sampled");
    field("output", output, "JSON lines");
    field("shard", shard, "i/n: answer the i-th of n parts of the prompts (i from 0) into an output of its own");
    field("on_bad_record", on_bad_record,
          "stop at the first line that gives no prompt or one longer than the context, or put it aside and go on");
    field("max_bad_share", max_bad_share, between(0, 1), "a larger share of bad records ends with exit 3");
  }
};

struct DialOptions {
  std::vector<SourceOptions> prompts;
  std::int64_t max_prompts = 0;
  std::vector<std::string> attributes;  // empty ("all" in a recipe): all
  std::vector<std::int64_t> levels;     // likewise
  std::int64_t samples_per_prompt = 1;
  SamplingOptions sampling;
  Judge judge = Judge::text;
  std::map<std::string, TextMeasure> measures;  // attribute -> what judges it
  std::string edges;                            // eval/measure_bins.h
  std::string perplexity_model;

  void fields(auto& field) {
    field("prompts", prompts, Shape::one_or_list, "sources of the fixed prompts of the sweep");
    field("max_prompts", max_prompts, at_least(0), "prompts taken; 0: all");
    field("attributes", attributes, Shape::all_or_list, "dials that are swept; all: every one");
    field("levels", levels, Shape::all_or_list,
          "levels that each dial is set to; all: from the smallest to the largest");
    field("samples_per_prompt", samples_per_prompt, between(1, largest_count::samples),
          "answers for each prompt and level");
    field("sampling", sampling, "how answers are sampled");
    field(
        "judge", judge,
        "toy: the toy language's oracle; predictor: the predictor's scores; text: what is measured of the text alone");
    field("measures", measures,
          "of judge text: for each attribute the measure that it is judged by, as `data measure` has them");
    field("edges", edges,
          "of judge text, in place of measures: a file of `data measure --write-edges`; the levels that answers have "
          "are compared with those asked for");
    field(
        "perplexity_model", perplexity_model,
        "language model, of any tokenizer, under which the perplexity of the answers is measured, as its own template "
        "writes them without labels");
  }
};

struct PairOptions {
  std::vector<SourceOptions> sources;
  std::map<std::string, double> attribute_weights;  // empty: helpfulness, else the first score

  void fields(auto& field) {
    field("sources", sources, Shape::one_or_list, "preference pairs, or files of RewardBench 1 or 2");
    field("attribute_weights", attribute_weights,
          "a response's reward is this weighted sum of its scores; none: helpfulness, else the first");
  }
};

struct TokenizerOptions {
  std::vector<std::string> input;
  Format format = Format::auto_detect;
  std::int64_t vocab_size = 4096;
  TokenizerKind kind = TokenizerKind::unigram;
  std::string output;

  void fields(auto& field) {
    field("input", input, Shape::one_or_list, "text or record files");
    field("format", format, "what the files hold; auto recognises records, and texts by a name that ends in .txt");
    field("vocab_size", vocab_size, between(1, 1e7), "pieces");
    field("kind", kind, "unigram or bpe");
    field("output", output, "the sentencepiece model");
  }
};

// Which keys of `attributes` a recipe gives, and where each stands ("sft.yaml:3:12"; "": it is not given). What it
// leaves out is the model folder's, where there is one with attributes.
struct AttributesGiven {
  bool all = false;  // a stage has settled every key
  std::string names, min, max;
  std::map<std::string, std::string> defaults;  // by attribute

  explicit operator bool() const { return all || !names.empty() || !min.empty() || !max.empty() || !defaults.empty(); }
};

// After load_recipe every member that the stage uses is resolved: method defaults are in, checks are done.
struct Recipe {
  Stage stage = Stage::sft;
  Method method = Method::steerlm;
  std::int64_t seed = 1234;
  std::string run_dir;
  std::string device = "auto";                 // auto | cpu | cuda | cuda:N
  Precision precision = Precision::automatic;  // stays so only with device auto: the machine decides
  double max_minutes = 0;
  ModelOptions model;
  // The recipe's, else the method's, until a stage has looked at its model folder; none of the method where it
  // has_folder_attributes. Where it is the method's, `defaults` has an entry for every name.
  AttributeOptions attributes;
  AttributesGiven attributes_given;
  bool without_labels = false;    // of a settled recipe: it was looked for a label in data.train, and none is there
  TemplateOptions text_template;  // key `template`
  TemplateGiven template_given;
  DataOptions data;
  BadRecordOptions bad_records;  // of training stages, keys at the top level
  PredictorOptions head;
  std::optional<LoraOptions> lora;  // training stages: train an adapter of model.path instead of all weights
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  TrainOptions train;  // exactly one of epochs and steps is set in a training stage
  EvaluateOptions evaluate;
  CheckpointOptions checkpoint;
  AnnotateOptions annotate;    // keys at the top level of an annotate recipe
  BootstrapOptions bootstrap;  // likewise
  Steerlm2Options steerlm2;    // likewise
  GenerateOptions generate;    // likewise
  std::string predictor;       // evaluate
  std::optional<DialOptions> dials;
  std::optional<PairOptions> pairs;
  TokenizerOptions tokenizer;
  std::vector<std::string> without_effect;  // what was given and changes nothing, a sentence each

  // The keys that a recipe of this stage may have. The first six are taken by every stage, so that scripts can write
  // them alike.
  void fields(auto& field) {
    const bool steerlm2_stage = stage == Stage::steerlm2;  // its policy says model and attributes
    const bool trains =
        stage == Stage::train_predictor || stage == Stage::sft || stage == Stage::bootstrap || steerlm2_stage;
    const bool evaluates = stage == Stage::evaluate;
    field("stage", stage, "what the recipe is for");
    field("method", method, "generation of the method; sets defaults only");
    field("seed", seed, at_least(0), "key of every random draw");
    field("run_dir", run_dir, "run directory: log, metrics, checkpoints, model");
    field("device", device, "auto, cpu, cuda or cuda:N; auto: a GPU where there is one");
    field("precision", precision,
          "of the computation; auto: fp32 on cpu, whatever the processor, so that the numbers are the same; bf16 on "
          "cuda");
    if (stage == Stage::annotate || stage == Stage::generate || stage == Stage::bootstrap || steerlm2_stage ||
        evaluates || stage == Stage::pipeline) {
      field("max_minutes", max_minutes, at_least(0),
            "time limit of the whole run: it ends within its batch, everything is saved, exit 75; 0: none");
    }
    if ((trains && !steerlm2_stage) || evaluates)
      field("model", model, Shape::path_or_section, "the model that is trained, or measured");
    const bool answers = stage == Stage::annotate || stage == Stage::generate;
    if ((trains && !steerlm2_stage) || evaluates || stage == Stage::pipeline)
      field("attributes", attributes, "the dials");
    if (trains || evaluates || answers || stage == Stage::pipeline) field("template", text_template, "prompt format");
    if (trains || evaluates) field("data", data, "records");
    if (trains) bad_records.fields(field);
    if (stage == Stage::train_predictor) field("head", head, "what predicts the attributes");
    if (trains) {
      field("lora", lora, "train a LoRA adapter of model.path; model/ is then PEFT's adapter folder");
      field("optimizer", optimizer, "AdamW");
      field("schedule", schedule, "learning rate over the steps");
      field("train", train, "length of the training and size of a step");
      field("evaluate", evaluate, "when validation runs");
      field("checkpoint", checkpoint, "what is saved on the way");
    }
    if (stage == Stage::annotate) annotate.fields(field);
    if (stage == Stage::bootstrap) bootstrap.fields(field);
    if (steerlm2_stage) steerlm2.fields(field);
    if (stage == Stage::generate) generate.fields(field);
    if (evaluates) {
      field("predictor", predictor, "predictor's model folder: its metrics on data.validation");
      field("dials", dials, "how well the dials of the model steer");
      field("pairs", pairs, "how often the predictor scores the better of two responses higher");
    }
    if (stage == Stage::tokenizer) field("tokenizer", tokenizer, "a sentencepiece model");
  }
};

// Whether the attributes are those of the model folder, with which the recipe's own are compared: such a stage takes
// none from the method or from its pipeline.
inline bool has_folder_attributes(Stage stage) { return stage == Stage::bootstrap || stage == Stage::evaluate; }

// Whether a stage uses a key inside one of its sections; all but these are used wherever the section is.
inline bool uses_key(Stage stage, std::string_view path) {
  const bool fresh_model = path == "model.init" || path == "model.tokenizer";
  if (stage == Stage::bootstrap || stage == Stage::steerlm2) return !fresh_model && path != "data.fold";
  if (stage == Stage::evaluate) {
    return !fresh_model && path != "data.fold" && path != "data.train" && path != "data.validation_fraction" &&
           path != "data.shuffle" && path != "data.cache_dir";
  }
  return true;
}

}  // namespace steerlm
