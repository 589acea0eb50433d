#include "steerlm/data/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>

#include "data/decoder.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/part_number.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/compressor.h"

namespace steerlm {
namespace {

constexpr const char* not_again = "give the shard's command again, which goes on";
// Of `score` and `generate` nothing but the output is left when they are done, which needs --overwrite.
constexpr const char* once_more = "run the shard again with --fresh --overwrite";

// What the numbers of a block are in OUTPUT.shard.json.
struct ShardBlock {
  std::int64_t records = 0, lines = 0, bytes = 0, quarantine_bytes = 0;
};

struct ShardOutput {
  std::string output;
  Json job;
  std::string command;  // the job's; "": none is named
  Shard shard;
  ShardInput input;
  std::string sha256, quarantine_sha256;
  std::vector<ShardBlock> blocks;
};

[[noreturn]] void refuse_shard(const std::string& output, const std::string& what, const std::string& advice) {
  fail(ExitCode::data, {.what = what, .where = output, .advice = advice});
}

// The texts of two jobs up to the first line in which they differ.
std::pair<std::string, std::string> first_difference(const Json& a, const Json& b) {
  const std::string one = a.dump(1), other = b.dump(1);
  const auto lines = [](std::string text) {
    // A recipe is one value; its lines are told apart too.
    for (size_t at = 0; (at = text.find("\\n", at)) != std::string::npos;) text.replace(at, 2, "\n");
    std::vector<std::string> result;
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      result.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    return result;
  };
  const std::vector<std::string> ours = lines(one), theirs = lines(other);
  const auto [x, y] = std::mismatch(ours.begin(), ours.end(), theirs.begin(), theirs.end());
  const auto line = [](auto at, const std::vector<std::string>& all) {
    return at == all.end() ? std::string("nothing") : at->substr(at->find_first_not_of(' '));
  };
  return {line(x, ours), line(y, theirs)};
}

std::int64_t count_in(const Json& value) {
  if (!value.is_number_unsigned() || value > std::uint64_t{1} << 53) throw std::out_of_range("count");
  return value.get<std::int64_t>();
}

ShardOutput read_shard(const std::string& output) {
  const Path file = shard_file(output);
  const bool has_output = is_there(output, ExitCode::data);
  if (!has_output || !is_there(file, ExitCode::data)) {
    if (is_there(output + ".part", ExitCode::data)) refuse_shard(output, "the shard is unfinished", not_again);
    if (has_output) {
      refuse_shard(output, "this is no output of a shard: " + file.string() + " is not beside it",
                   "name the outputs of runs with `shard`, and keep the .shard.json beside each; where it is lost, " +
                       std::string(once_more));
    }
    refuse_shard(output, "the shard is missing", "run it: its command with its `shard` and this output");
  }
  std::error_code error;
  if (!std::filesystem::is_regular_file(output, error))
    refuse_shard(output, "the shard is no file", "name the file that its run wrote");
  const Json json = parse_json(read_file(file, ExitCode::data, "shard"), file.string(), ExitCode::data);
  ShardOutput shard{.output = output};
  try {
    shard.job = json.at("job");
    shard.command = shard.job.value("command", "");
    shard.shard = parse_shard(json.at("shard").get<std::string>(), file.string());
    shard.input = {count_in(json.at("block_records")), count_in(json.at("input_records")),
                   json.value("input", std::uint64_t{0})};
    shard.sha256 = json.at("sha256").at(0).get<std::string>();
    shard.quarantine_sha256 = json.at("sha256").at(1).get<std::string>();
    for (const Json& block : json.at("blocks"))
      shard.blocks.push_back(
          {count_in(block.at(0)), count_in(block.at(1)), count_in(block.at(2)), count_in(block.at(3))});
    if (shard.input.block_records == 0) throw std::out_of_range("block_records");
  } catch (const std::exception&) {
    fail(ExitCode::data,
         {.what = "the shard's file does not say what it should", .where = file.string(), .advice = once_more});
  }
  return shard;
}

// Two jobs that differ in how their version of the program reads records and in nothing else.
void refuse_other_reading(const ShardOutput& one, const ShardOutput& other) {
  Json a = one.job, b = other.job;
  a.erase("reading");
  b.erase("reading");
  if (a != b) return;
  const auto reading = [](const ShardOutput& shard) { return shard.job.value("reading", Json(0)); };
  const ShardOutput& older = reading(one) < reading(other) ? one : other;
  const ShardOutput& newer = &older == &one ? other : one;
  fail(ExitCode::data,
       {.what = "the shard was made by an earlier version of the program, which reads records in another way",
        .where = older.output,
        .found = "reading " + dump_json(reading(older)),
        .expected = "reading " + dump_json(reading(newer)) + ", as " + newer.output + " has",
        .advice = once_more});
}

// The shards in their order, all of one job of the command, each there once.
std::vector<ShardOutput> read_shards(const std::vector<std::string>& outputs, const std::string& command) {
  std::vector<ShardOutput> shards;
  for (const std::string& output : outputs) {
    ShardOutput shard = read_shard(output);
    if (shard.command != command) {
      const bool named = !shard.command.empty();
      fail(ExitCode::data,
           {.what = "the shard is of another command",
            .where = output,
            .found = named ? shard.command : "none that is named",
            .expected = command,
            .advice = named ? "steerlm " + shard.command + " --merge puts its shards together" : once_more});
    }
    if (!shards.empty() && shard.job != shards.front().job) {
      refuse_other_reading(shard, shards.front());
      const auto [found, expected] = first_difference(shard.job, shards.front().job);
      fail(ExitCode::data, {.what = "the shards are not of one job",
                            .where = output,
                            .found = found,
                            .expected = expected + ", as " + shards.front().output + " has",
                            .advice = "run all shards with the same settings, model and input"});
    }
    if (!shards.empty() && (shard.shard.count != shards.front().shard.count ||
                            shard.input.block_records != shards.front().input.block_records ||
                            shard.input.records != shards.front().input.records)) {
      const auto describe = [](const ShardOutput& s) {
        return fmt::format("shard {} of {} records in blocks of {}", shard_text(s.shard), s.input.records,
                           s.input.block_records);
      };
      fail(ExitCode::data, {.what = "the shards do not fit together",
                            .where = output,
                            .found = describe(shard),
                            .expected = describe(shards.front()) + ", as " + shards.front().output + " is",
                            .advice = "run all shards of one number of parts"});
    }
    if (!shards.empty() && shard.input.hash != shards.front().input.hash) {
      fail(ExitCode::data, {.what = "the shards have read different things from standard input",
                            .where = output,
                            .expected = "what " + shards.front().output + " has read",
                            .advice = "run all shards with the same input"});
    }
    shards.push_back(std::move(shard));
  }
  std::ranges::stable_sort(shards, {}, [](const ShardOutput& s) { return s.shard.index; });
  for (size_t s = 1; s < shards.size(); ++s) {
    if (shards[s].shard.index != shards[s - 1].shard.index) continue;
    fail(ExitCode::data, {.what = "the shard " + shard_text(shards[s].shard) + " is there twice",
                          .where = shards[s].output,
                          .found = shards[s - 1].output + " too",
                          .advice = "name each shard once"});
  }
  std::vector<std::string> missing;
  const std::int64_t count = shards.front().shard.count;
  for (std::int64_t i = 0; i < count && missing.size() < 20; ++i) {
    if (!std::ranges::binary_search(shards, i, {}, [](const ShardOutput& s) { return s.shard.index; }))
      missing.push_back(shard_text({i, count}));
  }
  if (!missing.empty()) {
    fail(ExitCode::data, {.what = "a shard is missing: " + join(missing),
                          .found = fmt::format("{} of {} shards", shards.size(), count),
                          .expected = "all of them",
                          .advice = "name the outputs of all shards, and run those that have not run"});
  }
  return shards;
}

// Each block of the input is that of one shard, and has the records that it must have.
void check_blocks(const std::vector<ShardOutput>& shards) {
  const std::int64_t size = shards.front().input.block_records, records = shards.front().input.records;
  const std::int64_t blocks = (records + size - 1) / size;
  for (const ShardOutput& shard : shards) {
    std::int64_t own = 0;
    for (std::int64_t block = shard.shard.index; block < blocks; block += shard.shard.count, ++own) {
      const std::int64_t expected = std::min(size, records - block * size);
      const bool there = own < std::ssize(shard.blocks);
      if (there && shard.blocks[static_cast<size_t>(own)].records == expected) continue;
      fail(ExitCode::data,
           {.what = "records are missing in the shard " + shard_text(shard.shard),
            .where = shard.output,
            .found = there ? fmt::format("{} records", shard.blocks[static_cast<size_t>(own)].records) : "nothing",
            .expected = fmt::format("records {} to {} of the input", block * size, block * size + expected - 1),
            .advice = once_more});
    }
    if (own < std::ssize(shard.blocks)) {
      fail(ExitCode::data, {.what = "the shard " + shard_text(shard.shard) + " has more blocks than the input",
                            .where = shard.output,
                            .advice = once_more});
    }
  }
}

const ShardBlock* block_at(const std::vector<ShardOutput>& shards, size_t block) {
  const std::vector<ShardBlock>& blocks = shards[block % shards.size()].blocks;
  return block / shards.size() < blocks.size() ? &blocks[block / shards.size()] : nullptr;
}

// The bytes of a shard's file, packed or not, piece by piece.
class ShardBytes {
 public:
  ShardBytes(std::string path, std::string sha256) : path_(std::move(path)), sha256_(std::move(sha256)) {}

  std::string take(std::int64_t bytes) {
    const auto size = static_cast<size_t>(bytes);
    if (size > 0 && !decoder_) decoder_ = std::make_unique<Decoder>(path_);
    while (buffer_.size() < size) {
      if (!decoder_->read(buffer_)) changed();
    }
    std::string taken = buffer_.substr(0, size);
    buffer_.erase(0, size);
    hash_.update(taken);
    return taken;
  }
  void end() {
    // Of a file in which nothing was expected nothing was read; a list of bad records need not be there then.
    if (!decoder_ && is_there(path_, ExitCode::data)) decoder_ = std::make_unique<Decoder>(path_);
    if (!buffer_.empty() || (decoder_ && decoder_->read(buffer_)) || hash_.hex() != sha256_) changed();
  }

 private:
  [[noreturn]] void changed() const { refuse_shard(path_, "the shard was changed after it was finished", once_more); }

  std::string path_, sha256_, buffer_;
  std::unique_ptr<Decoder> decoder_;
  Sha256 hash_;
};

std::deque<ShardBytes> open_quarantines(const std::vector<ShardOutput>& shards) {
  std::deque<ShardBytes> files;  // which are not moved
  for (const ShardOutput& shard : shards)
    files.emplace_back(BlockOutput::quarantine_beside(shard.output).string(), shard.quarantine_sha256);
  return files;
}

bool describes_job(const Path& file, const Json& job) {
  try {
    return parse_json(read_file(file, ExitCode::data, "shard"), file.string(), ExitCode::data).at("job") == job;
  } catch (const std::exception&) {
    return false;  // no file of a shard
  }
}

// A merge that was killed between its two files leaves the first: the bad records of these very shards.
bool is_left_by_killed_merge(const Path& quarantine, const std::vector<ShardOutput>& shards) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(quarantine, error))) return false;
  std::deque<ShardBytes> bad = open_quarantines(shards);
  Sha256 hash;
  for (size_t block = 0; const ShardBlock* own = block_at(shards, block); ++block)
    hash.update(bad[block % shards.size()].take(own->quarantine_bytes));
  return sha256_file(quarantine, ExitCode::resources) == hash.hex();
}

}  // namespace

Shard parse_shard(const std::string& text, const std::string& where) {
  const std::optional<PartNumber> part = parse_part_number(text);
  if (part && part->index < part->count) return {part->index, part->count};
  fail(ExitCode::recipe, {.what = "no shard",
                          .where = where,
                          .found = "'" + text + "'",
                          .expected = "i/n with i from 0 to n - 1, such as 0/4"});
}

std::string shard_text(const Shard& shard) { return fmt::format("{}/{}", shard.index, shard.count); }

Path shard_file(const std::string& output) { return output + ".shard.json"; }

bool has_shard_file(const std::string& output) {
  if (!is_there(shard_file(output), ExitCode::resources)) return false;
  try {
    read_shard(output);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void check_shard_file(const std::string& output, const Json& job, bool overwrite) {
  const Path file = shard_file(output);
  const OutputPlace place = find_output(file.string(), {.make_folder = true});
  if (place.through) {
    fail(ExitCode::resources, {.what = "the file that describes the shard cannot be written into a pipe or a device",
                               .where = file.string(),
                               .advice = "choose another output, or take away what is there"});
  }
  if (place.exists && !overwrite && !describes_job(file, job)) {
    fail(ExitCode::resources, {.what = "a file that this run did not write is in the way",
                               .where = file.string(),
                               .advice = "choose another output, or have the file replaced: --overwrite"});
  }
  check_output(file.string(), {.overwrite = true, .make_folder = true});
}

void write_shard_file(const std::string& output, BlockOutput& blocks, const Json& job, const Shard& shard,
                      const ShardInput& input) {
  const auto [sha256, quarantine_sha256] = blocks.sha256();
  Json list = Json::array();
  BlockEnd end, begin;  // `end`: of the pieces up to now
  std::int64_t lines = 0;
  const auto close = [&] {
    if (end.records == begin.records) return;
    list.push_back({end.records - begin.records, lines, end.output - begin.output, end.quarantine - begin.quarantine});
    begin = end;
    lines = 0;
  };
  for (const BlockEnd& piece : blocks.block_ends()) {
    end = {end.records + piece.records, piece.output, piece.quarantine};
    lines += piece.lines;
    if ((end.records % input.block_records) == 0) close();
  }
  close();
  Json json = {{"job", job},
               {"shard", shard_text(shard)},
               {"block_records", static_cast<std::uint64_t>(input.block_records)},
               {"input_records", static_cast<std::uint64_t>(input.records)},
               {"sha256", {sha256, quarantine_sha256}},
               {"blocks", list}};
  if (input.hash != 0) json["input"] = input.hash;
  Output file(shard_file(output).string(), {.overwrite = true});
  file.write(dump_json(json) + "\n");
  file.finish();
}

std::optional<Merged> merge_shards(const std::string& to, const std::vector<std::string>& outputs,
                                   const std::string& command, bool overwrite) {
  OutputOptions options{.overwrite = overwrite, .inputs = outputs, .make_folder = true};
  for (const std::string& output : outputs) {
    options.inputs.push_back(shard_file(output).string());
    options.inputs.push_back(BlockOutput::quarantine_beside(output).string());
  }
  const OutputPlace place = check_output(to, options);
  const std::vector<ShardOutput> shards = read_shards(outputs, command);
  check_blocks(shards);
  const auto has_quarantine = [](const ShardOutput& shard) {
    return std::ranges::any_of(shard.blocks, [](const ShardBlock& block) { return block.quarantine_bytes > 0; });
  };
  const std::string quarantine_name = place.through ? "" : BlockOutput::quarantine_beside(to).string();
  const bool quarantines = !place.through && std::ranges::any_of(shards, has_quarantine);
  OutputOptions quarantine_options = options;
  if (quarantines && !place.exists && is_left_by_killed_merge(quarantine_name, shards))
    quarantine_options.overwrite = true;
  const bool writes_quarantine = !place.through && (quarantines || is_there(quarantine_name, ExitCode::resources));
  if (writes_quarantine) check_output(quarantine_name, quarantine_options);

  std::deque<ShardBytes> lines, bad = open_quarantines(shards);
  for (const ShardOutput& shard : shards) lines.emplace_back(shard.output, shard.sha256);
  Output output(to, options);
  Compressor packed(to, [&](std::string_view bytes) { output.write(bytes); });
  std::optional<Output> quarantine;
  // With --overwrite an old list of bad records gives way to an empty one: it would speak of another output.
  if (writes_quarantine) quarantine.emplace(quarantine_name, quarantine_options);
  Merged merged{.shards = std::ssize(shards), .records = shards.front().input.records};
  for (size_t block = 0; const ShardBlock* own = block_at(shards, block); ++block) {
    if (stop_requested()) return std::nullopt;
    const size_t s = block % shards.size();
    const std::string text = lines[s].take(own->bytes), bad_text = bad[s].take(own->quarantine_bytes);
    if (std::ranges::count(text, '\n') != own->lines) {
      refuse_shard(shards[s].output, "the shard was changed after it was finished", once_more);
    }
    merged.lines += own->lines;
    merged.quarantined += std::ranges::count(bad_text, '\n');
    packed.write(text);
    if (quarantine) quarantine->write(bad_text);
  }
  for (size_t s = 0; s < shards.size(); ++s) {
    lines[s].end();
    bad[s].end();
  }
  packed.finish();
  if (quarantine) quarantine->finish();
  output.finish();
  return merged;
}

}  // namespace steerlm
