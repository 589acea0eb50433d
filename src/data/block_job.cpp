#include "steerlm/data/block_job.h"

#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <tuple>
#include <utility>

#include "steerlm/core/hash.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

// Links are not followed: a dangling one is there.
bool is_there(const Path& path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

bool is_file(const Path& path) {
  std::error_code error;
  return std::filesystem::symlink_status(path, error).type() == std::filesystem::file_type::regular;
}

Path part_of(const Path& path) { return Path(path.string() + ".part"); }

std::int64_t size_of(const Path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? -1 : static_cast<std::int64_t>(size);
}

bool has_sha256(const Path& file, const std::string& sha256) {
  return !sha256.empty() && is_file(file) && sha256_file(file, ExitCode::resources) == sha256;
}

// One process at a time writes a part file, whatever run directories there are.
void lock(const OutputFile& file) {
  if (::flock(file.descriptor(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  fail(ExitCode::resources, {.what = "another process is writing this file", .where = file.path().string()});
}

void remove_own(const Path& path) {
  const OutputFile file(path, OutputFile::Mode::append);
  lock(file);
  remove_file(path);
}

bool is_count(const Json& line, const char* key) { return line.contains(key) && line.at(key).is_number_unsigned(); }

// The list of two texts at `key`; empty ones where there is none.
std::pair<std::string, std::string> text_pair(const Json& line, const char* key) {
  if (!line.contains(key) || !line.at(key).is_array() || line.at(key).size() != 2) return {};
  const Json &first = line.at(key)[0], &second = line.at(key)[1];
  if (!first.is_string() || !second.is_string()) return {};
  return {first.get<std::string>(), second.get<std::string>()};
}

// What the ledger says of a file: the end of each block's bytes and their hash.
using Pieces = std::vector<std::pair<std::int64_t, std::string>>;

// How many pieces, from the first on, are in the file.
size_t count_whole(const Pieces& pieces, const Path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::int64_t size = std::max<std::int64_t>(size_of(file), 0);
  std::int64_t done = 0;
  for (size_t p = 0; p < pieces.size(); ++p) {
    const auto& [end, sha256] = pieces[p];
    if (end < done || end > size) return p;
    std::string bytes(static_cast<size_t>(end - done), '\0');
    if (!bytes.empty() && !stream.read(bytes.data(), end - done)) return p;
    if (sha256_hex(bytes) != sha256) return p;
    done = end;
  }
  return pieces.size();
}

// A part file, which may have a torn end, is known by its first bytes; one in which nothing was completed by its name.
bool is_own_part(const Pieces& pieces, const Path& file) {
  if (!is_file(file)) return false;
  if (size_of(file) == 0 || pieces.empty() || pieces.back().first == 0) return true;
  const auto first = std::ranges::find_if(pieces, [](const auto& piece) { return piece.first > 0; });
  return count_whole(pieces, file) > static_cast<size_t>(first - pieces.begin());
}

bool is_whole(const Pieces& pieces, const Path& file) {
  return is_file(file) && size_of(file) == (pieces.empty() ? 0 : pieces.back().first) &&
         count_whole(pieces, file) == pieces.size();
}

bool is_among(const std::vector<Path>& files, const Path& file) {
  return std::ranges::find(files, file) != files.end();
}

// An output's files, whose part files count too, may be there only as the run's own.
void refuse_foreign(const std::vector<Path>& files, const std::vector<Path>& own, bool overwrite) {
  const auto refuse = [](const Path& path, const std::string& advice) {
    fail(ExitCode::resources,
         {.what = "a file that this run did not write is in the way", .where = path.string(), .advice = advice});
  };
  for (const Path& path : files) {
    if (path.empty()) continue;
    if (is_there(path) && !is_among(own, path)) {
      if (!overwrite) refuse(path, "choose another output, or have the file replaced: --overwrite");
      check_output(path.string(), {.overwrite = true});
    }
    if (is_there(part_of(path)) && !is_among(own, part_of(path)))
      refuse(part_of(path), "another run writes it, or has left it behind: choose another output, or remove the file");
  }
}

// Where the bad records go; an output that is written straight through has nothing beside it.
Path quarantine_of(const OutputPlace& place, const std::string& output, const Path& ledger) {
  return place.through ? ledger.parent_path() / "quarantine.jsonl" : BlockOutput::quarantine_beside(output);
}

OutputPlace place_of(const std::string& output, const BlockOutputOptions& options) {
  return find_output(output, {.inputs = options.inputs, .make_folder = true});
}

}  // namespace

void BlockOutput::check(const std::string& output, const Path& ledger, const BlockOutputOptions& options) {
  const OutputPlace place = place_of(output, options);
  std::vector<Path> named;
  if (const auto known = read_ledger(ledger)) {
    for (const Path& path : {known->output, known->quarantine}) {
      named.push_back(path);
      named.push_back(part_of(path));
    }
  }
  refuse_foreign({place.through ? Path() : place.file, quarantine_of(place, output, ledger)}, named, options.overwrite);
}

BlockOutput::BlockOutput(const std::string& output, Path ledger, Json identity, BlockOutputOptions options)
    : place_(place_of(output, options)), ledger_path_(std::move(ledger)), options_(std::move(options)) {
  ledger_.identity = std::move(identity);
  ledger_.output = place_.through ? Path() : place_.file;
  ledger_.quarantine = quarantine_of(place_, output, ledger_path_);
  for (const Path& path : {ledger_.output, ledger_.quarantine}) {  // the ledger is JSON
    if (find_invalid_utf8(path.string()))
      fail(ExitCode::recipe, {.what = "the output's name is not valid UTF-8", .where = output});
  }
  if (options_.fresh || place_.through)
    own_ = own_files(ledger_path_);
  else
    adopt_ledger();
  // What an earlier run has written may be what this one reads.
  std::erase_if(own_, [&](const Path& path) {
    return std::ranges::any_of(options_.inputs, [&](const std::string& input) {
      std::error_code error;
      return std::filesystem::equivalent(path, input, error);
    });
  });
  if (!ledger_.finished) refuse_foreign({ledger_.output, ledger_.quarantine}, own_, options_.overwrite);
}

// Up to the first line that is torn or makes no sense; nothing where that is the first.
std::optional<BlockOutput::Ledger> BlockOutput::read_ledger(const Path& path) {
  if (!is_file(path)) return std::nullopt;
  const std::string bytes = read_file(path, ExitCode::resources, "ledger");
  Ledger ledger;
  for (size_t start = 0; start < bytes.size();) {
    const size_t end = bytes.find('\n', start);
    if (end == std::string::npos) break;
    Json line;
    try {
      line = parse_json(std::string_view(bytes).substr(start, end - start), path.string(), ExitCode::resources);
    } catch (const Error&) {
      break;
    }
    if (!line.is_object()) break;
    const std::int64_t ledger_end = static_cast<std::int64_t>(end) + 1;
    if (start == 0) {
      std::tie(ledger.output, ledger.quarantine) = text_pair(line, "files");
      if (!line.contains("identity") || ledger.quarantine.empty()) break;
      ledger.identity = line.at("identity");
      ledger.head_end = ledger_end;
    } else if (line.contains("finished")) {
      ledger.finished = true;
      std::tie(ledger.output_sha256, ledger.quarantine_sha256) = text_pair(line, "sha256");
    } else {
      const auto [output_sha256, quarantine_sha256] = text_pair(line, "sha256");
      if (!is_count(line, "block") || line.at("block") != ledger.blocks.size() || !is_count(line, "records") ||
          !is_count(line, "output_end") || !is_count(line, "quarantine_end") || output_sha256.empty() ||
          !line.contains("counts")) {
        break;
      }
      ledger.blocks.push_back({line.at("records").get<std::int64_t>(), line.at("output_end").get<std::int64_t>(),
                               line.at("quarantine_end").get<std::int64_t>(), output_sha256, quarantine_sha256,
                               line.at("counts"), ledger_end});
    }
    start = end + 1;
  }
  if (ledger.head_end == 0) return std::nullopt;
  return ledger;
}

std::vector<Path> BlockOutput::own_files(const Path& path) {
  const auto ledger = read_ledger(path);
  return ledger ? own_files(*ledger) : std::vector<Path>{};
}

// A finished run's files have the hashes that its last line says. Those of another are part files; after a kill inside
// finish() one of them or both have their final names already, and all their bytes.
std::vector<Path> BlockOutput::own_files(const Ledger& ledger) {
  std::vector<Path> own;
  if (ledger.finished) {
    if (has_sha256(ledger.output, ledger.output_sha256)) own.push_back(ledger.output);
    if (has_sha256(ledger.quarantine, ledger.quarantine_sha256)) own.push_back(ledger.quarantine);
    return own;
  }
  Pieces output, quarantine;
  for (const Block& block : ledger.blocks) {
    output.emplace_back(block.output_end, block.output_sha256);
    quarantine.emplace_back(block.quarantine_end, block.quarantine_sha256);
  }
  for (const auto& [file, pieces] : {std::pair{&ledger.output, &output}, std::pair{&ledger.quarantine, &quarantine}}) {
    if (file->empty()) continue;
    if (is_own_part(*pieces, part_of(*file)))
      own.push_back(part_of(*file));
    else if (!is_there(part_of(*file)) && is_whole(*pieces, *file))
      own.push_back(*file);
  }
  return own;
}

// Goes on with the run of the ledger that is there: with the blocks that are whole in ledger and files.
void BlockOutput::adopt_ledger() {
  auto found = read_ledger(ledger_path_);
  if (!found) return;
  const auto refuse = [&](const std::string& begun, const std::string& wanted) {
    fail(ExitCode::recipe, {.what = "another run has begun this output",
                            .where = ledger_path_.string(),
                            .found = begun,
                            .expected = wanted,
                            .advice = "choose another run_dir, or start over with --fresh"});
  };
  if (found->identity != ledger_.identity) refuse(dump_json(found->identity), dump_json(ledger_.identity));
  if (found->output != ledger_.output) refuse(found->output.string(), ledger_.output.string());
  if (found->quarantine != ledger_.quarantine) refuse(found->quarantine.string(), ledger_.quarantine.string());
  ledger_ = std::move(*found);
  own_ = own_files(ledger_);
  if (ledger_.finished) {
    if (is_among(own_, ledger_.output)) return;
    if (is_there(ledger_.output) && !options_.overwrite) {
      fail(ExitCode::resources, {.what = "the output was changed after it was finished",
                                 .where = place_.named,
                                 .advice = "take it elsewhere, or have it replaced: --overwrite"});
    }
    ledger_.finished = false;  // taken away since: made again
    ledger_.blocks.clear();
    return;
  }
  Pieces output, quarantine;
  for (const Block& block : ledger_.blocks) {
    output.emplace_back(block.output_end, block.output_sha256);
    quarantine.emplace_back(block.quarantine_end, block.quarantine_sha256);
  }
  const auto now = [&](const Path& file) { return is_among(own_, file) ? file : part_of(file); };
  ledger_.blocks.resize(
      std::min(count_whole(output, now(ledger_.output)), count_whole(quarantine, now(ledger_.quarantine))));
}

// The ledger comes first, and goes last: a part file without one is nobody's.
void BlockOutput::open_files() {
  const bool goes_on = ledger_.head_end > 0;
  for (const Path& file : own_) {
    const bool published = file == ledger_.output || file == ledger_.quarantine;
    if (!goes_on || (published && ledger_.blocks.empty()))
      remove_own(file);
    else if (published)
      publish_new(file, part_of(file));  // a kill inside finish(), which comes again
  }
  if (!goes_on) {
    remove_file(ledger_path_);
    if (ledger_.output.has_parent_path()) make_directory(ledger_.output.parent_path());
    const Json files = {ledger_.output.string(), ledger_.quarantine.string()};
    const std::string head = dump_json(Json{{"identity", ledger_.identity}, {"files", files}}) + "\n";
    write_file_atomic(ledger_path_, head);
    ledger_.head_end = static_cast<std::int64_t>(head.size());
  }
  const auto open_at = [](std::optional<OutputFile>& file, const Path& path, std::int64_t end) {
    file.emplace(path, is_there(path) ? OutputFile::Mode::append : OutputFile::Mode::create_new);
    lock(*file);
    if (file->size() > end) file->truncate(end);
  };
  open_at(ledger_file_, ledger_path_, ledger_.blocks.empty() ? ledger_.head_end : ledger_.blocks.back().ledger_end);
  open_at(quarantine_file_, part_of(ledger_.quarantine), quarantine_end());
  if (place_.through)
    output_file_ = open_through(place_);
  else
    open_at(output_file_, part_of(ledger_.output), output_end());
}

std::int64_t BlockOutput::records_done() const {
  std::int64_t records = 0;
  for (const Block& block : ledger_.blocks) records += block.records;
  return records;
}

std::vector<Json> BlockOutput::block_counts() const {
  std::vector<Json> counts;
  for (const Block& block : ledger_.blocks) counts.push_back(block.counts);
  return counts;
}

void BlockOutput::append(std::int64_t records, std::string_view output_lines, std::string_view quarantine_lines,
                         Json counts) {
  if (ledger_.finished) fail(ExitCode::bug, {.what = "a block for a finished output", .where = place_.named});
  if (!output_file_) open_files();
  Block block{.records = records,
              .output_sha256 = sha256_hex(place_.through ? std::string_view() : output_lines),
              .quarantine_sha256 = sha256_hex(quarantine_lines),
              .counts = std::move(counts)};
  output_file_->write(output_lines);
  output_file_->sync();
  block.output_end = place_.through ? 0 : output_file_->size();
  if (!quarantine_lines.empty()) {
    quarantine_file_->write(quarantine_lines);
    quarantine_file_->sync();
  }
  block.quarantine_end = quarantine_file_->size();
  Json line = Json::object();
  line["block"] = ledger_.blocks.size();
  line["records"] = static_cast<std::uint64_t>(block.records);
  line["output_end"] = static_cast<std::uint64_t>(block.output_end);
  line["quarantine_end"] = static_cast<std::uint64_t>(block.quarantine_end);
  line["sha256"] = {block.output_sha256, block.quarantine_sha256};
  line["counts"] = block.counts;
  ledger_file_->write(dump_json(line) + "\n");
  ledger_file_->sync();
  block.ledger_end = ledger_file_->size();
  ledger_.blocks.push_back(std::move(block));
}

void BlockOutput::finish() {
  if (ledger_.finished) return;
  if (!output_file_) open_files();
  const Path quarantine_part = part_of(ledger_.quarantine), output_part = part_of(ledger_.output);
  // The hashes of the part files: nothing else is published under these names.
  const Json sha256 = {place_.through ? "" : sha256_file(output_part, ExitCode::resources),
                       sha256_file(quarantine_part, ExitCode::resources)};
  // With --overwrite an old list of bad records gives way to an empty one: it would speak of another output.
  if (quarantine_file_->size() > 0 || is_there(ledger_.quarantine))
    publish_output(*quarantine_file_, ledger_.quarantine, options_.overwrite);
  else
    remove_file(quarantine_part);
  if (!place_.through) publish_output(*output_file_, ledger_.output, options_.overwrite);
  ledger_file_->write(dump_json(Json{{"finished", true}, {"sha256", sha256}}) + "\n");
  ledger_file_->sync();
  ledger_.finished = true;
}

}  // namespace steerlm
