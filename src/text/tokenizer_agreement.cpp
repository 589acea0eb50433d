#include "text/tokenizer_agreement.h"

#include <algorithm>
#include <vector>

#include "steerlm/core/json.h"
#include "text/unicode.h"

namespace steerlm {
namespace {

constexpr std::string_view space_symbol = "\xE2\x96\x81";  // U+2581

std::string quoted(const std::string& text) { return "'" + text + "'"; }

std::string piece_difference(std::int32_t id, const std::string& model, const std::string& json) {
  return "the id " + std::to_string(id) + " is " + (model.empty() ? "nothing" : quoted(model)) +
         " in tokenizer.model and " + (json.empty() ? "nothing" : quoted(json)) + " in tokenizer.json";
}

// Lines of words, digits, other scripts, of the tokens that the folder adds, and of all its pieces.
std::vector<std::string> probes(const SpmTokenizer& spm, std::int64_t first_added) {
  std::vector<std::string> lines{"Hello world", "a", "The quick brown fox: 12,345 x_y!",
                                 "\xC3\xA9t\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x99\x82"};
  for (std::int64_t id = first_added; id < spm.vocab_size(); ++id) {
    const std::string piece = spm.piece(static_cast<std::int32_t>(id));
    if (!piece.empty()) lines.push_back("a" + piece + "b");
  }
  std::string line;
  for (std::int64_t id = 0; id < first_added; ++id) {
    const std::string piece = spm.piece(static_cast<std::int32_t>(id));
    if (piece.starts_with('<')) continue;  // control and byte pieces
    line += replace_all(piece, space_symbol, " ");
    if (line.size() < 300) continue;
    lines.push_back(std::move(line));
    line.clear();
  }
  lines.push_back(std::move(line));
  for (std::string& text : lines) text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
  return lines;
}

}  // namespace

std::string difference(const SpmTokenizer& spm, const JsonTokenizer& json) {
  const std::int64_t size = std::max(spm.vocab_size(), json.vocab_size());
  for (std::int64_t i = 0; i < size; ++i) {
    const auto id = static_cast<std::int32_t>(i);
    if (spm.piece(id) != json.piece(id)) return piece_difference(id, spm.piece(id), json.piece(id));
  }
  if (spm.add_bos() != json.add_bos() || (spm.add_bos() && spm.bos() != json.bos()))
    return "they disagree on BOS before a text";
  for (const std::string& line : probes(spm, spm.model_size())) {
    if (spm.encode_line(line) != json.encode_line(line))
      return "they give other ids for the text " +
             quoted(line.substr(0, line.size() < 60 ? line.size() : line.find(' ', 40)));
  }
  return "";
}

std::string difference_in_pieces(const SpmTokenizer& spm, const std::string& bytes, const std::string& where) {
  std::vector<std::string> pieces(static_cast<size_t>(spm.vocab_size()));
  std::string difference;
  const auto enter = [&](std::int64_t id, const std::string& piece) {
    const bool inside = id >= 0 && id < spm.vocab_size();
    if (inside) pieces[static_cast<size_t>(id)] = piece;
    if (!inside && difference.empty()) difference = piece_difference(static_cast<std::int32_t>(id), "", piece);
  };
  // A vocabulary as a list of pieces and scores (Unigram), or as an object, which would be slow to build: see
  // parse_json.
  std::string outer, inner, piece;
  std::int64_t count = 0;
  const Json tree =
      parse_json(bytes, where, ExitCode::model, 64, [&](int depth, Json::parse_event_t event, Json& value) {
        if (event == Json::parse_event_t::key) {
          if (depth == 1) outer = value.get<std::string>();
          if (depth == 2) inner = value.get<std::string>();
          if (depth == 3 && outer == "model" && inner == "vocab") piece = value.get<std::string>();
          return !(depth == 3 && outer == "model" && inner == "vocab");
        }
        if (event != Json::parse_event_t::value || outer != "model" || inner != "vocab") return true;
        if (depth == 3 && value.is_number_integer()) enter(value.get<std::int64_t>(), piece);
        if (depth == 4 && value.is_string()) enter(count++, value.get<std::string>());
        return true;
      });
  if (tree.is_object() && tree.contains("added_tokens") && tree["added_tokens"].is_array()) {
    for (const Json& token : tree["added_tokens"]) {
      if (token.is_object() && token.contains("id") && token["id"].is_number_integer() && token.contains("content") &&
          token["content"].is_string())
        enter(token["id"].get<std::int64_t>(), token["content"].get<std::string>());
    }
  }
  if (!difference.empty()) return difference;
  for (std::int32_t id = 0; id < spm.vocab_size(); ++id) {
    const std::string& other = pieces[static_cast<size_t>(id)];
    if (spm.piece(id) != other) return piece_difference(id, spm.piece(id), other);
  }
  return "";
}

}  // namespace steerlm
