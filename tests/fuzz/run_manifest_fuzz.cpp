// Whatever a manifest lists, what is outside of the run directory stays.
#include "fuzz/fuzz.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/run_files.h"
#include "steerlm/core/run_place.h"

namespace steerlm {
namespace {

namespace stdfs = std::filesystem;

const Path& folder() {
  static const TemporaryFolder folder;
  return folder.path();
}
Path root() { return folder() / "run"; }

void put_where_missing(const Path& path, const std::string& bytes) {
  if (!stdfs::exists(path)) put_file(path, bytes);
}

// A run directory with files of its own and of others, a link that leads out of it, and files beside it.
void make_folders(std::string_view manifest) {
  for (const Path& each : {root() / run_mark_folder, root() / "model", root() / "part" / run_mark_folder,
                           root() / "checkpoints" / "step-1", folder() / "other"})
    stdfs::create_directories(each);
  for (const Path& each : {folder() / "outside", folder() / "other" / "a.txt", root() / "a.txt", root() / "log.txt",
                           root() / "model" / "config.json", root() / "checkpoints" / "step-1" / "state.json"})
    put_where_missing(each, "text\n");
  put_where_missing(root() / run_mark_folder / "run.json", R"({"format": 1, "stage": "sft"})");
  put_where_missing(root() / "part" / run_mark_folder / "run.json", R"({"format": 1})");
  put_file(root() / run_mark_folder / "files.jsonl", with_folder(std::string(manifest), folder()));
  if (!stdfs::is_symlink(root() / "link")) stdfs::create_symlink(folder() / "other", root() / "link");
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  const std::string whole = R"("size":5,"sha256":")" + sha256_hex("text\n") + "\"";
  const std::string by = R"("by":{"place":"@FOLDER@/run","device":1,"inode":2})";
  const std::string files = R"({"file":"a.txt",)" + whole + R"(}
{"file":"log.txt"}
{"folder":"model"}
{"file":"model/config.json",)" +
                            whole + "}\n";
  return {files + R"({"folder":"checkpoints"}
{"folder":"checkpoints/step-1"}
{"file":"checkpoints/step-1/state.json"}
{"run":"part"}
)",
          files + R"({"output":"@FOLDER@/outside",)" + whole + "," + by + "}\n" +
              R"({"output":"@FOLDER@/run/out.jsonl",)" + by + "}\n" + R"({"moved":"@FOLDER@/outside"})" + "\n",
          files + R"({"removing":"model"}
{"gone":"a.txt"}
{"file":"link"}
{"file":"li)",
          R"({"file":"link/a.txt"}
{"folder":"link"}
)"};
}

std::vector<std::string> fuzz_words() {
  std::vector<std::string> words{"../",         "./",         "//",
                                 "..",          "..\\u0000/", "link/",
                                 "other/a.txt", "@FOLDER@",   R"(,"by":{"place":"@FOLDER@/run","device":1,"inode":2})",
                                 R"("size":-5)"};
  for (const char* kind : {"file", "folder", "run", "output", "removing", "gone", "moved"}) {
    for (const char* name : {"../outside", "../other", "@FOLDER@/outside", "link", "link/a.txt", "part", "..",
                             "..\\u0000/outside", ".steerlm-run/run.json", ".steerlm-run/staging"})
      words.push_back(std::string("{\"") + kind + "\":\"" + name + "\"}\n");
  }
  return json_words(std::move(words));
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  make_folders(text_of(data, size));
  read_or_refuse([] {
    const RunFiles files = RunFiles::read(root());
    files.differences("");
    files.output_differences();
    for (const char* name : {"a.txt", "model", "checkpoints", "link", "nothing"}) {
      files.foreign_at(name);
      files.folders_in(name);
    }
  });
  const std::string refusal = last_refusal;
  read_or_refuse([] { check_run_removal(root()); });
  if (last_refusal.empty())
    read_or_refuse([] { remove_run(root()); });
  else
    read_or_refuse([] { RunFiles::open(root(), {}).remove_all({"a.txt"}); });
  last_refusal = refusal + last_refusal;
  for (const char* name : {"outside", "other/a.txt"})
    require(read_file(folder() / name, ExitCode::bug, "file") == "text\n", "a file outside was changed");
  return 0;
}
