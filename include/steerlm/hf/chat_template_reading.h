// What the chat template of a tokenizer's folder writes. It is never run: a bounded reader works out what it makes of a
// few short conversations, and these are compared with the program's own templates.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/text/options.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {

struct ChatTemplateReading {
  std::string file;                      // its path
  std::optional<TemplateName> name;      // chatml or llama3, where it writes their turns with pieces of the tokenizer
  std::string kind;                      // without a name: what it writes instead, "[INST], as Mistral's and Llama 2's"
  std::optional<std::string> system;     // its own system prompt where a conversation has none, "" for none; nothing
                                         // where that could not be read
  std::string unreadable;                // why not
  std::vector<std::string> differences;  // where it writes other bytes than the template of that name; each is a
                                         // phrase: "takes spaces off the ends of texts"
};

// Of the Jinja source of a chat template.
ChatTemplateReading read_chat_template(std::string_view source, const Tokenizer& tokenizer);

// Of the one that AutoTokenizer of Transformers 5 takes of a folder: additional_chat_templates/default.jinja, else
// chat_template.jinja, else tokenizer_config.json's (of several, the one named default). chat_template.json, which is
// of processors, is not read. Nothing where there is none. Throws model for a damaged file.
std::optional<ChatTemplateReading> read_folder_chat_template(const Path& folder, const Tokenizer& tokenizer);

}  // namespace steerlm
