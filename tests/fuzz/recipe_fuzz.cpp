#include "fuzz/fuzz.h"
#include "steerlm/recipe/load.h"
#include "steerlm/recipe/reference.h"

namespace steerlm {
namespace {

const Path& recipe_file() {
  static const TemporaryFolder folder;
  static const Path path = folder.path() / "recipe.yaml";
  return path;
}

// What a run directory keeps as recipe.yaml.
void require_same_again(const std::string& dumped) {
  std::string again;
  try {
    again = dump_recipe(load_recipe_text(dumped, "dumped.yaml"));
  } catch (const Error& error) {
    require(false, "a recipe that was taken is refused when it is dumped: " + std::string(error.what()));
  }
  require(again == dumped, "a recipe that changes when it is dumped and loaded");
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(Path(STEERLM_SOURCE_DIR) / "configs")) {
    if (entry.path().extension() == ".yaml") seeds.push_back(read_file(entry.path(), ExitCode::bug, "recipe"));
  }
  std::sort(seeds.begin(), seeds.end());  // a folder has no order
  return seeds;
}

// Every line of the recipes to start from: all keys, with their defaults.
std::vector<std::string> fuzz_words() {
  std::vector<std::string> words{
      ": ",           "- ",      "\n",        "  ",     "{",     "}",    "[",           "]",
      "&a ",          "*a",      "<<: *a\n",  "!!int ", "? ",    "| ",   ">-",          "'",
      "\"",           "#",       "null",      "~",      "true",  ".inf", ".nan",        "1e999",
      "0x1",          "-1",      "%YAML 1.2", "---\n",  "...\n", "\t",   "@base/model", "stage: pipeline\n",
      "stage: sft\n", "steps:\n"};
  for (const Stage stage : {Stage::train_predictor, Stage::sft, Stage::annotate, Stage::bootstrap, Stage::steerlm2,
                            Stage::generate, Stage::evaluate, Stage::tokenizer}) {
    std::string line;
    for (const char c : starting_recipe(stage)) {
      line += c;
      if (c != '\n') continue;
      const std::size_t text = line.find_first_not_of("# ");  // defaults are comments
      if (line.starts_with("#") && text != std::string::npos) line.erase(0, text);
      words.push_back(line);
      line.clear();
    }
  }
  return words;
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  const std::string text(text_of(data, size));
  read_or_refuse([&] {
    if (peek_stage(text) != Stage::pipeline) {
      return require_same_again(dump_recipe(load_recipe_text(text, "fuzz.yaml")));
    }
    put_file(recipe_file(), text);
    for (const PipelineStep& step : load_pipeline(recipe_file().string(), {}).steps)
      load_recipe_text(step.recipe_yaml, step.name);
  });
  return 0;
}
