#include "steerlm/data/bad_record_set.h"

#include <utility>

#include "steerlm/core/json.h"

namespace steerlm {

BadRecordEntry append_bad_record(const BadRecord& bad, std::string& bytes) {
  const std::string text = dump_json({{"line", bad.line}, {"reason", bad.reason}, {"record", bad.text}});
  bytes += text;
  return {.bytes = static_cast<std::uint32_t>(text.size()), .crc = example_crc(text)};
}

BadRecordSet::BadRecordSet(std::vector<BadRecordEntry> entries, std::shared_ptr<const ExampleBytes> bytes)
    : entries_(std::move(entries)), bytes_(std::move(bytes)) {}

BadRecord BadRecordSet::read(size_t index, const DataOptions& data) const {
  const BadRecordEntry& entry = entries_.at(index);
  const std::string text = bytes_->read(entry.offset, entry.bytes, entry.crc);
  const size_t train = data.train.size();
  const std::vector<SourceOptions>& sources = entry.source < train ? data.train : data.validation;
  const size_t source = entry.source < train ? entry.source : entry.source - train;
  try {
    const Json json = parse_json(text, "a bad record of the encoded training data", ExitCode::resources);
    return {sources.at(source).path, json.at("line").get<std::int64_t>(), json.at("reason").get<std::string>(),
            json.at("record").get<std::string>()};
  } catch (const std::exception&) {
    bytes_->refuse_damaged("a bad record that was never written");
  }
}

}  // namespace steerlm
