#include "text/tokenizer_config.h"

#include <algorithm>
#include <charconv>

#include "steerlm/core/json.h"
#include "steerlm/core/paths.h"

namespace steerlm {
namespace {

constexpr std::int64_t largest_id = 1 << 24;

std::optional<Json> read_object(const Path& path) {
  if (!is_there(path, ExitCode::model)) return std::nullopt;
  Json json = parse_json(read_file(path, ExitCode::model, "tokenizer files"), path.string(), ExitCode::model);
  if (!json.is_object()) fail(ExitCode::model, {.what = "not a JSON object", .where = path.string()});
  return json;
}

bool read_flag(const Json& json, const char* key, bool fallback, const std::string& where) {
  const auto value = json.find(key);
  if (value == json.end() || value->is_null()) return fallback;
  if (!value->is_boolean()) {
    fail(ExitCode::model, {.what = std::string("the value of '") + key + "' is no truth value",
                           .where = where,
                           .found = dump_json(*value),
                           .expected = "true or false"});
  }
  return value->get<bool>();
}

// A token is written as a string or as {"content": …, "lstrip": …}.
std::optional<AddedToken> read_token(const Json& json, const std::string& where) {
  AddedToken token{.special = true};
  if (json.is_string()) {
    token.text = json.get<std::string>();
  } else if (json.is_object() && json.contains("content") && json["content"].is_string()) {
    token.text = json["content"].get<std::string>();
    token.special = read_flag(json, "special", true, where);
    token.strip_left = read_flag(json, "lstrip", false, where);
    token.strip_right = read_flag(json, "rstrip", false, where);
    token.single_word = read_flag(json, "single_word", false, where);
    token.normalized = read_flag(json, "normalized", !token.special, where);
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
void add_token(std::optional<AddedToken> token, bool bare, TokenizerConfig& config) {
  if (!token) return;
  const auto known = std::ranges::find(config.tokens, token->text, &AddedToken::text);
  if (known == config.tokens.end()) {
    if (bare) config.bare.push_back(token->text);
    config.tokens.push_back(std::move(*token));
  } else if (!known->id) {
    known->id = token->id;
  }
}

void read_decoder(const Json& json, const std::string& where, TokenizerConfig& config) {
  const auto decoder = json.find("added_tokens_decoder");
  if (decoder == json.end() || !decoder->is_object()) return;
  for (const auto& [key, value] : decoder->items()) {
    std::int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc{} || end != key.data() + key.size()) {
      fail(ExitCode::model,
           {.what = "a key of added_tokens_decoder is no id", .where = where, .found = "'" + key + "'"});
    }
    auto token = read_token(value, where);
    if (!token) continue;
    token->id = check_token_id(id, token->text, where);
    add_token(std::move(token), value.is_string(), config);
  }
}

// bos_token and the like, as tokenizer_config.json and special_tokens_map.json have them.
void read_special_tokens(const Json& json, const std::string& where, TokenizerConfig& config) {
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}) {
    if (!json.contains(key)) continue;
    auto token = read_token(json[key], where);
    if (!token) continue;
    token->special = true;
    if (key == std::string_view("bos_token") && config.bos.empty()) config.bos = token->text;
    if (key == std::string_view("eos_token") && config.eos.empty()) config.eos = token->text;
    add_token(std::move(token), json[key].is_string(), config);
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!json.contains(key) || !json[key].is_array()) continue;
    for (const Json& entry : json[key]) add_token(read_token(entry, where), entry.is_string(), config);
  }
}

// Classes that put BOS before a text unless told otherwise.
bool adds_bos_by_default(const Json& json) {
  const auto name = json.find("tokenizer_class");
  if (name == json.end() || !name->is_string()) return true;
  const auto text = name->get<std::string>();
  return text.starts_with("Llama") || text.starts_with("CodeLlama") || text.starts_with("Gemma");
}

}  // namespace

std::int32_t check_token_id(std::int64_t id, const std::string& token, const std::string& where) {
  if (id < 0 || id > largest_id) {
    fail(ExitCode::model,
         {.what = "the id of the token '" + token + "' is out of range", .where = where, .found = std::to_string(id)});
  }
  return static_cast<std::int32_t>(id);
}

TokenizerConfig read_tokenizer_config(const Path& folder) {
  TokenizerConfig config;
  const Path main = folder / "tokenizer_config.json";
  if (const auto json = read_object(main)) {
    if (json->contains("add_bos_token")) config.add_bos = read_flag(*json, "add_bos_token", false, main.string());
    config.class_adds_bos = adds_bos_by_default(*json);
    // Without the key: true to Transformers 4, false to 5, which signs its files with "backend".
    config.legacy = read_flag(*json, "legacy", !json->contains("backend"), main.string());
    read_decoder(*json, main.string(), config);
    read_special_tokens(*json, main.string(), config);
  }
  const Path map = folder / "special_tokens_map.json";
  if (const auto json = read_object(map)) read_special_tokens(*json, map.string(), config);
  const Path added = folder / "added_tokens.json";
  if (const auto json = read_object(added)) {
    for (const auto& [text, id] : json->items()) {
      if (!id.is_number_integer())
        fail(ExitCode::model, {.what = "the id of '" + text + "' is no integer", .where = added.string()});
      if (!text.empty())
        add_token(AddedToken{.text = text, .id = check_token_id(id.get<std::int64_t>(), text, added.string())}, true,
                  config);
    }
  }
  return config;
}

}  // namespace steerlm
