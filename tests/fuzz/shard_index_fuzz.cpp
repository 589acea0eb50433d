// An input is an index and two shards, each behind a line of its own.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include "fuzz/fuzz.h"
#include "hf/weight_files.h"

namespace steerlm {
namespace {

constexpr std::string_view border = "\n--- shard ---\n";
constexpr const char* names[] = {"model.safetensors.index.json", "model-00001-of-00002.safetensors",
                                 "model-00002-of-00002.safetensors"};

const Path& folder() {
  static const TemporaryFolder folder;
  return folder.path();
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  const NamedTensors tensors{{"model.embed_tokens.weight", at::full({4, 2}, 0.5)},
                             {"model.norm.weight", at::full({2}, 1.5)},
                             {"lm_head.weight", at::arange(8).view({4, 2})}};
  std::vector<std::string> seeds;
  for (const std::uint64_t max_shard_bytes : {40u, 70u}) {  // two shards, either way
    write_weight_files(folder(), in_memory(tensors), max_shard_bytes);
    std::string input = read_file(folder() / names[0], ExitCode::bug, "index");
    for (const char* shard : {names[1], names[2]})
      input += std::string(border) + read_file(folder() / shard, ExitCode::bug, "shard");
    seeds.push_back(input);
  }
  return seeds;
}

std::vector<std::string> fuzz_words() {
  return json_words({std::string(border), R"("weight_map": {)", R"("model-00001-of-00002.safetensors")",
                     R"("../model-00001-of-00002.safetensors")", R"("model.safetensors.index.json")",
                     R"("model-00003-of-00003.safetensors")", R"("lm_head.weight":)", "embed_tokens.weight", ".qweight",
                     ".weight.absmax", R"("dtype":"F8_E4M3")", R"("data_offsets":[0,8])", "model."});
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  std::string_view rest = text_of(data, size);
  for (const char* name : names) {
    const std::size_t end = std::min(rest.find(border), rest.size());
    put_file(folder() / name, rest.substr(0, end));
    rest.remove_prefix(std::min(end + border.size(), rest.size()));
  }
  read_or_refuse([&] {
    const WeightFiles files = open_weight_files(folder());
    for (const auto& [tensor, file] : files.file_of)
      require(files.read(tensor).nbytes() <= size, "a tensor that is larger than its file: " + tensor);
  });
  return 0;
}
