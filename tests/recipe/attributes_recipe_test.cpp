// Which attributes a recipe gives, and what it leaves to a model folder.
#include <gmock/gmock.h>

#include "recipe_support.h"

namespace steerlm {
namespace {

TEST(AttributesOfRecipes, OwnNamesOrRangeTakeNoDefaultsFromTheMethod) {
  const auto defaults = [](const std::string& attributes) {
    return load(smallest(Stage::sft) + "attributes: " + attributes + "\n").attributes.defaults;
  };
  using Map = std::map<std::string, std::int64_t>;
  EXPECT_EQ(defaults("{names: [quality, wit]}"), (Map{{"quality", 0}, {"wit", 0}}));
  EXPECT_EQ(defaults("{names: [quality, wit], defaults: {wit: 3}}"), (Map{{"quality", 0}, {"wit", 3}}));
  EXPECT_EQ(defaults("{names: [quality], min: 1, max: 5}"), (Map{{"quality", 1}}));
  EXPECT_EQ(defaults("{max: 4}").at("quality"), 0);
  EXPECT_EQ(defaults("{min: 1}").at("helpfulness"), 1);
  EXPECT_EQ(defaults("{defaults: {humor: 3}}").at("humor"), 3);
  EXPECT_EQ(defaults("{defaults: {humor: 3}}").at("quality"), 0) << "a name without one gets min";
  EXPECT_EQ(defaults("{}").at("quality"), 9);
  const Recipe recipe = load(smallest(Stage::sft) + "attributes: {names: [a]}\n");
  EXPECT_EQ(recipe.attributes.max, 9) << "the range is still the method's";
  EXPECT_TRUE(recipe.attributes_given);
}

TEST(AttributesOfRecipes, ModelFoldersSayAttributesOfBootstrapAndEvaluate) {
  EXPECT_TRUE(load(smallest(Stage::bootstrap)).attributes.names.empty());
  EXPECT_FALSE(load(smallest(Stage::bootstrap)).attributes_given);
  EXPECT_TRUE(load(smallest(Stage::evaluate)).attributes.names.empty());
  EXPECT_EQ(load(smallest(Stage::evaluate) + "attributes: {names: [a]}\n").attributes.names,
            std::vector<std::string>{"a"});
  EXPECT_TRUE(load(smallest(Stage::evaluate) + "template: {name: plain}\n").template_given);
}

// A model from nothing has no folder that would say more than the method does.
TEST(AttributesOfRecipes, AttributesOfAFreshModelAreTheMethodsWhereNotGiven) {
  const std::string fresh =
      "stage: sft\nrun_dir: r\nmodel: {init: {hidden_size: 64}, tokenizer: t}\ndata: {train: "
      "a}\n";
  EXPECT_EQ(faults(fresh + "attributes: {min: 9}\n"),
            "r.yaml:5:19: 'attributes.max' must be above 'attributes.min' (found 9 to 9)");
  EXPECT_EQ(faults(fresh + "attributes: {defaults: {humour: 1}}\n"),
            "r.yaml:5:33: unknown attribute 'humour' in 'attributes.defaults'; did you mean 'humor'?");
  EXPECT_EQ(faults(fresh + "attributes: {defaults: {quality: 10}}\n"),
            "r.yaml:5:34: 'attributes.defaults.quality' is out of range (found 10, expected an integer from 0 to 9)");
}

TEST(AttributesOfRecipes, SaysWhereTheKeysOfAttributesAreGiven) {
  const AttributesGiven given =
      load(smallest(Stage::sft) + "attributes: {max: 4}\n", {"attributes.defaults.quality=2"}).attributes_given;
  EXPECT_THAT(given.max, testing::EndsWith("r.yaml:5:19"));
  EXPECT_EQ(given.defaults.at("quality"), "override 'attributes.defaults.quality=2'");
  EXPECT_EQ(given.names + given.min, "");
  EXPECT_FALSE(given.all);
  EXPECT_FALSE(load(smallest(Stage::sft) + "attributes: {}\n").attributes_given);
}

// Each step asks its own model folder for the rest.
TEST(AttributesOfRecipes, APipelinesDefaultsAloneAreAllThatAStepSays) {
  const Pipeline pipeline =
      load_pipeline(RecipeFile("stage: pipeline\nrun_dir: r\nattributes: {defaults: {wit: 3}}\nsteps:\n"
                               "  - {name: a, stage: sft, model: {path: m}, data: {train: [a.jsonl]}}\n")
                        .path(),
                    {});
  EXPECT_THAT(pipeline.steps[0].recipe_yaml, testing::HasSubstr("attributes:\n  defaults:\n    wit: 3\n"));
  EXPECT_THAT(pipeline.steps[0].recipe_yaml, testing::Not(testing::HasSubstr("names:")));
  const AttributesGiven given = load_recipe_text(pipeline.steps[0].recipe_yaml, "a").attributes_given;
  EXPECT_EQ(given.defaults.size(), 1u);
  EXPECT_EQ(given.names + given.min + given.max, "");
}

}  // namespace
}  // namespace steerlm
