#include "cli/app.h"

#include <torch/headeronly/version.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"
#include "steerlm/hf/config.h"

namespace steerlm {
namespace {

// Instruction sets that decide which kernels run, and that sums may differ by.
std::string cpu_text() {
  std::string text;
  const auto add = [&](bool there, const char* name) {
    if (there) text += (text.empty() ? "" : " ") + std::string(name);
  };
  __builtin_cpu_init();
  add(__builtin_cpu_supports("sse4.2"), "sse4.2");
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512bw"), "avx512bw");
  add(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
  add(__builtin_cpu_supports("avx512bf16"), "avx512bf16");
  return text;
}

std::string version_text() {
  return "steerlm " STEERLM_VERSION "\nlibtorch " TORCH_VERSION "\ncompiler " __VERSION__ "\ncpu " + cpu_text() +
         "\nmodels " + join(supported_architectures()) +
         "\nmodel files config.json, model.safetensors or its shards, tokenizer files\ndtypes " +
         join(supported_dtypes());
}

std::vector<std::string> command_names(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : full_name(*app.get_parent()) + " " + app.get_name();
}

// What is wrong with the command line: walks the commands as far as they exist, then looks at the rest.
Fault explain(CLI::App& root, int argc, char** argv, const CLI::ParseError& error) {
  CLI::App* command = &root;
  int next = 1;
  for (; next < argc; ++next) {
    const std::vector<CLI::App*> below =
        command->get_subcommands([&](CLI::App* app) { return app->get_name() == argv[next]; });
    if (below.empty()) break;
    command = below[0];
  }
  const std::string advice = "see '" + full_name(*command) + " --help'";
  const std::vector<std::string> commands = command_names(*command);
  if (!commands.empty() && next == argc)
    return {.what = "a command is missing", .expected = "one of " + join(commands), .advice = advice};
  if (!commands.empty() && argv[next][0] != '-') {
    const std::string nearest = suggest(argv[next], commands);
    return {.what = "unknown command '" + std::string(argv[next]) + "'",
            .expected = "one of " + join(commands),
            .advice = nearest.empty() ? advice : nearest};
  }
  if (!commands.empty() || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> options = option_names(*command);
    for (; next < argc; ++next) {
      const std::string word = std::string(argv[next]).substr(0, std::string_view(argv[next]).find('='));
      if (!word.starts_with("--") || word == "--" || std::find(options.begin(), options.end(), word) != options.end())
        continue;
      const std::string nearest = suggest(word, options);
      return {.what = "unknown option '" + word + "'", .advice = nearest.empty() ? advice : nearest};
    }
    return {.what = "too many arguments: " + join(command->remaining(true), " "), .advice = advice};
  }
  return {.what = error.what(), .advice = advice};  // "--seed: 1 required INT missing" and the like
}

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
  } catch (...) {
  }
  print_error(
      "the program has failed in a way that it does not know; this is a mistake of steerlm itself. Please report it "
      "with the "
      "command line, the recipe and the output of 'steerlm --version'");
  return static_cast<int>(ExitCode::bug);
}

int run_program(int argc, char** argv) {
  CLI::App app("SteerLM: train attribute predictors, annotate data, fine-tune and steer language models.", "steerlm");
  Invocation invocation;
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text(),
                       "Print version, libtorch, compiler, CPU features and what models are read");
  add_stage_commands(app, invocation);
  add_inference_commands(app, invocation);
  add_chat_command(app, invocation);
  add_data_commands(app, invocation);
  add_model_commands(app, invocation);
  add_tokenizer_commands(app, invocation);
  add_recipe_commands(app, invocation);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, std::cout, std::cerr);
    print_error(format_fault(explain(app, argc, argv, error)));
    return static_cast<int>(ExitCode::recipe);
  }
  return run_caught([&] {
    const int code = invocation.action();
    std::cout.flush();
    if (!std::cout || std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      fail(ExitCode::resources,
           {.what = "cannot write all of the output: the device is full or closed", .where = "standard output"});
    }
    return code;
  });
}

}  // namespace steerlm
