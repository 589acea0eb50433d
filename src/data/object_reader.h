// The objects of one source: a line of a JSON-lines file, an element of a JSON array, a line of a text file; with the
// format that they are in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/data/line_reader.h"
#include "steerlm/data/options.h"

namespace steerlm {

// How the objects lie in their file.
struct Container {
  bool array = false;    // elements of one JSON array, not lines
  std::string unpacker;  // as LineReader::unpacker
};

// `error` is set where the line gave no object; it carries file:line.
struct InputObject {
  std::int64_t line = 0;
  Json value;                           // of a text file the line as a string
  Format format = Format::auto_detect;  // auto: not recognised, which is an error unless it is a line of prompts
  std::string text;                     // the raw line, cut off at 64 KiB
  std::uint64_t input_hash = 0;         // as Record::input_hash
  Container container;
  std::optional<Error> error;
};

class ObjectReader {
 public:
  // Throws data for a file that is neither JSON nor, where that is asked for or its name ends in .txt, text.
  explicit ObjectReader(const SourceOptions& source);
  std::optional<InputObject> next();
  // How much of the source has been returned, from 0 to 1; nothing where that cannot be known.
  std::optional<double> share_read() const;
  std::int64_t blank_lines() const { return blank_lines_; }  // skipped so far

 private:
  std::optional<InputObject> next_element();
  void parse(std::string_view line, InputObject& object);
  // Of standard input: what it has given up to this line.
  void add_to_hash(std::string_view text);
  // Of a file whose format nobody names the first object that says it decides.
  void set_format(InputObject& object);

  SourceOptions source_;
  LineReader lines_;
  Format format_;
  std::optional<Json> array_;  // a file that is one JSON array
  std::int64_t elements_ = 0;
  std::int64_t lines_read_ = 0;
  std::int64_t blank_lines_ = 0;
  std::uint64_t input_hash_ = 0;
};

// "no record was recognised …", naming the keys that were found.
Error unrecognised(const InputObject& object, const std::string& where);

// An advice is written for one object on a line of FILE: jq -c 'FILTER' FILE > NEW.jsonl, or python3 -c "…" < FILE >
// NEW.jsonl with map(json.loads, sys.stdin). This makes its commands reach the objects where they lie.
Error fitted(const Error& error, const Container& container);

// What `make` returns of the object. Throws what it throws, fitted.
template <typename Make>
auto made_of(InputObject object, const Make& make) {
  const Container container = object.container;
  try {
    return make(std::move(object));
  } catch (const Error& error) {
    throw fitted(error, container);
  }
}

}  // namespace steerlm
