// What --version prints.
#include <torch/headeronly/version.h>

#include <string>

#include "commands/commands.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/version.h"
#include "steerlm/hf/config.h"

namespace steerlm {
namespace {

// Instruction sets that decide which kernels run, and that sums may differ by.
std::string cpu_text() {
  std::string text;
  const auto add = [&](bool there, const char* name) {
    if (there) text += (text.empty() ? "" : " ") + std::string(name);
  };
  __builtin_cpu_init();
  add(__builtin_cpu_supports("sse4.2"), "sse4.2");
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512bw"), "avx512bw");
  add(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
  add(__builtin_cpu_supports("avx512bf16"), "avx512bf16");
  return text;
}

}  // namespace

std::string commands::version() {
  return "steerlm " + program_version() + "\nlibtorch " TORCH_VERSION "\ncompiler " __VERSION__ "\ncpu " + cpu_text() +
         "\nmodels " + join(supported_architectures()) +
         "\nmodel files config.json, model.safetensors or its shards, tokenizer files\ndtypes " +
         join(supported_dtypes());
}

}  // namespace steerlm
