#include "hf/weight_kind.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

struct Maker {
  std::string_view part;  // of a tensor's name
  const char* name;
};
// In this order: the names of some are parts of the names of others.
constexpr std::array<Maker, 15> makers{{
    {".weight.absmax", "bitsandbytes, 4 bit"},
    {".weight.quant_", "bitsandbytes, 4 bit"},
    {".weight.nested_", "bitsandbytes, 4 bit"},
    {".SCB", "bitsandbytes, 8 bit"},
    {".weight_format", "bitsandbytes, 8 bit"},
    {".qweight", "GPTQ or AWQ"},
    {".qzeros", "GPTQ or AWQ"},
    {".g_idx", "GPTQ"},
    {".weight_packed", "compressed-tensors"},
    {".weight_shape", "compressed-tensors"},
    {".weight_scale", "fp8 or compressed-tensors"},
    {".input_scale", "fp8 or compressed-tensors"},
    {".W_q", "HQQ"},
    {".weight._data", "quanto"},
    {".weight._scale", "quanto"},
}};

[[noreturn]] void refuse(const Path& where, const std::string& maker, const std::string& tensor, bool mlx) {
  fail(ExitCode::model, {.what = "the weights are quantised (" + maker + "), and quantised weights are not read",
                         .where = where.string(),
                         .found = "tensor '" + tensor + "'",
                         .expected = "weights in fp32, bf16 or fp16",
                         .advice = whole_weights_advice(mlx ? "MLX" : maker)});
}

// "" for the names of Transformers, or bare ones, which weight_files gives the usual prefix.
std::string strange_prefix(const WeightFiles& files) {
  constexpr std::string_view embedding = "embed_tokens.weight";
  for (const auto& [name, file] : files.file_of) {
    if (!name.ends_with(embedding)) continue;
    const std::string prefix = name.substr(0, name.size() - embedding.size());
    if (prefix.empty() || prefix == "model.") return "";
    return prefix;
  }
  return "";
}

}  // namespace

std::string whole_weights_advice(std::string_view maker) {
  const std::string advice = "take the folder that it was made from";
  if (maker.starts_with("MLX")) return advice + ", or write it with mlx_lm.convert --dequantize";
  // Of the other kinds, dequantize() of Transformers undoes hardly any.
  if (!maker.starts_with("bitsandbytes")) return advice;
  return advice +
         ", or load it and its tokenizer with Transformers, call the model's dequantize() and save both with "
         "save_pretrained";
}

void check_weight_kind(const WeightFiles& files, const Path& folder) {
  for (const auto& [name, file] : files.file_of) {
    const SafetensorsFile& holder = files.files[file];
    for (const Maker& maker : makers) {
      if (name.find(maker.part) != std::string::npos) refuse(holder.path(), maker.name, name, false);
    }
    const std::string& dtype = files.info(name).dtype;
    if (name.ends_with(".scales") && files.file_of.contains(name.substr(0, name.size() - 7) + ".biases"))
      refuse(holder.path(), "MLX", name, true);
    if (name.ends_with(".weight") && dtype.starts_with("F8_")) refuse(holder.path(), "fp8", name, false);
    if (name.ends_with(".weight") && (dtype.starts_with("F4") || dtype.starts_with("F6_")))
      refuse(holder.path(), dtype, name, false);
    if (name.ends_with(".weight") && (dtype == "U8" || dtype == "I8" || dtype == "U32" || dtype == "I32"))
      refuse(holder.path(), "integers, " + dtype, name, dtype == "U32");
  }
  const std::string prefix = strange_prefix(files);
  if (prefix.empty()) return;
  fail(ExitCode::model, {.what = "the names of the tensors have a prefix that the architecture does not have",
                         .where = folder.string(),
                         .found = "'" + prefix + "embed_tokens.weight'",
                         .expected = "'model.embed_tokens.weight'",
                         .advice = "load the model with the class that wrote it and save the language model in it with "
                                   "save_pretrained"});
}

}  // namespace steerlm
