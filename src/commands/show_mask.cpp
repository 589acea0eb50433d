// data show-mask.
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <vector>

#include "commands/commands.h"
#include "commands/template_request.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/json.h"
#include "steerlm/data/record_reader.h"

namespace steerlm {
namespace {

struct Run {
  std::string text;
  bool trained;
};

// The text of stretches of tokens that are trained, or not. Markers that are pieces of their own are spelt out, which
// decoding would leave out where they are special.
std::vector<Run> runs_of(const EncodedConversation& encoded, const Tokenizer& tokenizer, TemplateName name) {
  const std::vector<std::string_view> markers = template_markers(name);
  std::vector<Run> runs;
  std::vector<std::int32_t> waiting;
  size_t waiting_from = 0;
  const auto is_marker = [&](std::int32_t id) {
    return std::ranges::any_of(markers, [&](std::string_view marker) { return tokenizer.piece_id(marker) == id; });
  };
  const auto flush = [&] {
    // The dummy prefix belongs to the first text alone.
    if (!waiting.empty())
      runs.back().text += waiting_from == 0 ? tokenizer.decode(waiting) : tokenizer.decode_continuation(waiting);
    waiting.clear();
  };
  for (size_t i = 0; i < encoded.ids.size(); ++i) {
    const bool trained = encoded.target[i] != 0;
    if (runs.empty() || runs.back().trained != trained) {
      if (!runs.empty()) flush();
      runs.push_back({"", trained});
    }
    if (is_marker(encoded.ids[i])) {
      flush();
      runs.back().text += tokenizer.piece(encoded.ids[i]);
    } else {
      if (waiting.empty()) waiting_from = i;
      waiting.push_back(encoded.ids[i]);
    }
  }
  if (!runs.empty()) flush();
  return runs;
}

Json as_json(const EncodedConversation& encoded, const std::vector<Run>& runs, const Tokenizer& tokenizer) {
  Json object = Json::object();
  object["token_ids"] = encoded.ids;
  Json pieces = Json::array();
  for (const std::int32_t id : encoded.ids) pieces.push_back(tokenizer.piece(id));
  object["pieces"] = std::move(pieces);
  object["mask"] = encoded.target;
  std::string trained;
  for (const Run& run : runs) trained += run.trained ? run.text : "";
  object["trained_text"] = trained;
  return object;
}

// Trained text in green, the rest dim; between brackets where colours would be in the way.
void print_text(const std::vector<Run>& runs, bool colours) {
  for (const Run& run : runs) {
    if (colours) {
      std::cout << (run.trained ? "\033[32m" : "\033[2m") << run.text << "\033[0m";
    } else {
      std::cout << (run.trained ? "[[" : "") << run.text << (run.trained ? "]]" : "");
    }
  }
  std::cout << "\n";
}

}  // namespace

int commands::show_mask(const ShowMaskArguments& arguments) {
  const auto [folder, tokenizer] = open_folder(arguments.model, parse_template(arguments.text_template));
  print_template(folder);
  print_notes(folder_notes(folder, tokenizer));
  const ConversationTemplate conversation_template = make_template(folder, tokenizer);
  const bool colours = ::isatty(STDOUT_FILENO) != 0;
  RecordReader reader({arguments.source}, make_attributes(folder.attributes), folder.text_template.system);
  while (const auto entry = reader.next()) {
    if (const auto* bad = std::get_if<BadRecord>(&*entry)) refuse(*bad);
    const EncodedConversation encoded = conversation_template.encode(std::get<Record>(*entry).conversation);
    const std::vector<Run> runs = runs_of(encoded, tokenizer, conversation_template.options().name);
    if (arguments.json) {
      std::cout << dump_json(as_json(encoded, runs, tokenizer)) << "\n";
    } else {
      print_text(runs, colours);
    }
  }
  print_unobeyed(arguments.source.path, reader.notes());
  return 0;
}

}  // namespace steerlm
