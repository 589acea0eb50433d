#include "stages/environment.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <sys/utsname.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <fstream>

#include "steerlm/core/version.h"

namespace steerlm {
namespace {

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

std::string cpu_features() { return at::get_cpu_capability(); }

Json describe_environment(const std::string& device, const Json& inputs) {
  utsname system{};
  ::uname(&system);
  return {{"steerlm", program_version()},
          {"libtorch", TORCH_VERSION},
          {"compiler", __VERSION__},
          {"system", std::string(system.sysname) + " " + system.release},
          {"cpu", cpu_model()},
          {"cpu_features", cpu_features()},
          {"threads", at::get_num_threads()},
          {"device", device},
          {"memory_bytes", static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE)},
          {"inputs", inputs}};
}

}  // namespace steerlm
