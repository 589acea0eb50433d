// steerlm model import.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "commands/commands.h"
#include "commands/model_options.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/output.h"
#include "steerlm/core/suggest.h"
#include "steerlm/hf/gguf_import.h"
#include "steerlm/nn/cost.h"

namespace steerlm {

int commands::model_import(const ModelImportArguments& arguments) {
  check_dtype(arguments.dtype);
  const std::uint64_t max_shard_bytes = parse_shard_size(arguments.max_shard_size);
  const Path output =
      check_output_folder(arguments.output, {.overwrite = arguments.overwrite, .inputs = {arguments.gguf}});
  give_large_tensors_back();
  const GgufFile file = GgufFile::open(arguments.gguf);
  GgufImport made;
  make_output_folder(output,
                     [&](const Path& path) { made = import_gguf(file, path, arguments.dtype, max_shard_bytes); });
  print_notes(made.notes);
  if (!made.unused_keys.empty()) std::cerr << fmt::format("{}: not used: {}\n", arguments.gguf, join(made.unused_keys));
  std::cerr << fmt::format("{}: {}, {} parameters in {}, {} weight file(s)\n", arguments.output,
                           enum_name(made.config.model.family),
                           count_parameters(made.config.model, {.language_model = true}), arguments.dtype,
                           weight_paths(arguments.output).size());
  return 0;
}

}  // namespace steerlm
