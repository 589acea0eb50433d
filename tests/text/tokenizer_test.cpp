#include "steerlm/text/tokenizer.h"

#include <sentencepiece_processor.h>

#include <fstream>

#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "steerlm/core/rng.h"
#include "steerlm/text/spm_pieces.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Ids = std::vector<std::int32_t>;

const std::vector<std::string> models{"bpe.model", "unigram.model", "markers.model"};

Json read_fixture(const std::string& name) {
  const Path path = fixture(name);
  return parse_json(read_file(path, ExitCode::data, "fixture"), path.string(), ExitCode::data);
}

std::string digest(const Ids& ids) { return sha256_hex(dump_json(Json(ids))).substr(0, 16); }

Ids first(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.append_first(text, ids);
  return ids;
}

// A model folder around a fixture's model.
void make_folder(const Path& folder, const std::string& model, const std::string& config) {
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(fixture(model), folder / "tokenizer.model");
  if (!config.empty()) write_text(folder / "tokenizer_config.json", config);
}

TEST(Tokenizer, LinesAsInTransformers) {
  const Json cases = read_fixture("lines.json");
  ASSERT_GT(cases["lines"].size(), 500u);
  for (const std::string& model : models) {
    for (const bool legacy : {true, false}) {
      const TemporaryFolder folder;
      make_folder(folder / "m", model,
                  std::string(R"({"tokenizer_class":"LlamaTokenizer","legacy":)") + (legacy ? "true}" : "false}"));
      const Tokenizer tokenizer = Tokenizer::load(folder / "m");
      const Tokenizer bare = Tokenizer::load(fixture(model));
      const Json& expected = cases["ids"][model + (legacy ? " legacy" : "")];
      for (size_t i = 0; i < cases["lines"].size(); ++i) {
        const auto line = cases["lines"][i].get<std::string>();
        EXPECT_EQ(digest(tokenizer.encode_line(line)), expected[i].get<std::string>())
            << model << " legacy " << legacy << ": " << line;
        if (legacy) {
          EXPECT_EQ(bare.encode_line(line), tokenizer.encode_line(line)) << line;
        }
      }
    }
  }
}

TEST(Tokenizer, ContinuationsAreSentencepieceWithoutDummyPrefix) {
  const Json cases = read_fixture("lines.json");
  for (const std::string& model : models) {
    const Tokenizer tokenizer = Tokenizer::load(fixture(model));
    for (size_t i = 0; i < cases["lines"].size(); ++i) {
      const auto line = cases["lines"][i].get<std::string>();
      if (model == "markers.model" && line.find("<extra_id_") != std::string::npos) continue;
      EXPECT_EQ(digest(continuation(tokenizer, line)), cases["ids"][model + " continuation"][i].get<std::string>())
          << model << ": " << line;
    }
  }
}

TEST(Tokenizer, EmptyLineHasNoIds) {
  for (const std::string& model : models) {
    const Tokenizer tokenizer = Tokenizer::load(fixture(model));
    EXPECT_EQ(tokenizer.encode_line(""), Ids{});
    EXPECT_EQ(continuation(tokenizer, ""), Ids{});
    EXPECT_EQ(first(tokenizer, ""), Ids{});
    EXPECT_EQ(tokenizer.decode({}), "");
  }
}

TEST(Tokenizer, SpecialTextIsPlainTextInAConversation) {
  for (const std::string& model : models) {
    const Tokenizer tokenizer = Tokenizer::load(fixture(model));
    for (const std::string text :
         {"<s>", "</s>", "<unk>", "a</s>b", "<extra_id_1>", "<0x0A>", "x <extra_id_0><extra_id_2> y"}) {
      for (const Ids& ids : {continuation(tokenizer, text), first(tokenizer, text)}) {
        for (const std::int32_t id : ids) {
          EXPECT_GE(id, 3) << text;
          EXPECT_THAT(tokenizer.piece(id), Not(HasSubstr("<extra_id_"))) << text;
        }
      }
      EXPECT_EQ(tokenizer.decode(first(tokenizer, text)), text);
      EXPECT_EQ(tokenizer.decode_continuation(continuation(tokenizer, text)), text);
    }
    EXPECT_THAT(tokenizer.encode_line("a</s>b"), testing::Contains(2));
  }
}

TEST(Tokenizer, OtherUserDefinedPiecesKeepMatching) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("markers.model"));
  const auto spaces = tokenizer.piece_id("▁▁▁▁");
  ASSERT_TRUE(spaces.has_value());
  EXPECT_THAT(continuation(tokenizer, "a    b<extra_id_1>"), testing::Contains(*spaces));
}

TEST(Tokenizer, DecodesAsSentencepiece) {
  for (const std::string& model : models) {
    const Tokenizer tokenizer = Tokenizer::load(fixture(model));
    sentencepiece::SentencePieceProcessor reference;
    ASSERT_TRUE(reference.Load(fixture(model).string()).ok());
    for (std::uint64_t n = 0; n < 2000; ++n) {
      Rng rng(7, "random ids", n);
      std::vector<int> ids(rng.below(12));
      for (int& id : ids)
        id = static_cast<int>(rng.below(n % 2 == 0 ? 270 : static_cast<std::uint64_t>(tokenizer.vocab_size())));
      std::string expected;
      ASSERT_TRUE(reference.Decode(ids, &expected).ok());
      EXPECT_EQ(tokenizer.decode(ids), expected) << testing::PrintToString(ids);
    }
  }
}

TEST(Tokenizer, ContinuationKeepsItsLeadingSpace) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("bpe.model"));
  const Ids ids = continuation(tokenizer, " the");
  EXPECT_EQ(tokenizer.decode(ids), "the");
  EXPECT_EQ(tokenizer.decode_continuation(ids), " the");
  Ids whole = first(tokenizer, "Say");
  whole.insert(whole.end(), ids.begin(), ids.end());
  EXPECT_EQ(tokenizer.decode(whole), "Say the");
}

TEST(Tokenizer, BrokenCharactersBecomeReplacements) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("bpe.model"));
  const Ids half{*tokenizer.piece_id("<0xF0>"), *tokenizer.piece_id("<0x9F>")};
  EXPECT_EQ(tokenizer.decode_continuation(half), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Tokenizer, UnknownIdsAreRefused) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("bpe.model"));
  const auto size = static_cast<std::int32_t>(tokenizer.vocab_size());
  expect_error(ExitCode::data, HasSubstr("not in the vocabulary (found " + std::to_string(size) + ", expected 0 to "),
               [&] { tokenizer.decode(Ids{size}); });
  expect_error(ExitCode::data, HasSubstr("found -1"), [&] { tokenizer.decode_continuation(Ids{-1}); });
  EXPECT_EQ(tokenizer.piece(-1), "");
  EXPECT_EQ(tokenizer.piece(size), "");
  EXPECT_EQ(tokenizer.piece_id("no such piece"), std::nullopt);
  EXPECT_EQ(tokenizer.piece(tokenizer.eos_id()), "</s>");
}

TEST(Tokenizer, BosFollowsTheConfig) {
  const auto adds_bos = [](const std::string& config) {
    const TemporaryFolder folder;
    make_folder(folder / "m", "bpe.model", config);
    const Tokenizer tokenizer = Tokenizer::load(folder / "m");
    const bool has_bos = first(tokenizer, "a").front() == tokenizer.bos_id();
    EXPECT_EQ(has_bos, tokenizer.add_bos());
    EXPECT_THAT(tokenizer.encode_line("a"), Not(testing::Contains(tokenizer.bos_id())));
    return has_bos;
  };
  EXPECT_FALSE(adds_bos(""));
  EXPECT_FALSE(adds_bos("{}"));
  EXPECT_FALSE(adds_bos(R"({"tokenizer_class": "LlamaTokenizerFast"})"));
  EXPECT_TRUE(adds_bos(R"({"tokenizer_class": "CodeLlamaTokenizer"})"));
  EXPECT_FALSE(adds_bos(R"({"tokenizer_class": "PreTrainedTokenizerFast"})"));
  EXPECT_FALSE(adds_bos(R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": false})"));
  EXPECT_TRUE(adds_bos(R"({"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": true})"));
  EXPECT_FALSE(Tokenizer::load(fixture("bpe.model")).add_bos());
}

TEST(Tokenizer, AddedTokensOfTheFolder) {
  const TemporaryFolder folder;
  const auto size = Tokenizer::load(fixture("bpe.model")).vocab_size();
  make_folder(
      folder / "m", "bpe.model",
      R"({"eos_token": {"content": "<|end|>", "special": true}, "add_bos_token": false, "added_tokens_decoder": {)"
      "\"" +
          std::to_string(size + 1) +
          R"(": {"content": "<|end|>", "special": true, "rstrip": true},)"
          "\"" +
          std::to_string(size) + R"(": {"content": "<extra_id_1>", "special": true}}})");
  const Tokenizer tokenizer = Tokenizer::load(folder / "m");
  const auto end = static_cast<std::int32_t>(size) + 1;
  EXPECT_EQ(tokenizer.vocab_size(), size + 2);
  EXPECT_EQ(tokenizer.eos_id(), end);
  EXPECT_EQ(tokenizer.piece(end), "<|end|>");
  EXPECT_EQ(tokenizer.piece_id("<extra_id_1>"), end - 1);
  EXPECT_THAT(tokenizer.encode_line("a<|end|>  b"),
              testing::ElementsAre(tokenizer.encode_line("a")[0], end, tokenizer.encode_line("b")[0]));
  EXPECT_THAT(continuation(tokenizer, "<|end|>"), Not(testing::Contains(end)));
  EXPECT_EQ(tokenizer.decode(Ids{end}), "");
  EXPECT_EQ(tokenizer.decode(Ids{end - 1}), "<extra_id_1>");  // generation stops at its text
  Ids ids;
  tokenizer.append_first_piece(end - 1, ids);
  EXPECT_EQ(ids, Ids{end - 1});
}

TEST(Tokenizer, FirstPieceComesAfterTheDummyPrefix) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("markers.model"));
  Ids ids;
  tokenizer.append_first_piece(*tokenizer.piece_id("<extra_id_0>"), ids);
  EXPECT_EQ(ids, (Ids{*tokenizer.piece_id("▁"), *tokenizer.piece_id("<extra_id_0>")}));
}

TEST(Tokenizer, FilesThatAreNoModel) {
  const TemporaryFolder folder;
  const auto expect_bad = [&](const Path& path, const std::string& words) {
    expect_error(ExitCode::model,
                 AllOf(HasSubstr(path.string()), HasSubstr(words), Not(HasSubstr("src/")), Not(HasSubstr("status"))),
                 [&] { Tokenizer::load(path); });
  };
  expect_bad(folder / "missing.model", "no such tokenizer file or model folder");
  expect_bad(folder.path(), "the folder has no tokenizer.model and no tokenizer.json");
  write_text(folder / "empty.model", "");
  expect_bad(folder / "empty.model", "the tokenizer file is empty");
  write_text(folder / "text.model", "hello, I am a text file\n");
  expect_bad(folder / "text.model", "not a sentencepiece model");
  write_text(folder / "zero.model", std::string(5000, '\0'));
  expect_bad(folder / "zero.model", "not a sentencepiece model");
  write_text(folder / "lfs.model", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 499723\n");
  expect_bad(folder / "lfs.model", "git lfs pull");
  const std::string nul_first("\0a", 2);
  const std::vector<SpmPiece> pieces{{"<unk>", PieceType::unknown},
                                     {"<s>", PieceType::control},
                                     {"</s>", PieceType::control},
                                     {"a"},
                                     {nul_first, PieceType::user_defined}};
  write_text(folder / "nul.model", format_spm_model(pieces, {.unk = "<unk>", .bos = "<s>", .eos = "</s>"}));
  expect_bad(folder / "nul.model", "sentencepiece does not accept the model");
  std::ofstream(folder / "huge.model");
  std::filesystem::resize_file(folder / "huge.model", 1'000'000'001);
  expect_bad(folder / "huge.model", "too large for a tokenizer (found 1000000001 bytes, expected at most 1 GB)");
}

TEST(Tokenizer, EveryTruncationIsFound) {
  const TemporaryFolder folder;
  const std::string bytes = read_file(fixture("unigram.model"), ExitCode::data, "fixture");
  for (size_t size = 1; size < bytes.size(); size += size < bytes.size() - 600 ? 37 : 1) {
    write_text(folder / "cut.model", bytes.substr(0, size));
    expect_error(ExitCode::model,
                 testing::AnyOf(HasSubstr("damaged or cut off"), HasSubstr("not a sentencepiece model")),
                 [&] { Tokenizer::load(folder / "cut.model"); });
    if (HasFailure()) FAIL() << size;
  }
}

TEST(Tokenizer, FlippedBytesNeverEndTheProcess) {
  const TemporaryFolder folder;
  const std::string bytes = read_file(fixture("bpe.model"), ExitCode::data, "fixture");
  for (std::uint64_t n = 0; n < 300; ++n) {
    Rng rng(3, "flip", n);
    std::string damaged = bytes;
    for (int i = 0; i < 3; ++i) damaged[rng.below(damaged.size())] = static_cast<char>(rng.bits());
    write_text(folder / "damaged.model", damaged);
    try {
      const Tokenizer tokenizer = Tokenizer::load(folder / "damaged.model");
      tokenizer.decode(tokenizer.encode_line("Some text <s> of the house, 123."));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::model) << error.what();
    }
  }
}

TEST(Tokenizer, DamagedConfigs) {
  const auto expect_bad = [](const std::string& config, const std::string& words) {
    const TemporaryFolder folder;
    make_folder(folder / "m", "bpe.model", config);
    expect_error(ExitCode::model,
                 AllOf(HasSubstr("tokenizer_config.json"), HasSubstr(words), Not(HasSubstr("json.exception"))),
                 [&] { Tokenizer::load(folder / "m"); });
  };
  expect_bad("[]", "not a JSON object");
  expect_bad("{", "not valid JSON");
  expect_bad(R"({"add_bos_token": "yes"})", "'add_bos_token' (found \"yes\", expected true or false)");
  expect_bad(R"({"eos_token": 5})", "not a token");
  expect_bad(R"({"added_tokens_decoder": ["<a>"]})",
             "'added_tokens_decoder' (found [\"<a>\"], expected an object of ids");
  expect_bad(R"({"additional_special_tokens": "<a>"})", "'additional_special_tokens' (found \"<a>\", expected a list");
  expect_bad(R"({"extra_special_tokens": 7})", "'extra_special_tokens' (found 7, expected a list of tokens");
  expect_bad(R"({"added_tokens_decoder": {"x": "<a>"}})", "a key of added_tokens_decoder is not an id");
  expect_bad(R"({"added_tokens_decoder": {"-4": "<a>"}})", "the id of the token '<a>' is out of range");
  expect_bad(R"({"add_bos_token": true, "bos_token": "<nowhere>"})", "no BOS piece");
}

TEST(Tokenizer, CopiesGiveTheSameIds) {
  const TemporaryFolder folder;
  for (const std::string config : {"", R"({"add_bos_token": true, "legacy": false, "name_or_path": "x"})"}) {
    const Path source = folder / ("source" + std::to_string(config.size()));
    make_folder(source, "bpe.model", config);
    const Tokenizer tokenizer = Tokenizer::load(source);
    const Path target = folder / ("target" + std::to_string(config.size()));
    tokenizer.copy_to(target);
    const Tokenizer copy = Tokenizer::load(target);
    EXPECT_EQ(copy.sha256(), tokenizer.sha256());
    EXPECT_EQ(copy.add_bos(), tokenizer.add_bos());
    EXPECT_EQ(copy.encode_line("a<s>b </s>"), tokenizer.encode_line("a<s>b </s>"));
    const std::string written = read_file(target / "tokenizer_config.json", ExitCode::data, "config");
    if (config.empty()) {
      EXPECT_THAT(written, HasSubstr(R"("add_bos_token":false)"));
    } else {
      EXPECT_EQ(written, config);
    }
  }
}

TEST(Tokenizer, SeveralThreadsEncodeAtOnce) { expect_same_in_threads(Tokenizer::load(fixture("unigram.model"))); }

// Transformers 5 takes a tokenizer.model of a Llama folder for BPE; tools/round_trip.py (family `fresh`) compares the
// ids that it gets from the file written here.
TEST(TokenizerCopy, AUnigramModelIsWrittenAsTokenizerJsonToo) {
  TemporaryFolder folder;
  const Tokenizer tokenizer = Tokenizer::load(fixture("unigram.model"));
  tokenizer.copy_to(folder / "model");
  const Json json = parse_json(read_file(folder / "model/tokenizer.json", ExitCode::model, "json"), "tokenizer.json",
                               ExitCode::model);
  EXPECT_EQ(json.at("model").at("type"), "Unigram");
  const Json& vocab = json.at("model").at("vocab");
  ASSERT_EQ(static_cast<std::int64_t>(vocab.size()), tokenizer.vocab_size());
  for (size_t id = 0; id < vocab.size(); ++id) EXPECT_EQ(vocab[id][0], tokenizer.piece(static_cast<std::int32_t>(id)));
  const auto score = [&](const char* piece) {
    return vocab.at(static_cast<size_t>(*tokenizer.piece_id(piece)))[1].get<double>();
  };
  EXPECT_LT(score("<0x0A>"), -1000);
  EXPECT_LT(score("e"), 0);
  EXPECT_GT(score("e"), -100);
  const Json config =
      parse_json(read_file(folder / "model/tokenizer_config.json", ExitCode::model, "json"), "config", ExitCode::model);
  EXPECT_EQ(config.at("tokenizer_class"), "PreTrainedTokenizerFast");
  EXPECT_EQ(Tokenizer::load(folder / "model").encode_line("the red house"), tokenizer.encode_line("the red house"));

  Tokenizer::load(fixture("bpe.model")).copy_to(folder / "bpe");
  EXPECT_FALSE(std::filesystem::exists(folder / "bpe/tokenizer.json"));
}

// Transformers 5.24, of folders with a tokenizer.model alone; each line: the class, the model type, the key.
TEST(TokenizerConfigDefaults, LegacyIsWhatTheClassMakesOfTheKey) {
  TemporaryFolder folder;
  int made = 0;
  const auto load = [&](const std::string& config, const std::string& model_config) {
    const Path path = folder / std::to_string(made++);
    std::filesystem::create_directory(path);
    std::filesystem::copy_file(fixture("bpe.model"), path / "tokenizer.model");
    if (!config.empty()) write_text(path / "tokenizer_config.json", config);
    if (!model_config.empty()) write_text(path / "config.json", model_config);
    return Tokenizer::load(path);
  };
  const auto ids = [&](const std::string& config, const std::string& model_config) {
    return load(config, model_config).encode_line("red<s>house");
  };
  const auto legacy = ids(R"({"legacy": true})", ""), other = ids(R"({"legacy": false})", "");
  EXPECT_NE(legacy, other);
  const std::string llama = R"({"model_type": "llama"})", mistral = R"({"model_type": "mistral"})";
  for (const auto& [config, model_config, expected] : std::vector<std::tuple<std::string, std::string, Ids>>{
           {R"({"tokenizer_class": "LlamaTokenizer"})", llama, other},
           {R"({"tokenizer_class": "LlamaTokenizerFast"})", "", other},
           {R"({"tokenizer_class": "LlamaTokenizer", "legacy": null})", llama, other},
           {R"({"tokenizer_class": "LlamaTokenizer", "legacy": true})", llama, legacy},
           {R"({"tokenizer_class": "LlamaTokenizer", "backend": "tokenizers"})", llama, other},
           {R"({"tokenizer_class": "LlamaTokenizer"})", mistral, legacy},
           {R"({"tokenizer_class": "LlamaTokenizer", "legacy": null})", mistral, other},
           {R"({"tokenizer_class": "CodeLlamaTokenizer", "legacy": true})", llama, other},
           {R"({"tokenizer_class": "CodeLlamaTokenizer"})", llama, other},
           {R"({"tokenizer_class": "CodeLlamaTokenizer"})", mistral, legacy},
           {R"({"tokenizer_class": "PreTrainedTokenizerFast"})", llama, legacy},
           {R"({"tokenizer_class": "PreTrainedTokenizerFast", "legacy": null})", llama, other},
           {R"({"tokenizer_class": "TokenizersBackend", "backend": "tokenizers"})", llama, legacy},
           {"{}", llama, legacy},
           {"", llama, legacy},
           {"{}", R"({"tokenizer_class": "LlamaTokenizer"})", other},
           {"", R"({"tokenizer_class": "LlamaTokenizer"})", other},
       })
    EXPECT_EQ(ids(config, model_config), expected) << config << " " << model_config;
}

// Transformers 4 put BOS there.
TEST(TokenizerConfigDefaults, WithoutTheKeyALlamaTokenizerSaysThatItAddsNoBos) {
  TemporaryFolder folder;
  make_folder(folder / "m", "bpe.model", R"({"tokenizer_class": "LlamaTokenizer"})");
  const Tokenizer tokenizer = Tokenizer::load(folder / "m");
  EXPECT_FALSE(tokenizer.add_bos());
  EXPECT_THAT(tokenizer.notes(), testing::ElementsAre(HasSubstr("tokenizer_config.json has no add_bos_token")));
}

// Transformers 5.24: <q> between characters of words is text.
TEST(Tokenizer, ASingleWordIsNoPartOfAnother) {
  const TemporaryFolder folder;
  const auto size = Tokenizer::load(fixture("bpe.model")).vocab_size();
  const auto q = static_cast<std::int32_t>(size);
  for (const std::string legacy : {"true", "false"}) {
    for (const bool single : {true, false}) {
      const Path path = folder / (legacy + (single ? "1" : "0"));
      make_folder(path, "bpe.model",
                  R"({"legacy": )" + legacy + R"(, "added_tokens_decoder": {")" + std::to_string(q) +
                      R"(": {"content": "<q>", "special": false, "single_word": )" + (single ? "true" : "false") +
                      R"(, "lstrip": true, "rstrip": true}}})");
      const Tokenizer tokenizer = Tokenizer::load(path);
      for (const std::string line : {"a<q>b", "a<q>", "1<q>", "_<q>", "é<q>", "<q>é", "a\u0301<q>", "a<q> b"})
        EXPECT_EQ(std::ranges::count(tokenizer.encode_line(line), q), single ? 0 : 1) << line;
      for (const std::string line : {"<q>", "a <q> b", "-<q>-", "▁<q>", "a\u2003<q>\u2003b"})
        EXPECT_EQ(std::ranges::count(tokenizer.encode_line(line), q), 1) << line;
      EXPECT_THAT(tokenizer.encode_line("<q><q>"), testing::ElementsAre(q, q));
      EXPECT_EQ(tokenizer.encode_line("a\u2003<q>\u2003b"), tokenizer.encode_line("a <q> b"));
    }
  }
}

TEST(TokenizerDecode, RowsBehindTheVocabularyAreNoText) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("bpe.model"));
  std::vector<std::int32_t> ids = tokenizer.encode_line("the red house");
  const std::string text = tokenizer.decode_continuation(ids);
  ids.insert(ids.begin() + 1, static_cast<std::int32_t>(tokenizer.vocab_size()) + 5);
  EXPECT_EQ(tokenizer.decode_continuation(ids), text);
  expect_error(ExitCode::data, testing::HasSubstr("not in the vocabulary"), [&] { tokenizer.decode(ids); });
}

}  // namespace
}  // namespace steerlm
