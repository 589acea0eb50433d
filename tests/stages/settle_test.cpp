// A folder's attributes hold for every stage that reads it: contracts.md section 6.
#include "stages/settle.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "stages/encoded_data.h"
#include "steerlm/core/error.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/version.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/recipe/load.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
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
    const std::string text = attributes + "run_dir: r\nstage: " + std::string(stage) + "\n";
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
              "recipe:1:21: 'attributes.names' of the recipe contradicts the model folder model (found quality, "
              "expected quality, humor, as its steerlm.json says); leave the key out: it is the model folder's");
    EXPECT_THAT(said(check, "attributes: {names: [humor, quality], min: 0, max: 4}\n"), HasSubstr("attributes.names"));
    EXPECT_THAT(said(check, "attributes: {names: [quality, humor], max: 9}\n"), HasSubstr("found 9, expected 4"));
    EXPECT_THAT(said(check, "attributes: {min: 1}\n"), HasSubstr("'attributes.min' of the recipe contradicts"));
  }
}

TEST(CheckAttributes, WhatTheRecipeDoesNotGiveIsTheFolders) {
  for (const Check check : {check_labels, check_dials}) {
    for (const char* given : {"{}", "{names: [quality, humor]}", "{min: 0}", "{max: 4}", "{defaults: {}}",
                              "{defaults: {quality: 4}}", "{defaults: {quality: 4, humor: 0}}"})
      EXPECT_EQ(said(check, "attributes: " + std::string(given) + "\n"), "") << given;
    EXPECT_THAT(said(check, "attributes: {defaults: {humour: 0}}\n"),
                HasSubstr("unknown attribute 'humour' in 'attributes.defaults' (expected one of quality, humor, as "
                          "steerlm.json of model says); did you mean 'humor'?"));
    EXPECT_THAT(said(check, "attributes: {defaults: {humor: 5}}\n"), HasSubstr("expected an integer from 0 to 4"));
  }
  EXPECT_THAT(said(check_dials, "attributes: {defaults: {quality: 2}}\n"),
              HasSubstr("'attributes.defaults.quality' of the recipe contradicts the model folder model (found 2, "
                        "expected 4, as its steerlm.json says)"));
}

TEST(CheckAttributes, OtherDefaultsContradictAModelThatIsSteered) {
  const std::string names = "attributes: {names: [quality, humor], min: 0, max: 4, defaults: ";
  EXPECT_EQ(said(check_dials, names + "{quality: 4, humor: 0}}\n"), "");
  EXPECT_EQ(said(check_dials, names + "{humor: 0}}\n"), "") << "what is not given is the folder's";
  EXPECT_THAT(said(check_dials, names + "{quality: 1}}\n"), HasSubstr("'attributes.defaults.quality' of the recipe"));
  EXPECT_THAT(said(check_dials, names + "{quality: 1}}\n"), HasSubstr("found 1, expected 4"));
  EXPECT_THAT(said(check_dials, names + "{humor: 2}}\n"), HasSubstr("found 2, expected 0"));
  EXPECT_EQ(said(check_labels, names + "{quality: 1}}\n"), "") << "a predictor is not steered";
}

TEST(CheckAttributes, AFolderWithoutAttributesBindsNothing) {
  ModelFolder plain;
  EXPECT_EQ(said(check_dials, "attributes: {names: [quality]}\n", plain), "");
}

// A model folder with dials, and recipes that go on from it.
class SettleAttributes : public testing::Test {
 protected:
  SettleAttributes() {
    std::filesystem::copy(Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models" / "untied", model_);
    declare(R"("names": ["quality", "wit"], "min": 1, "max": 5, "defaults": {"quality": 5, "wit": 2})");
  }
  void declare(const std::string& attributes) const {
    std::ofstream(model_ / "steerlm.json")
        << R"({"attributes": {)" + attributes + R"(}, "template": {"system": "Be good."}})";
  }
  // `stage`: sft or train-predictor.
  Recipe settled(const std::string& attributes, const std::string& stage = "sft") const {
    std::ofstream(folder_.path() / "train.jsonl") << R"({"conversations": [{"from": "User", "value": "q"}, )"
                                                     R"({"from": "Assistant", "value": "a", "label": "quality:3"}]})"
                                                  << "\n";
    return settle_recipe(load_recipe_text("stage: " + stage + "\nrun_dir: r\ndevice: cpu\nmodel: " + model_.string() +
                                              "\ndata: {train: " + (folder_.path() / "train.jsonl").string() + "}\n" +
                                              (attributes.empty() ? "" : "attributes: " + attributes + "\n"),
                                          "recipe"));
  }
  std::string fault(const std::string& attributes) const {
    return message_of(ExitCode::recipe, [&] { settled(attributes); });
  }

  TemporaryFolder folder_;
  Path model_ = folder_.path() / "model";
};
using Defaults = std::map<std::string, std::int64_t>;

TEST_F(SettleAttributes, KeyByKeyTheRecipesElseTheFolders) {
  struct {
    const char* attributes;
    Defaults defaults;
  } const cases[] = {{"", {{"quality", 5}, {"wit", 2}}},
                     {"{}", {{"quality", 5}, {"wit", 2}}},
                     {"{names: [quality, wit]}", {{"quality", 5}, {"wit", 2}}},
                     {"{min: 1}", {{"quality", 5}, {"wit", 2}}},
                     {"{defaults: {quality: 3}}", {{"quality", 3}, {"wit", 2}}},
                     {"{names: [quality, wit], min: 1, max: 5, defaults: {wit: 4}}", {{"quality", 5}, {"wit", 4}}}};
  for (const auto& [attributes, defaults] : cases) {
    for (const char* stage : {"sft", "train-predictor"}) {
      const Recipe recipe = settled(attributes, stage);
      EXPECT_EQ(recipe.attributes.names, (std::vector<std::string>{"quality", "wit"})) << attributes;
      EXPECT_EQ(recipe.attributes.min, 1) << attributes;
      EXPECT_EQ(recipe.attributes.max, 5) << attributes;
      EXPECT_EQ(recipe.attributes.defaults, defaults) << attributes;
      // recipe.yaml of the run says all of it: contracts.md section 3.
      const Recipe again = load_recipe_text(dump_recipe(recipe), "recipe.yaml");
      EXPECT_EQ(again.attributes.names, recipe.attributes.names) << attributes;
      EXPECT_EQ(again.attributes.max, 5) << attributes;
      EXPECT_EQ(again.attributes.defaults, defaults) << attributes;
    }
  }
}

TEST_F(SettleAttributes, AContradictionNamesTheKeyThatTheRecipeGives) {
  EXPECT_THAT(fault("{max: 9}"), HasSubstr("recipe:6:19: 'attributes.max' of the recipe contradicts"));
  EXPECT_THAT(fault("{max: 9}"), HasSubstr("(found 9, expected 5, as its steerlm.json says); leave the key out, or"));
  EXPECT_THAT(fault("{names: [quality]}"), HasSubstr("'attributes.names' of the recipe"));
  EXPECT_THAT(fault("{defaults: {wits: 2}}"), HasSubstr("did you mean 'wit'?"));
  EXPECT_THAT(fault("{defaults: {wit: 0}}"), HasSubstr("found 0, expected an integer from 1 to 5"));
  EXPECT_TRUE(settled("{names: []}").attributes.names.empty()) << "asked for";
}

// The program hands a step its recipe, in which nobody can look a line up.
TEST_F(SettleAttributes, OfAStepTheKeyIsNamed) {
  const auto fault_in = [&](const std::string& name, const std::string& attributes) {
    return message_of(ExitCode::recipe, [&] {
      settle_recipe(load_recipe_text("stage: sft\nrun_dir: r\ndevice: cpu\nmodel: " + model_.string() +
                                         "\ndata: {train: a.jsonl}\nattributes: " + attributes + "\n",
                                     name));
    });
  };
  for (const char* name : {"stdin", "step one"}) {
    EXPECT_THAT(fault_in(name, "{max: 9}"), StartsWith("attributes.max: 'attributes.max' of the recipe contradicts"));
    EXPECT_THAT(fault_in(name, "{defaults: {wits: 2}}"), StartsWith("attributes.defaults.wits: unknown attribute"));
    EXPECT_THAT(fault_in(name, "{defaults: {wit: 0}}"), StartsWith("attributes.defaults.wit: 'attributes"));
  }
  declare(R"("names": [])");
  EXPECT_THAT(fault_in("stdin", "{min: 9}"), StartsWith("attributes.min: 'attributes.max' must be above"));
  EXPECT_THAT(fault_in("my.yaml", "{min: 9}"), StartsWith("my.yaml:6:"));
}

TEST_F(SettleAttributes, WithoutAttributesOfTheFolderTheMethodFillsIn) {
  declare(R"("names": [])");
  const Recipe recipe = settled("{defaults: {quality: 3}}");
  EXPECT_EQ(recipe.attributes.names.size(), 7u);
  EXPECT_EQ(recipe.attributes.max, 9);
  EXPECT_EQ(recipe.attributes.defaults.at("quality"), 3);
  EXPECT_EQ(fault("{defaults: {humour: 1}}"),
            "recipe:6:33: unknown attribute 'humour' in 'attributes.defaults' (expected one of quality, toxicity, "
            "humor, creativity, violence, helpfulness, not_appropriate, as recipe and method steerlm say); did you "
            "mean 'humor'?");
  EXPECT_THAT(fault("{defaults: {quality: 10}}"), HasSubstr("found 10, expected an integer from 0 to 9"));
  EXPECT_EQ(fault("{min: 9}"), "recipe:6:19: 'attributes.max' must be above 'attributes.min' (found 9 to 9)");
}

// A version that reads records in another way may have found none where this one finds some.
TEST(NoLabels, AreRememberedOfOneReadingAlone) {
  const TemporaryFolder temporary;
  const std::string path = (temporary.path() / "train.jsonl").string();
  std::ofstream(path) << std::string(2 << 20, ' ');
  ::usleep(2'100'000);  // what was just written is not trusted
  const Recipe recipe = load_recipe_text(
      "stage: sft\nrun_dir: r\nmodel: {path: m}\ndata: {train: [{path: " + path + "}]}\ntrain: {steps: 1}\n", "recipe");
  KnownFiles known;
  EXPECT_EQ(fact_of_no_labels(recipe, known), std::nullopt);
  const std::string sha256 = known.sha256(path, ExitCode::data);
  const SourceOptions& source = recipe.data.train.front();
  const Json key = {{"sha256", sha256},         {"ending", ".jsonl"},    {"format", enum_name(source.format)},
                    {"repeat", source.repeat},  {"limit", source.limit}, {"labels", enum_name(source.labels)},
                    {"without", source.without}};
  Json sources = Json::array();
  sources.push_back(key);
  const auto fact_of = [&](int reading) {
    const Json of = {
        {"steerlm", program_version()}, {"reading", reading}, {"method", enum_name(recipe.method)}, {"train", sources}};
    return "no labels: " + sha256_hex(dump_json(of));
  };
  EXPECT_EQ(fact_of_no_labels(recipe, known), fact_of(dataset_file_format));
}

}  // namespace
}  // namespace steerlm
