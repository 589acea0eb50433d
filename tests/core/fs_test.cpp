#include "steerlm/core/fs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include "steerlm/core/hash.h"
#include "steerlm/core/utf8.h"
#include "support/message_of.h"
#include "support/no_more_open_files.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class FsTest : public testing::Test {
 protected:
  ~FsTest() override { set_fs_fault({}); }
  Path file(const std::string& name) const { return folder_.path() / name; }
  void write_text(const std::string& name, const std::string& text) const { std::ofstream(file(name)) << text; }
  size_t count_files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_.path()), {}));
  }
  std::string message(const std::function<void()>& act, ExitCode code) const {
    std::string text = message_of(code, act);
    const std::string prefix = folder_.path().string() + "/";
    for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) text.erase(at, prefix.size());
    return text;
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
  EXPECT_EQ(message([&] { read_file("/dev/zero", ExitCode::data, "records"); }, ExitCode::data),
            "/dev/zero: cannot read records: it is a device");
  ASSERT_EQ(::mkfifo(file("pipe").c_str(), 0600), 0);
  EXPECT_EQ(message([&] { read_file(file("pipe"), ExitCode::model, "model config"); }, ExitCode::model),
            "pipe: cannot read model config: it is a pipe, where a file is expected");
  EXPECT_EQ(read_file("/dev/null", ExitCode::data, "records"), "");
}

// The limit is none of the file's faults.
TEST_F(FsTest, TooManyOpenFilesIsNoFaultOfTheFile) {
  write_text("f", "text");
  // Once before: of an object whose type it has not met yet, the sanitizer asks by way of a pipe.
  EXPECT_EQ(sha256_file(file("f"), ExitCode::data), sha256_hex(read_file(file("f"), ExitCode::model, "model config")));
  std::string read, hashed;
  {
    const NoMoreOpenFiles limit;
    read = message([&] { read_file(file("f"), ExitCode::model, "model config"); }, ExitCode::resources);
    hashed = message([&] { sha256_file(file("f"), ExitCode::data); }, ExitCode::resources);
  }
  EXPECT_EQ(read, "f: cannot read model config: Too many open files; raise the limit of open files: ulimit -n 1024");
  EXPECT_EQ(hashed, "f: cannot read the file: Too many open files; raise the limit of open files: ulimit -n 1024");
}

// With an exchange of the two names, and where the file system has none.
TEST_F(FsTest, AFolderTakesThePlaceOfAFile) {
  for (const int error : {0, EINVAL}) {
    write_text("m", "file");
    make_directory(file("made"));
    write_text("made/x", "1");
    set_fs_fault([&](std::string_view operation, const Path& path) {
      return operation == "rename" && path == file("m") ? error : 0;
    });
    replace_file_by_folder(file("m"), file("made"));
    EXPECT_EQ(read_file(file("m/x"), ExitCode::data, "file"), "1");
    EXPECT_EQ(count_files(), 1u) << error;
    steerlm::remove_all(file("m"));
  }
  write_text("m", "file");
  make_directory(file("made"));
  set_fs_fault([](std::string_view operation, const Path&) { return operation == "rename" ? EIO : 0; });
  EXPECT_NE(message([&] { replace_file_by_folder(file("m"), file("made")); }, ExitCode::resources), "");
  EXPECT_EQ(read_file(file("m"), ExitCode::data, "file"), "file");
}

TEST_F(FsTest, ASignalThatEndsTheProcessLeavesNoHalfFolder) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(signal, SIG_DFL);  // nohup, under which tests may run, ignores SIGHUP
      write_directory_atomic(file("model"), [&](const Path& part) {
        for (int i = 0; i < 300; ++i) std::ofstream(part / ("tensor-of-a-long-name-" + std::to_string(i))) << i;
        ::raise(signal);
      });
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << status;
    EXPECT_EQ(count_files(), 0u);
  }
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
  EXPECT_EQ(count_files(), 1u);
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

// A folder that may be written to and not read cannot be synced: what got its name there is no failure.
TEST_F(FsTest, AFolderThatMayNotBeReadIsWrittenTo) {
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0333), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // As root every folder may be read. The current folder stays one that may be entered.
    if (::chdir(folder_.path().c_str()) != 0 || (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0)) ::_exit(2);
    try {
      write_file_atomic("f", "x");
      ::_exit(0);
    } catch (const Error&) {
      ::_exit(1);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0700), 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(read_file(file("f"), ExitCode::data, "file"), "x");
  EXPECT_EQ(count_files(), 1u);
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

TEST_F(FsTest, AFolderIsWrittenWholeOrNotAtAll) {
  const auto write = [&](const std::string& text) {
    write_directory_atomic(file("d/"), [&](const Path& part) {
      EXPECT_EQ(part.parent_path(), folder_.path());
      EXPECT_THAT(temporaries_of(file("d")), testing::ElementsAre(part));
      write_file_atomic(part / "x", text);
      if (text == "bad") fail(ExitCode::model, {.what = "stopped"});
    });
  };
  EXPECT_EQ(message([&] { write("bad"); }, ExitCode::model), "stopped");
  EXPECT_EQ(count_files(), 0u);
  write("1");
  EXPECT_EQ(message([&] { write("2"); }, ExitCode::resources),
            "d: a folder that is not empty, or a file, is in the way; choose another place, or take it elsewhere");
  EXPECT_EQ(read_file(file("d") / "x", ExitCode::data, "file"), "1");
  EXPECT_EQ(count_files(), 1u);
}

TEST_F(FsTest, AnEmptyFolderIsReplacedAndKeepsItsPermissions) {
  make_directory(file("d"));
  std::filesystem::permissions(file("d"), std::filesystem::perms::owner_all);
  write_directory_atomic(file("d"), [](const Path& part) { write_file_atomic(part / "x", "1"); });
  EXPECT_EQ(std::filesystem::status(file("d")).permissions(), std::filesystem::perms::owner_all);
  EXPECT_TRUE(std::filesystem::exists(file("d") / "x"));
}

// What appeared while the folder was filled stays.
TEST_F(FsTest, AFolderThatAppearedMeanwhileIsNotReplaced) {
  const std::string text = message(
      [&] {
        write_directory_atomic(file("d"), [&](const Path&) {
          make_directory(file("d"));
          write_file_atomic(file("d") / "own", "precious");
        });
      },
      ExitCode::resources);
  EXPECT_EQ(text, "d: cannot rename: Directory not empty; what is there meanwhile is not replaced");
  EXPECT_EQ(read_file(file("d") / "own", ExitCode::data, "file"), "precious");
  EXPECT_EQ(count_files(), 1u);
}

TEST_F(FsTest, ATemporaryNeverTakesANameThatIsThere) {
  const Path first = create_temporary(file("f")).path();
  const Path second = create_temporary(file("f")).path();
  EXPECT_NE(first, second);
  EXPECT_THAT(temporaries_of(file("f")), testing::UnorderedElementsAre(first, second));
  write_file_atomic(file("f.part"), "foreign");
  write_file_atomic(file("f.x-1.part"), "foreign");
  write_file_atomic(file("f.1.part"), "foreign");
  write_file_atomic(file("f.12-.part"), "foreign");
  EXPECT_EQ(temporaries_of(file("f")).size(), 2u);
}

// A process of this machine that is no more, whose file nobody on another machine holds.
TEST_F(FsTest, WhatAKilledProcessLeftIsRemovedByTheNextOne) {
  const pid_t child = ::fork();
  if (child == 0) {
    const OutputFile part = create_temporary(file("f"));
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const std::vector<Path> left = temporaries_of(file("f"));
  ASSERT_EQ(left.size(), 1u);
  const Path folder = file("f." + std::to_string(child) + "-7.part"), other = file("f.1-0.part");
  make_directory(folder);
  write_text(other.filename(), "of a process that lives");
  {
    const OutputFile held(left[0], OutputFile::Mode::append);
    ASSERT_EQ(::flock(held.descriptor(), LOCK_EX), 0);
    write_file_atomic(file("f"), "1");
    EXPECT_THAT(temporaries_of(file("f")), testing::UnorderedElementsAre(left[0], folder, other));
  }
  const OutputFile mine = create_temporary(file("f"));
  EXPECT_THAT(temporaries_of(file("f")), testing::UnorderedElementsAre(mine.path(), folder, other));
  const OutputFile second(mine.path(), OutputFile::Mode::append);
  EXPECT_NE(::flock(second.descriptor(), LOCK_EX | LOCK_NB), 0) << "not held";
}

TEST_F(FsTest, ANameOfAnyLengthHasATemporary) {
  for (const std::string& name : {std::string(255, 'n'), "a" + std::string(100, 'b') + [] {
                                    std::string text;
                                    while (text.size() < 150) text += "é";
                                    return text;
                                  }()}) {
    write_file_atomic(file(name), "x");
    EXPECT_EQ(read_file(file(name), ExitCode::data, "file"), "x");
    const Path part = create_temporary(file(name)).path();
    EXPECT_FALSE(find_invalid_utf8(part.string()));
    EXPECT_THAT(temporaries_of(file(name)), testing::ElementsAre(part));
  }
}

// Where the file system has no such rename, hard links do it, and where it has none of those, an empty file that is
// ours.
TEST_F(FsTest, PublishNewNeverReplaces) {
  for (const int renaming : {0, EINVAL}) {
    for (const int linking : {0, EPERM}) {
      set_fs_fault([&](std::string_view operation, const Path&) {
        return operation == "rename" ? renaming : operation == "link" ? linking : 0;
      });
      const Path part = create_temporary(file("f")).path();
      publish_new(part, file("f"));
      EXPECT_EQ(count_files(), 1u);
      write_text("f", "first");
      const Path second = create_temporary(file("f")).path();
      EXPECT_THAT(message([&] { publish_new(second, file("f")); }, ExitCode::resources),
                  testing::HasSubstr("File exists; what is there meanwhile is not replaced"));
      EXPECT_EQ(read_file(file("f"), ExitCode::data, "file"), "first");
      std::filesystem::remove(file("f"));
      std::filesystem::remove(second);
    }
  }
}

TEST_F(FsTest, PublishRenames) {
  make_directory(file("part"));
  write_file_atomic(file("part") / "x", "1");
  publish(file("part"), file("whole"));
  EXPECT_EQ(read_file(file("whole") / "x", ExitCode::data, "file"), "1");
  EXPECT_FALSE(std::filesystem::exists(file("part")));
  EXPECT_NE(message([&] { publish(file("nothing"), file("whole2")); }, ExitCode::resources), "");
}

TEST_F(FsTest, OnlyWhatDeadProcessesLeftIsRemoved) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);  // its number is free now
  const auto temporary = [&](pid_t process) { return file("f." + std::to_string(process) + "-0.part"); };
  std::ofstream(temporary(child)) << "left";
  std::ofstream(temporary(::getpid())) << "being written";
  const Path folder = file("f." + std::to_string(child) + "-1.part"),
             link = file("f." + std::to_string(child) + "-2.part");
  std::filesystem::create_directory(folder);
  std::filesystem::create_symlink("elsewhere", link);
  remove_dead_temporaries(file("f"));
  EXPECT_FALSE(std::filesystem::exists(temporary(child)));
  EXPECT_TRUE(std::filesystem::exists(temporary(::getpid())));
  EXPECT_TRUE(std::filesystem::exists(folder));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
}

}  // namespace
}  // namespace steerlm
