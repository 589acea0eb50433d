// Which files a ledger makes a run's own: contracts.md section 8, nothing is removed that is not ours.
#include <optional>

#include "data/block_files.h"
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

// As one does when a disk is full. What lies beside the new place of the run is somebody else's.
TEST_F(BlockOwnerTest, ARunThatWasMovedAndLinkedToFromItsOldPlaceGoesOn) {
  const Path root = folder_.path() / "run", moved = folder_.path() / "disk" / "run";
  for (const Path& output : {root / "o.jsonl", folder_.path() / "o.jsonl"}) {
    const auto begin = [&](const BlockOutputOptions& options = {}) {
      return BlockOutput(output, root / "ledger.jsonl", Json{{"name", "run"}}, options);
    };
    RunFiles::open(root, {});
    begin().append(3, lines(0), "", Json::object());
    make_directory(moved.parent_path());
    std::filesystem::rename(root, moved);
    std::filesystem::create_directory_symlink(moved, root);
    const Path other = moved.parent_path() / "o.jsonl.part";
    std::ofstream(other) << "precious\n";
    EXPECT_EQ(begin().completed_blocks(), 1) << output;
    for (const bool fresh : {false, true}) {
      BlockOutput out = begin({.fresh = fresh});
      out.append(3, lines(1), "", Json::object());
    }
    EXPECT_EQ(read_all(output.string() + ".part"), lines(1));
    begin().finish();
    EXPECT_TRUE(begin().finished());
    EXPECT_EQ(BlockOutput::own_files(root / "ledger.jsonl").size(), 1u);
    EXPECT_EQ(read_all(other), "precious\n");
    for (const Path& each : {root, moved.parent_path(), output}) std::filesystem::remove_all(each);
  }
}

// The step of a pipeline that was copied to another disk, with a link in its place.
TEST_F(BlockOwnerTest, AStepThatIsLinkedToOwnsWhatLiesInItsOwnFolder) {
  const Path pipeline = folder_.path() / "pipeline", step = pipeline / "step", disk = folder_.path() / "disk";
  for (const char* file : {"step/o.jsonl", "beside.jsonl"}) {
    const auto begin = [&] { return BlockOutput(pipeline / file, step / "ledger.jsonl", Json{{"name", "run"}}, {}); };
    for (const Path& root : {pipeline, step}) RunFiles::open(root, {});
    begin().append(3, lines(0), "bad one\n", Json::object());
    // As the folder of a file system of its own would be, it is another one and not the one that was moved.
    std::filesystem::copy(step, disk, std::filesystem::copy_options::recursive);
    std::filesystem::rename(step, folder_.path() / "original");
    std::filesystem::create_directory_symlink(disk, step);
    const bool inside = file == std::string("step/o.jsonl");
    EXPECT_EQ(BlockOutput::own_files(step / "ledger.jsonl").size(), inside ? 2u : 0u) << file;
    if (inside) {
      EXPECT_EQ(begin().completed_blocks(), 1);
    } else {
      EXPECT_NE(message_of(ExitCode::resources, [&] { begin(); }), "") << "a copy owns nothing beside it";
    }
    EXPECT_EQ(BlockOutput::own_files(folder_.path() / "original" / "ledger.jsonl").size(), inside ? 2u : 0u);
    for (const Path& each : {pipeline, disk, folder_.path() / "original"}) std::filesystem::remove_all(each);
  }
}

// Moved to another disk, say: what lies in the run directories around the ledger has come along, and the original keeps
// its own.
TEST_F(BlockOwnerTest, ACopiedRunDirectoryOwnsWhatLiesInIt) {
  const Path original = folder_.path() / "pipeline", copy = folder_.path() / "copy";
  const auto begin = [](const Path& root, const char* file) {
    return BlockOutput(root / file, root / "step" / "ledger.jsonl", Json{{"name", "run"}}, {});
  };
  for (const char* file : {"step/o.jsonl", "beside.jsonl"}) {
    for (const Path& root : {original, original / "step"}) RunFiles::open(root, {});
    begin(original, file).append(3, lines(0), "bad one\n", Json::object());
    std::filesystem::copy(original, copy, std::filesystem::copy_options::recursive);
    EXPECT_EQ(BlockOutput::other_place((copy / file).string(), copy / "step" / "ledger.jsonl"), std::nullopt);
    EXPECT_EQ(begin(copy, file).completed_blocks(), 1) << file;
    {
      BlockOutput out = begin(copy, file);
      out.append(3, lines(1), "", Json::object());
      out.finish();
    }
    EXPECT_EQ(read_all(copy / file), lines(0) + lines(1));
    EXPECT_TRUE(begin(copy, file).finished());
    EXPECT_EQ(begin(original, file).completed_blocks(), 1) << file;
    for (const Path& root : {original, copy}) std::filesystem::remove_all(root);
  }
}

// `../o.jsonl` is the same file for both.
TEST_F(BlockOwnerTest, ACopiedStepBesideTheOriginalOwnsNothingOfIt) {
  const Path root = folder_.path() / "pipeline", output = root / "o.jsonl";
  for (const Path& run : {root, root / "one"}) RunFiles::open(run, {});
  BlockOutput(output, root / "one" / "ledger.jsonl", Json{{"name", "run"}}, {}).append(3, lines(0), "", Json::object());
  std::filesystem::copy(root / "one", root / "two", std::filesystem::copy_options::recursive);
  EXPECT_EQ(BlockOutput::own_files(root / "one" / "ledger.jsonl").size(), 2u);
  EXPECT_TRUE(BlockOutput::own_files(root / "two" / "ledger.jsonl").empty());
}

// Of an identity, those that begin with a run directory around the ledger's.
TEST_F(BlockOwnerTest, PathsInTheRunDirectoriesAroundMoveWithThem) {
  const Path first = folder_.path() / "first", second = folder_.path() / "the second";
  const auto identity = [](const Path& root, const std::string& input, const std::string& bytes) {
    const std::string path = (root / "one" / input).string();
    const bool quoted = path.find(' ') != std::string::npos;
    return Json{{"inputs", {{{"path", path}, {"sha256", bytes}}}},
                {"recipe", "input:\n  - path: " + (quoted ? '"' + path + '"' : path) + "\nseed: 1\n"}};
  };
  const auto begin = [](const Path& root, const Json& known) {
    return BlockOutput(root / "two" / "o.jsonl", root / "two" / "ledger.jsonl", known, {});
  };
  for (const Path& root : {first, first / "two"}) RunFiles::open(root, {});
  begin(first, identity(first, "in.jsonl", "a")).append(3, lines(0), "", Json::object());
  const std::string bytes = read_all(first / "two" / "ledger.jsonl");
  std::filesystem::rename(first, second);
  EXPECT_EQ(begin(second, identity(second, "in.jsonl", "a")).completed_blocks(), 1);
  for (const Json& other : {identity(second, "other.jsonl", "a"), identity(second, "in.jsonl", "b"),
                            identity(folder_.path() / "elsewhere", "in.jsonl", "a")}) {
    EXPECT_THAT(message_of(ExitCode::recipe, [&] { begin(second, other); }),
                HasSubstr("another run has begun this output"));
  }
  std::filesystem::rename(second, first);
  // A ledger of an earlier version of the program has the whole paths: it goes on where it lies as it lay.
  std::string before = bytes;
  for (size_t at = 0; (at = before.find("@/../", at)) != std::string::npos;)
    before.replace(at, 5, first.string() + "/");
  ASSERT_NE(before, bytes);
  std::ofstream(first / "two" / "ledger.jsonl") << before;
  EXPECT_EQ(begin(first, identity(first, "in.jsonl", "a")).completed_blocks(), 1);
  std::filesystem::rename(first, second);
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { begin(second, identity(second, "in.jsonl", "a")); }),
              HasSubstr("another run has begun this output"));
}

TEST_F(BlockOwnerTest, RunDirectoriesAreCountedFromTheInnermostOut) {
  const Path seeds = folder_.path() / "seeds", step = seeds / "seed-1" / "step";
  for (const Path& root : {seeds, seeds / "seed-1", step}) RunFiles::open(root, {});
  EXPECT_EQ(runs_around(step), 2);
  EXPECT_EQ(runs_around(step / ""), 2);
  EXPECT_EQ(runs_around(seeds), 0);
  EXPECT_EQ(without_place(Json("see " + (seeds / "a").string()), step), Json("see @/../../a"));
  EXPECT_EQ(without_place(Json("my" + (seeds / "a").string()), step), Json("my" + (seeds / "a").string()));
  EXPECT_EQ(without_place(Json((seeds / "a").string()), seeds), Json((seeds / "a").string())) << "nothing is around";
}

// The run directory of one seed, say, that is taken out of that of all seeds.
TEST_F(BlockOwnerTest, PathsAreTheSameAtEveryDepth) {
  const Path seeds = folder_.path() / "seeds", alone = folder_.path() / "alone";
  for (const Path& root : {seeds, seeds / "seed-1", seeds / "seed-1" / "two"}) RunFiles::open(root, {});
  const auto identity = [](const std::string& root) {
    return Json{{"recipe", "input: " + root + "/one/one.model\noutput: " + root + "/two/o.jsonl\nseed: 1\n"}};
  };
  const auto begin = [&](const Path& root) {
    return BlockOutput(root / "two" / "o.jsonl", root / "two" / "ledger.jsonl", identity(root.string()), {});
  };
  begin(seeds / "seed-1").append(3, lines(0), "", Json::object());
  const Json known{{"recipe", "input: @/../one/one.model\noutput: @/o.jsonl\nseed: 1\n"}};
  EXPECT_EQ(without_place(identity((seeds / "seed-1").string()), seeds / "seed-1" / "two"), known);
  const Path before = std::filesystem::current_path();
  std::filesystem::current_path(seeds);
  EXPECT_EQ(without_place(identity("seed-1"), "seed-1/two"), known) << "from within";
  EXPECT_EQ(begin("seed-1").completed_blocks(), 1);
  std::filesystem::current_path(before);
  std::filesystem::rename(seeds / "seed-1", alone);
  EXPECT_EQ(begin(alone).completed_blocks(), 1);
}

TEST_F(BlockOwnerTest, PathsThatNeedQuotesAreTheSame) {
  const Path odd = folder_.path() / R"(my "runs" \ 1)", plain = folder_.path() / "plain";
  for (const Path& root : {odd, odd / "two", plain, plain / "two"}) RunFiles::open(root, {});
  const std::string parent = folder_.path().string();
  const Json quoted("input: \"" + parent + R"(/my \"runs\" \\ 1/one/a\"b.jsonl"
system: "in )" + plain.string() +
                    "/one\"\n");
  EXPECT_EQ(without_place(quoted, odd / "two"),
            Json("input: @/../one/a\"b.jsonl\nsystem: \"in " + plain.string() + "/one\"\n"));
  EXPECT_EQ(without_place(Json("input: \"" + plain.string() + R"(/one/a\"b.jsonl"
system: "in )" + plain.string() +
                               "/one\"\n"),
                          plain / "two"),
            Json("input: @/../one/a\"b.jsonl\nsystem: \"in " + plain.string() + "/one\"\n"))
      << "a text is no path";
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

TEST_F(BlockOwnerTest, AnInputIsNotWhatDescribesAShard) {
  make_directory(output().parent_path());
  const Path input = output().string() + ".shard.json";
  std::ofstream(input) << "precious\n";
  BlockOutputOptions options{.overwrite = true, .inputs = {input.string()}, .is_shard = true};
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { BlockOutput::check(output(), ledger(), options); }),
              HasSubstr(input.string() + ": the output is an input"));
  options.is_shard = false;  // nothing is written there
  BlockOutput::check(output(), ledger(), options);
}

// The first line of a ledger is written whole, so that no kill leaves one without.
TEST_F(BlockOwnerTest, AFileAtTheLedgersPlaceThatIsNoLedgerStays) {
  start(1);
  const std::string head = read_all(ledger()).substr(0, read_all(ledger()).find('\n'));
  for (const std::string& bytes : {std::string("precious\n"), std::string(), std::string("{}\n"), head}) {
    std::filesystem::remove_all(output().parent_path());
    std::ofstream(ledger()) << bytes;
    for (const bool fresh : {false, true}) {
      EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3, fresh, true); }),
                  HasSubstr(ledger().string() + ": a file that this run did not write is in the way"));
    }
    EXPECT_EQ(read_all(ledger()), bytes);
    EXPECT_FALSE(std::filesystem::exists(output()));
  }
  // Also one that appears while the first block is made.
  std::filesystem::remove(ledger());
  BlockOutput out = open();
  std::ofstream(ledger()) << "precious\n";
  EXPECT_NE(message_of(ExitCode::resources, [&] { out.append(3, lines(0), "", Json::object()); }), "");
  EXPECT_EQ(read_all(ledger()), "precious\n");
}

// "reading" of an identity: what another version has begun, and how that reads records, is not gone on with.
TEST_F(BlockOwnerTest, BlocksOfTwoReadingsAreNotMixed) {
  const Json before{{"name", "run"}}, now{{"name", "run"}, {"reading", 5}};
  const auto begin = [&](const Json& identity, const BlockOutputOptions& options = {}) {
    return BlockOutput(output(), ledger(), identity, options);
  };
  begin(before).append(3, lines(0), "", Json::object());
  for (const Json& other : {now, Json{{"name", "run"}, {"reading", 6}}}) {
    EXPECT_THAT(message_of(ExitCode::recipe, [&] { begin(other); }),
                HasSubstr("this output was begun by another version of the program, which reads records in another way "
                          "(found reading 0, expected reading " +
                          dump_json(other.at("reading")) + "); start over with --fresh"));
  }
  EXPECT_THAT(message_of(ExitCode::recipe,
                         [&] {
                           begin(Json{{"name", "another"}});
                         }),
              HasSubstr("another run has begun this output"));
  {
    BlockOutput fresh = begin(now, {.fresh = true});
    fresh.append(3, lines(1), "", Json::object());
    EXPECT_EQ(read_all(part()), lines(1));
  }
  EXPECT_EQ(begin(now).completed_blocks(), 1);
  begin(now).finish();
  // A finished output stays as it is; of a shard it would be described as one that this version has made.
  const Json later{{"name", "run"}, {"reading", 6}};
  EXPECT_TRUE(begin(later).finished());
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { begin(later, {.is_shard = true}); }), HasSubstr("reading 5"));
  // One that is gone is made again.
  std::filesystem::remove(output());
  {
    BlockOutput again = begin(later);
    EXPECT_EQ(again.completed_blocks(), 0);
    again.append(3, lines(2), "", Json::object());
  }
  EXPECT_EQ(begin(later).completed_blocks(), 1);
}

TEST_F(BlockOwnerTest, WhatAnotherVersionLeftBeforeItsFirstBlockIsBegunAnew) {
  start(1);
  std::string bytes = read_all(ledger());
  std::ofstream(ledger()) << bytes.substr(0, bytes.find("{\"block\""));
  const Json now{{"name", "run"}, {"reading", 5}};
  BlockOutput(output(), ledger(), now, {}).append(3, lines(1), "", Json::object());
  EXPECT_EQ(read_all(part()), lines(1));
  EXPECT_EQ(BlockOutput(output(), ledger(), now, {}).completed_blocks(), 1);
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
