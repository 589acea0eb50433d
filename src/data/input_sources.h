// The objects of several sources, one after another, each as often as it is repeated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/object_reader.h"

namespace steerlm {

class InputSources {
 public:
  // Throws recipe where standard input, which can be read once, would be read twice.
  explicit InputSources(std::vector<SourceOptions> sources);

  // InputObject::input_hash is that of the last line of standard input, also of an object of a file behind it.
  std::optional<InputObject> next();

  const std::string& file() const { return sources_[source_].path; }
  const SourceOptions& source() const { return sources_[source_]; }
  const std::vector<SourceOptions>& all() const { return sources_; }
  std::int64_t passes() const { return passes_; }  // through a file that were begun
  std::int64_t blank_lines() const { return blank_lines_ + (reader_ ? reader_->blank_lines() : 0); }
  // How much has been read, from 0 to 1, by bytes of the files as they are now; nothing where standard input is among
  // them.
  std::optional<double> share_read() const;

 private:
  std::vector<SourceOptions> sources_;
  size_t source_ = 0;
  std::int64_t repeat_ = 0;
  std::int64_t blank_lines_ = 0, passes_ = 0;
  std::uint64_t input_hash_ = 0;
  std::optional<ObjectReader> reader_;
};

}  // namespace steerlm
