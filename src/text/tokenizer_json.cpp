#include "text/tokenizer_json.h"

#include <unordered_map>
#include <unordered_set>

#include "steerlm/core/json_fields.h"
#include "text/tokenizer_steps.h"

namespace steerlm {
namespace {

constexpr std::string_view version = "1.0";
constexpr std::int32_t largest_gap = 1 << 20;  // ids may have holes, but not so many that memory is taken for nothing

// The ids of pieces, while the file is checked.
using PieceIds = std::unordered_map<std::string_view, std::int32_t>;

// The tree but for model.vocab, which goes into `vocabulary` as it comes.
Json parse_tree(std::string_view bytes, const std::string& where, TokenizerJson& result) {
  std::string outer;
  std::string inner;
  std::string piece;
  const auto in_vocabulary = [&](int depth) {
    return depth == 3 && outer == "model" && inner == "vocab" && !piece.empty();
  };
  const auto keep = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key) {
      if (depth == 1) outer = value.get<std::string>();
      if (depth == 2) inner = value.get<std::string>();
      if (depth != 3 || outer != "model" || inner != "vocab") return true;
      piece = value.get<std::string>();
      if (piece.empty()) fail(ExitCode::model, {.what = "the vocabulary has a piece without text", .where = where});
      return false;
    }
    if (!in_vocabulary(depth)) return true;
    if (event == Json::parse_event_t::object_end || event == Json::parse_event_t::array_end) return true;
    if (event != Json::parse_event_t::value || !value.is_number_integer()) {
      fail(ExitCode::model, {.what = "the id of the piece '" + piece + "' is not an integer", .where = where});
    }
    const bool huge = value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX;
    result.vocabulary.emplace_back(piece, check_token_id(huge ? INT64_MAX : value.get<std::int64_t>(), piece, where));
    piece.clear();
    return false;
  };
  return parse_json(bytes, where, ExitCode::model, 64, keep);
}

PieceIds index_vocabulary(const TokenizerJson& json, const std::string& where) {
  PieceIds ids;
  std::unordered_map<std::int32_t, std::string_view> pieces;
  for (const auto& [piece, id] : json.vocabulary) {
    ids.emplace(piece, id);
    if (id > static_cast<std::int32_t>(json.vocabulary.size()) + largest_gap) {
      fail(ExitCode::model, {.what = "the id of the piece '" + piece + "' is far behind the " +
                                     std::to_string(json.vocabulary.size()) + " pieces of the vocabulary",
                             .where = where,
                             .found = std::to_string(id)});
    }
    const auto [other, added] = pieces.emplace(id, piece);
    if (!added) {
      fail(ExitCode::model,
           {.what = "the pieces '" + std::string(other->second) + "' and '" + piece + "' have the same id",
            .where = where,
            .found = std::to_string(id)});
    }
  }
  return ids;
}

// "a b", or ["a", "b"].
std::pair<std::string, std::string> read_merge(const Json& json, const JsonFields& model) {
  if (json.is_string()) {
    const auto text = json.get<std::string>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  } else if (json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string()) {
    return {json[0].get<std::string>(), json[1].get<std::string>()};
  }
  model.refuse("a merge that is not a pair of pieces: " + dump_json(json).substr(0, 100));
}

void read_merges(const Json& json, const JsonFields& model, const PieceIds& ids, TokenizerJson& result) {
  if (!json.is_array()) model.refuse_value("merges", json, "a list");
  result.merges.reserve(json.size());
  for (const Json& entry : json) {
    auto merge = read_merge(entry, model);
    for (const std::string& piece : {merge.first, merge.second, merge.first + merge.second}) {
      if (!ids.contains(piece)) {
        model.refuse("the merge of '" + merge.first + "' and '" + merge.second + "' needs the piece '" + piece +
                     "', which is not in the vocabulary");
      }
    }
    result.merges.push_back(std::move(merge));
  }
}

PieceIds read_model(const Json& json, const std::string& where, TokenizerJson& result) {
  JsonFields model(json, where, "the model");
  const std::string type = model.text("type", model.find("merges") ? "BPE" : "of an unknown type");
  if (type != "BPE") {
    fail(ExitCode::model,
         {.what = "the tokenizer's model is " + type + ", which is not supported", .where = where, .expected = "BPE"});
  }
  if (const Json& vocab = model.require("vocab"); !vocab.is_object()) model.refuse_value("vocab", vocab, "an object");
  PieceIds ids = index_vocabulary(result, where);
  if (ids.empty()) model.refuse("the vocabulary is empty");
  const Json* dropout = model.find("dropout");
  if (dropout && *dropout != 0) model.refuse_value("dropout");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(key, "").empty()) model.refuse_value(key);
  }
  result.fuse_unknown = model.flag("fuse_unk", false);
  result.byte_fallback = model.flag("byte_fallback", false);
  result.ignore_merges = model.flag("ignore_merges", false);
  if (model.find("unk_token")) {
    result.unknown = model.text("unk_token");
    if (!ids.contains(*result.unknown))
      model.refuse("the unk_token '" + *result.unknown + "' is not in the vocabulary");
  }
  read_merges(model.require("merges"), model, ids, result);
  model.end();
  return ids;
}

// Ids as the library gives them: the vocabulary's, else counting on from the vocabulary's size.
void read_added(JsonFields& file, const PieceIds& ids, const std::string& where, TokenizerJson& result) {
  const Json* json = file.find("added_tokens");
  if (!json) return;
  if (!json->is_array()) file.refuse_value("added_tokens", *json, "a list");
  auto next = static_cast<std::int32_t>(ids.size());
  std::unordered_set<std::string> seen;
  std::unordered_set<std::int32_t> used;
  for (const auto& [piece, id] : result.vocabulary) used.insert(id);
  for (const Json& entry : *json) {
    JsonFields fields(entry, where, "an added token");
    AddedToken token{.text = fields.text("content")};
    if (token.text.empty()) fields.refuse("its text is empty");
    token.id = check_token_id(fields.integer("id", INT64_MIN, INT64_MAX), token.text, where);
    token.special = fields.flag("special", false);
    token.strip_left = fields.flag("lstrip", false);
    token.strip_right = fields.flag("rstrip", false);
    token.single_word = fields.flag("single_word", false);
    token.normalized = fields.flag("normalized", !token.special);
    fields.end();
    const auto known = ids.find(token.text);
    const std::int32_t expected = known != ids.end() ? known->second : next++;
    if (!seen.insert(token.text).second) fields.refuse("'" + token.text + "' occurs twice");
    if (token.id != expected || (known == ids.end() && !used.insert(expected).second)) {
      fail(ExitCode::model, {.what = "the id of the added token '" + token.text + "' contradicts the vocabulary",
                             .where = where,
                             .found = std::to_string(*token.id),
                             .expected = std::to_string(expected)});
    }
    result.added.push_back(std::move(token));
  }
}

}  // namespace

TokenizerJson read_tokenizer_json(std::string_view bytes, const std::string& where) {
  TokenizerJson result;
  const Json tree = parse_tree(bytes, where, result);
  JsonFields file(tree, where, "the file");
  if (file.text("version", std::string(version)) != version) file.refuse_value("version");
  file.ignore({"truncation", "padding"});  // Transformers turns both off unless a call asks for them
  const PieceIds ids = read_model(file.require("model"), where, result);
  read_added(file, ids, where, result);
  read_normalizer(file.find("normalizer"), where, result);
  read_pre_tokenizer(file.find("pre_tokenizer"), where, result);
  read_decoder(file.find("decoder"), where, result);
  read_post_processor(file.find("post_processor"), where, result);
  file.end();
  return result;
}

}  // namespace steerlm
