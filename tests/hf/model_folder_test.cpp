#include "steerlm/hf/model_folder.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "steerlm/store/safetensors.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Path fixture(const std::string& name) { return Path(STEERLM_SOURCE_DIR) / "tests/fixtures/models" / name; }

class ModelFolderTest : public ::testing::Test {
 protected:
  ~ModelFolderTest() override { set_fs_fault({}); }

  // A copy of a fixture that a test may harm.
  Path copy(const std::string& name) {
    const Path path = folder_.path() / name;
    std::filesystem::remove_all(path);
    std::filesystem::copy(fixture(name), path, std::filesystem::copy_options::recursive);
    return path;
  }
  void write(const Path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
  void edit(const Path& path, const std::function<void(Json&)>& change) {
    Json json = parse_json(read_file(path, ExitCode::model, "file"), path.string(), ExitCode::model);
    change(json);
    write(path, json.dump());
  }
  // Rewrites the single weight file.
  void edit_tensors(const Path& path, const std::function<void(NamedTensors&)>& change) {
    NamedTensors tensors;
    {
      const SafetensorsFile file = SafetensorsFile::open(path);
      for (const std::string& name : file.names()) tensors.emplace_back(name, file.read(name));
    }
    change(tensors);
    write_safetensors(path, tensors, {});
  }
  std::string message(const std::function<void()>& action, ExitCode code = ExitCode::model) {
    return message_of(code, action);
  }
  std::string read_message(const Path& path, Weights weights = Weights::language_model) {
    return message([&] { read_weights(open_model_folder(path), weights); });
  }

  TemporaryFolder folder_;
};

TEST_F(ModelFolderTest, ReadsAnUntiedModel) {
  const ModelFolder folder = open_model_folder(fixture("untied"));
  EXPECT_EQ(folder.head.kind, HeadKind::language_model);
  EXPECT_TRUE(folder.attributes.names.empty());
  EXPECT_EQ(folder.text_template.name, TemplateName::steerlm);
  EXPECT_THAT(folder.eos_token_ids, ElementsAre(2));
  const NamedTensors tensors = read_weights(folder, Weights::language_model);
  ASSERT_EQ(tensors.size(), 21u);
  EXPECT_EQ(tensors.front().first, "model.embed_tokens.weight");
  EXPECT_EQ(tensors.back().first, "lm_head.weight");
  EXPECT_EQ(read_weights(folder, Weights::trunk).size(), 20u);
}

TEST_F(ModelFolderTest, ReadsShardsAndTiedWeights) {
  const ModelFolder folder = open_model_folder(fixture("tied"));
  EXPECT_EQ(folder.config.vocab_size, 408);
  const NamedTensors tensors = read_weights(folder, Weights::language_model);
  EXPECT_EQ(tensors.size(), 29u);
  EXPECT_EQ(tensors.back().first, "model.norm.weight");
  check_weights(folder, Weights::trunk);
}

TEST_F(ModelFolderTest, ReadsAClassifier) {
  const ModelFolder folder = open_model_folder(fixture("classifier"));
  EXPECT_EQ(folder.head.kind, HeadKind::regression);
  EXPECT_FALSE(folder.head.bias);
  EXPECT_EQ(folder.num_labels, 3);
  const NamedTensors tensors = read_weights(folder, Weights::regression);
  EXPECT_EQ(tensors.back().first, "score.weight");
  EXPECT_EQ(tensors.back().second.sizes(), (std::vector<std::int64_t>{3, 32}));
  EXPECT_EQ(read_weights(folder, Weights::trunk).size(), 20u);
}

TEST_F(ModelFolderTest, ABiasIsSeenWithoutSteerlmJson) {
  const Path path = copy("classifier");
  edit_tensors(path / "model.safetensors",
               [](NamedTensors& tensors) { tensors.emplace_back("score.bias", at::zeros({3})); });
  const ModelFolder folder = open_model_folder(path);
  EXPECT_TRUE(folder.head.bias);
  EXPECT_EQ(read_weights(folder, Weights::regression).back().first, "score.bias");
}

TEST_F(ModelFolderTest, AHeadOfAnotherKindIsRefused) {
  EXPECT_THAT(read_message(fixture("untied"), Weights::regression),
              HasSubstr("found a language model, expected a regression predictor"));
  EXPECT_THAT(read_message(fixture("classifier")),
              HasSubstr("found a regression predictor, expected a language model"));
}

TEST_F(ModelFolderTest, MissingFilesAreNamed) {
  EXPECT_THAT(read_message(folder_.path() / "none"), HasSubstr("no such model folder"));
  EXPECT_THAT(read_message(fixture("expected.json")), HasSubstr("not a folder"));
  const Path path = copy("untied");
  std::filesystem::remove(path / "model.safetensors");
  EXPECT_THAT(read_message(path), HasSubstr("the folder holds no weights"));
  write(path / "pytorch_model.bin", "PK");
  EXPECT_THAT(read_message(path), HasSubstr("pickle file can run code and is never read (found pytorch_model.bin"));
  EXPECT_THAT(read_message(path), HasSubstr("save_pretrained"));
  std::filesystem::remove(path / "config.json");
  EXPECT_THAT(read_message(path), HasSubstr("cannot read model config: No such file"));
  write(path / "config.json", "{\"model_type\": }");
  EXPECT_THAT(read_message(path), AllOf(HasSubstr("not valid JSON"), Not(HasSubstr("json.exception"))));
}

TEST_F(ModelFolderTest, MissingAndExtraTensorsAreNamedAllAtOnce) {
  const Path path = copy("untied");
  edit_tensors(path / "model.safetensors", [](NamedTensors& tensors) {
    std::erase_if(tensors, [](const auto& entry) {
      return entry.first == "model.norm.weight" || entry.first == "lm_head.weight";
    });
    tensors.emplace_back("model.layers.2.mlp.up_proj.weight", at::zeros({1}));
  });
  const std::string text = read_message(path);
  EXPECT_THAT(text, HasSubstr("missing tensor 'model.norm.weight'"));
  EXPECT_THAT(text, HasSubstr("missing tensor 'lm_head.weight'"));
  EXPECT_THAT(text, HasSubstr("extra tensor 'model.layers.2.mlp.up_proj.weight'"));
  EXPECT_THAT(read_message(path, Weights::trunk), Not(HasSubstr("lm_head")));
}

TEST_F(ModelFolderTest, FrequenciesOfOldCheckpointsAreIgnored) {
  const Path path = copy("untied");
  edit_tensors(path / "model.safetensors", [](NamedTensors& tensors) {
    tensors.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", at::zeros({4}));
    tensors.emplace_back("model.rotary_emb.inv_freq", at::zeros({4}));
  });
  EXPECT_EQ(read_message(path), "");
  EXPECT_EQ(read_message(path, Weights::trunk), "");
}

TEST_F(ModelFolderTest, ShapesAndDtypesAreChecked) {
  const Path path = copy("untied");
  edit_tensors(path / "model.safetensors", [](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name == "model.layers.0.self_attn.k_proj.weight") tensor = at::zeros({32, 32});
      if (name == "model.norm.weight") tensor = at::zeros({32}, at::kLong);
    }
  });
  const std::string text = read_message(path);
  EXPECT_THAT(text, HasSubstr("tensor 'model.layers.0.self_attn.k_proj.weight' has not the shape "
                              "that config.json gives it"));
  EXPECT_THAT(text, HasSubstr("found [32, 32], expected [16, 32]"));
  EXPECT_THAT(text, HasSubstr("'model.norm.weight' has a dtype that is not supported"));
}

// Qwen3-Embedding and Skywork-Reward are saved so; Transformers adds the prefix.
TEST_F(ModelFolderTest, NamesWithoutThePrefixAreReadAsIfTheyHadIt) {
  for (const char* name : {"untied", "classifier"}) {
    const Path path = copy(name);
    const Weights weights = own_weights(open_model_folder(path));
    const NamedTensors before = read_weights(open_model_folder(path), weights);
    EXPECT_FALSE(has_bare_tensor_names(open_model_folder(path)));
    edit_tensors(path / "model.safetensors", [](NamedTensors& tensors) {
      for (auto& [tensor, value] : tensors) {
        if (tensor.starts_with("model.")) tensor.erase(0, 6);
      }
    });
    const ModelFolder folder = open_model_folder(path);
    EXPECT_TRUE(has_bare_tensor_names(folder));
    check_weights(folder, weights);
    const NamedTensors after = read_weights(folder, weights);
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].first, before[i].first);
      EXPECT_TRUE(at::equal(after[i].second, before[i].second)) << after[i].first;
    }
  }
}

TEST_F(ModelFolderTest, AStrangePrefixIsNamed) {
  for (const std::string prefix : {"_orig_mod.", "module.", "language_model.", "base_model.model."}) {
    const Path path = copy("untied");
    edit_tensors(path / "model.safetensors", [&](NamedTensors& tensors) {
      for (auto& [tensor, value] : tensors) tensor.insert(0, prefix);
    });
    EXPECT_THAT(
        read_message(path),
        AllOf(HasSubstr("have a prefix that the architecture does not have"),
              HasSubstr("found '" + prefix + "model.embed_tokens.weight', expected 'model.embed_tokens.weight'")));
  }
}

TEST_F(ModelFolderTest, QuantisedWeightsAreNamedByTheirMaker) {
  const std::string layer = "model.layers.0.self_attn.q_proj";
  for (const auto& [tensors, words] :
       std::vector<std::pair<std::vector<std::pair<std::string, at::ScalarType>>, std::string>>{
           {{{layer + ".weight.absmax", at::kByte}}, "bitsandbytes, 4 bit"},
           {{{layer + ".weight.quant_state.bitsandbytes__nf4", at::kByte}}, "bitsandbytes, 4 bit"},
           {{{layer + ".SCB", at::kFloat}}, "bitsandbytes, 8 bit"},
           {{{layer + ".qweight", at::kInt}}, "GPTQ or AWQ"},
           {{{layer + ".weight_scale", at::kFloat}}, "fp8"},
           {{{layer + ".weight_scale_inv", at::kFloat}}, "fp8"},
           {{{layer + ".weight_packed", at::kInt}}, "compressed-tensors"},
           {{{layer + ".W_q", at::kByte}}, "HQQ"},
           {{{layer + ".scales", at::kHalf}, {layer + ".biases", at::kHalf}}, "MLX"},

           {{{layer + ".weight", at::kChar}}, "integers, I8"}}) {
    const Path path = copy("untied");
    edit_tensors(path / "model.safetensors", [&, wanted = tensors](NamedTensors& all) {
      for (const auto& [name, dtype] : wanted) {
        std::erase_if(all, [&, &name = name](const auto& entry) { return entry.first == name; });
        all.emplace_back(name, at::zeros({2}, dtype));
      }
    });
    EXPECT_THAT(read_message(path), AllOf(HasSubstr("the weights are quantised (" + words), HasSubstr(layer),
                                          HasSubstr("take the folder that it was made from")))
        << words;
  }
}

TEST_F(ModelFolderTest, WeightsInFp8AreNamedByTheirDtype) {
  const Path path = copy("untied");
  const std::string header =
      R"({"model.layers.0.self_attn.q_proj.weight":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})";
  write(path / "model.safetensors",
        std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header + "ab");
  EXPECT_THAT(read_message(path), HasSubstr("the weights are quantised (fp8)"));
}

TEST_F(ModelFolderTest, WhatIsNoModelFolderIsNamed) {
  EXPECT_THAT(
      read_message("owner/some-model"),
      AllOf(HasSubstr("no such model folder"), HasSubstr("hf download owner/some-model --local-dir owner/some-model")));
  EXPECT_THAT(read_message("./owner/model"), Not(HasSubstr("hf download")));
  EXPECT_THAT(read_message(std::string(5000, 'x')), HasSubstr("cannot look at the path: File name too long"));
  for (const auto& [name, words] : std::vector<std::pair<std::string, std::string>>{
           {"it's m.gguf", R"(/it'\''s m.gguf' --output FOLDER)"},
           {"model.safetensors", "name the folder that it is in"},
           {"pytorch_model.bin", "a pickle file, which can run code and is never read"},
           {"notes.txt", "not a folder"}}) {
    write(folder_.path() / name, "x");
    EXPECT_THAT(read_message(folder_.path() / name), HasSubstr(words));
  }
  std::filesystem::create_directory(folder_.path() / ".steerlm-run");
  EXPECT_THAT(read_message(folder_.path()), HasSubstr("a run directory, in which no model is"));
  const Path path = copy("untied");
  std::filesystem::copy(path, folder_.path() / "model");
  EXPECT_THAT(read_message(folder_.path()),
              HasSubstr("; name the model in it: " + (folder_.path() / "model").string()));
  EXPECT_EQ(read_message(folder_.path() / "model"), "") << "the advice followed";
  std::filesystem::remove(path / "model.safetensors");
  write(path / "model.gguf", "GGUF");
  EXPECT_THAT(read_message(path), HasSubstr("steerlm model import --gguf FILE --output FOLDER"));
}

TEST_F(ModelFolderTest, ATiedHeadMayBeStoredIfItIsTheEmbedding) {
  const Path path = copy("untied");
  edit(path / "config.json", [](Json& json) { json["tie_word_embeddings"] = true; });
  EXPECT_THAT(read_message(path), HasSubstr("lm_head.weight differs from model.embed_tokens.weight"));
  edit_tensors(path / "model.safetensors", [](NamedTensors& tensors) {
    at::Tensor embedding;
    for (auto& [name, tensor] : tensors) embedding = name == "model.embed_tokens.weight" ? tensor : embedding;
    for (auto& [name, tensor] : tensors) tensor = name == "lm_head.weight" ? embedding : tensor;
  });
  EXPECT_EQ(read_message(path), "");
  EXPECT_EQ(read_weights(open_model_folder(path), Weights::language_model).size(), 20u);
}

TEST_F(ModelFolderTest, AShardNameCannotLeaveTheFolder) {
  const Path path = copy("tied");
  for (const char* name : {"../untied/model.safetensors", "/etc/passwd", "..", "a/b.safetensors", "a\\b.safetensors",
                           "", "model.bin", "./model-00001-of-00002.safetensors"}) {
    edit(path / "model.safetensors.index.json", [&](Json& json) { json["weight_map"]["model.norm.weight"] = name; });
    EXPECT_THAT(read_message(path), HasSubstr("tensor 'model.norm.weight': the shard is not a file of this folder"))
        << name;
  }
  edit(path / "model.safetensors.index.json", [&](Json& json) { json["weight_map"]["model.norm.weight"] = 7; });
  EXPECT_THAT(read_message(path), HasSubstr("the shard is not a file of this folder (found 7"));
}

TEST_F(ModelFolderTest, TheIndexAndTheShardsMustAgree) {
  const Path path = copy("tied");
  const Path index = path / "model.safetensors.index.json";
  const std::string first = "model-00001-of-00002.safetensors", second = "model-00002-of-00002.safetensors";
  const std::string whole = read_file(index, ExitCode::model, "index");

  edit(index, [](Json& json) { json["weight_map"]["model.norm.weight"] = "model-00003-of-00003.safetensors"; });
  EXPECT_THAT(read_message(path), HasSubstr("the shard 'model-00003-of-00003.safetensors' is missing"));
  write(index, whole);
  edit(index, [](Json& json) { json["weight_map"].erase("model.norm.weight"); });
  EXPECT_THAT(read_message(path),
              HasSubstr("tensor 'model.norm.weight' is in a shard, but the index does not name it"));
  write(index, whole);
  edit(index, [&](Json& json) { json["weight_map"]["phantom.weight"] = first; });
  EXPECT_THAT(read_message(path), HasSubstr("tensor 'phantom.weight' is not in the shard that the index names"));
  write(index, whole);
  edit(index, [&](Json& json) {
    Json& shard = json["weight_map"]["model.norm.weight"];
    shard = shard == first ? second : first;
  });
  EXPECT_THAT(read_message(path), HasSubstr("tensor 'model.norm.weight' is in another shard than the index says"));
  write(index, whole);
  edit_tensors(path / second, [&](NamedTensors& tensors) {
    tensors.emplace_back(SafetensorsFile::open(path / first).names().front(), at::zeros({1}));
  });
  EXPECT_THAT(read_message(path), HasSubstr("is in two shards"));
  write(index, "{\"weight_map\": []}");
  EXPECT_THAT(read_message(path), HasSubstr("no object 'weight_map'"));
}

TEST_F(ModelFolderTest, ShardsMayBeSymbolicLinks) {
  const Path path = copy("untied");
  std::filesystem::rename(path / "model.safetensors", folder_.path() / "blob");
  std::filesystem::create_symlink("../blob", path / "model.safetensors");
  EXPECT_EQ(read_message(path), "");
}

TEST_F(ModelFolderTest, APointerInsteadOfTheWeightsIsSaid) {
  const Path path = copy("untied");
  write(path / "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 166624\n");
  EXPECT_THAT(read_message(path),
              AllOf(HasSubstr("a Git LFS pointer instead of the weights"), HasSubstr("git lfs pull")));
}

TEST_F(ModelFolderTest, ATokenizerLargerThanTheEmbeddingIsRefused) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("untied"));
  ModelFolder folder = open_model_folder(fixture("tied"));
  check_vocabulary(folder, tokenizer);
  folder.config.vocab_size = 400;
  check_vocabulary(folder, tokenizer);
  folder.config.vocab_size = 399;
  EXPECT_THAT(message([&] { check_vocabulary(folder, tokenizer); }),
              AllOf(HasSubstr("fewer rows than the tokenizer has pieces: the first without a row is '"),
                    HasSubstr("make the embedding larger: steerlm model add-tokens --model '")));
}

TEST_F(ModelFolderTest, SteerlmJsonMustFitConfigJson) {
  const Path path = copy("classifier");
  write(path / "steerlm.json", R"({"attributes": {"names": ["a", "b"]}})");
  EXPECT_THAT(read_message(path, Weights::regression),
              HasSubstr("as many attributes as config.json has labels are needed"));
  write(path / "steerlm.json", R"({"attributes": {"names": ["a", "b", "c"]}, "head": {"kind": "language_model"}})");
  EXPECT_THAT(read_message(path, Weights::regression),
              HasSubstr("the head is not the one of config.json's architecture"));
  write(
      path / "steerlm.json",
      R"({"attributes": {"names": ["a", "b", "c"], "min": 0, "max": 9}, "head": {"kind": "regression", "bias": true}})");
  EXPECT_THAT(read_message(path, Weights::regression), HasSubstr("missing tensor 'score.bias'"));
  write(path / "steerlm.json", R"({"attributes": {"names": ["a", "b", "c"]}, "head": {"writes": "labels"}})");
  EXPECT_THAT(read_message(path, Weights::regression), HasSubstr("a regression head gives scores and writes nothing"));
}

class WrittenModelFolder : public ModelFolderTest {
 protected:
  const Tokenizer tokenizer_ = Tokenizer::load(fixture("untied"));
};

TEST_F(WrittenModelFolder, ReadsBackToTheBit) {
  for (const char* name : {"untied", "tied", "classifier"}) {
    ModelFolder folder = open_model_folder(fixture(name));
    const Weights weights = folder.head.kind == HeadKind::regression ? Weights::regression : Weights::language_model;
    const NamedTensors tensors = read_weights(folder, weights);
    folder.method = "helpsteer";
    folder.writes = Writes::labels;
    folder.attributes = {.names = {"quality", "humor", "verbosity"}, .min = 0, .max = 4, .defaults = {{"quality", 4}}};
    folder.text_template.system = "Be kind.\n\"é\"";
    folder.template_given = {true, true, true};
    folder.template_sha256 = ConversationTemplate(folder.text_template, tokenizer_).sha256();
    const Path path = folder_.path() / "made" / name;
    write_model_folder(path, folder, tensors, tokenizer_);
    EXPECT_THAT(temporaries_of(path), ::testing::IsEmpty());

    const ModelFolder back = open_model_folder(path);
    EXPECT_EQ(back.config.rope_theta, folder.config.rope_theta);
    EXPECT_EQ(back.config.head_dim, folder.config.head_dim);
    EXPECT_EQ(back.head.kind, folder.head.kind);
    EXPECT_EQ(back.num_labels, folder.num_labels);
    EXPECT_EQ(back.method, "helpsteer");
    EXPECT_EQ(back.writes, weights == Weights::regression ? std::nullopt : std::optional(Writes::labels));
    EXPECT_EQ(back.attributes.names, folder.attributes.names);
    EXPECT_EQ(back.attributes.defaults.at("quality"), 4);
    EXPECT_EQ(back.attributes.defaults.at("humor"), 0);
    EXPECT_EQ(back.text_template.system, folder.text_template.system);
    EXPECT_EQ(back.eos_token_ids, folder.eos_token_ids);
    EXPECT_EQ(back.template_sha256, folder.template_sha256);
    EXPECT_EQ(Tokenizer::load(path).add_bos(), tokenizer_.add_bos());
    const NamedTensors again = read_weights(back, weights);
    ASSERT_EQ(again.size(), tensors.size());
    for (size_t i = 0; i < again.size(); ++i) {
      EXPECT_EQ(again[i].first, tensors[i].first);
      EXPECT_TRUE(at::equal(again[i].second, tensors[i].second)) << again[i].first;
    }
  }
}

TEST_F(WrittenModelFolder, EqualModelsGiveEqualFiles) {
  const ModelFolder folder = open_model_folder(fixture("untied"));
  const NamedTensors tensors = read_weights(folder, Weights::language_model);
  write_model_folder(folder_.path() / "a", folder, tensors, tokenizer_);
  write_model_folder(folder_.path() / "b/", folder, tensors, tokenizer_);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "a")) {
    const std::string name = entry.path().filename();
    EXPECT_EQ(sha256_file(entry.path(), ExitCode::model), sha256_file(folder_.path() / "b" / name, ExitCode::model))
        << name;
    EXPECT_THAT(read_file(entry.path(), ExitCode::model, "file"), Not(HasSubstr(folder_.path().string()))) << name;
    ++files;
  }
  EXPECT_GE(files, 6u);
}

TEST_F(WrittenModelFolder, KeepsTheDtypeOfTheBaseFolder) {
  ModelFolder folder = open_model_folder(fixture("untied"));
  folder.dtype = "bf16";
  const Path path = folder_.path() / "bf16";
  write_model_folder(path, folder, read_weights(folder, Weights::language_model), tokenizer_);
  const ModelFolder back = open_model_folder(path);
  EXPECT_EQ(back.dtype, "bf16");
  for (const auto& [name, tensor] : read_weights(back, Weights::language_model))
    EXPECT_EQ(tensor.scalar_type(), at::kBFloat16) << name;
}

TEST_F(WrittenModelFolder, APredictorCanHaveABias) {
  ModelFolder folder = open_model_folder(fixture("classifier"));
  NamedTensors tensors = read_weights(folder, Weights::regression);
  tensors.emplace_back("score.bias", at::zeros({3}));
  write_model_folder(folder_.path() / "p", folder, tensors, tokenizer_);
  EXPECT_TRUE(open_model_folder(folder_.path() / "p").head.bias);
  EXPECT_EQ(read_weights(open_model_folder(folder_.path() / "p"), Weights::regression).back().first, "score.bias");
}

TEST_F(WrittenModelFolder, AChangedTemplateIsNoticed) {
  const ModelFolder folder = open_model_folder(fixture("untied"));
  const Path path = folder_.path() / "m";
  write_model_folder(path, folder, read_weights(folder, Weights::language_model), tokenizer_, default_max_shard_bytes,
                     ModelCard{.steps = 1});
  edit(path / "steerlm.json", [](Json& json) { json["template"]["system"] = "Another prompt"; });
  EXPECT_THAT(message([&] { make_template(open_model_folder(path), tokenizer_); }),
              HasSubstr("the template's bytes are not those that the model was trained with"));
}

TEST_F(WrittenModelFolder, WrongTensorsAreNeverWritten) {
  const ModelFolder folder = open_model_folder(fixture("untied"));
  NamedTensors tensors = read_weights(folder, Weights::language_model);
  tensors.pop_back();
  EXPECT_THROW(write_model_folder(folder_.path() / "m", folder, tensors, tokenizer_), std::logic_error);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "m"));
}

// Every open, write, fsync and rename fails once: the folder is whole or not there, and nothing is left beside it.
TEST_F(WrittenModelFolder, AFailureAtAnyOperationLeavesAWholeFolder) {
  const ModelFolder folder = open_model_folder(fixture("untied"));
  const NamedTensors tensors = read_weights(folder, Weights::language_model);
  const Path path = folder_.path() / "m";
  const auto write = [&] {
    write_model_folder(path, folder, tensors, tokenizer_, default_max_shard_bytes, ModelCard{});
  };
  int failures = 0;
  for (int failing = 0;; ++failing) {
    std::filesystem::remove_all(path);
    int count = 0;
    set_fs_fault([&](std::string_view, const Path&) { return count++ == failing ? EIO : 0; });
    const std::string text = message(write, ExitCode::resources);
    set_fs_fault({});
    EXPECT_THAT(temporaries_of(path), ::testing::IsEmpty());
    if (std::filesystem::exists(path)) read_weights(open_model_folder(path), Weights::language_model);
    if (text == "") break;
    EXPECT_THAT(text, HasSubstr("Input/output error"));
    ++failures;
  }
  EXPECT_GT(failures, 20);
}

TEST_F(WrittenModelFolder, AFolderThatHoldsSomethingIsNotReplaced) {
  const ModelFolder folder = open_model_folder(fixture("untied"));
  const NamedTensors tensors = read_weights(folder, Weights::language_model);
  const Path path = folder_.path() / "m";
  std::filesystem::create_directories(path);
  write_model_folder(path, folder, tensors, tokenizer_);
  write(path / "own.txt", "precious");
  EXPECT_THAT(message([&] { write_model_folder(path, folder, tensors, tokenizer_); }, ExitCode::resources),
              HasSubstr("a folder that is not empty, or a file, is in the way"));
  EXPECT_EQ(read_file(path / "own.txt", ExitCode::model, "file"), "precious");
}

}  // namespace
}  // namespace steerlm
