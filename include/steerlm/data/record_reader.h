// Records of a list of sources, one after another. Files are streamed: memory is bounded by the longest line, but for a
// JSON array, which is read whole.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "steerlm/data/options.h"
#include "steerlm/data/place.h"
#include "steerlm/data/record.h"
#include "steerlm/text/attributes.h"

namespace steerlm {

// A line that gave no record. `text` is the line, cut off at 64 KiB, with U+FFFD for each byte that is not UTF-8.
struct BadRecord {
  std::string file;
  std::int64_t line = 0;
  std::string reason;  // without file:line
  std::string text;
};

// What a command that takes no bad record ends with. Throws data.
[[noreturn]] void refuse(const BadRecord& bad);

class RecordReader {
 public:
  // repeat and limit of each source are honoured. Standard input can be named once. `rating_attributes`: what the
  // ratings of published sources become labels of, where that is not `attributes` (which may declare nothing, so that
  // labels are taken as written).
  RecordReader(std::vector<SourceOptions> sources, const Attributes& attributes, std::string default_system,
               const std::optional<Attributes>& rating_attributes = std::nullopt);
  RecordReader(RecordReader&&) noexcept;
  ~RecordReader();

  // The next record or bad line, in file order; nothing at the end. A line of hh-rlhf or oasst gives several records, a
  // bad one gives one BadRecord. Throws data for a file that is missing, of an unknown format, or damaged as a whole (a
  // cut-off .gz).
  std::optional<std::variant<Record, BadRecord>> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All records. Throws data at the first bad one.
std::vector<Record> read_records(const std::vector<SourceOptions>& sources, const Attributes& attributes,
                                 const std::string& default_system);

struct Prompt {
  Conversation conversation;  // ends in a user turn
  Json json;                  // the input line; of a published source the record that it became
  std::string file;
  std::int64_t line = 0;  // 0: not of a file

  std::string place() const { return line > 0 ? steerlm::place(file, line) : file; }
};

// Each record up to its last user turn; also lines with `prompt` (a text) or `turns` (texts of user and assistant in
// turn, the first is the user's). max: at most so many, 0 = all. Throws data at the first bad line.
std::vector<Prompt> read_prompts(const std::vector<SourceOptions>& sources, const Attributes& attributes,
                                 const std::string& default_system, std::int64_t max);

}  // namespace steerlm
