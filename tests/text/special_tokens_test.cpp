// Which tokens a folder's files and its tokenizer class make special, how they match, and where BOS is put. The ids are
// those of Transformers 5.24.
#include <algorithm>

#include "steerlm/text/tokenizer.h"
#include "text/nasty_lines.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Ids = std::vector<std::int32_t>;

struct ClassCase {
  std::string config, model_type, text;
  Ids ids;
  std::int32_t bos, eos;
};

class SpecialTokens : public testing::Test {
 protected:
  // Of a fixture's tokenizer.json without its config.
  void use_json(const std::string& name) { json_ = read_tokenizer_fixture(name + "/tokenizer.json"); }
  // The added tokens are pieces like all others.
  void move_added_tokens_into_the_vocabulary() {
    for (const Json& token : json_["added_tokens"])
      json_["model"]["vocab"][token["content"].get<std::string>()] = token["id"];
    json_["added_tokens"] = Json::array();
  }
  Tokenizer load(const std::string& config, const std::string& model_type, const std::string& map = "") {
    std::filesystem::remove_all(folder_ / "m");
    std::filesystem::create_directory(folder_ / "m");
    if (json_.is_null()) {
      std::filesystem::copy_file(fixture("bpe.model"), folder_ / "m" / "tokenizer.model");
    } else {
      write_text(folder_ / "m" / "tokenizer.json", dump_json(json_));
    }
    write_text(folder_ / "m" / "tokenizer_config.json", config);
    write_text(folder_ / "m" / "config.json", dump_json({{"model_type", model_type}}));
    if (!map.empty()) write_text(folder_ / "m" / "special_tokens_map.json", map);
    return Tokenizer::load(folder_ / "m");
  }
  void expect_tokens(const ClassCase& entry) {
    const Tokenizer tokenizer = load(entry.config, entry.model_type);
    EXPECT_EQ(tokenizer.encode_line(entry.text), entry.ids) << entry.config << entry.model_type;
    EXPECT_EQ(tokenizer.bos_id(), entry.bos) << entry.config << entry.model_type;
    EXPECT_EQ(tokenizer.eos_id(), entry.eos) << entry.config << entry.model_type;
  }

  TemporaryFolder folder_;
  Json json_;
};

TEST_F(SpecialTokens, LlamaTokenizerHasItsOwn) {
  use_json("both");
  move_added_tokens_into_the_vocabulary();
  for (const ClassCase& entry : std::vector<ClassCase>{
           {R"({"tokenizer_class": "LlamaTokenizer"})", "llama", "a</s>b<s><unk>", {262, 2, 585, 1, 0}, 1, 2},
           {R"({"tokenizer_class": "CodeLlamaTokenizer"})", "llama", "a</s>b<s><unk>", {262, 2, 585, 1, 0}, 1, 2},
           {R"({"tokenizer_class": "LlamaTokenizer", "eos_token": null})",
            "llama",
            "a</s>b<s>",
            {262, 63, 50, 574, 65, 585, 1},
            1,
            -1},
           {R"({"tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": {"1": {"content": "<s>", "rstrip": true,
                "normalized": false, "special": true}}})",
            "llama",
            "a</s>b<s> c",
            {262, 2, 585, 1, 580},
            1,
            2},
           {R"({"tokenizer_class": "PreTrainedTokenizerFast"})", "llama", "a</s>b", {262, 63, 50, 574, 65, 585}, 1, -1},
           {R"({"tokenizer_class": "LlamaTokenizer"})", "mistral", "a</s>b", {262, 63, 50, 574, 65, 585}, 1, -1}}) {
    expect_tokens(entry);
  }
}

TEST_F(SpecialTokens, ByteLevelClassesHaveTheirOwn) {
  use_json("qwen2");
  move_added_tokens_into_the_vocabulary();
  for (const ClassCase& entry : std::vector<ClassCase>{
           {R"({"tokenizer_class": "Qwen2Tokenizer"})", "qwen3", "a<|endoftext|>b", {64, 1100, 65}, -1, 1100},
           {R"({"tokenizer_class": "PreTrainedTokenizerFast"})", "qwen2", "a<|endoftext|>b", {64, 1100, 65}, -1, 1100},
           {"{}", "qwen2", "a<|endoftext|>b", {64, 1100, 65}, -1, 1100},
           {"{}", "qwen3", "a<|endoftext|>b", {64, 1100, 65}, -1, 1100},
           {R"({"eos_token": "<|im_end|>"})", "qwen2", "a<|endoftext|>b<|im_end|>", {64, 1100, 65, 1102}, -1, 1102},
           {R"({"tokenizer_class": "GPT2Tokenizer"})", "llama", "a<|endoftext|>b", {64, 1100, 65}, 1100, 1100},
           {R"({"tokenizer_class": "PreTrainedTokenizerFast"})",
            "llama",
            "a<|endoftext|>b",
            {64, 343, 930, 371, 65},
            -1,
            -1}}) {
    expect_tokens(entry);
  }
}

// A class's token that is in no vocabulary is left out without a word: no file names it.
TEST_F(SpecialTokens, AClassTokenThatIsNoPieceIsNone) {
  use_json("qwen2");
  for (Json& token : json_["added_tokens"]) {
    if (token["content"] == "<|endoftext|>") token["content"] = "<|other|>";
  }
  const Tokenizer tokenizer = load("{}", "qwen2");
  EXPECT_EQ(tokenizer.eos_id(), -1);
  EXPECT_THAT(tokenizer.notes(), IsEmpty());
}

struct FlagsCase {
  std::string config, map, text;
  Ids ids;
};

const std::string strips = R"("lstrip": true, "rstrip": true, "single_word": false, "normalized": false)";

std::string stripping(const std::string& token) {
  return R"({"__type": "AddedToken", "content": ")" + token + "\", " + strips + "}";
}
std::string in_map(const std::string& token) { return R"({"content": ")" + token + "\", " + strips + "}"; }

TEST_F(SpecialTokens, AnAddedTokenOfTheJsonKeepsItsFlags) {
  use_json("both");
  const std::string normalized = R"("lstrip": false, "rstrip": false, "normalized": true, "single_word": false})";
  EXPECT_EQ(load(R"({"bos_token": {"__type": "AddedToken", "content": "<s>", )" + normalized +
                     R"(, "eos_token": {"__type": "AddedToken", "content": "</s>", )" + normalized + "}",
                 "llama")
                .encode_line("a <s> b</s>"),
            (Ids{262, 564, 1, 272, 2}));
  use_json("qwen2");
  const Ids kept{64, 220, 1102, 289};
  for (const FlagsCase& entry : std::vector<FlagsCase>{
           {R"({"pad_token": )" + stripping("<|im_end|>") + "}", "", "a <|im_end|> b", kept},
           {R"({"additional_special_tokens": [)" + stripping("<|im_end|>") + "]}", "", "a <|im_end|> b", kept},
           {R"({"extra_special_tokens": [)" + stripping("<|im_end|>") + "]}", "", "a <|im_end|> b", kept},
           {"{}", R"({"mask_token": )" + in_map("<|im_end|>") + "}", "a <|im_end|> b", kept},
           {R"({"pad_token": )" + stripping("word") + "}", "", "a word b", {64, 220, 349, 289}},
           // one that only the vocabulary has
           {R"({"pad_token": )" + stripping("Q") + "}", "", "a Q b", {64, 48, 65}},
           {"{}", R"({"pad_token": )" + in_map("Q") + "}", "a Q b", {64, 48, 65}},
           // added_tokens_decoder replaces them
           {R"({"pad_token": )" + stripping("<|im_end|>") +
                R"(, "added_tokens_decoder": {"1102": {"content": "<|im_end|>", "lstrip": true, "normalized": false,
                    "special": true}}})",
            "",
            "a <|im_end|> b",
            {64, 1102, 289}}})
    EXPECT_EQ(load(entry.config, "llama", entry.map).encode_line(entry.text), entry.ids) << entry.config << entry.map;
}

TEST_F(SpecialTokens, ANamedTokenOfTheJsonIsSpecial) {
  use_json("qwen2");
  const Tokenizer tokenizer = load(R"({"pad_token": )" + stripping("<think>") + "}", "llama");
  EXPECT_EQ(tokenizer.decode(Ids{*tokenizer.piece_id("<think>")}), "");
}

TEST_F(SpecialTokens, Qwen2TokenizerTakesNamedTokensAsPlainOnes) {
  use_json("qwen2");
  for (Json& token : json_["added_tokens"]) token["lstrip"] = token["rstrip"] = true;
  EXPECT_EQ(load("{}", "qwen2").encode_line("a <|endoftext|> b"), (Ids{64, 220, 1100, 289}));
  EXPECT_EQ(load("{}", "llama").encode_line("a <|endoftext|> b"), (Ids{64, 1100, 65}));
}

// As Transformers 5.24 has it: whether "<zz>" is hidden in a decoded text (h), shown (s), or no token of its own (.),
// for each of `ways_to_name`.
struct SpecialRule {
  std::string file;     // added_tokens of tokenizer.json: "special", "plain"; "piece": only the vocabulary has it
  std::string decoder;  // added_tokens_decoder: "special", "plain"; "lacks": it has others; "none": there is none
  std::string outcomes;
};

const std::vector<std::string> ways_to_name{
    "",
    R"("pad_token": "<zz>")",
    R"("image_token": "<zz>")",
    R"("additional_special_tokens": ["<zz>"])",
    R"("extra_special_tokens": ["<zz>"])",
    R"("extra_special_tokens": {"image_token": "<zz>"})",
    R"("additional_special_tokens": {"image_token": "<zz>"})",
    R"("model_specific_special_tokens": {"image_token": "<zz>"})",
    R"("additional_special_tokens": [{"__type": "AddedToken", "content": "<zz>",
                                      "normalized": false, "special": false}])",
    R"("additional_special_tokens": ["<zz>"], "extra_special_tokens": ["<|im_end|>"])"};

class SpecialTokenRules : public SpecialTokens {
 protected:
  static Json described(bool special) {
    return {{"content", "<zz>"}, {"single_word", false}, {"lstrip", false},
            {"rstrip", false},   {"normalized", false},  {"special", special}};
  }
  char outcome(const std::string& json, const std::string& class_name, const std::string& model_type,
               const SpecialRule& rule, const std::string& naming) {
    use_json(json);
    std::int32_t id = 0;
    for (const Json& taken : json_["model"]["vocab"]) id = std::max(id, taken.get<std::int32_t>() + 1);
    const std::int32_t pieces = id;
    const bool is_piece = rule.file == "piece";
    if (is_piece) json_["model"]["vocab"]["<zz>"] = id;
    Json decoder = Json::object();
    for (Json& token : json_["added_tokens"]) {
      std::int32_t own = token["id"].get<std::int32_t>();
      if (is_piece && own >= pieces) token["id"] = ++own;  // added tokens come behind the pieces
      if (!is_piece) id = std::max(id, own + 1);
      Json entry = token;
      entry.erase("id");
      decoder[std::to_string(own)] = entry;
    }
    if (!is_piece) {
      Json entry = described(rule.file == "special");
      entry["id"] = id;
      json_["added_tokens"].push_back(entry);
    }
    if (rule.decoder != "lacks") decoder[std::to_string(id)] = described(rule.decoder == "special");
    Json config = parse_json("{" + naming + "}", "a way to name a token", ExitCode::bug);
    config["tokenizer_class"] = class_name;
    if (rule.decoder != "none") config["added_tokens_decoder"] = decoder;
    const Tokenizer tokenizer = load(dump_json(config), model_type);
    if (std::ranges::count(tokenizer.encode_line("a <zz> b"), id) == 0) return '.';
    return tokenizer.decode(Ids{id}).find("<zz>") == std::string::npos ? 'h' : 's';
  }
  void expect_rules(const std::string& json, const std::string& class_name, const std::string& model_type,
                    const std::vector<SpecialRule>& rules) {
    for (const SpecialRule& rule : rules) {
      std::string outcomes;
      for (const std::string& naming : ways_to_name) outcomes += outcome(json, class_name, model_type, rule, naming);
      EXPECT_EQ(outcomes, rule.outcomes) << class_name << " of a " << model_type << ", tokenizer.json: " << rule.file
                                         << ", added_tokens_decoder: " << rule.decoder;
    }
  }
};

// A token that tokenizer.json makes special stays so, whatever stands in tokenizer_config.json.
TEST_F(SpecialTokenRules, OfATokenizerThatIsTheFiles) {
  const std::vector<SpecialRule> rules{
      {"special", "none", "hhhhhhhhhh"},  {"special", "special", "hhhhhhhhhh"}, {"special", "plain", "hhhhhhhhhh"},
      {"special", "lacks", "hhhhhhhhhh"}, {"plain", "none", "shhsshhhss"},      {"plain", "special", "hhhhhhhhhh"},
      {"plain", "plain", "shhsshhhss"},   {"plain", "lacks", "ssssssssss"},     {"piece", "none", ".hhhhhhhs."},
      {"piece", "special", "hhhhhhhhhh"}, {"piece", "plain", "shhsshhhss"},     {"piece", "lacks", ".hhhhhhhs."}};
  expect_rules("qwen2", "PreTrainedTokenizerFast", "llama", rules);
  expect_rules("both", "LlamaTokenizer", "mistral", rules);
}

// A class that builds the tokenizer reads the added tokens of tokenizer.json only without an added_tokens_decoder.
TEST_F(SpecialTokenRules, OfATokenizerThatItsClassBuilds) {
  const std::vector<SpecialRule> rules{{"special", "none", "hhhhhhhhhh"},  {"special", "special", "hhhhhhhhhh"},
                                       {"special", "plain", "shhsshhhss"}, {"plain", "none", "shhsshhhss"},
                                       {"plain", "special", "hhhhhhhhhh"}, {"plain", "plain", "shhsshhhss"},
                                       {"piece", "none", ".hhhhhhhs."},    {"piece", "special", "hhhhhhhhhh"},
                                       {"piece", "plain", "shhsshhhss"},   {"piece", "lacks", ".hhhhhhhs."}};
  expect_rules("qwen2", "GPT2Tokenizer", "llama", rules);
  expect_rules("both", "LlamaTokenizer", "llama", rules);
}

// Qwen2Tokenizer makes the tokens of the lists special too.
TEST_F(SpecialTokenRules, OfQwen2Tokenizer) {
  expect_rules("qwen2", "Qwen2Tokenizer", "qwen2",
               {{"special", "none", "hhhhhhhhhh"},
                {"special", "special", "hhhhhhhhhh"},
                {"special", "plain", "shhhhhhhhs"},
                {"plain", "none", "shhhhhhhhs"},
                {"plain", "special", "hhhhhhhhhh"},
                {"plain", "plain", "shhhhhhhhs"},
                {"piece", "none", ".hhhhhhhh."},
                {"piece", "special", "hhhhhhhhhh"},
                {"piece", "plain", "shhhhhhhhs"},
                {"piece", "lacks", ".hhhhhhhh."}});
}

TEST_F(SpecialTokens, APieceOfASentencepieceModelKeepsItsFlags) {
  const std::string model_class = R"({"tokenizer_class": "LlamaTokenizer")";
  EXPECT_EQ(load(model_class + R"(, "eos_token": )" + stripping("</s>") + "}", "llama").encode_line("a </s> b"),
            (Ids{262, 564, 2, 272}));
  EXPECT_EQ(load(model_class + "}", "llama", R"({"eos_token": )" + in_map("</s>") + "}").encode_line("a </s> b"),
            (Ids{262, 564, 2, 272}));
  EXPECT_EQ(
      load(model_class + R"(, "added_tokens_decoder": {"2": {"content": "</s>", "special": true, )" + strips + "}}}",
           "llama")
          .encode_line("a </s> b"),
      (Ids{262, 2, 585}));
}

TEST_F(SpecialTokens, TheMapsKeysAreReadBeforeTheConfigsAndOnlyWithoutADecoder) {
  use_json("both");
  const std::string config = R"("bos_token": "<s>", "eos_token": "<s>")";
  const std::string map = R"({"eos_token": "</s>"})";
  EXPECT_EQ(load("{" + config + "}", "llama", map).eos_id(), 2);
  EXPECT_EQ(load("{" + config + R"(, "added_tokens_decoder": {}})", "llama", map).eos_id(), 1);
  EXPECT_EQ(load(R"({"tokenizer_class": "PreTrainedTokenizerFast"})", "llama", map).eos_id(), 2);
  EXPECT_EQ(
      load(R"({"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {}})", "llama", map).eos_id(), -1);
}

TEST_F(SpecialTokens, CodeLlamaTokenizerPutsBosWhateverTheJsonSays) {
  use_json("both");
  for (const Json& processor : {Json(nullptr), json_["post_processor"]}) {
    json_["post_processor"] = processor;
    const Tokenizer tokenizer = load(R"({"tokenizer_class": "CodeLlamaTokenizer"})", "llama");
    EXPECT_TRUE(tokenizer.add_bos());
    EXPECT_EQ(tokenizer.bos_id(), 1);
    EXPECT_THAT(tokenizer.notes(), IsEmpty());
    EXPECT_FALSE(load(R"({"tokenizer_class": "CodeLlamaTokenizer", "bos_token": null})", "llama").add_bos());
    EXPECT_EQ(load(R"({"tokenizer_class": "LlamaTokenizer"})", "llama").add_bos(), !processor.is_null());
    EXPECT_EQ(load(R"({"tokenizer_class": "CodeLlamaTokenizer"})", "mistral").add_bos(), !processor.is_null());
    const Tokenizer unread = load(R"({"tokenizer_class": "CodeLlamaTokenizer", "add_bos_token": false})", "llama");
    EXPECT_TRUE(unread.add_bos());
    EXPECT_THAT(unread.notes(), ElementsAre(HasSubstr("add_bos_token: false, but CodeLlamaTokenizer puts BOS")));
  }
}

TEST_F(SpecialTokens, AnAddBosTokenOfNullIsFalse) {
  EXPECT_TRUE(load(R"({"tokenizer_class": "CodeLlamaTokenizer"})", "llama").add_bos());
  for (const std::string name : {"CodeLlamaTokenizer", "LlamaTokenizer", "PreTrainedTokenizerFast"}) {
    const Tokenizer tokenizer = load(R"({"tokenizer_class": ")" + name + R"(", "add_bos_token": null})", "llama");
    EXPECT_FALSE(tokenizer.add_bos()) << name;
    EXPECT_THAT(tokenizer.notes(), IsEmpty()) << name << ": Transformers 4 puts none either";
  }
}

}  // namespace
}  // namespace steerlm
