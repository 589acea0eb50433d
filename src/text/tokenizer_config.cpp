#include "text/tokenizer_config.h"

#include <algorithm>
#include <charconv>

#include "steerlm/core/json.h"
#include "steerlm/core/json_fields.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "text/tokenizer_keys.h"

namespace steerlm {
namespace {

constexpr std::int64_t largest_id = 1 << 24;

std::optional<Json> read_object(const Path& path) {
  if (!is_there(path, ExitCode::model)) return std::nullopt;
  Json json = parse_json(read_file(path, ExitCode::model, "tokenizer files"), path.string(), ExitCode::model);
  if (!json.is_object()) fail(ExitCode::model, {.what = "not a JSON object", .where = path.string()});
  return json;
}

// A token is written as a string or as {"content": …, "lstrip": …}.
std::optional<AddedToken> read_token(const Json& json, const std::string& where) {
  AddedToken token{.special = true};
  if (json.is_string()) {
    token.text = json.get<std::string>();
  } else if (json.is_object() && json.contains("content") && json["content"].is_string()) {
    token.text = json["content"].get<std::string>();
    JsonFields fields(json, where, "a token");
    token.special = fields.flag("special", true);
    token.strip_left = fields.flag("lstrip", false);
    token.strip_right = fields.flag("rstrip", false);
    token.single_word = fields.flag("single_word", false);
    token.normalized = fields.flag("normalized", !token.special);
  } else if (!json.is_null()) {
    fail(ExitCode::model, {.what = "not a token",
                           .where = where,
                           .found = dump_json(json),
                           .expected = "a text, or an object with 'content'"});
  }
  if (token.text.empty()) return std::nullopt;
  return token;
}

// The first description of a token counts.
AddedToken& add_token(AddedToken token, TokenizerConfig& config) {
  const auto known = std::ranges::find(config.tokens, token.text, &AddedToken::text);
  if (known == config.tokens.end()) return config.tokens.emplace_back(std::move(token));
  if (!known->id) known->id = token.id;
  return *known;
}

void read_decoder(const Json& json, const std::string& where, TokenizerConfig& config) {
  const auto decoder = json.find("added_tokens_decoder");
  if (decoder == json.end() || decoder->is_null()) return;
  if (!decoder->is_object()) {
    fail(ExitCode::model, {.what = "'added_tokens_decoder'",
                           .where = where,
                           .found = shortened_json(*decoder),
                           .expected = "an object of ids and tokens"});
  }
  config.decoder.emplace();
  for (const auto& [key, value] : decoder->items()) {
    std::int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc{} || end != key.data() + key.size()) {
      fail(ExitCode::model,
           {.what = "a key of added_tokens_decoder is not an id", .where = where, .found = "'" + key + "'"});
    }
    auto token = read_token(value, where);
    if (!token) continue;
    token->id = check_token_id(id, token->text, where);
    config.decoder->push_back(token->text);
    add_token(std::move(*token), config);
  }
}

// bos_token and the like, as tokenizer_config.json and special_tokens_map.json have them. Of a key that both have, even
// as null, the first that is read counts.
void read_special_tokens(const Json& json, const std::string& where, TokenizerConfig& config) {
  for (const auto& [key, value] : json.items()) {
    if (!is_token_key(key) || std::ranges::find(config.token_keys, key) != config.token_keys.end()) continue;
    config.token_keys.push_back(key);
    auto token = read_token(value, where);
    if (!token) continue;
    const std::string text = token->text;
    if (key == "bos_token") config.bos = text;
    if (key == "eos_token") config.eos = text;
    add_token(std::move(*token), config);
    name_special_token(text, config);
  }
  // A list, or an object of names and tokens, which are like keys of their own. A list of extra_special_tokens stands
  // in the place of additional_special_tokens.
  const auto extra = json.find("extra_special_tokens");
  const bool replaced = extra != json.end() && extra->is_array() && !extra->empty();
  for (const char* key : {"additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"}) {
    if (!json.contains(key) || json[key].is_null()) continue;
    if (!json[key].is_structured()) {
      fail(ExitCode::model, {.what = std::string("'") + key + "'",
                             .where = where,
                             .found = shortened_json(json[key]),
                             .expected = "a list of tokens, or an object of names and tokens"});
    }
    for (const Json& entry : json[key]) {
      auto token = read_token(entry, where);
      if (!token || (replaced && key == std::string_view("additional_special_tokens"))) continue;
      const std::string text = token->text;
      add_token(std::move(*token), config);
      if (json[key].is_object()) {
        name_special_token(text, config);
      } else {
        config.listed.push_back(text);
      }
    }
  }
}

std::string without_fast(std::string name) {
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

// What Transformers 5 (5.24) makes of keys that are there or not. It opens the folders of the Mistral family, and those
// of other classes than these two, with TokenizersBackend.
void settle_class(std::optional<bool> legacy, bool has_legacy, bool has_json, TokenizerConfig& config) {
  const bool backend = config.model_type == "mistral";
  const bool llama = config.class_name == "LlamaTokenizer" && !backend;
  const bool code_llama = config.class_name == "CodeLlamaTokenizer" && !backend;
  // CodeLlamaTokenizer does not read the key. A key that is null means false to every class.
  config.legacy = !code_llama && (has_legacy ? legacy.value_or(false) : !llama);
  // Beside a tokenizer.json its post-processor decides, and that of a Llama puts BOS there.
  config.class_adds_bos =
      code_llama || (has_json && (config.class_name.empty() || config.class_name == "LlamaTokenizer" ||
                                  config.class_name == "CodeLlamaTokenizer"));
}

// Transformers takes the tokens of added_tokens.json as plain ones, whatever a description says.
void read_added_tokens(const Json& json, const std::string& where, TokenizerConfig& config) {
  for (const auto& [text, id] : json.items()) {
    if (!id.is_number_integer())
      fail(ExitCode::model, {.what = "the id of '" + text + "' is not an integer", .where = where});
    if (text.empty()) continue;
    AddedToken plain{.text = text, .id = check_token_id(id.get<std::int64_t>(), text, where)};
    AddedToken& token = add_token(plain, config);
    plain.special = is_named(text, config) || is_listed(text, config);
    plain.normalized = !plain.special;
    token = plain;
  }
}

}  // namespace

void name_special_token(const std::string& text, TokenizerConfig& config) {
  add_token({.text = text, .special = true}, config).special = true;
  config.named.push_back(text);
}

bool is_named(const std::string& text, const TokenizerConfig& config) {
  return std::ranges::find(config.named, text) != config.named.end();
}

bool is_listed(const std::string& text, const TokenizerConfig& config) {
  return std::ranges::find(config.listed, text) != config.listed.end();
}

std::int32_t check_token_id(std::int64_t id, const std::string& token, const std::string& where) {
  if (id < 0 || id > largest_id) {
    fail(ExitCode::model,
         {.what = "the id of the token '" + token + "' is out of range", .where = where, .found = std::to_string(id)});
  }
  return static_cast<std::int32_t>(id);
}

void note_left_out(const std::vector<std::string>& tokens, std::vector<std::string>& notes) {
  if (tokens.empty()) return;
  notes.push_back(
      "tokens of tokenizer_config.json that are in no vocabulary are text here (Transformers makes new ids for "
      "them): " +
      join(tokens));
}

TokenizerConfig read_tokenizer_config(const Path& folder) {
  TokenizerConfig config;
  std::optional<bool> legacy;
  bool has_legacy = false;
  const bool has_json = is_there(folder / "tokenizer.json", ExitCode::model);
  const Path main = folder / "tokenizer_config.json";
  const auto json = read_object(main);
  if (json) read_decoder(*json, main.string(), config);
  // Transformers reads the two other files only where there is no added_tokens_decoder, and puts the keys of
  // special_tokens_map.json over those of tokenizer_config.json.
  const Path map = folder / "special_tokens_map.json";
  if (const auto tokens = config.decoder ? std::nullopt : read_object(map)) {
    check_special_tokens_map_keys(*tokens, map.string());
    read_special_tokens(*tokens, map.string(), config);
  }
  if (json) {
    JsonFields fields(*json, main.string());
    check_tokenizer_config_keys(*json, main.string());
    config.add_bos = fields.optional_flag("add_bos_token");
    // A key that is null means false; beside a tokenizer.json nobody reads it.
    if (fields.has("add_bos_token") && !has_json) config.add_bos = config.add_bos.value_or(false);
    config.add_eos = fields.flag("add_eos_token", false);
    config.add_prefix_space = fields.optional_flag("add_prefix_space");
    config.split_special = fields.flag("split_special_tokens", false);
    config.class_name = without_fast(fields.text("tokenizer_class", ""));
    legacy = fields.optional_flag("legacy");
    has_legacy = fields.has("legacy");
    read_special_tokens(*json, main.string(), config);
  }
  const Path added = folder / "added_tokens.json";
  if (const auto tokens = config.decoder ? std::nullopt : read_object(added))
    read_added_tokens(*tokens, added.string(), config);
  const Path model = folder / "config.json";
  if (const auto keys = read_object(model)) {
    JsonFields fields(*keys, model.string());
    config.model_type = fields.text("model_type", "");
    if (config.class_name.empty()) config.class_name = without_fast(fields.text("tokenizer_class", ""));
  }
  settle_class(legacy, has_legacy, has_json, config);
  return config;
}

}  // namespace steerlm
