// Whatever happens to the bytes of a weight file: it reads, or it is refused with our own error.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "steerlm/store/safetensors.h"
#include "support/file_damage.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class SafetensorsMutation : public ::testing::Test {
 protected:
  std::string whole_file() const {
    const auto halves = at::TensorOptions().dtype(at::kBFloat16);
    write_safetensors(
        path_, {{"a", at::arange(6).view({2, 3})}, {"b.weight", at::arange(5, halves)}, {"scalar", at::full({}, 2.5)}},
        {{"format", "pt"}});
    return read_file(path_, ExitCode::model, "weights");
  }

  void read_all() const {
    const SafetensorsFile file = SafetensorsFile::open(path_);
    for (const std::string& name : file.names()) EXPECT_LE(file.read(name).nbytes(), std::filesystem::file_size(path_));
  }

  TemporaryFolder folder_;
  const Path path_ = folder_.path() / "m.safetensors";
  const std::string whole_ = whole_file();
  const FileDamage damage_{whole_, path_, [this] { read_all(); }};
};

TEST_F(SafetensorsMutation, EveryBitOfLengthAndHeaderMayFlip) {
  const DamageCounts counts = damage_.flip_bits(SafetensorsFile::open(path_).header().data_offset);
  EXPECT_GT(counts.refused, 1000u);
  EXPECT_GT(counts.read, 10u) << "another letter in a name is no damage";
}

TEST_F(SafetensorsMutation, RandomCutsInsertionsAndOverwrites) {
  const DamageCounts counts = damage_.edit_at_random(11, 3000);
  EXPECT_GT(counts.refused, 1000u);
  EXPECT_GT(counts.read, 10u) << "other values of a tensor are no damage";
}

}  // namespace
}  // namespace steerlm
