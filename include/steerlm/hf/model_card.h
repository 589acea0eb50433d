// README.md of a written model folder, which the Hugging Face hub calls a model card.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace steerlm {

struct ModelFolder;
class Tokenizer;

// What the folder itself does not know of its training.
struct ModelCard {
  struct Part {
    std::int64_t records = 0;   // that were read; 0: no such part
    std::int64_t examples = 0;  // sequences that were made of them
    std::int64_t tokens = 0;    // of the examples
    std::int64_t targets = 0;   // predicted tokens; regression: known attribute values
  };

  bool adapter = false;    // the folder is a LoRA adapter
  bool predictor = false;  // whatever the head: of a language model, it writes labels
  bool ridge = false;      // the head was solved on the frozen base model, without steps
  std::string base_model;  // the folder that training started from; "": fresh weights
  std::int64_t steps = 0;  // optimiser steps that made the weights; 0: nothing was trained
  std::int64_t bad = 0;    // records that could not be used and were put aside
  Part training;
  Part validation;
  std::vector<std::pair<std::string, double>> metrics;  // of the validation at that step
};

// Markdown with YAML front matter. No time, host or path: equal runs have equal cards. `base_model`
// is named where it looks like a name on the hub (owner/model, and not models/… or runs/…).
std::string model_card(const ModelFolder& folder, const Tokenizer& tokenizer, const ModelCard& card);

}  // namespace steerlm
