#include "steerlm/store/snapshot.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SnapshotTest : public ::testing::Test {
 protected:
  ~SnapshotTest() override { set_fs_fault({}); }

  void save(std::int64_t step, double value) {
    publish_snapshot(*files_, step, {{"weight", at::full({3}, value)}, {"moment", at::full({2, 2}, -value)}},
                     {{"value", value}});
  }
  std::optional<Snapshot> find() {
    warnings_.clear();
    return find_snapshot(*files_, [this](const std::string& text) { warnings_.push_back(text); });
  }
  std::string latest() { return read_file(checkpoints_ / "LATEST", ExitCode::model, "pointer"); }
  std::set<std::string> entries() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(checkpoints_))
      names.insert(entry.path().filename().string());
    return names;
  }
  // The state, held against the tensors: both are of one save.
  double value_of(const Snapshot& snapshot) {
    const double value = snapshot.state["value"].get<double>();
    const NamedTensors tensors = read_snapshot_tensors(snapshot);
    EXPECT_EQ(tensors.size(), 2u);
    EXPECT_TRUE(at::equal(tensors.at(0).second, at::full({3}, value)));
    EXPECT_TRUE(at::equal(tensors.at(1).second, at::full({2, 2}, -value)));
    return value;
  }
  void flip_a_byte(const Path& path) {
    std::string bytes = read_file(path, ExitCode::model, "file");
    bytes.back() ^= 1;
    write_file_atomic(path, bytes);
  }

  void prune(std::int64_t keep, std::optional<std::int64_t> also_keep) { prune_snapshots(*files_, keep, also_keep); }
  // What a process finds that begins now.
  void reopen() {
    files_.reset();
    files_.emplace(RunFiles::open(folder_.path(), {}));
  }
  void clear() {
    files_.reset();
    std::filesystem::remove_all(folder_.path());
    reopen();
  }

  TemporaryFolder folder_;
  std::optional<RunFiles> files_ = RunFiles::open(folder_.path(), {});
  Path checkpoints_ = folder_.path() / "checkpoints";
  std::vector<std::string> warnings_;
};

TEST_F(SnapshotTest, ThereIsNoneBeforeTheFirst) {
  EXPECT_FALSE(find());
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(SnapshotTest, TheLatestIsFoundWithItsStateAndTensors) {
  save(1, 0.5);
  save(20, 1.5);
  const auto found = find();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 20);
  EXPECT_EQ(found->folder, checkpoints_ / "step-20");
  EXPECT_EQ(value_of(*found), 1.5);
  EXPECT_THAT(warnings_, IsEmpty());
  EXPECT_EQ(latest(), "step-20");
  EXPECT_EQ(entries(), (std::set<std::string>{"LATEST", "step-1", "step-20"}));
}

TEST_F(SnapshotTest, TheManifestListsSizeAndHash) {
  save(3, 1);
  const Path folder = checkpoints_ / "step-3";
  const Json manifest =
      parse_json(read_file(folder / "manifest.json", ExitCode::model, "manifest"), "m", ExitCode::model);
  ASSERT_EQ(manifest["files"].size(), 2u);
  for (const auto& [name, entry] : manifest["files"].items()) {
    EXPECT_EQ(entry["size"].get<std::uintmax_t>(), std::filesystem::file_size(folder / name));
    EXPECT_EQ(entry["sha256"].get<std::string>().size(), 64u);
  }
}

TEST_F(SnapshotTest, ADamagedOneIsPassedOverAndSaid) {
  save(1, 0.5);
  save(2, 1.5);
  flip_a_byte(checkpoints_ / "step-2" / "tensors.safetensors");
  const auto found = find();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 1);
  EXPECT_EQ(value_of(*found), 0.5);
  ASSERT_EQ(warnings_.size(), 2u);
  EXPECT_THAT(warnings_[0], HasSubstr("checkpoint step-2 is not whole"));
  EXPECT_THAT(warnings_[0], HasSubstr("does not match the manifest's sha256"));
  EXPECT_THAT(warnings_[1], HasSubstr("going on from checkpoint step-1"));
}

TEST_F(SnapshotTest, EveryKindOfDamageIsNoticed) {
  const auto damage = [&](auto&& harm) {
    clear();
    save(1, 0.5);
    harm(checkpoints_ / "step-1");
    EXPECT_FALSE(find());
    EXPECT_EQ(warnings_.size(), 2u);
    return warnings_.front();
  };
  EXPECT_THAT(damage([](const Path& p) { std::filesystem::remove(p / "state.json"); }),
              HasSubstr("state.json: the file is missing"));
  EXPECT_THAT(damage([](const Path& p) { std::filesystem::resize_file(p / "tensors.safetensors", 9); }),
              HasSubstr("wrong size (found 9 bytes"));
  EXPECT_THAT(damage([](const Path& p) { std::filesystem::remove(p / "manifest.json"); }),
              HasSubstr("cannot read checkpoint manifest"));
  EXPECT_THAT(damage([](const Path& p) { std::filesystem::resize_file(p / "manifest.json", 20); }),
              HasSubstr("not valid JSON"));
  EXPECT_THAT(damage([](const Path& p) { write_file_atomic(p / "manifest.json", "{}"); }),
              HasSubstr("no object 'files'"));
  EXPECT_THAT(damage([](const Path& p) { write_file_atomic(p / "manifest.json", R"({"files":{}})"); }),
              HasSubstr("does not list 'tensors.safetensors'"));
  EXPECT_THAT(damage([](const Path& p) {
                write_file_atomic(p / "manifest.json",
                                  R"({"files":{"tensors.safetensors":{"size":1},"state.json":{}}})");
              }),
              HasSubstr("no size and sha256"));
  EXPECT_THAT(damage([](const Path& p) {
                write_file_atomic(
                    p / "manifest.json",
                    R"({"files":{"../x":{"size":1,"sha256":""},"tensors.safetensors":{},"state.json":{}}})");
              }),
              HasSubstr("outside of the checkpoint"));
}

TEST_F(SnapshotTest, ADamagedPointerFallsBackToTheNewest) {
  save(1, 0.5);
  save(2, 1.5);
  for (const char* content : {"", "step-", "step-02", "step-9", "../step-1", "step-1x"}) {
    write_file_atomic(checkpoints_ / "LATEST", content);
    const auto found = find();
    ASSERT_TRUE(found) << content;
    EXPECT_EQ(found->step, 2) << content;
    EXPECT_FALSE(warnings_.empty()) << content;
  }
  write_file_atomic(checkpoints_ / "LATEST", "step-1\n");
  EXPECT_EQ(find()->step, 1);
}

TEST_F(SnapshotTest, FoldersThatTheRunDidNotMakeAreNeitherReadNorPruned) {
  for (const char* name : {"step-7", "step-1.part", "x.old"}) {
    save(1, 0.5);
    std::filesystem::copy(checkpoints_ / "step-1", checkpoints_ / name);
  }
  save(2, 1.5);
  write_file_atomic(checkpoints_ / "LATEST", "step-7");
  EXPECT_EQ(find()->step, 2);
  EXPECT_EQ(warnings_.size(), 2u);
  prune(1, std::nullopt);
  EXPECT_EQ(entries(), (std::set<std::string>{"LATEST", "step-2", "step-7", "step-1.part", "x.old"}));
  EXPECT_THROW(save(7, 1), Error);
  write_file_atomic(checkpoints_ / "step-2" / "notes", "mine");
  save(3, 2.5);
  prune(1, std::nullopt);
  EXPECT_EQ(read_file(checkpoints_ / "step-2" / "notes", ExitCode::model, "notes"), "mine");
  EXPECT_FALSE(std::filesystem::exists(checkpoints_ / "step-2" / "state.json"));
}

TEST_F(SnapshotTest, TheSameStepIsReplaced) {
  save(1, 0.5);
  save(1, 2.5);
  EXPECT_EQ(value_of(*find()), 2.5);
  EXPECT_EQ(entries(), (std::set<std::string>{"LATEST", "step-1"}));
}

TEST_F(SnapshotTest, PruningKeepsTheNewestAndTheBest) {
  for (int step : {1, 2, 3, 9, 10}) save(step, step);
  prune(2, 1);
  EXPECT_EQ(entries(), (std::set<std::string>{"LATEST", "step-1", "step-9", "step-10"}));
  prune(1, std::nullopt);
  EXPECT_EQ(entries(), (std::set<std::string>{"LATEST", "step-10"}));
}

TEST_F(SnapshotTest, PruningNeverTakesWhatLatestNames) {
  for (int step : {10, 20, 30}) save(step, step);
  save(15, 15);  // went on from step 10, since 20 and 30 were damaged
  prune(1, std::nullopt);
  EXPECT_EQ(entries(), (std::set<std::string>{"LATEST", "step-15"}));
}

// Every open, write, fsync and rename of a save fails once: what was there before, or the new one,
// is found, and nothing is lost.
TEST_F(SnapshotTest, AFailureAtAnyOperationLeavesAWholeCheckpoint) {
  for (const std::int64_t step : {2, 1}) {  // a new step, and the same step again
    int operations = 0;
    for (int failing = 0;; ++failing) {
      clear();
      save(1, 0.5);
      int count = 0;
      std::string failed;
      set_fs_fault([&](std::string_view operation, const Path& path) {
        if (count++ != failing) return 0;
        failed = std::string(operation) + " " + path.string();
        return ENOSPC;
      });
      bool thrown = false;
      try {
        save(step, 1.5);
      } catch (const Error& error) {
        thrown = true;
        EXPECT_EQ(error.code(), ExitCode::resources);
        EXPECT_THAT(error.what(), HasSubstr("No space left"));
      }
      set_fs_fault({});
      EXPECT_EQ(thrown, !failed.empty());
      reopen();
      const auto found = find();
      ASSERT_TRUE(found) << failed;
      EXPECT_THAT(warnings_, IsEmpty()) << failed;
      EXPECT_EQ(latest(), "step-" + std::to_string(found->step));
      const double value = value_of(*found);
      EXPECT_TRUE(value == 0.5 || value == 1.5) << failed;
      save(2, 2.5);  // and the next save goes through
      EXPECT_EQ(value_of(*find()), 2.5);
      prune(2, std::nullopt);
      EXPECT_EQ(entries(), (std::set<std::string>{"LATEST", "step-1", "step-2"})) << failed;
      if (!thrown) break;
      ++operations;
    }
    EXPECT_GT(operations, 15);
  }
}

}  // namespace
}  // namespace steerlm
