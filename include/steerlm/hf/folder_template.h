// Which template a model folder's conversations are written with, and why.
#pragma once

#include <optional>
#include <string>

#include "steerlm/hf/model_folder.h"

namespace steerlm {

// What a recipe or a command line asks for. It is refused where it contradicts the template that the folder was trained
// with.
struct TemplateRequest {
  TemplateOptions options;
  TemplateGiven given;   // which of `options` were asked for
  bool recipe = false;   // the words of messages: template.name, or --template
  bool trains = false;   // a folder that was trained on plain text binds no template then
  bool required = true;  // whether a folder that leaves it open is an error
  bool yields = false;   // to everything that the folder says
};

// Settles `text_template`, `template_from`, `chat_template` and `template_note` of the folder. In this order: the
// template that steerlm.json says the model was trained with; the request; what else steerlm.json says; what the
// tokenizer's chat template writes; steerlm. A system prompt that nobody gives is the chat template's own, if that
// writes the same template. Throws recipe: a contradiction; a chat template of another kind where a template is
// required.
void settle_template(ModelFolder& folder, const Tokenizer& tokenizer, const TemplateRequest& request = {});

// A folder with its tokenizer, which has a row for each of its pieces, and its template settled.
struct OpenFolder {
  ModelFolder folder;
  Tokenizer tokenizer;
};
OpenFolder open_folder(const Path& path, const TemplateRequest& request = {});

}  // namespace steerlm
