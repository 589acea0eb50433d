// steerlm model init.
#include <iostream>

#include "commands/commands.h"
#include "commands/model_options.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/output.h"
#include "steerlm/hf/config.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/nn/cost.h"
#include "steerlm/nn/init.h"

namespace steerlm {
int commands::model_init(const ModelInitArguments& arguments) {
  const std::uint64_t max_shard_bytes = parse_shard_size(arguments.max_shard_size);
  const Path output =
      check_output_folder(arguments.output, {.overwrite = arguments.overwrite, .inputs = {arguments.tokenizer}});
  const Tokenizer tokenizer = Tokenizer::load(arguments.tokenizer);
  print_notes(tokenizer.notes());
  ModelFolder folder;
  folder.config = complete_config(arguments.config, tokenizer.vocab_size(), 0);
  check_model_config(folder.config, "model init");
  const HeadShape head{.language_model = true};
  make_output_folder(output, [&](const Path& path) {
    write_model_folder(path, folder, init_parameters(folder.config, head, static_cast<std::uint64_t>(arguments.seed)),
                       tokenizer, max_shard_bytes, ModelCard{});
  });
  std::cerr << arguments.output << ": a fresh language model of " << count_parameters(folder.config, head)
            << " parameters\n";
  return 0;
}

}  // namespace steerlm
