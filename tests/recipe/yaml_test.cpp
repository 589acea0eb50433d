#include "recipe/yaml.h"

#include <gtest/gtest.h>

#include <string>

namespace steerlm {
namespace {

std::string faults_of(const std::string& text) {
  std::vector<Fault> faults;
  try {
    parse_yaml(text, "r.yaml", faults);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::recipe);
    return error.what();
  }
  return faults.empty() ? "" : Error(ExitCode::recipe, faults).what();
}

Yaml parse_good(const std::string& text) {
  std::vector<Fault> faults;
  Yaml root = parse_yaml(text, "r.yaml", faults);
  EXPECT_TRUE(faults.empty()) << format_fault(faults[0]);
  return root;
}

TEST(YamlTest, KnowsWhereEachNodeStands) {
  const Yaml root = parse_good("# head\na: 1\nb:\n  c: [x, 'y']\n  ä: {d: null}\n");
  EXPECT_EQ(root.where, "r.yaml:2:1");
  EXPECT_EQ(find(root, "a")->where, "r.yaml:2:4");
  EXPECT_EQ(root.entries[1].where, "r.yaml:3:1");
  const Yaml* list = find_path(root, "b.c");
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(list->where, "r.yaml:4:6");
  EXPECT_EQ(list->items[0].where, "r.yaml:4:7");
  EXPECT_FALSE(list->items[0].quoted);
  EXPECT_EQ(list->items[1].where, "r.yaml:4:10");
  EXPECT_TRUE(list->items[1].quoted);
  EXPECT_EQ(find_path(root, "b.ä")->where, "r.yaml:5:6") << "columns count characters, not bytes";
  EXPECT_EQ(where_of(root, "b.c.nothing"), "r.yaml:4:6");
  EXPECT_EQ(where_of(root, "z.y"), "r.yaml:2:1");
  EXPECT_EQ(find_path(root, "b.e"), nullptr);
}

TEST(YamlTest, TakesByteOrderMarkAndCrlf) {
  const Yaml root = parse_good(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: x\r\n");
  EXPECT_EQ(find(root, "b")->text, "x");
  EXPECT_EQ(find(root, "b")->where, "r.yaml:2:4");
}

TEST(YamlTest, NullIsKnownAndStandsAtItsKey) {
  const Yaml root = parse_good("a:\nb: ~\nc: null\nd: 'null'\n");
  EXPECT_TRUE(is_null(*find(root, "a")));
  EXPECT_EQ(find(root, "a")->where, "r.yaml:1:1");
  EXPECT_TRUE(is_null(*find(root, "b")));
  EXPECT_TRUE(is_null(*find(root, "c")));
  EXPECT_FALSE(is_null(*find(root, "d")));
}

// yaml-cpp tells of a tab in one of many ways, and often at another place.
TEST(YamlTest, ATabInTheIndentationIsToldWhereItStands) {
  const std::string message = ": a tab in the indentation; indent with spaces: YAML allows no tabs there";
  EXPECT_EQ(faults_of("a: 1\nb:\n\tc: 2\n"), "r.yaml:3:1" + message);
  EXPECT_EQ(faults_of("a: 1\nb:\n  c: 2\n\td: 3\n"), "r.yaml:4:1" + message);
  EXPECT_EQ(faults_of("a: 1\nb:\n  \t- c\n"), "r.yaml:3:3" + message);
  EXPECT_EQ(faults_of("a: 1\n\tb: {c: d}\n"), "r.yaml:2:1" + message);
  EXPECT_EQ(faults_of("\ta: 1\nb: 2\n"), "r.yaml:1:1" + message);
  EXPECT_EQ(faults_of("a: 1\nb:\n \tc: 2\n \td: 3\n"), "r.yaml:3:2" + message);
  EXPECT_EQ(faults_of("a: 1\nb:\n    c: 2\n    d: 3\n"), "") << "the advice followed";
  EXPECT_EQ(faults_of("a:\t1\nb: [c,\n\td]\n"), "") << "where YAML allows them";
}

struct Refused {
  std::string text, message;
};
class YamlRefusedTest : public testing::TestWithParam<Refused> {};

TEST_P(YamlRefusedTest, WithPositionAndAdvice) { EXPECT_EQ(faults_of(GetParam().text), GetParam().message); }

INSTANTIATE_TEST_SUITE_P(
    All, YamlRefusedTest,
    testing::Values(
        Refused{"a: &x 1\n", "r.yaml:1:4: an anchor (&name); recipes have no anchors and aliases; write the value out"},
        Refused{"a: &x [1]\n",
                "r.yaml:1:4: an anchor (&name); recipes have no anchors and aliases; write the value out"},
        Refused{"a: &x {b: 1}\nc: *x\n",
                "r.yaml:1:4: an anchor (&name); recipes have no anchors and aliases; write the value out\n"
                "r.yaml:2:4: an alias (*name); recipes have no anchors and aliases; write the value out"},
        Refused{"a: *x\n", "r.yaml:1:4: not valid YAML; recipes have no anchors and aliases"},
        Refused{"<<: {a: 1}\n", "r.yaml:1:1: a merge key (<<); recipes have no merge keys; write the keys out"},
        Refused{"a: !!str 1\n", "r.yaml:1:4: a tag (!type); recipes have no tags; quote the value if it is a text"},
        Refused{"a: ! 1\n", "r.yaml:1:4: a tag (!type); recipes have no tags; quote the value if it is a text"},
        Refused{"a: !x [1]\n", "r.yaml:1:4: a tag (!type); recipes have no tags; quote the value if it is a text"},
        Refused{"a: !x {b: 1}\n", "r.yaml:1:4: a tag (!type); recipes have no tags; quote the value if it is a text"},
        Refused{"a: 1\nb: 2\na: 3\n", "r.yaml:3:1: the key 'a' occurs twice"},
        Refused{"a: {b: 1, b: 2}\n", "r.yaml:1:11: the key 'b' occurs twice"},
        Refused{"[a]: 1\n", "r.yaml:1:1: a key must be a word"}, Refused{"~: 1\n", "r.yaml:1:1: a key must be a word"},
        Refused{"a: 1\n---\nb: 2\n", "r.yaml:2:1: a second document starts here (expected one document)"},
        Refused{"", "r.yaml: the recipe is empty"}, Refused{"# nothing\n", "r.yaml: the recipe is empty"},
        Refused{"- a\n", "r.yaml:1:1: a recipe is a list of keys and values (found a list)"},
        Refused{"just text\n", "r.yaml:1:1: a recipe is a list of keys and values (found a single value)"},
        Refused{"a: @b/c\n", "r.yaml:1:4: not valid YAML; a text that starts with @ needs quotes"},
        Refused{"a: `b\n", "r.yaml:1:4: not valid YAML; a text that starts with ` needs quotes"},
        Refused{"a: \"x\\q\"\n",
                "r.yaml:1:8: not valid YAML; an unknown escape inside double quotes; use single quotes"},
        Refused{"a: \"x\\0y\"\n", "r.yaml:1:4: a NUL character in a text"},
        Refused{"a: \"x\n", "r.yaml:1:4: not valid YAML; a closing quote is missing"},
        Refused{"a: \"x", "r.yaml:1:6: not valid YAML; a closing quote is missing"},
        Refused{"a: \"x\\\"\nb: 1\n", "r.yaml:1:4: not valid YAML; a closing quote is missing"},
        Refused{"a: 'x''\nb: 1\n", "r.yaml:1:4: not valid YAML; a closing quote is missing"},
        Refused{"a: b: c\n",
                "r.yaml:1:5: not valid YAML; a text with ': ' in it needs quotes; a key needs a line of its own"},
        Refused{"stage: sft\nrun_dir:r\nmodel: m\n",
                "r.yaml:2:8: not valid YAML; a key is followed by ': ', with a space"},
        Refused{"stage:sft\nrun_dir: r\n", "r.yaml:1:6: not valid YAML; a key is followed by ': ', with a space"},
        Refused{"a:\n  - b:c\n    d: e\n", "r.yaml:2:6: not valid YAML; a key is followed by ': ', with a space"},
        Refused{"stage: sft\n run_dir: r\n",
                "r.yaml:2:9: not valid YAML; check the indentation: this line is indented as if it went on with the "
                "value above it"},
        Refused{"a: \xff\n", "r.yaml:1:4: not valid UTF-8"}, Refused{"a: \x01\n", "r.yaml:1:4: a control character"}));

TEST(YamlTest, AllRefusalsInOnePass) {
  const std::string message = faults_of("a: &x 1\nb: !t 2\nc: 3\nc: 4\n");
  EXPECT_NE(message.find("r.yaml:1:4"), std::string::npos);
  EXPECT_NE(message.find("r.yaml:2:4"), std::string::npos);
  EXPECT_NE(message.find("r.yaml:4:1"), std::string::npos);
}

TEST(YamlTest, SyntaxErrorsCarryNoLibraryText) {
  for (const char* text : {"a: [1\n", "a: {b: 1\n", "a: 1\n b: 2\n", "a:\n\t- 1\n", "a: ]\n", "- a\nb: 1\n", "a: 'x\n",
                           "%FOO\n", "? a\n? b: c: d\n"}) {
    const std::string message = faults_of(text);
    EXPECT_EQ(message.rfind("r.yaml:", 0), 0u) << text << message;
    EXPECT_EQ(message.find("yaml-cpp"), std::string::npos) << message;
    EXPECT_EQ(message.find("not found"), std::string::npos) << message;
    EXPECT_EQ(message.find("illegal"), std::string::npos) << message;
  }
}

TEST(YamlTest, AtMostOneMegabyte) {
  const std::string start = "a: 1\n#";
  EXPECT_EQ(faults_of(start + std::string(max_recipe_bytes - start.size(), 'x')), "");
  EXPECT_EQ(faults_of(start + std::string(max_recipe_bytes - start.size() + 1, 'x')),
            "r.yaml: the recipe is too large (found 1048577 bytes, expected at most 1048576)");
}

std::string nested(int depth) {
  return "a: " + std::string(static_cast<size_t>(depth - 1), '[') + std::string(static_cast<size_t>(depth - 1), ']') +
         "\n";
}

TEST(YamlTest, AtMostSixteenLevels) {
  EXPECT_EQ(faults_of(nested(16)), "");
  EXPECT_EQ(faults_of(nested(17)), "r.yaml:1:19: nested deeper than 16 levels");
  EXPECT_NE(faults_of("a: " + std::string(500000, '[')).find("nested deeper than 16 levels"), std::string::npos);
}

TEST(YamlTest, ManyKeysTakeNoSquareTime) {
  std::string text;
  for (int i = 0; i < 60000; ++i) text += "key" + std::to_string(i) + ": x\n";
  EXPECT_EQ(parse_good(text).entries.size(), 60000u);
}

class YamlTextTest : public testing::TestWithParam<std::string> {};

TEST_P(YamlTextTest, WrittenAndReadIsTheSame) {
  Yaml root{.kind = Yaml::Kind::mapping};
  root.entries.push_back({"key", "", make_text(GetParam(), "")});
  root.entries.push_back(
      {"list", "", {.kind = Yaml::Kind::sequence, .items = {make_text(GetParam(), ""), make_text("x", "")}}});
  const std::string text = write_yaml(root);
  const Yaml back = parse_good(text);
  EXPECT_EQ(find(back, "key")->text, GetParam()) << text;
  EXPECT_EQ(find(back, "list")->items[0].text, GetParam()) << text;
  const Yaml& scalar = *find(back, "key");
  EXPECT_FALSE(is_null(scalar));
  EXPECT_TRUE(scalar.quoted || !looks_like_number(scalar.text));
}

INSTANTIATE_TEST_SUITE_P(All, YamlTextTest,
                         testing::Values("", "plain", "two words", "a: b", "a #b", "null", "~", "true", "No", "5",
                                         "1e-5", ".5", "-", "- x", "@step/model", "it's", "say \"hi\"", "back\\slash",
                                         "line\nbreak", "tab\there", " space ", "{a}", "[a]", "a, b", "ü 🙂 日本",
                                         "&x", "*x", "!x", "%x", "?", ":", "x:", "#", "\r\n", "\x01\x1f\x7f",
                                         "\xC2\x85 \xE2\x80\xA8 \xEF\xBB\xBF", "...", "/abs/path", "../up", ".hidden",
                                         "a=b", "0/1", std::string(5000, 'x'), std::string(3000, ' ')));

TEST(YamlTest, WritesBlocksAndLists) {
  const std::string text =
      "a:\n  b: 1\n  c: [1, 2]\n  d: []\n  e: {}\nf:\n  - path: x\n    limit: 0\n  - path: y\n    more:\n      z: "
      "true\n  - "
      "[1]\n";
  EXPECT_EQ(write_yaml(parse_good(text)), text);
}

struct Spelling {
  std::string text;
  bool number, integer;
};
class YamlNumberTest : public testing::TestWithParam<Spelling> {};

TEST_P(YamlNumberTest, IsWhatItLooksLike) {
  EXPECT_EQ(looks_like_number(GetParam().text), GetParam().number);
  EXPECT_EQ(looks_like_integer(GetParam().text), GetParam().integer);
}

INSTANTIATE_TEST_SUITE_P(
    All, YamlNumberTest,
    testing::Values(Spelling{"5", true, true}, Spelling{"-5", true, true}, Spelling{"+5", true, true},
                    Spelling{"0", true, true}, Spelling{"128.0", true, false}, Spelling{"1e3", true, false},
                    Spelling{"1e-5", true, false}, Spelling{"1e-05", true, false}, Spelling{"5.0E-06", true, false},
                    Spelling{".5", true, false}, Spelling{"5.", true, false}, Spelling{"010", true, false},
                    Spelling{"0x10", false, false}, Spelling{"1_000", false, false}, Spelling{".inf", false, false},
                    Spelling{".nan", false, false}, Spelling{"", false, false}, Spelling{"e5", false, false},
                    Spelling{"1e", false, false}, Spelling{"--1", false, false}, Spelling{"1 ", false, false}));

}  // namespace
}  // namespace steerlm
