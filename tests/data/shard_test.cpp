// Shards that are put together give the bytes of the whole, and nothing else passes for them.
#include "steerlm/data/shard.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "data/decoder.h"
#include "data/helpers.h"
#include "steerlm/core/stop.h"
#include "support/killed_process.h"

namespace steerlm::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t block_records = 4;

class ShardTest : public ::testing::Test {
 protected:
  // A line of one record; every fifth is a bad one.
  static std::string line(std::int64_t record) { return "record " + std::to_string(record) + "\n"; }

  std::string output(std::int64_t index, const std::string& ending = "") const {
    return (folder_.path() / ("part-" + std::to_string(index) + ".jsonl" + ending)).string();
  }

  // What a shard's run does; the pieces that are written do not end where blocks do.
  void run_shard(const Shard& shard, std::int64_t records, const std::string& to,
                 const Json& job = {{"command", "tests"}, {"is", "this"}}, std::int64_t piece_records = 3,
                 bool finish = true) {
    BlockOutput blocks(to, to + ".ledger", {{"job", job}}, {});
    std::string lines, bad;
    std::int64_t piece = 0;
    const auto write = [&] {
      if (piece > 0) blocks.append(piece, lines, bad, Json::object());
      lines.clear();
      bad.clear();
      piece = 0;
    };
    for (std::int64_t record = 0; record < records; ++record) {
      if (!shard.has(record / block_records)) continue;
      (record % 5 == 4 ? bad : lines) += line(record);
      if (++piece == piece_records || record % block_records == block_records - 1) write();
    }
    write();
    if (!finish) return;
    write_shard_file(to, blocks, job, shard, {block_records, records});
    blocks.finish();
  }

  std::vector<std::string> run_shards(std::int64_t count, std::int64_t records, const std::string& ending = "") {
    std::vector<std::string> outputs;
    for (std::int64_t i = 0; i < count; ++i) {
      run_shard({i, count}, records, output(i, ending));
      outputs.push_back(output(i, ending));
    }
    return outputs;
  }

  std::string merged() const { return (folder_.path() / "merged.jsonl").string(); }
  std::string refused(const std::vector<std::string>& outputs) const {
    std::string message = message_of(ExitCode::data, [&] { merge_shards(merged(), outputs, "tests", false); });
    EXPECT_FALSE(std::filesystem::exists(merged())) << message;
    return message;
  }

  TemporaryFolder folder_;
};

TEST_F(ShardTest, TheMergedBytesAreThoseOfTheWhole) {
  for (const std::int64_t records : {1, 17, 40}) {
    for (const std::int64_t count : {2, 7}) {
      const std::string whole = (folder_.path() / "whole.jsonl").string();
      run_shard({0, 1}, records, whole);
      std::vector<std::string> outputs = run_shards(count, records);
      std::ranges::reverse(outputs);
      const Merged result = merge_shards(merged(), outputs, "tests", false).value();
      EXPECT_EQ(result.records, records);
      EXPECT_EQ(result.lines + result.quarantined, records);
      EXPECT_EQ(result.shards, count);
      EXPECT_EQ(read_all(merged()), read_all(whole));
      EXPECT_EQ(read_all(merged() + ".quarantine.jsonl"), read_all(whole + ".quarantine.jsonl"));
      for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) remove_file(entry.path());
    }
  }
}

TEST_F(ShardTest, PackedShardsGiveThePackedWhole) {
  for (const std::string ending : {".gz", ".zst"}) {
    const std::string whole = (folder_.path() / ("whole.jsonl" + ending)).string();
    run_shard({0, 1}, 120, whole);
    const std::vector<std::string> outputs = run_shards(3, 120, ending);
    ASSERT_TRUE(merge_shards(merged() + ending, outputs, "tests", false).has_value());
    EXPECT_EQ(read_all(merged() + ending), read_all(whole));
    std::string unpacked;
    Decoder decoder(merged() + ending);
    while (decoder.read(unpacked)) {
    }
    EXPECT_THAT(unpacked, ::testing::StartsWith("record 0\nrecord 1\n"));
    EXPECT_THAT(unpacked, ::testing::EndsWith("record 118\n"));
  }
}

TEST_F(ShardTest, AShardThatIsMissingUnfinishedOrThereTwiceIsNamed) {
  const std::vector<std::string> outputs = run_shards(3, 40);
  EXPECT_THAT(refused({outputs[0], outputs[2]}), HasSubstr("a shard is missing: 1/3"));
  EXPECT_THAT(refused({outputs[0], outputs[1], outputs[1], outputs[2]}), HasSubstr("the shard 1/3 is there twice"));
  EXPECT_THAT(refused({outputs[0], output(7)}), HasSubstr("part-7.jsonl: the shard is missing"));
  run_shard({1, 3}, 40, output(8), {{"command", "tests"}, {"is", "this"}}, 3, false);
  EXPECT_THAT(refused({outputs[0], output(8), outputs[2]}), HasSubstr("part-8.jsonl: the shard is unfinished"));
  std::ofstream(output(9)) << "x\n";
  EXPECT_THAT(refused({outputs[0], output(9)}), HasSubstr("this is no output of a shard"));
}

TEST_F(ShardTest, ShardsOfAnotherJobDoNotFit) {
  const std::vector<std::string> outputs = run_shards(2, 40);
  run_shard({1, 2}, 40, output(5), {{"command", "tests"}, {"is", "another"}});
  const std::string message = refused({outputs[0], output(5)});
  EXPECT_THAT(message, HasSubstr("the shards are not of one job"));
  EXPECT_THAT(message, HasSubstr("\"is\": \"another\""));
  run_shard({1, 2}, 40, output(4), {{"command", "score"}});
  EXPECT_THAT(refused({output(4)}), HasSubstr("the shard is of another command (found score, expected tests)"));
  EXPECT_THAT(refused({output(4)}), HasSubstr("steerlm score --merge"));
  run_shard({1, 3}, 40, output(6));
  EXPECT_THAT(refused({outputs[0], output(6)}), HasSubstr("the shards do not fit together"));
  run_shard({1, 2}, 41, output(7));
  EXPECT_THAT(refused({outputs[0], output(7)}), HasSubstr("the shards do not fit together"));
}

TEST_F(ShardTest, WhatWasChangedOrLostIsFound) {
  const std::vector<std::string> outputs = run_shards(2, 40);
  const std::string bytes = read_all(outputs[1]), description = read_all(outputs[1] + ".shard.json");
  const auto write = [](const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  };
  std::string changed = bytes;
  changed[3] = 'X';
  for (const std::string& other : {changed, bytes + "more\n", bytes.substr(0, bytes.size() - 9)}) {
    write(outputs[1], other);
    EXPECT_THAT(refused(outputs), HasSubstr("part-1.jsonl: the shard was changed after it was finished; "
                                            "run the shard again with --fresh --overwrite"));
  }
  write(outputs[1], bytes);
  Json json = Json::parse(description);
  json["blocks"].erase(json["blocks"].size() - 1);
  write(outputs[1] + ".shard.json", json.dump());
  EXPECT_THAT(refused(outputs), HasSubstr("expected records 36 to 39 of the input"));
  json = Json::parse(description);
  json["blocks"][1][0] = 3;
  write(outputs[1] + ".shard.json", json.dump());
  EXPECT_THAT(refused(outputs), HasSubstr("found 3 records, expected records 12 to 15"));
  json = Json::parse(description);
  json["blocks"].push_back(json["blocks"][0]);
  write(outputs[1] + ".shard.json", json.dump());
  EXPECT_THAT(refused(outputs), HasSubstr("has more blocks than the input"));
  for (const std::string broken : {"{}", "[", R"({"job":{"is":"this"},"shard":"1/2","block_records":0})"}) {
    write(outputs[1] + ".shard.json", broken);
    EXPECT_NE(refused(outputs), "") << broken;
  }
  for (const Json& job : {Json(5), Json({{"command", 5}}), Json::array()}) {
    json = Json::parse(description);
    json["job"] = job;
    write(outputs[1] + ".shard.json", json.dump());
    EXPECT_THAT(refused(outputs), HasSubstr("does not say what it should")) << job;
  }
  write(outputs[1] + ".shard.json", description);
  EXPECT_TRUE(merge_shards(merged(), outputs, "tests", false).has_value());
}

TEST_F(ShardTest, AnEmptyShardThatWasChangedIsFound) {
  const std::vector<std::string> outputs = run_shards(3, 3);  // one block
  for (const std::string& file : {outputs[1], BlockOutput::quarantine_beside(outputs[2]).string()}) {
    const bool there = std::filesystem::exists(file);
    std::ofstream(file) << "more\n";
    EXPECT_THAT(refused(outputs), HasSubstr(file + ": the shard was changed after it was finished"));
    remove_file(file);
    if (there) std::ofstream(file).flush();
  }
  EXPECT_TRUE(merge_shards(merged(), outputs, "tests", false).has_value());
}

TEST_F(ShardTest, WhatDescribesAFinishedShardIsWrittenAgain) {
  const Json job = {{"command", "tests"}, {"is", "this"}};
  for (const std::string ending : {"", ".gz"}) {
    const std::string to = run_shards(2, 40, ending)[1], file = shard_file(to).string(), bytes = read_all(file);
    EXPECT_TRUE(has_shard_file(to));
    std::ofstream(file) << "{}";
    EXPECT_FALSE(has_shard_file(to));
    remove_file(file);
    EXPECT_FALSE(has_shard_file(to));
    BlockOutput blocks(to, to + ".ledger", {{"job", job}}, {});
    ASSERT_TRUE(blocks.finished());
    write_shard_file(to, blocks, job, {1, 2}, {block_records, 40});
    EXPECT_EQ(read_all(file), bytes) << ending;
  }
}

TEST_F(ShardTest, AnExistingFileStaysAndAStopWritesNothing) {
  const std::vector<std::string> outputs = run_shards(2, 40);
  std::ofstream(merged()) << "mine\n";
  EXPECT_NE(message_of(ExitCode::resources, [&] { merge_shards(merged(), outputs, "tests", false); }), "");
  EXPECT_EQ(read_all(merged()), "mine\n");
  EXPECT_NE(message_of(ExitCode::recipe, [&] { merge_shards(outputs[0], outputs, "tests", true); }), "");
  request_stop();
  EXPECT_FALSE(merge_shards(merged(), outputs, "tests", true).has_value());
  clear_stop();
  EXPECT_EQ(read_all(merged()), "mine\n");
  EXPECT_TRUE(merge_shards(merged(), outputs, "tests", true).has_value());
  EXPECT_THAT(read_all(merged()), ::testing::StartsWith("record 0\n"));
}

// At every place of a kill; where the merged file is there, the merge was done.
TEST_F(ShardTest, AKilledMergeLeavesNothingThatIsInTheWayOfTheSameOne) {
  const std::vector<std::string> outputs = run_shards(2, 40);
  ASSERT_TRUE(merge_shards(merged(), outputs, "tests", false).has_value());
  const std::string whole = read_all(merged()), bad = read_all(merged() + ".quarantine.jsonl");
  int halves = 0;  // kills between the two files
  bool ended = false;
  for (int last = 0; !ended; ++last) {
    for (const std::string end : {"", ".quarantine.jsonl"}) remove_file(merged() + end);
    ended = is_done_before_kill(last, [&] { merge_shards(merged(), outputs, "tests", false); });
    if (!std::filesystem::exists(merged())) {
      halves += std::filesystem::exists(merged() + ".quarantine.jsonl");
      ASSERT_TRUE(merge_shards(merged(), outputs, "tests", false).has_value());
    }
    EXPECT_EQ(read_all(merged()), whole);
    EXPECT_EQ(read_all(merged() + ".quarantine.jsonl"), bad);
    EXPECT_THAT(temporaries_of(merged()), ::testing::IsEmpty());
  }
  EXPECT_GT(halves, 0);
  // Other bad records than these are somebody's.
  remove_file(merged());
  std::ofstream(merged() + ".quarantine.jsonl") << "mine\n";
  EXPECT_NE(message_of(ExitCode::resources, [&] { merge_shards(merged(), outputs, "tests", false); }), "");
  EXPECT_EQ(read_all(merged() + ".quarantine.jsonl"), "mine\n");
}

TEST_F(ShardTest, WhatIsWrittenAsAShardMustBeOne) {
  EXPECT_EQ(parse_shard("3/4", "shard").index, 3);
  for (const char* wrong : {"4/4", "-1/4", "0/0", "1", "1/4x", "01/4", ""})
    EXPECT_THAT(message_of(ExitCode::recipe, [&] { parse_shard(wrong, "--shard"); }), HasSubstr("no shard")) << wrong;
}

TEST_F(ShardTest, AFileThatDescribesAnotherJobIsNotWrittenOver) {
  run_shard({0, 2}, 40, output(0));
  check_shard_file(output(0), {{"command", "tests"}, {"is", "this"}}, false);
  check_shard_file(output(1), {{"command", "tests"}, {"is", "this"}}, false);
  EXPECT_NE(message_of(ExitCode::resources, [&] { check_shard_file(output(0), {{"command", "another"}}, false); }), "");
  check_shard_file(output(0), {{"command", "another"}}, true);
}

TEST_F(ShardTest, OfTwoReadingsAreNotPutTogether) {
  const Json before = {{"command", "tests"}, {"is", "this"}},
             now = {{"command", "tests"}, {"is", "this"}, {"reading", 5}};
  run_shard({0, 2}, 40, output(0), now);
  run_shard({1, 2}, 40, output(1), before);
  for (const std::vector<std::string>& outputs :
       {std::vector{output(0), output(1)}, std::vector{output(1), output(0)}}) {
    EXPECT_THAT(refused(outputs), HasSubstr(output(1) +
                                            ": the shard was made by an earlier version of the program, which reads "
                                            "records in another way (found reading 0, expected reading 5, as " +
                                            output(0) + " has); run the shard again with --fresh --overwrite"));
  }
  run_shard({0, 2}, 40, output(2), before);  // of an earlier version alone
  EXPECT_EQ(merge_shards(merged(), {output(2), output(1)}, "tests", false)->records, 40);
}

// As every output does: a link stays, and what is no file is not replaced.
TEST_F(ShardTest, TheFileThatDescribesAShardGoesWhereALinkLeads) {
  const Path link = shard_file(output(0)), kept = folder_.path() / "kept.json";
  std::ofstream(kept) << "precious\n";
  std::filesystem::create_symlink("kept.json", link);
  const Json job = {{"command", "tests"}, {"is", "this"}};
  EXPECT_NE(message_of(ExitCode::resources, [&] { check_shard_file(output(0), job, false); }), "");
  check_shard_file(output(0), job, true);
  run_shard({0, 1}, 8, output(0));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(parse_json(read_all(kept), "kept", ExitCode::data).at("job"), job);
  check_shard_file(output(0), job, false);

  make_directory(shard_file(output(1)));
  EXPECT_THAT(message_of(ExitCode::resources, [&] { check_shard_file(output(1), job, true); }),
              HasSubstr("a folder where a file is expected"));
  ASSERT_EQ(::mkfifo(shard_file(output(2)).c_str(), 0644), 0);
  EXPECT_THAT(message_of(ExitCode::resources, [&] { check_shard_file(output(2), job, true); }),
              HasSubstr("cannot be written into a pipe or a device"));
}

}  // namespace
}  // namespace steerlm::testing
