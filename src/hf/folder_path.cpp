#include "hf/folder_path.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "steerlm/core/paths.h"
#include "steerlm/core/run_files.h"

namespace steerlm {
namespace {

constexpr const char* expected = "a Hugging Face model folder";

[[noreturn]] void refuse(const Path& path, std::string what, std::string advice = "") {
  fail(ExitCode::model,
       {.what = std::move(what), .where = path.string(), .expected = expected, .advice = std::move(advice)});
}

bool is_hub_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

[[noreturn]] void refuse_file(const Path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".gguf")
    refuse(path, "not a folder but a GGUF file",
           "make a model folder of it: steerlm model import --gguf " + shell_word(path.string()) + " --output FOLDER");
  if (extension == ".safetensors" || extension == ".json" || extension == ".model")
    refuse(path, "not a folder but a file of one", "name the folder that it is in");
  if (extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt")
    refuse(
        path, "not a folder but a pickle file, which can run code and is never read",
        "load the model and its tokenizer with Transformers and save both with save_pretrained(folder), which writes "
        "safetensors");
  refuse(path, "not a folder");
}

// A run directory has its model in a folder of its own.
void refuse_run_directory(const Path& path) {
  const auto is_model = [](const Path& folder) {
    return is_there(folder / "config.json", ExitCode::model) ||
           is_there(folder / "adapter_config.json", ExitCode::model);
  };
  if (is_model(path)) return;
  if (is_model(path / "model"))
    refuse(path, "not a model folder, but one that holds one, as a run directory does",
           "name the model in it: " + (path / "model").string());
  if (is_folder(path / run_mark_folder, ExitCode::model))
    refuse(path, "not a model folder but a run directory, in which no model is",
           "name that of a training that has ended; a pipeline has the model of each step in STEP/model");
}

}  // namespace

std::string hub_advice(const std::string& name) {
  const size_t slash = name.find('/');
  const auto is_name = [](std::string_view part) {
    return !part.empty() && part != "." && part != ".." && std::ranges::all_of(part, is_hub_character);
  };
  if (slash == std::string::npos || !is_name(std::string_view(name).substr(0, slash)) ||
      !is_name(std::string_view(name).substr(slash + 1)))
    return "";
  return "models are read from disk; if this is a name on the Hugging Face hub, fetch it first: hf download " + name +
         " --local-dir " + name;
}

void check_model_folder(const Path& path) {
  if (is_folder(path, ExitCode::model)) {
    if (::access(path.c_str(), X_OK) != 0)
      refuse(path, std::string("cannot enter the model folder: ") + std::strerror(errno));
    return refuse_run_directory(path);
  }
  if (is_there(path, ExitCode::model)) refuse_file(path);
  refuse(path, "no such model folder", hub_advice(path.string()));
}

}  // namespace steerlm
