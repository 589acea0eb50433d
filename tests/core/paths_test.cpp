#include "steerlm/core/paths.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

// No chmod here: root may enter every folder. tests/end_to_end/mistakes_test.cpp tries closed folders as another user.
TEST(PathsTest, WhatCannotBeLookedAtIsTheFaultOfTheFilesKind) {
  TemporaryFolder folder;
  const Path circle = folder.path() / "circle";
  std::filesystem::create_symlink(circle, circle);
  for (const Path& path : {Path(std::string(300, 'x')), Path(folder.path() / std::string(5000, 'y'))}) {
    for (const ExitCode code : {ExitCode::data, ExitCode::model}) {
      const std::string said = message_of(code, [&] { is_there(path, code); });
      EXPECT_NE(said.find("name too long"), std::string::npos) << said;
      EXPECT_EQ(message_of(code, [&] { is_folder(path, code); }), said);
      EXPECT_NE(message_of(code, [&] { file_bytes(path, code); }).find("name too long"), std::string::npos);
      EXPECT_NE(message_of(code, [&] { files_of(path, code); }).find("name too long"), std::string::npos);
    }
  }
  EXPECT_NE(message_of(ExitCode::data, [&] { is_there(circle, ExitCode::data); }).find("symbolic links"),
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
  EXPECT_FALSE(is_there(folder.path() / "nothing", ExitCode::model));
  EXPECT_NE(message_of(ExitCode::model, [&] { is_there(dangling, ExitCode::model); }).find("a link that leads nowhere"),
            std::string::npos)
      << "a hub cache that lacks the file: the folder is not one without it";
  EXPECT_TRUE(is_folder(folder.path(), ExitCode::data));
  for (const Path& path : {file, link, dangling}) EXPECT_FALSE(is_folder(path, ExitCode::data)) << path;
  EXPECT_EQ(file_bytes(link, ExitCode::data), 5);
  EXPECT_NE(message_of(ExitCode::model, [&] { file_bytes(folder.path(), ExitCode::model); }), "");
  EXPECT_EQ(files_of(folder.path(), ExitCode::data), (std::vector<Path>{file, link}));
}

TEST(PathsTest, OnlyNamesThatAreNotThereAreUnexpanded) {
  ::setenv("HOME", "/home/me", 1);
  const auto advice = [](const std::string& path) {
    const std::optional<Fault> fault = unexpanded(path);
    return fault ? fault->advice : "";
  };
  EXPECT_EQ(advice("~/x"), "write /home/me/x");
  EXPECT_EQ(advice("~"), "write /home/me");
  EXPECT_EQ(advice("~other/x"), "write the path out");
  EXPECT_EQ(advice("a/$HOME/b"), "write a//home/me/b");
  EXPECT_EQ(advice("${HOME}/b"), "write /home/me/b");
  EXPECT_EQ(advice("$NO_SUCH_VARIABLE/b"), "the variable is not set; write the path out");
  for (const char* path : {"", "a", "a~", "./~", "$", "a$", "$5", "$lower/x", "${", "${}", "${a", "/home/me/x"})
    EXPECT_EQ(advice(path), "") << path;
  TemporaryFolder folder;
  const Path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  std::ofstream("~") << "there";
  EXPECT_EQ(advice("~"), "") << "a file of that very name";
  std::filesystem::current_path(before);
}

TEST(PathsTest, NamesOfTheHub) {
  EXPECT_NE(download_advice("nvidia/HelpSteer2").find("hf download nvidia/HelpSteer2 --repo-type dataset"),
            std::string::npos);
  EXPECT_NE(download_advice("https://example.org/a.jsonl").find("download it"), std::string::npos);
  for (const char* path : {"", "a", "/a/b", "a/b/c", "./a", "../a", "a/", "/a", "a b/c", "data/train.jsonl"})
    EXPECT_EQ(download_advice(path), "") << path;
  TemporaryFolder folder;
  const Path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  std::filesystem::create_directory("models");
  EXPECT_EQ(download_advice("models/base"), "") << "a folder of ours, in which that is missing";
  std::filesystem::current_path(before);
}

TEST(PathsTest, AWordOfAShellIsTheText) {
  EXPECT_EQ(shell_word("a b.jsonl"), "'a b.jsonl'");
  EXPECT_EQ(shell_word("it's a.jsonl"), R"('it'\''s a.jsonl')");
}

TEST(PathsTest, Utf8TextIsTheSameUnlessBytesAreNone) {
  EXPECT_EQ(utf8_text("a/ä.json"), "a/ä.json");
  EXPECT_EQ(utf8_text("m\xe9/\xff"), "m\\xE9/\\xFF");
  EXPECT_EQ(utf8_text("\xc3"), "\\xC3");
}

}  // namespace
}  // namespace steerlm
