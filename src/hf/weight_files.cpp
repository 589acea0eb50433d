#include "hf/weight_files.h"

#include <ATen/ops/isinf.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/sum.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "hf/folder_json.h"
#include "hf/weight_kind.h"
#include "steerlm/core/error.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/kernels/finite.h"

namespace steerlm {
namespace {

constexpr const char* single_file = "model.safetensors";
constexpr const char* index_file = "model.safetensors.index.json";
constexpr const char* trunk_prefix = "model.";

[[noreturn]] void no_weights(const Path& folder) {
  std::vector<std::string> others;
  bool gguf = false, adapter = false;
  std::error_code error;  // names alone count, of whatever kind of file
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string extension = entry->path().extension().string();
    const std::string name = entry->path().filename().string();
    for (const char* known : {".bin", ".pt", ".pth", ".ckpt"}) {
      if (extension == known) others.push_back(name);
    }
    gguf |= extension == ".gguf";
    adapter |= name == "adapter_config.json";
  }
  if (error) {
    fail(code_of_open(error.value(), ExitCode::model), {.what = "cannot list the folder: " + error.message(),
                                                        .where = folder.string(),
                                                        .advice = advice_of_open(error.value())});
  }
  if (others.empty() && gguf) {
    fail(ExitCode::model,
         {.what = "the folder holds a GGUF file and no other weights",
          .where = folder.string(),
          .expected = std::string(single_file) + " or " + index_file,
          .advice = "make a model folder of the file: steerlm model import --gguf FILE --output FOLDER"});
  }
  if (others.empty() && adapter) {
    fail(ExitCode::model, {.what = "the folder is a PEFT adapter without adapter_model.safetensors",
                           .where = folder.string(),
                           .advice = "save the adapter again with PEFT's save_pretrained"});
  }
  if (others.empty()) {
    fail(ExitCode::model, {.what = "the folder holds no weights",
                           .where = folder.string(),
                           .expected = std::string(single_file) + " or " + index_file});
  }
  fail(ExitCode::model, {.what = "the folder holds no safetensors weights, and a pickle file can "
                                 "run code and is never read",
                         .where = folder.string(),
                         .found = join(others),
                         .expected = std::string(single_file) + " or " + index_file,
                         .advice = "load the model and its tokenizer with Transformers and save both with "
                                   "save_pretrained(folder), which writes safetensors"});
}

using Index = std::map<std::string, std::string>;  // tensor -> shard

// Shard names are a stranger's input: plain file names of the folder only. Symbolic links are
// followed, as a hub cache is made of them.
bool is_plain_name(const std::string& name) {
  return name.ends_with(".safetensors") && name.find_first_of("/\\") == std::string::npos &&
         name.find('\0') == std::string::npos;
}

Index read_index(const Path& folder) {
  const Path path = folder / index_file;
  const Json json = read_folder_json(path, "weight index");
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object() ||
      json["weight_map"].empty()) {
    fail(ExitCode::model, {.what = "no object 'weight_map'", .where = path.string()});
  }
  Index index;
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    if (!shard.is_string() || !is_plain_name(shard.get<std::string>())) {
      fail(ExitCode::model, {.what = "tensor '" + tensor + "': the shard is not a file of this folder",
                             .where = path.string(),
                             .found = shard.dump(-1, ' ', false, Json::error_handler_t::replace),
                             .expected = "the name of a .safetensors file without a path"});
    }
    index[tensor] = shard.get<std::string>();
  }
  return index;
}

std::vector<std::string> shard_names(const Index& index) {
  std::vector<std::string> names;
  for (const auto& [tensor, shard] : index) names.push_back(shard);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void enter_shard(WeightFiles& weights, SafetensorsFile file, const Index& index) {
  const std::string shard = file.path().filename().string();
  for (const std::string& tensor : file.names()) {
    const auto [place, fresh] = weights.file_of.emplace(tensor, weights.files.size());
    if (!fresh) {
      fail(ExitCode::model, {.what = "tensor '" + tensor + "' is in two shards",
                             .where = file.path().string(),
                             .found = weights.files[place->second].path().filename().string() + " and " + shard});
    }
    const auto entry = index.find(tensor);
    if (entry == index.end()) {
      fail(ExitCode::model, {.what = "tensor '" + tensor + "' is in a shard, but the index does not name it",
                             .where = file.path().string()});
    }
    if (entry->second != shard) {
      fail(ExitCode::model, {.what = "tensor '" + tensor + "' is in another shard than the index says",
                             .where = file.path().string(),
                             .found = shard,
                             .expected = entry->second});
    }
  }
  weights.files.push_back(std::move(file));
}

// Which tensors each shard holds.
std::vector<std::vector<TensorSource::Entry>> plan_shards(const std::vector<TensorSource::Entry>& entries,
                                                          std::uint64_t max_shard_bytes) {
  std::vector<std::vector<TensorSource::Entry>> shards;
  std::vector<TensorSource::Entry> current;
  std::uint64_t bytes = 0;  // of `current`
  const auto close = [&] {
    if (!current.empty()) shards.push_back(std::move(current));
    current.clear();
    bytes = 0;
  };
  for (const TensorSource::Entry& entry : entries) {
    if (entry.bytes() > max_shard_bytes) {
      shards.push_back({entry});
      continue;
    }
    if (bytes + entry.bytes() > max_shard_bytes) close();
    current.push_back(entry);
    bytes += entry.bytes();
  }
  close();
  return shards;
}

bool is_head(const std::string& tensor) { return tensor.starts_with("lm_head.") || tensor.starts_with("score."); }

// Names of the bare trunk get the prefix that it has in the whole model.
void add_prefix(WeightFiles& weights) {
  weights.bare_names =
      weights.file_of.contains("embed_tokens.weight") &&
      std::ranges::none_of(weights.file_of, [](const auto& entry) { return entry.first.starts_with("model."); });
  if (!weights.bare_names) return;
  std::map<std::string, size_t> whole;
  for (const auto& [tensor, file] : weights.file_of) whole[is_head(tensor) ? tensor : trunk_prefix + tensor] = file;
  weights.file_of = std::move(whole);
}

WeightFiles open_shards(const Path& folder) {
  WeightFiles weights;
  const Index index = read_index(folder);
  const std::vector<std::string> shards = shard_names(index);
  for (const std::string& shard : shards) {
    if (is_there(folder / shard, ExitCode::model)) continue;
    fail(ExitCode::model, {.what = "the shard '" + shard + "' is missing",
                           .where = (folder / index_file).string(),
                           .advice = "the folder is incomplete; fetch it again"});
  }
  for (const std::string& shard : shards) enter_shard(weights, SafetensorsFile::open(folder / shard), index);
  for (const auto& [tensor, shard] : index) {
    if (weights.file_of.contains(tensor)) continue;
    fail(ExitCode::model, {.what = "tensor '" + tensor + "' is not in the shard that the index names",
                           .where = (folder / index_file).string(),
                           .found = shard});
  }
  return weights;
}

}  // namespace

std::string WeightFiles::stored_name(const std::string& tensor) const {
  return bare_names && tensor.starts_with(trunk_prefix) ? tensor.substr(std::string_view(trunk_prefix).size()) : tensor;
}

std::string WeightFiles::first_dtype() const {
  std::vector<std::string> names = files.front().names();
  std::ranges::sort(names);
  for (const std::string& name : names) {
    const std::string& dtype = files.front().info(name).dtype;
    if (dtype == "F32" || dtype == "F64") return "fp32";
    if (dtype == "BF16") return "bf16";
    if (dtype == "F16") return "fp16";
  }
  return "fp32";
}

bool has_weight_files(const Path& folder) {
  return is_there(folder / single_file, ExitCode::model) || is_there(folder / index_file, ExitCode::model);
}

WeightFiles open_weight_files(const Path& folder) {
  WeightFiles weights;
  if (is_there(folder / single_file, ExitCode::model)) {
    weights.files.push_back(SafetensorsFile::open(folder / single_file));
    for (const std::string& tensor : weights.files[0].names()) weights.file_of[tensor] = 0;
  } else if (is_there(folder / index_file, ExitCode::model)) {
    weights = open_shards(folder);
  } else {
    no_weights(folder);
  }
  add_prefix(weights);
  check_weight_kind(weights, folder);
  return weights;
}

void require_finite(const at::Tensor& tensor, const std::string& name, const Path& path) {
  if (all_finite(tensor)) return;
  const auto nan = at::sum(at::isnan(tensor)).item<std::int64_t>(),
             infinite = at::sum(at::isinf(tensor)).item<std::int64_t>();
  fail(ExitCode::model, {.what = "the weights are not finite: tensor '" + name + "'",
                         .where = path.string(),
                         .found = fmt::format("{} NaN and {} infinite of {} numbers in {}", nan, infinite,
                                              tensor.numel(), c10::toString(tensor.scalar_type())),
                         .advice = "the model is damaged: fetch it again, or take an earlier one"});
}

at::ScalarType scalar_type(const std::string& dtype) {
  if (dtype == "fp32") return at::kFloat;
  if (dtype == "bf16") return at::kBFloat16;
  if (dtype == "fp16") return at::kHalf;
  throw std::logic_error("no dtype " + dtype);
}

void write_weight_files(const Path& folder, const TensorSource& tensors, std::uint64_t max_shard_bytes) {
  const std::map<std::string, std::string> metadata{{"format", "pt"}};
  const auto shards = plan_shards(tensors.entries, max_shard_bytes);
  if (shards.size() <= 1) {
    write_safetensors(folder / single_file, tensors, metadata);
    return;
  }
  std::map<std::string, std::string> file_of;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_safetensors(folder / name, {.entries = shards[i], .read = tensors.read}, metadata);
    for (const TensorSource::Entry& entry : shards[i]) file_of[entry.name] = name;
  }
  const std::uint64_t total =
      std::accumulate(tensors.entries.begin(), tensors.entries.end(), std::uint64_t{0},
                      [](std::uint64_t sum, const TensorSource::Entry& entry) { return sum + entry.bytes(); });
  const Json index{{"metadata", {{"total_size", total}}}, {"weight_map", file_of}};
  write_file_atomic(folder / index_file, index.dump(2) + "\n");
}

}  // namespace steerlm
