// A target with one mistake of each kind, which driver_test.sh wants to see found. The first input is $FINDING.
#include <cstdlib>
#include <limits>

#include "fuzz/fuzz.h"

namespace steerlm {

std::vector<std::string> fuzz_seeds() { return {std::getenv("FINDING")}; }
std::vector<std::string> fuzz_words() { return {}; }

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  const std::string_view word = text_of(data, size);
  volatile int number = std::numeric_limits<int>::max();
  read_or_refuse([&] {
    if (word == "refusal") fail(ExitCode::data, {.what = "not taken"});
    if (word == "mistake") fail(ExitCode::bug, {.what = "a mistake of the program"});
    if (word == "exception") throw std::runtime_error("another exception");
    if (word == "over-read") number = data[size];
    if (word == "overflow") number = number + 1;
    if (word == "assertion") number = static_cast<int>(std::vector<int>(3)[size]);
    if (word == "signal") std::abort();
    if (word == "allocation") number = static_cast<int>(std::string(std::size_t{4} << 30, 'x').size());
    for (std::vector<std::string> all; word == "memory";) all.emplace_back(100 << 20, 'x');
    while (word == "time") number = 1;
    if (word == "leak") new std::string(word);
  });
  return 0;
}
