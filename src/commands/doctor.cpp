// steerlm doctor: what this machine is to the program, and whether it works here.
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <thread>

#include "commands/commands.h"
#include "commands/doctor_gpu.h"
#include "steerlm/core/disk.h"
#include "steerlm/core/error.h"
#include "steerlm/core/fs.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

void line(const char* name, const std::string& text) { std::cout << fmt::format("{:<12}{}\n", name, text); }

// Bytes that /proc/meminfo gives for `key`; 0 where it gives none.
std::int64_t memory_info(const std::string& key) {
  std::ifstream info("/proc/meminfo");
  for (std::string text; std::getline(info, text);) {
    if (text.starts_with(key + ":")) return std::atoll(text.c_str() + key.size() + 1) * 1024;
  }
  return 0;
}

std::string limit_text(int resource, const char* name) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "";
  return fmt::format(", {} allows {}", name, format_bytes(static_cast<std::int64_t>(limit.rlim_cur)));
}

// Free space of a folder, after a file was made in it. Adds a fault where that does not work.
std::string folder_text(const Path& folder, std::vector<Fault>& faults) {
  std::string name = (folder / "steerlm-doctor-XXXXXX").string();
  const int descriptor = ::mkstemp(name.data());
  if (descriptor < 0) {
    faults.push_back({.what = std::string("cannot make a file in the folder: ") + std::strerror(errno),
                      .where = folder.string(),
                      .advice = "work in a folder that you may write to, and let TMPDIR name one"});
    return "cannot be written to";
  }
  ::close(descriptor);
  ::unlink(name.c_str());
  const std::optional<std::int64_t> free = free_disk_bytes(folder);
  return free ? format_bytes(*free) + " free in " + folder.string() : "unknown";
}

// (n, n) of small integers, which every dtype holds exactly.
at::Tensor small_integers(std::int64_t n, std::int64_t modulus, at::ScalarType dtype) {
  at::Tensor matrix = at::empty({n, n}, at::kFloat);
  float* const values = matrix.mutable_data_ptr<float>();
  const std::int64_t half = modulus / 2;
  for (std::int64_t i = 0; i < n * n; ++i) values[i] = static_cast<float>(i % modulus - half);
  return matrix.to(dtype);
}

// Multiplies two matrices until a fifth of a second has passed, and holds some entries against integer arithmetic.
std::string product_text(at::ScalarType dtype, std::vector<Fault>& faults) {
  constexpr std::int64_t n = 512;
  const at::Tensor a = small_integers(n, 5, dtype), b = small_integers(n, 3, dtype);
  const auto entry = [](std::int64_t row, std::int64_t column, std::int64_t modulus) {
    return (row * n + column) % modulus - modulus / 2;
  };
  at::Tensor product = linear_backward_input(a, b);  // the first one starts threads and chooses kernels
  const at::Tensor result = product.to(at::kFloat);
  const float* const values = result.const_data_ptr<float>();
  for (std::int64_t i = 0; i < n; i += 37) {
    for (std::int64_t j = 0; j < n; j += 41) {
      std::int64_t exact = 0;
      for (std::int64_t k = 0; k < n; ++k) exact += entry(i, k, 5) * entry(k, j, 3);
      const double error = std::fabs(static_cast<double>(values[i * n + j]) - static_cast<double>(exact));
      if (error <= std::fabs(static_cast<double>(exact)) / 128) continue;  // bf16 rounds the sum to 8 bits
      faults.push_back({.what = "a matrix product is wrong: the processor or libtorch is broken",
                        .found = fmt::format("{}", values[i * n + j]),
                        .expected = fmt::format("{}", exact)});
      return "wrong";
    }
  }
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  std::int64_t products = 0;
  double seconds = 0;
  for (; seconds < 0.2; seconds = std::chrono::duration<double>(Clock::now() - begin).count()) {
    product = linear_backward_input(a, b);
    ++products;
  }
  const double operations = 2.0 * static_cast<double>(n) * n * n * static_cast<double>(products);
  return fmt::format("right, {:.0f} GFLOP/s", operations / seconds / 1e9);
}

}  // namespace

int commands::doctor() {
  std::vector<Fault> faults;
  std::error_code error;
  const Path temporary = std::filesystem::temp_directory_path(error);
  std::cout << commands::version() << "\n";
  line("kernels", at::get_cpu_capability());
  line("threads", fmt::format("{} of {} processors", at::get_num_threads(), std::thread::hardware_concurrency()));
  line("memory", fmt::format("{} available of {}{}", format_bytes(memory_info("MemAvailable")),
                             format_bytes(memory_info("MemTotal")), limit_text(RLIMIT_AS, "ulimit -v")));
  line("disk", folder_text(".", faults) + limit_text(RLIMIT_FSIZE, "ulimit -f"));
  line("temporary", error ? "no such folder" : folder_text(temporary, faults));
  if (error) faults.push_back({.what = "TMPDIR names no folder: " + error.message(), .advice = "let it name one"});
  line("fp32", product_text(at::kFloat, faults));
  line("bf16", product_text(at::kBFloat16, faults));
  for (const auto& [name, text] : describe_gpus(faults)) line(name.c_str(), text);
  std::cout.flush();
  if (!faults.empty()) throw Error(ExitCode::resources, faults);
  return 0;
}

}  // namespace steerlm
