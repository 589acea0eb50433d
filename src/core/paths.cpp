#include "steerlm/core/paths.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>

#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

[[noreturn]] void refuse(const char* what, const Path& path, const std::error_code& error, ExitCode code) {
  fail(code_of_open(error.value(), code),
       {.what = what + (": " + error.message()), .where = path.string(), .advice = advice_of_open(error.value())});
}

std::filesystem::file_status look_at(const Path& path, ExitCode code) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::none) refuse("cannot look at the path", path, error, code);
  return status;
}

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// "$HOME/x" -> {0, 5, "HOME"}; names in capitals, or anything between braces.
struct Variable {
  size_t begin, end;
  std::string name;
};

std::optional<Variable> find_variable(const std::string& path) {
  for (size_t at = path.find('$'); at != std::string::npos; at = path.find('$', at + 1)) {
    const bool braces = path.compare(at + 1, 1, "{") == 0;
    size_t end = at + 1 + braces;
    while (end < path.size() && is_name_character(path[end])) ++end;
    const std::string name = path.substr(at + 1 + braces, end - at - 1 - braces);
    const bool capitals = std::none_of(name.begin(), name.end(), [](unsigned char c) { return std::islower(c) != 0; });
    const bool letter = !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0;
    if (letter && braces && path.compare(end, 1, "}") == 0) return Variable{at, end + 1, name};
    if (letter && !braces && capitals) return Variable{at, end, name};
  }
  return std::nullopt;
}

}  // namespace

bool is_there(const Path& path, ExitCode code) {
  if (std::filesystem::exists(look_at(path, code))) return true;
  std::error_code error;
  const Path target = std::filesystem::read_symlink(path, error);
  if (error || code != ExitCode::model) return false;
  // The files of hub caches are links: where what one leads to is gone, the folder is not one without the file.
  fail(code, {.what = "a link that leads nowhere",
              .where = path.string(),
              .found = "nothing at " + target.string(),
              .advice = "fetch the folder again, or remove the link"});
}

bool is_folder(const Path& path, ExitCode code) { return std::filesystem::is_directory(look_at(path, code)); }

std::int64_t file_bytes(const Path& path, ExitCode code) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) refuse("cannot read the size of the file", path, error, code);
  return static_cast<std::int64_t>(size);
}

std::vector<Path> files_of(const Path& folder, ExitCode code) {
  std::error_code error;
  std::vector<Path> files;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (std::filesystem::is_regular_file(look_at(entry->path(), code))) files.push_back(entry->path());
  }
  if (error) refuse("cannot list the folder", folder, error, code);
  std::sort(files.begin(), files.end());
  return files;
}

std::optional<Fault> unexpanded(const std::string& path) {
  const std::string user = path.starts_with('~') ? path.substr(0, path.find('/')) : "";
  const std::optional<Variable> variable = find_variable(path);
  std::error_code error;
  if ((user.empty() && !variable) ||
      std::filesystem::symlink_status(path, error).type() != std::filesystem::file_type::not_found)
    return std::nullopt;
  if (!user.empty()) {
    const char* const home = user == "~" ? std::getenv("HOME") : nullptr;
    return Fault{.what = "'~' is not expanded to a home folder here, only a shell does that",
                 .found = "'" + path + "'",
                 .advice = "write " + (home != nullptr ? home + path.substr(1) : std::string("the path out"))};
  }
  const char* const value = std::getenv(variable->name.c_str());
  std::string advice = "the variable is not set; write the path out";
  if (value != nullptr)
    advice = "write " + std::string(path).replace(variable->begin, variable->end - variable->begin, value);
  return Fault{.what = "variables of the shell are not expanded here", .found = "'" + path + "'", .advice = advice};
}

ExitCode code_of_open(int error, ExitCode code) {
  return error == EMFILE || error == ENFILE || error == ENOMEM ? ExitCode::resources : code;
}

std::string advice_of_open(int error) {
  if (error == EMFILE) return "raise the limit of open files: ulimit -n 1024";
  if (error == EACCES)
    return "ask its owner for the right to read it and to enter the folders above it, or name a copy";
  if (error == ENAMETOOLONG) return "a name has at most 255 bytes, and a path 4095";
  if (error == ELOOP) return "its links lead in a circle: mend one of them";
  return error == ENFILE ? "the machine has too many files open" : "";
}

std::string download_advice(const std::string& path) {
  if (path.find("://") != std::string::npos)
    return "data is read from disk: download it, and give the path of the copy";
  const size_t slash = path.find('/');
  const auto word = [](std::string_view part) {
    return !part.empty() && part[0] != '.' &&
           std::all_of(part.begin(), part.end(), [](char c) { return is_name_character(c) || c == '-' || c == '.'; });
  };
  if (slash == std::string::npos || !word(path.substr(0, slash)) || !word(path.substr(slash + 1))) return "";
  std::error_code error;
  const bool has_extension = path.find('.', slash) != std::string::npos;  // train.jsonl
  if (has_extension || std::filesystem::is_directory(path.substr(0, slash), error)) return "";
  return "data is read from disk; if this is a data set on the Hugging Face hub, fetch it first: hf download " + path +
         " --repo-type dataset --local-dir DIR";
}

std::string shell_word(const std::string& text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::string utf8_text(const Path& path) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string_view rest = path.native();
  std::string text;
  while (const auto bad = find_invalid_utf8(rest)) {
    const auto byte = static_cast<unsigned char>(rest[*bad]);
    text.append(rest.substr(0, *bad)).append("\\x");
    text += digits[byte >> 4];
    text += digits[byte & 15];
    rest.remove_prefix(*bad + 1);
  }
  return text.append(rest);
}

}  // namespace steerlm
