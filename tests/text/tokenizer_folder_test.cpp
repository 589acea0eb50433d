// What a folder's files say of its tokenizer together: tokenizer.model, tokenizer.json, tokenizer_config.json,
// config.json. The cases and their ids are those of Transformers, tools/make_tokenizer_folder_fixtures.py.
#include "steerlm/core/hash.h"
#include "steerlm/text/tokenizer.h"
#include "text/nasty_lines.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Ids = std::vector<std::int32_t>;

std::string short_digest(const std::string& text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned long bits = std::stoul(sha256_hex(text).substr(0, 3), nullptr, 16);
  return {digits[bits >> 6], digits[bits & 63]};
}

std::string read(const Path& path) { return read_file(path, ExitCode::data, "fixture"); }

// Without the spaces and "▁" at the front.
std::string stripped(std::string line) {
  const std::string_view space_symbol = "\xE2\x96\x81";
  for (;;) {
    if (line.starts_with(' ')) {
      line.erase(0, 1);
    } else if (line.starts_with(space_symbol)) {
      line.erase(0, space_symbol.size());
    } else {
      return line;
    }
  }
}

// The folder of a case of folders.json.
void build(const Json& entry, const Path& folder) {
  Json config = Json::object();
  if (entry.contains("json")) {
    const auto base = entry["json"].get<std::string>();
    Json tree = read_tokenizer_fixture(base + "/tokenizer.json");
    if (entry.contains("patch")) tree.merge_patch(entry["patch"]);
    write_text(folder / "tokenizer.json", dump_json(tree));
    config = read_tokenizer_fixture(base + "/tokenizer_config.json");
  }
  if (entry.contains("model")) {
    const auto model = entry["model"].get<std::string>();
    write_text(folder / "tokenizer.model", model == "tiktoken" ? "IQ== 0\nIg== 1\n" : read(fixture(model)));
  }
  if (entry.contains("config")) config.merge_patch(entry["config"]);
  write_text(folder / "tokenizer_config.json", dump_json(config));
  if (entry.contains("model_type"))
    write_text(folder / "config.json", dump_json({{"model_type", entry["model_type"]}}));
}

const Json& cases() {
  static const Json json = read_tokenizer_fixture("folders.json");
  return json;
}

class TokenizerFolderCase : public testing::TestWithParam<size_t> {
 protected:
  const Json& entry_ = cases()["cases"][GetParam()];
};

TEST_P(TokenizerFolderCase, IdsAreThoseOfTransformers) {
  const TemporaryFolder folder;
  build(entry_, folder.path());
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  const NastyLines nasty;
  const auto left_out = cases()["left_out"].get<std::vector<std::uint64_t>>();
  const auto digests = entry_["lines"].get<std::string>();
  std::string rows;
  size_t row = 0;
  int wrong = 0;
  for (std::uint64_t index = 0; index < cases()["count"].get<std::uint64_t>(); ++index) {
    if (std::ranges::find(left_out, index) != left_out.end()) continue;
    const std::string line = stripped(nasty.line(index));
    const std::string ids = dump_json(Json(tokenizer.encode_line(line)));
    if (2 * row < digests.size() && short_digest(ids) != digests.substr(2 * row, 2) && ++wrong < 5)
      ADD_FAILURE() << entry_["name"] << ", line " << index << ": " << line << "\n" << ids;
    rows += (row++ > 0 ? "\n" : "") + ids;
  }
  EXPECT_EQ(sha256_hex(rows), entry_["sha256"].get<std::string>()) << entry_["name"];
  Ids first;
  tokenizer.append_first("a", first);
  EXPECT_EQ(first.front() == tokenizer.bos_id(), entry_["first_is_bos"].get<bool>()) << entry_["name"];
}

// What is written from it, without the file that is not read, gives the same ids.
TEST_P(TokenizerFolderCase, CopiesGiveTheSameIds) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "source");
  build(entry_, folder / "source");
  const Tokenizer tokenizer = Tokenizer::load(folder / "source");
  tokenizer.copy_to(folder / "copy");
  if (entry_.contains("model_type"))
    std::filesystem::copy_file(folder / "source/config.json", folder / "copy/config.json");
  const Tokenizer copy = Tokenizer::load(folder / "copy");
  EXPECT_EQ(copy.path().filename(), tokenizer.path().filename());
  EXPECT_EQ(copy.vocab_size(), tokenizer.vocab_size());
  for (const std::string line : {"Hello <s>the  house</s>x", "<|user|>the house", "<|begin_of_text|>123", "日本語"})
    EXPECT_EQ(copy.encode_line(line), tokenizer.encode_line(line)) << entry_["name"] << ": " << line;
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerFolderCase, testing::Range<size_t>(0, 38), [](const auto& param) {
  auto name = cases()["cases"][param.param]["name"].template get<std::string>();
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

class TokenizerFolder : public testing::Test {
 protected:
  // The case of this name.
  Tokenizer load(const std::string& name) {
    for (const Json& entry : cases()["cases"]) {
      if (entry["name"] != name) continue;
      build(entry, folder_.path());
      return Tokenizer::load(folder_.path());
    }
    throw std::logic_error("no case " + name);
  }
  void use(const std::string& model, const std::string& json, const std::string& config) {
    if (!model.empty()) write_text(folder_ / "tokenizer.model", read(fixture(model)));
    if (!json.empty()) write_text(folder_ / "tokenizer.json", read(tokenizer_fixture(json + "/tokenizer.json")));
    write_text(folder_ / "tokenizer_config.json", config);
  }
  void expect_bad(const testing::Matcher<std::string>& words) {
    expect_error(ExitCode::model, words, [&] { Tokenizer::load(folder_.path()); });
  }
  TemporaryFolder folder_;
};

TEST_F(TokenizerFolder, AllCasesRun) { EXPECT_EQ(cases()["cases"].size(), 38u); }

TEST_F(TokenizerFolder, FilesThatAgreeAreReadFromTheModelWithoutAWord) {
  const Tokenizer tokenizer = load("both agree");
  EXPECT_EQ(tokenizer.path().filename(), "tokenizer.model");
  EXPECT_THAT(tokenizer.notes(), IsEmpty());
}

TEST_F(TokenizerFolder, OfFilesThatDisagreeTheJsonIsReadAndItIsSaid) {
  for (const auto& [name, words] : std::vector<std::pair<std::string, std::string>>{
           {"both, added tokens", "the id 620 is nothing in tokenizer.model and '<|user|>' in tokenizer.json"},
           {"both, no prefix", "they give other ids for the text 'Hello world'"},
           {"both, no BOS", "they disagree on BOS before a text"}}) {
    const Tokenizer tokenizer = load(name);
    EXPECT_EQ(tokenizer.path().filename(), "tokenizer.json") << name;
    EXPECT_THAT(tokenizer.notes(),
                Contains(AllOf(HasSubstr("tokenizer.json is read, as Transformers does"), HasSubstr(words))))
        << name;
  }
  Json json = read_tokenizer_fixture("both/tokenizer.json");
  auto& vocabulary = json["model"]["vocab"];
  std::swap(vocabulary["\xE2\x96\x81the"], vocabulary["\xE2\x96\x81"]);
  use("bpe.model", "", R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "legacy": false})");
  write_text(folder_ / "tokenizer.json", dump_json(json));
  const Tokenizer tokenizer = Tokenizer::load(folder_.path());
  EXPECT_EQ(tokenizer.path().filename(), "tokenizer.json");
  EXPECT_THAT(tokenizer.notes(), Contains(HasSubstr("tokenizer.model and ")));
}

TEST_F(TokenizerFolder, AUnigramJsonOfTheSamePiecesIsNoDisagreement) {
  const Tokenizer bare = Tokenizer::load(fixture("unigram.model"));
  bare.copy_to(folder_ / "model");
  ASSERT_TRUE(std::filesystem::exists(folder_ / "model/tokenizer.json"));
  const Tokenizer again = Tokenizer::load(folder_ / "model");
  EXPECT_EQ(again.path().filename(), "tokenizer.model");
  EXPECT_THAT(again.notes(), IsEmpty());
  Json json = parse_json(read(folder_ / "model/tokenizer.json"), "json", ExitCode::model);
  json["added_tokens"].push_back({{"id", again.vocab_size()}, {"content", "<new>"}, {"special", true}});
  write_text(folder_ / "model/tokenizer.json", dump_json(json));
  expect_error(ExitCode::model,
               AllOf(HasSubstr("model is Unigram, which is not supported"),
                     HasSubstr("tokenizer.model cannot stand in for it: the id 600 is nothing in tokenizer.model and "
                               "'<new>' in tokenizer.json")),
               [&] { Tokenizer::load(folder_ / "model"); });
}

TEST_F(TokenizerFolder, TiktokenAloneIsNamedWithTheWayOut) {
  write_text(folder_ / "tokenizer.model", "IQ== 0\nIg== 1\nIw== 2\n");
  expect_bad(
      AllOf(HasSubstr("tokenizer.model: the file is a tiktoken vocabulary"), HasSubstr("save_pretrained(folder)")));
  use("", "llama3", "{}");
  EXPECT_THAT(Tokenizer::load(folder_.path()).notes(), IsEmpty());
}

TEST_F(TokenizerFolder, ADamagedModelBesideAGoodJsonIsSaid) {
  use("", "llama3", "{}");
  write_text(folder_ / "tokenizer.model", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 499723\n");
  const Tokenizer tokenizer = Tokenizer::load(folder_.path());
  EXPECT_THAT(tokenizer.notes(), ElementsAre(HasSubstr("not read, tokenizer.json is (a Git LFS pointer")));
}

TEST_F(TokenizerFolder, OtherTokenizersAreNamed) {
  for (const char* name : {"vocab.json", "tekken.json", "spiece.model"}) {
    write_text(folder_ / name, "{}");
    expect_bad(
        AllOf(HasSubstr("no tokenizer.model and no tokenizer.json"), HasSubstr(name), HasSubstr("save_pretrained")));
    std::filesystem::remove(folder_ / name);
  }
}

TEST_F(TokenizerFolder, KeysThatTransformersDoesNotReadAreSaid) {
  EXPECT_THAT(load("unread BOS key").notes(), ElementsAre(HasSubstr("add_bos_token: false, but the post-processor")));
  EXPECT_THAT(load("unread prefix key").notes(),
              ElementsAre(HasSubstr("add_prefix_space: false, but tokenizer.json puts a")));
  EXPECT_THAT(load("llama class, no prefix").notes(), IsEmpty());
}

TEST_F(TokenizerFolder, MistralsUnreadPrefixKeyIsSaid) {
  EXPECT_THAT(load("sentencepiece of a mistral, unread prefix key").notes(),
              ElementsAre(HasSubstr("add_prefix_space: false, but the sentencepiece model puts a space")));
}

// Transformers 5.24 gives "Hello world" the ids 594, 306, 566, 577, 276, 290 there.
TEST_F(TokenizerFolder, AQwen2ModelWhoseJsonIsNotByteLevelIsSaid) {
  const auto notes = [&](const std::string& model_type, const std::string& config) {
    use("", "both", config);
    write_text(folder_ / "config.json", dump_json({{"model_type", model_type}}));
    const Tokenizer tokenizer = Tokenizer::load(folder_.path());
    EXPECT_EQ(tokenizer.encode_line("Hello world"), (Ids{355, 306, 566, 315, 290})) << model_type << config;
    return tokenizer.notes();
  };
  const auto other_ids = AllOf(HasSubstr("with Qwen2Tokenizer"), HasSubstr("Transformers gives other ids"));
  const std::string fast = R"({"tokenizer_class": "PreTrainedTokenizerFast"})";
  EXPECT_THAT(notes("qwen2", fast), ElementsAre(other_ids));
  EXPECT_THAT(notes("qwen2", R"({"tokenizer_class": "LlamaTokenizer"})"), ElementsAre(other_ids));
  EXPECT_THAT(notes("qwen2", "{}"), ElementsAre(other_ids));
  EXPECT_THAT(notes("qwen3", "{}"), ElementsAre(other_ids));
  EXPECT_THAT(notes("qwen3", fast), IsEmpty());
  EXPECT_THAT(notes("llama", "{}"), IsEmpty());
}

TEST_F(TokenizerFolder, EosBehindEveryTextIsSaid) {
  use("bpe.model", "", R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "add_eos_token": true})");
  EXPECT_THAT(Tokenizer::load(folder_.path()).notes(),
              ElementsAre(HasSubstr("Transformers puts EOS behind every text")));
}

TEST_F(TokenizerFolder, AConversationHasNoPrefixEither) {
  const Tokenizer tokenizer = load("sentencepiece, no prefix");
  Ids first, continuation;
  tokenizer.append_first("Hello house", first);
  tokenizer.append_continuation("Hello house", continuation);
  first.erase(first.begin());  // BOS
  EXPECT_EQ(first, continuation);
  EXPECT_EQ(tokenizer.decode(first), "Hello house");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode_line(" x")), " x") << "a space at the front is the text's own";
}

TEST_F(TokenizerFolder, BytesWithoutAPieceAreNamed) {
  const Tokenizer tokenizer = load("bytes without a piece");
  EXPECT_EQ(tokenizer.bytes_without_piece().size(), 21u);
  EXPECT_THAT(tokenizer.bytes_without_piece(), AllOf(HasSubstr("x"), HasSubstr("Z"), HasSubstr(std::string(1, '\0'))));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode_line("axbZ\x01"
                                                   "c")),
            "abc")
      << "they vanish";
  EXPECT_EQ(load("llama class over bytes").bytes_without_piece(), "");
  EXPECT_EQ(Tokenizer::load(fixture("bpe.model")).bytes_without_piece(), "");
}

TEST_F(TokenizerFolder, KeysThatAreNotKnownAreRefused) {
  use("bpe.model", "", R"({"tokenizer_class": "LlamaTokenizer", "reverse_text": true, "seed": 5, "absent": null})");
  expect_bad(AllOf(HasSubstr("the key 'reverse_text' is not known, and might change the ids of a text (found true)"),
                   HasSubstr("the key 'seed' is not known"), Not(HasSubstr("absent"))));
  for (const auto& [config, words] : std::vector<std::pair<std::string, std::string>>{
           {R"({"do_lower_case": true})", "'do_lower_case' is not implemented (found true, expected false or null)"},
           {R"({"sp_model_kwargs": {"enable_sampling": true}})", "'sp_model_kwargs' is not implemented"},
           {R"({"fix_mistral_regex": true})", "'fix_mistral_regex' is not implemented"},
           {R"({"add_prefix_space": "no"})", "'add_prefix_space' (found \"no\", expected true or false)"},
           {R"({"tokenizer_class": 5})", "'tokenizer_class' (found 5, expected a text)"},
           {R"({"tokenizer_class": "T5Tokenizer"})", "the tokenizer class is not implemented (found 'T5Tokenizer'"}}) {
    use("bpe.model", "", config);
    expect_bad(AllOf(HasSubstr("tokenizer_config.json"), HasSubstr(words)));
  }
  use("bpe.model", "", "{}");
  write_text(folder_ / "special_tokens_map.json", R"({"pad_token": "<s>", "image_token": "<s>", "normalizer": "x"})");
  expect_bad(AllOf(HasSubstr("special_tokens_map.json"), HasSubstr("the key 'normalizer' is not known")));
}

TEST_F(TokenizerFolder, ClassesOfAJsonThatAreNotImplementedAreRefused) {
  use("", "llama2", R"({"tokenizer_class": "GemmaTokenizerFast"})");
  expect_bad(AllOf(HasSubstr("the tokenizer class is not implemented (found 'GemmaTokenizer'"),
                   HasSubstr("set 'tokenizer_class' to PreTrainedTokenizerFast")));
  use("", "llama2", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");  // as it advises
  Tokenizer::load(folder_.path());
  use("", "llama3", R"({"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": true})");
  expect_bad(HasSubstr("'add_prefix_space' is not implemented for Qwen2Tokenizer"));
}

// Keys of configs on the hub: Llama 2 and 3, Mistral, Qwen 2 and 3, SmolLM2, CodeLlama; what unsloth and Transformers 5
// add.
TEST_F(TokenizerFolder, KeysOfPublishedFoldersAreKnown) {
  use("bpe.model", "", R"({
      "add_bos_token": true, "add_eos_token": false, "add_prefix_space": null, "added_tokens_decoder": {},
      "additional_special_tokens": [], "auto_map": {"AutoTokenizer": ["a", null]}, "backend": "tokenizers",
      "bos_token": "<s>", "chat_template": "x", "clean_up_tokenization_spaces": false, "cls_token": null,
      "eos_token": "</s>", "errors": "replace", "extra_special_tokens": {}, "fill_token": "<FILL_ME>",
      "image_token": "<image>", "is_local": true, "legacy": true, "local_files_only": false, "max_length": 512,
      "model_input_names": ["input_ids"], "model_max_length": 4096, "name_or_path": "x", "pad_to_multiple_of": null,
      "pad_token": "</s>", "pad_token_type_id": 0, "padding_side": "left", "processor_class": "X",
      "sp_model_kwargs": {}, "spaces_between_special_tokens": false, "special_tokens_map_file": "x", "stride": 0,
      "suffix_first": false, "tokenizer_class": "CodeLlamaTokenizer", "tokenizer_file": null, "truncation_side": "left",
      "truncation_strategy": "longest_first", "unk_token": "<unk>", "use_default_system_prompt": false,
      "vocab_file": "tokenizer.model", "vocab_size": 49152, "split_special_tokens": false, "use_fast": true, "device_map": "auto",
      "trust_remote_code": false, "unk_token_id": 0, "mask_token": null, "model_specific_special_tokens": {}})");
  EXPECT_EQ(Tokenizer::load(folder_.path()).vocab_size(), Tokenizer::load(fixture("bpe.model")).vocab_size());
}

}  // namespace
}  // namespace steerlm
