#include "steerlm/report/metrics.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>

#include "steerlm/core/json.h"
#include "steerlm/core/run_files.h"

namespace steerlm {
namespace {

std::string format_value(double value) {
  if (!std::isfinite(value)) return "null";
  char buffer[32];
  // Counts stay whole numbers: 2000000, not 2e+06.
  const bool whole = value == std::trunc(value) && std::abs(value) < 0x1p53;
  const auto end = whole ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<std::int64_t>(value))
                         : std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, end.ptr};
}

// The step of a whole line, nothing where the line is torn.
std::optional<std::int64_t> step_of(const std::string& line) {
  const Json record = Json::parse(line, nullptr, false);
  if (!record.is_object() || !record.contains("step") || !record["step"].is_number_integer()) return std::nullopt;
  return record["step"].get<std::int64_t>();
}

}  // namespace

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string format_metrics(std::int64_t step, double time, const Metrics& values) {
  std::string line = "{\"step\":" + std::to_string(step) + ",\"time\":" + format_value(time);
  for (const auto& [name, value] : values) line += "," + dump_json(name) + ":" + format_value(value);
  return line + "}";
}

MetricsFile::MetricsFile(const Path& path, std::function<double()> clock)
    : file_(path, OutputFile::Mode::append), clock_(std::move(clock)) {}

void MetricsFile::write(std::int64_t step, const Metrics& values) {
  file_.write(format_metrics(step, clock_(), values) + "\n");
}

void MetricsFile::sync() { file_.sync(); }

void MetricsFile::cut_back(std::int64_t step) {
  const Path path = file_.path();
  const std::string bytes = read_file(path, ExitCode::resources, "metrics");
  std::string kept;
  for (size_t begin = 0; begin < bytes.size();) {
    const size_t end = bytes.find('\n', begin);
    if (end == std::string::npos) break;
    const std::string line = bytes.substr(begin, end - begin);
    if (const auto found = step_of(line); found && *found <= step) kept += line + '\n';
    begin = end + 1;
  }
  if (kept == bytes) return;
  write_in_run(path, kept);
  file_ = OutputFile(path, OutputFile::Mode::append);
}

}  // namespace steerlm
