// steerlm model import.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "cli/inference_options.h"
#include "cli/model_commands.h"
#include "steerlm/core/output.h"
#include "steerlm/core/suggest.h"
#include "steerlm/hf/gguf_import.h"
#include "steerlm/nn/cost.h"

namespace steerlm {
namespace {

struct ImportArguments {
  std::string gguf, output, dtype = "fp32", max_shard_size;
  bool overwrite = false;
};

int import_model(const ImportArguments& arguments) {
  check_dtype(arguments.dtype);
  const std::uint64_t max_shard_bytes = parse_shard_size(arguments.max_shard_size);
  const Path output =
      check_output_folder(arguments.output, {.overwrite = arguments.overwrite, .inputs = {arguments.gguf}});
  give_large_tensors_back();
  const GgufFile file = GgufFile::open(arguments.gguf);
  GgufImport made;
  make_output_folder(output,
                     [&](const Path& path) { made = import_gguf(file, path, arguments.dtype, max_shard_bytes); });
  if (!made.unused_keys.empty()) std::cerr << fmt::format("{}: not used: {}\n", arguments.gguf, join(made.unused_keys));
  std::cerr << fmt::format("{}: {}, {} parameters in {}, {} weight file(s)\n", arguments.output,
                           enum_name(made.config.model.family),
                           count_parameters(made.config.model, {.language_model = true}), arguments.dtype,
                           weight_paths(arguments.output).size());
  return 0;
}

}  // namespace

void add_model_import(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<ImportArguments>();
  CLI::App* command = group.add_subcommand("import", "Make a model folder of a GGUF file of llama.cpp");
  command->add_option("--gguf", arguments->gguf, "GGUF file of a llama, qwen2 or qwen3 model")->required();
  command->add_option("--output", arguments->output, "the model folder to make")->required();
  command->add_option("--dtype", arguments->dtype, "of the weights: " + join(supported_dtypes(), ", "))
      ->capture_default_str();
  add_overwrite(*command, arguments->overwrite);
  add_shard_size(*command, arguments->max_shard_size);
  command->callback([&invocation, arguments] { invocation.action = [arguments] { return import_model(*arguments); }; });
}

}  // namespace steerlm
