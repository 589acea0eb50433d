// chat: scripts on standard input, and a terminal.
#include <poll.h>
#include <pty.h>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

class Chat : public Program {
 protected:
  void SetUp() override {
    make_model("untied", "model", R"("quality", "humor")");
    Json config = parse_json(read("model/config.json"), "config.json", ExitCode::model);
    config["max_position_embeddings"] = 4096;
    write("model/config.json", dump_json(config));
  }

  Result chat(const std::string& input, const std::string& options = "") {
    write("in.txt", input);
    return run("chat --model model --max-new-tokens 6 " + options + " <in.txt");
  }

  // The answer that generate gives to a record, with the key of the first answer.
  std::string generated(const std::string& turns, const std::string& options) {
    write("prompt.jsonl", R"({"conversations":[)" + turns + "]}\n");
    const Result result = run("generate --model model --max-new-tokens 6 --input prompt.jsonl " + options);
    EXPECT_EQ(result.code, 0) << result.errors;
    return json_lines(result.output)[0].at("response").get<std::string>() + "\n";
  }

  static std::string user(const std::string& value) { return R"({"from":"User","value":")" + value + R"("})"; }
};

TEST_F(Chat, AnswersAreThoseOfGenerateAndAloneOnStandardOutput) {
  const Result result = chat("hi\n");
  expect_says(result, "the answer ends at --max-new-tokens 6");
  EXPECT_EQ(result.output, generated(user("hi"), "--temperature 0.7"));
  EXPECT_EQ(result.errors.find("> "), std::string::npos) << "no prompt where nobody types";
  EXPECT_EQ(chat("hi").output, result.output) << "a last line without an end";
  EXPECT_EQ(chat("hi\r\n").output, result.output);
  EXPECT_EQ(chat("\n  \nhi\n").output, result.output) << "an empty line is no question";
  EXPECT_NE(chat("hi\n", "--seed 5").output, result.output);
  EXPECT_EQ(chat("/quit\nhi\n").output, "");
  EXPECT_EQ(chat("").code, 0);
}

TEST_F(Chat, DialsSystemAndTurnsReachTheModel) {
  const std::string greedy = "--temperature 0";
  const std::string plain = chat("hi\n", greedy).output;
  const std::string answer = json_lines("[" + dump_json(plain.substr(0, plain.size() - 1)) + "]")[0][0].dump();
  EXPECT_EQ(chat("/set quality=3, humor=2\nhi\n", greedy).output, generated(user("hi"), "--set quality=3,humor=2"));
  EXPECT_EQ(chat("/set quality=3\n/set humor=2\nhi\n", greedy).output, generated(user("hi"), "--set quality=3,humor=2"))
      << "the first stays";
  EXPECT_EQ(chat("hi\n", greedy + " --set quality=3,humor=2").output, generated(user("hi"), "--set quality=3,humor=2"));
  EXPECT_EQ(chat("/system Be bad.\nhi\n", greedy).output, generated(user("hi"), "--system 'Be bad.'"));
  for (const char* none : {"\"\"", "''"})
    EXPECT_EQ(chat("/system " + std::string(none) + "\nhi\n", greedy).output, generated(user("hi"), "--system ''"));
  EXPECT_EQ(chat("hi\n", greedy + " --system 'Be bad.'").output, generated(user("hi"), "--system 'Be bad.'"));
  EXPECT_EQ(chat("//undo\n", greedy).output, generated(user("/undo"), ""));
  // The first answer keeps the label that it was given with.
  EXPECT_EQ(chat("hi\n/set humor=4\nand now?\n", greedy).output,
            plain + generated(user("hi") + R"(,{"from":"Assistant","label":"quality:0,humor:0","value":)" + answer +
                                  "}," + user("and now?"),
                              "--set humor=4"));
  EXPECT_EQ(chat("hi\n/set humor=4\n/retry\n", greedy).output, plain + generated(user("hi"), "--set humor=4"));
  EXPECT_EQ(chat("hello\n/undo\nhi\n", greedy).output, chat("hello\n", greedy).output + plain);
  EXPECT_EQ(chat("hello\nso\n/clear\nhi\n", greedy).output, chat("hello\nso\n", greedy).output + plain);
}

TEST_F(Chat, ARetryDrawsOtherNumbersAndASeedRepeatsThem) {
  const Result result = chat("hi\n/retry\n/retry\n", "--temperature 1.5");
  const std::string first = chat("hi\n", "--temperature 1.5").output;
  ASSERT_TRUE(result.output.starts_with(first)) << result.output;
  EXPECT_NE(result.output, first + first + first);
  EXPECT_EQ(chat("hi\n/retry\n/retry\n", "--temperature 1.5").output, result.output);
}

TEST_F(Chat, PrintsDialsSystemPromptAndCommands) {
  const Result result = chat("/set humor=3\n/dials\n/system\n/help\n");
  expect_says(result, "quality=0  (0 to 4, default 0)\nhumor=3  (0 to 4, default 0)\nBe good.\n/help ");
  EXPECT_EQ(result.output, "");
  expect_says(chat("/system \"\"\n/system\n"), "note: there is no system prompt");
  EXPECT_NE(run("chat --help").output.find("/save [--overwrite] FILE"), std::string::npos);
}

TEST_F(Chat, AMistakeInALineIsSaidAndTheConversationGoesOn) {
  const std::string answer = chat("hi\n").output;
  const std::vector<std::pair<std::string, std::string>> mistakes{
      {"/rety", "unknown command '/rety'; did you mean '/retry'?; begin the line with // to send it"},
      {"/usr/bin is what?", "unknown command '/usr/bin'"},
      {"/set", "a dial is missing"},
      {"/set humor", "/set: not a dial setting (found 'humor'"},
      {"/set humour=1", "did you mean 'humor'?"},
      {"/set humor=7", "found 7, expected 0 to 4"},
      {"/set quality=2 humor=7", "found 7, expected 0 to 4"},
      {"/set humor=1 humor=2", "'humor' is set twice"},
      {"/retry", "/retry: nothing has been asked yet"},
      {"/undo", "/undo: nothing has been asked yet"},
      {"/save new.jsonl", "/save: nothing has been asked yet"},
      {"/save", "a file is missing"},
      {"/clear all", "takes nothing behind it (found 'all')"},
      {"\xff", "not valid UTF-8 at byte 1"},
  };
  for (const auto& [line, message] : mistakes) {
    const Result result = chat(line + "\nhi\n");
    expect_refused(result, 0, message);
    EXPECT_EQ(result.output, answer) << line;
  }
  const std::string undone = chat("hi\n/undo\n/undo\n/retry\n").errors;
  EXPECT_NE(undone.find("/undo: nothing"), std::string::npos) << undone;
  EXPECT_NE(undone.find("/retry: nothing"), std::string::npos) << undone;
}

TEST_F(Chat, AModelWithoutDialsTalksToo) {
  copy_model("untied", "plain");
  write("in.txt", "/dials\n/set humor=1\nhi\n/retry\n/save plain.jsonl\n");
  const Result result = run("chat --model plain --max-new-tokens 3 <in.txt");
  expect_says(result, "note: the model has no dials");
  expect_says(result, "a value for humor");
  const Json record = json_lines(read("plain.jsonl"))[0];
  EXPECT_TRUE(record.at("type").is_null());
  EXPECT_TRUE(record.at("conversations")[1].at("label").is_null());
}

TEST_F(Chat, ASavedConversationIsARecordThatTheProgramReads) {
  write("there.jsonl", "mine\n");
  const Result result = chat(
      "hi \"é\"\n/set humor=2\nand now?\n/save there.jsonl\n/save none/talk.jsonl\n/save ~/talk.jsonl\n/save my "
      "talk.jsonl \n/save talk.jsonl.gz\n");
  EXPECT_EQ(read("talk.jsonl.gz").substr(0, 2), "\x1f\x8b");
  expect_says(result, "there.jsonl: the file exists already");
  expect_says(result, "none/talk.jsonl");
  expect_says(result, "/save: '~' is not expanded to a home folder here");
  expect_says(result, "saved as one record in my talk.jsonl");
  EXPECT_EQ(read("there.jsonl"), "mine\n");
  const std::vector<Json> records = json_lines(read("my talk.jsonl"));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].at("system"), "Be good.");
  EXPECT_EQ(records[0].at("mask"), "User");
  EXPECT_EQ(records[0].at("type"), "VALUE_TO_TEXT");
  const Json& turns = records[0].at("conversations");
  ASSERT_EQ(turns.size(), 4u);
  EXPECT_EQ(turns[0].at("value"), "hi \"é\"");
  EXPECT_TRUE(turns[2].at("label").is_null());
  EXPECT_EQ(turns[1].at("label"), "quality:0,humor:0");
  EXPECT_EQ(turns[3].at("label"), "quality:0,humor:2");
  EXPECT_EQ(result.output,
            turns[1].at("value").get<std::string>() + "\n" + turns[3].at("value").get<std::string>() + "\n");
  const Result scored = run("score --model model --input 'my talk.jsonl' --output -");
  EXPECT_EQ(scored.code, 0) << scored.errors;
  EXPECT_EQ(json_lines(scored.output).size(), 2u);
}

TEST_F(Chat, AConversationThatDoesNotFitSaysWhatToDo) {
  const std::string answer = chat("hi\n").output;
  const std::string long_line(9000, 'x');
  Result result = chat(long_line + "\nhi\n");
  expect_says(result, "the conversation no longer fits the model's context (found ");
  expect_says(result, "ask something shorter");
  EXPECT_EQ(result.output, answer);
  result = chat("hi\n" + long_line + "\n/save talk.jsonl\n");
  expect_says(result, "the question is taken back; /undo");
  EXPECT_EQ(json_lines(read("talk.jsonl"))[0].at("conversations").size(), 2u);
  copy_model("untied", "short");
  write("in.txt", "hi\n");
  expect_says(run("chat --model short --max-new-tokens 100000 <in.txt"),
              "the model's context of 256 tokens is full; /undo");
}

TEST_F(Chat, WrongCommandLinesAreRefused) {
  make_model("classifier", "predictor", R"("quality", "humor", "length")");
  expect_refused(run("chat --model predictor </dev/null"), 4, "writes no text");
  expect_refused(run("chat --model none </dev/null"), 4, "none");
  expect_refused(run("chat </dev/null"), 2, "--model");
  expect_refused(run("chat --model model --set humour=1 </dev/null"), 2, "did you mean 'humor'?");
  expect_refused(run("chat --model model --temperature nan </dev/null"), 2, "--temperature");
  expect_refused(run("chat --model model --device cuda:99 </dev/null"), 5, "a GPU that can be used");
  write("in.txt", "hi\nhi\n");
  const Result full = run("chat --model model --max-new-tokens 6", R"(cat in.txt | sh -c '"$0" "$@" >/dev/full')");
  expect_refused(full, 5, "standard output");
  EXPECT_EQ(lines_of(full.errors).size(), 1u) << "the first answer that cannot be written ends it\n" << full.errors;
}

TEST_F(Chat, AnInterruptStopsTheAnswerAndTheNextLineIsAnswered) {
  const std::string greedy = "chat --model model --temperature 0 --max-new-tokens 2000 <in.txt";
  write("in.txt", "hi\n");
  const std::string to_the_end = run(greedy).output;
  ASSERT_GT(to_the_end.size(), 2000u);
  write("in.txt", "so\n");
  const std::string next = run(greedy).output;
  write("in.txt", "hi\n/save stopped.jsonl\n/clear\nso\n");
  std::filesystem::remove(path("out.txt"));
  const auto answering = [&] { return exists("out.txt") && !read("out.txt").empty(); };
  const Result result = run_until(greedy, SIGINT, answering);
  expect_says(result, "note: stopped; what is written stays as the answer");
  const std::string stopped =
      json_lines(read("stopped.jsonl"))[0].at("conversations")[1].at("value").get<std::string>();
  EXPECT_TRUE(to_the_end.starts_with(stopped));
  EXPECT_LT(stopped.size() + 1, to_the_end.size());
  EXPECT_EQ(result.output, stopped + "\n" + next);
  std::filesystem::remove(path("out.txt"));
  EXPECT_EQ(run_until(greedy, SIGTERM, answering).code, 143);
}

// The program on a terminal of its own.
class Terminal {
 public:
  explicit Terminal(const std::string& command) {
    child_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (child_ == 0) {
      ::execl("/bin/sh", "sh", "-c", ("exec " + command).c_str(), nullptr);
      ::_exit(127);
    }
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    if (child_ > 0) ::kill(child_, SIGKILL), ::waitpid(child_, nullptr, 0);
    if (terminal_ >= 0) ::close(terminal_);
  }

  bool is_there() const { return child_ > 0; }
  void type(const std::string& text) {
    ASSERT_EQ(::write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Reads up to and with `text`.
  void read_to(const std::string& text) {
    std::string all;
    while (!all.ends_with(text)) {
      const std::string byte = read_byte();
      if (byte.empty()) FAIL() << "expected: " << text << "\nfound: " << all;
      all += byte;
    }
  }
  // "" where the program has ended, or says nothing for a minute.
  std::string read_byte() {
    pollfd file{terminal_, POLLIN, 0};
    char byte;
    return ::poll(&file, 1, 60'000) == 1 && ::read(terminal_, &byte, 1) == 1 ? std::string(1, byte) : "";
  }
  int exit_code() {
    while (!read_byte().empty()) {
    }
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  int terminal_ = -1;
  pid_t child_ = -1;
};

TEST_F(Chat, OnATerminalAnInterruptDiscardsTheLineAndASecondLeaves) {
  const std::string command =
      std::string(STEERLM_PROGRAM) + " chat --model '" + path("model").string() + "' --max-new-tokens 6";
  Terminal terminal(command);
  if (!terminal.is_there()) GTEST_SKIP() << "this machine gives no pseudo-terminal";
  terminal.read_to("/help lists the commands.\r\n> ");
  terminal.type("hal\x03");
  terminal.read_to("another Ctrl-C leaves\r\n> ");
  terminal.type("/nothing\n");
  terminal.read_to("unknown command '/nothing'");  // and not /hal…
  terminal.read_to("> ");
  terminal.type("\x03");
  terminal.read_to("another Ctrl-C leaves\r\n> ");
  terminal.type("\x03");
  EXPECT_EQ(terminal.exit_code(), 130);
  Terminal left(command);
  left.read_to("> ");
  left.type("\x04");
  EXPECT_EQ(left.exit_code(), 0);
}

TEST_F(Chat, OnATerminalAnInterruptStopsTheAnswer) {
  Terminal terminal(std::string(STEERLM_PROGRAM) + " chat --model '" + path("model").string() +
                    "' --max-new-tokens 3000");
  if (!terminal.is_there()) GTEST_SKIP() << "this machine gives no pseudo-terminal";
  terminal.read_to("> ");
  terminal.type("hi\n");
  terminal.read_to("hi\r\n");
  EXPECT_NE(terminal.read_byte(), "");
  terminal.type("\x03");
  terminal.read_to("\r\nnote: stopped; what is written stays as the answer\r\n> ");
  terminal.type("/quit\n");
  EXPECT_EQ(terminal.exit_code(), 0);
}

}  // namespace
}  // namespace steerlm
