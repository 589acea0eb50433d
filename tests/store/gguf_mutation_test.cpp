// Whatever happens to the bytes of a GGUF file: it reads, or it is refused with our own error.
// STEERLM_GGUF_ROUNDS: more rounds than the usual ones, for a run by hand under a sanitizer.
#include <gtest/gtest.h>

#include <cstdlib>

#include "steerlm/store/gguf.h"
#include "support/file_damage.h"
#include "support/gguf_writer.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class GgufMutation : public ::testing::Test {
 protected:
  static std::string whole_file() {
    GgufWriter writer;
    writer.text("general.architecture", "llama").integer("general.alignment", 32).number("f", 0.5F).flag("yes", true);
    writer.texts("tokens", {"a", "bc", ""}).integers("types", {1, 2, 3}).numbers("scores", {0, -1});
    writer.set("bytes", 9, GgufWriter::array_bytes<std::uint8_t>(0, {1, 2, 3}));
    writer.tensor("a", {3, 2}, 1.5F);
    writer.tensors.push_back({"b.weight", {256}, 14, std::string(210, 'q')});
    writer.tensors.push_back({"c.weight", {32, 2}, 6, std::string(44, 'z')});
    return writer.bytes();
  }

  void read_all() const {
    const GgufFile file = GgufFile::open(path_);
    for (const GgufTensor& tensor : file.tensors()) {
      EXPECT_LE(tensor.bytes, std::filesystem::file_size(path_));
      file.read(tensor);
    }
  }

  TemporaryFolder folder_;
  const Path path_ = folder_.path() / "m.gguf";
  const std::string whole_ = whole_file();
  const FileDamage damage_{whole_, path_, [this] { read_all(); }};
};

TEST_F(GgufMutation, EveryBitOfTheHeaderMayFlip) {
  const DamageCounts counts = damage_.flip_bits(whole_.size() - 32 - 224 - 44);
  EXPECT_GT(counts.refused, 1000u);
  EXPECT_GT(counts.read, 100u) << "another letter in a name is no damage";
}

TEST_F(GgufMutation, RandomCutsInsertionsAndOverwrites) {
  const char* more = std::getenv("STEERLM_GGUF_ROUNDS");
  const std::uint64_t rounds = more != nullptr ? std::strtoull(more, nullptr, 10) : 4000;
  const DamageCounts counts = damage_.edit_at_random(12, rounds);
  EXPECT_GT(counts.refused, rounds / 4);
  EXPECT_GT(counts.read, rounds / 100) << "other values of a tensor are no damage";
}

}  // namespace
}  // namespace steerlm
