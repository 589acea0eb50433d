#include "stages/features.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "steerlm/core/hash.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/run_files.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/version.h"
#include "steerlm/hf/config.h"
#include "steerlm/infer/score.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/report/progress.h"
#include "steerlm/report/table.h"
#include "steerlm/store/safetensors.h"

namespace steerlm {
namespace {

constexpr const char* features_stage = "features";
constexpr const char* block_file = "features.safetensors";
constexpr size_t block_examples = 64;

std::string_view bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

// Of the first 16 hexadecimal digits of the SHA-256.
std::string model_key(const Transformer& model) {
  Sha256 hash;
  hash.update(fmt::format("features with pool_begins, steerlm {}, {}, {}\n", program_version(),
                          model.device().is_cuda() ? "cuda" : "cpu", c10::toString(model.dtype())));
  hash.update(dump_json(dump_hf_config({.model = model.config}, {})));
  for_each_parameter(model.weights, [&](const std::string& name, const at::Tensor& tensor) {
    if (name.starts_with("score.") || name == "lm_head.weight") return;
    hash.update("\n" + name + "\n");
    hash.update(bytes_of(to_host(tensor).contiguous()));
  });
  return hash.hex().substr(0, 16);
}

std::int64_t pool_begin(const Example& example, HeadPooling pooling) {
  return static_cast<std::int64_t>(pooling == HeadPooling::last ? example.ids.size() - 1 : example.pool_begin);
}

std::string row_key(std::span<const std::int32_t> ids, std::int64_t pool_begin) {
  return fmt::format("{} from {}", sha256_hex({reinterpret_cast<const char*>(ids.data()), ids.size_bytes()}),
                     pool_begin);
}
std::string row_key(const Example& example, HeadPooling pooling) {
  return row_key(example.ids, pool_begin(example, pooling));
}

// Where the row of a sequence goes, by row_key; examples that are alike share one.
using Places = std::unordered_map<std::string, std::vector<std::int64_t>>;

// Copies the rows of a block that are wanted, and strikes them out of `wanted`. Throws model for a file that is none.
void read_block(const Path& path, Places& wanted, at::Tensor& features_nd) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const at::Tensor rows_md = file.read("features"), ids_t = file.read("ids"), ends = file.read("cu_seqlens"),
                   begins_m = file.read("pool_begins");
  const std::int64_t m = ends.numel() - 1;
  const std::int64_t* cu_seqlens = ends.const_data_ptr<std::int64_t>();
  if (rows_md.dim() != 2 || rows_md.size(0) != m || rows_md.size(1) != features_nd.size(1) ||
      cu_seqlens[m] != ids_t.numel() || begins_m.numel() != m)
    fail(ExitCode::model, {.what = "features and sequences do not fit together", .where = path.string()});
  const std::span ids(ids_t.const_data_ptr<std::int32_t>(), static_cast<size_t>(ids_t.numel()));
  const std::int64_t* begins = begins_m.const_data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < m; ++row) {
    const auto own =
        ids.subspan(static_cast<size_t>(cu_seqlens[row]), static_cast<size_t>(cu_seqlens[row + 1] - cu_seqlens[row]));
    const auto found = wanted.find(row_key(own, begins[row]));
    if (found == wanted.end()) continue;
    for (const std::int64_t place : found->second) features_nd.select(0, place).copy_(rows_md.select(0, row));
    wanted.erase(found);
  }
}

void write_block(const Path& path, HeadPooling pooling, std::span<const Example> examples, const at::Tensor& rows_md) {
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> cu_seqlens{0}, begins;
  for (const Example& example : examples) {
    ids.insert(ids.end(), example.ids.begin(), example.ids.end());
    cu_seqlens.push_back(static_cast<std::int64_t>(ids.size()));
    begins.push_back(pool_begin(example, pooling));
  }
  write_safetensors(path,
                    NamedTensors{{"features", rows_md},
                                 {"ids", to_device(ids, at::kCPU)},
                                 {"cu_seqlens", to_device(cu_seqlens, at::kCPU)},
                                 {"pool_begins", to_device(begins, at::kCPU)}},
                    {});
}

}  // namespace

void check_features_folder(const Path& folder) { RunFiles::holds_run_of(folder, features_stage, "head.features"); }

std::optional<at::Tensor> frozen_features(const Transformer& model, HeadPooling pooling,
                                          const std::vector<Example>& examples, const Path& folder,
                                          std::int64_t batch_tokens, double max_minutes, const Context& context) {
  const auto begin = std::chrono::steady_clock::now();
  RunFiles files = RunFiles::open(folder, {{"made_by", "steerlm " + program_version()}, {"stage", features_stage}});
  at::Tensor features_nd =
      at::empty({static_cast<std::int64_t>(examples.size()), model.config.hidden_size}, at::kFloat);
  Places wanted;
  for (size_t i = 0; i < examples.size(); ++i)
    wanted[row_key(examples[i], pooling)].push_back(static_cast<std::int64_t>(i));
  const std::int64_t distinct = static_cast<std::int64_t>(wanted.size());

  const std::string key = model_key(model);
  int blocks = 0;
  for (const std::string& name : files.folders_in("")) {
    if (!name.starts_with(key + "-")) continue;
    ++blocks;
    const std::vector<RunFiles::Difference> other = files.differences(name);
    if (other.empty() && is_there(files.root() / name / block_file, ExitCode::resources)) {
      read_block(files.root() / name / block_file, wanted, features_nd);
    } else {
      context.log->warn((files.root() / name).string() + " is not as it was written: its features are computed again");
    }
  }
  std::vector<Example> missing;  // each sequence once, in the order of the examples
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto found = wanted.find(row_key(examples[i], pooling));
    if (found != wanted.end() && found->second.front() == static_cast<std::int64_t>(i)) missing.push_back(examples[i]);
  }
  context.log->info(fmt::format("features: {} of {} sequences are in {}",
                                format_count(distinct - static_cast<std::int64_t>(missing.size())),
                                format_count(distinct), folder.string()));

  Progress progress("features", "sequences", distinct, progress_output(context),
                    distinct - static_cast<std::int64_t>(missing.size()));
  std::int64_t tokens = 0, all_tokens = 0;  // that this process reads
  for (const Example& example : missing) all_tokens += std::ssize(example.ids);
  progress.share(0);
  const double computing = monotonic_seconds();
  for (size_t first = 0; first < missing.size(); first += block_examples) {
    const double minutes = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / 60;
    if (stop_requested() || (first > 0 && max_minutes > 0 && minutes >= max_minutes)) {
      context.log->info(fmt::format("stopped {} after the features of {} of {} sequences; the same command goes on",
                                    stop_requested() ? stop_reason() : "by train.max_minutes",
                                    format_count(distinct - static_cast<std::int64_t>(missing.size() - first)),
                                    format_count(distinct)));
      return std::nullopt;
    }
    const std::span block(missing.data() + first, std::min(block_examples, missing.size() - first));
    const at::Tensor rows_md = pooled_hidden_states(model, pooling, block, batch_tokens);
    if (!all_finite(rows_md))
      fail(ExitCode::model, {.what = "the model's hidden states are not finite", .advice = beyond_range});
    while (files.owns(fmt::format("{}-{}", key, blocks))) ++blocks;
    files.write_folder(fmt::format("{}-{}", key, blocks), true,
                       [&](const Path& part) { write_block(part / block_file, pooling, block, rows_md); });
    for (size_t row = 0; row < block.size(); ++row) {
      for (const std::int64_t place : wanted.at(row_key(block[row], pooling)))
        features_nd.select(0, place).copy_(rows_md.select(0, static_cast<std::int64_t>(row)));
    }
    note_progress();
    for (const Example& example : block) tokens += std::ssize(example.ids);
    progress.share(static_cast<double>(tokens) / static_cast<double>(all_tokens));
    progress.update(distinct - static_cast<std::int64_t>(missing.size() - first - block.size()));
  }
  progress.finish();
  tell_throughput(context, std::ssize(missing), tokens, monotonic_seconds() - computing);
  return features_nd;
}

}  // namespace steerlm
