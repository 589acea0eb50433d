// Examples as bytes, in memory or in a file, and an index of 24 bytes each: loops over all examples read the index
// alone, so that memory grows with the number of examples and not with their text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/data/example.h"

namespace steerlm {

// What the index says of an example; in a file as it is here, little-endian.
struct ExampleEntry {
  std::uint64_t offset = 0;   // of its bytes, from the first byte of the first example
  std::uint32_t tokens = 0;   // n
  std::uint32_t targets = 0;  // target_count()
  std::uint32_t crc = 0;      // CRC-32 of its bytes (zlib's)
  std::uint16_t labels = 0;   // a
  std::uint16_t flags = 0;    // of these:
  static constexpr std::uint16_t has_target = 1, continues_group = 2;  // the latter: same_group() as the one before
};
static_assert(sizeof(ExampleEntry) == 24);

// Bytes of an example with this entry: ids int32 (n); target (n) bits, the first in the lowest bit of the first byte,
// where there is one; labels float32 (a); weight, strength and sampling_log_p float64; group int64; dialogue uint64.
std::uint64_t example_bytes(const ExampleEntry& entry);
// Appends them, and returns the entry, less offset and continues_group.
ExampleEntry append_example(const Example& example, std::string& bytes);

// CRC-32 as zlib computes it.
std::uint32_t example_crc(std::string_view bytes);

// Where the bytes of examples are: in memory, in a file, or thrown away (a dry run looks at the index alone). A file is
// read with pread(2): of a mapping, a file that another process shortens would end this one with SIGBUS. The kernel
// keeps its pages for all processes that read it.
class ExampleBytes {
 public:
  explicit ExampleBytes(std::string memory) : memory_(std::move(memory)) {}
  // Takes the descriptor over; the examples begin at byte `begin`. `file` is for messages.
  ExampleBytes(Path file, int descriptor, std::uint64_t begin);
  ExampleBytes(const ExampleBytes&) = delete;
  ~ExampleBytes();

  // Throws resources where the bytes cannot be read or are not those that the entry is of; what of a file is damaged is
  // removed, so that the next run makes it again.
  std::string read(const ExampleEntry& entry) const;
  // The same for `size` bytes at `offset`.
  std::string read(std::uint64_t offset, std::uint64_t size, std::uint32_t crc) const;
  [[noreturn]] void refuse_damaged(const std::string& found) const;

 private:
  std::string memory_;
  Path file_;
  int descriptor_ = -1;
  std::uint64_t begin_ = 0;
};

class ExampleSet {
 public:
  ExampleSet() = default;
  // Copies into memory.
  ExampleSet(std::span<const Example> examples);
  ExampleSet(const std::vector<Example>& examples) : ExampleSet(std::span<const Example>(examples)) {}
  // `vocab_size`: an id that is not below it is damage; 0: ids are not looked at. Without `bytes` there is the index
  // alone.
  ExampleSet(std::vector<ExampleEntry> entries, std::shared_ptr<const ExampleBytes> bytes, std::int64_t vocab_size);

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  // Read and checked each time: by value. Throws as ExampleBytes::read.
  Example operator[](size_t index) const;
  std::vector<Example> read(std::span<const size_t> indices) const;
  std::vector<Example> read_all() const;

  // Of the index.
  std::int64_t length(size_t index) const { return entries_[index].tokens; }
  std::int64_t target_count(size_t index) const { return entries_[index].targets; }
  bool continues_group(size_t index) const { return (entries_[index].flags & ExampleEntry::continues_group) != 0; }
  std::vector<std::int64_t> lengths() const;

 private:
  std::vector<ExampleEntry> entries_;
  std::shared_ptr<const ExampleBytes> bytes_;
  std::int64_t vocab_size_ = 0;
};

// What training draws, counts as an item and keeps in one optimiser step: examples first … first + size.
struct ExampleGroup {
  size_t first = 0;
  size_t size = 1;
};
class ExampleGroups {
 public:
  explicit ExampleGroups(const ExampleSet& examples);
  size_t size() const { return first_.empty() ? examples_ : first_.size(); }
  ExampleGroup operator[](size_t group) const;

 private:
  size_t examples_;
  std::vector<size_t> first_;  // empty: each example is a group by itself
};

}  // namespace steerlm
