// Which files a ledger makes a run's own: contracts.md section 8, nothing is removed that is not ours.
#include <optional>

#include "data/block_job_runs.h"
#include "steerlm/core/run_files.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using namespace steerlm::testing;

class BlockOwnerTest : public BlockJobTest {};

// A part file in which no block was completed is known by being the file that was begun.
TEST_F(BlockOwnerTest, APartWithoutAWholeBlockIsOwnIfItIsTheFileThatWasBegun) {
  start(1);
  const std::string bytes = read_all(ledger());
  std::ofstream(ledger()) << bytes.substr(0, bytes.find("{\"block\""));
  const Path kept = folder_.path() / "kept";  // whose number no other file gets
  std::filesystem::rename(part(), kept);
  std::ofstream(part()) << "precious\n";
  for (const bool fresh : {false, true}) {
    EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3, fresh); }), HasSubstr("another run writes it"));
    EXPECT_EQ(read_all(part()), "precious\n");
  }
  std::filesystem::remove(part());
  std::ofstream(part()).flush();  // an empty one is nobody's loss
  EXPECT_EQ(open().completed_blocks(), 0);
  std::filesystem::rename(kept, part());
  run(3);
  expect_whole(3);
}

// In a run directory, where the next run tidies it up after a kill, and no other file is taken for the run's.
TEST_F(BlockOwnerTest, TheLedgersTemporaryIsInTheFolderOfTheMark) {
  RunFiles::open(folder_.path(), {}).grow("ledger.jsonl");
  std::vector<Path> folders;
  set_fs_fault([&](std::string_view operation, const Path& path) {
    if (operation == "open" && path.filename().string().starts_with("ledger.jsonl."))
      folders.push_back(path.parent_path());
    return 0;
  });
  run(3);
  expect_whole(3);
  EXPECT_EQ(folders, std::vector<Path>(2, folder_.path() / run_mark_folder));  // when it begins, and when it ends
}

// Blocks whose counts were edited are made again.
TEST_F(BlockOwnerTest, ABlockWithoutItsCountsIsNotWhole) {
  const BlockOutputOptions options{.counts = {"number"}};
  for (const std::string counts : {"{}", "5", "null", R"({"number":"x"})", R"({"number":-1})", R"({"number":1e300})"}) {
    for (const bool finished : {false, true}) {
      std::filesystem::remove_all(folder_.path() / "out");
      std::filesystem::remove(ledger());
      if (finished)
        run(3);
      else
        start(3);
      std::string bytes = read_all(ledger());
      const std::string good = R"({"number":1})";
      bytes.replace(bytes.find(good), good.size(), counts);
      std::ofstream(ledger()) << bytes;
      BlockOutput out(output(), ledger(), Json{{"name", "run"}}, options);
      EXPECT_FALSE(out.finished());
      EXPECT_EQ(out.completed_blocks(), finished ? 0 : 1) << counts;
      for (std::int64_t b = out.completed_blocks(); b < 3; ++b)
        out.append(3, lines(b), bad_lines(b), Json{{"number", b}});
      out.finish();
      expect_whole(3);
    }
  }
}

// A copy of a run directory, with its ledger, has written nothing of what the original wrote.
TEST_F(BlockOwnerTest, ACopiedLedgerOwnsNothing) {
  const auto copy_ledger = [&] {
    std::filesystem::create_directory(folder_.path() / "copy");
    std::filesystem::copy_file(ledger(), folder_.path() / "copy" / "ledger.jsonl",
                               std::filesystem::copy_options::overwrite_existing);
    return folder_.path() / "copy" / "ledger.jsonl";
  };
  start(2);
  const Json identity{{"name", "run"}};
  EXPECT_THAT(message_of(ExitCode::resources, [&] { BlockOutput(output(), copy_ledger(), identity, {}); }),
              HasSubstr("another run writes it, or has left it behind"));
  run(3);
  const Path copy = copy_ledger();
  EXPECT_TRUE(BlockOutput(output(), copy, identity, {}).finished()) << "what is done is done";
  EXPECT_TRUE(BlockOutput::own_files(copy).empty());
  {
    BlockOutput other(folder_.path() / "other.jsonl", copy, identity, {.fresh = true});
    other.append(3, lines(0), "", Json::object());
    other.finish();
  }
  expect_whole(3);
  EXPECT_EQ(BlockOutput::own_files(copy), (std::vector<Path>{folder_.path() / "other.jsonl"}));
}

// Relative paths are of a current directory, and lead elsewhere in another one.
TEST_F(BlockOwnerTest, FilesAreKnownByTheirAbsolutePlaces) {
  const Path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  const auto begin = [&](const BlockOutputOptions& options) {
    return BlockOutput("o.jsonl", ledger(), Json{{"name", "run"}}, options);
  };
  begin({}).append(3, lines(0), "", Json::object());
  EXPECT_EQ(begin({}).completed_blocks(), 1);
  make_directory("elsewhere");
  std::filesystem::current_path("elsewhere");
  std::ofstream("o.jsonl.part") << lines(0);
  EXPECT_EQ(BlockOutput::other_place("o.jsonl", ledger()), folder_.path() / "o.jsonl");
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { begin({}); }), HasSubstr("another run has begun this output"));
  EXPECT_THAT(message_of(ExitCode::resources, [&] { begin({.fresh = true}); }), HasSubstr("another run writes it"));
  EXPECT_EQ(read_all("o.jsonl.part"), lines(0));
  std::filesystem::current_path(before);
  // A ledger that names no absolute places names nothing.
  std::string bytes = read_all(ledger());
  for (const std::string folder = folder_.path().string() + "/"; bytes.find(folder + "o.jsonl") != std::string::npos;)
    bytes.erase(bytes.find(folder + "o.jsonl"), folder.size());
  std::ofstream(ledger()) << bytes;
  EXPECT_TRUE(BlockOutput::own_files(ledger()).empty());
}

TEST_F(BlockOwnerTest, ARunThatWasMovedWithItsOutputGoesOn) {
  const Path project = folder_.path() / "project", moved = folder_.path() / "moved";
  const auto begin = [](const Path& root) {
    return BlockOutput(root / "o.jsonl", root / "run" / "ledger.jsonl", Json::object(), {});
  };
  make_directory(project / "run");
  begin(project).append(3, lines(0), "", Json::object());
  std::filesystem::rename(project, moved);
  EXPECT_EQ(begin(moved).completed_blocks(), 1);
  BlockOutput out = begin(moved);
  out.append(3, lines(1), "", Json::object());
  out.finish();
  EXPECT_EQ(read_all(moved / "o.jsonl"), lines(0) + lines(1));
}

// Of two writers that know the same part file the second finds it finished and moved to its final name.
TEST_F(BlockOwnerTest, AWriterNeverOpensWhatAnotherHasFinishedMeanwhile) {
  start(1);
  std::optional<BlockOutput> first = open();
  std::filesystem::copy_file(ledger(), folder_.path() / "second.jsonl");
  BlockOutput second(output(), folder_.path() / "second.jsonl", Json{{"name", "run"}}, {});
  first->finish();
  first.reset();
  EXPECT_THAT(message_of(ExitCode::resources, [&] { second.append(3, lines(1), "", Json::object()); }),
              HasSubstr("meanwhile"));
  EXPECT_EQ(read_all(output()), lines(0));
  EXPECT_FALSE(std::filesystem::exists(part())) << "nothing is left that would be in somebody's way";
}

// The same between its opening and its locking.
TEST_F(BlockOwnerTest, AWriterNeverCutsWhatWasMovedAway) {
  start(1);
  BlockOutput out = open();
  const Path published = folder_.path() / "published";
  set_fs_fault([&](std::string_view operation, const Path& path) {
    // The ledger is opened first: the part file is another's from here on.
    if (operation == "open" && path == ledger()) {
      std::filesystem::rename(part(), published);
      std::filesystem::create_symlink(published, part());
    }
    return 0;
  });
  std::ofstream(part(), std::ios::app) << "a line that is not in the ledger\n";
  const std::string bytes = read_all(part());
  EXPECT_THAT(message_of(ExitCode::resources, [&] { out.append(3, lines(1), "", Json::object()); }),
              HasSubstr("another process has moved this file away"));
  EXPECT_EQ(read_all(published), bytes);
}

// Those that are made beside the output are not either, and that is said before anything of what exists.
TEST_F(BlockOwnerTest, InputsAreNoFilesBesideTheOutput) {
  make_directory(output().parent_path());
  for (const Path& input : {quarantine(), part(), Path(quarantine().string() + ".part")}) {
    std::ofstream(input) << "precious\n";
    for (const bool overwrite : {false, true}) {
      const BlockOutputOptions options{.fresh = overwrite, .overwrite = overwrite, .inputs = {input.string()}};
      EXPECT_THAT(message_of(ExitCode::recipe, [&] { BlockOutput::check(output(), ledger(), options); }),
                  HasSubstr(input.string() + ": the output is an input"));
      EXPECT_THAT(message_of(ExitCode::recipe, [&] { BlockOutput(output(), ledger(), Json::object(), options); }),
                  HasSubstr("the output is an input"));
    }
    EXPECT_EQ(read_all(input), "precious\n");
    std::filesystem::remove(input);
  }
}

TEST_F(BlockOwnerTest, TwoRunsNeverMixInOnePartFile) {
  start(0);
  BlockOutput first = open();
  first.append(3, lines(0), "", Json::object());
  const Path second_ledger = folder_.path() / "second.jsonl";
  EXPECT_THAT(message_of(ExitCode::resources, [&] { BlockOutput(output(), second_ledger, Json::object(), {}); }),
              HasSubstr("another run writes it, or has left it behind"));
  std::filesystem::copy(ledger(), second_ledger);
  BlockOutput second(output(), second_ledger, Json{{"name", "run"}}, {});
  EXPECT_THAT(message_of(ExitCode::resources, [&] { second.append(3, lines(1), "", Json::object()); }),
              HasSubstr("another process is writing this file"));
  first.finish();
  EXPECT_EQ(read_all(output()), lines(0));
}

}  // namespace
}  // namespace steerlm
