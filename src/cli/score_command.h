#pragma once

#include <CLI/App.hpp>

#include "cli/commands.h"

namespace steerlm {

void add_score_command(CLI::App& app, Invocation& invocation);

}  // namespace steerlm
