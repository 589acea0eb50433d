// What people write who know another program: keys and devices of the same meaning under other names.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "steerlm/recipe/recipe.h"

namespace steerlm {

struct ForeignKey {
  std::string_view name;
  std::string_view ours;  // the dotted path of a key of a recipe; "": there is none
  std::string_view note;  // what is to be said beyond that
};

// Of Transformers' trainer, TRL, axolotl, LLaMA-Factory and NeMo-Aligner, and short forms that come to mind.
std::span<const ForeignKey> foreign_keys();

// "did you mean 'train.steps'?" for the key `max_steps` in a recipe of this stage; "" where nothing comes to mind.
// `above`: what stands before each key, "steps.sft." in an override of a step.
std::string foreign_advice(std::string_view key, Stage stage, const std::string& above = "");

}  // namespace steerlm
