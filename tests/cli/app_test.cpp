#include "cli/app.h"

#include <gtest/gtest.h>

#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "steerlm/core/error.h"

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
  return captured([&] { return run_program(static_cast<int>(argv.size()), argv.data()); });
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
  EXPECT_EQ(outcome.out.rfind("steerlm " STEERLM_VERSION "\n", 0), 0u) << outcome.out;
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
