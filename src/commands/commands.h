// The commands that compute; ComputeCommands says what each does.
#pragma once

#include <string>

#include "steerlm/cli/compute.h"

// In a namespace of their own: they are called like the functions that do their work.
namespace steerlm::commands {

std::string version();
int run_recipe(const RecipeRun& arguments);
int crossvalidate(const RecipeRun& arguments);
int merge(const JobArguments& arguments);
int experiment(const ExperimentArguments& arguments);
int write_judgements(const ComparisonArguments& arguments);
int read_judgements(const JudgedArguments& arguments);
int generate(const GenerateArguments& arguments);
int score(const ScoreArguments& arguments);
int report(const ReportArguments& arguments);
int chat(const ChatArguments& arguments);
int check_data(const DataInput& input);
int data_statistics(const DataInput& input);
int show_mask(const ShowMaskArguments& arguments);
int train_tokenizer(const TokenizerTrainingArguments& arguments);
int model_init(const ModelInitArguments& arguments);
int model_info(const ModelInfoArguments& arguments);
int model_export(const ModelCopyArguments& arguments);
int model_add_tokens(const ModelCopyArguments& arguments);
int model_merge(const ModelCopyArguments& arguments);
int model_import(const ModelImportArguments& arguments);
int doctor();

}  // namespace steerlm::commands
