// A cache of encoded training data that was cut, changed, or made by somebody else is not opened, or its damaged
// examples are refused: none is ever trained on. The first character of an input says how much of it is put right
// again: f all sums, so that the reader sees what is behind them; i those of index and foot; else none.
#include <zlib.h>

#include <cmath>
#include <cstring>

#include "fuzz/fuzz.h"
#include "steerlm/core/hash.h"
#include "steerlm/data/dataset_file.h"

namespace steerlm {
namespace {

constexpr std::int64_t vocab_size = 29;
constexpr std::size_t head_bytes = 8, foot_bytes = 128, entry_bytes = 24;
const Json key{{"a", 1}};

const Path& folder() {
  static const TemporaryFolder folder;
  return folder.path();
}

DataOptions data() {
  SourceOptions one, two;
  one.path = "a.jsonl", two.path = "b.jsonl";
  return {.train = {one, two}};
}

bool encode(DatasetBuilder& builder) {
  builder.puts_aside = true;
  for (std::int32_t i = 0; i < 5; ++i) {
    Example example{.ids = {i, i + 1, 28, i}, .target = {0, 1, 0, 1}, .labels = {static_cast<float>(i), std::nanf("")}};
    example.group = i < 2 ? -1 : i / 2;
    builder.add(i == 4 ? builder.validation : builder.train, example);
    if (i == 2) builder.refuse_or_put_aside({"b.jsonl", 7, "no record", "{}"}, data());
  }
  builder.train.counts.unobeyed = {{"'tools'", 2}};
  return builder.record_read();
}

std::uint64_t number_at(const std::string& bytes, std::size_t at) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t crc_of(std::string_view bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

// The sum of the bytes of each entry that leads into the examples.
void repair_entries(std::string& bytes, std::size_t index, std::size_t foot) {
  const std::uint64_t examples = number_at(bytes, foot + 24), all = (foot - index) / entry_bytes;
  for (std::uint64_t i = 0; i < all; ++i) {
    const std::size_t at = index + i * entry_bytes;
    const bool is_example = i < examples + number_at(bytes, foot + 32) || examples > all;
    ExampleEntry entry;
    std::memcpy(&entry, bytes.data() + at, sizeof entry);
    const std::uint64_t size = is_example ? example_bytes(entry) : entry.tokens;  // `bytes` of a BadRecordEntry
    if (entry.offset > index - head_bytes || size > index - head_bytes - entry.offset) continue;
    const std::uint32_t crc = crc_of(std::string_view(bytes).substr(head_bytes + entry.offset, size));
    std::memcpy(bytes.data() + at + (is_example ? 16 : 12), &crc, sizeof crc);
  }
}

void repair(std::string& bytes, bool entries) {
  if (bytes.size() < head_bytes + foot_bytes) return;
  const std::size_t foot = bytes.size() - foot_bytes;
  const std::uint64_t example_bytes = number_at(bytes, foot + 16);
  if (example_bytes <= foot - head_bytes) {
    const std::size_t index = head_bytes + example_bytes;
    if (entries) repair_entries(bytes, index, foot);
    const std::string hash = sha256_hex(std::string_view(bytes).substr(index, foot - index));
    for (std::size_t i = 0; i < 32; ++i)
      bytes[foot + 56 + i] = static_cast<char>(std::stoi(hash.substr(2 * i, 2), nullptr, 16));
  }
  const std::uint32_t crc = crc_of(std::string_view(bytes).substr(foot, foot_bytes - 8));
  std::memcpy(bytes.data() + foot + foot_bytes - 8, &crc, sizeof crc);
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  const Path path = folder() / "seed";
  std::filesystem::remove(path);
  {
    OutputFile file(path, OutputFile::Mode::create);
    write_dataset_file(file, key, encode);
  }
  const std::string bytes = read_file(path, ExitCode::bug, "seed");
  return {"f" + bytes, "i" + bytes, "p" + bytes};
}

std::vector<std::string> fuzz_words() {
  return json_words({"SLMDATA\n", R"("train":)", R"("validation":)", R"("examples":)", R"("label_sums":[)",
                     R"("unobeyed":{"'tools'":2})", std::string(8, '\0'), std::string(8, '\xFF'),
                     std::string("\x01\0\0\0\0\0\0\0", 8), std::string("\xFF\xFF\xFF\xFF\0\0\0\0", 8),
                     std::string(24, '\0')});
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  if (size == 0) return 0;
  std::string bytes(text_of(data + 1, size - 1));
  if (data[0] == 'f' || data[0] == 'i') repair(bytes, data[0] == 'f');
  const Path path = folder() / "cache";
  put_file(path, bytes);
  last_refusal.clear();
  const OpenedDataset opened = open_dataset_file(path, key, vocab_size, path);
  if (!opened.dataset) {
    last_refusal = opened.fault;
    return 0;
  }
  const Dataset& dataset = *opened.dataset;
  require(!dataset.train.empty(), "a training part without examples");
  for (const ExampleSet* part : {&dataset.train, &dataset.validation}) {
    require(ExampleGroups(*part).size() <= part->size(), "more groups than examples");
    for (std::size_t i = 0; i < part->size(); ++i) {
      read_or_refuse([&] {
        const Example example = (*part)[i];
        require(std::ssize(example.ids) == part->length(i) && !example.ids.empty(),
                "another length than the index has");
        require(example.target.empty() || example.target.size() == example.ids.size(), "targets of another length");
        require(example.labels.size() == (*part)[0].labels.size(), "labels of other attributes");
        for (const std::int32_t id : example.ids) require(id >= 0 && id < vocab_size, "an id that the model has not");
      });
    }
  }
  for (std::size_t i = 0; i < dataset.bad.size(); ++i) read_or_refuse([&] { dataset.bad.read(i, steerlm::data()); });
  return 0;
}
