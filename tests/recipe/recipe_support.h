#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "steerlm/recipe/load.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {

// The smallest recipe of each stage.
inline std::string smallest(Stage stage) {
  switch (stage) {
    case Stage::tokenizer:
      return "stage: tokenizer\ntokenizer: {input: a.txt, output: a.model}\n";
    case Stage::train_predictor:
      return "stage: train-predictor\nrun_dir: r\nmodel: {path: m}\ndata: {train: [a.jsonl]}\n";
    case Stage::annotate:
      return "stage: annotate\nrun_dir: r\npredictor: p\ninput: a.jsonl\noutput: b.jsonl\n";
    case Stage::sft:
      return "stage: sft\nrun_dir: r\nmodel: {path: m}\ndata: {train: [a.jsonl]}\n";
    case Stage::bootstrap:
      return "stage: bootstrap\nrun_dir: r\npolicy: m\npredictor: p\nprompts: [a.jsonl]\nlabels_from: b.jsonl\n";
    case Stage::steerlm2:
      return "stage: steerlm2\nrun_dir: r\npolicy: m\nprior: f\npredictor: p\nprompts: [a.jsonl]\n";
    case Stage::generate:
      return "stage: generate\nrun_dir: r\nmodel: m\nprompts: [a.jsonl]\noutput: b.jsonl\n";
    case Stage::evaluate:
      return "stage: evaluate\nrun_dir: r\npredictor: p\ndata: {validation: [a.jsonl]}\n";
    case Stage::pipeline:
      break;
  }
  return "stage: pipeline\nrun_dir: r\nsteps:\n  - {name: a, stage: sft, model: {path: m}, data: {train: [a.jsonl]}}\n";
}

// A recipe in a file of its own.
class RecipeFile {
 public:
  explicit RecipeFile(const std::string& text) { std::ofstream(path(), std::ios::binary) << text; }
  std::string path() const { return (folder_.path() / "r.yaml").string(); }

  // Messages name the file as "r.yaml".
  std::string shorten(std::string text) const {
    const std::string folder = folder_.path().string() + "/";
    for (size_t at = text.find(folder); at != std::string::npos; at = text.find(folder)) text.erase(at, folder.size());
    return text;
  }

 private:
  TemporaryFolder folder_;
};

inline Recipe load(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return load_recipe(RecipeFile(text).path(), overrides, std::nullopt);
}

// The messages of a recipe or pipeline, a line a fault; "" for none. Anything but an Error of a recipe fails the test.
inline std::string faults(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const RecipeFile file(text);
  return file.shorten(message_of(ExitCode::recipe, [&] { load_any(file.path(), overrides); }));
}

}  // namespace steerlm
