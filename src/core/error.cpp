#include "steerlm/core/error.h"

namespace steerlm {

std::string format_fault(const Fault& fault) {
  std::string text = fault.where.empty() ? "" : fault.where + ": ";
  text += fault.what;
  if (!fault.found.empty() && !fault.expected.empty()) {
    text += " (found " + fault.found + ", expected " + fault.expected + ")";
  } else if (!fault.found.empty()) {
    text += " (found " + fault.found + ")";
  } else if (!fault.expected.empty()) {
    text += " (expected " + fault.expected + ")";
  }
  if (!fault.advice.empty()) text += "; " + fault.advice;
  return text;
}

namespace {

std::string format_faults(const std::vector<Fault>& faults) {
  std::string text;
  for (const Fault& fault : faults) {
    if (!text.empty()) text += '\n';
    text += format_fault(fault);
  }
  return text;
}

}  // namespace

Error::Error(ExitCode code, Fault fault) : Error(code, std::vector<Fault>{std::move(fault)}) {}

Error::Error(ExitCode code, std::vector<Fault> faults)
    : std::runtime_error(format_faults(faults)), code_(code), faults_(std::move(faults)) {}

void fail(ExitCode code, Fault fault) { throw Error(code, std::move(fault)); }

}  // namespace steerlm
