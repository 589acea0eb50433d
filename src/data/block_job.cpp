#include "steerlm/data/block_job.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "data/block_files.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/run_files.h"
#include "steerlm/core/run_place.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/utf8.h"
#include "steerlm/data/compressor.h"
#include "steerlm/data/shard.h"

namespace steerlm {
namespace {

// Whole ones, with their ends.
std::vector<std::string> ledger_lines(const Path& path) {
  const std::string bytes = read_file(path, ExitCode::resources, "ledger");
  std::vector<std::string> lines;
  for (size_t start = 0, end = 0; (end = bytes.find('\n', start)) != std::string::npos; start = end + 1)
    lines.push_back(bytes.substr(start, end + 1 - start));
  return lines;
}

constexpr std::string_view parts_key = "{\"parts\":";

bool is_among(const std::vector<Path>& files, const Path& file) {
  return std::ranges::find(files, file) != files.end();
}

[[noreturn]] void refuse_in_the_way(const Path& path, const std::string& advice) {
  fail(ExitCode::resources,
       {.what = "a file that this run did not write is in the way", .where = path.string(), .advice = advice});
}

// An output's files, whose part files count too, may be there only as the run's own.
void refuse_foreign(const std::vector<Path>& files, const std::vector<Path>& own, bool overwrite) {
  for (const Path& path : files) {
    if (path.empty()) continue;
    if (is_there(path) && !is_among(own, path)) {
      if (!overwrite) refuse_in_the_way(path, "choose another output, or have the file replaced: --overwrite");
      check_output(path.string(), {.overwrite = true});
    }
    if (is_there(part_of(path)) && !is_among(own, part_of(path)))
      refuse_in_the_way(part_of(path),
                        "another run writes it, or has left it behind: choose another output, or remove the file");
  }
}

// Where the bad records go; an output that is written straight through has nothing beside it.
Path quarantine_of(const OutputPlace& place, const std::string& output, const Path& ledger) {
  if (place.through && ledger.empty()) return {};
  return place.through ? ledger.parent_path() / "quarantine.jsonl" : BlockOutput::quarantine_beside(output);
}

// The files that would be made beside the output are no more an input than the output itself.
OutputPlace place_of(const std::string& output, const Path& ledger, const BlockOutputOptions& options) {
  OutputPlace place = find_output(output, {.inputs = options.inputs, .make_folder = true});
  const Path quarantine = quarantine_of(place, output, ledger);
  std::vector<Path> beside;
  if (!quarantine.empty()) beside = {quarantine, part_of(quarantine)};
  if (!place.through) beside.push_back(part_of(place.file));
  if (options.is_shard) beside.push_back(shard_file(output));
  for (const Path& path : beside) refuse_input_as_output(path.string(), options.inputs);
  return place;
}

// How records were read, 0 where it is not said, and all that an identity says beside it.
std::pair<Json, Json> split_reading(Json identity) {
  Json reading = 0;
  if (identity.is_object() && identity.contains("reading")) {
    reading = identity.at("reading");
    identity.erase("reading");
  }
  return {std::move(reading), std::move(identity)};
}

Path output_place(const OutputPlace& place) { return place.through ? Path() : absolute_place(place.file); }

}  // namespace

void BlockOutput::refuse_foreign_ledger(const Path& ledger) {
  if (!ledger.empty() && is_there(ledger) && !read_ledger(ledger))
    refuse_in_the_way(ledger, "choose another output, or take the file elsewhere");
}

void BlockOutput::check(const std::string& output, const Path& ledger, const BlockOutputOptions& options) {
  const OutputPlace place = place_of(output, ledger, options);
  std::vector<Path> own;
  if (const auto known = read_ledger(ledger)) {
    own = own_files(*known);
    // The changed output of a finished run is set aside before the run writes; bad records that were changed are not.
    const bool set_aside = is_there(ledger.parent_path() / "done.json");
    if (known->finished && known->own && (!options.fresh || set_aside)) own.push_back(known->output);
    if (known->finished && known->own && !options.fresh) own.push_back(known->quarantine);
  }
  const Path quarantine = quarantine_of(place, output, ledger);
  refuse_foreign({output_place(place), quarantine.empty() ? quarantine : absolute_place(quarantine)}, own,
                 options.overwrite);
}

bool BlockOutput::has_quarantine(const Ledger& ledger, const Path& place) {
  return ledger.quarantine_sha256 == sha256_hex("") || has_sha256(place, ledger.quarantine_sha256);
}

bool BlockOutput::is_quarantine_at(const std::string& output, const Path& ledger) {
  const auto known = read_ledger(ledger);
  return known && known->finished && has_quarantine(*known, absolute_place(quarantine_beside(output)));
}

bool BlockOutput::is_finished_at(const std::string& output, const Path& ledger) {
  const auto known = read_ledger(ledger);
  std::error_code error;
  const Path place = std::filesystem::weakly_canonical(std::filesystem::absolute(output, error), error);
  return !error && known && known->finished && has_sha256(place, known->output_sha256);
}

std::optional<Path> BlockOutput::other_place(const std::string& output, const Path& ledger) {
  const auto known = read_ledger(ledger);
  std::error_code error;
  const auto status = std::filesystem::status(output, error);
  const bool may_be_file =
      status.type() == std::filesystem::file_type::regular || status.type() == std::filesystem::file_type::not_found;
  if (!known || !known->output.is_absolute() || !may_be_file) return std::nullopt;
  const Path now = std::filesystem::weakly_canonical(std::filesystem::absolute(output, error), error);
  if (error || now == known->output || (known->finished && !is_regular(known->output))) return std::nullopt;
  if (is_finished_at(output, ledger)) return std::nullopt;  // a copy of the whole project
  return known->output;
}

BlockOutput::BlockOutput(const std::string& output, Path ledger, const Json& identity, BlockOutputOptions options)
    : place_(place_of(output, ledger, options)), ledger_path_(std::move(ledger)), options_(std::move(options)) {
  refuse_foreign_ledger(ledger_path_);
  ledger_.identity = without_place(identity, ledger_path_.parent_path());
  ledger_.output = output_place(place_);
  const Path quarantine = quarantine_of(place_, output, ledger_path_);
  if (!quarantine.empty()) ledger_.quarantine = absolute_place(quarantine);
  if (find_invalid_utf8(output))  // the ledger is JSON
    fail(ExitCode::recipe, {.what = "the output's name is not valid UTF-8", .where = output});
  if (options_.fresh || place_.through)
    own_ = own_files(ledger_path_);
  else
    adopt_ledger();
  keep_inputs(own_);
  if (!ledger_.finished) refuse_foreign({ledger_.output, ledger_.quarantine}, own_, options_.overwrite);
}

// What an earlier run has written may be what this one reads.
void BlockOutput::keep_inputs(std::vector<Path>& own) const {
  std::erase_if(own, [&](const Path& path) { return is_read(path, options_.inputs); });
}

std::vector<Path> BlockOutput::own_files(const Path& path) {
  const auto ledger = read_ledger(path);
  return ledger ? own_files(*ledger) : std::vector<Path>{};
}

// A finished run's files have the hashes that its last line says. Those of another are part files; after a kill inside
// finish() one of them or both have their final names already, and all their bytes.
std::vector<Path> BlockOutput::own_files(const Ledger& ledger) {
  std::vector<Path> own;
  if (!ledger.own) return own;
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
  const auto add = [&](const Path& file, const Pieces& pieces, const std::string& begun) {
    if (file.empty()) return;
    if (is_own_part(pieces, part_of(file), begun))
      own.push_back(part_of(file));
    else if (!is_there(part_of(file)) && is_whole(pieces, file))
      own.push_back(file);
    if (is_packed_name(file.string()) && is_whole_packed(pieces, file)) own.push_back(file);
  };
  add(ledger.output, output, ledger.output_part);
  add(ledger.quarantine, quarantine, ledger.quarantine_part);
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
                            .advice = options_.advice});
  };
  // One that an earlier version has begun has all paths in full: it goes on where it lies as it lay.
  const Json begun = without_place(found->identity, ledger_path_.parent_path());
  const auto [reading, begun_apart] = split_reading(begun);
  const auto [reading_now, wanted_apart] = split_reading(ledger_.identity);
  const bool read_alike = reading == reading_now;
  const bool whole = found->finished && has_sha256(found->output, found->output_sha256);
  const bool same_place = found->output == ledger_.output && found->quarantine == ledger_.quarantine;
  // A finished output is what it is; of a shard the description says how records were read.
  const bool would_mix = !found->finished || (whole && options_.is_shard);
  if (!read_alike && same_place && found->own && would_mix && !found->blocks.empty()) {
    fail(ExitCode::recipe,
         {.what = "this output was begun by another version of the program, which reads records in another way",
          .where = ledger_path_.string(),
          .found = "reading " + dump_json(reading),
          .expected = "reading " + dump_json(reading_now),
          .advice = "start over with --fresh, or go on with that version"});
  }
  if (begun_apart != wanted_apart) refuse(dump_json(begun), dump_json(ledger_.identity));
  const auto counted = [&](const Block& block) {
    return block.counts.is_object() &&
           std::ranges::all_of(options_.counts, [&](const std::string& key) { return is_count(block.counts, key); });
  };
  const auto uncounted = std::ranges::find_if_not(found->blocks, counted);
  const bool listed = !options_.needs_quarantine || has_quarantine(*found, found->quarantine);
  if (same_place && whole && listed && uncounted == found->blocks.end()) {
    ledger_ = std::move(*found);
    own_ = own_files(ledger_);
    return;
  }
  if (same_place && found->finished && !whole && is_there(found->output) && !options_.overwrite) {
    fail(ExitCode::resources, {.what = "the output was changed after it was finished",
                               .where = place_.named,
                               .advice = "take it elsewhere, or have it replaced: --overwrite"});
  }
  if (same_place && whole && !listed) found->finished = false;  // goes on behind the last block that is listed
  // Begun anew: what was finished and is not there any more, what was written straight through, what is the output of
  // the run directory that this one is a copy of, and what another version left before its first block.
  const bool left = found->finished && (same_place || !is_regular(found->output));
  if (left || found->output.empty() || !found->own || (!read_alike && same_place)) {
    own_ = own_files(*found);
    return;
  }
  if (found->output != ledger_.output) refuse(found->output.string(), ledger_.output.string());
  if (!same_place) refuse(found->quarantine.string(), ledger_.quarantine.string());
  const auto good = static_cast<size_t>(uncounted - found->blocks.begin());
  ledger_ = std::move(*found);
  own_ = own_files(ledger_);
  Pieces output, quarantine;
  for (const Block& block : ledger_.blocks) {
    output.emplace_back(block.output_end, block.output_sha256);
    quarantine.emplace_back(block.quarantine_end, block.quarantine_sha256);
  }
  const auto whole_pieces = [&](const Pieces& pieces, const Path& file) {
    const bool published = is_among(own_, file);
    if (published && is_packed_name(file.string())) return pieces.size();  // that is how it is known
    return count_whole(pieces, published ? file : part_of(file));
  };
  ledger_.blocks.resize(
      std::min({whole_pieces(output, ledger_.output), whole_pieces(quarantine, ledger_.quarantine), good}));
}

// The ledger comes first, and goes last: a part file without one is nobody's.
void BlockOutput::open_files() {
  if (ledger_path_.empty()) {
    output_file_ = open_through(place_);
    return;
  }
  const bool goes_on = ledger_.head_end > 0;
  if (!goes_on) {  // the first block took its time: what has changed meanwhile is not removed
    std::vector<Path> own = own_files(ledger_path_);
    keep_inputs(own);
    std::erase_if(own_, [&](const Path& file) { return !is_among(own, file); });
    refuse_foreign({ledger_.output, ledger_.quarantine}, own_, options_.overwrite);
  }
  for (const Path& file : own_) {
    const bool published = file == ledger_.output || file == ledger_.quarantine;
    if (!goes_on || (published && ledger_.blocks.empty()))
      remove_own(file);
    else if (published && is_packed_name(file.string()))
      unpack_again(file, part_of(file));
    else if (published)
      publish_new(file, part_of(file));  // a kill inside finish(), which comes again
  }
  if (!goes_on) {
    refuse_foreign_ledger(ledger_path_);
    remove_file(ledger_path_);
    if (ledger_.output.has_parent_path()) make_directory(ledger_.output.parent_path());
    const Json files = {place_text(ledger_.output), place_text(ledger_.quarantine)};
    const Json by = folder_identity(ledger_path_.parent_path());
    const std::string head = dump_json(Json{{"identity", ledger_.identity}, {"files", files}, {"by", by}}) + "\n";
    write_in_run(ledger_path_, head);
    ledger_.head_end = static_cast<std::int64_t>(head.size());
    own_.clear();
  }
  const auto open_at = [&](std::optional<OutputFile>& file, const Path& path, std::int64_t end, bool own) {
    const auto require = [&](bool holds) {
      if (!holds)
        fail(ExitCode::resources,
             {.what = "the file was taken away meanwhile", .where = path.string(), .advice = "give the command again"});
    };
    require(!own || is_there(path));
    file.emplace(path, own ? OutputFile::Mode::append : OutputFile::Mode::create_new);
    lock(*file);
    require(file->size() >= end);
    if (file->size() > end) file->truncate(end);
  };
  const auto open_part = [&](std::optional<OutputFile>& file, const Path& path, std::int64_t end) {
    const bool own = is_among(own_, part_of(path)) || (is_among(own_, path) && !ledger_.blocks.empty());
    open_at(file, part_of(path), end, own);
  };
  open_at(ledger_file_, ledger_path_, ledger_.blocks.empty() ? ledger_.head_end : ledger_.blocks.back().ledger_end,
          true);
  open_part(quarantine_file_, ledger_.quarantine, quarantine_end());
  if (place_.through)
    output_file_ = open_through(place_);
  else
    open_part(output_file_, ledger_.output, output_end());
  // On disk before the part files hold anything.
  const Json parts = {place_.through ? "" : file_identity(part_of(ledger_.output)),
                      file_identity(part_of(ledger_.quarantine))};
  ledger_file_->write(dump_json(Json{{"parts", parts}}) + "\n");
  ledger_file_->sync();
}

void BlockOutput::check_skipped(std::int64_t left_to_skip) const {
  if (left_to_skip == 0) return;
  fail(ExitCode::recipe, {.what = "the input ends within what has been done already: it is another one",
                          .where = ledger_.output.string(),
                          .found = std::to_string(records_done() - left_to_skip) + " records",
                          .expected = "the " + std::to_string(records_done()) + " that are done, and what follows them",
                          .advice = "give the input as it was, or start over with --fresh"});
}

void BlockOutput::check_input(std::uint64_t input_hash) const {
  const std::uint64_t before = ledger_.blocks.empty() ? 0 : ledger_.blocks.back().input_hash;
  if (before == 0 || before == input_hash) return;
  fail(ExitCode::recipe,
       {.what = "standard input gives something else than before",
        .where = ledger_.output.string(),
        .found = "other lines among those of the " + std::to_string(records_done()) + " records that are done",
        .advice = "give the input as it was, or start over with --fresh"});
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

std::vector<BlockEnd> BlockOutput::block_ends() const {
  std::vector<BlockEnd> ends;
  for (const Block& block : ledger_.blocks)
    ends.push_back({block.records, block.output_end, block.quarantine_end, block.lines});
  return ends;
}

std::pair<std::string, std::string> BlockOutput::sha256() {
  if (ledger_.finished && !output_file_) {  // by an earlier run
    const bool packed = is_packed_name(ledger_.output.string());
    return {packed ? sha256_unpacked(ledger_.output) : ledger_.output_sha256, ledger_.quarantine_sha256};
  }
  if (!output_file_) open_files();
  const auto of = [](const std::optional<OutputFile>& file) {
    return file ? sha256_file(file->path(), ExitCode::resources) : sha256_hex("");
  };
  return {of(output_file_), of(quarantine_file_)};
}

void BlockOutput::append(std::int64_t records, std::string_view output_lines, std::string_view quarantine_lines,
                         Json counts, std::uint64_t input_hash) {
  if (ledger_.finished) fail(ExitCode::bug, {.what = "a block for a finished output", .where = place_.named});
  note_progress();
  if (!output_file_) open_files();
  if (ledger_path_.empty()) {
    if (!quarantine_lines.empty()) throw std::logic_error("bad records of an output without a ledger");
    output_file_->write(output_lines);
    ledger_.blocks.push_back({.records = records, .counts = std::move(counts)});
    return;
  }
  Block block{.records = records,
              .lines = std::ranges::count(output_lines, '\n'),
              .output_sha256 = sha256_hex(place_.through ? std::string_view() : output_lines),
              .quarantine_sha256 = sha256_hex(quarantine_lines),
              .counts = std::move(counts),
              .input_hash = input_hash};
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
  line["lines"] = static_cast<std::uint64_t>(block.lines);
  line["output_end"] = static_cast<std::uint64_t>(block.output_end);
  line["quarantine_end"] = static_cast<std::uint64_t>(block.quarantine_end);
  line["sha256"] = {block.output_sha256, block.quarantine_sha256};
  line["counts"] = block.counts;
  if (block.input_hash != 0) line["input"] = block.input_hash;
  ledger_file_->write(dump_json(line) + "\n");
  ledger_file_->sync();
  block.ledger_end = ledger_file_->size();
  ledger_.blocks.push_back(std::move(block));
}

// Which files the parts were says nothing any more, and is another one each time.
void BlockOutput::end_ledger(const Json& sha256) {
  std::string lines;
  for (const std::string& line : ledger_lines(ledger_path_)) {
    if (!line.starts_with(parts_key)) lines += line;
  }
  write_in_run(ledger_path_, lines + dump_json(Json{{"finished", true}, {"sha256", sha256}}) + "\n");
  ledger_.finished = true;
}

// Under the final names, then in the ledger.
void BlockOutput::publish_files(std::optional<OutputFile>& packed) {
  const Path quarantine_part = part_of(ledger_.quarantine), output_part = part_of(ledger_.output);
  // The hashes of what is published: nothing else is under these names.
  const Json sha256 = {place_.through ? "" : sha256_file(packed ? packed->path() : output_part, ExitCode::resources),
                       sha256_file(quarantine_part, ExitCode::resources)};
  // With --overwrite an old list of bad records gives way to an empty one: it would speak of another output.
  if (quarantine_file_->size() > 0 || is_there(ledger_.quarantine))
    publish_output(*quarantine_file_, ledger_.quarantine, options_.overwrite);
  else
    remove_file(quarantine_part);
  if (packed) {
    publish_output(*packed, ledger_.output, options_.overwrite);
    remove_file(output_part);
  } else if (!place_.through) {
    publish_output(*output_file_, ledger_.output, options_.overwrite);
  }
  end_ledger(sha256);
}

bool BlockOutput::finish() {
  if (ledger_.finished) return true;
  if (!output_file_) open_files();
  ledger_.finished = ledger_path_.empty();
  if (ledger_.finished) return true;
  std::optional<OutputFile> packed;
  if (!place_.through && is_packed_name(ledger_.output.string())) {
    packed = pack_beside(part_of(ledger_.output), ledger_.output);
    if (!packed) return false;
  }
  try {
    publish_files(packed);
  } catch (...) {
    if (packed) remove_file(packed->path());
    throw;
  }
  return true;
}

}  // namespace steerlm
