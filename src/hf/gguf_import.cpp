#include "steerlm/hf/gguf_import.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <set>

#include "hf/gguf_config.h"
#include "hf/gguf_tokenizer.h"
#include "hf/weight_files.h"
#include "steerlm/core/error.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/nn/parameters.h"

namespace steerlm {
namespace {

// Hugging Face's names and llama.cpp's (gguf-py/gguf/constants.py, TENSOR_NAMES), without "model.layers.N." and
// "blk.N.", and without ".weight" and ".bias".
constexpr std::array<std::pair<std::string_view, std::string_view>, 14> tensor_names{
    {{"model.embed_tokens", "token_embd"},
     {"model.norm", "output_norm"},
     {"lm_head", "output"},
     {"input_layernorm", "attn_norm"},
     {"post_attention_layernorm", "ffn_norm"},
     {"self_attn.q_proj", "attn_q"},
     {"self_attn.k_proj", "attn_k"},
     {"self_attn.v_proj", "attn_v"},
     {"self_attn.o_proj", "attn_output"},
     {"self_attn.q_norm", "attn_q_norm"},
     {"self_attn.k_norm", "attn_k_norm"},
     {"mlp.gate_proj", "ffn_gate"},
     {"mlp.up_proj", "ffn_up"},
     {"mlp.down_proj", "ffn_down"}}};

// "blk.3.attn_q.bias" of "model.layers.3.self_attn.q_proj.bias"
std::string gguf_name(std::string_view name) {
  constexpr std::string_view layers = "model.layers.";
  std::string prefix;
  if (name.starts_with(layers)) {
    const size_t dot = name.find('.', layers.size());
    prefix = "blk." + std::string(name.substr(layers.size(), dot + 1 - layers.size()));
    name.remove_prefix(dot + 1);
  }
  const size_t last = name.rfind('.');
  for (const auto& [ours, theirs] : tensor_names) {
    if (ours == name.substr(0, last)) return prefix + std::string(theirs) + std::string(name.substr(last));
  }
  throw std::logic_error("no GGUF name of " + std::string(name));
}

// Row 2i + p of a head becomes row p * head_dim / 2 + i. Weights (heads * head_dim, in) and biases (heads * head_dim).
at::Tensor in_half_heads(const at::Tensor& rows, std::int64_t head_dim) {
  const std::int64_t heads = rows.size(0) / head_dim;
  return rows.view({heads, head_dim / 2, 2, -1}).transpose(1, 2).reshape(rows.sizes());
}

bool is_turned(std::string_view name) {
  return name.find("self_attn.q_proj.") != name.npos || name.find("self_attn.k_proj.") != name.npos;
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

// The model's tensors, each read when it is asked for. The file must outlive it.
TensorSource tensors_of(const GgufFile& file, const ModelConfig& config) {
  const std::string where = file.path().string();
  TensorSource source;
  std::map<std::string, const GgufTensor*> tensors;
  std::set<std::string> used{"rope_freqs.weight"};
  for (const auto& [name, shape] : parameter_shapes(config, {.language_model = true})) {
    const std::string theirs = gguf_name(name);
    const GgufTensor* tensor = file.find_tensor(theirs);
    if (tensor == nullptr)
      fail(ExitCode::model,
           {.what = "no tensor '" + theirs + "'", .where = where, .expected = "shape " + shape_text(shape)});
    if (tensor->shape != shape) {
      fail(ExitCode::model, {.what = "tensor '" + theirs + "' has another shape than the keys give it",
                             .where = where,
                             .found = shape_text(tensor->shape),
                             .expected = shape_text(shape)});
    }
    used.insert(theirs);
    tensors.emplace(name, tensor);
    source.entries.push_back({name, shape, at::kFloat});
  }
  std::vector<Fault> faults;
  for (const GgufTensor& tensor : file.tensors()) {
    if (!used.contains(tensor.name))
      faults.push_back({.what = "the tensor '" + tensor.name + "' is none of this architecture", .where = where});
  }
  if (!faults.empty()) throw Error(ExitCode::model, std::move(faults));
  const bool pairs = config.family == ModelFamily::llama;
  source.read = [&file, tensors = std::move(tensors), pairs, head_dim = config.head_dim](const std::string& name) {
    const GgufTensor& tensor = *tensors.at(name);
    const at::Tensor values = file.read(tensor);
    require_finite(values, tensor.name, file.path());
    return pairs && is_turned(name) ? in_half_heads(values, head_dim) : values;
  };
  return source;
}

// Opens the tokenizer that was made. A fault is the GGUF file's, whose name the user knows.
Tokenizer load_tokenizer(const Path& folder, const GgufFile& file) {
  try {
    return Tokenizer::load(folder);
  } catch (const Error& error) {
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults) fault.where = file.path().string() + ", tokenizer";
    throw Error(error.code(), std::move(faults));
  }
}

struct Contents {
  HfConfig config;
  GgufTokenizer tokenizer;
  TensorSource tensors;
};
Contents read_contents(GgufKeys& keys) {
  try {
    HfConfig config = read_gguf_config(keys);
    GgufTokenizer tokenizer = read_gguf_tokenizer(keys, config.model);
    check_unused_gguf_keys(keys);
    TensorSource tensors = tensors_of(keys.file(), config.model);
    return {std::move(config), std::move(tokenizer), std::move(tensors)};
  } catch (const Error& error) {
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults) {
      if (fault.advice.empty())
        fault.advice =
            "take the folder of safetensors that the file was made from, where 'steerlm model info --model DIR' reads "
            "it, or a GGUF file of another converter or model";
    }
    throw Error(error.code(), std::move(faults));
  }
}

std::string pretty(const Json& json) { return json.dump(2) + "\n"; }

}  // namespace

GgufImport import_gguf(const GgufFile& file, const Path& output, const std::string& dtype,
                       std::uint64_t max_shard_bytes) {
  GgufKeys keys(file);
  Contents contents = read_contents(keys);
  HfConfig& config = contents.config;
  config.dtype = dtype;
  config.bos_token_id = contents.tokenizer.bos_id;
  config.eos_token_ids = contents.tokenizer.eos_ids;
  contents.tensors.set_floating_dtype(scalar_type(dtype));
  std::vector<std::string> notes;
  write_directory_atomic(output, [&](const Path& part) {
    for (const auto& [name, bytes] : contents.tokenizer.files) write_file_atomic(part / name, bytes);
    write_file_atomic(part / "config.json", pretty(dump_hf_config(config, {})));
    write_file_atomic(part / "generation_config.json", pretty(dump_generation_config(config)));
    notes = load_tokenizer(part, file).notes();
    write_weight_files(part, contents.tensors, max_shard_bytes);
  });
  return {.config = config, .unused_keys = keys.unused(), .notes = std::move(notes)};
}

}  // namespace steerlm
