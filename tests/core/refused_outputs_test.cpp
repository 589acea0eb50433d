// Outputs that could only be seen to fail once all the work is done: each is refused before, or told with what helps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <functional>

#include "steerlm/core/lock.h"
#include "steerlm/core/output.h"
#include "steerlm/core/run_place.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class RefusedOutputs : public testing::Test {
 protected:
  ~RefusedOutputs() override { set_fs_fault({}); }

  std::string at(const std::string& name) const { return (folder_.path() / name).string(); }
  void write(const std::string& name) const { std::ofstream(at(name)) << "precious"; }
  static std::string message(const std::function<void()>& action) { return message_of(ExitCode::resources, action); }
  // In a process of its own, with mounts of its own: the messages by lines, or "skip" where mounting is not allowed.
  std::string told_by_child(const std::function<bool()>& mounts, const std::function<std::string()>& tells) const {
    const pid_t child = ::fork();
    if (child == 0) {
      const bool apart = (::unshare(CLONE_NEWNS) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
                         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
      const bool ready = apart && mounts();
      std::ofstream(at("told")) << (ready ? tells() : "skip");
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    return read_file(at("told"), ExitCode::data, "test file");
  }

  TemporaryFolder folder_;
};

TEST_F(RefusedOutputs, NothingTakesThePlaceOfAMountPoint) {
  write("elsewhere");
  write("bound");
  std::filesystem::create_directory(at("volume"));
  const auto mounts = [&] {
    return ::mount(at("elsewhere").c_str(), at("bound").c_str(), nullptr, MS_BIND, nullptr) == 0 &&
           ::mount("tmpfs", at("volume").c_str(), "tmpfs", 0, nullptr) == 0;
  };
  const std::string told = told_by_child(mounts, [&] {
    return message([&] { check_output(at("bound"), {.overwrite = true}); }) + "\n" +
           message([&] { check_output_folder(at("volume"), {}); }) + "\n" +
           message([&] { check_output_folder(at("volume") + "/model", {}); });
  });
  if (told == "skip") GTEST_SKIP() << "this user may mount nothing";
  const std::string what = ": a mount point, which cannot be replaced; ";
  EXPECT_EQ(told, at("bound") + what + "mount the folder that it lies in, not the file alone\n" + at("volume") + what +
                      "name a folder in it\n");
}

TEST_F(RefusedOutputs, InAFolderWithTheStickyBitOnlyOwnersReplace) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes a file of another user";
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  std::filesystem::create_directory(at("sticky"));
  ASSERT_EQ(::chmod(at("sticky").c_str(), 01777), 0);
  write("sticky/f");
  ASSERT_EQ(::chmod(at("sticky/f").c_str(), 0666), 0);
  ASSERT_EQ(::seteuid(65534), 0);
  const std::string others = message([&] { check_output(at("sticky/f"), {.overwrite = true}); });
  write("sticky/own");
  const std::string own = message([&] { check_output(at("sticky/own"), {.overwrite = true}); });
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(others,
            at("sticky/f") +
                ": only its owner may replace what is there: its folder has the sticky bit; choose another name");
  EXPECT_EQ(own, "");
  EXPECT_EQ(message([&] { check_output(at("sticky/own"), {.overwrite = true}); }), "") << "as root";
}

TEST_F(RefusedOutputs, TheCurrentFolderIsNotReplaced) {
  std::filesystem::create_directory(at("d"));
  const Path before = std::filesystem::current_path();
  std::filesystem::current_path(at("d"));
  for (const char* name : {".", "./", "x/.."})
    EXPECT_THAT(message([&] { check_output_folder(name, {}); }),
                HasSubstr("a folder cannot be replaced under this name; name a folder in it"));
  EXPECT_EQ(message([&] { check_output_folder("../d", {}); }), "");
  std::filesystem::current_path(before);
}

TEST_F(RefusedOutputs, WhatAppearedMeanwhileIsToldWithWhatReplacesIt) {
  Output output(at("f"), {});
  output.write("new");
  write("f");
  EXPECT_EQ(message([&] { output.finish(); }),
            at("f") +
                ": what appeared there meanwhile is not replaced; give the same command again with --overwrite, "
                "which replaces it");
  Output second(at("g"), {.overwrite = true});
  std::filesystem::create_directory(at("g"));
  EXPECT_THAT(message([&] { second.finish(); }),
              HasSubstr("not replaced; take it elsewhere, and give the same command again"));
}

TEST_F(RefusedOutputs, ANameThatIsTooLongForWhatIsBesideItIsToldSo) {
  const std::string lock = at(std::string(250, 'n') + ".part.lock");
  EXPECT_EQ(message([&] { const OutputLock held("n", lock); }),
            lock +
                ": cannot lock the output: File name too long; choose a shorter name: this one has 260 bytes, and 255 "
                "are the most");
  std::filesystem::create_directory(at("folder"));
  EXPECT_THAT(message([&] { const OutputLock held("n", at("folder")); }),
              HasSubstr("Is a directory; choose another output, or remove the file"));
}

TEST_F(RefusedOutputs, TheReasonsOfTheSystemComeWithWhatHelps) {
  for (const auto& [error, advice] : {std::pair{EBUSY, "something is mounted there"},
                                      {ENOENT, "a folder of its path is gone"},
                                      {ENOTDIR, "a part of the path is no folder; choose another place"},
                                      {ELOOP, "links lead in a circle"}}) {
    set_fs_fault(
        [error = error](std::string_view operation, const Path&) { return operation == "rename" ? error : 0; });
    EXPECT_THAT(message([&] { write_file_atomic(at("f"), "x"); }), HasSubstr(advice));
  }
}

// A current folder below one that is closed has a name, and cannot be found by it.
TEST_F(RefusedOutputs, AFolderThatCannotBeLookedAtIsNamed) {
  std::filesystem::create_directories(at("closed/here"));
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  const Path before = std::filesystem::current_path();
  std::filesystem::current_path(at("closed/here"));
  ASSERT_EQ(::chmod(at("closed").c_str(), 0), 0);
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const std::string told = message([] { absolute_place("out.jsonl"); });
  const std::string folder = message([&] { check_output_folder(at("closed"), {}); });
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  ASSERT_EQ(::chmod(at("closed").c_str(), 0755), 0);
  std::filesystem::current_path(before);
  EXPECT_THAT(folder, HasSubstr("closed: cannot write to this place: Permission denied; choose a folder"));
  EXPECT_THAT(told, AllOf(HasSubstr("closed/here"), HasSubstr("cannot look at the folder: Permission denied; ")));
}

}  // namespace
}  // namespace steerlm
