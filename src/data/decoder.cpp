#include "data/decoder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "data/file_kind.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"

namespace steerlm {
namespace {

enum class Packing { none, gzip, zstd };

constexpr std::string_view gzip_magic = "\x1f\x8b";
constexpr std::string_view zstd_magic = "\x28\xb5\x2f\xfd";
constexpr int largest_window_log = 31;  // 2 GiB, what `zstd --long=31` packs with

// A frame, or a skippable frame, which pzstd and others write in front: 0x184D2A50 to 0x184D2A5F, little-endian.
bool is_zstd(std::string_view bytes) {
  const bool skippable = bytes.size() >= 4 && (bytes[0] & 0xF0) == 0x50 && bytes.substr(1, 3) == "\x2a\x4d\x18";
  return skippable || bytes.starts_with(zstd_magic);
}

// How far back a frame refers, which is what unpacking takes in memory: RFC 8878 section 3.1.1.1.2. 0 where the frame's
// first bytes do not say it.
std::uint64_t window_of(std::string_view frame) {
  constexpr int single_segment = 0x20;
  if (frame.size() < 6 || !frame.starts_with(zstd_magic) || (frame[4] & single_segment) != 0) return 0;
  const auto descriptor = static_cast<unsigned char>(frame[5]);
  const std::uint64_t base = std::uint64_t{1} << (10 + (descriptor >> 3));
  return base + base / 8 * (descriptor & 7);
}

}  // namespace

struct Decoder::State {
  std::string path;
  int descriptor = -1;
  Packing packing = Packing::none;
  std::vector<char> input = std::vector<char>(1 << 17);
  size_t input_size = 0;  // input[0 … input_size) was read, from input_used on it is not decoded yet
  size_t input_used = 0;
  bool input_ended = false;
  std::int64_t read_bytes = 0;
  std::int64_t file_bytes = 0;     // 0: not known
  std::uint64_t window_bytes = 0;  // of the Zstandard frame
  std::int64_t members = 0;        // of gzip, finished
  bool inside = false;             // within a gzip member or a zstd frame
  z_stream gzip{};
  ZSTD_DStream* zstd = nullptr;
  std::vector<char> output = std::vector<char>(1 << 18);

  ~State() {
    if (descriptor > 0) ::close(descriptor);
    if (packing == Packing::gzip) inflateEnd(&gzip);
    ZSTD_freeDStream(zstd);
  }

  std::string place() const { return path == "-" ? "standard input" : path; }

  [[noreturn]] void give_up(const std::string& what, const std::string& advice = "") const {
    fail(ExitCode::data, {.what = what, .where = place(), .advice = advice});
  }
  // Bytes of the file before what is being decoded.
  std::int64_t position() const { return read_bytes - static_cast<std::int64_t>(input_size - input_used); }
  // zlib says how far it came, to a few bytes; of a call that fails the zstd library does not.
  std::string where_noticed() const {
    const std::string from = std::to_string(position());
    return packing == Packing::gzip ? "near byte " + from
                                    : "between byte " + from + " and byte " + std::to_string(read_bytes);
  }
  [[noreturn]] void damaged(const std::string& how) const {
    fail(ExitCode::data, {.what = "the compressed file is damaged",
                          .where = place() + ", " + where_noticed(),
                          .found = how,
                          .advice = "unpack it again from its source, or copy it again"});
  }
  [[noreturn]] void no_memory(std::uint64_t bytes) const {
    fail(ExitCode::resources,
         {.what = "not enough memory to unpack the file",
          .where = place(),
          .found = bytes > 0 ? "packed with a window of " + std::to_string(bytes >> 20) + " MiB" : "",
          .advice = "unpack it on a machine with more: zstd -d --long=31"});
  }
  [[noreturn]] void refuse_zstd(size_t status) const {
    switch (ZSTD_getErrorCode(status)) {
      case ZSTD_error_memory_allocation:
        no_memory(window_bytes);
      case ZSTD_error_frameParameter_windowTooLarge:
        give_up("packed with a window of more than 2 GiB, which no program unpacks",
                "pack it again with zstd --long=31 or less");
      case ZSTD_error_dictionary_wrong:
        give_up("packed with a dictionary, which is not in the file", "unpack it: zstd -d -D DICTIONARY");
      case ZSTD_error_prefix_unknown:
        damaged("something else than Zstandard behind the end of a frame");
      case ZSTD_error_checksum_wrong:
        damaged("the checksum of a frame is not that of its content");
      default:
        damaged("not what a Zstandard frame can hold");
    }
  }

  void open() {
    if (path == "-") {
      descriptor = 0;
    } else {
      descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
      if (descriptor < 0) {
        const int error = errno;
        fail(code_of_open(error, ExitCode::data),
             {.what = "cannot read the data file: " + std::string(std::strerror(error)),
              .where = place(),
              .advice = error == ENOENT && path.find_first_of("*?[") != std::string::npos
                            ? "a pattern is not expanded here: name the files, or put them into one with cat"
                        : error == ENOENT ? download_advice(path)
                                          : advice_of_open(error)});
      }
      struct stat status {};
      if (::fstat(descriptor, &status) == 0) {
        // Of a pipe open(2) would have waited for a writer, deaf to signals; fill() waits for it.
        if (S_ISFIFO(status.st_mode)) ::fcntl(descriptor, F_SETFL, O_RDONLY);
        if (S_ISDIR(status.st_mode)) give_up("a folder where a data file is expected");
        if (is_endless(descriptor)) give_up("a device where a data file is expected");
        if (S_ISREG(status.st_mode)) file_bytes = status.st_size;
      }
    }
    while (input_size < zstd_magic.size() && fill()) {
    }
    const std::string_view name = path, head(input.data(), input_size);
    if (head.starts_with(gzip_magic)) {
      packing = Packing::gzip;
    } else if (is_zstd(head)) {
      packing = Packing::zstd;
    } else if (name.ends_with(".gz") || name.ends_with(".zst")) {
      auto kind = binary_kind(head);
      if (!kind && input_size > 0) kind = text_kind(head);
      const bool by_name = kind && kind->advice.find("read_csv") != std::string::npos;  // pandas believes the ending
      if (kind)
        give_up("this is " + kind->name + ", for all the ending of its name",
                (by_name ? "rename it, then " : "") + kind->advice);
      give_up(
          name.ends_with(".gz") ? "not a gzip file, for all its ending" : "not a Zstandard file, for all its ending",
          input_size == 0 ? "the file is empty" : "rename it if it holds plain lines");
    }
    if (packing == Packing::gzip) {
      if (inflateInit2(&gzip, 15 + 16) != Z_OK)
        fail(ExitCode::resources, {.what = "out of memory while unpacking", .where = place()});
    } else if (packing == Packing::zstd) {
      zstd = ZSTD_createDStream();
      if (zstd == nullptr || ZSTD_isError(ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, largest_window_log)))
        fail(ExitCode::resources, {.what = "out of memory while unpacking", .where = place()});
    }
  }

  // Reads once more behind what is there; false at the end of the file.
  bool fill() {
    if (input_ended) return false;
    if (input_used == input_size) input_used = input_size = 0;
    for (;;) {
      wait_to_read(descriptor, place());
      const ssize_t count = ::read(descriptor, input.data() + input_size, input.size() - input_size);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) give_up("cannot read the data file: " + std::string(std::strerror(errno)));
      input_ended = count == 0;
      input_size += static_cast<size_t>(count);
      read_bytes += count;
      return count > 0;
    }
  }

  // Zeros behind the last gzip member are padding (tape, dd), as gzip takes them.
  bool only_padding() {
    do {
      const char *begin = input.data() + input_used, *end = input.data() + input_size;
      if (std::any_of(begin, end, [](char c) { return c != '\0'; })) return false;
      input_used = input_size;
    } while (fill());
    return true;
  }

  // One call of the library: bytes written to `output`. Consumes at least one byte of input or writes at least one of
  // output.
  size_t inflate_some() {
    if (!inside && members > 0 && input_used < input_size && input[input_used] == '\0' && only_padding()) return 0;
    if (!inside) inflateReset(&gzip);
    inside = true;
    gzip.next_in = reinterpret_cast<Bytef*>(input.data() + input_used);
    gzip.avail_in = static_cast<uInt>(input_size - input_used);
    gzip.next_out = reinterpret_cast<Bytef*>(output.data());
    gzip.avail_out = static_cast<uInt>(output.size());
    const int status = ::inflate(&gzip, Z_NO_FLUSH);
    input_used = input_size - gzip.avail_in;
    if (status == Z_MEM_ERROR) no_memory(0);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
      damaged(gzip.total_in < 10 && members > 0 ? "something else than gzip behind the end of a member"
                                                : "not what a gzip member can hold, or a wrong checksum");
    if (status == Z_STREAM_END) {
      inside = false;  // another member may follow
      ++members;
    }
    return output.size() - gzip.avail_out;
  }

  size_t unzstd_some() {
    if (!inside) window_bytes = window_of(std::string_view(input.data(), input_size).substr(input_used));
    inside = true;
    ZSTD_inBuffer in{input.data(), input_size, input_used};
    ZSTD_outBuffer out{output.data(), output.size(), 0};
    const size_t status = ZSTD_decompressStream(zstd, &out, &in);
    if (ZSTD_isError(status)) refuse_zstd(status);
    if (status == 0) inside = false;  // the frame is whole; another may follow
    input_used = in.pos;
    return out.pos;
  }
};

Decoder::Decoder(const std::string& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->open();
}

Decoder::~Decoder() = default;

std::optional<double> Decoder::share_read() const {
  if (state_->file_bytes == 0) return std::nullopt;
  return std::min(1.0, static_cast<double>(state_->position()) / static_cast<double>(state_->file_bytes));
}

const char* Decoder::unpacker() const {
  if (state_->packing == Packing::none) return "";
  return state_->packing == Packing::gzip ? "gzip" : "zstd";
}

bool Decoder::read(std::string& out) {
  State& s = *state_;
  for (;;) {
    if (s.packing == Packing::none) {
      if (s.input_used == s.input_size && !s.fill()) return false;
      out.append(s.input.data() + s.input_used, s.input_size - s.input_used);
      s.input_used = s.input_size;
      return true;
    }
    if (s.input_used == s.input_size && !s.fill() && !s.inside) return false;
    const size_t before = s.input_used;
    const size_t written = s.packing == Packing::gzip ? s.inflate_some() : s.unzstd_some();
    out.append(s.output.data(), written);
    if (written > 0) return true;
    if (s.inside && s.input_used == before && s.input_ended) {
      fail(ExitCode::data,
           {.what = "the compressed file ends too early",
            .where = s.place() + ", byte " + std::to_string(s.read_bytes),
            .found = s.packing == Packing::gzip ? "the end inside a gzip member" : "the end inside a Zstandard frame",
            .advice = "the copy or download was cut off; get it again"});
    }
  }
}

}  // namespace steerlm
