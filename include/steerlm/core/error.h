// One error type that carries every fault found, and the exit code that the program ends with.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace steerlm {

enum class ExitCode : int {
  done = 0,
  recipe = 2,     // command line or recipe
  data = 3,       // records, annotation input
  model = 4,      // model folder, tokenizer, checkpoint
  resources = 5,  // disk, memory, device, unwritable or used run directory
  diverged = 6,   // training diverged
  bug = 70,       // our own mistake
  stopped = 75,   // stopped on request, everything saved
};

// What a user needs to mend one mistake. Only `what` is required.
struct Fault {
  std::string what;      // "unknown key 'learning_rat'"
  std::string where;     // "sft.yaml:12:3", "train.jsonl:7", "record 12, turn 3"
  std::string found;     // "11"
  std::string expected;  // "an integer from 0 to 9"
  std::string advice;    // "did you mean 'learning_rate'?"
};

// "where: what (found …, expected …); advice"
std::string format_fault(const Fault& fault);

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, Fault fault);
  Error(ExitCode code, std::vector<Fault> faults);

  ExitCode code() const { return code_; }
  const std::vector<Fault>& faults() const { return faults_; }

 private:
  ExitCode code_;
  std::vector<Fault> faults_;
};

[[noreturn]] void fail(ExitCode code, Fault fault);

}  // namespace steerlm
