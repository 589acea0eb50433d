// Runs a fuzz target where there is no libFuzzer, which is how g++ builds it:
//   NAME_fuzz [--seconds N] [--executions N] [--seed N]    mutated inputs; 60 s unless something is said
//   NAME_fuzz FILE…                                        these inputs, in this process: for a debugger
//   NAME_fuzz --write-seeds FOLDER                         the first inputs, as a corpus for libFuzzer
// The inputs are a function of the seed alone. An input that is refused in words that were not seen before is mutated
// further, and so are some of those that are taken. Inputs run in a child, so that whatever ends it leaves the input
// that did it; exit code 1 then, and the input in a file of the current folder.
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <new>
#include <optional>
#include <unordered_set>

#include "fuzz/fuzz.h"
#include "steerlm/core/rng.h"
#include "support/damage_bytes.h"

// One allocation of more than 3 GiB is a finding (a little more than 2 are asked for where a file was packed by zstd
// --long=31); of what is in use at the same time 2 GiB are, which the parent watches.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "max_allocation_size_mb=3072:quarantine_size_mb=32"; }

namespace steerlm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t max_input_bytes = 1 << 20;
constexpr std::size_t max_corpus = 4000;
constexpr std::int64_t max_resident_bytes = std::int64_t{2} << 30;
constexpr int max_input_seconds = 10;  // of processor time
constexpr int max_wait_seconds = 300;  // of anything

struct Options {
  std::optional<std::uint64_t> seconds, executions;
  std::uint64_t seed = 1;
  std::string seed_folder;
  std::vector<std::string> files;
};

// What the child tells the parent.
struct Shared {
  std::atomic<std::uint64_t> executions, taken, corpus;
  std::size_t size;
  char bytes[max_input_bytes];
};

Options parse(int argc, char** argv) {
  Options options;
  const auto number = [&](int at) {
    const std::string_view text = at < argc ? argv[at] : "";
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
      std::cerr << argv[at - 1] << " needs a number\n";
      std::exit(2);
    }
    return value;
  };
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seconds") {
      options.seconds = number(++i);
    } else if (word == "--executions") {
      options.executions = number(++i);
    } else if (word == "--seed") {
      options.seed = number(++i);
    } else if (word == "--write-seeds" && i + 1 < argc) {
      options.seed_folder = argv[++i];
    } else if (word.starts_with("--")) {
      std::cerr << "usage: " << argv[0]
                << " [--seconds N] [--executions N] [--seed N] | --write-seeds FOLDER | FILE…\n";
      std::exit(2);
    } else {
      options.files.push_back(word);
    }
  }
  if (!options.seconds && !options.executions) options.seconds = 60;
  return options;
}

// A copy of its own length: reading past its end is seen.
void run_once(std::string_view input) {
  const auto bytes = std::make_unique<std::uint8_t[]>(input.size());
  std::memcpy(bytes.get(), input.data(), input.size());
  LLVMFuzzerTestOneInput(bytes.get(), input.size());
}

class Mutator {
 public:
  Mutator(std::vector<std::string> corpus, std::vector<std::string> words, std::uint64_t seed)
      : corpus_(std::move(corpus)), words_(std::move(words)), seeds_(corpus_.size()), seed_(seed) {}

  std::uint64_t seeds() const { return seeds_; }
  std::size_t corpus_size() const { return corpus_.size(); }

  // The seeds come first, as they are.
  std::string next() {
    if (made_ < seeds_) return corpus_[made_++];
    rng_ = Rng(seed_, "fuzz", made_++);
    std::string input = corpus_[rng_.below(corpus_.size())];
    do edit(input);
    while (rng_.below(2) == 0);
    if (input.size() > max_input_bytes) input.resize(max_input_bytes);
    return input;
  }

  // What is worth going on from.
  void learn(const std::string& input, const std::string& refusal) {
    const bool is_new = refusal.empty() ? rng_.below(16) == 0 : refusals_.insert(fnv1a(words_of(refusal))).second;
    if (!is_new) return;
    if (corpus_.size() < max_corpus)
      corpus_.push_back(input);
    else
      corpus_[rng_.below(corpus_.size())] = input;
  }

 private:
  // Without what the input itself brought into the message: quoted texts and numbers.
  static std::string words_of(const std::string& refusal) {
    std::string words;
    bool quoted = false;
    for (const char c : refusal) {
      if (c == '\'' || c == '"')
        quoted = !quoted;
      else if (!quoted && std::isdigit(static_cast<unsigned char>(c)) == 0)
        words += c;
    }
    return words;
  }

  // A place, as often as not one where a text format has a border.
  std::size_t place(const std::string& bytes) {
    const std::size_t at = rng_.below(bytes.size() + 1);
    if (rng_.below(2) == 0) return at;
    const std::size_t border = bytes.find_first_of("{}[],:\"\n -", at);
    return border == std::string::npos ? at : border;
  }
  std::pair<std::size_t, std::size_t> range(const std::string& bytes) {
    std::size_t begin = place(bytes), end = place(bytes);
    if (begin > end) std::swap(begin, end);
    if (rng_.below(4) != 0) end = std::min(end, begin + 16);
    return {begin, end - begin};
  }

  void edit(std::string& input) {
    switch (rng_.below(10)) {
      case 0:
      case 1:
        return damage_bytes(input, rng_);
      case 2:  // one bit
        if (!input.empty()) {
          char& byte = input[rng_.below(input.size())];
          byte = static_cast<char>(byte ^ (1 << rng_.below(8)));
        }
        return;
      case 3:
      case 4:  // a word, in place of something or in between
        if (!words_.empty()) {
          const auto [begin, size] = range(input);
          input.replace(begin, rng_.below(2) == 0 ? 0 : size, words_[rng_.below(words_.size())]);
        }
        return;
      case 5: {  // a range once more, elsewhere
        const auto [begin, size] = range(input);
        const std::string copy = input.substr(begin, size);
        input.insert(place(input), copy);
        return;
      }
      case 6: {  // a range of another input
        const std::string& other = corpus_[rng_.below(corpus_.size())];
        const auto [from, size] = range(other);
        const auto [begin, replaced] = range(input);
        input.replace(begin, rng_.below(2) == 0 ? 0 : replaced, other, from, size);
        return;
      }
      case 7: {  // without a range
        const auto [begin, size] = range(input);
        input.erase(begin, size);
        return;
      }
      case 8:
        return edit_number(input);
      default: {  // the front of this one, the back of another
        const std::string& other = corpus_[rng_.below(corpus_.size())];
        input = input.substr(0, place(input)) + other.substr(place(other));
        return;
      }
    }
  }

  // A number that is written in digits.
  void edit_number(std::string& input) {
    const std::size_t begin = input.find_first_of("0123456789", rng_.below(input.size() + 1));
    if (begin == std::string::npos) return;
    const std::size_t end = std::min(input.find_first_not_of("0123456789", begin), input.size());
    static constexpr std::string_view numbers[] = {
        "0", "1", "-1", "2147483648", "4294967295", "9223372036854775807", "18446744073709551615", "1e308", "0.5"};
    std::uint64_t value = 0;
    std::from_chars(input.data() + begin, input.data() + end, value);
    const std::uint64_t kind = rng_.below(4);
    const std::string text = kind == 0   ? std::to_string(value + 1)
                             : kind == 1 ? std::to_string(value - 1)
                             : kind == 2 ? std::to_string(rng_.below(300))
                                         : std::string(numbers[rng_.below(std::size(numbers))]);
    input.replace(begin, end - begin, text);
  }

  std::vector<std::string> corpus_, words_;
  std::uint64_t seeds_, seed_, made_ = 0;
  Rng rng_{0, "", 0};
  std::unordered_set<std::uint64_t> refusals_;
};

// Ends the process, by SIGPROF, that computes too long on one input.
void start_timer() {
  const itimerval timer{.it_interval = {}, .it_value = {.tv_sec = max_input_seconds, .tv_usec = 0}};
  ::setitimer(ITIMER_PROF, &timer, nullptr);
}

void run_child(const Options& options, Shared& shared) {
  Mutator mutator(fuzz_seeds(), fuzz_words(), options.seed);
  const auto begun = Clock::now();
  const auto over = [&](std::uint64_t done) {
    if (options.executions && done >= *options.executions) return true;
    return options.seconds && Clock::now() - begun >= std::chrono::seconds(*options.seconds);
  };
  for (std::uint64_t done = 0; !over(done);) {
    const std::string input = mutator.next();
    shared.size = input.size();
    std::memcpy(shared.bytes, input.data(), input.size());
    start_timer();
    run_once(input);
    mutator.learn(input, last_refusal);
    if (last_refusal.empty()) ++shared.taken;
    shared.corpus = mutator.corpus_size();
    shared.executions = ++done;
    if (done == mutator.seeds()) require(shared.taken > 0, "no seed is taken: what comes of them says little");
  }
}

std::int64_t resident_bytes(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/statm");
  std::int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

// How the child ended, "" where it found nothing.
std::string watch(pid_t child, const Shared& shared) {
  std::uint64_t last = 0;
  auto moved = Clock::now();
  for (;;) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
        return "one input took more than " + std::to_string(max_input_seconds) + " s";
      if (WIFSIGNALED(status)) return std::string("the process was ended by: ") + ::strsignal(WTERMSIG(status));
      return WEXITSTATUS(status) == 0 ? "" : "the process ended with " + std::to_string(WEXITSTATUS(status));
    }
    if (shared.executions != last) {
      last = shared.executions;
      moved = Clock::now();
    }
    std::string finding;
    if (resident_bytes(child) > max_resident_bytes) finding = "more than 2 GiB of memory";
    if (Clock::now() - moved > std::chrono::seconds(max_wait_seconds)) finding = "one input never ended";
    if (!finding.empty()) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      return finding;
    }
    ::usleep(20'000);
  }
}

int fuzz(const Options& options, const std::string& program) {
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  require(memory != MAP_FAILED, "no shared memory");
  Shared& shared = *new (memory) Shared{};
  const auto begun = Clock::now();
  const pid_t child = ::fork();
  require(child >= 0, "no process");
  if (child == 0) {
    try {
      run_child(options, shared);
    } catch (const std::exception& error) {
      std::cerr << "exception: " << error.what() << "\n";
      std::_Exit(3);
    }
    std::exit(0);  // leaks are looked for
  }
  const std::string finding = watch(child, shared);
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  const std::string name = Path(program).filename().string();
  const std::uint64_t done = shared.executions;
  std::cout << name << ": seed " << options.seed << ", " << done << " executions in " << static_cast<int>(seconds)
            << " s, " << static_cast<std::uint64_t>(static_cast<double>(done) / seconds) << " a second, "
            << shared.taken << " taken, " << shared.corpus << " inputs in the corpus, "
            << (finding.empty() ? "no finding" : "FINDING: " + finding) << std::endl;
  if (finding.empty()) return 0;
  const std::string file = name + "-" + std::to_string(options.seed) + "-" + std::to_string(done) + ".input";
  put_file(file, {shared.bytes, shared.size});
  std::cout << "the input is in " << file << "; again: " << program << " " << file << std::endl;
  return 1;
}

int run(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (!options.seed_folder.empty()) {
    make_directory(options.seed_folder);
    int number = 0;
    for (const std::string& seed : fuzz_seeds())
      put_file(Path(options.seed_folder) / ("seed-" + std::to_string(++number)), seed);
    return 0;
  }
  for (const std::string& file : options.files) {
    run_once(read_file(file, ExitCode::data, "input"));
    std::cout << file << ": " << (last_refusal.empty() ? "taken" : "refused: " + last_refusal) << std::endl;
  }
  return options.files.empty() ? fuzz(options, argv[0]) : 0;
}

}  // namespace
}  // namespace steerlm

int main(int argc, char** argv) {
  // Targets write files: in memory, and below a folder that goes whatever happens to the child.
  if (std::getenv("TMPDIR") == nullptr && std::filesystem::is_directory("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 1);
  const steerlm::TemporaryFolder folder;
  ::setenv("TMPDIR", folder.path().c_str(), 1);
  return steerlm::run(argc, argv);
}
