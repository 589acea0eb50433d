// Whatever happens to the bytes of a GGUF file: it reads, or it is refused with our own error.
// STEERLM_GGUF_ROUNDS: more rounds than the usual ones, for a run by hand under a sanitizer.
#include <gtest/gtest.h>

#include <cstdlib>

#include "steerlm/core/rng.h"
#include "steerlm/store/gguf.h"
#include "support/gguf_writer.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class GgufMutation : public ::testing::Test {
 protected:
  GgufMutation() {
    GgufWriter writer;
    writer.text("general.architecture", "llama").integer("general.alignment", 32).number("f", 0.5F).flag("yes", true);
    writer.texts("tokens", {"a", "bc", ""}).integers("types", {1, 2, 3}).numbers("scores", {0, -1});
    writer.set("bytes", 9, GgufWriter::array_bytes<std::uint8_t>(0, {1, 2, 3}));
    writer.tensor("a", {3, 2}, 1.5F);
    writer.tensors.push_back({"b.weight", {256}, 14, std::string(210, 'q')});
    writer.tensors.push_back({"c.weight", {32, 2}, 6, std::string(44, 'z')});
    whole_ = writer.bytes();
  }

  // True where every tensor can be read.
  bool reads(const std::string& bytes) {
    std::filesystem::remove(path_);  // some file systems write a truncated file to the disk at once
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      const GgufFile file = GgufFile::open(path_);
      for (const GgufTensor& tensor : file.tensors()) {
        EXPECT_LE(tensor.bytes, bytes.size());
        file.read(tensor);
      }
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::model) << error.what();
      EXPECT_NE(std::string(error.what()).find(path_.string()), std::string::npos) << error.what();
      return false;
    }
  }

  TemporaryFolder folder_;
  const Path path_ = folder_.path() / "m.gguf";
  std::string whole_;
};

TEST_F(GgufMutation, EveryBitOfTheHeaderMayFlip) {
  const size_t header = whole_.size() - 32 - 224 - 44;
  int read = 0, refused = 0;
  for (size_t at = 0; at < header; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = whole_;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      ++(reads(bytes) ? read : refused);
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(read, 100) << "another letter in a name is no damage";
}

// Numbers that sizes are made of, where they hurt.
TEST_F(GgufMutation, RandomCutsInsertionsAndOverwrites) {
  const char* more = std::getenv("STEERLM_GGUF_ROUNDS");
  const std::uint64_t rounds = more != nullptr ? std::strtoull(more, nullptr, 10) : 4000;
  constexpr std::uint64_t numbers[] = {
      0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x2000000000000000};
  std::uint64_t read = 0, refused = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    Rng rng(12, "file damage", round);
    std::string bytes = whole_;
    for (std::uint64_t edits = 1 + rng.below(3); edits > 0 && !bytes.empty(); --edits) {
      const size_t at = rng.below(bytes.size());
      const std::uint64_t kind = rng.below(6);
      if (kind == 0) bytes.resize(at);
      if (kind == 1) bytes.insert(at, 1 + rng.below(9), static_cast<char>(rng.below(256)));
      if (kind == 2) bytes.erase(at, 1 + rng.below(9));
      if (kind == 3) bytes[at] = static_cast<char>(rng.below(256));
      const std::string number = GgufWriter::raw(numbers[rng.below(std::size(numbers))]);
      if (kind == 4) bytes.replace(at, 8, number);
      if (kind == 5) bytes.replace(at, 4, number.substr(0, 4));
    }
    ++(reads(bytes) ? read : refused);
  }
  EXPECT_GT(refused, rounds / 4);
  EXPECT_GT(read, rounds / 100) << "other values of a tensor are no damage";
}

}  // namespace
}  // namespace steerlm
