// Every command and option that takes an output path, over every kind of thing that may be at that path: the exit code
// is the one of the table, what was asked for is there whole, and nothing else is changed, to the byte and the inode.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>

#include "cli/run_command.h"
#include "steerlm/core/fs.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using Words = std::vector<std::string>;
namespace stdfs = std::filesystem;

std::string bytes_of(const Path& path) { return read_file(path, ExitCode::data, "test file"); }
void put(const Path& path, const std::string& text) {
  if (path.has_parent_path()) stdfs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// A command that writes. `input` is a file that it reads, `folder` a folder that it reads; "" for none.
struct Writer {
  const char* name;
  enum class Makes { file, folder, files } makes;  // files: several, into a folder
  bool recipe;                                     // a run, which knows its own output again
  bool makes_folders;                              // that of the output
  const char* input;
  const char* folder;
  std::function<Words(const std::string& output)> words;
};

const std::vector<Writer>& writers() {
  using enum Writer::Makes;
  static const std::vector<Writer> all{
      {"score", file, false, false, "in.jsonl", "model",
       [](const std::string& to) { return Words{"score", "--model", "model", "--input", "in.jsonl", "--output", to}; }},
      {"generate", file, false, false, "in.jsonl", "model",
       [](const std::string& to) {
         return Words{"generate", "--model", "model", "--input", "in.jsonl", "--max-new-tokens", "2", "--output", to};
       }},
      {"convert", file, false, false, "in.jsonl", "",
       [](const std::string& to) { return Words{"data", "convert", "--input", "in.jsonl", "--output", to}; }},
      {"tokenizer", file, false, true, "text.txt", "",
       [](const std::string& to) {
         return Words{"tokenizer", "train", "--input", "text.txt", "--vocab-size", "300", "--output", to};
       }},
      {"annotate_recipe", file, true, true, "in.jsonl", "predictor",
       [](const std::string& to) {
         return Words{"annotate", "annotate.yaml", "output=" + to};
       }},
      {"generate_recipe", file, true, true, "in.jsonl", "model",
       [](const std::string& to) {
         return Words{"run", "generate.yaml", "output=" + to};
       }},
      {"tokenizer_recipe", file, true, true, "text.txt", "",
       [](const std::string& to) {
         return Words{"run", "tokenizer.yaml", "tokenizer.output=" + to};
       }},
      {"init", folder, false, true, "", "tokenizer",
       [](const std::string& to) {
         return Words{"model",
                      "init",
                      "--tokenizer",
                      "tokenizer",
                      "--hidden-size",
                      "8",
                      "--num-hidden-layers",
                      "1",
                      "--num-attention-heads",
                      "1",
                      "--intermediate-size",
                      "8",
                      "--output",
                      to};
       }},
      {"export", folder, false, true, "", "model",
       [](const std::string& to) {
         return Words{"model", "export", "--model", "model", "--dtype", "bf16", "--output", to};
       }},
      {"add_tokens", folder, false, true, "", "model",
       [](const std::string& to) { return Words{"model", "add-tokens", "--model", "model", "--output", to}; }},
      {"merge", folder, false, true, "", "adapter",
       [](const std::string& to) { return Words{"model", "merge", "--model", "adapter", "--output", to}; }},
      {"import", folder, false, true, "small.gguf", "",
       [](const std::string& to) { return Words{"model", "import", "--gguf", "small.gguf", "--output", to}; }},
      {"toy", files, false, true, "", "",
       [](const std::string& to) { return Words{"data", "make-toy", "--count", "5", "--output", to}; }}};
  return all;
}

// What is at the path, and the exit codes of a command that makes a file and of one that makes a folder, each without
// and with --overwrite. `made`: the place where the result is then, where that is not the path.
struct Place {
  const char* name;
  int file, file_overwrite, folder, folder_overwrite;
  std::function<void(const Writer& writer)> make;
  std::string path;  // relative to the test's folder; "INPUT" and "FOLDER" are what the command reads
  std::string made = path;
};

const std::vector<Place>& places() {
  const auto nothing = [](const Writer&) {};
  const std::string long_name(300, 'n');
  static const std::vector<Place> all{
      {"missing", 0, 0, 0, 0, nothing, "out/new"},
      {"missing_folder", 5, 5, 0, 0, nothing, "out/none/new"},
      {"file", 5, 0, 5, 0, [](const Writer&) { put("out/there", "precious"); }, "out/there"},
      {"folder", 5, 5, 0, 0, [](const Writer&) { stdfs::create_directory("out/there"); }, "out/there"},
      {"folder_with_content", 5, 5, 5, 5, [](const Writer&) { put("out/there/mine", "precious"); }, "out/there"},
      {"trailing_slash", 5, 5, 0, 0, nothing, "out/new/", "out/new"},
      {"link_to_file", 5, 0, 5, 0,
       [](const Writer&) {
         put("out/real", "precious");
         stdfs::create_symlink("real", "out/link");
       },
       "out/link", "out/real"},
      {"link_to_link_to_file", 5, 0, 5, 0,
       [](const Writer&) {
         put("out/d/real", "precious");
         stdfs::create_symlink("d/real", "out/second");
         stdfs::create_symlink(stdfs::absolute("out/second"), "out/link");
       },
       "out/link", "out/d/real"},
      {"link_to_folder", 5, 5, 0, 0,
       [](const Writer&) {
         stdfs::create_directory("out/real");
         stdfs::create_directory_symlink("real", "out/link");
       },
       "out/link", "out/real"},
      {"link_to_folder_with_content", 5, 5, 5, 5,
       [](const Writer&) {
         put("out/real/mine", "precious");
         stdfs::create_directory_symlink("real", "out/link");
       },
       "out/link", "out/real"},
      {"dangling_link", 0, 0, 0, 0, [](const Writer&) { stdfs::create_symlink("later", "out/link"); }, "out/link",
       "out/later"},
      {"link_to_itself", 5, 5, 5, 5, [](const Writer&) { stdfs::create_symlink("link", "out/link"); }, "out/link"},
      {"device", 0, 0, 5, 5,
       [](const Writer&) {
         if (::mknod("out/null", S_IFCHR | 0666, 1 << 8 | 3) != 0) stdfs::create_symlink("/dev/null", "out/null");
       },
       "out/null", ""},
      {"link_to_device", 0, 0, 5, 5, [](const Writer&) { stdfs::create_symlink("/dev/null", "out/null"); }, "out/null",
       ""},
      {"pipe", 0, 0, 5, 5, [](const Writer&) { ASSERT_EQ(::mkfifo("out/pipe", 0600), 0); }, "out/pipe", ""},
      {"dash", 0, 0, 5, 5, nothing, "-", "-"},
      {"stdout", 0, 0, 5, 5, nothing, "/dev/stdout", ""},
      {"link_to_stdout", 0, 0, 5, 5, [](const Writer&) { stdfs::create_symlink("/dev/stdout", "out/link"); },
       "out/link", ""},
      {"closed_descriptor", 5, 5, 5, 5, nothing, "/dev/fd/987"},
      {"hard_link_of_another", 5, 0, 5, 0,
       [](const Writer&) {
         put("out/there", "precious");
         stdfs::create_hard_link("out/there", "decoys/second name");
       },
       "out/there"},
      {"below_a_file", 5, 5, 5, 5, [](const Writer&) { put("out/there", "precious"); }, "out/there/new"},
      {"proc", 5, 5, 5, 5, nothing, "/proc/new"},
      {"long_name", 5, 5, 5, 5, nothing, "out/" + long_name},
      {"no_name", 2, 2, 2, 2, nothing, ""},
      {"input", 2, 2, 2, 2, nothing, "INPUT"},
      {"input_dotted", 2, 2, 2, 2, nothing, "./out/../INPUT"},
      {"link_to_input", 2, 2, 2, 2,
       [](const Writer& writer) { stdfs::create_symlink(stdfs::absolute(writer.input), "out/link"); }, "out/link"},
      {"hard_link_of_input", 2, 2, 2, 2,
       [](const Writer& writer) {
         if (*writer.input != '\0') stdfs::create_hard_link(writer.input, "out/hard");
       },
       "out/hard"},
      {"in_the_folder_that_is_read", 2, 2, 2, 2, nothing, "FOLDER/new"},
      {"file_of_the_folder_that_is_read", 2, 2, 2, 2, nothing, "FOLDER/config.json"},
      {"in_the_folder_by_a_link", 2, 2, 2, 2,
       [](const Writer& writer) {
         if (*writer.folder != '\0') stdfs::create_directory_symlink(stdfs::absolute(writer.folder), "out/link");
       },
       "out/link/new"},
      {"the_folder_that_is_read", 2, 2, 2, 2, nothing, "FOLDER"}};
  return all;
}

// Type, permissions, inode, links and bytes of all that is in the folder; a link's target.
std::map<std::string, std::string> tree() {
  std::map<std::string, std::string> all;
  for (const auto& entry : stdfs::recursive_directory_iterator(".")) {
    struct stat status {};
    ::lstat(entry.path().c_str(), &status);
    std::string text = std::to_string(status.st_mode) + " " + std::to_string(status.st_ino) + " ";
    if (S_ISLNK(status.st_mode)) text += stdfs::read_symlink(entry.path()).string();
    if (S_ISREG(status.st_mode)) text += bytes_of(entry.path());
    all[entry.path().lexically_normal().string()] = text;
  }
  return all;
}

std::vector<std::string> changes(const std::map<std::string, std::string>& before) {
  std::vector<std::string> names;
  const auto now = tree();
  for (const auto& [name, text] : before) {
    if (!now.contains(name) || now.at(name) != text) names.push_back(name);
  }
  for (const auto& [name, text] : now) {
    if (!before.contains(name)) names.push_back(name);
  }
  return names;
}

class Outputs : public testing::TestWithParam<std::tuple<size_t, size_t, bool>> {
 protected:
  static const Writer& writer() { return writers()[std::get<0>(GetParam())]; }
  static const Place& place() { return places()[std::get<1>(GetParam())]; }
  static bool overwrite() { return std::get<2>(GetParam()); }

  void SetUp() override {
    stdfs::current_path(folder_.path());
    const Path models = Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models";
    stdfs::copy(models / "untied", "model");
    stdfs::copy(models / "untied", "tokenizer");
    stdfs::copy(models / "classifier", "predictor");
    stdfs::copy_file(models / ".." / "gguf" / "qwen2.gguf", "small.gguf");
    put("predictor/steerlm.json",
        R"({"attributes": {"names": ["quality", "humor", "length"], "min": 0, "max": 4}, "template": {"system": "Be good."}})");
    put("in.jsonl",
        "{\"conversations\":[{\"from\":\"User\",\"value\":\"q\"},"
        "{\"from\":\"Assistant\",\"value\":\"a\"}]}\n");
    std::string text;
    for (int i = 0; i < 40; ++i) text += "the quick brown fox " + std::to_string(i) + " jumps over a lazy dog\n";
    put("text.txt", text);
    put("annotate.yaml", "stage: annotate\npredictor: predictor\ninput: in.jsonl\noutput: x\nrun_dir: run\n");
    put("generate.yaml",
        "stage: generate\nmodel: model\nprompts: [{path: in.jsonl}]\noutput: x\nrun_dir: run\n"
        "sampling: {max_new_tokens: 2}\n");
    put("tokenizer.yaml", "stage: tokenizer\nrun_dir: run\ntokenizer: {input: text.txt, vocab_size: 300, output: x}\n");
    put("sft.yaml",
        "stage: sft\nmodel: {path: tokenizer}\ndata: {train: [{path: in.jsonl}]}\nrun_dir: lora\n"
        "train: {steps: 1, batch_size: 1}\nlora: {rank: 1}\n");
    if (writer().folder == std::string("adapter")) {
      ASSERT_EQ(run_command({"sft", "sft.yaml", "--quiet"}).code, 0);
      stdfs::rename("lora/model", "adapter");
    }
    // What must stay as it is: files, links and folders of the neighbourhood.
    put("out/neighbour", "precious");
    // A job's part file has the name out/new.part, and a file that is there is refused.
    const std::string name = writer().name;
    const bool job = writer().recipe || name == "score" || name == "generate";
    put(job ? "out/neighbour.part" : "out/new.part", "precious");
    put("out/there.old/mine", "precious");
    put("decoys/model/weights", "precious");
    put("decoys/run/recipe.yaml", "precious");
    stdfs::create_directory("decoys/empty");
    stdfs::create_symlink("../out/neighbour", "decoys/link");
    ASSERT_EQ(::mkfifo("decoys/pipe", 0600), 0);
  }
  ~Outputs() override { stdfs::current_path("/"); }

  // The path of the place for this command; nothing where the command has no such thing.
  static std::optional<std::string> path() {
    std::string text = place().path;
    for (const auto& [word, read] : {std::pair{"INPUT", writer().input}, std::pair{"FOLDER", writer().folder}}) {
      const std::string name = place().name;
      const bool wants = word[0] == 'I' ? name.find("input") != std::string::npos
                                        : name.find("the_folder_that_is_read") != std::string::npos ||
                                              name.find("in_the_folder") != std::string::npos;
      if (wants && *read == '\0') return std::nullopt;
      if (const size_t at = text.find(word); at != std::string::npos) text.replace(at, 5 + (word[0] == 'F'), read);
    }
    return text;
  }

  static int expected_code() {
    const Place& at = place();
    if (writer().makes == Writer::Makes::files) {  // beside what is in the folder
      if (at.file == 2) return 2;
      const std::string name = at.name;
      return at.folder == 0 || name.ends_with("with_content") ? 0 : 5;
    }
    if (writer().makes == Writer::Makes::folder) return overwrite() ? at.folder_overwrite : at.folder;
    if (writer().makes_folders && at.name == std::string("missing_folder")) return 0;
    return overwrite() ? at.file_overwrite : at.file;
  }

  // What the command makes where nothing is in its way.
  static std::string wanted() {
    static std::map<std::string, std::string> known;
    if (const auto found = known.find(writer().name); found != known.end()) return found->second;
    Words words = writer().words("reference");
    if (writer().recipe) words.push_back("run_dir=reference-run");
    EXPECT_EQ(run_command(words).code, 0);
    const std::string bytes = bytes_of("reference");
    stdfs::remove("reference");
    stdfs::remove_all("reference-run");
    return known[writer().name] = bytes;
  }

  TemporaryFolder folder_;
};

TEST_P(Outputs, HarmNothing) {
  const auto to = path();
  if (!to) return;  // the command reads no such thing
  const bool file = writer().makes == Writer::Makes::file;
  const std::string bytes = file ? wanted() : "";
  place().make(writer());
  const int pipe = place().name == std::string("pipe") ? ::open("out/pipe", O_RDONLY | O_NONBLOCK) : -1;
  const auto before = tree();

  Words words = writer().words(*to);
  if (overwrite()) words.push_back("--overwrite");
  const Outcome outcome = run_command(words);
  const int code = expected_code();
  ASSERT_EQ(outcome.code, code) << outcome.err;
  if (code != 0) {
    EXPECT_THAT(outcome.err, testing::HasSubstr("error: "));
    EXPECT_EQ(outcome.out, "");
  }

  const std::string made = code == 0 ? place().made : "";
  for (const std::string& name : changes(before)) {
    const bool asked = !made.empty() && (name == made || name.starts_with(made + "/") || made.starts_with(name + "/"));
    const bool of_run = writer().recipe && (name == "run" || name.starts_with("run/"));
    EXPECT_TRUE(asked || of_run) << name << " was changed";
  }
  if (code != 0) return;
  if (!file) {
    const char* last = writer().makes == Writer::Makes::files ? "train.jsonl" : "config.json";
    EXPECT_TRUE(stdfs::exists(Path(made) / last));
    return;
  }
  if (made == "-" || to->find("stdout") != std::string::npos || place().name == std::string("link_to_stdout")) {
    EXPECT_EQ(outcome.out, bytes);
  } else if (pipe >= 0) {
    std::string got(bytes.size() + 1, '\0');
    got.resize(static_cast<size_t>(std::max<ssize_t>(0, ::read(pipe, got.data(), got.size()))));
    EXPECT_EQ(got, bytes);
    ::close(pipe);
  } else if (!made.empty()) {
    EXPECT_EQ(bytes_of(made), bytes);
  }
}

std::string name_of(const testing::TestParamInfo<std::tuple<size_t, size_t, bool>>& info) {
  const auto& [writer, place, overwrite] = info.param;
  return std::string(writers()[writer].name) + "_" + places()[place].name + (overwrite ? "_overwrite" : "");
}

INSTANTIATE_TEST_SUITE_P(All, Outputs,
                         testing::Combine(testing::Range<size_t>(0, writers().size()),
                                          testing::Range<size_t>(0, places().size()), testing::Bool()),
                         name_of);

// The same command again: a run knows its own output, every other command is told to overwrite it.
class OwnOutput : public Outputs {};

TEST_P(OwnOutput, Again) {
  const Words words = writer().words("out/new");
  ASSERT_EQ(run_command(words).code, 0);
  const auto before = tree();
  const Outcome again = run_command(words);
  EXPECT_EQ(again.code, writer().recipe ? 0 : 5) << again.err;
  for (const std::string& name : changes(before)) EXPECT_EQ(name, "run/log.txt");
  if (!writer().recipe && writer().makes != Writer::Makes::folder) {
    EXPECT_THAT(again.err, testing::HasSubstr("the file exists already"));
    Words overwriting = words;
    overwriting.push_back("--overwrite");
    EXPECT_EQ(run_command(overwriting).code, 0);
  }
  if (!writer().recipe) return;

  // Started over it replaces what it has written and keeps what was changed since; at another place it touches nothing.
  Words fresh = words;
  fresh.push_back("--fresh");
  const Outcome over = run_command(fresh);
  EXPECT_EQ(over.code, 0) << over.err;
  const std::string bytes = bytes_of("out/new");
  put("out/new", "precious");
  const Outcome changed = run_command(fresh);
  EXPECT_EQ(changed.code, 0) << changed.err;
  EXPECT_THAT(changed.err, testing::HasSubstr("out/new.previous"));
  EXPECT_EQ(bytes_of("out/new.previous"), "precious");
  EXPECT_EQ(bytes_of("out/new"), bytes);
  put("out/new", "precious again");
  EXPECT_EQ(run_command(fresh).code, 5) << "there is one .previous";
  EXPECT_EQ(bytes_of("out/new"), "precious again");
  EXPECT_EQ(bytes_of("out/new.previous"), "precious");

  put("out/folder/mine", "precious");
  const auto now = tree();
  for (const auto& [to, code] :
       {std::pair{"out/neighbour", 5}, std::pair{"out/folder", 5}, std::pair{writer().input, 2},
        std::pair{"run/recipe.yaml", 2}, std::pair{"run/done.json", 2}}) {
    Words moved = writer().words(to);
    moved.push_back("--fresh");
    const Outcome outcome = run_command(moved);
    EXPECT_EQ(outcome.code, code) << to << ": " << outcome.err;
    EXPECT_THAT(changes(now), testing::IsEmpty()) << to;
  }
}

INSTANTIATE_TEST_SUITE_P(All, OwnOutput,
                         testing::Combine(testing::Range<size_t>(0, writers().size()), testing::Values(0u),
                                          testing::Values(false)),
                         name_of);

// One of the files of make-toy is there: none of them is written.
class ToyOutput : public Outputs {};

TEST_P(ToyOutput, IsRefusedBeforeAnythingIsWritten) {
  put("out/toy/truth.jsonl", "precious");
  const auto before = tree();
  const Outcome outcome = run_command({"data", "make-toy", "--output", "out/toy", "--count", "5"});
  EXPECT_EQ(outcome.code, 5);
  EXPECT_THAT(outcome.err, testing::HasSubstr("out/toy/truth.jsonl: the file exists already"));
  EXPECT_THAT(changes(before), testing::IsEmpty());
  EXPECT_EQ(run_command({"data", "make-toy", "--output", "out/toy", "--count", "5", "--overwrite"}).code, 0);
  EXPECT_TRUE(stdfs::exists("out/toy/train.jsonl"));
}

INSTANTIATE_TEST_SUITE_P(All, ToyOutput,
                         testing::Combine(testing::Values(writers().size() - 1), testing::Values(0u),
                                          testing::Values(false)),
                         name_of);

// Lines of JSON are packed by their name; what holds something else refuses such a name.
class PackedOutput : public Outputs {};

TEST_P(PackedOutput, IsPackedOrRefused) {
  const Outcome outcome = run_command(writer().words("out/new.gz"));
  if (writer().input == std::string("in.jsonl")) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(bytes_of("out/new.gz").substr(0, 2), "\x1f\x8b");
  } else {
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, testing::HasSubstr("this output is not packed, and its name says that it is"));
    EXPECT_FALSE(stdfs::exists("out/new.gz"));
  }
}

// Those that make one file come first.
INSTANTIATE_TEST_SUITE_P(All, PackedOutput,
                         testing::Combine(testing::Range<size_t>(0, 7), testing::Values(0u), testing::Values(false)),
                         name_of);

TEST(PackedReport, IsRefused) {
  const Outcome outcome = run_command({"report", "run", "--out", "page.html.gz"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, testing::HasSubstr("this output is not packed, and its name says that it is"));
}

}  // namespace
}  // namespace steerlm
