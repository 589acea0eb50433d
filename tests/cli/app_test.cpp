#include "cli/app.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "steerlm/core/error.h"
#include "steerlm/core/version.h"

namespace steerlm {
namespace {

struct Outcome {
  int code;
  std::string out, err;
};

Outcome captured(const std::function<int()>& act) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = act();
  std::cout.flush();
  const std::string out = testing::internal::GetCapturedStdout();
  return {code, out, testing::internal::GetCapturedStderr()};
}

Outcome run(std::vector<std::string> words) {
  words.insert(words.begin(), "steerlm");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return captured([&] { return run_program(static_cast<int>(argv.size()), argv.data(), steerlm_compute_commands); });
}

TEST(AppTest, HelpIsOnStdout) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--help"},
                                                {"recipe", "--help"},
                                                {"recipe", "show", "--help"},
                                                {"recipe", "check", "-h"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.out.find("Usage: steerlm"), std::string::npos) << outcome.out;
    EXPECT_EQ(outcome.err, "");
  }
  EXPECT_NE(run({"recipe", "show", "--help"}).out.find("OVERRIDES"), std::string::npos);
}

TEST(AppTest, VersionNamesLibtorchCompilerAndCpu) {
  const Outcome outcome = run({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out.rfind("steerlm " + program_version() + "\n", 0), 0u) << outcome.out;
  for (const char* word : {"libtorch 2.", "compiler ", "cpu ", "models LlamaForCausalLM, ", "model files config.json",
                           "dtypes fp32, bf16"})
    EXPECT_NE(outcome.out.find(word), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.err, "");
}

TEST(AppTest, MistakesOnTheCommandLine) {
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({}).err.rfind("error: a command is missing (expected one of ", 0), 0u);
  EXPECT_EQ(run({"recip"}).code, 2);
  EXPECT_NE(run({"recip"}).err.find("error: unknown command 'recip'"), std::string::npos);
  EXPECT_NE(run({"recip"}).err.find("; did you mean 'recipe'?\n"), std::string::npos);
  EXPECT_EQ(run({"--verion"}).err, "error: unknown option '--verion'; did you mean '--version'?\n");
  EXPECT_EQ(run({"--verion"}).code, 2);
}

TEST(AppTest, HelpOfACommandThatIsNone) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"stf", "--help"}, {"stf", "-h"}, {"stf", "--version"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find("error: unknown command 'stf'"), std::string::npos) << outcome.err;
  }
  EXPECT_EQ(run({"recipe", "shw", "--help"}).code, 2);
  EXPECT_EQ(run({"--help", "stf"}).code, 0);
  EXPECT_EQ(run({"recipe", "show", "none.yaml", "--help"}).code, 0);
}

TEST(AppTest, OptionsOfOtherPrograms) {
  const auto said = [](std::vector<std::string> words) {
    const Outcome outcome = run(std::move(words));
    EXPECT_EQ(outcome.code, 2);
    return outcome.err;
  };
  const std::string first = "; the recipe is the first argument: 'steerlm sft RECIPE'\n";
  EXPECT_EQ(said({"sft", "--config", "a.yaml"}), "error: unknown option '--config'" + first);
  EXPECT_EQ(said({"sft", "--config=a.yaml"}), "error: unknown option '--config'" + first);
  EXPECT_EQ(said({"sft", "-c", "a.yaml"}), "error: unknown option '-c'" + first);
  EXPECT_EQ(
      said({"sft", "a.yaml", "--lr", "1e-5"}),
      "error: unknown option '--lr'; a key of the recipe is written without dashes: optimizer.learning_rate=VALUE\n");
  EXPECT_EQ(
      said({"sft", "a.yaml", "--train.steps=5"}),
      "error: unknown option '--train.steps'; a key of the recipe is written without dashes: train.steps=VALUE\n");
  EXPECT_EQ(said({"sft", "a.yaml", "--frsh"}), "error: unknown option '--frsh'; did you mean '--fresh'?\n");
  EXPECT_EQ(said({"my.yaml"}).find("error: unknown command 'my.yaml'"), 0u);
  EXPECT_NE(said({"my.yaml"}).find("a recipe is run with 'steerlm run RECIPE'"), std::string::npos);
  for (const char* word : {"---", "-", "--=x", "-1"}) said({"recipe", "schema", word});
}

TEST(AppTest, ValuesThatNoOptionCanHave) {
  const auto said = [](const std::string& option, const std::string& value) {
    const Outcome outcome = run({"generate", "--model", "m", "--prompt", "p", option, value});
    EXPECT_EQ(outcome.code, 2);
    return outcome.err;
  };
  const std::string see = "; see 'steerlm generate --help'\n";
  EXPECT_EQ(said("--top-p", "1.5"),
            "error: --top-p: not a value of this option (found '1.5', expected a number from 0 to 1)" + see);
  EXPECT_EQ(said("--samples", "abc"),
            "error: --samples: not a value of this option (found 'abc', expected a number from 1 to 10000)" + see);
  // The ranges of a recipe's keys.
  EXPECT_EQ(said("--samples", "10001").find("error: --samples: not a value of this option (found '10001'"), 0u);
  for (const char* temperature : {"-0.5", "inf", "nan"}) {
    EXPECT_EQ(said("--temperature", temperature),
              std::string("error: --temperature: not a value of this option (found '") + temperature +
                  "', expected a number from 0 on)" + see);
  }
  EXPECT_EQ(said("--temperature", "warm"),
            "error: --temperature: not a value of this option (found 'warm', expected a number)" + see);
  for (const char* seed : {"99999999999999999999", "010", "0x10"})
    EXPECT_NE(said("--seed", seed).find(std::string("--seed: not a value of this option (found '") + seed),
              std::string::npos)
        << said("--seed", seed);
  EXPECT_EQ(run({"data", "make-toy", "--output", "o", "--count", "abc"}).err,
            "error: --count: not a value of this option (found 'abc', expected a number); see 'steerlm data make-toy "
            "--help'\n");
}

TEST(AppTest, ArgumentsThatAreEmpty) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"generate", "--model", "", "--prompt", "p"},
                                                {"generate", "--model", "m", "--input", ""},
                                                {"generate", "--model", "m", "--prompt", "p", "--output", ""},
                                                {"data", "check", "--input", ""},
                                                {"recipe", "list", ""},
                                                {"sft", ""}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.err.find(": the argument is empty\n"), std::string::npos) << outcome.err;
  }
  EXPECT_EQ(run({"generate", "--model", "none", "--prompt", "", "--system", ""}).code, 4) << "texts may be";
}

TEST(AppTest, PathsThatOnlyAShellExpands) {
  ::setenv("HOME", "/home/me", 1);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"model", "info", "--model", "~/x"},
        {"generate", "--model", "~/x", "--prompt", "p"},
        {"data", "convert", "--input", "~/x", "--output", "b"},
        {"data", "convert", "--input", "b", "--output", "~/x"},
        {"tokenizer", "train", "--input", "b", "--input", "~/x", "--output", "b", "--vocab-size", "9"},
        {"recipe", "init", "sft", "~/x"},
        {"report", "~/x", "--out", "page.html"},
        {"report", "run", "--out", "~/x"},
        {"experiment", "~/x", "--out", "out"},
        {"experiment", "m1-dials", "--out", "~/x"},
        {"score", "--merge", "~/x", "a", "b"},
        {"score", "--merge", "whole", "a", "~/x"},
        {"model", "import", "--gguf", "~/x", "--output", "folder"},
        {"data", "measure", "--input", "a", "--output", "b", "--attributes", "verbosity:words", "--edges", "~/x"},
        {"data", "measure", "--input", "a", "--output", "b", "--attributes", "verbosity:words", "--write-edges", "~/x"},
        {"judgements", "write", "--answers", "A=~/x", "--answers", "B=b", "--output", "c"},
        {"recipe", "check", "~/x"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.err.find("write /home/me/x\n"), std::string::npos) << outcome.err;
  }
  EXPECT_EQ(run({"model", "info", "--model", "/home/me/x"}).code, 4) << "the advice followed: looked for there";
}

TEST(AppTest, DoctorTellsAboutTheMachine) {
  const Outcome outcome = run({"doctor"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* line : {"\nkernels ", "\nthreads ", "\nmemory ", "\ndisk ", "\ntemporary ", "\nfp32        right, ",
                           "\nbf16        right, "})
    EXPECT_NE(outcome.out.find(line), std::string::npos) << line << outcome.out;
  ::setenv("TMPDIR", "/nothing", 1);
  const Outcome nowhere = run({"doctor"});
  ::unsetenv("TMPDIR");
  EXPECT_EQ(nowhere.code, 5);
  EXPECT_NE(nowhere.err.find("TMPDIR"), std::string::npos) << nowhere.err;
}

TEST(AppTest, ErrorsGiveTheirCodeAndALineAFault) {
  const Outcome outcome = captured([] {
    return run_caught([]() -> int {
      throw Error(ExitCode::data, std::vector<Fault>{{.what = "one", .where = "a:1"}, {.what = "two"}});
    });
  });
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.err, "error: a:1: one\nerror: two\n");
  EXPECT_EQ(run_caught([] { return 75; }), 75);
}

TEST(AppTest, OutOfMemoryIsFive) {
  const auto code = [](const std::function<int()>& act) {
    const Outcome outcome = captured([&] { return run_caught(act); });
    EXPECT_EQ(outcome.err.rfind("error: out of memory; ", 0), 0u) << outcome.err;
    EXPECT_EQ(outcome.err.find("Allocator"), std::string::npos);
    return outcome.code;
  };
  EXPECT_EQ(code([]() -> int { throw std::bad_alloc(); }), 5);
  EXPECT_EQ(
      code([]() -> int { throw std::runtime_error("[enforce fail] DefaultCPUAllocator: can't allocate memory"); }), 5);
  EXPECT_EQ(code([]() -> int { throw std::runtime_error("not enough memory: you tried to allocate"); }), 5);
  EXPECT_EQ(code([]() -> int { throw std::runtime_error("CUDA out of memory. Tried to allocate"); }), 5);
}

TEST(AppTest, AGpuThatFailsIsFiveWithWhatItSays) {
  for (const char* text :
       {"CUDA error: an illegal memory access\nsecond line", "CUBLAS_STATUS_ALLOC_FAILED when calling"}) {
    const Outcome outcome = captured([&] { return run_caught([&]() -> int { throw std::runtime_error(text); }); });
    EXPECT_EQ(outcome.code, 5);
    EXPECT_EQ(
        outcome.err.rfind("error: the GPU failed: " + std::string(text).substr(0, std::string(text).find('\n')), 0), 0u)
        << outcome.err;
    EXPECT_EQ(outcome.err.find("second"), std::string::npos);
    EXPECT_NE(outcome.err.find("steerlm doctor"), std::string::npos);
  }
}

TEST(AppTest, EverythingElseIsOurBugWithoutALibrarysText) {
  const std::vector<std::function<int()>> acts = {
      []() -> int { throw std::runtime_error("[json.exception.type_error.302] secret"); }, []() -> int { throw 5; }};
  for (const auto& act : acts) {
    const Outcome outcome = captured([&] { return run_caught(act); });
    EXPECT_EQ(outcome.code, 70);
    EXPECT_EQ(outcome.err.find("json"), std::string::npos);
    EXPECT_EQ(outcome.err.find("secret"), std::string::npos);
    EXPECT_NE(outcome.err.find("a mistake of steerlm itself"), std::string::npos);
  }
}

}  // namespace
}  // namespace steerlm
