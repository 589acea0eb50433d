// Whatever happens to the bytes of a weight file: it reads, or it is refused with our own error.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <fstream>

#include "steerlm/core/rng.h"
#include "steerlm/store/safetensors.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class SafetensorsMutation : public ::testing::Test {
 protected:
  SafetensorsMutation() {
    const auto halves = at::TensorOptions().dtype(at::kBFloat16);
    write_safetensors(
        path_, {{"a", at::arange(6).view({2, 3})}, {"b.weight", at::arange(5, halves)}, {"scalar", at::full({}, 2.5)}},
        {{"format", "pt"}});
    whole_ = read_file(path_, ExitCode::model, "weights");
  }

  // True where every tensor can be read.
  bool reads(const std::string& bytes) {
    std::filesystem::remove(path_);  // some file systems write a truncated file to the disk at once
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      const SafetensorsFile file = SafetensorsFile::open(path_);
      for (const std::string& name : file.names()) {
        const at::Tensor tensor = file.read(name);
        EXPECT_LE(tensor.nbytes(), bytes.size());
      }
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::model) << error.what();
      EXPECT_NE(std::string(error.what()).find(path_.string()), std::string::npos) << error.what();
      return false;
    }
  }

  TemporaryFolder folder_;
  const Path path_ = folder_.path() / "m.safetensors";
  std::string whole_;
};

TEST_F(SafetensorsMutation, EveryBitOfLengthAndHeaderMayFlip) {
  const size_t header = SafetensorsFile::open(path_).header().data_offset;
  int read = 0, refused = 0;
  for (size_t at = 0; at < header; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = whole_;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      ++(reads(bytes) ? read : refused);
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(read, 10) << "another letter in a name is no damage";
}

TEST_F(SafetensorsMutation, RandomCutsInsertionsAndOverwrites) {
  int read = 0, refused = 0;
  for (std::uint64_t round = 0; round < 3000; ++round) {
    Rng rng(11, "file damage", round);
    std::string bytes = whole_;
    for (std::uint64_t edits = 1 + rng.below(3); edits > 0 && !bytes.empty(); --edits) {
      const size_t at = rng.below(bytes.size());
      const std::uint64_t kind = rng.below(4);
      if (kind == 0) bytes.resize(at);
      if (kind == 1) bytes.insert(at, 1 + rng.below(9), static_cast<char>(rng.below(256)));
      if (kind == 2) bytes.erase(at, 1 + rng.below(9));
      if (kind == 3) bytes[at] = static_cast<char>(rng.below(256));
    }
    ++(reads(bytes) ? read : refused);
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(read, 10) << "other values of a tensor are no damage";
}

}  // namespace
}  // namespace steerlm
