#include "steerlm/core/run_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "support/ordinary_user.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
namespace stdfs = std::filesystem;

class RunFilesTest : public ::testing::Test {
 protected:
  ~RunFilesTest() override { set_fs_fault({}); }

  Path run() const { return folder_.path() / "run"; }
  RunFiles open() { return RunFiles::open(run(), {{"stage", "sft"}}); }
  void put(const Path& path, const std::string& text) {
    stdfs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  std::string read(const Path& path) { return read_file(path, ExitCode::data, "file"); }
  static void fill(const Path& part) {
    std::ofstream(part / "config.json") << "{}";
    stdfs::create_directory(part / "more");
    std::ofstream(part / "more" / "x.json") << "[]";
  }

  // Every file and link below the test's folder but those of the mark, with its bytes or its target.
  std::map<std::string, std::string> contents() {
    std::map<std::string, std::string> all;
    for (const auto& entry : stdfs::recursive_directory_iterator(folder_.path())) {
      const std::string name = entry.path().lexically_relative(folder_.path()).string();
      if (name.find(".steerlm-run") != std::string::npos) continue;
      if (entry.is_symlink())
        all[name] = "-> " + stdfs::read_symlink(entry.path()).string();
      else
        all[name] = entry.is_regular_file() ? read(entry.path()) : "a folder";
    }
    return all;
  }
  std::string refusal(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::resources);
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return "";
  }

  TemporaryFolder folder_;
};

TEST_F(RunFilesTest, AFolderIsMarkedOnceAndKnownAgain) {
  EXPECT_EQ(RunFiles::look(run()).kind, RunFiles::Place::Kind::free);
  { EXPECT_EQ(open().mark().at("stage"), "sft"); }
  EXPECT_EQ(RunFiles::look(run()).kind, RunFiles::Place::Kind::marked);
  { EXPECT_EQ(RunFiles::open(run(), {{"stage", "annotate"}}).mark().at("stage"), "sft"); }
  EXPECT_EQ(contents(), (std::map<std::string, std::string>{{"run", "a folder"}}));
}

TEST_F(RunFilesTest, AnotherFolderIsRefusedAndLeftAsItIs) {
  put(run() / "recipe.yaml", "mine");
  put(run() / ".lock", "");
  put(run() / "model/weights", "mine");
  put(run() / "sft/notes", "mine");
  const auto before = contents();
  EXPECT_THAT(refusal([&] { open(); }),
              HasSubstr("the folder is not empty and no run has made it (found .lock, model, recipe.yaml and 1 more"));
  EXPECT_EQ(contents(), before);
  EXPECT_FALSE(stdfs::exists(run() / ".steerlm-run"));
  // A folder or a file of the mark's name proves nothing.
  for (const bool is_folder : {true, false}) {
    stdfs::remove_all(run());
    put(run() / "data.jsonl", "mine");
    if (is_folder)
      put(run() / ".steerlm-run/notes", "mine");
    else
      put(run() / ".steerlm-run", "mine");
    refusal([&] { open(); });
    EXPECT_EQ(read(run() / "data.jsonl"), "mine");
  }
}

TEST_F(RunFilesTest, AFileAndALinkToNothingAreNoFolders) {
  put(run(), "mine");
  EXPECT_THAT(refusal([&] { open(); }), HasSubstr("found a file"));
  EXPECT_EQ(read(run()), "mine");
  stdfs::remove(run());
  stdfs::create_symlink("nowhere", run());
  EXPECT_THAT(refusal([&] { open(); }), HasSubstr("a link that leads to nothing"));
  EXPECT_THAT(refusal([&] { RunFiles::look(folder_.path() / std::string(300, 'x')); }), HasSubstr("too long"));
}

TEST_F(RunFilesTest, AKillBeforeTheMarkLeavesAFolderThatIsFree) {
  put(run() / ".steerlm-run/lock", "");
  { open(); }
  EXPECT_EQ(RunFiles::look(run()).kind, RunFiles::Place::Kind::marked);
}

TEST_F(RunFilesTest, ALinkToAFolderIsTheFolder) {
  stdfs::create_directory(folder_.path() / "disk");
  stdfs::create_directory_symlink("disk", run());
  { open().write("log.txt", "a"); }
  EXPECT_EQ(read(folder_.path() / "disk/log.txt"), "a");
  { open().remove_all({}); }
  EXPECT_FALSE(stdfs::exists(folder_.path() / "disk/log.txt"));
  EXPECT_TRUE(stdfs::is_symlink(run()));
}

TEST_F(RunFilesTest, OnlyWhatTheManifestListsIsRemoved) {
  {
    RunFiles files = open();
    files.write("recipe.yaml", "a");
    std::ofstream(files.grow("log.txt")) << "a line";
    files.make_folder("checkpoints");
    files.write_folder("checkpoints/step-1", false, fill);
    files.write_folder("model", true, fill);
  }
  const Path elsewhere = folder_.path() / "elsewhere";
  put(elsewhere / "config.json", "precious");
  put(run() / "notes.txt", "mine");
  put(run() / "model/mine.gguf", "mine");
  put(run() / "model/more/mine", "mine");
  put(run() / "checkpoints/step-7/tensors.safetensors", "mine");
  put(run() / "checkpoints/x.old", "mine");
  put(run() / "checkpoints/y.part", "mine");
  put(run() / ".steerlm-run/mine", "mine");
  stdfs::create_directory_symlink(elsewhere, run() / "link");
  stdfs::create_directory(run() / "model/empty");
  // A link in place of an own folder leads to files that are not ours.
  stdfs::remove_all(run() / "checkpoints/step-1");
  stdfs::create_directory_symlink(elsewhere, run() / "checkpoints/step-1");
  { open().remove_all({}); }
  EXPECT_EQ(contents(), (std::map<std::string, std::string>{
                            {"elsewhere", "a folder"},
                            {"elsewhere/config.json", "precious"},
                            {"run", "a folder"},
                            {"run/notes.txt", "mine"},
                            {"run/link", "-> " + elsewhere.string()},
                            {"run/model", "a folder"},
                            {"run/model/empty", "a folder"},
                            {"run/model/mine.gguf", "mine"},
                            {"run/model/more", "a folder"},
                            {"run/model/more/mine", "mine"},
                            {"run/checkpoints", "a folder"},
                            {"run/checkpoints/step-1", "-> " + elsewhere.string()},
                            {"run/checkpoints/step-7", "a folder"},
                            {"run/checkpoints/step-7/tensors.safetensors", "mine"},
                            {"run/checkpoints/x.old", "mine"},
                            {"run/checkpoints/y.part", "mine"},
                        }));
  EXPECT_EQ(read(run() / ".steerlm-run/mine"), "mine");
}

TEST_F(RunFilesTest, NothingIsWrittenOverAFileThatIsNotOurs) {
  RunFiles files = open();
  files.make_folder("checkpoints");
  files.write_folder("model", true, fill);
  put(run() / "metrics.jsonl", "mine");
  put(run() / "done.json", "mine");
  put(run() / "checkpoints/step-2/x", "mine");
  put(run() / "model/more/mine", "mine");
  stdfs::create_symlink("nowhere", run() / "log.txt");
  const auto before = contents();
  EXPECT_THAT(refusal([&] { files.grow("metrics.jsonl"); }), HasSubstr("metrics.jsonl: a file that this run did not"));
  EXPECT_THAT(refusal([&] { files.grow("log.txt"); }), HasSubstr("log.txt"));
  EXPECT_THAT(refusal([&] { files.write("done.json", "ours"); }), HasSubstr("done.json"));
  EXPECT_THAT(refusal([&] { files.write_folder("checkpoints/step-2", false, fill); }), HasSubstr("step-2"));
  EXPECT_THAT(refusal([&] { files.write_folder("model", true, fill); }), HasSubstr("model/more/mine"));
  EXPECT_EQ(contents(), before);
}

TEST_F(RunFilesTest, AFolderIsReplacedAsAWholeAndItsOldNamesAreForgotten) {
  RunFiles files = open();
  files.write_folder("model", true, fill);
  files.write_folder("model", true, [](const Path& part) { std::ofstream(part / "new.json") << "1"; });
  EXPECT_EQ(contents(), (std::map<std::string, std::string>{
                            {"run", "a folder"}, {"run/model", "a folder"}, {"run/model/new.json", "1"}}));
  EXPECT_TRUE(files.owns("model/new.json"));
  EXPECT_FALSE(files.owns("model/config.json"));
  EXPECT_TRUE(files.differences("").empty());
}

TEST_F(RunFilesTest, WhatIsGoneOrChangedIsFound) {
  RunFiles files = open();
  files.write_folder("model", true, fill);
  files.write("evaluation.txt", "table");
  put(folder_.path() / "out.jsonl", "lines");
  files.enter_output(folder_.path() / "out.jsonl", true);
  EXPECT_TRUE(files.differences("").empty());
  EXPECT_TRUE(files.output_differences().empty());
  put(run() / "model/config.json", "[]");  // as many bytes
  stdfs::remove(run() / "evaluation.txt");
  put(run() / "model/other", "mine");
  const auto found = files.differences("");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].path, run() / "evaluation.txt");
  EXPECT_TRUE(found[0].gone);
  EXPECT_EQ(found[1].path, run() / "model/config.json");
  EXPECT_FALSE(found[1].gone);
  put(folder_.path() / "out.jsonl", "more lines");
  EXPECT_EQ(files.output_differences().size(), 1u);
}

TEST_F(RunFilesTest, WhatWasChangedIsKeptUnderAnotherNameOnce) {
  RunFiles files = open();
  files.write_folder("model", true, fill);
  put(run() / "model/config.json", "changed");
  EXPECT_EQ(files.set_aside(run() / "model"), run() / "model.previous");
  files.write_folder("model", true, fill);
  EXPECT_EQ(read(run() / "model.previous/config.json"), "changed");
  EXPECT_EQ(read(run() / "model/config.json"), "{}");
  EXPECT_THAT(refusal([&] { files.set_aside(run() / "model"); }), HasSubstr("model.previous"));
  files.remove_all({});
  EXPECT_EQ(read(run() / "model.previous/config.json"), "changed") << "changed bytes are not ours any more";
}

TEST_F(RunFilesTest, AFolderWithChangedBytesIsNotReplaced) {
  RunFiles files = open();
  files.write_folder("model", true, fill);
  put(run() / "model/more/x.json", "mine");
  const auto before = contents();
  EXPECT_THAT(refusal([&] { files.write_folder("model", true, fill); }), HasSubstr("model/more/x.json"));
  EXPECT_EQ(contents(), before);
  // Changed while the new one is being written.
  put(run() / "model/more/x.json", "[]");
  const auto slowly = [&](const Path& part) {
    fill(part);
    put(run() / "model/config.json", "mine");
    put(run() / "model/notes", "mine");
  };
  EXPECT_THAT(refusal([&] { files.write_folder("model", true, slowly); }), HasSubstr("model/notes"));
  stdfs::remove(run() / "model/notes");
  EXPECT_THAT(refusal([&] { files.write_folder("model", true, fill); }), HasSubstr("model/config.json"));
  EXPECT_EQ(read(run() / "model/config.json"), "mine");
}

TEST_F(RunFilesTest, AnOutputThatIsTakenInBelongsToTheFolder) {
  const Path output = folder_.path() / "out.jsonl";
  put(output, "lines");
  {
    RunFiles files = open();
    files.enter_output(output, true);
    files.make_folder("outputs");
    files.take_in(output, "outputs/out.jsonl");
    EXPECT_TRUE(files.output_differences().empty());
  }
  EXPECT_EQ(read(run() / "outputs/out.jsonl"), "lines");
  EXPECT_FALSE(stdfs::exists(output));
  remove_run(run());
  EXPECT_FALSE(stdfs::exists(run()));
}

TEST_F(RunFilesTest, AnOutputBehindALinkIsItsTarget) {
  put(folder_.path() / "disk/out.jsonl", "lines");
  stdfs::create_symlink("disk/out.jsonl", folder_.path() / "out.jsonl");
  RunFiles files = open();
  files.enter_output(folder_.path() / "out.jsonl", true);
  files.enter_output("/dev/null", true);
  EXPECT_TRUE(files.output_differences().empty());
  put(folder_.path() / "disk/out.jsonl", "mine");
  EXPECT_EQ(files.output_differences().size(), 1u);
}

// Another current directory makes nothing the run's, and no file that somebody has there is taken for it.
TEST_F(RunFilesTest, OutputsAreKnownByTheirAbsolutePlaces) {
  const Path before = stdfs::current_path();
  put(folder_.path() / "out.jsonl", "lines");
  put(folder_.path() / "elsewhere/out.jsonl", "mine");
  stdfs::current_path(folder_.path());
  {
    RunFiles files = open();
    files.enter_output("out.jsonl", true);
  }
  stdfs::current_path("elsewhere");
  EXPECT_TRUE(RunFiles::read(run()).output_differences().empty());
  // As an earlier version named it.
  put(run() / ".steerlm-run/files.jsonl", R"({"output":"out.jsonl","size":5,"sha256":"00"})" + std::string("\n"));
  EXPECT_TRUE(RunFiles::read(run()).output_differences().empty());
  stdfs::current_path(before);
}

TEST_F(RunFilesTest, ACopyOwnsNoOutputAndAMovedFolderDoes) {
  put(folder_.path() / "project/out.jsonl", "lines");
  const Path root = folder_.path() / "project/run", copy = folder_.path() / "project/copy";
  { RunFiles::open(root, {}).enter_output(folder_.path() / "project/out.jsonl", true); }
  stdfs::copy(root, copy, stdfs::copy_options::recursive);
  put(folder_.path() / "project/out.jsonl", "other");
  for (const auto& [place, own] : {std::pair{root, true}, std::pair{copy, false}}) {
    const auto found = RunFiles::read(place).output_differences();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].own, own) << place;
  }
  stdfs::rename(folder_.path() / "project", folder_.path() / "moved");
  const auto found = RunFiles::read(folder_.path() / "moved/run").output_differences();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, folder_.path() / "moved/out.jsonl");
  EXPECT_TRUE(found[0].own);
}

// What is there instead is somebody's, and whoever writes the output again deals with it.
TEST_F(RunFilesTest, AnOutputInWhosePlaceALinkStandsIsGone) {
  const Path output = folder_.path() / "out.jsonl";
  put(output, "lines");
  put(folder_.path() / "other", "mine");
  RunFiles files = open();
  files.enter_output(output, true);
  for (const char* target : {"nowhere", "/dev/null", "other"}) {
    stdfs::remove(output);
    stdfs::create_symlink(target, output);
    const auto found = files.output_differences();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_TRUE(found[0].gone) << target;
    refusal([&] { files.set_aside(output); });
    EXPECT_TRUE(stdfs::is_symlink(output));
  }
}

// Between the last look and the exchange: "write" of the manifest is in between.
TEST_F(RunFilesTest, WhatIsPutIntoAFolderAtTheLastMomentIsKept) {
  for (const char* name : {"model/notes", "model/config.json"}) {
    stdfs::remove_all(run());
    RunFiles files = open();
    files.write_folder("model", true, fill);
    set_fs_fault([&](std::string_view operation, const Path& path) {
      if (operation == "write" && path.filename() == "files.jsonl" && !stdfs::exists(run() / "model/new.json"))
        put(run() / name, "mine");
      return 0;
    });
    EXPECT_THAT(refusal([&] {
                  files.write_folder("model", true, [](const Path& part) { std::ofstream(part / "new.json") << "1"; });
                }),
                HasSubstr(name));
    set_fs_fault({});
    EXPECT_EQ(read(run() / name), "mine");
    EXPECT_EQ(read(run() / "model/more/x.json"), "[]");
    EXPECT_FALSE(stdfs::exists(run() / "model/new.json"));
    EXPECT_FALSE(files.owns("model/new.json"));
    EXPECT_TRUE(files.owns("model/more/x.json"));
    put(run() / name, "{}");  // the hashes are known again
    EXPECT_TRUE(files.differences("").empty());
  }
}

TEST_F(RunFilesTest, AFailureLeavesNothingHalfWritten) {
  RunFiles files = open();
  set_fs_fault([&](std::string_view operation, const Path& path) {
    return operation == "write" && path.filename() == "weights" ? ENOSPC : 0;
  });
  refusal([&] {
    files.write_folder("model", false, [](const Path& part) {
      OutputFile(part / "first", OutputFile::Mode::create).write("much");
      OutputFile(part / "weights", OutputFile::Mode::create).write("more");
    });
  });
  set_fs_fault([&](std::string_view operation, const Path&) { return operation == "rename" ? EIO : 0; });
  refusal([&] { files.write("log.txt", "much"); });
  set_fs_fault({});
  EXPECT_TRUE(stdfs::is_empty(run() / ".steerlm-run/staging"));
}

TEST_F(RunFilesTest, AFolderThatMayNotBeWrittenIsFoundBeforeTheRemoval) {
  as_ordinary_user(folder_.path(), [&] {
    RunFiles files = open();
    files.write_folder("model", true, fill);
    files.check_removal({});
    stdfs::permissions(run() / "model", stdfs::perms::owner_read | stdfs::perms::owner_exec);
    EXPECT_THAT(refusal([&] { files.check_removal({}); }), HasSubstr("run/model: cannot remove files from the folder"));
    stdfs::permissions(run() / "model", stdfs::perms::owner_all);
  });
}

TEST_F(RunFilesTest, ARunIsRemovedWithTheRunsInItOrNotAtAll) {
  const auto make = [&] {
    RunFiles files = open();
    files.write("recipe.yaml", "a");
    files.write_folder("model", true, fill);
    files.enter_run("sample");
    RunFiles::open(run() / "sample", {}).write("ledger.jsonl", "b");
  };
  make();
  remove_run(run());
  EXPECT_FALSE(stdfs::exists(run()));
  for (const char* name : {"notes", "model/notes", "sample/notes", ".steerlm-run/notes", "sample/.steerlm-run/notes"}) {
    make();
    put(run() / name, "mine");
    const auto before = contents();
    EXPECT_THAT(refusal([&] { remove_run(run()); }), HasSubstr(name));
    EXPECT_EQ(contents(), before);
    stdfs::remove_all(run());
  }
  make();
  put(run() / "model/config.json", "changed");
  EXPECT_THAT(refusal([&] { remove_run(run()); }), HasSubstr("model/config.json"));
  stdfs::remove_all(run());
  make();
  { RunFiles::open(run() / "another", {}); }  // a run of the user's that was put there
  EXPECT_THAT(refusal([&] { remove_run(run()); }), HasSubstr("another"));
}

TEST_F(RunFilesTest, ADamagedManifestNamesNothingElsewhere) {
  put(folder_.path() / "precious", "mine");
  for (const std::string line :
       {R"({"file":"../precious"})", R"({"file":"a/../../precious"})", R"({"file":"/etc/passwd"})", R"({"file":""})",
        R"({"file":"..\u0000/precious"})", R"({"file":".steerlm-run/run.json"})", R"({"file":1})", "[]", "{}",
        R"({"other":"x"})", "no json"}) {
    stdfs::remove_all(run());
    { open(); }
    put(run() / ".steerlm-run/files.jsonl", line + "\n");
    refusal([&] { open(); });
    EXPECT_EQ(read(folder_.path() / "precious"), "mine") << line;
  }
  put(run() / ".steerlm-run/files.jsonl", "{\"file\":\"recipe.yaml\"}\n{\"file\":\"torn");
  EXPECT_TRUE(open().owns("recipe.yaml"));
  put(run() / ".steerlm-run/run.json", R"({"format":99})");
  EXPECT_THAT(refusal([&] { open(); }), HasSubstr("another version"));
}

// Reading refuses what opening would refuse, so that --dry-run does.
TEST_F(RunFilesTest, DamageToTheMarkIsFoundByReadingAsByOpening) {
  const Path mark = run() / ".steerlm-run";
  const std::vector<std::pair<std::string, std::function<void()>>> damages{
      {"its 'stage' is no text", [&] { put(mark / "run.json", R"({"format":1,"stage":7})"); }},
      {"the run directory's manifest is gone", [&] { stdfs::remove(mark / "files.jsonl"); }},
      {"the run directory's manifest is no file",
       [&] {
         stdfs::remove(mark / "files.jsonl");
         stdfs::create_directory(mark / "files.jsonl");
       }},
      {"the run directory's lock is no file",
       [&] {
         stdfs::remove(mark / "lock");
         stdfs::create_directory(mark / "lock");
       }},
      {"a file is where the run directory has a folder", [&] { put(mark / "staging", "mine"); }},
  };
  for (const auto& [message, damage] : damages) {
    stdfs::remove_all(run());
    { open().write("recipe.yaml", "a"); }
    stdfs::remove_all(mark / "staging");
    damage();
    EXPECT_THAT(refusal([&] { RunFiles::read(run()); }), HasSubstr(message));
    refusal([&] { open(); });
    EXPECT_EQ(read(run() / "recipe.yaml"), "a");
  }
}

// Every operation of a run fails once: the next one finds every own file listed, and no file that is not its own.
TEST_F(RunFilesTest, AFailureAtAnyOperationLeavesNoOwnFileUnlisted) {
  int operations = 0;
  for (int failing = 0;; ++failing) {
    stdfs::remove_all(run());
    { open(); }
    int count = 0;
    bool failed = false;
    set_fs_fault([&](std::string_view, const Path&) {
      failed = failed || count == failing;
      return count++ == failing ? ENOSPC : 0;
    });
    bool thrown = false;
    try {
      RunFiles files = open();
      files.write("recipe.yaml", "a");
      files.write("recipe.yaml", "b");
      files.make_folder("checkpoints");
      for (int i = 0; i < 2; ++i) files.write_folder("checkpoints/step-1", false, fill);
      files.remove("checkpoints/step-1");
      files.write_folder("model", true, fill);
    } catch (const Error& error) {
      thrown = true;
      EXPECT_EQ(error.code(), ExitCode::resources);
    }
    set_fs_fault({});
    EXPECT_EQ(thrown, failed);
    for (const RunFiles::Difference& other : open().differences(""))
      EXPECT_TRUE(other.gone) << other.path << " is taken for changed by somebody else, operation " << failing;
    put(run() / "mine", "mine");
    { open().remove_all({}); }
    EXPECT_EQ(contents(), (std::map<std::string, std::string>{{"run", "a folder"}, {"run/mine", "mine"}}));
    if (!failed) break;
    ++operations;
  }
  EXPECT_GT(operations, 20);
}

}  // namespace
}  // namespace steerlm
