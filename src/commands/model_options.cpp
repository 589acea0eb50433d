// steerlm model: what its commands share.
#include "commands/model_options.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <iostream>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"
#include "steerlm/hf/config.h"

namespace steerlm {

std::uint64_t parse_shard_size(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, double>, 5> units{
      {{"", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}}};
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string unit(rest, end);
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (const auto& [name, factor] : units) {
    const double bytes = std::floor(number * factor);
    if (error == std::errc() && unit == name && bytes >= 1 && bytes <= 1e18) return static_cast<std::uint64_t>(bytes);
  }
  fail(ExitCode::recipe, {.what = "not a size",
                          .where = "--max-shard-size",
                          .found = text,
                          .expected = "a size such as 5GB, 300MB or 100KB"});
}

void check_dtype(const std::string& dtype) {
  const std::vector<std::string> dtypes = supported_dtypes();
  if (std::ranges::find(dtypes, dtype) != dtypes.end()) return;
  fail(ExitCode::recipe, {.what = "unknown dtype",
                          .where = "--dtype",
                          .found = dtype,
                          .expected = join(dtypes, " or "),
                          .advice = suggest(dtype, dtypes)});
}

void give_large_tensors_back() { ::mallopt(M_MMAP_THRESHOLD, 1 << 20); }

void make_output_folder(const Path& folder, const std::function<void(const Path& folder)>& write) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(folder, error)) return write(folder);
  Path made = folder;
  made += "." + std::to_string(::getpid()) + ".new";
  write(made);
  try {
    replace_file_by_folder(folder, made);
  } catch (...) {
    steerlm::remove_all(made);
    throw;
  }
}

}  // namespace steerlm
