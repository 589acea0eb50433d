// Records of a list of sources, one after another. Files are streamed: memory is bounded by the longest line, but for a
// JSON array, which is read whole.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "steerlm/core/error.h"
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
  std::uint64_t input_hash = 0;  // as Record::input_hash
};

// What an Error of ExitCode::data says of a line.
BadRecord bad_record(const Error& error, std::string file, std::int64_t line, std::string text);

// What a command that takes no bad record ends with. Throws data.
[[noreturn]] void refuse(const BadRecord& bad);

struct ReadOptions {
  // What the ratings of published sources become labels of, where that is not the attributes of the records (which may
  // declare nothing, so that labels are taken as written).
  std::optional<Attributes> rating_attributes;
  // The same for the rows of HelpSteer and HelpSteer2, whose five ratings have names and a range of their own.
  std::optional<Attributes> helpsteer_attributes;
  Labels labels = Labels::obeyed;
  bool text = false;    // Record::text is kept
  bool weights = true;  // false: what says that a turn is not trained is neither read nor checked
};

// What reading came across besides the records.
struct ReadNotes {
  // What carries meaning elsewhere and is not obeyed here ("'tools'", "'name' of a turn") -> input lines that have it.
  std::map<std::string, std::int64_t> unobeyed;
  std::int64_t blank_lines = 0;
  bool helpsteer = false;  // rows of HelpSteer or HelpSteer2 were read as ReadOptions::helpsteer_attributes
};

class RecordReader {
 public:
  // repeat, limit and labels of each source are honoured. Standard input can be named once; labels: shuffle, which
  // reads its source twice, refuses it. What is shuffled are labels that are obeyed.
  RecordReader(std::vector<SourceOptions> sources, Attributes attributes, std::string default_system,
               ReadOptions options = {});
  RecordReader(RecordReader&&) noexcept;
  ~RecordReader();

  // The next record or bad line, in file order; nothing at the end. A line of hh-rlhf or oasst gives several records, a
  // bad one gives one BadRecord. Throws data for a file that is missing, of an unknown format, or damaged as a whole (a
  // cut-off .gz).
  std::optional<std::variant<Record, BadRecord>> next();
  // How much of the input that was, from 0 to 1, by bytes of the files; nothing where standard input is read.
  std::optional<double> share_read() const;
  ReadNotes notes() const;  // of what has been read so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "'tools' (12 lines), 'name' of a turn (3 lines)"; "" where there is nothing.
std::string describe_unobeyed(const std::map<std::string, std::int64_t>& unobeyed);

// Throws data: a command that finds no record or prompt at all has not done what it was asked for.
[[noreturn]] void refuse_empty_input(const std::string& verb, const std::vector<SourceOptions>& sources);

// All records. Throws data at the first bad one.
std::vector<Record> read_records(const std::vector<SourceOptions>& sources, const Attributes& attributes,
                                 const std::string& default_system);

// Whether the ratings of these sources are HelpSteer's or HelpSteer2's and no other's: what the attributes are where
// nobody says it. Reads the first rows of each file, as far as one with a rating; standard input is left alone.
bool are_rated_as_helpsteer(const std::vector<SourceOptions>& sources);

// What becomes of a line that gives no prompt.
enum class BadPrompts { refused, kept };

struct Prompt {
  Conversation conversation;  // ends in a user turn
  Json json;                  // the input line; of a published source the record that it became
  std::string file;
  std::int64_t line = 0;         // 0: not of a file
  std::string text{};            // of BadPrompts::kept: the line, as BadRecord::text
  std::string fault{};           // of BadPrompts::kept: why this is no prompt; conversation and json are empty then
  std::uint64_t input_hash = 0;  // as Record::input_hash

  std::string place() const { return line > 0 ? steerlm::place(file, line) : file; }
};

// Each record up to its last user turn; also lines with `prompt` (a text) or `turns` (texts of user and assistant in
// turn, the first and the last are the user's). max: at most so many, 0 = all. Throws data at the first bad line, or
// with BadPrompts::kept gives a prompt with a fault for it. `notes`: gets the keys that are not obeyed.
std::vector<Prompt> read_prompts(const std::vector<SourceOptions>& sources, const Attributes& attributes,
                                 const std::string& default_system, std::int64_t max,
                                 BadPrompts bad = BadPrompts::refused, ReadNotes* notes = nullptr);

}  // namespace steerlm
