// One function a group of commands, each in a file of its own: adds the options, and sets the action when its command
// is parsed.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>

#include <string>
#include <vector>

#include "cli/app.h"
#include "steerlm/hf/model_folder.h"

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

// The file that this process runs. Throws resources, with `advice`, where there is no /proc.
std::string this_program(const std::string& advice);

// The recipes that come with the program: beside it in the build folder, in share/ of an installed tree. Throws recipe
// where they are not installed.
Path recipe_folder();

// What --version prints.
std::string version_text();

// On standard error, one line each: what a model folder or its tokenizer makes it necessary to say.
void print_notes(const std::vector<std::string>& notes);

}  // namespace steerlm
