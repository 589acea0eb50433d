#include <gmock/gmock.h>

#include <regex>
#include <sstream>

#include "recipe_support.h"
#include "steerlm/recipe/reference.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StartingRecipe : public ::testing::TestWithParam<Stage> {
 protected:
  // What smallest() gives, as overrides.
  static std::vector<std::string> required() {
    switch (GetParam()) {
      case Stage::tokenizer:
        return {"tokenizer.input=a.txt", "tokenizer.output=a.model"};
      case Stage::train_predictor:
      case Stage::sft:
        return {"run_dir=r", "model.path=m", "data.train=[a.jsonl]"};
      case Stage::annotate:
        return {"run_dir=r", "predictor=p", "input=a.jsonl", "output=b.jsonl"};
      case Stage::bootstrap:
        return {"run_dir=r", "policy=m", "predictor=p", "prompts=[a.jsonl]", "labels_from=b.jsonl"};
      case Stage::steerlm2:
        return {"run_dir=r", "policy=m", "prior=f", "predictor=p", "prompts=[a.jsonl]"};
      case Stage::generate:
        return {"run_dir=r", "model=m", "prompts=[a.jsonl]", "output=b.jsonl"};
      case Stage::evaluate:
        return {"run_dir=r", "predictor=p", "data.validation=[a.jsonl]"};
      case Stage::pipeline:
        break;
    }
    return {"run_dir=r", "steps=[{name: a, stage: sft, model: {path: m}, data: {train: [a.jsonl]}}]"};
  }
  static std::string dumped(const std::string& text, const std::vector<std::string>& overrides = {}) {
    const RecipeFile file(text);
    const auto loaded = load_any(file.path(), overrides);
    const auto* pipeline = std::get_if<Pipeline>(&loaded);
    return pipeline != nullptr ? pipeline->recipe_yaml : dump_recipe(std::get<Recipe>(loaded));
  }
};

TEST_P(StartingRecipe, FilledInIsTheSmallestRecipe) {
  EXPECT_EQ(dumped(starting_recipe(GetParam()), required()), dumped(smallest(GetParam())));
}

// What stands open is all that must be given: each key is one, and there is no other.
TEST_P(StartingRecipe, FilledInAtItsOpenKeysItHasNoFault) {
  std::istringstream stream(starting_recipe(GetParam()));
  const std::regex open("^ *([a-z_]+):$");
  std::map<std::string, std::string> values;  // by the last part of the key
  for (const std::string& given : required()) {
    const std::string path = given.substr(0, given.find('='));
    values[path.substr(path.rfind('.') + 1)] = given.substr(given.find('=') + 1);
  }
  std::string filled;
  size_t found = 0;
  for (std::string line; std::getline(stream, line);) {
    std::smatch match;
    if (std::regex_match(line, match, open)) {
      const std::string key = match[1];
      if (values.contains(key)) {
        ++found;
        line += " " + values[key];
      } else {
        EXPECT_TRUE(key == "tokenizer" || key == "model" || key == "data") << key << ": neither given nor a section";
      }
    }
    filled += line + "\n";
  }
  EXPECT_EQ(found, values.size());
  EXPECT_EQ(faults(filled), "");
}

// A commented key has a value that the key may have, at its place, once its sections are taken in too.
TEST_P(StartingRecipe, EveryCommentedKeyCanBeTakenIn) {
  const std::string text = starting_recipe(GetParam());
  const std::regex commented("^( *)#([a-z_]+:.*)$"), with_value("^( *)#([a-z_]+: .+)$");
  const auto indent = [](const std::string& line) { return line.find_first_not_of(' '); };
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  int keys = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!std::regex_match(lines[i], with_value)) continue;
    ++keys;
    std::vector<std::string> taken = lines;
    size_t inside = indent(lines[i]) + 1;
    for (size_t j = i + 1; j-- > 0;) {
      const bool key = std::regex_match(lines[j], std::regex("^ *#?[a-z_]+:.*$"));
      if (!key || indent(lines[j]) >= inside) continue;
      inside = indent(lines[j]);
      taken[j] = std::regex_replace(lines[j], commented, "$1$2");
    }
    std::string changed;
    for (const std::string& line : taken) changed += line + "\n";
    const std::string found = faults(changed, required());
    for (const char* fault : {"unknown key", "wrong value", "has no key", "YAML", "out of range"})
      EXPECT_THAT(found, Not(HasSubstr(fault))) << lines[i];
  }
  EXPECT_GT(keys, 2);
}

// Whose attributes are the model folder's has no default that would be another method's.
TEST_P(StartingRecipe, AttributesOfAModelFolderHaveNoValue) {
  const bool of_folder = GetParam() == Stage::bootstrap || GetParam() == Stage::evaluate;
  const std::string text = starting_recipe(GetParam());
  if (of_folder) {
    EXPECT_THAT(text, HasSubstr("#attributes:\n"));
    EXPECT_THAT(text, HasSubstr("\n  #min:\n"));
    EXPECT_THAT(text, HasSubstr("\n  #names:\n"));
  } else if (GetParam() == Stage::sft) {
    EXPECT_THAT(text, HasSubstr("\n  #names: [quality, toxicity"));
  }
}

INSTANTIATE_TEST_SUITE_P(All, StartingRecipe,
                         testing::Values(Stage::tokenizer, Stage::train_predictor, Stage::annotate, Stage::sft,
                                         Stage::bootstrap, Stage::steerlm2, Stage::generate, Stage::evaluate,
                                         Stage::pipeline),
                         [](const auto& test) {
                           std::string name(enum_name(test.param));
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace steerlm
