// The program itself in a folder of its own: what every end-to-end test starts from.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "support/temporary_folder.h"

namespace steerlm {

struct Result {
  int code;
  std::string output, errors;
};

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

inline std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> objects;
  for (const std::string& line : lines_of(text)) objects.push_back(parse_json(line, "output", ExitCode::data));
  return objects;
}

// A record of one question and one answer; without a label where `label` is empty.
inline std::string conversation(const std::string& question, const std::string& answer, const std::string& label = "") {
  return R"({"conversations":[{"from":"User","value":")" + question + R"("},{"from":"Assistant","value":")" + answer +
         '"' + (label.empty() ? "" : R"(,"label":")" + label + '"') + "}]}\n";
}

// Questions 0, 1, … with one answer, rated 0 to 4 in turn.
inline std::string rated_conversations(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i)
    lines += conversation("question " + std::to_string(i), "answer", "quality:" + std::to_string(i % 5));
  return lines;
}

class Program : public testing::Test {
 protected:
  static Path fixture(const std::string& name) {
    return Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models" / name;
  }

  Path path(const Path& name) const { return folder_.path() / name; }
  void write(const Path& name, const std::string& text) { std::ofstream(path(name), std::ios::binary) << text; }
  void append(const Path& name, const std::string& text) {
    std::ofstream(path(name), std::ios::binary | std::ios::app) << text;
  }
  std::string read(const Path& name) const { return read_file(path(name), ExitCode::data, "test file"); }
  bool exists(const Path& name) const { return std::filesystem::exists(path(name)); }

  // Every file and folder below the test's own, with the bytes of the files.
  std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      const Path name = std::filesystem::relative(entry.path(), folder_.path());
      if (name != "out.txt" && name != "err.txt") all[name.string()] = entry.is_regular_file() ? read(name) : "";
    }
    return all;
  }

  // What is new, gone or other than it was; log.txt says that there was nothing to do.
  std::string changes_since(const std::map<std::string, std::string>& before) const {
    const std::map<std::string, std::string> now = contents();
    std::string names;
    for (const auto& [name, bytes] : before) {
      if (!now.contains(name) && !name.ends_with("log.txt")) names += name + " ";
    }
    for (const auto& [name, bytes] : now) {
      if ((!before.contains(name) || before.at(name) != bytes) && !name.ends_with("log.txt")) names += name + " ";
    }
    return names;
  }

  // A copy of a fixture that tests may break.
  void copy_model(const std::string& fixture_name, const Path& name) {
    std::filesystem::copy(fixture(fixture_name), path(name));
  }

  // With a short system prompt: 256 tokens of context are few.
  void declare_attributes(const Path& model, const std::string& names) {
    write(model / "steerlm.json",
          R"({"attributes": {"names": [)" + names + R"(], "min": 0, "max": 4}, "template": {"system": "Be good."}})");
  }
  // A copy that declares attributes.
  void make_model(const std::string& fixture_name, const Path& name, const std::string& names) {
    copy_model(fixture_name, name);
    declare_attributes(name, names);
  }

  // Random weights rarely sample one certain id: where many ids end a response, most responses end soon.
  void end_responses_soon(const Path& model) {
    std::string ids = "100";
    for (int id = 101; id <= 160; ++id) ids += ", " + std::to_string(id);
    write(model / "generation_config.json", R"({"eos_token_id": [)" + ids + "]}");
  }

  // `arguments` may redirect; `before` is shell text in front of the program: "cat x |".
  Result run(const std::string& arguments, const std::string& before = "") const {
    const int status = std::system(command(arguments, before).c_str());
    return {exit_code(status), read("out.txt"), read("err.txt")};
  }

  // Runs the program and sends it `signal` as soon as `due`, and again a fifth of a second later if `times` is 2.
  Result run_until(const std::string& arguments, int signal, const std::function<bool()>& due, int times = 1) const {
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(SIGHUP, SIG_DFL);  // nohup, under which tests may run, ignores it
      ::execl("/bin/sh", "sh", "-c", command(arguments, "exec").c_str(), nullptr);
      ::_exit(127);
    }
    int status = 0;
    for (int sent = 0; ::waitpid(child, &status, WNOHANG) == 0; ::usleep(1000)) {
      if (sent == times || !due()) continue;
      if (sent > 0) ::usleep(200'000);
      ::kill(child, signal);
      ++sent;
    }
    return {exit_code(status), read("out.txt"), read("err.txt")};
  }

  // Its message says `message`, and nothing in the words of a library.
  static void expect_refused(const Result& result, int code, const std::string& message) {
    EXPECT_EQ(result.code, code) << result.errors;
    EXPECT_NE(result.errors.find(message), std::string::npos)
        << "expected: " << message << "\nfound: " << result.errors;
    for (const char* foreign :
         {"what():", "json.exception", "c10::Error", "terminate called", "std::", "yaml-cpp", "mistake of steerlm"}) {
      EXPECT_EQ(result.errors.find(foreign), std::string::npos) << result.errors;
    }
  }

  static void expect_says(const Result& result, const std::string& message) {
    EXPECT_EQ(result.code, 0) << result.errors;
    EXPECT_NE(result.errors.find(message), std::string::npos)
        << "expected: " << message << "\nfound: " << result.errors;
  }

 private:
  static int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }
  std::string command(const std::string& arguments, const std::string& before) const {
    return "cd '" + folder_.path().string() + "' && " + before + " " + STEERLM_PROGRAM + " " + arguments +
           " >out.txt 2>err.txt";
  }

  TemporaryFolder folder_;
};

}  // namespace steerlm
