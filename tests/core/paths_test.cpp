#include "steerlm/core/paths.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "support/temporary_folder.h"

namespace steerlm {
namespace {

// The fault that `look` ends with, or "" where it ends well.
std::string fault_of(ExitCode code, const std::function<void()>& look) {
  try {
    look();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "";
}

// No chmod here: root may enter every folder. tests/end_to_end/mistakes_test.cpp tries closed folders as another user.
TEST(PathsTest, WhatCannotBeLookedAtIsTheFaultOfTheFilesKind) {
  TemporaryFolder folder;
  const Path circle = folder.path() / "circle";
  std::filesystem::create_symlink(circle, circle);
  for (const Path& path : {Path(std::string(300, 'x')), Path(folder.path() / std::string(5000, 'y'))}) {
    for (const ExitCode code : {ExitCode::data, ExitCode::model}) {
      const std::string said = fault_of(code, [&] { is_there(path, code); });
      EXPECT_NE(said.find("name too long"), std::string::npos) << said;
      EXPECT_EQ(fault_of(code, [&] { is_folder(path, code); }), said);
      EXPECT_NE(fault_of(code, [&] { file_bytes(path, code); }).find("name too long"), std::string::npos);
      EXPECT_NE(fault_of(code, [&] { files_of(path, code); }).find("name too long"), std::string::npos);
    }
  }
  EXPECT_NE(fault_of(ExitCode::data, [&] { is_there(circle, ExitCode::data); }).find("symbolic links"),
            std::string::npos);
}

TEST(PathsTest, MissingFilesFoldersAndLinks) {
  TemporaryFolder folder;
  const Path file = folder.path() / "file", link = folder.path() / "link", dangling = folder.path() / "dangling";
  std::ofstream(file) << "12345";
  std::filesystem::create_symlink(file, link);
  std::filesystem::create_symlink(folder.path() / "nothing", dangling);
  std::filesystem::create_directory(folder.path() / "below");
  for (const Path& path : {file, link, folder.path()}) EXPECT_TRUE(is_there(path, ExitCode::data)) << path;
  for (const Path& path : {dangling, folder.path() / "nothing", file / "below", Path()})
    EXPECT_FALSE(is_there(path, ExitCode::data)) << path;
  EXPECT_TRUE(is_folder(folder.path(), ExitCode::data));
  for (const Path& path : {file, link, dangling}) EXPECT_FALSE(is_folder(path, ExitCode::data)) << path;
  EXPECT_EQ(file_bytes(link, ExitCode::data), 5);
  EXPECT_NE(fault_of(ExitCode::model, [&] { file_bytes(folder.path(), ExitCode::model); }), "");
  EXPECT_EQ(files_of(folder.path(), ExitCode::data), (std::vector<Path>{file, link}));
}

TEST(PathsTest, Utf8TextIsTheSameUnlessBytesAreNone) {
  EXPECT_EQ(utf8_text("a/ä.json"), "a/ä.json");
  EXPECT_EQ(utf8_text("m\xe9/\xff"), "m\\xE9/\\xFF");
  EXPECT_EQ(utf8_text("\xc3"), "\\xC3");
}

}  // namespace
}  // namespace steerlm
