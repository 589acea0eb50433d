// What a file is that holds no records: recognised by its first bytes, so that it is named instead of being read as
// something else.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace steerlm {

struct FileKind {
  std::string name;    // "a Parquet file"
  std::string advice;  // what makes data of it; FILE stands for the path
};

// Archives, tables, documents, other packings and other encodings than UTF-8: never data, whatever the format is said
// to be. `head`: the first bytes, 64 KiB of them where there are so many.
std::optional<FileKind> binary_kind(std::string_view head);
// Text that is no JSON: CSV, HTML, YAML …, one JSON object that goes over several lines, and JSON with separators.
std::optional<FileKind> text_kind(std::string_view head);
// What text_kind says of a table with such a separator.
FileKind table_of(char separator);

}  // namespace steerlm
