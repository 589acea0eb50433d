// steerlm.json: what a folder says of attributes, head and template. Every key but `attributes` may
// be missing.
#pragma once

#include <optional>
#include <string>

#include "steerlm/core/json.h"
#include "steerlm/hf/options.h"
#include "steerlm/nn/options.h"
#include "steerlm/text/options.h"

namespace steerlm {

struct SteerlmJson {
  std::string method;
  AttributeOptions attributes;  // checked; a default for every name
  std::optional<HeadKind> head_kind;
  std::optional<Writes> head_writes;   // none: nobody says it, or both
  HeadLoss head_loss = HeadLoss::mse;  // a pairwise one is written: such scores are on no scale of labels
  std::optional<bool> head_bias;
  HeadPooling head_pooling = HeadPooling::last;  // written where it is another
  TemplateOptions text_template;
  TemplateGiven template_given;  // what of text_template the file names
  std::string template_sha256;
};

// Throws model.
SteerlmJson parse_steerlm_json(const Json& json, const std::string& where);
Json dump_steerlm_json(const SteerlmJson& value);

}  // namespace steerlm
