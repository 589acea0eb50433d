// What a training stage starts from: a Hugging Face folder, or fresh weights over a tokenizer.
#pragma once

#include <optional>

#include "steerlm/hf/adapter.h"
#include "steerlm/hf/folder_template.h"
#include "steerlm/nn/device.h"
#include "steerlm/nn/transformer.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/context.h"
#include "steerlm/text/attributes.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {

struct BaseModel {
  ModelFolder folder;  // what the trained model's folder will say: attributes, template, head and dtype are settled
  HeadShape head;
  Tokenizer tokenizer;
  Parameters weights;              // those that are trained in fp32, with LoRA the others in the dtype of the folder
  std::optional<Adapter> adapter;  // with LoRA: what model/ will be
  std::vector<std::string> notes;  // what the user must be told of the folder, see folder_notes
};

// What the recipe asks of the template of the folders that it names.
TemplateRequest template_request(const Recipe& recipe);

// head: what the trained model ends in; that of a fresh predictor is initialised from the recipe's seed. `recipe` is
// settled.
BaseModel open_base_model(const Recipe& recipe, const HeadOptions& head);

// A model folder that is used as it is.
struct OpenModel {
  ModelFolder folder;
  Attributes attributes;
  Tokenizer tokenizer;
  Transformer transformer;         // weights in the compute dtype
  std::vector<std::string> notes;  // what the user must be told of the folder, see folder_notes
};
// The model on its device in the compute dtype; `where` names it. Throws as check_computable.
Transformer make_transformer(const ModelConfig& config, Parameters weights, const Computing& computing,
                             const std::string& where);
OpenModel open_model(const Path& folder, const Computing& computing, const TemplateRequest& request = {});

// Whether the numbers of a sequence are the same to the bit whatever is computed beside it: on a CPU in fp32, whose
// products are this project's (kernels/matmul.h).
bool computes_rows_alone(const OpenModel& model);

// Device and precision of a recipe.
Computing computing_of(const Recipe& recipe);

// Says which template was chosen for a folder that does not name one itself, and what could not be found out.
void tell_template(const ModelFolder& folder, const Context& context);

void warn_notes(const std::vector<std::string>& notes, const Context& context);

}  // namespace steerlm
