#include "steerlm/data/example_set.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include "steerlm/core/error.h"
#include "steerlm/data/batch.h"

namespace steerlm {
namespace {

static_assert(std::endian::native == std::endian::little, "encoded examples are little-endian");

constexpr std::uint64_t fixed_bytes = 3 * sizeof(double) + sizeof(std::int64_t) + 2 * sizeof(std::uint64_t);
static_assert(sizeof(size_t) == sizeof(std::uint64_t));

template <class T>
void append(const T* values, size_t count, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

template <class T>
void take(std::string_view& bytes, T* values, size_t count) {
  if (count > 0) std::memcpy(values, bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

}  // namespace

std::uint64_t example_bytes(const ExampleEntry& entry) {
  const std::uint64_t n = entry.tokens, mask = (entry.flags & ExampleEntry::has_target) != 0 ? (n + 7) / 8 : 0;
  return n * sizeof(std::int32_t) + mask + entry.labels * sizeof(float) + fixed_bytes;
}

ExampleEntry append_example(const Example& example, std::string& bytes) {
  // All members: one that is new does not compile until it is written and read here.
  const auto& [ids, target, labels, dialogue, weight, group, strength, sampling_log_p, pool_begin] = example;
  const size_t n = ids.size(), begin = bytes.size();
  if (n > std::numeric_limits<std::uint32_t>::max() || labels.size() > std::numeric_limits<std::uint16_t>::max() ||
      (!target.empty() && target.size() != n))
    throw std::logic_error("append_example: no entry can say how large the example is");
  ExampleEntry entry{.tokens = static_cast<std::uint32_t>(n),
                     .targets = static_cast<std::uint32_t>(target_count(example)),
                     .labels = static_cast<std::uint16_t>(labels.size()),
                     .flags = target.empty() ? std::uint16_t{0} : ExampleEntry::has_target};
  append(ids.data(), n, bytes);
  for (size_t i = 0; i < target.size(); i += 8) {
    unsigned bits = 0;
    for (size_t b = 0; b < 8 && i + b < n; ++b) bits |= target[i + b] != 0 ? 1u << b : 0u;
    bytes.push_back(static_cast<char>(bits));
  }
  append(labels.data(), labels.size(), bytes);
  append(&weight, 1, bytes);
  append(&strength, 1, bytes);
  append(&sampling_log_p, 1, bytes);
  append(&group, 1, bytes);
  append(&dialogue, 1, bytes);
  append(&pool_begin, 1, bytes);
  entry.crc = example_crc(std::string_view(bytes).substr(begin));
  return entry;
}

std::uint32_t example_crc(std::string_view bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

ExampleBytes::ExampleBytes(Path file, int descriptor, std::uint64_t begin)
    : file_(std::move(file)), descriptor_(descriptor), begin_(begin) {}

ExampleBytes::~ExampleBytes() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void ExampleBytes::refuse_damaged(const std::string& found) const {
  if (descriptor_ < 0) throw std::logic_error("examples in memory were changed: " + found);
  // Another process may have made it again meanwhile.
  struct stat ours {
  }, there{};
  const bool same = ::fstat(descriptor_, &ours) == 0 && ::lstat(file_.c_str(), &there) == 0 &&
                    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
  const bool removed = same && ::unlink(file_.c_str()) == 0;
  fail(ExitCode::resources,
       {.what = "the cache of the encoded training data is damaged" + std::string(removed ? " and was removed" : ""),
        .where = file_.string(),
        .found = found,
        .advice = removed || !same
                      ? "give the same command again: the data is encoded again, and the run goes on from its last "
                        "checkpoint"
                      : "remove the file and give the same command again"});
}

std::string ExampleBytes::read(const ExampleEntry& entry) const {
  return read(entry.offset, example_bytes(entry), entry.crc);
}

std::string ExampleBytes::read(std::uint64_t offset, std::uint64_t size, std::uint32_t crc) const {
  std::string bytes;
  if (descriptor_ < 0) {
    bytes = memory_.substr(offset, size);
  } else {
    bytes.resize(size);
    for (std::uint64_t done = 0; done < size;) {
      const ssize_t got =
          ::pread(descriptor_, bytes.data() + done, size - done, static_cast<off_t>(begin_ + offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_file("read", file_, errno);
      if (got == 0) refuse_damaged("the file has become shorter");
      done += static_cast<std::uint64_t>(got);
    }
  }
  if (example_crc(bytes) != crc)
    refuse_damaged("an example at byte " + std::to_string(begin_ + offset) + " that is not as it was written");
  return bytes;
}

ExampleSet::ExampleSet(std::span<const Example> examples) {
  std::string bytes;
  for (size_t i = 0; i < examples.size(); ++i) {
    const std::uint64_t offset = bytes.size();
    ExampleEntry& entry = entries_.emplace_back(append_example(examples[i], bytes));
    entry.offset = offset;
    if (i > 0 && same_group(examples[i - 1], examples[i])) entry.flags |= ExampleEntry::continues_group;
  }
  bytes_ = std::make_shared<const ExampleBytes>(std::move(bytes));
}

ExampleSet::ExampleSet(std::vector<ExampleEntry> entries, std::shared_ptr<const ExampleBytes> bytes,
                       std::int64_t vocab_size)
    : entries_(std::move(entries)), bytes_(std::move(bytes)), vocab_size_(vocab_size) {}

Example ExampleSet::operator[](size_t index) const {
  if (!bytes_) throw std::logic_error("the examples of a dry run have an index alone");
  const ExampleEntry& entry = entries_.at(index);
  const std::string stored = bytes_->read(entry);
  std::string_view bytes = stored;
  Example example;
  example.ids.resize(entry.tokens);
  take(bytes, example.ids.data(), example.ids.size());
  if ((entry.flags & ExampleEntry::has_target) != 0) {
    example.target.resize(entry.tokens);
    for (size_t i = 0; i < example.target.size(); ++i)
      example.target[i] = static_cast<std::uint8_t>(static_cast<unsigned char>(bytes[i / 8]) >> (i % 8) & 1);
    bytes.remove_prefix((example.target.size() + 7) / 8);
  }
  example.labels.resize(entry.labels);
  take(bytes, example.labels.data(), example.labels.size());
  take(bytes, &example.weight, 1);
  take(bytes, &example.strength, 1);
  take(bytes, &example.sampling_log_p, 1);
  take(bytes, &example.group, 1);
  take(bytes, &example.dialogue, 1);
  take(bytes, &example.pool_begin, 1);
  if (vocab_size_ > 0) {
    const auto known = [&](std::int32_t id) { return id >= 0 && id < vocab_size_; };
    if (!std::ranges::all_of(example.ids, known)) bytes_->refuse_damaged("an id that the tokenizer does not have");
    if (!std::isfinite(example.weight) || !std::isfinite(example.strength) || !std::isfinite(example.sampling_log_p))
      bytes_->refuse_damaged("a weight that is not finite");
    if (example.pool_begin >= std::max<size_t>(1, example.ids.size()))
      bytes_->refuse_damaged("a turn that begins behind its end");
    if (steerlm::target_count(example) != entry.targets)
      bytes_->refuse_damaged("another number of targets than the index has");
  }
  return example;
}

std::vector<Example> ExampleSet::read(std::span<const size_t> indices) const {
  std::vector<Example> examples;
  examples.reserve(indices.size());
  for (const size_t index : indices) examples.push_back((*this)[index]);
  return examples;
}

std::vector<Example> ExampleSet::read_all() const {
  std::vector<Example> examples;
  examples.reserve(size());
  for (size_t i = 0; i < size(); ++i) examples.push_back((*this)[i]);
  return examples;
}

std::vector<std::int64_t> ExampleSet::lengths() const {
  std::vector<std::int64_t> lengths;
  lengths.reserve(size());
  for (const ExampleEntry& entry : entries_) lengths.push_back(entry.tokens);
  return lengths;
}

ExampleGroups::ExampleGroups(const ExampleSet& examples) : examples_(examples.size()) {
  bool grouped = false;
  for (size_t i = 0; i < examples.size() && !grouped; ++i) grouped = examples.continues_group(i);
  for (size_t i = 0; i < examples.size() && grouped; ++i) {
    if (!examples.continues_group(i)) first_.push_back(i);
  }
}

ExampleGroup ExampleGroups::operator[](size_t group) const {
  if (first_.empty()) return {.first = group};
  return {.first = first_[group], .size = (group + 1 < first_.size() ? first_[group + 1] : examples_) - first_[group]};
}

}  // namespace steerlm
