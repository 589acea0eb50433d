#include "steerlm/core/hash.h"

#include <gtest/gtest.h>

#include "support/temporary_folder.h"

namespace steerlm {
namespace {

// FIPS 180-4 examples.
constexpr const char* of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* of_a_million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(HashTest, Sha256) {
  EXPECT_EQ(sha256_hex(""), of_nothing);
  EXPECT_EQ(sha256_hex("abc"), of_abc);
  Sha256 hash;
  for (int i = 0; i < 1000; ++i) hash.update(std::string(1000, 'a'));
  EXPECT_EQ(hash.hex(), of_a_million);
}

TEST(HashTest, OfAFile) {
  const TemporaryFolder folder;
  const Path path = folder.path() / "f";
  write_file_atomic(path, std::string(1000000, 'a'));
  EXPECT_EQ(sha256_file(path, ExitCode::data), of_a_million);
  write_file_atomic(path, std::string(3 << 20, 'b'));
  EXPECT_EQ(sha256_file(path, ExitCode::data), sha256_hex(std::string(3 << 20, 'b')));
}

TEST(HashTest, AMissingFileEndsWithItsCode) {
  try {
    sha256_file("/nowhere", ExitCode::model);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::model);
    EXPECT_STREQ(error.what(), "/nowhere: cannot read the file: No such file or directory");
  }
}

// Reading a stream would take its bytes from who is to read them, and /dev/zero never ends.
TEST(HashTest, AStreamIsRefused) {
  for (const char* path : {"/dev/zero", "/dev/null"}) EXPECT_THROW(sha256_file(path, ExitCode::data), Error) << path;
}

TEST(HashTest, FirstEightBytes) { EXPECT_EQ(hash64("abc"), 0xba7816bf8f01cfeaull); }

}  // namespace
}  // namespace steerlm
