// One function a group of commands, each in a file of its own: adds the options, and sets the action when its command
// is parsed. What computes is called through Invocation::compute.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/app.h"
#include "steerlm/core/fs.h"

namespace steerlm {

void add_recipe_commands(CLI::App& app, Invocation& invocation);
void add_tokenizer_commands(CLI::App& app, Invocation& invocation);
void add_stage_commands(CLI::App& app, Invocation& invocation);
void add_inference_commands(CLI::App& app, Invocation& invocation);
void add_chat_command(CLI::App& app, Invocation& invocation);
void add_data_commands(CLI::App& app, Invocation& invocation);
void add_model_commands(CLI::App& app, Invocation& invocation);
void add_report_command(CLI::App& app, Invocation& invocation);
void add_doctor_command(CLI::App& app, Invocation& invocation);
void add_experiment_command(CLI::App& app, Invocation& invocation);
void add_judgement_commands(CLI::App& app, Invocation& invocation);

// The recipes that come with the program: beside it in the build folder, in share/ of an installed tree. Throws recipe
// where they are not installed.
Path recipe_folder();

}  // namespace steerlm
