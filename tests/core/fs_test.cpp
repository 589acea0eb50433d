#include "steerlm/core/fs.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class FsTest : public testing::Test {
 protected:
  ~FsTest() override { set_fs_fault({}); }
  Path file(const std::string& name) const { return folder_.path() / name; }
  size_t count_files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_.path()), {}));
  }
  std::string message(const std::function<void()>& act, ExitCode code) const {
    try {
      act();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      std::string text = error.what();
      const std::string prefix = folder_.path().string() + "/";
      for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix))
        text.erase(at, prefix.size());
      return text;
    }
    return "";
  }
  TemporaryFolder folder_;
};

TEST_F(FsTest, WritesAndReads) {
  const std::string bytes("a\0b\n\xff", 5);
  write_file_atomic(file("f"), bytes);
  EXPECT_EQ(read_file(file("f"), ExitCode::data, "file"), bytes);
  write_file_atomic(file("f"), "new");
  EXPECT_EQ(read_file(file("f"), ExitCode::data, "file"), "new");
  EXPECT_EQ(count_files(), 1u);
}

TEST_F(FsTest, AMissingFileEndsWithTheCodeOfItsKind) {
  EXPECT_EQ(message([&] { read_file(file("x"), ExitCode::model, "model config"); }, ExitCode::model),
            "x: cannot read model config: No such file or directory");
  make_directory(file("d"));
  EXPECT_EQ(message([&] { read_file(file("d"), ExitCode::data, "records"); }, ExitCode::data),
            "d: cannot read records: Is a directory");
}

struct Failure {
  std::string operation;
  int error;
  std::string text;
};
class FsFaultTest : public FsTest, public testing::WithParamInterface<Failure> {};

TEST_P(FsFaultTest, AFailedWriteLeavesTheOldFileAndNothingElse) {
  write_file_atomic(file("f"), "old");
  set_fs_fault(
      [](std::string_view operation, const Path&) { return operation == GetParam().operation ? GetParam().error : 0; });
  const std::string text = message([&] { write_file_atomic(file("f"), "new and longer"); }, ExitCode::resources);
  set_fs_fault({});
  EXPECT_NE(text.find(GetParam().text), std::string::npos) << text;
  EXPECT_EQ(read_file(file("f"), ExitCode::data, "file"), "old");
}

INSTANTIATE_TEST_SUITE_P(
    All, FsFaultTest,
    testing::Values(Failure{"open", EACCES, "cannot open: Permission denied; choose a folder that you may write to"},
                    Failure{"write", ENOSPC, "cannot write: No space left on device; free some space"},
                    Failure{"fsync", EIO, "cannot fsync: Input/output error"},
                    Failure{"rename", EIO, "cannot rename: Input/output error"}));

TEST_F(FsTest, EveryOperationIsSeenByTheFault) {
  std::vector<std::string> operations;
  set_fs_fault([&](std::string_view operation, const Path&) {
    operations.emplace_back(operation);
    return 0;
  });
  write_file_atomic(file("f"), "x");
  EXPECT_EQ(operations, (std::vector<std::string>{"open", "write", "fsync", "rename", "fsync"}));
}

TEST_F(FsTest, OutputFileAppendsAndTruncates) {
  {
    OutputFile out(file("log"), OutputFile::Mode::create);
    out.write("one\n");
    EXPECT_EQ(out.size(), 4);
    EXPECT_EQ(read_file(file("log"), ExitCode::data, "log"), "one\n") << "what write() returned from is in the kernel";
  }
  OutputFile out(file("log"), OutputFile::Mode::append);
  EXPECT_EQ(out.size(), 4);
  out.write("two\n");
  out.sync();
  EXPECT_EQ(read_file(file("log"), ExitCode::data, "log"), "one\ntwo\n");
  out.truncate(4);
  EXPECT_EQ(out.size(), 4);
  out.write("2\n");
  EXPECT_EQ(read_file(file("log"), ExitCode::data, "log"), "one\n2\n");
  OutputFile moved = std::move(out);
  moved.write("3\n");
  EXPECT_EQ(read_file(file("log"), ExitCode::data, "log"), "one\n2\n3\n");
}

TEST_F(FsTest, MakesDirectories) {
  make_directory(file("a") / "b");
  make_directory(file("a") / "b");
  EXPECT_TRUE(std::filesystem::is_directory(file("a") / "b"));
  write_file_atomic(file("f"), "x");
  EXPECT_NE(message([&] { make_directory(file("f")); }, ExitCode::resources), "");
  EXPECT_NE(message([&] { make_directory(file("f") / "g"); }, ExitCode::resources), "");
}

TEST_F(FsTest, EmptyFoldersAreAsGoodAsNone) {
  EXPECT_TRUE(is_missing_or_empty_directory(file("none")));
  make_directory(file("d"));
  EXPECT_TRUE(is_missing_or_empty_directory(file("d")));
  write_file_atomic(file("d") / "x", "");
  EXPECT_FALSE(is_missing_or_empty_directory(file("d")));
  EXPECT_FALSE(is_missing_or_empty_directory(file("d") / "x"));
  steerlm::remove_all(file("d"));
  EXPECT_TRUE(is_missing_or_empty_directory(file("d")));
}

TEST_F(FsTest, PublishDirectoryReplacesAFullOne) {
  for (const char* text : {"1", "2"}) {
    make_directory(file("part"));
    write_file_atomic(file("part") / "x", text);
    publish_directory(file("part"), file("whole"));
    EXPECT_EQ(read_file(file("whole") / "x", ExitCode::data, "file"), text);
    EXPECT_EQ(count_files(), 1u);
  }
}

TEST_F(FsTest, AFolderIsWrittenWholeOrNotAtAll) {
  const auto write = [&](const std::string& text) {
    write_directory_atomic(file("d/"), [&](const Path& part) {
      EXPECT_EQ(part, file("d.part"));
      write_file_atomic(part / "x", text);
      if (text == "bad") fail(ExitCode::model, {.what = "stopped"});
    });
  };
  EXPECT_EQ(message([&] { write("bad"); }, ExitCode::model), "stopped");
  EXPECT_EQ(count_files(), 0u);
  write("1");
  EXPECT_EQ(message([&] { write("bad"); }, ExitCode::model), "stopped");
  EXPECT_EQ(read_file(file("d") / "x", ExitCode::data, "file"), "1");
  write("2");
  EXPECT_EQ(read_file(file("d") / "x", ExitCode::data, "file"), "2");
  EXPECT_EQ(count_files(), 1u);
}

TEST_F(FsTest, PublishRenames) {
  make_directory(file("part"));
  write_file_atomic(file("part") / "x", "1");
  publish(file("part"), file("whole"));
  EXPECT_EQ(read_file(file("whole") / "x", ExitCode::data, "file"), "1");
  EXPECT_FALSE(std::filesystem::exists(file("part")));
  EXPECT_NE(message([&] { publish(file("nothing"), file("whole2")); }, ExitCode::resources), "");
}

}  // namespace
}  // namespace steerlm
