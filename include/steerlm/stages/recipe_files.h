// The files that a recipe names.
#pragma once

#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/known_files.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

// A file or model folder that a recipe reads, as the recipe spells it; standard input is none.
struct RecipeInput {
  std::string path;
  ExitCode missing;  // what ends a run that does not find it
};
std::vector<RecipeInput> inputs_of(const Recipe& recipe);
// Without the base model that an adapter folder among them names: no file is opened.
std::vector<RecipeInput> named_inputs(const Recipe& recipe);
std::vector<std::string> recipe_inputs(const Recipe& recipe);  // their paths
bool reads_standard_input(const Recipe& recipe);
// Throws recipe where it would be read twice; `recipe_path`: "-" where the recipe itself came from there.
void check_standard_input(const Recipe& recipe, const std::string& recipe_path);
// Throws recipe where a recipe of which processes of their own run parts names it.
void refuse_standard_input(const Recipe& recipe, const std::string& where);

// [{"path", "size", "sha256"}], folders file by file. A missing one throws the exit code of its kind.
Json describe_inputs(const Recipe& recipe, KnownFiles& known);
// The same of files and model folders that a command line names; bases of adapters are added, standard input is left
// out.
Json describe_inputs(std::vector<RecipeInput> inputs, KnownFiles& known);

// What sets described inputs apart from those of an earlier run of the recipe: files that have changed, and files that
// are new in a folder that it reads, or gone from it. An input that the earlier run does not name is left alone: what
// the steps of a pipeline make for each other has other paths after the pipeline was moved, and versions of the program
// differ in what they name.
std::vector<std::string> input_differences(const Recipe& recipe, const Json& before, const Json& now);

// Where the encoded training data of a recipe is kept: data.cache_dir, else run_dir/data. Empty: the stage trains on
// none, or on features.
Path data_cache_folder(const Recipe& recipe);
// What is known of its input files there (core/known_files).
inline constexpr const char* known_files_name = "inputs.json";
KnownFiles known_inputs(const Recipe& recipe);

// Those of the inputs that are records, that are pairs of an evaluation, and that are prompts; standard input left out.
std::vector<SourceOptions> record_sources(const Recipe& recipe);
std::vector<SourceOptions> pair_sources(const Recipe& recipe);
std::vector<SourceOptions> prompt_sources(const Recipe& recipe);
// How the stage reads those that are records.
ReadOptions read_options(const Recipe& recipe);
// Of a training: attributes that nobody asked for are the method's, but where the data is HelpSteer's, whose ratings
// have names and a range of their own, of which those of method steerlm would leave out four.
void settle_ratings(Recipe& recipe);

// The run directories below that of a steerlm2 recipe, of one of its iterations (from 1), in their order: sample-1,
// prior-1, policy-1, predictor-1, train-1; and the files beside them that the first four write.
std::vector<std::string> steerlm2_parts(std::int64_t iteration);
std::vector<std::string> steerlm2_outputs(std::int64_t iteration);

// The files outside of its run directory that a recipe writes.
std::vector<std::string> recipe_outputs(const Recipe& recipe);

}  // namespace steerlm
