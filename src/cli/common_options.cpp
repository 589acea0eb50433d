#include "cli/common_options.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "steerlm/cli/choice.h"
#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"
#include "steerlm/text/options.h"

namespace steerlm {

namespace {

// As in a recipe there is no largest value; of CLI::Range's it would have 309 digits in the message.
std::string refuse_below_zero(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool number = !text.empty() && *end == '\0';  // what is none is refused by the conversion
  return !number || (std::isfinite(value) && value >= 0) ? "" : "Value " + text + " not in range 0 on";
}

}  // namespace

void add_sampling_options(CLI::App& command, SamplingOptions& sampling, std::int64_t& seed) {
  command.add_option("--max-new-tokens", sampling.max_new_tokens, "longest response, in tokens")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command.add_option("--temperature", sampling.temperature, "0 takes the most probable token each time")
      ->check(refuse_below_zero)
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "sample from the k most probable tokens; 0: all")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "sample from the smallest set with this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command.add_option("--seed", seed, "seed of the random draws")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
}

void add_overwrite(CLI::App& command, bool& overwrite) {
  command.add_flag("--overwrite", overwrite, "replace an existing output file");
}

void add_template_option(CLI::App& command, std::string& name) {
  command.add_option("--template", name,
                     join(enum_choices<TemplateName>()) +
                         "; default: the one of the folder's steerlm.json, else of its chat template, else steerlm");
}

void add_shard_size(CLI::App& command, std::string& size) {
  size = "5GB";
  command.add_option("--max-shard-size", size, "largest weight file: a number with KB, MB, GB or TB")
      ->capture_default_str();
}

void add_merge_options(CLI::App& command, JobArguments& arguments) {
  command
      .add_option("--merge", arguments.merge,
                  "put the outputs of shards, which follow, together in this file; nothing else is done")
      ->type_name("OUT");
}

void add_job_options(CLI::App& command, JobArguments& arguments) {
  add_overwrite(command, arguments.overwrite);
  command.add_flag("--fresh", arguments.fresh, "start over: what an earlier, unfinished command has left is removed");
  command.add_flag("--quiet", arguments.quiet, "warnings and errors only");
  command.add_option("--max-minutes", arguments.max_minutes, "time limit, then exit 75; the same command goes on")
      ->check(CLI::Range(0.0, std::numeric_limits<double>::max()));
  command.add_option("--shard", arguments.shard, "i/n: the i-th of n parts of the input, i from 0")
      ->capture_default_str();
  add_merge_options(command, arguments);
  command.add_option("SHARDS", arguments.shards, "of --merge: the outputs of the shards");
}

void add_device_options(CLI::App& command, std::string& device, std::string& precision) {
  command.add_option("--device", device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--precision", precision, "auto, fp32 or bf16")->capture_default_str();
}

Format parse_format(const std::string& name) { return parse_choice<Format>(name, "format", "--format"); }

}  // namespace steerlm
