// The dial sweep of `evaluate`: each dial over all its levels, the others at their defaults, with the same prompts and
// random numbers at every level.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "steerlm/eval/measure_bins.h"
#include "steerlm/eval/steerability.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/sample.h"

namespace steerlm {

// What a request of a sweep asks for.
struct SweepItem {
  size_t dial = 0;
  int level = 0;
  size_t prompt = 0;
  std::int64_t sample = 0;
};

struct Sweep {
  std::vector<Prompt> prompts;
  std::vector<SampleRequest> requests;  // of prompts; in the order dial, level, prompt, sample
  std::vector<SweepItem> items;         // one a request
  std::vector<std::string> dials;       // names of the model's attributes, which SweepItem::dial counts
  MeasureBins measured;                 // of judge: text; edges where the recipe names a file of them
};

// Throws recipe for an unknown dial, model for a folder without any, data for prompts that cannot be read.
Sweep plan_sweep(const Recipe& recipe, const OpenModel& model);

// Requested level x measured mean of the dial's own attribute, and of the figures that say most of a text; of judge:
// text of all measured attributes. A column a level that any dial has; a dash where no answer to it could be judged.
std::string dial_text(const DialTable& table, const Sweep& sweep);

struct SweepReport {
  // "dials", "steerability", "responses", "unfinished", "unjudged"; of judge: text with measures "measures"
  Json json;
  std::string text;     // the table of the dials
  std::string details;  // the other tables
  std::string answers;  // answers.jsonl, contracts.md section 4
};

// The responses, sampled into `output`, which is the file of that path, as far as they are not there. Nothing where a
// stop was requested.
std::optional<std::vector<GenerationResult>> sample_sweep(const Recipe& recipe, const OpenModel& model,
                                                          const Sweep& sweep, const std::string& output_path,
                                                          BlockOutput& output, const Context& context);

// `predictor`: the judge, where the recipe asks for one. `other`: dials.perplexity_model, likewise. Nothing where a
// stop was requested.
std::optional<SweepReport> report_sweep(const Recipe& recipe, const OpenModel& model, const OpenModel* predictor,
                                        const OpenModel* other, const Sweep& sweep,
                                        const std::vector<GenerationResult>& results);

}  // namespace steerlm
