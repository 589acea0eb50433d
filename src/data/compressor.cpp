#include "steerlm/data/compressor.h"

#include <zlib.h>
#include <zstd.h>

#include <new>
#include <stdexcept>
#include <vector>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

enum class Packing { none, gzip, zstd };

Packing packing_of(const std::string& name) {
  if (name.ends_with(".gz")) return Packing::gzip;
  return name.ends_with(".zst") ? Packing::zstd : Packing::none;
}

constexpr int gzip_level = 6, zstd_level = 3;
constexpr int gzip_header = 16;  // zlib: added to the window bits

}  // namespace

bool is_packed_name(const std::string& name) { return packing_of(name) != Packing::none; }

void refuse_packed_name(const std::string& name, const std::string& option) {
  if (!is_packed_name(name)) return;
  fail(ExitCode::recipe, {.what = "this output is not packed, and its name says that it is",
                          .where = option,
                          .found = "'" + name + "'",
                          .expected = "a name without .gz and .zst at its end",
                          .advice = "only outputs of JSON lines are packed by their names"});
}

struct Compressor::State {
  Packing packing;
  std::function<void(std::string_view)> sink;
  z_stream gzip{};
  ZSTD_CCtx* zstd = nullptr;
  std::string input;  // always packed in pieces of one size, so that the packed bytes depend on nothing else
  std::vector<char> output = std::vector<char>(1 << 17);

  ~State() {
    if (packing == Packing::gzip) deflateEnd(&gzip);
    ZSTD_freeCCtx(zstd);
  }

  void deflate_all(std::string_view bytes, int flush) {
    gzip.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    gzip.avail_in = static_cast<uInt>(bytes.size());
    do {
      gzip.next_out = reinterpret_cast<Bytef*>(output.data());
      gzip.avail_out = static_cast<uInt>(output.size());
      if (::deflate(&gzip, flush) == Z_STREAM_ERROR) throw std::logic_error("deflate");
      sink({output.data(), output.size() - gzip.avail_out});
    } while (gzip.avail_out == 0);
  }

  void zstd_all(std::string_view bytes, ZSTD_EndDirective end) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer out{output.data(), output.size(), 0};
      const size_t left = ZSTD_compressStream2(zstd, &out, &in, end);
      if (ZSTD_isError(left)) throw std::bad_alloc();  // there is no other reason
      sink({output.data(), out.pos});
      if (end == ZSTD_e_end ? left == 0 : in.pos == in.size) return;
    }
  }
};

Compressor::Compressor(const std::string& name, std::function<void(std::string_view)> sink)
    : state_(std::make_unique<State>()) {
  state_->packing = packing_of(name);
  state_->sink = std::move(sink);
  if (state_->packing == Packing::gzip &&
      deflateInit2(&state_->gzip, gzip_level, Z_DEFLATED, MAX_WBITS + gzip_header, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  if (state_->packing != Packing::zstd) return;
  state_->zstd = ZSTD_createCCtx();
  if (state_->zstd == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(state_->zstd, ZSTD_c_compressionLevel, zstd_level);
  ZSTD_CCtx_setParameter(state_->zstd, ZSTD_c_checksumFlag, 1);
}

Compressor::~Compressor() = default;

void Compressor::write(std::string_view bytes) {
  if (state_->packing == Packing::none) return state_->sink(bytes);
  constexpr size_t piece = 1 << 20;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, piece - state_->input.size());
    state_->input += part;
    bytes.remove_prefix(part.size());
    if (state_->input.size() < piece) continue;
    if (state_->packing == Packing::gzip)
      state_->deflate_all(state_->input, Z_NO_FLUSH);
    else
      state_->zstd_all(state_->input, ZSTD_e_continue);
    state_->input.clear();
  }
}

void Compressor::finish() {
  if (state_->packing == Packing::gzip) state_->deflate_all(state_->input, Z_FINISH);
  if (state_->packing == Packing::zstd) state_->zstd_all(state_->input, ZSTD_e_end);
}

}  // namespace steerlm
