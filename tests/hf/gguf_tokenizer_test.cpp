// Tokenizers of GGUF files: the files that are made of them, and what is refused.
#include <gmock/gmock.h>

#include <algorithm>
#include <limits>

#include "hf/gguf_model.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string ggml = "tokenizer.ggml.";

class GgufTokenizerFiles : public GgufModel {
 protected:
  GgufWriter file_ = small_gguf(), spm_ = small_spm_gguf();
};

TEST_F(GgufTokenizerFiles, ByteLevel) {
  file_.text("tokenizer.chat_template", "{{ messages }}\n").integer(ggml + "padding_token_id", 0);
  import(file_);
  const Json config = json("tokenizer_config.json");
  EXPECT_EQ(config.at("tokenizer_class"), "PreTrainedTokenizerFast");
  EXPECT_EQ(config.at("eos_token"), "<|end|>");
  EXPECT_EQ(config.at("pad_token"), "<|end|>");
  EXPECT_EQ(config.at("bos_token"), nullptr);
  EXPECT_EQ(config.at("add_bos_token"), false);
  EXPECT_EQ(config.at("model_max_length"), 64);
  EXPECT_EQ(read_file(output_ / "chat_template.jinja", ExitCode::model, "template"), "{{ messages }}\n");
  const Tokenizer tokenizer = Tokenizer::load(output_);
  EXPECT_EQ(tokenizer.eos_id(), 0);
  EXPECT_FALSE(tokenizer.add_bos());
  EXPECT_THAT(tokenizer.notes(), ElementsAre());
  EXPECT_THAT(tokenizer.encode_line("abab<|end|>b"), ElementsAre(3, 3, 0, 2));
  EXPECT_THAT(tokenizer.encode_line("a1b"), ElementsAre(1, 2)) << "a byte without a piece is dropped";
}

TEST_F(GgufTokenizerFiles, BosAndRolesOfTheEnd) {
  file_.integer(ggml + "bos_token_id", 1).flag(ggml + "add_bos_token", true).flag(ggml + "add_eos_token", true);
  file_.integer(ggml + "eot_token_id", 2).integer(ggml + "eom_token_id", 0);
  import(file_);
  EXPECT_EQ(json("generation_config.json").at("eos_token_id"), Json::array({0, 2}));
  EXPECT_EQ(json("config.json").at("bos_token_id"), 1);
  EXPECT_EQ(json("tokenizer_config.json").at("add_eos_token"), true);
  const Tokenizer tokenizer = Tokenizer::load(output_);
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_EQ(tokenizer.bos_id(), 1);
  file_.remove(ggml + "bos_token_id");
  EXPECT_THAT(refusal(file_), HasSubstr("bos_token_id' is missing"));
  // Llama 3's kind adds BOS where no key says otherwise.
  file_.text(ggml + "pre", "llama-bpe").integer(ggml + "bos_token_id", 1).remove(ggml + "add_bos_token");
  import(file_);
  EXPECT_TRUE(Tokenizer::load(output_).add_bos());
  EXPECT_EQ(json("tokenizer.json").at("model").at("ignore_merges"), true);
  file_.flag(ggml + "add_bos_token", false);
  import(file_);
  EXPECT_FALSE(Tokenizer::load(output_).add_bos());
}

// As in llama.cpp, a control token that is known to end a text or a turn ends a generation without a key for it.
TEST_F(GgufTokenizerFiles, EndsAreKnownByTheirTextToo) {
  const std::vector<std::string> ends{"<|endoftext|>", "<|end_of_text|>",   "<|im_end|>",    "<|eot_id|>",
                                      "<|eom_id|>",    "<|end|>",           "<end_of_turn>", "<EOT>",
                                      "_<EOT>",        "<end_of_utterance>"};
  for (const std::string& end : ends) {
    file_.texts(ggml + "tokens", {"<stop>", "a", "b", "ab", end, "<|im_start|>"})
        .tensor("token_embd.weight", {16, 6}, 1);
    import(file_.integers(ggml + "token_type", {3, 1, 1, 1, 3, 3}));
    EXPECT_EQ(json("generation_config.json").at("eos_token_id"), Json::array({0, 4})) << end;
    EXPECT_EQ(json("tokenizer_config.json").at("eos_token"), "<stop>") << end;
    // One that is named is not listed twice, and the one that is named first stays the first.
    import(GgufWriter(file_).integer(ggml + "eos_token_id", 4).integer(ggml + "eot_token_id", 0));
    EXPECT_EQ(json("generation_config.json").at("eos_token_id"), Json::array({4, 0})) << end;
    // Ordinary text of the same spelling, and a token that somebody defined, are none.
    for (const int type : {1, 4}) {
      import(file_.integers(ggml + "token_type", {3, 1, 1, 1, type, 3}));
      EXPECT_EQ(json("generation_config.json").at("eos_token_id"), 0) << end << type;
    }
  }
}

TEST_F(GgufTokenizerFiles, WhatTransformersDoesNotKnowOfTheModelIsNoted) {
  EXPECT_THAT(import(spm_).notes, ::testing::IsEmpty());
  spm_.flag(ggml + "remove_extra_whitespaces", true);
  EXPECT_THAT(import(spm_).notes, ElementsAre(HasSubstr("drops extra spaces ('remove_extra_whitespaces')")));
}

TEST_F(GgufTokenizerFiles, UserDefinedAndUnusedTokens) {
  file_.texts(ggml + "tokens", {"<|end|>", "a", "b", "<x y>", "[PAD4]", "ab"});
  file_.integers(ggml + "token_type", {3, 1, 1, 4, 5, 1}).tensor("token_embd.weight", {16, 8}, 1);
  import(file_);
  const Tokenizer tokenizer = Tokenizer::load(output_);
  EXPECT_THAT(tokenizer.encode_line("a<x y>ab"), ElementsAre(1, 3, 5));
  EXPECT_EQ(tokenizer.piece_id("[PAD4]"), std::nullopt);
  EXPECT_EQ(json("tokenizer.json").at("added_tokens")[1].at("special"), false);
  EXPECT_THAT(refusal(GgufWriter(file_).integer(ggml + "padding_token_id", 4)), HasSubstr("an unused token"));
}

// The expressions are those of Transformers (gguf_tokenizer_mapping.py), which tools/make_gguf_fixtures.py wrote down.
TEST_F(GgufTokenizerFiles, EveryKindOfPreTokenizer) {
  const Path path = gguf_fixtures / "expected.json";
  const Json patterns =
      parse_json(read_file(path, ExitCode::data, "fixture"), path.string(), ExitCode::data).at("patterns");
  ASSERT_EQ(patterns.size(), 8u);
  file_.integer(ggml + "bos_token_id", 0);
  for (const auto& [kind, pattern] : patterns.items()) {
    import(file_.text(ggml + "pre", kind));
    const Json steps = json("tokenizer.json").at("pre_tokenizer").at("pretokenizers");
    ASSERT_EQ(steps.size(), 2u) << kind;
    EXPECT_EQ(steps[0].at("pattern").at("Regex"), pattern) << kind;
    EXPECT_EQ(steps[1].at("use_regex"), false) << kind;
  }
  for (const char* kind : {"gpt-2", "phi-2"}) {
    import(file_.text(ggml + "pre", kind));
    const Json steps = json("tokenizer.json").at("pre_tokenizer").at("pretokenizers");
    ASSERT_EQ(steps.size(), 1u) << kind;
    EXPECT_EQ(steps[0].at("use_regex"), true) << kind;
  }
  for (const char* kind : {"smollm", "starcoder", "refact", "codeshell"}) {
    import(file_.text(ggml + "pre", kind));
    const Json steps = json("tokenizer.json").at("pre_tokenizer").at("pretokenizers");
    ASSERT_EQ(steps.size(), 2u) << kind;
    EXPECT_EQ(steps[0], (Json{{"type", "Digits"}, {"individual_digits", true}})) << kind;
    EXPECT_EQ(steps[1].at("use_regex"), true) << kind;
  }
  EXPECT_THAT(refusal(file_.text(ggml + "pre", "smolm")),
              AllOf(HasSubstr("'smolm'"), HasSubstr("did you mean 'smollm'?"), HasSubstr("tekken")));
  EXPECT_THAT(refusal(file_.text(ggml + "pre", "default")), HasSubstr("'default'"));
  EXPECT_THAT(refusal(file_.remove(ggml + "pre")),
              AllOf(HasSubstr("'tokenizer.ggml.pre' is missing"), HasSubstr("newer llama.cpp")));
}

TEST_F(GgufTokenizerFiles, QwenTokenizersAreThoseOfTheirClass) {
  for (const char* name : {"qwen2", "qwen3"}) {
    import(small_gguf(name));
    EXPECT_EQ(json("tokenizer_config.json").at("tokenizer_class"), "Qwen2Tokenizer");
    EXPECT_EQ(json("tokenizer.json").at("normalizer").at("type"), "NFC");
  }
  EXPECT_THAT(refusal(small_gguf("qwen2").text(ggml + "pre", "smollm")), HasSubstr("not that of Qwen 2"));
  EXPECT_EQ(refusal(small_gguf("qwen3").text(ggml + "pre", "smollm")), "");
}

TEST_F(GgufTokenizerFiles, WhatIsWrongInAnyVocabulary) {
  const auto with = [&](auto change) {
    GgufWriter bad = file_;
    change(bad);
    return refusal(bad);
  };
  EXPECT_THAT(with([](auto& bad) { bad.text(ggml + "model", "bert"); }),
              AllOf(HasSubstr("'bert'"), HasSubstr("gpt2 or llama")));
  EXPECT_THAT(with([](auto& bad) { bad.texts(ggml + "tokens", {"a", "b", "ab", "a"}); }), HasSubstr("a token twice"));
  EXPECT_THAT(with([](auto& bad) { bad.texts(ggml + "tokens", {"a", "", "ab", "b"}); }), HasSubstr("empty"));
  EXPECT_THAT(with([](auto& bad) {
                bad.texts(ggml + "tokens", {"a", "b", "ab", std::string("c\0d", 3)});
              }),
              HasSubstr("NUL"));
  EXPECT_THAT(with([](auto& bad) {
                bad.texts(ggml + "tokens", {"a", "b", "ab", "c", "d"});
              }),
              AllOf(HasSubstr("rows of the embedding"), HasSubstr("5 tokens")));
  EXPECT_THAT(with([](auto& bad) { bad.integers(ggml + "token_type", {3, 1, 1}); }), HasSubstr("token_type"));
  EXPECT_THAT(with([](auto& bad) { bad.integers(ggml + "token_type", {3, 1, 1, 7}); }), HasSubstr("7 of token 3"));
  EXPECT_THAT(with([](auto& bad) { bad.integers(ggml + "token_type", {3, 1, 1, 6}); }), HasSubstr("a byte token"));
  EXPECT_THAT(with([](auto& bad) { bad.integer(ggml + "eos_token_id", 4); }), HasSubstr("eos_token_id"));
  EXPECT_THAT(with([](auto& bad) { bad.remove(ggml + "eos_token_id"); }), HasSubstr("eos_token_id' is missing"));
  EXPECT_THAT(with([](auto& bad) { bad.texts(ggml + "merges", {"ab"}); }), HasSubstr("no pair"));
  EXPECT_THAT(with([](auto& bad) { bad.texts(ggml + "merges", {"a b ab"}); }), HasSubstr("no pair"));
  EXPECT_THAT(with([](auto& bad) { bad.texts(ggml + "merges", {"b a"}); }),
              AllOf(HasSubstr("'ba'"), HasSubstr("'b a'")));
  EXPECT_THAT(with([](auto& bad) { bad.remove(ggml + "merges"); }), HasSubstr("merges' is missing"));
  EXPECT_THAT(with([](auto& bad) { bad.flag(ggml + "add_space_prefix", true); }), HasSubstr("add_space_prefix"));
  EXPECT_THAT(with([](auto& bad) { bad.flag(ggml + "add_sep_token", true); }), HasSubstr("add_sep_token"));
}

TEST_F(GgufTokenizerFiles, Sentencepiece) {
  import(spm_);
  const Tokenizer tokenizer = Tokenizer::load(output_);
  EXPECT_TRUE(tokenizer.add_bos()) << "unless a key says otherwise";
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(json("tokenizer_config.json").at("tokenizer_class"), "LlamaTokenizer");
  EXPECT_THAT(tokenizer.encode_line("a"), ElementsAre(3, 4));
  spm_.texts(ggml + "merges", {"no merge"});  // which llama.cpp does not read either
  EXPECT_THAT(import(spm_).unused_keys, ElementsAre("tokenizer.ggml.merges"));
  spm_.remove(ggml + "merges")
      .flag(ggml + "add_space_prefix", false)
      .flag(ggml + "add_bos_token", false)
      .text(ggml + "pre", "default");
  EXPECT_THAT(import(spm_).unused_keys, ElementsAre());
  EXPECT_FALSE(Tokenizer::load(output_).add_bos());
  EXPECT_THAT(Tokenizer::load(output_).encode_line("a"), ElementsAre(4));
  EXPECT_THAT(Tokenizer::load(output_ / "tokenizer.model").encode_line("a"), ElementsAre(4)) << "the model by itself";
}

TEST_F(GgufTokenizerFiles, WhatIsWrongInASentencepieceVocabulary) {
  const auto with = [&](auto change) {
    GgufWriter bad = spm_;
    change(bad);
    return refusal(bad);
  };
  EXPECT_THAT(with([](auto& bad) { bad.remove(ggml + "scores"); }), HasSubstr("scores' is missing"));
  EXPECT_THAT(with([](auto& bad) { bad.numbers(ggml + "scores", {0, 0}); }), HasSubstr("2 scores"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(with([&](auto& bad) { bad.numbers(ggml + "scores", {0, 0, 0, 0, 0, nan}); }), HasSubstr("no number"));
  EXPECT_THAT(with([](auto& bad) {
                bad.integers(ggml + "token_type", {1, 3, 3, 1, 1, 1});
              }),
              HasSubstr("of type unknown"));
  EXPECT_THAT(with([](auto& bad) {
                bad.integers(ggml + "token_type", {2, 3, 3, 2, 1, 1});
              }),
              HasSubstr("no single unknown"));
  EXPECT_THAT(with([](auto& bad) {
                bad.integers(ggml + "token_type", {2, 3, 3, 6, 1, 1});
              }),
              HasSubstr("some bytes alone"));
  EXPECT_THAT(with([](auto& bad) { bad.remove(ggml + "unknown_token_id"); }),
              HasSubstr("'tokenizer.ggml.unknown_token_id'"));
  EXPECT_THAT(with([](auto& bad) { bad.integer(ggml + "unknown_token_id", 3); }),
              HasSubstr("of type unknown (found 3"));
  EXPECT_THAT(with([](auto& bad) { bad.remove(ggml + "bos_token_id"); }), HasSubstr("bos_token_id' is missing"));
  EXPECT_THAT(
      with([](auto& bad) { bad.set(ggml + "precompiled_charsmap", 9, GgufWriter::array_bytes<std::uint8_t>(0, {1})); }),
      HasSubstr("precompiled_charsmap"));
}

}  // namespace
}  // namespace steerlm
