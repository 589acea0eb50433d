// steerlm.json: contracts.md section 6.
#include "hf/steerlm_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* example = R"({"method": "helpsteer",
 "attributes": {"names": ["quality", "humor"], "min": 0, "max": 4, "defaults": {"quality": 4, "humor": 0}},
 "head": {"kind": "regression", "bias": false},
 "template": {"name": "steerlm", "system": "A chat", "special_tokens": "added", "sha256": "ab"}})";

TEST(SteerlmJsonTest, ReadsAllKeys) {
  const SteerlmJson value = parse_steerlm_json(Json::parse(example), "steerlm.json");
  EXPECT_EQ(value.method, "helpsteer");
  EXPECT_THAT(value.attributes.names, ElementsAre("quality", "humor"));
  EXPECT_EQ(value.attributes.max, 4);
  EXPECT_EQ(value.attributes.defaults.at("quality"), 4);
  EXPECT_EQ(value.head_kind, HeadKind::regression);
  EXPECT_EQ(value.head_bias, false);
  EXPECT_EQ(value.text_template.special_tokens, SpecialTokens::added);
  EXPECT_EQ(value.text_template.system, "A chat");
  EXPECT_EQ(value.template_sha256, "ab");
}

TEST(SteerlmJsonTest, WrittenFilesReadBack) {
  const SteerlmJson value = parse_steerlm_json(Json::parse(example), "steerlm.json");
  EXPECT_EQ(dump_steerlm_json(value), Json::parse(example));
}

TEST(SteerlmJsonTest, ALossOfPairsIsWrittenDown) {
  SteerlmJson value = parse_steerlm_json(Json::parse(example), "steerlm.json");
  EXPECT_EQ(value.head_loss, HeadLoss::mse);
  value.head_loss = HeadLoss::scaled;
  const Json json = dump_steerlm_json(value);
  EXPECT_EQ(json["head"].dump(), R"({"kind":"regression","loss":"scaled","bias":false})");
  EXPECT_EQ(parse_steerlm_json(json, "steerlm.json").head_loss, HeadLoss::scaled);
}

TEST(SteerlmJsonTest, APoolingOfItsOwnIsWrittenDown) {
  SteerlmJson value = parse_steerlm_json(Json::parse(example), "steerlm.json");
  EXPECT_EQ(value.head_pooling, HeadPooling::last);
  value.head_pooling = HeadPooling::mean;
  const Json json = dump_steerlm_json(value);
  EXPECT_EQ(json["head"].dump(), R"({"kind":"regression","bias":false,"pooling":"mean"})");
  EXPECT_EQ(parse_steerlm_json(json, "steerlm.json").head_pooling, HeadPooling::mean);
  EXPECT_THROW(parse_steerlm_json(Json::parse(R"({"attributes": {"names": ["a"]}, "head": {"pooling": "max"}})"),
                                  "steerlm.json"),
               Error);
}

TEST(SteerlmJsonTest, WhatALanguageModelWritesIsWrittenDown) {
  SteerlmJson value = parse_steerlm_json(Json::parse(R"({"attributes": {"names": ["a"]}})"), "steerlm.json");
  EXPECT_EQ(value.head_writes, std::nullopt);
  EXPECT_EQ(dump_steerlm_json(value)["head"].dump(), R"({"kind":"language_model"})");
  for (const Writes writes : {Writes::text, Writes::labels}) {
    value.head_writes = writes;
    const Json json = dump_steerlm_json(value);
    EXPECT_EQ(json["head"]["writes"], enum_name(writes));
    EXPECT_EQ(parse_steerlm_json(json, "steerlm.json").head_writes, writes);
  }
}

TEST(SteerlmJsonTest, OnlyAttributesAreNeeded) {
  const SteerlmJson value = parse_steerlm_json(
      Json::parse(R"({"attributes": {"names": ["a", "b"], "min": 1, "max": 3, "defaults": {"b": 2}}})"),
      "steerlm.json");
  EXPECT_EQ(value.method, "");
  EXPECT_EQ(value.head_kind, std::nullopt);
  EXPECT_EQ(value.head_bias, std::nullopt);
  EXPECT_EQ(value.text_template.name, TemplateName::steerlm);
  EXPECT_EQ(value.text_template.special_tokens, SpecialTokens::text);
  EXPECT_EQ(value.text_template.system, default_system_prompt);
  EXPECT_EQ(value.attributes.defaults.at("a"), 1);  // the smallest
  EXPECT_EQ(value.attributes.defaults.at("b"), 2);
}

TEST(SteerlmJsonTest, AFolderMayDeclareNoAttributes) {
  SteerlmJson value;
  value.head_kind = HeadKind::language_model;
  value.text_template.name = TemplateName::plain;
  value.template_given.name = true;
  const SteerlmJson back = parse_steerlm_json(dump_steerlm_json(value), "steerlm.json");
  EXPECT_TRUE(back.attributes.names.empty());
  EXPECT_EQ(back.text_template.name, TemplateName::plain);
  EXPECT_EQ(back.head_kind, HeadKind::language_model);
}

TEST(SteerlmJsonTest, WhatNobodyNamedIsNotWritten) {
  const SteerlmJson value = parse_steerlm_json(
      Json::parse(R"({"attributes": {"names": []}, "template": {"system": "Be kind."}})"), "steerlm.json");
  EXPECT_FALSE(value.template_given.name);
  EXPECT_TRUE(value.template_given.system);
  EXPECT_EQ(dump_steerlm_json(value).at("template"), Json::parse(R"({"system": "Be kind."})"));
  EXPECT_FALSE(dump_steerlm_json({}).contains("template"));
}

TEST(SteerlmJsonTest, NullIsTheSameAsMissing) {
  const char* nulls = R"({"method": null, "attributes": {"names": [], "min": null},
                          "head": {"kind": null, "writes": null, "bias": null},
                          "template": {"name": null, "system": null, "sha256": null}})";
  const SteerlmJson value = parse_steerlm_json(Json::parse(nulls), "steerlm.json");
  EXPECT_EQ(dump_steerlm_json(value),
            dump_steerlm_json(parse_steerlm_json(Json::parse(R"({"attributes": {"names": []}})"), "steerlm.json")));
  EXPECT_FALSE(value.template_given.name || value.template_given.system || value.template_given.special_tokens);
}

struct BadCase {
  const char* json;
  const char* expected;
};
class BadSteerlmJson : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadSteerlmJson, IsRefusedWithItsReason) {
  try {
    parse_steerlm_json(Json::parse(GetParam().json), "dir/steerlm.json");
    FAIL() << GetParam().json;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::model);
    EXPECT_THAT(error.what(), HasSubstr("dir/steerlm.json"));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().expected));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadSteerlmJson,
    ::testing::Values(
        BadCase{"[]", "not a JSON object (found [])"}, BadCase{"{}", "'attributes' is missing"},
        BadCase{R"({"attributes": null})", "'attributes' is missing"},
        BadCase{R"({"attributes": {}})", "'names' is missing"},
        BadCase{R"({"attributes": {"names": "quality"}})", "a list of texts"},
        BadCase{R"({"attributes": {"names": [1]}})", "'names' (found 1, expected a text)"},
        BadCase{R"({"attributes": {"names": ["a", "a"]}})", "'a' is named twice"},
        BadCase{R"({"attributes": {"names": ["a b"]}})", "not a name for an attribute"},
        BadCase{R"({"attributes": {"names": ["a"], "min": 4, "max": 0}})", "min"},
        BadCase{R"({"attributes": {"names": ["a"], "max": 4.5}})", "'max' (found 4.5, expected an integer)"},
        BadCase{R"({"attributes": {"names": ["a"], "defaults": {"a": 9}}})", "9"},
        BadCase{R"({"attributes": {"names": ["a"], "defaults": [1]}})", "'defaults'"},
        BadCase{R"({"attributes": {"names": ["a"], "maximum": 4}})", "the key 'maximum' is not supported"},
        BadCase{R"({"attributes": {"names": []}, "metod": "steerlm"})", "did you mean 'method'?"},
        BadCase{R"({"attributes": {"names": []}, "method": 1})", "'method' (found 1, expected a text)"},
        BadCase{R"({"attributes": {"names": []}, "head": {"kind": "regresion"}})", "did you mean 'regression'?"},
        BadCase{R"({"attributes": {"names": []}, "head": {"writes": "label"}})", "did you mean 'labels'?"},
        BadCase{R"({"attributes": {"names": []}, "head": {"bias": 1}})", "'bias' (found 1, expected true or false)"},
        BadCase{R"({"attributes": {"names": []}, "template": {"name": "vicuna"}})", "'name' (found \"vicuna\""},
        BadCase{R"({"attributes": {"names": []}, "template": {"system": 1}})", "'system' (found 1, expected a text)"}));

}  // namespace
}  // namespace steerlm
