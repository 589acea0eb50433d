#include "steerlm/text/added_tokens.h"

#include <set>

#include "steerlm/core/json.h"
#include "steerlm/core/paths.h"

namespace steerlm {
namespace {

Json read_object(const Path& path) {
  Json json = parse_json(read_file(path, ExitCode::model, "tokenizer files"), path.string(), ExitCode::model);
  if (!json.is_object()) fail(ExitCode::model, {.what = "not a JSON object", .where = path.string()});
  return json;
}

void write_json(const Path& path, const Json& json) { write_file_atomic(path, json.dump(2) + "\n"); }

Json describe(const std::string& text, bool special) {
  return {{"content", text}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false},  {"special", special}};
}

void enter_tokenizer_json(const Path& path, const std::vector<NewToken>& tokens) {
  if (!is_there(path, ExitCode::model)) return;
  Json json = read_object(path);
  Json& added = json["added_tokens"];
  if (added.is_null()) added = Json::array();
  if (!added.is_array()) fail(ExitCode::model, {.what = "'added_tokens' is not an array", .where = path.string()});
  for (const NewToken& token : tokens) {
    Json entry{{"id", token.id}};
    entry.update(describe(token.text, true));
    added.push_back(entry);
  }
  write_json(path, json);
}

void enter_added_tokens_json(const Path& path, const std::vector<NewToken>& tokens) {
  if (!is_there(path, ExitCode::model)) return;
  Json json = read_object(path);
  for (const NewToken& token : tokens) json[token.text] = token.id;
  write_json(path, json);
}

// Texts that special_tokens_map.json names.
std::set<std::string> special_texts(const Path& folder) {
  const Path path = folder / "special_tokens_map.json";
  std::set<std::string> texts;
  if (!is_there(path, ExitCode::model)) return texts;
  const auto take = [&](const Json& token) {
    if (token.is_string()) texts.insert(token.get<std::string>());
    if (token.is_object() && token.contains("content") && token["content"].is_string())
      texts.insert(token["content"].get<std::string>());
  };
  const Json json = read_object(path);
  for (const auto& [key, value] : json.items()) {
    take(value);
    if (!value.is_array()) continue;
    for (const Json& token : value) take(token);
  }
  return texts;
}

// Beside an 'added_tokens_decoder' Transformers reads neither added_tokens.json and special_tokens_map.json nor, for
// some classes, the added tokens of tokenizer.json: a new one takes over what they name, and its file the map's keys.
Json new_decoder(const Path& folder) {
  Json decoder = Json::object();
  if (is_there(folder / "tokenizer.json", ExitCode::model)) {
    const Json json = read_object(folder / "tokenizer.json");
    for (Json token : json.contains("added_tokens") ? json["added_tokens"] : Json::array()) {
      if (!token.is_object() || !token.contains("id")) continue;
      const std::string id = token["id"].dump();
      token.erase("id");
      decoder[id] = std::move(token);
    }
  }
  const Path path = folder / "added_tokens.json";
  if (!is_there(path, ExitCode::model)) return decoder;
  const std::set<std::string> special = special_texts(folder);
  const Json added = read_object(path);
  for (const auto& [text, id] : added.items()) decoder[id.dump()] = describe(text, special.contains(text));
  return decoder;
}

void enter_tokenizer_config(const Path& folder, const std::vector<NewToken>& tokens) {
  const Path path = folder / "tokenizer_config.json";
  if (!is_there(path, ExitCode::model)) return;
  Json json = read_object(path);
  if (!json.contains("added_tokens_decoder") || json["added_tokens_decoder"].is_null()) {
    if (!is_there(folder / "tokenizer.model", ExitCode::model)) return;  // tokenizer.json says it all
    const Path map = folder / "special_tokens_map.json";
    if (is_there(map, ExitCode::model)) json.update(read_object(map));
    json["added_tokens_decoder"] = new_decoder(folder);
  }
  Json& decoder = json["added_tokens_decoder"];
  if (!decoder.is_object())
    fail(ExitCode::model, {.what = "'added_tokens_decoder' is not an object", .where = path.string()});
  for (const NewToken& token : tokens) decoder[std::to_string(token.id)] = describe(token.text, true);
  write_json(path, json);
}

}  // namespace

void enter_new_tokens(const Path& folder, const std::vector<NewToken>& tokens) {
  enter_tokenizer_json(folder / "tokenizer.json", tokens);
  enter_tokenizer_config(folder, tokens);  // before added_tokens.json holds the new ones
  enter_added_tokens_json(folder / "added_tokens.json", tokens);
}

}  // namespace steerlm
