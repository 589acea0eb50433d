#include "steerlm/stages/inputs.h"

#include "stages/recipe_shard.h"
#include "steerlm/core/paths.h"
#include "steerlm/data/dataset_file.h"
#include "steerlm/hf/adapter.h"
#include "steerlm/recipe/load.h"
#include "steerlm/stages/run_directory.h"

namespace steerlm {

std::vector<std::string> model_inputs(const std::string& folder) {
  std::vector<std::string> inputs{folder};
  if (is_adapter_folder(folder)) inputs.push_back(read_adapter_config(folder).base);
  return with_run_directories(std::move(inputs));
}

std::vector<std::string> with_run_directories(std::vector<std::string> inputs) {
  const std::vector<std::string> given = inputs;
  for (const std::string& input : given) {
    std::error_code error;
    const Path folder = std::filesystem::canonical(input, error);
    if (error || folder.filename() != "model") continue;
    const Path run = folder.parent_path();
    if (std::filesystem::exists(run / ".steerlm-run" / "run.json", error)) inputs.push_back(run.string());
  }
  return inputs;
}

std::vector<std::string> run_directory_files(const std::string& run_dir) {
  std::vector<std::string> files;
  for (const char* name :
       {"recipe.yaml", "environment.json", "metrics.jsonl", "log.txt", "done.json", "ledger.jsonl", ".steerlm-run"})
    files.push_back(run_dir + "/" + name);
  return files;
}

BlockOutputOptions output_options(const Recipe& recipe, const Context& context) {
  std::vector<std::string> inputs = with_run_directories(recipe_inputs(recipe));
  // "-" is whatever file standard input was redirected from.
  if (reads_standard_input(recipe)) inputs.push_back("-");
  if (!context.recipe.empty()) inputs.push_back(context.recipe);
  if (!recipe.run_dir.empty()) {
    for (std::string& file : run_directory_files(recipe.run_dir)) inputs.push_back(std::move(file));
  }
  return {.fresh = context.fresh,
          .overwrite = context.overwrite,
          .inputs = std::move(inputs),
          .is_shard = recipe_shard(recipe).is_part()};
}

Json output_identity(const Recipe& recipe, const Json& inputs) {
  Recipe same = recipe;
  same.run_dir.clear();
  same.device = "auto";
  same.max_minutes = 0;
  same.bad_records = {};
  same.annotate.batch_tokens = AnnotateOptions().batch_tokens;
  same.annotate.on_bad_record = AnnotateOptions().on_bad_record;
  same.annotate.max_bad_share = AnnotateOptions().max_bad_share;
  same.generate.on_bad_record = GenerateOptions().on_bad_record;
  same.generate.max_bad_share = GenerateOptions().max_bad_share;
  same.steerlm2.batch_tokens = Steerlm2Options().batch_tokens;
  return {{"inputs", inputs}, {"reading", dataset_file_format}, {"recipe", dump_recipe(same)}};
}

Json shard_job(const Recipe& recipe, const Json& inputs) {
  Recipe same = recipe;
  same.annotate.output.clear();
  same.annotate.shard = AnnotateOptions().shard;
  same.generate.output.clear();
  same.generate.shard = GenerateOptions().shard;
  Json job = output_identity(same, inputs);
  job["command"] = enum_name(recipe.stage);
  return job;
}

std::vector<std::string> outputs_of(const std::string& output, const Shard& shard) {
  std::vector<std::string> outputs{output};
  if (!shard.is_part()) return outputs;
  outputs.push_back(shard_file(output).string());
  // Which the merge reads; that of a whole run is its reader's, who may remove it.
  const Path bad = BlockOutput::quarantine_beside(output);
  if (is_there(bad, ExitCode::resources)) outputs.push_back(bad.string());
  return outputs;
}

}  // namespace steerlm
