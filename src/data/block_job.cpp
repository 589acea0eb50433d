#include "steerlm/data/block_job.h"

#include <fstream>
#include <utility>

#include "steerlm/core/hash.h"

namespace steerlm {
namespace {

bool is_there(const Path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

Path part_of(const Path& path) { return Path(path.string() + ".part"); }

std::int64_t size_of(const Path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? -1 : static_cast<std::int64_t>(size);
}

// The hash of bytes [begin, end) of both files, or "" where one of them is too short.
std::string hash_ranges(std::ifstream& output, std::int64_t output_bytes, std::ifstream& quarantine,
                        std::int64_t quarantine_bytes) {
  Sha256 hash;
  for (const auto& [file, bytes] : {std::pair{&output, output_bytes}, std::pair{&quarantine, quarantine_bytes}}) {
    if (bytes == 0) continue;
    std::string text(static_cast<size_t>(bytes), '\0');
    if (!file->read(text.data(), bytes)) return "";
    hash.update(text);
  }
  return hash.hex();
}

std::string hash_block(std::string_view output_lines, std::string_view quarantine_lines) {
  Sha256 hash;
  hash.update(output_lines);
  hash.update(quarantine_lines);
  return hash.hex();
}

}  // namespace

Path BlockOutput::quarantine_path(const Path& output) { return Path(output.string() + ".quarantine.jsonl"); }

BlockOutput::BlockOutput(Path output, Path ledger, Json identity, bool fresh)
    : output_(std::move(output)),
      quarantine_(quarantine_path(output_)),
      ledger_(std::move(ledger)),
      identity_(std::move(identity)) {
  if (fresh) {
    // The ledger last: what a kill leaves of it speaks of files that are gone, which is a start from nothing.
    for (const Path& path : {output_, quarantine_, part_of(output_), part_of(quarantine_), ledger_})
      steerlm::remove_all(path);
  }
  if (is_there(ledger_)) {
    load_ledger();
    recover_files();
  } else {
    refuse_foreign_files();
  }
  if (!finished_) open_files();
}

// Reads identity and blocks up to the first line that is torn or makes no sense.
void BlockOutput::load_ledger() {
  const std::string bytes = read_file(ledger_, ExitCode::resources, "ledger");
  const auto is_count = [](const Json& line, const char* key) {
    return line.contains(key) && line.at(key).is_number_unsigned();
  };
  for (size_t start = 0; start < bytes.size();) {
    const size_t end = bytes.find('\n', start);
    if (end == std::string::npos) break;
    Json line;
    try {
      line = parse_json(std::string_view(bytes).substr(start, end - start), ledger_.string(), ExitCode::resources);
    } catch (const Error&) {
      break;
    }
    if (!line.is_object()) break;
    const std::int64_t ledger_end = static_cast<std::int64_t>(end) + 1;
    if (start == 0) {
      if (!line.contains("identity")) break;
      if (line.at("identity") != identity_) {
        fail(ExitCode::recipe, {.what = "another run has begun this output",
                                .where = ledger_.string(),
                                .found = dump_json(line.at("identity")),
                                .expected = dump_json(identity_),
                                .advice = "choose another output, or start over with --fresh"});
      }
      ledger_head_end_ = ledger_end;
    } else if (line.contains("finished")) {
      finished_ = true;
    } else {
      if (!is_count(line, "block") || line.at("block") != blocks_.size() || !is_count(line, "records") ||
          !is_count(line, "output_end") || !is_count(line, "quarantine_end") || !line.contains("sha256") ||
          !line.at("sha256").is_string() || !line.contains("counts")) {
        break;
      }
      blocks_.push_back({line.at("records").get<std::int64_t>(), line.at("output_end").get<std::int64_t>(),
                         line.at("quarantine_end").get<std::int64_t>(), line.at("sha256").get<std::string>(),
                         line.at("counts"), ledger_end});
    }
    start = end + 1;
  }
}

// How many blocks, from the first on, have their bytes in these files.
size_t BlockOutput::verified_blocks(const Path& output, const Path& quarantine) const {
  std::ifstream output_stream(output, std::ios::binary);
  std::ifstream quarantine_stream(quarantine, std::ios::binary);
  std::int64_t output_done = 0, quarantine_done = 0;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    if (block.output_end < output_done || block.quarantine_end < quarantine_done ||
        block.output_end > size_of(output) ||
        (block.quarantine_end > 0 && block.quarantine_end > size_of(quarantine)) ||
        hash_ranges(output_stream, block.output_end - output_done, quarantine_stream,
                    block.quarantine_end - quarantine_done) != block.sha256) {
      return b;
    }
    output_done = block.output_end;
    quarantine_done = block.quarantine_end;
  }
  return blocks_.size();
}

// Brings files and ledger to one state: the blocks that are whole in all of them.
void BlockOutput::recover_files() {
  if (ledger_head_end_ == 0) {
    refuse_foreign_files();
    return;
  }
  if (finished_ && !is_there(output_)) {  // taken away since: made again
    finished_ = false;
    blocks_.clear();
  }
  if (finished_) {
    if (size_of(output_) != output_end()) {
      fail(ExitCode::resources, {.what = "the output was changed after it was finished",
                                 .where = output_.string(),
                                 .found = std::to_string(size_of(output_)) + " bytes",
                                 .expected = std::to_string(output_end()) + " bytes",
                                 .advice = "take it elsewhere, or start over with --fresh"});
    }
    return;
  }
  // A kill inside finish() leaves files that have their final names already: ours if they hold just what the ledger
  // says.
  const bool output_published = is_there(output_) && !is_there(part_of(output_));
  const bool quarantine_published = is_there(quarantine_) && !is_there(part_of(quarantine_));
  if (output_published || quarantine_published) {
    const Path& output = output_published ? output_ : part_of(output_);
    const Path& quarantine = quarantine_published ? quarantine_ : part_of(quarantine_);
    const bool ours = verified_blocks(output, quarantine) == blocks_.size() &&
                      (!output_published || size_of(output_) == output_end()) &&
                      (!quarantine_published || size_of(quarantine_) == quarantine_end());
    if (ours && output_published) publish(output_, part_of(output_));
    if (ours && quarantine_published) publish(quarantine_, part_of(quarantine_));
  }
  if (is_there(output_) || is_there(quarantine_)) {
    const Path& place = is_there(output_) ? output_ : quarantine_;
    fail(ExitCode::resources, {.what = "an output that this run did not write is in the way",
                               .where = place.string(),
                               .advice = "choose another output, take the file elsewhere, or start over with --fresh"});
  }
  blocks_.resize(verified_blocks(part_of(output_), part_of(quarantine_)));
}

void BlockOutput::refuse_foreign_files() const {
  for (const Path& path : {output_, quarantine_, part_of(output_), part_of(quarantine_)}) {
    if (!is_there(path)) continue;
    fail(ExitCode::resources, {.what = "an output that no run of this directory wrote is in the way",
                               .where = path.string(),
                               .advice = "choose another output, take the file elsewhere, or start over with --fresh"});
  }
}

// The ledger first: a part file without one is nobody's.
void BlockOutput::open_files() {
  if (!output_.parent_path().empty()) make_directory(output_.parent_path());
  if (ledger_head_end_ == 0) {
    const std::string head = dump_json(Json{{"identity", identity_}}) + "\n";
    write_file_atomic(ledger_, head);
    ledger_head_end_ = static_cast<std::int64_t>(head.size());
  }
  const auto open_at = [](std::optional<OutputFile>& file, const Path& path, std::int64_t end) {
    file.emplace(path, OutputFile::Mode::append);
    if (file->size() > end) file->truncate(end);
  };
  open_at(ledger_file_, ledger_, blocks_.empty() ? ledger_head_end_ : blocks_.back().ledger_end);
  open_at(output_file_, part_of(output_), output_end());
  open_at(quarantine_file_, part_of(quarantine_), quarantine_end());
}

std::int64_t BlockOutput::records_done() const {
  std::int64_t records = 0;
  for (const Block& block : blocks_) records += block.records;
  return records;
}

std::vector<Json> BlockOutput::block_counts() const {
  std::vector<Json> counts;
  for (const Block& block : blocks_) counts.push_back(block.counts);
  return counts;
}

void BlockOutput::append(std::int64_t records, std::string_view output_lines, std::string_view quarantine_lines,
                         Json counts) {
  if (finished_) fail(ExitCode::bug, {.what = "a block for a finished output", .where = output_.string()});
  Block block{.records = records, .sha256 = hash_block(output_lines, quarantine_lines), .counts = std::move(counts)};
  output_file_->write(output_lines);
  output_file_->sync();
  block.output_end = output_file_->size();
  if (!quarantine_lines.empty()) {
    quarantine_file_->write(quarantine_lines);
    quarantine_file_->sync();
  }
  block.quarantine_end = quarantine_file_->size();
  Json line = Json::object();
  line["block"] = blocks_.size();
  line["records"] = static_cast<std::uint64_t>(block.records);
  line["output_end"] = static_cast<std::uint64_t>(block.output_end);
  line["quarantine_end"] = static_cast<std::uint64_t>(block.quarantine_end);
  line["sha256"] = block.sha256;
  line["counts"] = block.counts;
  ledger_file_->write(dump_json(line) + "\n");
  ledger_file_->sync();
  block.ledger_end = ledger_file_->size();
  blocks_.push_back(std::move(block));
}

void BlockOutput::finish() {
  if (finished_) return;
  if (quarantine_file_->size() > 0) {
    publish(part_of(quarantine_), quarantine_);
  } else {
    steerlm::remove_all(part_of(quarantine_));
  }
  publish(part_of(output_), output_);
  ledger_file_->write(dump_json(Json{{"finished", true}}) + "\n");
  ledger_file_->sync();
  finished_ = true;
}

}  // namespace steerlm
