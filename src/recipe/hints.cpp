#include "recipe/hints.h"

#include <algorithm>
#include <cctype>

#include "recipe/describe.h"
#include "steerlm/core/suggest.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

constexpr std::string_view step_size =
    "all conversations of an optimiser step; 'train.micro_batch_tokens' bounds the memory";
constexpr std::string_view in_steps = "it is a number of steps";
constexpr std::string_view recompute = "none or block: a block keeps its input alone";
constexpr std::string_view sources = "a file, or a list of files";

// "": there is no such key.
constexpr ForeignKey table[] = {
    {"max_steps", "train.steps"},
    {"num_steps", "train.steps"},
    {"total_steps", "train.steps"},
    {"train_steps", "train.steps"},
    {"num_train_steps", "train.steps"},
    {"max_iters", "train.steps"},
    {"num_train_epochs", "train.epochs"},
    {"num_epochs", "train.epochs"},
    {"max_epochs", "train.epochs"},
    {"n_epochs", "train.epochs"},
    {"epoch", "train.epochs"},
    {"max_time_per_run", "train.max_minutes"},
    {"batch", "train.batch_size", step_size},
    {"train_batch_size", "train.batch_size", step_size},
    {"global_batch_size", "train.batch_size", step_size},
    {"micro_batch_size", "train.batch_size", step_size},
    {"per_device_train_batch_size", "train.batch_size", step_size},
    {"gradient_accumulation_steps", "train.batch_size", step_size},
    {"grad_accum", "train.batch_size", step_size},
    {"grad_accumulation_steps", "train.batch_size", step_size},
    {"gradient_checkpointing", "train.recompute", recompute},
    {"activation_checkpointing", "train.recompute", recompute},
    {"activations_checkpoint_granularity", "train.recompute", recompute},
    {"lr", "optimizer.learning_rate"},
    {"peak_lr", "optimizer.learning_rate"},
    {"max_lr", "optimizer.learning_rate"},
    {"wd", "optimizer.weight_decay"},
    {"adam_beta1", "optimizer.betas", "both in a list"},
    {"adam_beta2", "optimizer.betas", "both in a list"},
    {"beta1", "optimizer.betas", "both in a list"},
    {"beta2", "optimizer.betas", "both in a list"},
    {"adam_epsilon", "optimizer.eps"},
    {"epsilon", "optimizer.eps"},
    {"max_grad_norm", "optimizer.clip_grad_norm"},
    {"grad_clip", "optimizer.clip_grad_norm"},
    {"grad_norm", "optimizer.clip_grad_norm"},
    {"clip_grad", "optimizer.clip_grad_norm"},
    {"gradient_clip_val", "optimizer.clip_grad_norm"},
    {"gradient_clipping", "optimizer.clip_grad_norm"},
    {"warmup", "schedule.warmup_steps", in_steps},
    {"warmup_ratio", "schedule.warmup_steps", in_steps},
    {"num_warmup_steps", "schedule.warmup_steps"},
    {"lr_warmup_steps", "schedule.warmup_steps"},
    {"lr_scheduler_type", "schedule.kind"},
    {"lr_scheduler", "schedule.kind"},
    {"lr_schedule", "schedule.kind"},
    {"scheduler", "schedule.kind"},
    {"sched", "schedule.kind"},
    {"min_lr", "schedule.min_learning_rate"},
    {"lora_r", "lora.rank"},
    {"lora_rank", "lora.rank"},
    {"r", "lora.rank"},
    {"lora_alpha", "lora.alpha"},
    {"lora_target", "lora.targets", "a list"},
    {"lora_target_modules", "lora.targets", "a list"},
    {"target_modules", "lora.targets", "a list"},
    {"adapter", "lora", "a section: {rank: 16}"},
    {"peft", "lora", "a section: {rank: 16}"},
    {"finetuning_type", "lora", "with this section an adapter is trained, without it all weights"},
    {"base_model", "model.path"},
    {"model_name", "model.path"},
    {"model_name_or_path", "model.path"},
    {"model_path", "model.path"},
    {"pretrained_model", "model.path"},
    {"restore_from_path", "model.path"},
    {"name_or_path", "model.path"},
    {"checkpoint_path", "model.path"},
    {"reward_model", "predictor"},
    {"reward_model_path", "predictor"},
    {"datasets", "data.train", sources},
    {"dataset", "data.train", sources},
    {"dataset_path", "data.train", sources},
    {"data_path", "data.train", sources},
    {"train_data", "data.train", sources},
    {"train_ds", "data.train", sources},
    {"train_file", "data.train", sources},
    {"train_dataset", "data.train", sources},
    {"training_data", "data.train", sources},
    {"eval_data", "data.validation", sources},
    {"eval_dataset", "data.validation", sources},
    {"eval_file", "data.validation", sources},
    {"test_datasets", "data.validation", sources},
    {"val_data", "data.validation", sources},
    {"validation_ds", "data.validation", sources},
    {"validation_file", "data.validation", sources},
    {"val_set_size", "data.validation_fraction"},
    {"val_size", "data.validation_fraction"},
    {"validation_split", "data.validation_fraction"},
    {"sequence_len", "data.max_tokens"},
    {"seq_len", "data.max_tokens"},
    {"seq_length", "data.max_tokens"},
    {"max_seq_len", "data.max_tokens"},
    {"max_seq_length", "data.max_tokens"},
    {"max_length", "data.max_tokens"},
    {"cutoff_len", "data.max_tokens"},
    {"block_size", "data.max_tokens"},
    {"encoder_seq_length", "data.max_tokens"},
    {"model_max_length", "data.max_tokens"},
    {"output_dir", "run_dir"},
    {"exp_dir", "run_dir"},
    {"explicit_log_dir", "run_dir"},
    {"save_dir", "run_dir"},
    {"log_dir", "run_dir"},
    {"logging_dir", "run_dir"},
    {"bf16", "precision", "precision: bf16"},
    {"fp16", "precision", "fp32 or bf16"},
    {"dtype", "precision", "fp32 or bf16"},
    {"torch_dtype", "precision", "fp32 or bf16"},
    {"mixed_precision", "precision", "fp32 or bf16"},
    {"save_steps", "checkpoint.every_steps"},
    {"save_interval", "checkpoint.every_steps"},
    {"save_total_limit", "checkpoint.keep"},
    {"load_best_model_at_end", "checkpoint.keep_best", "a section: {metric: validation/loss, mode: min}"},
    {"eval_steps", "evaluate.every_steps"},
    {"val_check_interval", "evaluate.every_steps"},
    {"system_prompt", "template.system"},
    {"chat_template", "template.name"},
    {"prompt_template", "template.name"},
    {"logging_steps", "", "every step is logged, in metrics.jsonl of the run directory"},
    {"log_interval", "", "every step is logged, in metrics.jsonl of the run directory"},
    {"log_every_n_steps", "", "every step is logged, in metrics.jsonl of the run directory"},
    {"report_to", "", "metrics are in metrics.jsonl of the run directory"},
    {"wandb", "", "metrics are in metrics.jsonl of the run directory"},
    {"wandb_project", "", "metrics are in metrics.jsonl of the run directory"},
    {"resume", "", "the same command again goes on where it stopped"},
    {"resume_from_checkpoint", "", "the same command again goes on where it stopped"},
    {"packing", "", "conversations are always packed, without padding"},
    {"sample_packing", "", "conversations are always packed, without padding"},
    {"deepspeed", "", "a run is one process on one device"},
    {"fsdp", "", "a run is one process on one device"},
    {"devices", "", "a run is one process on one device"},
    {"num_gpus", "", "a run is one process on one device"},
    {"num_nodes", "", "a run is one process on one device"},
    {"dropout", "", "nothing is dropped, as with a dropout of 0: leave the key out"},
    {"lora_dropout", "", "nothing is dropped, as with a dropout of 0: leave the key out"},
    {"load_in_4bit", "", "weights are not quantised; 'lora' needs less memory than training all of them"},
    {"load_in_8bit", "", "weights are not quantised; 'lora' needs less memory than training all of them"},
};

}  // namespace

std::span<const ForeignKey> foreign_keys() { return table; }

namespace {

// The entry whose name is `key`, whatever its case, with '-' as '_'; null where there is none.
const ForeignKey* find_foreign(std::string_view key) {
  std::string name(key);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::tolower(c)); });
  const ForeignKey* const found =
      std::find_if(std::begin(table), std::end(table), [&](const ForeignKey& foreign) { return foreign.name == name; });
  return found == std::end(table) ? nullptr : found;
}

}  // namespace

std::string device_advice(const std::string& device) {
  if (const std::string numbered = "cuda:" + device; is_device_name(numbered)) return "a GPU is '" + numbered + "'";
  for (const char* gpu : {"gpu", "nvidia"}) {
    if (device == gpu) return "a GPU is 'cuda'";
  }
  for (const char* other : {"mps", "metal", "rocm", "hip", "xpu", "tpu", "vulkan", "opencl"}) {
    if (device == other) return "there is no support for '" + device + "'; 'cpu' works everywhere";
  }
  return suggest(device, {"auto", "cpu", "cuda"});
}

std::string foreign_advice(std::string_view key, Stage stage, const std::string& above) {
  const ForeignKey* const foreign = find_foreign(key);
  if (foreign == nullptr) return "";
  if (foreign->ours.empty()) return std::string(foreign->note);
  if (!has_key(describe({.stage = stage}), foreign->ours)) return "";
  std::string advice = "did you mean '" + above + std::string(foreign->ours) + "'?";
  if (!foreign->note.empty()) advice.append(" (").append(foreign->note).append(")");
  return advice;
}

std::string recipe_key(std::string_view word) {
  for (const auto& [stage, name] : EnumNames<Stage>::table) {
    const std::vector<KeyInfo> keys = describe({.stage = stage});
    if (has_key(keys, word)) return std::string(word);
    std::string elsewhere = path_ending_in(keys, std::string(word));
    if (!elsewhere.empty()) return elsewhere;
  }
  const ForeignKey* const foreign = find_foreign(word);
  return foreign == nullptr ? "" : std::string(foreign->ours);
}

}  // namespace steerlm
