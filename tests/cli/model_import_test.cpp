// steerlm model import: what a user sees of it, and its exit codes (contracts.md section 1).
#include <gmock/gmock.h>

#include <fstream>

#include "cli/run_command.h"
#include "steerlm/core/fs.h"
#include "support/gguf_writer.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string fixture = STEERLM_SOURCE_DIR "/tests/fixtures/gguf/llama.gguf";

class ModelImport : public ::testing::Test {
 protected:
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  Outcome import(const std::string& gguf, const std::string& output, const std::vector<std::string>& options = {}) {
    std::vector<std::string> words{"model", "import", "--gguf", gguf, "--output", output};
    words.insert(words.end(), options.begin(), options.end());
    return run_command(words);
  }
  TemporaryFolder folder_;
};

TEST_F(ModelImport, AFolderThatOtherCommandsRead) {
  const Outcome outcome = import(fixture, path("model"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr(fixture + ": not used: general.name"), HasSubstr(path("model") + ": llama, "),
                    HasSubstr("parameters in fp32, 1 weight file(s)")));
  EXPECT_EQ(run_command({"model", "info", "--model", path("model")}).code, 0);
  const Outcome encoded = run_command({"tokenizer", "encode", "--model", path("model")}, "Hello\n");
  EXPECT_EQ(encoded.code, 0) << encoded.err;
}

TEST_F(ModelImport, DtypeAndShards) {
  EXPECT_EQ(import(fixture, path("small"), {"--dtype", "bf16", "--max-shard-size", "60KB"}).code, 0);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "small" / "model.safetensors.index.json"));
  const Outcome info = run_command({"model", "info", "--model", path("small")});
  EXPECT_THAT(info.out, HasSubstr("\"dtype\": \"bf16\""));
}

TEST_F(ModelImport, MistakesOfTheCommandLine) {
  EXPECT_EQ(run_command({"model", "import", "--output", path("model")}).code, 2);
  const Outcome dtype = import(fixture, path("model"), {"--dtype", "fp8"});
  EXPECT_EQ(dtype.code, 2);
  EXPECT_THAT(dtype.err, HasSubstr("fp32 or bf16 or fp16"));
  EXPECT_EQ(import(fixture, path("model"), {"--max-shard-size", "x"}).code, 2);
  EXPECT_EQ(import(fixture, fixture, {"--overwrite"}).code, 2) << "the output is the input";
  EXPECT_FALSE(std::filesystem::exists(path("model")));
}

TEST_F(ModelImport, FilesThatAreNoModel) {
  EXPECT_EQ(import(path("none.gguf"), path("model")).code, 4);
  std::filesystem::create_directory(path("folder"));
  EXPECT_EQ(import(path("folder"), path("model")).code, 4);
  std::ofstream(path("text.gguf")) << "this is a text, not a model of any kind";
  const Outcome text = import(path("text.gguf"), path("model"));
  EXPECT_EQ(text.code, 4);
  EXPECT_THAT(text.err, HasSubstr("not a GGUF file"));
  GgufWriter other;
  other.text("general.architecture", "gemma3").write(path("gemma.gguf"));
  const Outcome gemma = import(path("gemma.gguf"), path("model"));
  EXPECT_EQ(gemma.code, 4);
  EXPECT_THAT(gemma.err, AllOf(HasSubstr("'gemma3'"), HasSubstr("llama, qwen2 or qwen3")));
  EXPECT_FALSE(std::filesystem::exists(path("model")));
}

TEST_F(ModelImport, WhatIsThereStays) {
  std::filesystem::create_directories(path("full"));
  std::ofstream(path("full/mine.txt")) << "mine";
  EXPECT_EQ(import(fixture, path("full")).code, 5);
  EXPECT_EQ(import(fixture, path("full"), {"--overwrite"}).code, 5)
      << "a folder that holds something is never replaced";
  std::ofstream(path("file")) << "mine";
  EXPECT_EQ(import(fixture, path("file")).code, 5);
  std::ofstream(path("text.gguf")) << "this is a text, not a model of any kind";
  EXPECT_EQ(import(path("text.gguf"), path("file"), {"--overwrite"}).code, 4);
  EXPECT_EQ(read_file(path("file"), ExitCode::data, "file"), "mine") << "until the folder is whole";
  EXPECT_EQ(import(fixture, path("file"), {"--overwrite"}).code, 0);
  EXPECT_TRUE(std::filesystem::is_directory(path("file")));
}

}  // namespace
}  // namespace steerlm
