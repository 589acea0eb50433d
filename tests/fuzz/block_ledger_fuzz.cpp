// Whatever a ledger says, the run that goes on from it changes no file but its own, and keeps whole blocks or none. The
// first character of an input says which files there are.
#include "fuzz/fuzz.h"
#include "steerlm/data/block_job.h"

namespace steerlm {
namespace {

const Path& folder() {
  static const TemporaryFolder folder;
  return folder.path();
}
Path output() { return folder() / "out.jsonl"; }
Path quarantine() { return BlockOutput::quarantine_beside(output()); }
Path part_of(const Path& path) { return path.string() + ".part"; }
Path ledger() { return folder() / "run" / "ledger.jsonl"; }

std::string lines(std::int64_t block) { return "line of block " + std::to_string(block) + "\n"; }
std::string bad_lines(std::int64_t block) { return block == 0 ? "bad\n" : ""; }

BlockOutput open() { return {output().string(), ledger(), Json{{"name", "run"}}, {.counts = {"number"}}}; }

void append(BlockOutput& out, std::int64_t block) {
  out.append(2, lines(block), bad_lines(block), Json{{"number", static_cast<std::uint64_t>(block)}});
}

void remove_all() {
  std::filesystem::remove_all(folder());
  std::filesystem::create_directories(ledger().parent_path());
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const bool finished : {false, true}) {
    for (const int blocks : {1, 3}) {
      remove_all();
      {
        BlockOutput out = open();
        for (std::int64_t block = 0; block < blocks; ++block) append(out, block);
        if (finished) out.finish();
      }
      std::string text = read_file(ledger(), ExitCode::bug, "ledger");
      for (std::size_t at; (at = text.find(folder().string())) != std::string::npos;)
        text.replace(at, folder().string().size(), folder_word);
      seeds.push_back((finished ? "f" : "p") + text);
      seeds.push_back("n" + text);
    }
  }
  return seeds;
}

std::vector<std::string> fuzz_words() {
  return json_words({"@FOLDER@", "@FOLDER@/out.jsonl", "@FOLDER@/other.jsonl", "@FOLDER@/other.jsonl.part",
                     R"({"finished":true,"sha256":["",""]})"
                     "\n",
                     R"({"parts":["",""]})"
                     "\n",
                     R"("block":0)", R"("records":1000000000000000)", R"("output_end":0)", R"("quarantine_end":0)",
                     R"("counts":{})", R"("identity":{"name":"run"})",
                     R"("by":{"place":"@FOLDER@/run","device":1,"inode":2})", "../"});
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  if (size == 0) return 0;
  remove_all();
  // p: what a run of three blocks was writing when it was killed; f: what it left at last; else nothing.
  const std::string whole = lines(0) + lines(1) + lines(2);
  if (data[0] == 'p') put_file(part_of(output()), whole + "torn");
  if (data[0] == 'p') put_file(part_of(quarantine()), bad_lines(0));
  if (data[0] == 'f') put_file(output(), whole);
  if (data[0] == 'f') put_file(quarantine(), bad_lines(0));
  const std::vector<Path> others{folder() / "other.jsonl", folder() / "other.jsonl.part", folder() / "run" / "log.txt"};
  for (const Path& other : others) put_file(other, "of others\n");
  put_file(ledger(), with_folder(std::string(text_of(data + 1, size - 1)), folder()));
  read_or_refuse([&] {
    BlockOutput::own_files(ledger());
    BlockOutput::is_finished_at(output().string(), ledger());
    BlockOutput::other_place(output().string(), ledger());
    BlockOutput::check(output().string(), ledger(), {});
    BlockOutput out = open();
    const std::int64_t done = out.completed_blocks();
    require(out.block_counts().size() == static_cast<std::size_t>(done) && out.records_done() >= 0, "counts");
    if (out.finished()) return;
    append(out, 9);
    out.finish();
    const std::string written = read_file(output(), ExitCode::bug, "output");
    require(written.ends_with(lines(9)), "the last block is not at the end");
    const std::string before = written.substr(0, written.size() - lines(9).size());
    require(whole.starts_with(before) && (done > 0 || before.empty()), "bytes that no block has");
  });
  for (const Path& other : others)
    require(read_file(other, ExitCode::bug, "file") == "of others\n", "another file was changed: " + other.string());
  return 0;
}
