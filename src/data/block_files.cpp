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
#include "steerlm/core/stop.h"
#include "steerlm/data/compressor.h"

namespace steerlm {
namespace {

constexpr std::uint64_t largest_count = 1'000'000'000'000'000;  // sums of them stay in range

std::int64_t size_of(const Path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? -1 : static_cast<std::int64_t>(size);
}

}  // namespace

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
