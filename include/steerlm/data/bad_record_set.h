// Records of the training data that cannot be used and were put aside: their descriptions are bytes beside those of the
// examples, in memory or in a file, with an index of 24 bytes each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "steerlm/data/example_set.h"
#include "steerlm/data/options.h"
#include "steerlm/data/record_reader.h"

namespace steerlm {

// In a file as it is here, little-endian.
struct BadRecordEntry {
  std::uint64_t offset = 0;  // of its bytes, from the first byte of the first example
  std::uint32_t bytes = 0;
  std::uint32_t crc = 0;     // CRC-32 of its bytes (zlib's)
  std::uint32_t source = 0;  // which of data.train, and behind them data.validation, from 0
  std::uint32_t unused = 0;
};
static_assert(sizeof(BadRecordEntry) == 24);

// Appends {"line", "reason", "record"} as JSON, and returns the entry, less offset and source. The file is known by its
// number alone: runs that share the bytes may call it otherwise.
BadRecordEntry append_bad_record(const BadRecord& bad, std::string& bytes);

class BadRecordSet {
 public:
  BadRecordSet() = default;
  BadRecordSet(std::vector<BadRecordEntry> entries, std::shared_ptr<const ExampleBytes> bytes);

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  // In the order in which they were read; `data` names the files. Throws as ExampleBytes::read.
  BadRecord read(size_t index, const DataOptions& data) const;

 private:
  std::vector<BadRecordEntry> entries_;
  std::shared_ptr<const ExampleBytes> bytes_;
};

}  // namespace steerlm
