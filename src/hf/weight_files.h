// The safetensors files of a model folder as one set of tensors.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/hf/dtype.h"
#include "steerlm/store/safetensors.h"

namespace steerlm {

// Tensors have the names of the architecture. A folder that was saved from the bare trunk (Qwen3-Embedding,
// Skywork-Reward) has them without "model.", which Transformers adds, as is done here.
struct WeightFiles {
  std::vector<SafetensorsFile> files;
  std::map<std::string, size_t> file_of;  // tensor -> index into files
  bool bare_names = false;

  const SafetensorsFile& holding(const std::string& tensor) const { return files[file_of.at(tensor)]; }
  std::string stored_name(const std::string& tensor) const;  // as the file spells it
  const TensorInfo& info(const std::string& tensor) const { return holding(tensor).info(stored_name(tensor)); }
  at::ScalarType dtype(const std::string& tensor) const { return holding(tensor).dtype(stored_name(tensor)); }
  // Of the first floating-point tensor by name of the first file, as Transformers has it (modeling_utils.py,
  // _get_dtype): fp32, bf16 or fp16; fp64 weights are written in fp32.
  std::string first_dtype() const;
  at::Tensor read(const std::string& tensor) const { return holding(tensor).read(stored_name(tensor)); }
};

// Whether the folder has safetensors weights, good or not.
bool has_weight_files(const Path& folder);

// model.safetensors, else the shards of model.safetensors.index.json. Throws model: neither (what
// to do about pickle files is said), a shard name that leaves the folder, a missing shard, a tensor
// in two shards, an index that is not what the shards hold.
WeightFiles open_weight_files(const Path& folder);

// Throws model where the tensor holds NaN or infinity, as read from `path` in the dtype that it has now.
void require_finite(const at::Tensor& tensor, const std::string& name, const Path& path);

// model.safetensors, or model-00001-of-0000N.safetensors and an index as Transformers'
// save_pretrained writes them (huggingface_hub, serialization/_base.py): tensors in their order, a
// new shard where the next tensor does not fit into `max_shard_bytes`; a larger tensor is a shard
// by itself. Throws what write_safetensors throws.
void write_weight_files(const Path& folder, const TensorSource& tensors, std::uint64_t max_shard_bytes);

}  // namespace steerlm
