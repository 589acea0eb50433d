#include "text/tokenizer_class.h"

#include <algorithm>
#include <string_view>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

constexpr const char* space_symbol = "\xE2\x96\x81";  // U+2581
constexpr const char* qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// `file`: every step is the file's.
enum class Class { file, llama, qwen2, gpt2 };

bool is_plain(const std::string& name) {
  constexpr std::string_view names[] = {"", "PreTrainedTokenizer", "TokenizersBackend", "PythonBackend",
                                        "MistralCommonBackend"};
  return std::ranges::find(names, name) != std::end(names);
}

bool is_llama(const std::string& name) { return name == "LlamaTokenizer" || name == "CodeLlamaTokenizer"; }

[[noreturn]] void refuse_class(const std::string& name, const std::string& where) {
  fail(
      ExitCode::model,
      {.what = "the tokenizer class is not implemented",
       .where = where + ", 'tokenizer_class' of tokenizer_config.json",
       .found = "'" + name + "'",
       .expected = "LlamaTokenizer, CodeLlamaTokenizer, Qwen2Tokenizer, GPT2Tokenizer or PreTrainedTokenizerFast",
       .advice = "load it with Transformers, save it with save_pretrained, and where its tokenizer.json gives the same "
                 "ids set 'tokenizer_class' to PreTrainedTokenizerFast"});
}

// Whether Transformers uses Qwen2Tokenizer for the model: for qwen2 whatever class the folder names.
bool is_qwen2_model(const TokenizerConfig& config) {
  return config.model_type == "qwen2" || (config.model_type == "qwen3" && config.class_name.empty());
}

Class class_of(const TokenizerConfig& config, bool byte_level, const std::string& where) {
  const std::string& name = config.class_name;
  if (config.model_type == "mistral") return Class::file;  // whatever the folder names
  if (is_qwen2_model(config) && byte_level) return Class::qwen2;
  if (is_plain(name)) return Class::file;
  if (is_llama(name)) return byte_level ? Class::file : Class::llama;
  if (name == "Qwen2Tokenizer" && byte_level) return Class::qwen2;
  if (name == "GPT2Tokenizer" && byte_level) return Class::gpt2;
  refuse_class(name, where);
}

bool has_prefix(const TokenizerJson& json) {
  return std::ranges::any_of(json.normalizer,
                             [](const NormalizerStep& step) { return step.kind == NormalizerStep::Kind::prepend; }) ||
         std::ranges::any_of(json.pre_tokenizer, [](const PreTokenizerStep& step) {
           return step.add_prefix_space || step.prepend != PreTokenizerStep::Prepend::never;
         });
}

void build_llama(TokenizerJson& json, const TokenizerConfig& config) {
  using Kind = DecoderStep::Kind;
  using Prepend = PreTokenizerStep::Prepend;
  const bool prefix = config.add_prefix_space.value_or(true);
  json.normalizer.clear();
  json.pre_tokenizer = {{.kind = PreTokenizerStep::Kind::metaspace,
                         .prepend = !prefix         ? Prepend::never
                                    : config.legacy ? Prepend::always
                                                    : Prepend::first}};
  json.decoder = {{.kind = Kind::replace, .pattern = space_symbol, .content = " "},
                  {.kind = Kind::byte_fallback},
                  {.kind = Kind::fuse}};
  if (prefix) json.decoder.push_back({.kind = Kind::strip, .pattern = " ", .start = 1});
  json.fuse_unknown = json.byte_fallback = true;
}

void build_byte_level(TokenizerJson& json, const TokenizerConfig& config, bool qwen, const std::string& where) {
  const bool prefix = config.add_prefix_space.value_or(false);
  json.normalizer.clear();
  json.pre_tokenizer.clear();
  if (qwen) {
    if (prefix) {
      fail(ExitCode::model,
           {.what =
                "'add_prefix_space' is not implemented for Qwen2Tokenizer, which would put a space before every word",
            .where = where,
            .found = "true"});
    }
    json.normalizer.push_back({NormalizerStep::Kind::nfc, "", ""});
    json.pre_tokenizer.push_back({.kind = PreTokenizerStep::Kind::split, .pattern = qwen2_pattern});
  }
  json.pre_tokenizer.push_back({.kind = PreTokenizerStep::Kind::byte_level,
                                .pattern = qwen ? "" : std::string(gpt2_pattern),
                                .add_prefix_space = prefix});
  json.decoder = {{.kind = DecoderStep::Kind::byte_level}};
  json.fuse_unknown = json.byte_fallback = false;
}

std::optional<std::int32_t> id_of(const TokenizerJson& json, std::string_view text) {
  const auto added = std::ranges::find(json.added, text, &AddedToken::text);
  if (added != json.added.end()) return added->id;
  const auto piece = std::ranges::find(json.vocabulary, text, [](const auto& entry) { return entry.first; });
  return piece == json.vocabulary.end() ? std::nullopt : std::optional(piece->second);
}

// A special token that a class has where the folder has no key for it.
struct ClassToken {
  const char* key;
  const char* text;
};

std::vector<ClassToken> class_tokens(Class kind, bool code_llama) {
  constexpr const char* end = "<|endoftext|>";
  if (kind == Class::qwen2) return {{"unk_token", end}, {"eos_token", end}, {"pad_token", end}};
  if (kind == Class::gpt2) return {{"unk_token", end}, {"bos_token", end}, {"eos_token", end}};
  std::vector<ClassToken> tokens{{"unk_token", "<unk>"}, {"bos_token", "<s>"}, {"eos_token", "</s>"}};
  if (!code_llama) return tokens;
  tokens.insert(tokens.end(), {{"prefix_token", "\xE2\x96\x81<PRE>"},
                               {"middle_token", "\xE2\x96\x81<MID>"},
                               {"suffix_token", "\xE2\x96\x81<SUF>"},
                               {"eot_token", "\xE2\x96\x81<EOT>"},
                               {"fill_token", "<FILL_ME>"}});
  return tokens;
}

// Those in the vocabulary; Transformers makes new ids for the others, which the model has no rows for.
void add_class_tokens(Class kind, bool code_llama, TokenizerJson& json, TokenizerConfig& config) {
  for (const auto& [key, text] : class_tokens(kind, code_llama)) {
    const bool given = std::ranges::find(config.token_keys, key) != config.token_keys.end();
    if (given || !id_of(json, text)) continue;
    name_special_token(text, config);
    if (key == std::string_view("bos_token")) config.bos = text;
    if (key == std::string_view("eos_token")) config.eos = text;
  }
  if (kind != Class::qwen2) return;
  // Qwen2Tokenizer enters the special tokens that are named once more, without what was said of them.
  const auto make_plain = [&](AddedToken& token) {
    if (is_named(token.text, config) || is_listed(token.text, config))
      token = {.text = token.text, .id = token.id, .special = true};
  };
  std::ranges::for_each(json.added, make_plain);
  std::ranges::for_each(config.tokens, make_plain);
}

void add_contradictions(const TokenizerJson& json, const TokenizerConfig& config, bool built, bool code_llama,
                        std::vector<std::string>& notes) {
  const auto text = [](bool value) { return value ? "true" : "false"; };
  if (config.add_bos && *config.add_bos != json.first.has_value()) {
    notes.push_back(std::string("tokenizer_config.json has add_bos_token: ") + text(*config.add_bos) + ", but " +
                    (code_llama ? "CodeLlamaTokenizer" : "the post-processor of tokenizer.json") + " puts " +
                    (json.first ? "BOS" : "no BOS") +
                    " before a text, which is what Transformers 5 does and what is done here");
  }
  if (!built && config.add_prefix_space && *config.add_prefix_space != has_prefix(json)) {
    notes.push_back(std::string("tokenizer_config.json has add_prefix_space: ") + text(*config.add_prefix_space) +
                    ", but tokenizer.json puts " + (has_prefix(json) ? "a" : "no") +
                    " space before a text, which is what Transformers 5 does and what is done here");
  }
}

}  // namespace

void apply_tokenizer_class(TokenizerJson& json, TokenizerConfig& config, const std::string& where,
                           std::vector<std::string>& notes) {
  const bool byte_level =
      !json.pre_tokenizer.empty() && json.pre_tokenizer.back().kind == PreTokenizerStep::Kind::byte_level;
  const Class kind = class_of(config, byte_level, where);
  const bool code_llama = kind == Class::llama && config.class_name == "CodeLlamaTokenizer";
  if (is_qwen2_model(config) && !byte_level) {
    notes.push_back("Transformers 5 opens a model of type " + config.model_type +
                    " with Qwen2Tokenizer, which is byte-level; this tokenizer.json is not, so it is read without that "
                    "class here, and Transformers gives other ids");
  }
  // Beside an added_tokens_decoder these classes read the file's own added tokens no more: those that it lacks are
  // gone, and of the others it alone says whether they are special.
  if (kind != Class::file && config.decoder) {
    std::erase_if(json.added, [&](const AddedToken& token) {
      return std::ranges::find(*config.decoder, token.text) == config.decoder->end();
    });
    for (AddedToken& token : json.added) token.special = false;
  }
  if (kind != Class::file) add_class_tokens(kind, code_llama, json, config);
  if (code_llama) {  // it makes the post-processor itself
    json.first = config.bos.empty() ? std::nullopt : id_of(json, config.bos);
    json.last.reset();
  }
  add_contradictions(json, config, kind != Class::file, code_llama, notes);
  if (kind == Class::file) return;
  if (kind == Class::llama) {
    build_llama(json, config);
  } else {
    build_byte_level(json, config, kind == Class::qwen2, where);
  }
  json.unknown.reset();
  json.ignore_merges = false;
}

void check_spm_class(const TokenizerConfig& config, const std::string& where) {
  if (!is_plain(config.class_name) && !is_llama(config.class_name) && config.model_type != "mistral")
    refuse_class(config.class_name, where);
}

}  // namespace steerlm
