// Packed bytes are what the usual programs unpack.
#include "steerlm/data/compressor.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "data/decoder.h"
#include "data/helpers.h"

namespace steerlm::testing {
namespace {

std::string packed(const std::string& name, const std::string& bytes, size_t piece) {
  std::string result;
  Compressor compressor(name, [&](std::string_view more) { result += more; });
  for (size_t begin = 0; begin < bytes.size(); begin += piece)
    compressor.write(std::string_view(bytes).substr(begin, piece));
  compressor.finish();
  return result;
}

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "{\"line\": " + std::to_string(i * 7919) + "}\n";
  return text;
}

TEST(Compressor, TheNameSaysHow) {
  EXPECT_TRUE(is_packed_name("a/b.jsonl.gz"));
  EXPECT_TRUE(is_packed_name("b.zst"));
  EXPECT_FALSE(is_packed_name("gz"));
  EXPECT_EQ(packed("a.jsonl", lines(3), 2), lines(3));
}

TEST(Compressor, ItIsUnpackedAgainByGzipToo) {
  TemporaryFolder folder;
  for (const std::string name : {"a.gz", "a.zst"}) {
    for (const int count : {0, 1, 100'000}) {
      const Path file = folder.path() / name, unpacked = folder.path() / "out";
      std::ofstream(file, std::ios::binary) << packed(name, lines(count), 4096);
      if (name == "a.gz") {
        const std::string command = "gzip -dc " + file.string() + " > " + unpacked.string();
        ASSERT_EQ(std::system(command.c_str()), 0) << command;
        EXPECT_EQ(read_all(unpacked), lines(count));
      }
      std::string own;
      Decoder decoder(file.string());
      while (decoder.read(own)) {
      }
      EXPECT_EQ(own, lines(count));
    }
  }
}

TEST(Compressor, TheBytesDoNotDependOnThePieces) {
  for (const char* name : {"a.gz", "a.zst"}) {
    const std::string once = packed(name, lines(50'000), 1 << 30);
    EXPECT_LT(once.size(), lines(50'000).size() / 2);
    for (const size_t piece : {1000, 65536}) EXPECT_EQ(packed(name, lines(50'000), piece), once);
  }
}

}  // namespace
}  // namespace steerlm::testing
