// What the commands that write text have in common: options, dials, the model.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "steerlm/core/output.h"
#include "steerlm/infer/options.h"
#include "steerlm/stages/base_model.h"

namespace steerlm {

// What the option parser lets through: NaN. Throws recipe.
void check_sampling(const SamplingOptions& sampling);
// Throws recipe for a text that is no UTF-8.
void check_text(const std::string& text, const std::string& where);

// Throws recipe for an unknown name, resources for a device that cannot be used.
Computing parse_computing(const std::string& device, const std::string& precision);

// "quality=4,humor=0", in one text or in several. Throws recipe at `where`: no name=integer, a name twice.
std::map<std::string, std::int64_t> parse_dials(const std::vector<std::string>& texts, const std::string& where);

// For a command that reads the model folder and the input file, which may be empty.
OutputOptions output_beside(const std::string& model, const std::string& input, bool overwrite);

// "fp32" or "bf16".
std::string computed_precision(const OpenModel& model);

// Throws model for an attribute predictor.
OpenModel open_text_model(const std::string& folder, const std::string& device, const std::string& precision,
                          const TemplateRequest& request);

}  // namespace steerlm
