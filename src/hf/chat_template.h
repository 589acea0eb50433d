// The Jinja template that other programs render prompts with: the bytes of ConversationTemplate.
#pragma once

#include <string>
#include <string_view>

#include "steerlm/core/json.h"
#include "steerlm/hf/model_folder.h"

namespace steerlm {

// For `apply_chat_template` of Transformers; "" for plain. Messages have `role` (user, assistant,
// system), `content` and, if they have one, `label`, the label line ("quality:4,humor:0").
// A first system message replaces the template's system prompt. BOS comes first where the tokenizer
// adds it, as the rendered text is encoded without special tokens.
//   language model   with attributes, a dial is a keyword argument (quality=4), else its default.
//   An
//                    assistant turn without the key `label` gets the dials' label; one whose label
//                    is false gets none, as in training, but the dials' with add_generation_prompt,
//                    as in `generate` (null would do too, but Transformers 5 takes the key out)
//   predictor        `predictor` and a language model's head: turns with their labels behind them;
//                    with add_generation_prompt up to where the last turn's label begins
//   regression head  the turns without labels, up to where the last one is scored
// Where segments are encoded alike, the keyword steerlm_cut is written between them: the ids of the parts that a text
// is split into at it are the program's ids.
std::string chat_template(const ModelFolder& folder, const Tokenizer& tokenizer, bool predictor);

// Whether the text of a segment has the same ids in front and behind others: the tokenizer puts no prefix before a
// text.
bool encodes_segments_alike(const Tokenizer& tokenizer);

// Whether a dial of this name can be a keyword argument: not a word of Jinja or Python, nor what
// apply_chat_template takes itself. Other dials keep their defaults in a rendered prompt.
bool is_keyword_dial(std::string_view name);

// Puts the template, a text or a list of named ones, into the tokenizer_config.json that is in `folder`, in place of
// one that is there; "": takes that out.
void set_chat_template(const Path& folder, const Json& chat_template);

}  // namespace steerlm
