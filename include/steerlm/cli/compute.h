// The border inside the program: command lines are read by a small program without libtorch, and what computes is a
// library that it loads when a command needs it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/data/options.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/infer/options.h"
#include "steerlm/nn/options.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/text/options.h"

namespace steerlm {

// A command's arguments, as they were given; the defaults are the command's. "": not given.

// A job whose output a stopped or killed command goes on with, and which may be one shard of several.
struct JobArguments {
  std::string output, shard = "0/1", merge;
  std::vector<std::string> shards;  // of merge
  std::string command;              // that made them
  double max_minutes = 0;
  bool overwrite = false, fresh = false, quiet = false;
};

// Every command with a recipe.
struct RecipeRun {
  std::string recipe;
  std::vector<std::string> overrides;
  std::optional<Stage> stage;       // none: whichever the recipe is
  std::string only, from;           // pipeline: run this step alone; start with this step
  std::vector<std::int64_t> seeds;  // pipeline: run once with each
  std::int64_t folds = 5;           // crossvalidate
  bool fresh = false, overwrite = false, dry_run = false, quiet = false;
  std::string machine;
  JobArguments job;  // of --merge
};

struct ComparisonArguments {
  std::vector<std::string> answers;  // NAME=FILE
  std::string output;
  std::string judge;  // "": somebody outside; toy: the oracle of the toy language
  bool overwrite = false;
};

struct JudgedArguments {
  std::string comparisons, judged, output;
  std::uint64_t seed = 1234;
  bool overwrite = false;
};

struct ExperimentArguments {
  std::vector<std::string> experiments, files;  // as named; the files that these are
  std::string output;
  std::optional<std::int64_t> seeds;
  bool quick = false;
  ComparisonArguments comparisons;
  bool dry_run = false, quiet = false;
};

struct GenerateArguments {
  std::string model, prompt, input, text_template, device = "auto", precision = "auto";
  std::optional<std::string> system;
  std::vector<std::string> set;
  bool raw = false;
  SamplingOptions sampling{.top_k = 0, .temperature = 0, .top_p = 1, .max_new_tokens = 512};
  std::int64_t samples = 1, seed = 1234;
  JobArguments job{.output = "-"};
};

struct ScoreArguments {
  std::string model, input, text_template, device = "auto", precision = "auto";
  JobArguments job;
  bool no_labels = false;      // of a language model: log P(y|x)
  bool responses = false;      // records of SteerLM 2.0 in and out
  bool label_logprob = false;  // of a predictor: log P(a|x,y)
  double concentration = BetaOptions().concentration;
  std::string edges{enum_name(BetaOptions().edges)}, combination{enum_name(BetaOptions().combination)};
};

struct ReportArguments {
  std::vector<std::string> runs;
  std::string output;
  bool overwrite = false;
};

struct ChatArguments {
  std::string model, text_template, device = "auto", precision = "auto";
  std::optional<std::string> system;
  std::vector<std::string> set;
  SamplingOptions sampling{.top_k = 0, .temperature = 0.7, .top_p = 1, .max_new_tokens = 512};
  std::int64_t seed = 1234;
};

// `data check` and `data stats`: a recipe, or a file.
struct DataInput {
  std::string recipe;
  std::vector<std::string> overrides;
  SourceOptions source;
  Attributes attributes;  // no names: labels are taken as written, ratings become labels as `reading` says
  ReadOptions reading;
};

struct ShowMaskArguments {
  std::string model, text_template;
  SourceOptions source;
  bool json = false;
};

struct TokenizerTrainingArguments {
  TokenizerOptions options;
  std::int64_t seed = 1234;
  bool overwrite = false;
};

struct ModelInitArguments {
  std::string output, tokenizer;
  std::int64_t seed = 1234;
  ModelConfig config;
  std::string max_shard_size;
  bool overwrite = false;
};

struct ModelInfoArguments {
  std::string model, text_template;
};

struct ModelCopyArguments {
  std::string model, output, max_shard_size;
  std::string dtype;   // export
  std::string tokens;  // add-tokens
  std::string base;    // merge
  bool overwrite = false;
};

struct ModelImportArguments {
  std::string gguf, output, dtype = "fp32", max_shard_size;
  bool overwrite = false;
};

// What computes. Each command does its work and returns the exit code; it throws Error.
struct ComputeCommands {
  std::int64_t build;        // STEERLM_COMPUTE, of the text of these structs: program and library are of one build
  std::string (*version)();  // what --version prints
  int (*run_recipe)(const RecipeRun&);
  int (*crossvalidate)(const RecipeRun&);
  int (*merge)(const JobArguments&);
  int (*experiment)(const ExperimentArguments&);
  int (*write_judgements)(const ComparisonArguments&);
  int (*read_judgements)(const JudgedArguments&);
  int (*generate)(const GenerateArguments&);
  int (*score)(const ScoreArguments&);
  int (*report)(const ReportArguments&);
  int (*chat)(const ChatArguments&);
  int (*check_data)(const DataInput&);
  int (*data_statistics)(const DataInput&);
  int (*show_mask)(const ShowMaskArguments&);
  int (*train_tokenizer)(const TokenizerTrainingArguments&);
  int (*model_init)(const ModelInitArguments&);
  int (*model_info)(const ModelInfoArguments&);
  int (*model_export)(const ModelCopyArguments&);
  int (*model_add_tokens)(const ModelCopyArguments&);
  int (*model_merge)(const ModelCopyArguments&);
  int (*model_import)(const ModelImportArguments&);
  int (*doctor)();
};

// In libsteerlm_compute.so, under this name for dlsym.
extern "C" const ComputeCommands& steerlm_compute_commands();

// The file that this process runs. Throws resources, with `advice`, where there is no /proc.
std::string this_program(const std::string& advice);

}  // namespace steerlm
