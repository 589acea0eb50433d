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

Class class_of(const TokenizerConfig& config, bool byte_level, const std::string& where) {
  const std::string& name = config.class_name;
  if (config.model_type == "mistral") return Class::file;  // whatever the folder names
  if (config.model_type == "qwen2" && byte_level) return Class::qwen2;
  if (config.model_type == "qwen3" && name.empty() && byte_level) return Class::qwen2;
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

void add_contradictions(const TokenizerJson& json, const TokenizerConfig& config, bool built,
                        std::vector<std::string>& notes) {
  const auto text = [](bool value) { return value ? "true" : "false"; };
  if (config.add_bos && *config.add_bos != json.first.has_value()) {
    notes.push_back(std::string("tokenizer_config.json has add_bos_token: ") + text(*config.add_bos) +
                    ", but the post-processor of tokenizer.json puts " + (json.first ? "BOS" : "no BOS") +
                    " before a text, which is what Transformers 5 does and what is done here");
  }
  if (!built && config.add_prefix_space && *config.add_prefix_space != has_prefix(json)) {
    notes.push_back(std::string("tokenizer_config.json has add_prefix_space: ") + text(*config.add_prefix_space) +
                    ", but tokenizer.json puts " + (has_prefix(json) ? "a" : "no") +
                    " space before a text, which is what Transformers 5 does and what is done here");
  }
}

}  // namespace

void apply_tokenizer_class(TokenizerJson& json, const TokenizerConfig& config, const std::string& where,
                           std::vector<std::string>& notes) {
  const bool byte_level =
      !json.pre_tokenizer.empty() && json.pre_tokenizer.back().kind == PreTokenizerStep::Kind::byte_level;
  const Class kind = class_of(config, byte_level, where);
  add_contradictions(json, config, kind != Class::file, notes);
  if (kind == Class::file) return;
  if (kind == Class::llama) {
    build_llama(json, config);
  } else {
    build_byte_level(json, config, kind == Class::qwen2, where);
  }
  json.unknown.reset();
  json.ignore_merges = false;
  // Beside an added_tokens_decoder the file's own added tokens are not read.
  if (!config.decoder) return;
  std::erase_if(json.added, [&](const AddedToken& token) {
    return std::ranges::find(*config.decoder, token.text) == config.decoder->end();
  });
}

void check_spm_class(const TokenizerConfig& config, const std::string& where) {
  if (!is_plain(config.class_name) && !is_llama(config.class_name) && config.model_type != "mistral")
    refuse_class(config.class_name, where);
}

}  // namespace steerlm
