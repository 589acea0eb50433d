// Options that several commands have.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <string>

#include "steerlm/cli/compute.h"
#include "steerlm/data/options.h"
#include "steerlm/infer/options.h"

namespace steerlm {

// --max-new-tokens, --temperature, --top-k, --top-p, --seed; the values that are there are the defaults.
void add_sampling_options(CLI::App& command, SamplingOptions& sampling, std::int64_t& seed);
// --overwrite
void add_overwrite(CLI::App& command, bool& overwrite);
// --template, which every command that writes conversations of a model folder has.
void add_template_option(CLI::App& command, std::string& name);
// --max-shard-size
void add_shard_size(CLI::App& command, std::string& size);
// --overwrite, --fresh, --quiet, --max-minutes, --shard, --merge
void add_job_options(CLI::App& command, JobArguments& arguments);
// --merge alone, for a command whose other options are a recipe's.
void add_merge_options(CLI::App& command, JobArguments& arguments);
// --device and --precision
void add_device_options(CLI::App& command, std::string& device, std::string& precision);

Format parse_format(const std::string& name);  // of --format; throws recipe

}  // namespace steerlm
