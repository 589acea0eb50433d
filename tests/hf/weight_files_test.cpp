#include "hf/weight_files.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "steerlm/core/rng.h"
#include "steerlm/hf/model_folder.h"
#include "support/message_of.h"
#include "support/no_more_open_files.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

Path fixture(const std::string& name) { return Path(STEERLM_SOURCE_DIR) / "tests/fixtures/models" / name; }

Json read_json(const Path& path) {
  return parse_json(read_file(path, ExitCode::model, "file"), path.string(), ExitCode::model);
}

std::vector<std::string> names_in(const Path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// Tensors of `bytes` each, fp32.
NamedTensors tensors_of(const std::vector<std::int64_t>& bytes) {
  NamedTensors tensors;
  for (size_t i = 0; i < bytes.size(); ++i)
    tensors.emplace_back(std::string(1, static_cast<char>('a' + i)), at::full({bytes[i] / 4}, static_cast<double>(i)));
  return tensors;
}

class WeightFilesTest : public ::testing::Test {
 protected:
  // Which file each tensor went to, by the files themselves.
  std::map<std::string, std::string> write(const std::vector<std::int64_t>& bytes, std::uint64_t max_shard_bytes) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directory(path_);
    write_weight_files(path_, in_memory(tensors_of(bytes)), max_shard_bytes);
    const WeightFiles files = open_weight_files(path_);
    std::map<std::string, std::string> places;
    for (const auto& [name, file] : files.file_of) places[name] = files.files[file].path().filename();
    for (const auto& [name, tensor] : tensors_of(bytes))
      EXPECT_TRUE(at::equal(files.holding(name).read(name), tensor)) << name;
    return places;
  }
  static std::string shard(int i, int count) {
    return "model-0000" + std::to_string(i) + "-of-0000" + std::to_string(count) + ".safetensors";
  }

  TemporaryFolder folder_;
  const Path path_ = folder_.path() / "m";
};

TEST_F(WeightFilesTest, OneFileWhereAllOfItFits) {
  write({40, 40, 20}, 100);
  EXPECT_THAT(names_in(path_), ::testing::ElementsAre("model.safetensors"));
  write({40}, 4);
  EXPECT_THAT(names_in(path_), ::testing::ElementsAre("model.safetensors")) << "one tensor is never split";
}

TEST_F(WeightFilesTest, ANewShardWhereTheNextTensorDoesNotFit) {
  const std::map<std::string, std::string> expected{
      {"a", shard(1, 3)}, {"b", shard(1, 3)}, {"c", shard(2, 3)}, {"d", shard(2, 3)}, {"e", shard(3, 3)}};
  EXPECT_EQ(write({40, 60, 40, 40, 40}, 100), expected);
  const Json index = read_json(path_ / "model.safetensors.index.json");
  EXPECT_EQ(index.at("metadata").at("total_size"), 220) << "of the tensors, headers aside";
  EXPECT_EQ(index.at("weight_map").get<decltype(expected)>(), expected);
  EXPECT_THAT(names_in(path_),
              ::testing::ElementsAre(shard(1, 3), shard(2, 3), shard(3, 3), "model.safetensors.index.json"));
}

// huggingface_hub, split_state_dict_into_shards_factory: a large tensor comes before the shard that is being filled.
TEST_F(WeightFilesTest, ALargerTensorIsAShardByItself) {
  const std::map<std::string, std::string> expected{{"a", shard(2, 2)}, {"b", shard(1, 2)}, {"c", shard(2, 2)}};
  EXPECT_EQ(write({40, 400, 40}, 100), expected);
}

// The fixture is what save_pretrained(max_shard_size="60KB") wrote.
TEST_F(WeightFilesTest, ShardsAreThoseOfTransformers) {
  const ModelFolder folder = open_model_folder(fixture("tied"));
  const TensorSource ours = stream_weights(folder, Weights::language_model);
  TensorSource source{.entries = {}, .read = ours.read};
  const auto take = [&](const std::string& name) {
    for (const auto& entry : ours.entries) {
      if (entry.name == name) source.entries.push_back(entry);
    }
  };
  take("model.embed_tokens.weight");  // Transformers' order
  for (int layer = 0; layer < 3; ++layer) {
    for (const char* name :
         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
          "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm"})
      take("model.layers." + std::to_string(layer) + "." + name + ".weight");
  }
  take("model.norm.weight");
  ASSERT_EQ(source.entries.size(), ours.entries.size());
  std::filesystem::create_directory(path_);
  write_weight_files(path_, source, 60'000);
  const Json theirs = read_json(fixture("tied") / "model.safetensors.index.json"),
             written = read_json(path_ / "model.safetensors.index.json");
  EXPECT_EQ(written.at("weight_map"), theirs.at("weight_map"));
  EXPECT_EQ(written.at("metadata").at("total_size"), theirs.at("metadata").at("total_size"));
}

TEST_F(WeightFilesTest, EqualTensorsGiveEqualShards) {
  const Path other = folder_.path() / "other";
  std::filesystem::create_directory(other);
  write({40, 60, 40}, 100);
  write_weight_files(other, in_memory(tensors_of({40, 60, 40})), 100);
  ASSERT_EQ(names_in(path_), names_in(other));
  for (const std::string& name : names_in(path_))
    EXPECT_EQ(sha256_file(path_ / name, ExitCode::model), sha256_file(other / name, ExitCode::model)) << name;
}

TEST_F(WeightFilesTest, AFileThatIsCutWhileItIsStreamedIsAnError) {
  std::filesystem::copy(fixture("untied"), path_);
  const TensorSource source = stream_weights(open_model_folder(path_), Weights::language_model);
  source.read("model.norm.weight");
  std::filesystem::resize_file(path_ / "model.safetensors", 5000);
  EXPECT_THAT(message_of(ExitCode::model, [&] { source.read("model.norm.weight"); }),
              HasSubstr("model.safetensors: cannot read tensor 'model.norm.weight': the file has become shorter"));
}

// Which files are there instead of weights cannot be seen then; the limit is none of the folder's faults.
TEST_F(WeightFilesTest, TooManyOpenFilesIsNoFaultOfTheFolder) {
  std::filesystem::create_directory(path_);
  EXPECT_THAT(message_of(ExitCode::model, [&] { open_weight_files(path_); }), HasSubstr("the folder holds no"));
  std::string said;
  {
    const NoMoreOpenFiles limit;
    said = message_of(ExitCode::resources, [&] { open_weight_files(path_); });
  }
  EXPECT_EQ(said, path_.string() +
                      ": cannot list the folder: Too many open files; raise the limit of open files: ulimit -n 1024");
}

TEST_F(WeightFilesTest, ADamagedIndexReadsOrIsRefused) {
  std::filesystem::copy(fixture("tied"), path_);
  const Path index = path_ / "model.safetensors.index.json";
  const std::string whole = read_file(index, ExitCode::model, "index");
  const std::string pieces = "{}[]\",:\\/.\0 \xffu";
  int read = 0, refused = 0;
  for (std::uint64_t round = 0; round < 3000; ++round) {
    Rng rng(13, "index damage", round);
    std::string bytes = whole;
    for (std::uint64_t edits = 1 + rng.below(2); edits > 0 && !bytes.empty(); --edits) {
      const size_t at = rng.below(bytes.size());
      const std::uint64_t kind = rng.below(8);
      if (kind == 0) bytes.resize(at);
      if (kind == 1) bytes.insert(at, 1, pieces[rng.below(pieces.size())]);
      if (kind == 2) bytes.erase(at, 1 + rng.below(4));
      if (kind >= 3) bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
    }
    std::filesystem::remove(index);
    std::ofstream(index, std::ios::binary) << bytes;
    try {
      open_weight_files(path_);
      ++read;
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ExitCode::model) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 2000);
  EXPECT_GT(read, 10) << "another total_size is no damage";
}

}  // namespace
}  // namespace steerlm
