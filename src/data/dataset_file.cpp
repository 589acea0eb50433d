#include "steerlm/data/dataset_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "steerlm/core/hash.h"

namespace steerlm {
namespace {

constexpr std::string_view magic = "SLMDATA\n";
constexpr size_t most_json_bytes = 16 << 20;

struct Foot {
  char magic[8];
  std::uint32_t format, unused;
  std::uint64_t example_bytes, train, validation, bad, json_bytes;
  std::uint8_t content[32];  // SHA-256 of index and JSON
  std::uint8_t key[32];      // SHA-256 of the key's text
  std::uint32_t crc, unused_too;
};
static_assert(sizeof(Foot) == 128 && std::is_trivially_copyable_v<Foot>);

std::uint32_t crc_of(const Foot& foot) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const unsigned char*>(&foot), offsetof(Foot, crc)));
}

// The 32 bytes that 64 hexadecimal digits spell.
void put_hash(const std::string& hex, std::uint8_t* bytes) {
  const auto digit = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  for (size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::uint8_t>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
}

template <class T>
std::string_view bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Calls act(name, member) for all counts.
template <class Counts, class Act>
void for_each_count(Counts& counts, Act&& act) {
  auto& [conversations, examples, label_examples, dropped_over_length, pairs, without_preference, truncated,
         without_target, unlabelled_turns, labelled_turns, marker_text, tokens, target_tokens, longest, unobeyed,
         label_sums, label_values, groups, single, alike, effective_responses] = counts;
  act("conversations", conversations);
  act("examples", examples);
  act("label_examples", label_examples);
  act("dropped_over_length", dropped_over_length);
  act("pairs", pairs);
  act("without_preference", without_preference);
  act("truncated", truncated);
  act("without_target", without_target);
  act("unlabelled_turns", unlabelled_turns);
  act("labelled_turns", labelled_turns);
  act("marker_text", marker_text);
  act("tokens", tokens);
  act("target_tokens", target_tokens);
  act("longest", longest);
  act("unobeyed", unobeyed);
  act("label_sums", label_sums);
  act("label_values", label_values);
  act("groups", groups);
  act("single", single);
  act("alike", alike);
  act("effective_responses", effective_responses);
}

Json counts_json(const DatasetCounts& counts) {
  Json json = Json::object();
  for_each_count(counts, [&](const char* name, const auto& value) { json[name] = value; });
  return json;
}

// Throws a library exception for what counts_json cannot have written.
DatasetCounts parse_counts(const Json& json) {
  DatasetCounts counts;
  for_each_count(counts, [&](const char* name, auto& value) { json.at(name).get_to(value); });
  return counts;
}

// Why a file cannot be used.
struct Unusable {
  std::string why;
  bool foreign = false;
};

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

  void read(void* target, std::uint64_t count, std::uint64_t offset) const {
    char* at = static_cast<char*>(target);
    while (count > 0) {
      const ssize_t got = ::pread(number_, at, count, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw Unusable{std::string("it cannot be read: ") + std::strerror(errno)};
      if (got == 0) throw Unusable{"it has become shorter"};
      at += got;
      count -= static_cast<std::uint64_t>(got);
      offset += static_cast<std::uint64_t>(got);
    }
  }

 private:
  int number_;
};

// Throws Unusable where the entries of a part, or of both together, are not of the examples' bytes.
void check_entries(const std::vector<ExampleEntry>& entries, std::uint64_t all_bytes, std::uint64_t& used) {
  for (size_t i = 0; i < entries.size(); ++i) {
    const ExampleEntry& entry = entries[i];
    const std::uint64_t bytes = example_bytes(entry);
    const bool first_of_group = (entry.flags & ExampleEntry::continues_group) == 0;
    const std::uint16_t known_flags = ExampleEntry::has_target | ExampleEntry::continues_group;
    const bool fits = entry.offset <= all_bytes && bytes <= all_bytes - entry.offset;
    if (entry.tokens == 0 || entry.targets > entry.tokens || (entry.flags & ~known_flags) != 0 || !fits ||
        (i == 0 && !first_of_group) || bytes > all_bytes - used || entry.labels != entries.front().labels)
      throw Unusable{"its index is wrong"};
    used += bytes;
  }
}

void check_entries(const std::vector<BadRecordEntry>& entries, std::uint64_t all_bytes, std::uint64_t& used) {
  for (const BadRecordEntry& entry : entries) {
    const bool fits = entry.offset <= all_bytes && entry.bytes <= all_bytes - entry.offset;
    if (!fits || entry.bytes > all_bytes - used || entry.unused != 0) throw Unusable{"its index is wrong"};
    used += entry.bytes;
  }
}

Foot read_foot(const Descriptor& file, std::uint64_t size) {
  std::array<char, magic.size()> first{};
  const size_t begin = std::min<size_t>(first.size(), size);  // a kill of the machine may leave an empty file
  file.read(first.data(), begin, 0);
  if (std::string_view(first.data(), begin) != magic.substr(0, begin))
    throw Unusable{"it is another kind of file", true};
  if (size < magic.size() + sizeof(Foot)) throw Unusable{"it was cut"};
  Foot foot{};
  file.read(&foot, sizeof foot, size - sizeof foot);
  if (std::string_view(foot.magic, sizeof foot.magic) != magic || foot.crc != crc_of(foot) || foot.unused != 0 ||
      foot.unused_too != 0)
    throw Unusable{"it was cut or changed"};
  return foot;
}

// Whether the parts of the file, whose sizes the foot has, are together as large as the file is. No sum overflows.
bool sizes_fit(const Foot& foot, std::uint64_t size) {
  std::uint64_t left = size - magic.size() - sizeof foot;
  const auto take = [&](std::uint64_t count, std::uint64_t bytes) {
    if (count > left / bytes) return false;
    left -= count * bytes;
    return true;
  };
  return take(foot.example_bytes, 1) && take(foot.train, sizeof(ExampleEntry)) &&
         take(foot.validation, sizeof(ExampleEntry)) && take(foot.bad, sizeof(BadRecordEntry)) &&
         take(foot.json_bytes, 1) && left == 0;
}

Dataset read_dataset(const Path& name, Descriptor& file, const Foot& foot, std::int64_t vocab_size) {
  std::vector<ExampleEntry> train(foot.train), validation(foot.validation);
  std::vector<BadRecordEntry> bad(foot.bad);
  std::string json(foot.json_bytes, '\0');
  std::uint64_t offset = magic.size() + foot.example_bytes;
  const auto read_index = [&](auto& entries) {
    const std::uint64_t size = bytes_of(entries).size();
    file.read(entries.data(), size, offset);
    offset += size;
  };
  read_index(train);
  read_index(validation);
  read_index(bad);
  file.read(json.data(), json.size(), offset);
  Sha256 hash;
  for (const std::string_view part : {bytes_of(train), bytes_of(validation), bytes_of(bad), std::string_view(json)})
    hash.update(part);
  std::uint8_t content[32];
  put_hash(hash.hex(), content);
  if (std::memcmp(content, foot.content, sizeof content) != 0) throw Unusable{"its index was changed"};
  std::uint64_t used = 0;
  check_entries(train, foot.example_bytes, used);
  check_entries(validation, foot.example_bytes, used);
  check_entries(bad, foot.example_bytes, used);
  if (used != foot.example_bytes || train.empty()) throw Unusable{"its index is wrong"};
  DatasetCounts train_counts, validation_counts;
  try {
    const Json description = parse_json(json, name.string(), ExitCode::resources);
    train_counts = parse_counts(description.at("train"));
    validation_counts = parse_counts(description.at("validation"));
  } catch (const Error&) {
    throw Unusable{"its description is wrong"};
  } catch (const Json::exception&) {
    throw Unusable{"its description is wrong"};
  }
  const auto bytes = std::make_shared<const ExampleBytes>(name, file.release(), magic.size());
  return {.train = {std::move(train), bytes, vocab_size},
          .validation = {std::move(validation), bytes, vocab_size},
          .train_counts = std::move(train_counts),
          .validation_counts = std::move(validation_counts),
          .bad = {std::move(bad), bytes}};
}

}  // namespace

bool write_dataset_file(OutputFile& file, const Json& key, const std::function<bool(DatasetBuilder&)>& encode) {
  file.write(magic);
  DatasetBuilder builder([&](std::string_view bytes) { file.write(bytes); });
  if (!encode(builder)) return false;
  builder.flush();
  Foot foot{};
  std::ranges::copy(magic, foot.magic);
  foot.format = dataset_file_format;
  foot.example_bytes = static_cast<std::uint64_t>(file.size()) - magic.size();
  foot.train = builder.train.entries.size();
  foot.validation = builder.validation.entries.size();
  foot.bad = builder.bad.size();
  const std::string json = dump_json({{"key", key},
                                      {"train", counts_json(builder.train.counts)},
                                      {"validation", counts_json(builder.validation.counts)}});
  foot.json_bytes = json.size();
  Sha256 hash;
  for (const std::string_view part : {bytes_of(builder.train.entries), bytes_of(builder.validation.entries),
                                      bytes_of(builder.bad), std::string_view(json)}) {
    hash.update(part);
    file.write(part);
  }
  put_hash(hash.hex(), foot.content);
  put_hash(sha256_hex(dump_json(key)), foot.key);
  foot.crc = crc_of(foot);
  file.write({reinterpret_cast<const char*>(&foot), sizeof foot});
  return true;
}

OpenedDataset open_dataset_file(const Path& path, const Json& key, std::int64_t vocab_size, const Path& name) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe must not hang
  if (file.get() < 0 && errno == ENOENT) return {};
  try {
    if (file.get() < 0) throw Unusable{std::string("it cannot be opened: ") + std::strerror(errno)};
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) throw Unusable{"it is no file", true};
    const auto size = static_cast<std::uint64_t>(status.st_size);
    const Foot foot = read_foot(file, size);
    std::uint8_t wanted[32];
    put_hash(sha256_hex(dump_json(key)), wanted);
    if (foot.format != dataset_file_format || std::memcmp(foot.key, wanted, sizeof wanted) != 0) return {};
    if (!sizes_fit(foot, size) || foot.json_bytes > most_json_bytes) throw Unusable{"its sizes are wrong"};
    return {read_dataset(name, file, foot, vocab_size), ""};
  } catch (const Unusable& unusable) {
    return {std::nullopt, unusable.why, unusable.foreign};
  }
}

}  // namespace steerlm
