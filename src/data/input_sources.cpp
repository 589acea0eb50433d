#include "data/input_sources.h"

#include <filesystem>
#include <utility>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

void check_standard_input(const std::vector<SourceOptions>& sources) {
  std::int64_t times = 0;
  for (const SourceOptions& source : sources) times += source.path == "-" ? source.repeat : 0;
  if (times > 1) {
    fail(ExitCode::recipe, {.what = "standard input can be read only once",
                            .found = std::to_string(times) + " times",
                            .advice = "write it to a file first"});
  }
  for (const SourceOptions& source : sources) {
    if (source.path != "-" || source.labels != SourceLabels::shuffle) continue;
    fail(ExitCode::recipe, {.what = "labels: shuffle reads its source twice, and standard input can be read only once",
                            .advice = "write it to a file first"});
  }
}

}  // namespace

InputSources::InputSources(std::vector<SourceOptions> sources) : sources_(std::move(sources)) {
  check_standard_input(sources_);
}

std::optional<InputObject> InputSources::next() {
  for (; source_ < sources_.size(); ++source_, repeat_ = 0) {
    for (; repeat_ < sources_[source_].repeat; ++repeat_) {
      if (!reader_) {
        reader_.emplace(sources_[source_]);
        ++passes_;
      }
      if (std::optional<InputObject> object = reader_->next()) {
        if (file() == "-") input_hash_ = object->input_hash;
        object->input_hash = input_hash_;
        return object;
      }
      blank_lines_ += reader_->blank_lines();
      reader_.reset();
    }
  }
  return std::nullopt;
}

std::optional<double> InputSources::share_read() const {
  double done = 0, all = 0;
  for (size_t s = 0; s < sources_.size(); ++s) {
    std::error_code error;
    const double bytes = static_cast<double>(std::filesystem::file_size(sources_[s].path, error));
    if (error || sources_[s].path == "-") return std::nullopt;
    const double passes = static_cast<double>(sources_[s].repeat);
    all += bytes * passes;
    const std::optional<double> share = s == source_ && reader_ ? reader_->share_read() : 0.0;
    if (!share) return std::nullopt;
    if (s == source_) done += bytes * (static_cast<double>(repeat_) + *share);
    if (s < source_) done += bytes * passes;
  }
  return all > 0 ? std::optional(done / all) : std::nullopt;
}

}  // namespace steerlm
