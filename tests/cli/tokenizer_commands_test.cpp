#include <gmock/gmock.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/run_command.h"
#include "steerlm/core/json.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

const std::string tokenizer_file = STEERLM_SOURCE_DIR "/tests/fixtures/models/untied/tokenizer.model";

Outcome run(std::vector<std::string> words, const std::string& input = "") {
  words.insert(words.begin(), "tokenizer");
  return run_command(std::move(words), input);
}

class TokenizerCommands : public ::testing::Test {
 protected:
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  static std::string read(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
  }
  TemporaryFolder folder_;
};

TEST_F(TokenizerCommands, EncodesALineToAnArrayAndDecodesItBack) {
  const std::string text = "Hello there\n\n  two spaces, \t a tab\ncaf\u00e9 \u2603\r\nno line end";
  const Outcome ids = run({"encode", "--model", tokenizer_file}, text);
  EXPECT_EQ(ids.code, 0) << ids.err;
  std::istringstream lines(ids.out);
  std::vector<Json> arrays;
  for (std::string line; std::getline(lines, line);) arrays.push_back(parse_json(line, "output", ExitCode::bug));
  ASSERT_EQ(arrays.size(), 5u) << "only LF ends a line";
  EXPECT_EQ(arrays[1], Json::array());
  for (const Json& array : arrays) {
    for (const Json& id : array) EXPECT_GE(id.get<int>(), 3) << "neither unknown nor BOS nor EOS";
  }
  const Outcome back = run({"decode", "--model", tokenizer_file}, ids.out);
  EXPECT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(back.out, text + "\n");
}

// Over many reads, each of which may end within a line.
TEST_F(TokenizerCommands, LinesOfAnyLengthAreOneLineEach) {
  std::string text, ids;
  for (const size_t length : {0, 1, 70'000, 65'535, 0, 200'000, 3}) {
    const std::string line(length, 'a');
    text += line + "\n";
    ids += run({"encode", "--model", tokenizer_file}, line + "\n").out;
  }
  EXPECT_EQ(run({"encode", "--model", tokenizer_file}, text).out, ids);
  EXPECT_EQ(run({"encode", "--model", tokenizer_file}, text.substr(0, text.size() - 1)).out, ids);
  EXPECT_EQ(run({"encode", "--model", tokenizer_file}).out, "");
}

TEST_F(TokenizerCommands, AFolderIsAsGoodAsItsFile) {
  const std::string folder = STEERLM_SOURCE_DIR "/tests/fixtures/models/untied";
  EXPECT_EQ(run({"encode", "--model", folder}, "some text\n").out,
            run({"encode", "--model", tokenizer_file}, "some text\n").out);
}

TEST_F(TokenizerCommands, ATokenizerJsonIsReadToo) {
  const std::string folder = STEERLM_SOURCE_DIR "/tests/fixtures/tokenizers/qwen2";
  const std::string text = "Hello there\n\n  two spaces, \t a tab\ncaf\u00e9 \u2603\r\n<|im_start|>no line end";
  const Outcome ids = run({"encode", "--model", folder}, text);
  EXPECT_EQ(ids.code, 0) << ids.err;
  EXPECT_EQ(run({"encode", "--model", folder + "/tokenizer.json"}, text).out, ids.out);
  const Outcome back = run({"decode", "--model", folder}, ids.out);
  EXPECT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(back.out, "Hello there\n\n  two spaces, \t a tab\ncaf\u00e9 \u2603\r\nno line end\n")
      << "special tokens give nothing";
  const Outcome bad =
      run({"encode", "--model", write("tokenizer.json", R"({"model": {"type": "Unigram", "vocab": []}})")}, "x\n");
  EXPECT_EQ(bad.code, 4);
  EXPECT_THAT(bad.err, HasSubstr("tokenizer.json: the tokenizer's model is Unigram, which is not supported"));
}

TEST_F(TokenizerCommands, WrongLinesAreRefusedWithTheirNumber) {
  const Outcome bytes = run({"encode", "--model", tokenizer_file}, "fine\nab\xff\n");
  EXPECT_EQ(bytes.code, 3);
  EXPECT_THAT(bytes.err, HasSubstr("standard input:2: not valid UTF-8 at byte 3"));
  for (const std::string line : {"{}", "[1", "[1.5]", "[-1]", "[400]", "[\"a\"]", "[99999999999999999999]", "12"}) {
    const Outcome outcome = run({"decode", "--model", tokenizer_file}, "[5]\n" + line + "\n");
    EXPECT_EQ(outcome.code, 3) << line;
    EXPECT_THAT(outcome.err, HasSubstr("standard input:2: ")) << line;
    EXPECT_THAT(outcome.err, ::testing::Not(HasSubstr("json.exception"))) << line;
  }
  EXPECT_EQ(run({"encode", "--model", path("none")}, "x\n").code, 4);
}

TEST_F(TokenizerCommands, TrainsATokenizerThatGivesTheTextBack) {
  std::string text;
  for (int i = 0; i < 200; ++i)
    text += "the quick brown fox " + std::to_string(i * 7919) + " jumps over the lazy dog\n";
  const std::string input = write("text.txt", text);
  for (const std::string kind : {"unigram", "bpe"}) {
    const std::string file = path(kind + ".model");
    const Outcome outcome = run({"train", "--input", input, "--output", file, "--vocab-size", "300", "--kind", kind});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(file + ": a tokenizer of "));
    EXPECT_EQ(run({"decode", "--model", file}, run({"encode", "--model", file}, text + "unseen: \u2603\n").out).out,
              text + "unseen: \u2603\n");
    const std::string again = path(kind + "_again.model");
    ASSERT_EQ(run({"train", "--input", input, "--output", again, "--vocab-size", "300", "--kind", kind}).code, 0);
    EXPECT_EQ(read(again), read(file));
  }
}

TEST_F(TokenizerCommands, TrainsOnTheValuesOfRecords) {
  std::string records;
  for (int i = 0; i < 50; ++i)
    records += R"({"conversations":[{"from":"User","value":"zebra zebra"},{"from":"Assistant","value":"yak"}]})"
               "\n";
  const Outcome outcome =
      run({"train", "--input", write("r.jsonl", records), "--output", path("t.model"), "--vocab-size", "290"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("pieces asked for"))
      << "a vocabulary that the text cannot fill is made smaller, and said";
  EXPECT_LT(run({"encode", "--model", path("t.model")}, "zebra\n").out.size(),
            run({"encode", "--model", path("t.model")}, "conve\n").out.size());
}

TEST_F(TokenizerCommands, WrongTrainingIsRefused) {
  const std::string input = write("text.txt", "some text\n");
  const Outcome kind = run({"train", "--input", input, "--output", path("t"), "--vocab-size", "300", "--kind", "bpee"});
  EXPECT_EQ(kind.code, 2);
  EXPECT_THAT(kind.err, HasSubstr("did you mean 'bpe'?"));
  EXPECT_EQ(run({"train", "--input", path("none"), "--output", path("t"), "--vocab-size", "300"}).code, 3);
  EXPECT_EQ(run({"train", "--input", input, "--output", path("t"), "--vocab-size", "0"}).code, 2);
  EXPECT_EQ(run({"train", "--input", input, "--output", input + "/t", "--vocab-size", "300"}).code, 5);
  EXPECT_EQ(run({"train", "--input", write("empty.txt", ""), "--output", path("t"), "--vocab-size", "300"}).code, 3);
  EXPECT_EQ(run({"train", "--input", input}).code, 2);
  EXPECT_FALSE(std::filesystem::exists(path("t")));
}

}  // namespace
}  // namespace steerlm
