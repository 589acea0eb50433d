#include "data/file_kind.h"

#include <algorithm>
#include <array>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

using namespace std::string_view_literals;

struct Magic {
  size_t at;
  std::string_view bytes;
  const char* name;
  const char* advice;
  bool of_letters = false;  // a text can begin with it
};

// What prints the rows of an Arrow table as JSON lines: numbers as they are, and what JSON has not as text (times) or
// null (NaN, which pandas writes for a missing number).
constexpr const char* print_rows =
    "[print(json.dumps(json.loads(json.dumps(r, default=str), parse_constant=lambda c: None))) for ";

constexpr const char* save_office =
    "save a sheet as CSV, a text document as plain text with a name that ends in .txt (soffice --headless --convert-to "
    "csv FILE, or txt)";

// From each format's specification, or file(1).
constexpr std::array magics{
    Magic{0, "PAR1"sv, "a Parquet file", "pyarrow.parquet", true},
    Magic{0, "PARE"sv, "an encrypted Parquet file", "pyarrow.parquet", true},
    Magic{0, "ARROW1"sv, "an Arrow (Feather) file", "pyarrow.feather", true},
    Magic{0, "FEA1"sv, "a Feather file", "pyarrow.feather", true},
    Magic{0, "ORC"sv, "an ORC file", "pyarrow.orc", true},
    Magic{0, "\xFF\xFF\xFF\xFF"sv, "an Arrow stream", "pyarrow.ipc"},
    Magic{0, "PK\5\6"sv, "an empty zip archive", "download it again"},
    Magic{0,
          "\xFD"
          "7zXZ\0"sv,
          "a file packed with xz", "unpack it: xz -dc FILE > NEW.jsonl"},
    Magic{0, "]\0\0"sv, "a file packed with lzma", "unpack it: xz -dc FILE > NEW.jsonl"},
    Magic{0, "7z\xBC\xAF\x27\x1C"sv, "a 7z archive", "unpack it: 7z x FILE"},
    Magic{0, "\x04\x22\x4D\x18"sv, "a file packed with lz4", "unpack it: lz4 -dc FILE > NEW.jsonl"},
    Magic{0, "\x02\x21\x4C\x18"sv, "a file packed with lz4", "unpack it: lz4 -dc FILE > NEW.jsonl"},
    Magic{0, "\xFF\x06\0\0sNaPpY"sv, "a file packed with snappy", "unpack it"},
    Magic{0, "\x1F\x8B"sv, "a file packed with gzip", "unpack it: gzip -dc FILE > NEW.jsonl"},
    Magic{0, "\x28\xB5\x2F\xFD"sv, "a file packed with zstd", "unpack it: zstd -dc FILE > NEW.jsonl"},
    Magic{0, "\x1F\x9D"sv, "a file packed with compress", "unpack it: gzip -dc FILE > NEW.jsonl"},
    Magic{0, "LZIP"sv, "a file packed with lzip", "unpack it: lzip -dc FILE > NEW.jsonl", true},
    Magic{0, "Rar!\x1A\x07"sv, "a rar archive", "unpack it: unrar x FILE"},
    Magic{257, "ustar"sv, "a tar archive", "unpack it: tar -xf FILE"},
    Magic{0, "SQLite format 3\0"sv, "an SQLite database", "sqlite3 -json FILE 'SELECT …' | jq -c '.[]' > NEW.jsonl"},
    Magic{0, "%PDF-"sv, "a PDF document", "write its text to a file that ends in .txt: pdftotext FILE NEW.txt"},
    Magic{0, "{\\rtf"sv, "an RTF document", "write its text to a file that ends in .txt"},
    Magic{0, "\xD0\xCF\x11\xE0"sv, "an Office document", save_office},
    Magic{0, "\x93NUMPY"sv, "a NumPy array", "write its records as JSON, one a line"},
    Magic{0, "\x89HDF\r\n"sv, "an HDF5 file", "write its records as JSON, one a line"},
    Magic{0, "Obj\1"sv, "an Avro file", "write its records as JSON, one a line"},
    Magic{0, "GGUF"sv, "a model (GGUF)", "give a data file", true},
    Magic{0, "\x89PNG"sv, "an image", "give a data file"},
    Magic{0, "\xFF\xD8\xFF"sv, "an image", "give a data file"},
    Magic{0, "GIF8"sv, "an image", "give a data file", true},
    Magic{0,
          "\x7F"
          "ELF"sv,
          "a program", "give a data file"},
    Magic{0, "version https://git-lfs.github.com/spec/"sv, "a Git LFS pointer, not the file itself",
          "fetch the file: git lfs pull"},
    Magic{0, "/annex/objects/"sv, "a git-annex pointer, not the file itself", "fetch the file: git annex get FILE"},
};

bool has_at(std::string_view head, size_t at, std::string_view bytes) {
  return head.size() >= at + bytes.size() && head.substr(at, bytes.size()) == bytes;
}

// Several programs write zip archives; the name of the first member, behind 30 bytes of header, says which.
std::optional<FileKind> zip_kind(std::string_view head) {
  constexpr size_t header = 30;
  if (!head.starts_with("PK\3\4")) return std::nullopt;
  const auto byte = [&](size_t at) { return at < head.size() ? static_cast<unsigned char>(head[at]) : 0U; };
  const std::string_view name = head.substr(std::min(header, head.size()), byte(26) + 256 * byte(27));
  bool office = name == "mimetype" && head.substr(0, 200).find("opendocument") != std::string_view::npos;
  for (const std::string_view member : {"[Content_Types].xml", "_rels/", "docProps/", "xl/", "word/", "ppt/"})
    office |= name.starts_with(member);
  if (office) return FileKind{"an Office document", save_office};
  if (name.ends_with(".npy")) return FileKind{"a NumPy archive", "write its records as JSON, one a line"};
  if (name.ends_with("/data.pkl"))
    return FileKind{"a PyTorch file", "load it in Python and write its records as JSON, one a line"};
  return FileKind{"a zip archive", "unzip it: unzip FILE"};
}

// bzip2's magic alone is text: "BZh", a digit, then the digits of pi.
bool is_bzip2(std::string_view head) {
  return head.starts_with("BZh") && head.size() > 9 &&
         (has_at(head, 4, "1AY&SY") || has_at(head, 4, "\x17\x72\x45\x38\x50\x90"sv));
}

// Protocol 2 to 5: the opcode PROTO, which no UTF-8 text begins with. Before it a list or an object: (lp0 and a line
// end in protocol 0, ]q and the number 0 in protocol 1.
bool is_pickle(std::string_view head) {
  if (head.size() > 3 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) return true;
  for (const std::string_view start : {"(lp0\n"sv, "(dp0\n"sv, "(lp1\n"sv, "(dp1\n"sv, "]q\0"sv, "}q\0"sv})
    if (head.starts_with(start)) return true;
  return false;
}

// The name for iconv, "" for none. Without a byte-order mark the first two characters say it, which are of ASCII in
// JSON: each has its zero bytes (RFC 4627, section 3).
std::string wide_encoding(std::string_view head) {
  if (head.starts_with("\xFF\xFE\0\0"sv) || head.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
  if (head.starts_with("\xFF\xFE") || head.starts_with("\xFE\xFF")) return "UTF-16";
  const auto begins = [&](std::string_view pattern) {  // z: a zero, c: a character of ASCII
    if (head.size() < pattern.size()) return false;
    for (size_t i = 0; i < pattern.size(); ++i) {
      const char c = head[i];
      const bool ascii = (c >= ' ' && c < '\x7F') || c == '\t' || c == '\r' || c == '\n';
      if (pattern[i] == 'z' ? c != '\0' : !ascii) return false;
    }
    return true;
  };
  if (begins("czcz")) return "UTF-16LE";
  if (begins("zczc")) return "UTF-16BE";
  if (begins("czzzczzz")) return "UTF-32LE";
  return begins("zzzczzzc") ? "UTF-32BE" : "";
}

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  text.remove_suffix(text.size() - (text.find_last_not_of(" \t\r\n") + 1));
  return text;
}

// Whether a bracket is open behind the line, outside of texts in quotes.
bool leaves_open(std::string_view line) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '\\') ++i;
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
  }
  return depth > 0 && !quoted;
}

// The first lines that are not blank, without the last one where the head may have cut it off.
std::vector<std::string_view> first_lines(std::string_view head) {
  constexpr size_t wanted = 8, whole_head = 64 << 10;
  std::vector<std::string_view> lines;
  while (!head.empty() && lines.size() < wanted) {
    const size_t end = head.find('\n');
    if (end == std::string_view::npos && head.size() >= whole_head && !lines.empty()) break;
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(line.size() + 1, head.size()));
    if (!trimmed(line).empty()) lines.push_back(line);
  }
  return lines;
}

std::string small_letters(std::string_view text) {
  std::string small(text);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return small;
}

std::optional<FileKind> markup_kind(std::string_view text) {
  const std::string start = small_letters(text.substr(0, 1000));
  if (start.starts_with("<?xml") && start.find("<html") == std::string::npos)
    return FileKind{"an XML file", "write its records as JSON, one a line"};
  for (const std::string_view tag : {"<!doctype", "<html", "<head", "<body", "<!--", "<?xml", "<script", "<meta"}) {
    if (start.starts_with(tag)) {
      return FileKind{"an HTML page",
                      "a download gave a page about the file; get the file itself (…/resolve/… on Hugging Face, "
                      "raw.githubusercontent.com on GitHub)"};
    }
  }
  if (text.starts_with('<') && text.find('>') != std::string_view::npos)
    return FileKind{"an XML or HTML file", "write its records as JSON, one a line"};
  return std::nullopt;
}

// Whether a text in quotes is open behind the line. Quotes inside of quotes are doubled.
bool leaves_quotes_open(std::string_view line) { return std::ranges::count(line, '"') % 2 == 1; }

// Between separators that are outside of quotes.
std::vector<std::string_view> cells_of(std::string_view row, char separator) {
  std::vector<std::string_view> cells;
  bool quoted = false;
  size_t start = 0;
  for (size_t i = 0; i <= row.size(); ++i) {
    const bool ends = i == row.size() || (row[i] == separator && !quoted);
    if (i < row.size() && row[i] == '"') quoted = !quoted;
    if (!ends) continue;
    cells.push_back(trimmed(row.substr(start, i - start)));
    start = i + 1;
  }
  return cells;
}

// Whether each row behind the header that is whole has as many cells as the header, and there is one.
bool rows_match(const std::vector<std::string_view>& lines, char separator) {
  const size_t columns = cells_of(lines[0], separator).size();
  bool any = false;
  for (size_t i = 1; i < lines.size();) {
    std::string row(lines[i++]);
    while (leaves_quotes_open(row) && i < lines.size()) row += "\n" + std::string(lines[i++]);
    if (leaves_quotes_open(row)) break;  // its end is further down
    if (cells_of(row, separator).size() != columns) return false;
    any = true;
  }
  return any;
}

// A header of short names, and the separator in the lines behind it; or of names of any length, and rows of as many
// cells.
std::optional<FileKind> table_kind(const std::vector<std::string_view>& lines) {
  constexpr size_t longest_name = 40;
  for (const char separator : {',', '\t', ';', '|'}) {
    const std::vector<std::string_view> names = cells_of(lines[0], separator);
    const bool named = std::all_of(names.begin() + 1, names.end(), [](auto name) { return !name.empty(); });
    if (names.size() < 2 || !named) continue;
    const bool short_names = std::ranges::all_of(names, [](std::string_view name) {
      return name.starts_with('"') || (name.size() <= longest_name && name.find(". ") == std::string_view::npos);
    });
    const bool goes_on = std::any_of(lines.begin() + 1, lines.end(), [&](std::string_view line) {
      return line.find(separator) != std::string_view::npos;
    });
    if (short_names ? lines.size() == 1 || goes_on : rows_match(lines, separator)) return table_of(separator);
  }
  return std::nullopt;
}

// "key: value", "- item", a comment, or what is indented behind them.
bool is_yaml_line(std::string_view line) {
  if (line.starts_with(' ') || line.starts_with("- ") || line.starts_with('#')) return true;
  const size_t colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos || (colon + 1 < line.size() && line[colon + 1] != ' '))
    return false;
  return std::ranges::all_of(line.substr(0, colon), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

bool is_yaml(const std::vector<std::string_view>& lines) {
  if (trimmed(lines[0]) == "---" || lines[0].starts_with("%YAML")) return true;
  return lines.size() > 1 && std::ranges::all_of(lines, is_yaml_line);
}

// The magic alone could begin a text.
bool is_text(std::string_view bytes) {
  return bytes.find('\0') == std::string_view::npos && !find_invalid_utf8(bytes.substr(0, bytes.find_last_of('\n')));
}

// A damaged first line does not hide the records behind it. Cells of a table may begin with a bracket: a text that goes
// on over lines ("[1] Smith"), Python's lists.
bool has_json_behind(const std::vector<std::string_view>& lines) {
  bool quoted = false;
  for (const std::string_view line : lines) {
    const std::string_view json = trimmed(line);
    if (json.starts_with('{') || json.starts_with('[')) {
      try {
        const Json value = parse_json(json, "", ExitCode::data);
        if (value.is_object() || (!value.empty() && value.front().is_structured())) return true;
      } catch (const Error&) {
        if (!quoted && leaves_open(json)) return true;
      }
    }
    quoted ^= leaves_quotes_open(line);
  }
  return false;
}

}  // namespace

std::optional<FileKind> binary_kind(std::string_view head) {
  for (const Magic& magic : magics) {
    if (!has_at(head, magic.at, magic.bytes) || (magic.of_letters && is_text(head))) continue;
    const std::string advice = magic.advice;
    if (!advice.starts_with("pyarrow.")) return FileKind{magic.name, advice};
    // Parquet files are the large ones, which are read a part at a time; of a stream there is no read_table.
    const std::string rows = advice == "pyarrow.parquet"
                                 ? "b in p.ParquetFile('FILE').iter_batches() for r in b.to_pylist()"
                             : advice == "pyarrow.ipc" ? "r in p.open_stream(open('FILE', 'rb')).read_all().to_pylist()"
                                                       : "r in p.read_table('FILE').to_pylist()";
    return FileKind{magic.name,
                    "python3 -c \"import json, " + advice + " as p; " + print_rows + rows + "]\" > NEW.jsonl"};
  }
  if (auto kind = zip_kind(head)) return kind;
  if (is_bzip2(head)) return FileKind{"a file packed with bzip2", "unpack it: bzip2 -dc FILE > NEW.jsonl"};
  if (is_pickle(head))
    return FileKind{"a Python pickle", "load it in Python and write its records as JSON, one a line"};
  if (const std::string encoding = wide_encoding(head); !encoding.empty()) {
    return FileKind{"a file in " + encoding.substr(0, 6) + " where UTF-8 is expected",
                    "iconv -f " + encoding + " -t UTF-8 FILE > NEW.jsonl"};
  }
  return std::nullopt;
}

FileKind table_of(char separator) {
  const std::string name = separator == ',' ? "a CSV table" : separator == '\t' ? "a TSV table" : "a table";
  const std::string how =
      separator == ',' ? "" : ", sep='" + (separator == '\t' ? "\\t" : std::string(1, separator)) + "'";
  // Left alone, pandas takes the texts None and NA for missing values, and a column of digits for numbers, which is
  // right where it is not text. (With `converters` it takes such texts for missing values too.)
  const auto read = [&](const std::string& options) { return "pandas.read_csv('FILE'" + how + options + ")"; };
  return {name, "python3 -c \"import pandas; d = " + read("") +
                    "; t = " + read(", dtype=str, keep_default_na=False, na_values=['']") +
                    "; d.assign(**{k: t[k] for k in ['prompt', 'response', 'response_1', 'response_2', "
                    "'chosen', 'rejected', 'system'] if k in t}).to_json('NEW.jsonl', orient='records', "
                    "lines=True, force_ascii=False, double_precision=15)\" (add to the list each other "
                    "column that holds texts)"};
}

std::optional<FileKind> text_kind(std::string_view head) {
  if (head.starts_with('\x1E')) {
    return FileKind{"a JSON text sequence (RFC 7464)", "take its separators out: tr -d '\\036' < FILE > NEW.jsonl"};
  }
  const std::vector<std::string_view> lines = first_lines(head);
  if (lines.empty()) return std::nullopt;
  const std::string_view text = trimmed(head);
  if (text.starts_with('{')) {
    // Over lines: the first one ends inside the object, and the second goes on with it.
    if (lines.size() > 1 && leaves_open(lines[0]) && "\" \t[]},:"sv.find(lines[1][0]) != std::string_view::npos)
      return FileKind{"a JSON object over several lines", "write it on one line: jq -c . FILE > NEW.jsonl"};
    return std::nullopt;
  }
  if (text.starts_with('[') || has_json_behind(lines)) return std::nullopt;
  if (auto kind = markup_kind(text)) return kind;
  if (is_yaml(lines)) {
    return FileKind{"a YAML file",
                    "python3 -c \"import json, yaml; [print(json.dumps(r)) for r in "
                    "yaml.safe_load(open('FILE'))]\" > NEW.jsonl"};
  }
  return table_kind(lines);
}

}  // namespace steerlm
