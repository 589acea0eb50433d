#include <c10/core/InferenceMode.h>

#include "commands/commands.h"
#include "steerlm/kernels/host_memory.h"

namespace steerlm {
namespace {

// The gradients are written out: no operation needs to look for a graph.
template <auto command, class... Arguments>
int run(const Arguments&... arguments) {
  const c10::InferenceMode no_autograd;
  return command(arguments...);
}

constexpr ComputeCommands table{
    .build = STEERLM_COMPUTE,
    .version = commands::version,
    .run_recipe = run<commands::run_recipe>,
    .crossvalidate = run<commands::crossvalidate>,
    .merge = run<commands::merge>,
    .experiment = run<commands::experiment>,
    .write_judgements = run<commands::write_judgements>,
    .read_judgements = run<commands::read_judgements>,
    .generate = run<commands::generate>,
    .score = run<commands::score>,
    .report = run<commands::report>,
    .chat = run<commands::chat>,
    .check_data = run<commands::check_data>,
    .data_statistics = run<commands::data_statistics>,
    .show_mask = run<commands::show_mask>,
    .train_tokenizer = run<commands::train_tokenizer>,
    .model_init = run<commands::model_init>,
    .model_info = run<commands::model_info>,
    .model_export = run<commands::model_export>,
    .model_add_tokens = run<commands::model_add_tokens>,
    .model_merge = run<commands::model_merge>,
    .model_import = run<commands::model_import>,
    .doctor = run<commands::doctor>,
};

}  // namespace

extern "C" const ComputeCommands& steerlm_compute_commands() {
  use_host_memory();
  return table;
}

}  // namespace steerlm
