// A list of steps, each run as its own process of this program: a crash of one is an exit code here, and its memory is
// given back.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <set>

#include "stages/settle.h"
#include "steerlm/core/lock.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/suggest.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

struct ProcessResult {
  int code = 0;                  // exit code; 128 + signal where a signal ended it
  std::int64_t peak_memory = 0;  // bytes, resident
};

// Runs `program arguments…` with `input` on standard input; signals that ask to stop are passed on.
ProcessResult run_process(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& input) {
  std::FILE* file = std::tmpfile();
  if (file == nullptr || std::fwrite(input.data(), 1, input.size(), file) != input.size() || std::fflush(file) != 0) {
    fail(ExitCode::resources, {.what = std::string("cannot write a temporary file: ") + std::strerror(errno)});
  }
  std::rewind(file);
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) fail(ExitCode::resources, {.what = std::string("cannot start a process: ") + std::strerror(errno)});
  if (child == 0) {
    ::dup2(::fileno(file), STDIN_FILENO);
    ::setpgid(0, 0);  // a Ctrl-C reaches the step once, through us
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }
  std::fclose(file);
  bool passed_on = false;
  for (;;) {
    int status = 0;
    rusage usage{};
    if (::wait4(child, &status, WNOHANG, &usage) == child) {
      return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), usage.ru_maxrss * 1024};
    }
    if (stop_requested() && !passed_on) {
      ::kill(child, SIGTERM);
      passed_on = true;
    }
    ::usleep(20'000);
  }
}

void check_selection(const Pipeline& pipeline, const std::string& name, const char* option) {
  std::vector<std::string> names;
  for (const PipelineStep& step : pipeline.steps) names.push_back(step.name);
  if (name.empty() || std::ranges::find(names, name) != names.end()) return;
  fail(ExitCode::recipe, {.what = "no step is named '" + name + "'",
                          .where = option,
                          .expected = "one of " + join(names),
                          .advice = suggest(name, names)});
}

}  // namespace

int run_pipeline(const std::string& recipe_path, const std::vector<std::string>& overrides,
                 const PipelineSelection& selection, const std::string& program, const Context& context) {
  const Pipeline pipeline = load_pipeline(recipe_path, overrides);
  check_selection(pipeline, selection.only, "--only");
  check_selection(pipeline, selection.from, "--from");
  if (context.dry_run) {
    for (const PipelineStep& step : pipeline.steps)
      context.log->info(fmt::format("step {} ({})", step.name, enum_name(step.stage)));
    return 0;
  }
  make_directory(pipeline.run_dir);
  const DirectoryLock lock(pipeline.run_dir);
  context.log->open_file(Path(pipeline.run_dir) / "log.txt");
  write_file_atomic(Path(pipeline.run_dir) / "recipe.yaml", pipeline.recipe_yaml);

  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [](auto since) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
  };
  bool reached = selection.from.empty();
  std::set<std::string> ran;
  for (size_t i = 0; i < pipeline.steps.size(); ++i) {
    const PipelineStep& step = pipeline.steps[i];
    reached = reached || step.name == selection.from;
    if (!reached || (!selection.only.empty() && step.name != selection.only)) continue;
    const std::string title =
        fmt::format("[{}/{}] {} ({})", i + 1, pipeline.steps.size(), step.name, enum_name(step.stage));

    // A step that is whole and whose recipe and inputs are as they were is skipped; one that has changed starts over.
    const Recipe recipe = settle_recipe(load_recipe_text(step.recipe_yaml, "step " + step.name));
    const bool rebuilt =
        std::ranges::any_of(step.depends_on, [&](const std::string& name) { return ran.contains(name); });
    std::vector<std::string> changed;
    const bool finished = is_finished_run(recipe.run_dir, recipe, changed);
    if (finished && !rebuilt && !context.fresh) {
      context.log->info(title + ": done already, skipped");
      continue;
    }
    const bool start_over = context.fresh || rebuilt || !changed.empty();
    if (!changed.empty()) context.log->info(title + ": starts over, " + join(changed, "; "));
    context.log->info(title);
    const auto step_begin = std::chrono::steady_clock::now();
    std::vector<std::string> arguments{"run", "-"};
    if (start_over) arguments.push_back("--fresh");
    if (context.quiet) arguments.push_back("--quiet");
    const auto [code, peak_memory] = run_process(program, arguments, step.recipe_yaml);
    if (code != 0) {
      if (code == static_cast<int>(ExitCode::stopped))
        context.log->info(title + ": stopped; the same command goes on");
      else
        context.log->error(fmt::format("{} ended with exit code {}", title, code));
      return code;
    }
    ran.insert(step.name);
    context.log->info(fmt::format("{}: done in {}, at most {} of memory", title, format_duration(seconds(step_begin)),
                                  format_bytes(peak_memory)));
    if (stop_requested()) return static_cast<int>(ExitCode::stopped);
  }
  for (const PipelineStep& step : pipeline.steps) {
    const Path model = Path(load_recipe_text(step.recipe_yaml, "step " + step.name).run_dir) / "model";
    if (is_there(model, ExitCode::resources))
      context.log->info(fmt::format("{}: the model is in {}", step.name, model.string()));
  }
  context.log->info(
      fmt::format("pipeline done in {}; everything is in {}", format_duration(seconds(begin)), pipeline.run_dir));
  return 0;
}

}  // namespace steerlm
