// What the ledger of a BlockOutput says.
#include <tuple>

#include "data/block_files.h"
#include "steerlm/core/run_place.h"
#include "steerlm/data/block_job.h"

namespace steerlm {
namespace {

// The list of two texts at `key`; empty ones where there is none.
std::pair<std::string, std::string> text_pair(const Json& line, const char* key) {
  if (!line.contains(key) || !line.at(key).is_array() || line.at(key).size() != 2) return {};
  const Json &first = line.at(key)[0], &second = line.at(key)[1];
  if (!first.is_string() || !second.is_string()) return {};
  return {first.get<std::string>(), second.get<std::string>()};
}

bool is_input_hash(const Json& line) { return line.contains("input") && line.at("input").is_number_unsigned(); }

}  // namespace

// Whose the files of a ledger at `path` are that the run in the folder `by` has begun, and where they are now.
void BlockOutput::find_places(Ledger& ledger, const Json& by, const Path& path) {
  // A place that is not absolute would be another one in another current directory: it is nobody's.
  if (!ledger.quarantine.is_absolute() || !(ledger.output.empty() || ledger.output.is_absolute())) return;
  const Path folder = path.parent_path();
  const bool beside = !ledger.output.empty() && ledger.quarantine == quarantine_beside(ledger.output);
  if (is_identity_of(by, folder)) {
    ledger.own = true;
    const auto now = [&](const Path& place) {
      Path moved = place_now(place, by, folder);
      if (moved != place || is_there(place) || is_there(part_of(place))) return moved;
      const Path inside = place_in_run(place, by, folder);  // of what is at neither place
      return inside.empty() ? moved : inside;
    };
    if (!ledger.output.empty()) ledger.output = now(ledger.output);
    ledger.quarantine = beside ? quarantine_beside(ledger.output) : now(ledger.quarantine);
    return;
  }
  // A copy, or moved to another disk. What still lies where it was begun was not copied: it is the original's.
  const Path output = ledger.output.empty() ? Path() : place_in_run(ledger.output, by, folder);
  const Path quarantine = place_in_run(ledger.quarantine, by, folder);
  ledger.own =
      !quarantine.empty() && output.empty() == ledger.output.empty() && (output.empty() || output != ledger.output);
  if (!ledger.own) return;
  ledger.output = output;
  ledger.quarantine = quarantine;
}

// Up to the first line that is torn or makes no sense; nothing where that is the first.
std::optional<BlockOutput::Ledger> BlockOutput::read_ledger(const Path& path) {
  if (!is_regular(path)) return std::nullopt;
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
      const auto [output, quarantine] = text_pair(line, "files");
      if (!line.contains("identity") || quarantine.empty()) break;
      ledger.identity = line.at("identity");
      ledger.output = parse_place(output);
      ledger.quarantine = parse_place(quarantine);
      if (line.contains("by")) find_places(ledger, line.at("by"), path);
      ledger.head_end = ledger_end;
    } else if (line.contains("parts")) {
      std::tie(ledger.output_part, ledger.quarantine_part) = text_pair(line, "parts");
      (ledger.blocks.empty() ? ledger.head_end : ledger.blocks.back().ledger_end) = ledger_end;
    } else if (line.contains("finished")) {
      ledger.finished = true;
      std::tie(ledger.output_sha256, ledger.quarantine_sha256) = text_pair(line, "sha256");
    } else {
      const auto [output_sha256, quarantine_sha256] = text_pair(line, "sha256");
      if (!is_count(line, "block") || line.at("block") != ledger.blocks.size() || !is_count(line, "records") ||
          !is_count(line, "lines") || !is_count(line, "output_end") || !is_count(line, "quarantine_end") ||
          output_sha256.empty() || !line.contains("counts")) {
        break;
      }
      ledger.blocks.push_back({line.at("records").get<std::int64_t>(), line.at("output_end").get<std::int64_t>(),
                               line.at("quarantine_end").get<std::int64_t>(), line.at("lines").get<std::int64_t>(),
                               output_sha256, quarantine_sha256, line.at("counts"), ledger_end,
                               is_input_hash(line) ? line.at("input").get<std::uint64_t>() : 0});
    }
    start = end + 1;
  }
  if (ledger.head_end == 0) return std::nullopt;
  return ledger;
}

}  // namespace steerlm
