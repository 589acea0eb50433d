#include "data/decoder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "steerlm/core/paths.h"

namespace steerlm {
namespace {

enum class Packing { none, gzip, zstd };

constexpr std::string_view gzip_magic = "\x1f\x8b";
constexpr std::string_view zstd_magic = "\x28\xb5\x2f\xfd";

bool starts_with(const std::vector<char>& bytes, size_t size, std::string_view magic) {
  return size >= magic.size() && std::string_view(bytes.data(), magic.size()) == magic;
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
  bool inside = false;  // within a gzip member or a zstd frame
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
  [[noreturn]] void damaged() const {
    give_up("the compressed file is damaged", "unpack it again from its source, or copy it again");
  }

  void open() {
    if (path == "-") {
      descriptor = 0;
    } else {
      descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (descriptor < 0) {
        const int error = errno;
        give_up("cannot read the data file: " + std::string(std::strerror(error)),
                error == ENOENT ? download_advice(path, true) : "");
      }
      struct stat status {};
      if (::fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode))
        give_up("a folder where a data file is expected");
    }
    while (input_size < zstd_magic.size() && fill()) {
    }
    const std::string_view name = path;
    if (starts_with(input, input_size, gzip_magic)) {
      packing = Packing::gzip;
    } else if (starts_with(input, input_size, zstd_magic)) {
      packing = Packing::zstd;
    } else if (name.ends_with(".gz") || name.ends_with(".zst")) {
      give_up(
          name.ends_with(".gz") ? "not a gzip file, for all its ending" : "not a Zstandard file, for all its ending",
          input_size == 0 ? "the file is empty" : "rename it if it holds plain lines");
    }
    if (packing == Packing::gzip) {
      if (inflateInit2(&gzip, 15 + 16) != Z_OK)
        fail(ExitCode::resources, {.what = "out of memory while unpacking", .where = place()});
    } else if (packing == Packing::zstd) {
      zstd = ZSTD_createDStream();
      if (zstd == nullptr) fail(ExitCode::resources, {.what = "out of memory while unpacking", .where = place()});
    }
  }

  // Reads once more behind what is there; false at the end of the file.
  bool fill() {
    if (input_ended) return false;
    if (input_used == input_size) input_used = input_size = 0;
    for (;;) {
      const ssize_t count = ::read(descriptor, input.data() + input_size, input.size() - input_size);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) give_up("cannot read the data file: " + std::string(std::strerror(errno)));
      input_ended = count == 0;
      input_size += static_cast<size_t>(count);
      return count > 0;
    }
  }

  // One call of the library: bytes written to `output`. Consumes at least one byte of input or writes at least one of
  // output.
  size_t inflate_some() {
    if (!inside) inflateReset(&gzip);
    inside = true;
    gzip.next_in = reinterpret_cast<Bytef*>(input.data() + input_used);
    gzip.avail_in = static_cast<uInt>(input_size - input_used);
    gzip.next_out = reinterpret_cast<Bytef*>(output.data());
    gzip.avail_out = static_cast<uInt>(output.size());
    const int status = ::inflate(&gzip, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) damaged();
    if (status == Z_STREAM_END) inside = false;  // another member may follow
    input_used = input_size - gzip.avail_in;
    return output.size() - gzip.avail_out;
  }

  size_t unzstd_some() {
    inside = true;
    ZSTD_inBuffer in{input.data(), input_size, input_used};
    ZSTD_outBuffer out{output.data(), output.size(), 0};
    const size_t status = ZSTD_decompressStream(zstd, &out, &in);
    if (ZSTD_isError(status)) damaged();
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
      s.give_up("the compressed file ends too early", "the copy or download was cut off; get it again");
    }
  }
}

}  // namespace steerlm
