#include "steerlm/core/disk.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/temporary_folder.h"

namespace steerlm {
namespace {

TEST(DiskTest, AFolderThatIsNotThereYetHasTheRoomOfTheOneAboveIt) {
  const TemporaryFolder folder;
  const auto above = free_disk_bytes(folder.path()), below = free_disk_bytes(folder.path() / "runs/one/two");
  ASSERT_TRUE(above && below);
  EXPECT_GT(*above, 0);
  EXPECT_NEAR(static_cast<double>(*below), static_cast<double>(*above), 1e9) << "others may write meanwhile";
  EXPECT_TRUE(free_disk_bytes("not/there"));
}

TEST(DiskTest, CountsTheFilesBelowAFolder) {
  const TemporaryFolder folder;
  EXPECT_EQ(disk_bytes_of(folder.path() / "none"), 0);
  const Path run = folder.path() / "run";
  std::filesystem::create_directories(run / "deeper");
  std::ofstream(run / "one") << std::string(1000, 'x');
  std::ofstream(run / "deeper/two") << std::string(234, 'x');
  std::filesystem::create_symlink(run / "one", run / "link");
  EXPECT_EQ(disk_bytes_of(run), 1234);
}

}  // namespace
}  // namespace steerlm
