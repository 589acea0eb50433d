#include "steerlm/core/output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <thread>

#include "steerlm/core/stop.h"
#include "support/message_of.h"
#include "support/ordinary_user.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class OutputTest : public testing::Test {
 protected:
  ~OutputTest() override { set_fs_fault({}); }

  std::string at(const std::string& name) const { return (folder_.path() / name).string(); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(at(name)) << text; }
  std::string read(const std::string& name) const { return read_file(at(name), ExitCode::data, "test file"); }
  static void put(const std::string& path, const OutputOptions& options = {}, const std::string& text = "new\n") {
    Output output(path, options);
    output.write(text);
    output.finish();
  }
  size_t count_files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_.path()), {}));
  }
  // The message, by its exit code; nothing may be left beside what is there.
  std::string refused(ExitCode code, const std::string& path, const OutputOptions& options = {}) const {
    const size_t files = count_files();
    std::string early;
    try {
      check_output(path, options);
    } catch (const Error& error) {
      early = error.what();
    }
    try {
      put(path, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_EQ(early, error.what()) << "seen before anything is loaded";
      EXPECT_EQ(count_files(), files);
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << path;
    return "";
  }

  TemporaryFolder folder_;
};

TEST_F(OutputTest, AFileAppearsWhenItIsWhole) {
  {
    Output output(at("f"), {});
    output.write("one\n");
    EXPECT_FALSE(std::filesystem::exists(at("f")));
    output.write("two\n");
    output.finish();
    EXPECT_EQ(read("f"), "one\ntwo\n");
  }
  EXPECT_EQ(count_files(), 1u);
  { Output output(at("g"), {}); }
  EXPECT_EQ(count_files(), 1u) << "what is not finished leaves nothing";
}

TEST_F(OutputTest, AnExistingFileIsReplacedOnlyWithOverwrite) {
  write("f", "precious");
  ::chmod(at("f").c_str(), 0640);
  EXPECT_THAT(refused(ExitCode::resources, at("f")),
              HasSubstr("f: the file exists already; choose another name, or replace it with --overwrite"));
  EXPECT_EQ(read("f"), "precious");
  put(at("f"), {.overwrite = true});
  EXPECT_EQ(read("f"), "new\n");
  EXPECT_EQ(std::filesystem::status(at("f")).permissions(), std::filesystem::perms(0640));
}

TEST_F(OutputTest, OtherHardLinksKeepTheirBytes) {
  write("f", "precious");
  std::filesystem::create_hard_link(at("f"), at("other"));
  put(at("f"), {.overwrite = true});
  EXPECT_EQ(read("other"), "precious");
}

TEST_F(OutputTest, AWriteProtectedFileStays) {
  as_ordinary_user(folder_.path(), [&] {
    write("f", "precious");
    ::chmod(at("f").c_str(), 0444);
    EXPECT_THAT(refused(ExitCode::resources, at("f"), {.overwrite = true}), HasSubstr("write-protected"));
  });
}

TEST_F(OutputTest, ALinkStaysALink) {
  std::filesystem::create_directory(at("d"));
  write("d/real", "precious");
  std::filesystem::create_symlink("d/real", at("link"));
  std::filesystem::create_symlink("link", at("second"));
  EXPECT_THAT(refused(ExitCode::resources, at("second")), HasSubstr("the file exists already"));
  put(at("second"), {.overwrite = true});
  EXPECT_TRUE(std::filesystem::is_symlink(at("link")));
  EXPECT_TRUE(std::filesystem::is_symlink(at("second")));
  EXPECT_EQ(read("d/real"), "new\n");

  std::filesystem::create_symlink(at("d/later"), at("dangling"));
  put(at("dangling"));
  EXPECT_TRUE(std::filesystem::is_symlink(at("dangling")));
  EXPECT_EQ(read("d/later"), "new\n");

  std::filesystem::create_symlink("nowhere/file", at("lost"));
  EXPECT_THAT(refused(ExitCode::resources, at("lost")),
              HasSubstr("its folder does not exist; make it first: mkdir -p"));
  EXPECT_THAT(refused(ExitCode::resources, at("it's/file")), testing::EndsWith("/it'\\''s'"));
  std::filesystem::create_symlink("round", at("round"));
  EXPECT_THAT(refused(ExitCode::resources, at("round")), HasSubstr("Too many levels of symbolic links"));
}

TEST_F(OutputTest, FoldersSocketsAndPlacesWithoutARoomAreRefused) {
  std::filesystem::create_directory(at("d"));
  write("f", "precious");
  std::filesystem::create_symlink("d", at("link"));
  for (const char* name : {"d", "d/", "link", "new/"})
    EXPECT_THAT(refused(ExitCode::resources, at(name), {.overwrite = true}),
                HasSubstr("a folder where a file is expected"));
  EXPECT_THAT(refused(ExitCode::resources, at("f/x")), HasSubstr("Not a directory"));
  EXPECT_THAT(refused(ExitCode::resources, at("none/x")), HasSubstr("its folder does not exist"));
  EXPECT_THAT(refused(ExitCode::resources, at(std::string(300, 'n'))), HasSubstr("File name too long"));
  EXPECT_THAT(refused(ExitCode::recipe, ""), HasSubstr("empty name"));
  EXPECT_THAT(refused(ExitCode::recipe, at("a") + std::string("\0b", 2)), HasSubstr("zero byte"));

  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  at("s").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_THAT(refused(ExitCode::resources, at("s"), {.overwrite = true}), HasSubstr("a socket"));
  ::close(socket);
  EXPECT_EQ(read("f"), "precious");
}

TEST_F(OutputTest, DevicesAndPipesAreWrittenStraightThrough) {
  put("/dev/null");
  std::filesystem::create_symlink("/dev/null", at("link"));
  put(at("link"));
  EXPECT_TRUE(std::filesystem::is_symlink(at("link")));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));

  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] { std::getline(std::ifstream(at("pipe")), got, '\0'); });
  put(at("pipe"));
  reader.join();
  EXPECT_EQ(got, "new\n");
  EXPECT_TRUE(std::filesystem::is_fifo(at("pipe")));
  EXPECT_EQ(count_files(), 2u);
}

TEST_F(OutputTest, APipeWithoutAReaderOrWithAFullOneIsLeftAtAStop) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  const auto stops = [&](const std::function<void()>& action) {
    clear_stop();
    std::thread stopping([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      request_stop();
    });
    ExitCode code = ExitCode::done;
    try {
      action();
    } catch (const Error& error) {
      code = error.code();
    }
    stopping.join();
    clear_stop();
    return code == ExitCode::stopped;
  };
  EXPECT_TRUE(stops([&] { Output(at("pipe"), {}); })) << "without a reader";
  const int reader = ::open(at("pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  EXPECT_TRUE(stops([&] { Output(at("pipe"), {}).write(std::string(1 << 20, 'x')); })) << "with one that reads nothing";
  ::close(reader);
}

// A descriptor that is redirected into a file is no path to that file: what is in it already stays.
TEST_F(OutputTest, DescriptorsOfTheProcessAreWrittenAsTheyAre) {
  const int descriptor = ::open(at("log").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_EQ(::write(descriptor, "before\n", 7), 7);
  const std::string number = std::to_string(descriptor);
  put("/dev/fd/" + number);
  put("/proc/self/fd/" + number);
  put("/proc/" + std::to_string(::getpid()) + "/fd/" + number);
  std::filesystem::create_symlink("/dev/fd/" + number, at("link"));
  put(at("link"));
  EXPECT_EQ(read("log"), "before\nnew\nnew\nnew\nnew\n");
  ::close(descriptor);
  EXPECT_THAT(refused(ExitCode::resources, "/dev/fd/" + number), HasSubstr("Bad file descriptor"));

  const int reading = ::open(at("log").c_str(), O_RDONLY);
  EXPECT_THAT(refused(ExitCode::resources, "/dev/fd/" + std::to_string(reading)), HasSubstr("for reading only"));
  ::close(reading);

  testing::internal::CaptureStdout();
  put("-");
  put("/dev/stdout");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "new\nnew\n");
}

TEST_F(OutputTest, AnInputIsNoOutput) {
  std::filesystem::create_directories(at("model/sub"));
  write("in", "precious");
  write("model/weights", "precious");
  std::filesystem::create_symlink("in", at("link"));
  std::filesystem::create_hard_link(at("in"), at("hard"));
  std::filesystem::create_hard_link(at("model/weights"), at("hard weights"));
  std::filesystem::create_directory_symlink("model", at("other"));
  const OutputOptions options{.overwrite = true, .inputs = {at("in"), at("model"), at("later")}};
  for (const char* name : {"in", "./in", "model/../in", "link", "hard"})
    EXPECT_THAT(refused(ExitCode::recipe, at(name), options), HasSubstr("the output is an input")) << name;
  EXPECT_THAT(refused(ExitCode::recipe, at("hard weights"), options), HasSubstr("a file of a folder that is read"));
  for (const char* name : {"model/new", "other/new", "model/sub/new", "other/sub/../new", "model/weights"})
    EXPECT_EQ(refused(ExitCode::recipe, at(name), options).find("the file exists"), std::string::npos) << name;
  EXPECT_THAT(refused(ExitCode::recipe, at("model"), options), HasSubstr("the output is an input"));
  EXPECT_THAT(refused(ExitCode::recipe, at("later"), options), HasSubstr("the output is an input"));
  // An input that the run itself is to make, in a folder that is not there yet.
  const OutputOptions of_run{.inputs = {at("run/log.txt"), at("run/.mark")}, .make_folder = true};
  for (const char* name : {"run/log.txt", "./run/log.txt", "run/x/../log.txt", "run/.mark", "run/.mark/x"})
    EXPECT_THAT(refused(ExitCode::recipe, at(name), of_run), HasSubstr("the output is an input")) << name;
  EXPECT_THAT(refused(ExitCode::recipe, at("run"), of_run), HasSubstr("the output is a folder of an input"));
  EXPECT_EQ(check_output(at("run/log.txt2"), of_run).file, at("run/log.txt2"));
  put(at("fine"), options);
  EXPECT_EQ(read("in"), "precious");
}

TEST_F(OutputTest, AFileThatAppearedMeanwhileIsNotReplaced) {
  Output output(at("f"), {});
  output.write("mine");
  write("f", "precious");
  EXPECT_THROW(output.finish(), Error);
  EXPECT_EQ(read("f"), "precious");

  Output replacing(at("f"), {.overwrite = true});
  std::filesystem::remove(at("f"));
  std::filesystem::create_symlink("/dev/null", at("f"));
  EXPECT_THROW(replacing.finish(), Error);
  EXPECT_TRUE(std::filesystem::is_symlink(at("f")));
}

TEST_F(OutputTest, TwoWritersNeverMix) {
  write("f", "old");
  {
    Output first(at("f"), {.overwrite = true}), second(at("f"), {.overwrite = true});
    first.write("1");
    second.write("2");
    first.write("1\n");
    second.write("2\n");
    first.finish();
    EXPECT_EQ(read("f"), "11\n");
    second.finish();
    EXPECT_EQ(read("f"), "22\n");
  }
  EXPECT_EQ(count_files(), 1u);
}

// Every operation fails once: the old file or the new one is there, whole, and nothing else.
TEST_F(OutputTest, AFailureAtAnyOperationLeavesNothing) {
  for (int failing = 0;; ++failing) {
    write("f", "old");
    int count = 0;
    set_fs_fault([&](std::string_view, const Path&) { return count++ == failing ? EIO : 0; });
    bool failed = false;
    try {
      put(at("f"), {.overwrite = true});
    } catch (const Error& error) {
      failed = true;
      EXPECT_EQ(error.code(), ExitCode::resources);
      EXPECT_THAT(error.what(), HasSubstr("Input/output error"));
    }
    set_fs_fault({});
    EXPECT_TRUE(read("f") == "old" || read("f") == "new\n");
    EXPECT_EQ(count_files(), 1u);
    if (!failed) {
      EXPECT_GT(failing, 4);
      break;
    }
  }
}

TEST_F(OutputTest, FoldersToMake) {
  std::filesystem::create_directories(at("full/x"));
  std::filesystem::create_directory(at("empty"));
  std::filesystem::create_symlink("empty", at("link"));
  std::filesystem::create_symlink("later", at("dangling"));
  write("f", "precious");
  EXPECT_EQ(check_output_folder(at("new"), {}), at("new"));
  EXPECT_EQ(check_output_folder(at("new/"), {}), at("new"));
  EXPECT_EQ(check_output_folder(at("a/b/c"), {}), at("a/b/c"));
  EXPECT_EQ(check_output_folder(at("link"), {}), at("empty"));
  EXPECT_EQ(check_output_folder(at("dangling"), {}), at("later"));
  EXPECT_EQ(check_output_folder(at("f"), {.overwrite = true}), at("f"));
  const auto refused_folder = [&](const std::string& name, const OutputOptions& options, ExitCode code) {
    return message_of(code, [&] { check_output_folder(name, options); });
  };
  EXPECT_THAT(refused_folder(at("full"), {.overwrite = true}, ExitCode::resources), HasSubstr("is not empty"));
  EXPECT_THAT(refused_folder(at("f"), {}, ExitCode::resources), HasSubstr("exists already"));
  EXPECT_THAT(refused_folder(at("f/x"), {}, ExitCode::resources), HasSubstr("Not a directory"));
  EXPECT_THAT(refused_folder("/dev/null", {.overwrite = true}, ExitCode::resources), HasSubstr("in the way"));
  EXPECT_THAT(refused_folder("/dev/stdout", {.overwrite = true}, ExitCode::resources), HasSubstr("in the way"));
  EXPECT_THAT(refused_folder(at("full/y"), {.inputs = {at("full")}}, ExitCode::recipe), HasSubstr("that is read"));
  EXPECT_THAT(refused_folder(at("full"), {.inputs = {at("full")}}, ExitCode::recipe), HasSubstr("is an input"));
}

}  // namespace
}  // namespace steerlm
