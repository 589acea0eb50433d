#include "steerlm/hf/folder_copy.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/mean.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "steerlm/core/json.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t no_limit = default_max_shard_bytes;
const std::vector<std::string> markers{"<extra_id_0>", "<extra_id_1>", "<extra_id_2>"};

class FolderCopy : public ::testing::Test {
 protected:
  FolderCopy() { use("untied"); }
  ~FolderCopy() override { set_fs_fault({}); }

  static Path fixture(const std::string& name) { return Path(STEERLM_SOURCE_DIR) / "tests/fixtures/models" / name; }
  void use(const std::string& name) {
    std::filesystem::remove_all(in_);
    std::filesystem::copy(fixture(name), in_);
  }
  void write(const Path& path, const std::string& bytes) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static std::string read(const Path& path) { return read_file(path, ExitCode::model, "file"); }
  static Json json(const Path& path) { return parse_json(read(path), path.string(), ExitCode::model); }
  void edit(const Path& path, const std::function<void(Json&)>& change) {
    Json value = json(path);
    change(value);
    write(path, value.dump());
  }
  static std::map<std::string, at::Tensor> weights(const Path& path) {
    const ModelFolder folder = open_model_folder(path);
    const NamedTensors tensors = read_weights(folder, own_weights(folder));
    return {tensors.begin(), tensors.end()};
  }
  GrownVocabulary add(const std::vector<std::string>& tokens = markers) {
    return add_tokens_to_folder(open_model_folder(in_), Tokenizer::load(in_), tokens, out_, no_limit);
  }
  static std::vector<std::int32_t> ids_of(const Path& path, const std::vector<std::string>& tokens = markers) {
    const Tokenizer tokenizer = Tokenizer::load(path);
    std::vector<std::int32_t> ids;
    for (const std::string& token : tokens) {
      const auto encoded = tokenizer.encode_line(token);
      EXPECT_EQ(encoded.size(), 1u) << token;
      ids.insert(ids.end(), encoded.begin(), encoded.end());
    }
    return ids;
  }

  TemporaryFolder folder_;
  const Path in_ = folder_.path() / "in", out_ = folder_.path() / "out";
};

TEST_F(FolderCopy, ExportChangesTheDtypeAndNothingElse) {
  for (const char* name : {"untied", "tied", "classifier"}) {
    use(name);
    export_model_folder(open_model_folder(in_), out_, "bf16", no_limit);
    EXPECT_EQ(open_model_folder(out_).dtype, "bf16");
    Json config = json(in_ / "config.json");
    config[config.contains("dtype") ? "dtype" : "torch_dtype"] = "bfloat16";
    EXPECT_EQ(json(out_ / "config.json"), config);
    const auto before = weights(in_), after = weights(out_);
    ASSERT_EQ(after.size(), before.size());
    for (const auto& [tensor, value] : after)
      EXPECT_TRUE(at::equal(value, before.at(tensor).to(at::kBFloat16))) << tensor;
    export_model_folder(open_model_folder(out_), folder_.path() / "back", "fp32", 50'000);
    EXPECT_GT(weight_paths(folder_.path() / "back").size(), 1u);
    for (const auto& [tensor, value] : weights(folder_.path() / "back"))
      EXPECT_TRUE(at::equal(value, after.at(tensor).to(at::kFloat))) << tensor;
    for (const Path& made : {out_, folder_.path() / "back"}) std::filesystem::remove_all(made);
  }
}

TEST_F(FolderCopy, WhatBelongsToTheModelTravels) {
  const std::vector<std::string> travels{"README.md",
                                         "LICENSE",
                                         "LICENSE.txt",
                                         "USE_POLICY.md",
                                         "chat_template.jinja",
                                         "additional_chat_templates/tool.jinja",
                                         "special_tokens_map.json",
                                         "steerlm.json"};
  const std::vector<std::string> stays{
      "modeling_x.py",    "pytorch_model.bin", "pytorch_model.bin.index.json", "model-00001-of-00002.safetensors",
      "training_args.pt", ".gitattributes",    "checkpoint-5/optimizer.pt"};
  for (const auto& names : {travels, stays}) {
    for (const std::string& name : names)
      write(in_ / name, name.ends_with(".json") ? "{}" : "text of " + name + "\r\n");
  }
  write(in_ / "steerlm.json", R"({"attributes": {"names": ["b", "a"], "max": 9}})");
  edit(in_ / "config.json", [](Json& config) {
    config["auto_map"] = {{"AutoModel", "modeling_x.Model"}};
    config["task_specific_params"] = {1, 2.5};
  });
  export_model_folder(open_model_folder(in_), out_, "bf16", no_limit);
  for (const std::string& name : travels) EXPECT_EQ(read(out_ / name), read(in_ / name)) << name;
  for (const char* name : {"generation_config.json", "tokenizer.model", "tokenizer_config.json"})
    EXPECT_EQ(read(out_ / name), read(in_ / name)) << name;
  for (const std::string& name : stays) EXPECT_FALSE(std::filesystem::exists(out_ / name)) << name;
  EXPECT_FALSE(std::filesystem::exists(out_ / "checkpoint-5"));
  EXPECT_FALSE(json(out_ / "config.json").contains("auto_map"));
  EXPECT_EQ(json(out_ / "config.json").at("task_specific_params"), Json({1, 2.5}));
}

TEST_F(FolderCopy, AnExportThatFailsLeavesNothing) {
  const ModelFolder folder = open_model_folder(in_);
  int failures = 0;
  for (int failing = 0;; ++failing) {
    int count = 0;
    set_fs_fault([&](std::string_view, const Path&) { return count++ == failing ? ENOSPC : 0; });
    bool failed = false;
    try {
      export_model_folder(folder, out_, "bf16", 50'000);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::resources);
      failed = true;
    }
    set_fs_fault({});
    if (!failed) break;
    ++failures;
    EXPECT_TRUE(temporaries_of(out_).empty());
    if (!std::filesystem::exists(out_)) continue;
    weights(out_);  // whole: what failed was the fsync behind the rename
    std::filesystem::remove_all(out_);
  }
  EXPECT_GT(failures, 20);
}

TEST_F(FolderCopy, NewTokensComeBehindTheVocabularyAndStartAtTheMean) {
  const GrownVocabulary grown = add();
  EXPECT_EQ(grown.rows_before, 400);
  EXPECT_EQ(grown.rows, 403);
  EXPECT_THAT(ids_of(out_), ElementsAre(400, 401, 402));
  EXPECT_EQ(open_model_folder(out_).config.vocab_size, 403);
  const auto before = weights(in_), after = weights(out_);
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    const at::Tensor old = before.at(name), now = after.at(name);
    EXPECT_TRUE(at::equal(now.narrow(0, 0, 400), old)) << name;
    const at::Tensor mean = at::mean(old.to(at::kDouble), 0).to(at::kFloat);
    for (int id = 400; id < 403; ++id) EXPECT_TRUE(at::allclose(now[id], mean, 1e-7, 0)) << name;
  }
  EXPECT_TRUE(at::equal(after.at("model.norm.weight"), before.at("model.norm.weight")));
  const Tokenizer tokenizer = Tokenizer::load(out_);
  const ConversationTemplate added({.special_tokens = SpecialTokens::added}, tokenizer);
  Conversation conversation;
  conversation.system = "s";
  conversation.turns = {{.from = "User", .value = "q"}};
  const auto ids = added.encode(conversation).ids;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 400), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 401), 1);
}

TEST_F(FolderCopy, SpareRowsAreUsedAndTiedHeadsStayTied) {
  use("tied");  // 408 rows, 400 pieces
  const GrownVocabulary grown = add();
  EXPECT_EQ(grown.rows, 408);
  const auto before = weights(in_), after = weights(out_);
  EXPECT_FALSE(after.contains("lm_head.weight"));
  EXPECT_TRUE(open_model_folder(out_).config.tie_word_embeddings);
  const at::Tensor old = before.at("model.embed_tokens.weight"), now = after.at("model.embed_tokens.weight");
  const at::Tensor mean = at::mean(old.narrow(0, 0, 400).to(at::kDouble), 0).to(at::kFloat);
  for (int id = 400; id < 403; ++id)
    EXPECT_TRUE(at::allclose(now[id], mean, 1e-7, 0)) << "of the rows that have a piece";
  EXPECT_TRUE(at::equal(now.narrow(0, 403, 5), old.narrow(0, 403, 5)));
  std::vector<std::string> nine;
  for (int i = 0; i < 9; ++i) nine.push_back("<new_" + std::to_string(i) + ">");
  std::filesystem::remove_all(out_);
  EXPECT_EQ(add(nine).rows, 409) << "no more than are needed";
}

TEST_F(FolderCopy, AKnownTokenIsKept) {
  add({"<extra_id_1>"});
  std::filesystem::rename(out_, folder_.path() / "first");
  std::filesystem::remove_all(in_);
  std::filesystem::rename(folder_.path() / "first", in_);
  const GrownVocabulary grown = add();
  EXPECT_FALSE(grown.pieces.at(1).fresh);
  EXPECT_EQ(grown.pieces.at(1).id, 400);
  EXPECT_THAT(ids_of(out_), ElementsAre(401, 400, 402));
  EXPECT_EQ(grown.rows, 403);
  const auto before = weights(in_), after = weights(out_);
  EXPECT_TRUE(at::equal(after.at("lm_head.weight")[400], before.at("lm_head.weight")[400]));
}

TEST_F(FolderCopy, NothingToAddIsACopy) {
  const GrownVocabulary grown = add({"<s>"});
  EXPECT_FALSE(grown.pieces.at(0).fresh);
  const auto before = weights(in_), after = weights(out_);
  for (const auto& [name, tensor] : before) EXPECT_TRUE(at::equal(after.at(name), tensor)) << name;
  EXPECT_EQ(json(out_ / "config.json"), json(in_ / "config.json"));
  EXPECT_EQ(read(out_ / "tokenizer_config.json"), read(in_ / "tokenizer_config.json"));
}

TEST_F(FolderCopy, APredictorGrowsItsEmbeddingAlone) {
  use("classifier");
  add();
  const auto before = weights(in_), after = weights(out_);
  EXPECT_EQ(after.at("model.embed_tokens.weight").size(0), 403);
  EXPECT_TRUE(at::equal(after.at("score.weight"), before.at("score.weight")));
}

TEST_F(FolderCopy, AFolderWithoutATokenizerConfigGetsOne) {
  std::filesystem::remove(in_ / "tokenizer_config.json");
  const auto plain = Tokenizer::load(in_).encode_line("hello world");
  add();
  EXPECT_THAT(ids_of(out_), ElementsAre(400, 401, 402));
  EXPECT_EQ(json(out_ / "tokenizer_config.json").at("tokenizer_class"), "LlamaTokenizer");
  EXPECT_EQ(Tokenizer::load(out_).encode_line("hello world"), plain);
}

}  // namespace
}  // namespace steerlm
