// What the fuzz targets share. A target gives a reader any bytes; the reader takes them or throws steerlm::Error. Any
// other exception, a signal, a sanitizer's report, too much memory and too much time are findings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/error.h"
#include "steerlm/core/fs.h"
#include "support/temporary_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace steerlm {

// Each target defines these two: inputs that are taken, to start from, and words of the format.
std::vector<std::string> fuzz_seeds();
std::vector<std::string> fuzz_words();

// What the reader said to the last input, without what it found and where: "" where it took it.
inline std::string last_refusal;

// A mistake of the program itself is a finding, whatever it is thrown as.
inline void read_or_refuse(const std::function<void()>& read) {
  last_refusal.clear();
  try {
    read();
  } catch (const Error& error) {
    if (error.code() == ExitCode::bug) throw;
    for (const Fault& fault : error.faults()) last_refusal += fault.what + "; ";
  }
}

// What must hold of what was read.
inline void require(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error(what);
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The bytes of a file; a new one, so that no link or device is written to.
inline void put_file(const Path& path, std::string_view bytes) {
  std::filesystem::remove(path);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  require(file.good(), "cannot write " + path.string());
}

// Inputs may name the folder that a target works in, which is another one each time.
inline constexpr std::string_view folder_word = "@FOLDER@";
inline std::string with_folder(std::string text, const Path& folder) {
  for (std::size_t at = 0; (at = text.find(folder_word, at)) != std::string::npos; at += folder.string().size())
    text.replace(at, folder_word.size(), folder.string());
  return text;
}

inline Path fixture(const std::string& name) { return Path(STEERLM_SOURCE_DIR) / "tests/fixtures" / name; }
inline std::string fixture_bytes(const std::string& name) { return read_file(fixture(name), ExitCode::bug, "fixture"); }

// What a JSON reader may stumble over.
inline std::vector<std::string> json_words(std::vector<std::string> more) {
  more.insert(more.end(), {"null",
                           "true",
                           "false",
                           "{}",
                           "[]",
                           "\"\"",
                           "-1",
                           "0",
                           "0.5",
                           "1e999",
                           "-0",
                           "1e-99",
                           "\\u0000",
                           "\\ud800",
                           "\\\\",
                           ",",
                           ":",
                           "{",
                           "}",
                           "[",
                           "]",
                           "\"",
                           "[[[[",
                           "{\"a\":",
                           "9223372036854775807",
                           "9223372036854775808",
                           "18446744073709551615",
                           "18446744073709551616",
                           "4294967296",
                           "\xEF\xBB\xBF",
                           "\n"});
  return more;
}

}  // namespace steerlm
