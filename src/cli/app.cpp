#include "cli/app.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/explain.h"
#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

void print_error(const std::string& text) { std::fprintf(stderr, "error: %s\n", text.c_str()); }

int report_out_of_memory() {
  print_error(
      "out of memory; make train.micro_batch_tokens, batch_tokens or the batch smaller, or use a machine with more");
  return static_cast<int>(ExitCode::resources);
}

}  // namespace

int run_caught(const std::function<int()>& action) {
  try {
    return action();
  } catch (const Error& error) {
    for (const Fault& fault : error.faults()) print_error(format_fault(fault));
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    return report_out_of_memory();
  } catch (const std::exception& error) {
    // libtorch tells out of memory by its text alone.
    const std::string_view text = error.what();
    for (const char* mark : {"DefaultCPUAllocator", "not enough memory", "out of memory"}) {
      if (text.find(mark) != std::string_view::npos) return report_out_of_memory();
    }
    for (const char* mark : {"CUDA", "CUBLAS", "cublas"}) {
      if (text.find(mark) == std::string_view::npos) continue;
      print_error("the GPU failed: " + std::string(text.substr(0, text.find('\n'))) +
                  "; 'steerlm doctor' tries each kernel, and the same command goes on where a run was saved");
      return static_cast<int>(ExitCode::resources);
    }
  } catch (...) {
  }
  print_error(
      "the program has failed in a way that it does not know; this is a mistake of steerlm itself. Please report it "
      "with the "
      "command line, the recipe and the output of 'steerlm --version'");
  return static_cast<int>(ExitCode::bug);
}

namespace {

int parse_and_run(int argc, char** argv, const ComputeCommands& (*compute)()) {
  CLI::App app("SteerLM: train attribute predictors, annotate data, fine-tune and steer language models.", "steerlm");
  Invocation invocation{.compute = compute, .action = {}};
  app.require_subcommand(1);
  app.set_version_flag(
      "--version", [compute] { return compute().version(); },
      "Print version, libtorch, compiler, CPU features and what models are read");
  add_stage_commands(app, invocation);
  add_experiment_command(app, invocation);
  add_judgement_commands(app, invocation);
  add_inference_commands(app, invocation);
  add_report_command(app, invocation);
  add_chat_command(app, invocation);
  add_data_commands(app, invocation);
  add_model_commands(app, invocation);
  add_tokenizer_commands(app, invocation);
  add_recipe_commands(app, invocation);
  add_doctor_command(app, invocation);
  std::optional<int> code;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (!asks_for_help(app, argc, argv, error)) fail(ExitCode::recipe, explain(app, argc, argv, error));
    code = app.exit(error, std::cout, std::cerr);
  }
  if (!code) {
    check_arguments(app);
    code = invocation.action();
  }
  std::cout.flush();
  if (!std::cout || std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fail(ExitCode::resources,
         {.what = "cannot write all of the output",
          .where = "standard output",
          .advice = "it is closed, its disk is full, or the file size limit (ulimit -f) is too small"});
  }
  return *code;
}

}  // namespace

int run_program(int argc, char** argv, const ComputeCommands& (*compute)()) {
  return run_caught([&] { return parse_and_run(argc, argv, compute); });
}

}  // namespace steerlm
