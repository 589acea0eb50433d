// A file of encoded training data. All numbers are little-endian; nothing in it depends on time, host or path.
//
//   "SLMDATA\n"
//   bytes of the examples of both parts (data/example_set.h), and of the records that were put aside
//     (data/bad_record_set.h), in the order in which they were read
//   the index: 24 bytes an example, those of the training part first, then 24 bytes a record that was put aside
//   JSON: {"key", "train", "validation"}, the latter two DatasetCounts
//   the foot, 128 bytes: "SLMDATA\n", format and 0 (uint32), bytes before the index, number of training and of
//     validation examples, number of records put aside, bytes of the JSON (uint64), SHA-256 of index and JSON, SHA-256
//     of the key's text, CRC-32 of the foot so far and 0 (uint32)
//
// At opening the foot, all sizes, the index and the JSON are checked; the bytes of an example are held against the
// CRC-32 in its entry each time that they are read. So a file that was cut or changed is never trained on, and opening
// reads the index alone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/data/dataset.h"

namespace steerlm {

// Raised whenever other examples are made of the same data, or their bytes are laid out otherwise: a test notices both.
// It stands for how records are read wherever what two versions have made must not be mixed: "reading" in ledgers, in
// descriptions of shards and in what is known of input files.
inline constexpr int dataset_file_format = 6;

// Writes what `encode` adds to the builder. `key` says what the examples are made of. False: `encode` was stopped, and
// the file is of no use.
bool write_dataset_file(OutputFile& file, const Json& key, const std::function<bool(DatasetBuilder&)>& encode);

struct OpenedDataset {
  std::optional<Dataset> dataset;  // none: the file cannot be used
  std::string fault;               // why, "" where there is no file, or one of another key
  bool foreign = false;            // it never was a file of encoded data
};
// Ids of the file are below `vocab_size`. `name`: where the file is, or will be, for messages.
OpenedDataset open_dataset_file(const Path& path, const Json& key, std::int64_t vocab_size, const Path& name);

}  // namespace steerlm
