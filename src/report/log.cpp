#include "steerlm/report/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <mutex>
#include <utility>

#include "report/standard_error.h"

namespace steerlm {
namespace {

// "warning: " and "error: " before the message, nothing before an info; %* in the pattern.
class LevelPrefix : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& line) override {
    std::string_view prefix;
    if (message.level == spdlog::level::warn) prefix = "warning: ";
    if (message.level == spdlog::level::err) prefix = "error: ";
    line.append(prefix.data(), prefix.data() + prefix.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<LevelPrefix>(); }
};

// A sink over a function: standard error, or a file that goes through core/fs as every file does.
class FunctionSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FunctionSink(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    write_({line.data(), line.size()});
  }
  void flush_() override {}

 private:
  std::function<void(std::string_view)> write_;
};

}  // namespace

constexpr const char* file_pattern = "%Y-%m-%d %H:%M:%S %l %v";

struct Log::State {
  spdlog::logger logger{"steerlm"};
  std::shared_ptr<spdlog::sinks::sink> holding;  // until there is a file
  std::string held;
};

Log::Log(bool quiet) : Log(quiet, ::isatty(STDERR_FILENO) == 1, write_standard_error) {}

Log::Log(bool quiet, bool terminal, std::function<void(std::string_view)> write) : state_(std::make_unique<State>()) {
  auto sink = std::make_shared<FunctionSink>(std::move(write));
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  // On a terminal the line may hold a progress bar: it is wiped first, and drawn again below by its next update.
  formatter->add_flag<LevelPrefix>('*').set_pattern(terminal ? "\r\x1b[K%*%v" : "%*%v");
  sink->set_formatter(std::move(formatter));
  sink->set_level(quiet ? spdlog::level::warn : spdlog::level::info);
  state_->logger.sinks().push_back(std::move(sink));
  state_->logger.set_level(spdlog::level::debug);  // what standard error leaves out
  state_->holding = std::make_shared<FunctionSink>([held = &state_->held](std::string_view line) { *held += line; });
  state_->holding->set_pattern(file_pattern);
  state_->logger.sinks().push_back(state_->holding);
  // spdlog calls this inside its catch clause and would go on; a run whose log cannot be written must not.
  state_->logger.set_error_handler([](const std::string&) { throw; });
}

Log Log::silent() {
  return Log(true, false, [](std::string_view) {});
}

Log::~Log() = default;
Log::Log(Log&&) noexcept = default;

void Log::open_file(const Path& path) {
  auto file = std::make_shared<OutputFile>(path, OutputFile::Mode::append);
  auto sink = std::make_shared<FunctionSink>([file](std::string_view line) { file->write(line); });
  sink->set_pattern(file_pattern);
  if (state_->holding) {
    file->write(state_->held);
    std::erase(state_->logger.sinks(), state_->holding);
    state_->holding.reset();
    state_->held.clear();
  }
  state_->logger.sinks().push_back(std::move(sink));
}

void Log::info(std::string_view message) { state_->logger.info(message); }
void Log::note(std::string_view message) { state_->logger.debug(message); }
void Log::warn(std::string_view message) { state_->logger.warn(message); }
void Log::error(std::string_view message) { state_->logger.error(message); }

}  // namespace steerlm
