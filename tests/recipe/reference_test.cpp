#include "steerlm/recipe/reference.h"

#include <gtest/gtest.h>

#include "recipe/describe.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"

namespace steerlm {
namespace {

TEST(ReferenceTest, ThePageInDocsIsTheProgramsOwn) {
  const std::string page = read_file(Path(STEERLM_SOURCE_DIR) / "docs/recipes.md", ExitCode::bug, "reference page");
  EXPECT_EQ(page, recipe_reference()) << "write it anew: steerlm recipe schema --markdown > docs/recipes.md";
}

void expect_rows(const std::vector<KeyInfo>& keys, const std::string& above, const std::string& page) {
  for (const KeyInfo& key : keys) {
    const bool heading = key.type == KeyInfo::Type::section && above.empty();
    const std::string path = above + key.name;
    EXPECT_NE(page.find(heading ? "## `" + path + "`" : "| `" + path + "` |"), std::string::npos) << path;
    if (key.type == KeyInfo::Type::section) expect_rows(key.children, path + ".", page);
  }
}

TEST(ReferenceTest, EveryKeyOfEveryStageIsOnThePage) {
  const std::string page = recipe_reference();
  for (const auto& [stage, name] : EnumNames<Stage>::table) expect_rows(describe({.stage = stage}), "", page);
  EXPECT_NE(
      page.find("| `optimizer.learning_rate` | train-predictor, sft, bootstrap | `5.0e-06` | `5.0e-06` | `2.0e-06` |"),
      std::string::npos);
  EXPECT_NE(page.find("| `train.batch_size` | sft, bootstrap | `128` | `128` | `384` |"), std::string::npos);
  EXPECT_NE(page.find("| `train.micro_batch_tokens` | `16384` | an integer of at least 1, or auto |"),
            std::string::npos);
  EXPECT_NE(page.find("| `attributes.max` | train-predictor, sft | `9` | `4` | `4` |"), std::string::npos);
  EXPECT_NE(page.find("| `attributes.max` | the model folder's | an integer from -1000000 to 1000000 | bootstrap, "),
            std::string::npos);
  EXPECT_NE(page.find("| annotate | `stage`, `run_dir`, `predictor`, `input`, `output` |"), std::string::npos);
}

TEST(SchemaTest, DescribesEveryStage) {
  const Json schema = parse_json(recipe_schema(), "schema", ExitCode::bug);
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema["oneOf"].size(), EnumNames<Stage>::table.size());
  for (const auto& [stage, name] : EnumNames<Stage>::table) {
    const Json& definition = schema["$defs"][std::string(name)];
    EXPECT_EQ(definition["properties"]["stage"]["const"], std::string(name));
    EXPECT_EQ(definition["additionalProperties"], false);
    for (const KeyInfo& key : describe({.stage = stage}))
      EXPECT_TRUE(definition["properties"].contains(key.name)) << name << " " << key.name;
  }
}

TEST(SchemaTest, HasRangesChoicesAndDefaults) {
  const Json schema = parse_json(recipe_schema(), "schema", ExitCode::bug);
  const Json& sft = schema["$defs"]["sft"]["properties"];
  EXPECT_EQ(sft["seed"]["default"], 1234);
  EXPECT_EQ(sft["seed"]["minimum"], 0);
  EXPECT_EQ(sft["schedule"]["properties"]["kind"]["enum"], (Json{"constant", "linear", "cosine", "wsd"}));
  EXPECT_EQ(sft["optimizer"]["properties"]["eps"]["exclusiveMinimum"], 0);
  EXPECT_EQ(sft["optimizer"]["properties"]["betas"]["items"]["exclusiveMaximum"], 1);
  EXPECT_EQ(sft["optimizer"]["properties"]["betas"]["minItems"], 2);
  const Json& tokens = sft["train"]["properties"]["micro_batch_tokens"];
  EXPECT_EQ(tokens["anyOf"], (Json{{{"const", "auto"}}, {{"type", "integer"}, {"minimum", 1}}}));
  EXPECT_EQ(tokens["default"], 16384);
  EXPECT_FALSE(sft["optimizer"]["properties"]["learning_rate"].contains("default")) << "it is the method's";
  EXPECT_TRUE(sft["attributes"]["properties"]["min"].contains("default"));
  const Json& folders = schema["$defs"]["evaluate"]["properties"]["attributes"]["properties"];
  EXPECT_FALSE(folders["min"].contains("default") || folders["max"].contains("default")) << "they are the folder's";
  EXPECT_EQ(schema["$defs"]["sft"]["required"], (Json{"stage", "run_dir", "model", "data"}));
  EXPECT_EQ(schema["$defs"]["tokenizer"]["required"], (Json{"stage", "tokenizer"}));
  EXPECT_FALSE(schema["$defs"]["evaluate"]["properties"]["data"]["properties"].contains("train"));
  EXPECT_FALSE(schema["$defs"]["step-sft"]["properties"].contains("run_dir"));
  EXPECT_TRUE(schema["$defs"]["step-sft"]["properties"].contains("name"));
}

}  // namespace
}  // namespace steerlm
