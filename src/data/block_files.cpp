#include "data/block_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "data/decoder.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/run_files.h"
#include "steerlm/core/run_place.h"
#include "steerlm/core/stop.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/compressor.h"

namespace steerlm {
namespace {

constexpr std::uint64_t largest_count = 1'000'000'000'000'000;  // sums of them stay in range

std::int64_t size_of(const Path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? -1 : static_cast<std::int64_t>(size);
}

bool is_run(const Path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / run_mark_folder / "run.json", error);
}

Path folder_above(Path folder, int levels) {
  for (int level = 0; level < levels; ++level) folder = folder.parent_path();
  return folder;
}

// What a quoted text of a recipe stands for that begins at text[at], and where it ends; nothing where it has no end.
std::optional<std::pair<std::string, size_t>> read_quoted(const std::string& text, size_t at) {
  std::string result;
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    const bool escaped = text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\\');
    if (escaped) ++at;
    result += text[at];
  }
  if (at >= text.size()) return std::nullopt;
  return std::pair(result, at + 1);
}

using Folders = std::vector<std::pair<std::string, std::string>>;  // "runs/1/" and what is put in its place

std::string without_place(const std::string& text, const Folders& folders) {
  const auto folder_at = [&](const std::string& path, size_t at) {
    return std::ranges::find_if(
        folders, [&](const auto& folder) { return path.compare(at, folder.first.size(), folder.first) == 0; });
  };
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const bool begins = at == 0 || std::string_view(" \n\"'[{,").find(text[at - 1]) != std::string_view::npos;
    if (!begins) {
      result += text[at++];
      continue;
    }
    // In a recipe's text a path has quotes where its characters need them, those of the folder too.
    const auto quoted = text[at] == '"' ? read_quoted(text, at) : std::nullopt;
    const auto folder = quoted ? folder_at(quoted->first, 0) : folder_at(text, at);
    if (folder == folders.end()) {
      const size_t end = quoted ? quoted->second : at + 1;
      result += text.substr(at, end - at);
      at = end;
      continue;
    }
    result += folder->second;
    if (quoted) result += quoted->first.substr(folder->first.size());
    at = quoted ? quoted->second : at + folder->first.size();
  }
  return result;
}

Json without_place(const Json& identity, const Folders& folders) {
  if (identity.is_string()) return without_place(identity.get<std::string>(), folders);
  Json result = identity;
  if (identity.is_structured()) {
    for (auto each = result.begin(); each != result.end(); ++each) *each = without_place(*each, folders);
  }
  return result;
}

}  // namespace

int runs_around(const Path& run_dir) {
  std::error_code error;
  Path folder = std::filesystem::absolute(run_dir.empty() ? "." : run_dir, error).lexically_normal();
  if (error) return 0;
  if (!folder.has_filename()) folder = folder.parent_path();
  int count = 0;
  while (folder.has_relative_path() && is_run(folder.parent_path())) {
    folder = folder.parent_path();
    ++count;
  }
  return count;
}

Path place_in_run(const Path& place, const Json& by, const Path& folder) {
  if (!is_run(folder) || !place.is_absolute() || !by.is_object() || !by.contains("place") ||
      !by.at("place").is_string())
    return {};
  const Path before = parse_place(by.at("place").get<std::string>());
  if (!before.is_absolute()) return {};
  const auto resolved = [](const Path& path) { return absolute_place(path / "name").parent_path(); };
  std::error_code error;
  const Path spelled = std::filesystem::absolute(folder, error).lexically_normal();
  if (error) return {};
  const Path around =
      resolved(folder_above(spelled.has_filename() ? spelled : spelled.parent_path(), runs_around(folder)));
  const Path now = (resolved(folder) / place.lexically_relative(before)).lexically_normal();
  const Path inside = now.lexically_relative(around);
  return inside.empty() || *inside.begin() == ".." ? Path() : now;
}

// runs/1/sft, which is in runs/1 -> "@/x" for "runs/1/sft/x", "@/../base/model" for "runs/1/base/model": the same
// however many run directories are around runs/1, and whether the current directory is in one of them.
Json without_place(const Json& identity, const Path& run_dir) {
  const int around = runs_around(run_dir);
  Folders folders;
  std::string way = "@/";
  Path folder = run_dir.has_filename() ? run_dir : run_dir.parent_path();
  for (int level = 0; around > 0 && level <= around && !folder.empty(); ++level) {
    folders.emplace_back(folder.string() + "/", way);
    folder = folder.parent_path();
    way += "../";
  }
  return folders.empty() ? identity : without_place(identity, folders);
}

bool is_count(const Json& line, const std::string& key) {
  return line.contains(key) && line.at(key).is_number_unsigned() && line.at(key) <= largest_count;
}

bool is_there(const Path& path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

bool is_regular(const Path& path) {
  std::error_code error;
  return std::filesystem::symlink_status(path, error).type() == std::filesystem::file_type::regular;
}

Path part_of(const Path& path) { return Path(path.string() + ".part"); }

bool has_sha256(const Path& file, const std::string& sha256) {
  return !sha256.empty() && is_regular(file) && sha256_file(file, ExitCode::resources) == sha256;
}

// Between opening and locking another process may have finished the file: then it has its final name, and is whole.
void lock(const OutputFile& file) {
  const auto refuse = [&](const std::string& what) {
    fail(ExitCode::resources, {.what = what, .where = file.path().string(), .advice = "give the command again"});
  };
  if (::flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    refuse("another process is writing this file");
  struct stat opened {
  }, named{};
  if (::fstat(file.descriptor(), &opened) != 0 || ::lstat(file.path().c_str(), &named) != 0 ||
      opened.st_dev != named.st_dev || opened.st_ino != named.st_ino)
    refuse("another process has moved this file away");
}

void remove_own(const Path& path) {
  const OutputFile file(path, OutputFile::Mode::append);
  lock(file);
  remove_file(path);
}

std::string file_identity(const Path& path) {
  struct statx status {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &status) != 0) return "";
  std::string identity = std::to_string(status.stx_ino);
  if ((status.stx_mask & STATX_BTIME) != 0)
    identity += "@" + std::to_string(status.stx_btime.tv_sec) + "." + std::to_string(status.stx_btime.tv_nsec);
  return identity;
}

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

bool is_own_part(const Pieces& pieces, const Path& file, const std::string& begun) {
  if (!is_regular(file)) return false;
  if (size_of(file) == 0) return true;
  const auto first = std::ranges::find_if(pieces, [](const auto& piece) { return piece.first > 0; });
  if (first == pieces.end()) return !begun.empty() && file_identity(file) == begun;
  const Pieces up_to_it(pieces.begin(), first + 1);
  return count_whole(up_to_it, file) == up_to_it.size();
}

bool is_whole(const Pieces& pieces, const Path& file) {
  return is_regular(file) && size_of(file) == (pieces.empty() ? 0 : pieces.back().first) &&
         count_whole(pieces, file) == pieces.size();
}

bool is_whole_packed(const Pieces& pieces, const Path& file) {
  try {
    Decoder decoder(file.string());
    std::string buffer;
    std::int64_t done = 0;
    for (const auto& [end, sha256] : pieces) {
      while (std::ssize(buffer) < end - done) {
        if (!decoder.read(buffer)) return false;
      }
      if (end < done || sha256_hex(buffer.substr(0, static_cast<size_t>(end - done))) != sha256) return false;
      buffer.erase(0, static_cast<size_t>(end - done));
      done = end;
    }
    return buffer.empty() && !decoder.read(buffer);
  } catch (const Error&) {
    return false;  // not packed, or not whole
  }
}

std::string sha256_unpacked(const Path& file) {
  Decoder decoder(file.string());
  Sha256 hash;
  for (std::string buffer; decoder.read(buffer); buffer.clear()) hash.update(buffer);
  return hash.hex();
}

std::optional<OutputFile> pack_beside(const Path& part, const Path& output) {
  std::optional<OutputFile> packed = create_temporary(output);
  try {
    Compressor compressor(output.string(), [&](std::string_view bytes) { packed->write(bytes); });
    std::ifstream lines(part, std::ios::binary);
    std::string buffer(1 << 20, '\0');
    while (lines && !stop_requested()) {
      lines.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      compressor.write({buffer.data(), static_cast<size_t>(lines.gcount())});
    }
    if (lines.bad()) fail_file("read", part, EIO);
    if (!stop_requested()) {
      compressor.finish();
      return packed;
    }
  } catch (...) {
    remove_file(packed->path());
    throw;
  }
  remove_file(packed->path());
  return std::nullopt;
}

void unpack_again(const Path& output, const Path& part) {
  if (!is_there(part)) {
    OutputFile unpacked = create_temporary(part);
    Decoder decoder(output.string());
    for (std::string buffer; decoder.read(buffer); buffer.clear()) unpacked.write(buffer);
    unpacked.sync();
    publish_new(unpacked.path(), part);
  }
  remove_file(output);
}

}  // namespace steerlm
