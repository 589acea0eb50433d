// A folder's attributes hold for every stage that reads it: contracts.md section 6.
#include "stages/settle.h"

#include <gmock/gmock.h>

#include "steerlm/core/error.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

using testing::HasSubstr;
using Check = void (*)(const ModelFolder&, const Recipe&);

ModelFolder folder() {
  ModelFolder folder;
  folder.path = "model";
  folder.attributes = {.names = {"quality", "humor"}, .min = 0, .max = 4, .defaults = {{"quality", 4}}};
  return folder;
}

// What is said of a recipe of the stage with these attributes; "" for nothing.
std::string said(Check check, const std::string& attributes, const ModelFolder& of = folder()) {
  std::string all;
  for (const char* stage : {"evaluate\npredictor: p\ndata: {validation: a}",
                            "bootstrap\npolicy: m\npredictor: p\nprompts: a\nlabels_from: a"}) {
    const std::string text = "run_dir: r\nstage: " + std::string(stage) + "\n" + attributes;
    try {
      check(of, load_recipe_text(text, "recipe"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::recipe);
      if (all.empty()) all = error.what();
      EXPECT_EQ(all, error.what());
    }
  }
  return all;
}

TEST(CheckAttributes, OtherNamesOrAnotherRangeContradict) {
  for (const Check check : {check_labels, check_dials}) {
    EXPECT_EQ(said(check, ""), "");
    EXPECT_EQ(said(check, "attributes: {names: [quality, humor], min: 0, max: 4}\n"), "");
    EXPECT_EQ(said(check, "attributes: {names: [quality], min: 0, max: 4}\n"),
              "attributes.names: the recipe contradicts the model folder model (found quality, expected quality, "
              "humor, as its steerlm.json says); leave 'attributes' out: they are the model folder's");
    EXPECT_THAT(said(check, "attributes: {names: [humor, quality], min: 0, max: 4}\n"), HasSubstr("attributes.names"));
    EXPECT_THAT(said(check, "attributes: {names: [quality, humor], max: 9}\n"),
                HasSubstr("found 0 to 9, expected 0 to 4"));
  }
}

TEST(CheckAttributes, OtherDefaultsContradictAModelThatIsSteered) {
  const std::string names = "attributes: {names: [quality, humor], min: 0, max: 4, defaults: ";
  EXPECT_EQ(said(check_dials, names + "{quality: 4, humor: 0}}\n"), "");
  EXPECT_EQ(said(check_dials, names + "{humor: 0}}\n"), "") << "what is not given is the folder's";
  EXPECT_THAT(said(check_dials, names + "{quality: 1}}\n"), HasSubstr("attributes.defaults.quality: "));
  EXPECT_THAT(said(check_dials, names + "{quality: 1}}\n"), HasSubstr("found 1, expected 4"));
  EXPECT_THAT(said(check_dials, names + "{humor: 2}}\n"), HasSubstr("found 2, expected 0"));
  EXPECT_EQ(said(check_labels, names + "{quality: 1}}\n"), "") << "a predictor is not steered";
}

TEST(CheckAttributes, AFolderWithoutAttributesBindsNothing) {
  ModelFolder plain;
  EXPECT_EQ(said(check_dials, "attributes: {names: [quality]}\n", plain), "");
}

}  // namespace
}  // namespace steerlm
