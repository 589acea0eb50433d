// Runs command lines with mistakes in them, each in a process of its own that is forked from the test: a signal ends
// that process alone, and libtorch need not be loaded anew. The parent never computes, so it has no threads that fork
// would lose.
#pragma once

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "cli/app.h"
#include "support/temporary_folder.h"

namespace steerlm {

using Path = std::filesystem::path;
using Words = std::vector<std::string>;

// The same draws on every machine: std::uniform_int_distribution is not the same in every library.
class Draws {
 public:
  explicit Draws(std::uint32_t seed) : engine_(seed) {}
  size_t below(size_t n) { return engine_() % n; }
  template <class T>
  const T& one_of(const std::vector<T>& items) {
    return items[below(items.size())];
  }

 private:
  std::mt19937 engine_;
};

inline std::string text_of(const Path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

inline std::string printable(const Words& words) {
  std::string text = "steerlm";
  for (const std::string& word : words) {
    text += " '";
    for (const char c : word.substr(0, 200)) {
      const auto byte = static_cast<unsigned char>(c);
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, byte < 0x20 || byte >= 0x7F ? "\\x%02X" : "%c", byte);
      text += buffer;
    }
    text += word.size() > 200 ? "…'" : "'";
  }
  return text;
}

// A folder with models, data and recipes that every case starts from, and in which it runs.
class Mistakes : public testing::Test {
 protected:
  void SetUp() override {
    ::umask(022);
    std::filesystem::create_directories(path("runs"));
    for (const Path& place : {folder_.path(), path(""), path("runs")})
      std::filesystem::permissions(place, std::filesystem::perms::all);
    std::filesystem::copy(fixture("untied"), path("model"));
    std::filesystem::copy(fixture("classifier"), path("predictor"));
    std::filesystem::copy_file(fixture("../gguf/qwen2.gguf"), path("small.gguf"));
    write("model/steerlm.json", steerlm_json(R"("quality", "humor")"));
    write("predictor/steerlm.json", steerlm_json(R"("quality", "humor", "length")"));
    std::string lines;
    for (int i = 0; i < 6; ++i) lines += record("question " + std::to_string(i), "quality:" + std::to_string(i % 5));
    write("train.jsonl", lines);
    write("prompts.jsonl", "{\"prompt\": \"one\"}\n{\"prompt\": \"two\"}\n");
    write("text.txt", "one line of text\nand another line of it\n");
    write("sft.yaml",
          "stage: sft\nmodel: {path: model}\ntrain: {steps: 1, batch_size: 2}\ndata:\n  train: [{path: train.jsonl}]\n"
          "  max_tokens: 256\nrun_dir: runs/sft\n");
    write("predictor.yaml",
          "stage: train-predictor\nmethod: helpsteer2\nmodel:\n  path: model\nattributes: {names: [quality, humor], "
          "min: 0, max: "
          "4}\ntrain:\n  steps: 1\n  batch_size: 2\ndata: {train: train.jsonl}\nrun_dir: runs/predictor\n");
    write(
        "annotate.yaml",
        "stage: annotate\npredictor: predictor\ninput: train.jsonl\noutput: runs/out.jsonl\nrun_dir: runs/annotate\n");
    write("bootstrap.yaml",
          "stage: bootstrap\npolicy: model\npredictor: predictor\nprompts: [prompts.jsonl]\nlabels_from: train.jsonl\n"
          "sampling: {max_new_tokens: 2}\ntrain: {steps: 1, batch_size: 2}\nrun_dir: runs/bootstrap\n");
    write("generate.yaml",
          "stage: generate\nmodel: model\nprompts: prompts.jsonl\noutput: runs/g.jsonl\nsampling: {max_new_tokens: 2}\n"
          "set: {quality: 4}\nrun_dir: runs/generate\n");
    write("evaluate.yaml",
          "stage: evaluate\npredictor: predictor\nmodel: {path: model}\ndata: {validation: [train.jsonl]}\nrun_dir: "
          "runs/evaluate\n");
    write("tokenizer.yaml",
          "stage: tokenizer\ntokenizer: {input: [text.txt], vocab_size: 300, output: runs/t.model}\nrun_dir: "
          "runs/tokenizer\n");
  }
  // Closed folders would keep the temporary folder from being removed.
  void TearDown() override {
    for (const char* name : {"closed", "closed_model"}) {
      std::error_code missing;
      std::filesystem::permissions(path(name), std::filesystem::perms::owner_all, missing);
    }
  }

  static Path fixture(const std::string& name) {
    return Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models" / name;
  }
  static std::string steerlm_json(const std::string& names) {
    return R"({"attributes": {"names": [)" + names + R"(], "min": 0, "max": 4}, "template": {"system": "Be good."}})";
  }
  static std::string record(const std::string& question, const std::string& label) {
    return R"({"conversations":[{"from":"User","value":")" + question +
           R"("},{"from":"Assistant","value":"an answer","label":")" + label + "\"}]}\n";
  }
  // Below the temporary folder, so that '..' is ours too.
  Path path(const Path& name) const { return folder_.path() / "here" / name; }
  void write(const Path& name, const std::string& text) const { std::ofstream(path(name), std::ios::binary) << text; }

  // A name that nothing has been written under yet.
  std::string fresh() { return "runs/" + std::to_string(++runs_); }
  int runs() const { return runs_; }

  // Runs one command line and looks at how it ends: a documented exit code and a message of our own.
  void expect_no_crash(const Words& words, const std::string& input = "") {
    SCOPED_TRACE(printable(words));
    ++runs_;
    write("stdin.txt", input);
    for (const char* name : {"out.txt", "err.txt"}) write(name, "");
    const int status = run_in_child(words);
    const std::string said = text_of(path("err.txt"));
    ASSERT_FALSE(WIFSIGNALED(status)) << "signal " << WTERMSIG(status) << "\n" << said.substr(0, 2000);
    const int code = WEXITSTATUS(status);
    EXPECT_TRUE(code == 0 || (code >= 2 && code <= 6) || code == 75) << "exit " << code << "\n" << said.substr(0, 2000);
    EXPECT_TRUE(code == 0 || said.find("error: ") != std::string::npos) << "exit " << code << ", no message: " << said;
    for (const char* foreign :
         {"what():", "json.exception", "c10::", "at::", "terminate called", "std::", "yaml-cpp",
          "YAML::", "basic_string", "filesystem error", "mistake of steerlm", "CLI::", "Exception"}) {
      EXPECT_EQ(said.find(foreign), std::string::npos) << "exit " << code << "\n" << said.substr(0, 2000);
    }
  }

 private:
  int run_in_child(const Words& words) const {
    std::cout.flush();
    const pid_t child = ::fork();
    if (child == 0) {
      at::set_num_threads(
          1);  // the threads of the parent's OpenMP pool are not in the child, which would wait for them
      enter_folder();
      std::vector<std::string> copies{"steerlm"};
      copies.insert(copies.end(), words.begin(), words.end());
      std::vector<char*> argv;
      for (std::string& word : copies) argv.push_back(word.data());
      const int code = run_program(static_cast<int>(argv.size()), argv.data(), steerlm_compute_commands);
      std::cout.flush();
      std::fflush(nullptr);
      ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }

  // As another user where we are root, for whom no folder is closed; within limits, so that no mistake costs the
  // machine's memory or disk. SIGALRM ends what hangs.
  void enter_folder() const {
    if (::chdir(path("").c_str()) != 0) ::_exit(99);
    const auto open_as = [](const char* name, int flags, int descriptor) {
      const int file = ::open(name, flags | O_CLOEXEC);
      if (file < 0 || ::dup2(file, descriptor) < 0) ::_exit(99);
    };
    open_as("stdin.txt", O_RDONLY, STDIN_FILENO);
    open_as("out.txt", O_WRONLY, STDOUT_FILENO);
    open_as("err.txt", O_WRONLY, STDERR_FILENO);
    if (::getuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(99);
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit file{64 << 20, 64 << 20};
    ::setrlimit(RLIMIT_FSIZE, &file);
#ifndef __SANITIZE_ADDRESS__
    const rlimit memory{rlim_t{6} << 30, rlim_t{6} << 30};
    ::setrlimit(RLIMIT_AS, &memory);
#endif
    ::alarm(60);
  }

  TemporaryFolder folder_;
  int runs_ = 0;
};

}  // namespace steerlm
