#include "steerlm/data/line_reader.h"

#include <gmock/gmock.h>
#include <zlib.h>
#include <zstd.h>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace steerlm::testing;

std::vector<std::string> lines_of(const std::string& path) {
  LineReader reader(path);
  std::vector<std::string> lines;
  while (const auto line = reader.next()) {
    EXPECT_EQ(line->number, static_cast<std::int64_t>(lines.size()) + 1);
    lines.push_back(line->too_long ? "<too long>" : std::string(line->text));
  }
  return lines;
}

// With a checksum, as the zstd program writes it.
std::string zstd(const std::string& bytes) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  packed.resize(ZSTD_compress2(context, packed.data(), packed.size(), bytes.data(), bytes.size()));
  ZSTD_freeCCtx(context);
  return packed;
}

// `zstd --long=LOG`, streamed, so that the frame has a window instead of its size.
std::string zstd_with_window(const std::string& bytes, int log) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, log);
  std::string packed(ZSTD_compressBound(bytes.size()) + 100, '\0');
  ZSTD_outBuffer out{packed.data(), packed.size(), 0};
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue);
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  packed.resize(out.pos);
  return packed;
}

const std::string skippable("\x5a\x2a\x4d\x18\x05\0\0\0hello", 13);

// Text that does not pack away to nothing.
std::string long_text() {
  std::string text;
  std::uint32_t state = 1;
  for (int line = 0; line < 20000; ++line) {
    for (int i = 0; i < 40; ++i) {
      state = state * 1664525u + 1013904223u;
      text += static_cast<char>('!' + (state >> 24) % 90);
    }
    text += '\n';
  }
  return text;
}

TEST(LineReader, LineEnds) {
  TemporaryFolder folder;
  EXPECT_THAT(lines_of(write_file(folder, "a", "one\ntwo\r\n\nthree")), ElementsAre("one", "two", "", "three"));
  EXPECT_THAT(lines_of(write_file(folder, "b", "\xEF\xBB\xBFone\r\n")), ElementsAre("one"));
  EXPECT_THAT(lines_of(write_file(folder, "c", "a\rb\v\xE2\x80\xA8\x0c\n\r\r\n")),
              ElementsAre("a\rb\v\xE2\x80\xA8\x0c", "\r"));
  EXPECT_THAT(lines_of(write_file(folder, "d", "x\r")), ElementsAre("x\r"));
  EXPECT_THAT(lines_of(write_file(folder, "e", "")), ElementsAre());
  EXPECT_THAT(lines_of(write_file(folder, "f", "\n")), ElementsAre(""));
}

TEST(LineReader, PackedByContentAndByEnding) {
  TemporaryFolder folder;
  const std::string text = "one\ntwo\r\nthree";
  for (const char* name : {"a.gz", "a.jsonl"}) {
    EXPECT_THAT(lines_of(write_file(folder, name, gzip(text))), ElementsAre("one", "two", "three"));
  }
  for (const char* name : {"b.zst", "b.jsonl"}) {
    EXPECT_THAT(lines_of(write_file(folder, name, zstd(text))), ElementsAre("one", "two", "three"));
  }
  EXPECT_THAT(message_of(ExitCode::data, [&] { lines_of(write_file(folder, "c.gz", text)); }),
              HasSubstr("not a gzip file"));
  EXPECT_THAT(message_of(ExitCode::data, [&] { lines_of(write_file(folder, "c.zst", text)); }),
              HasSubstr("not a Zstandard file"));
  EXPECT_THAT(message_of(ExitCode::data, [&] { lines_of(write_file(folder, "d.gz", "")); }),
              HasSubstr("the file is empty"));
}

TEST(LineReader, ManyMembersAndManyReads) {
  TemporaryFolder folder;
  const std::string text = long_text();
  const std::vector<std::string> expected = lines_of(write_file(folder, "plain", text));
  ASSERT_EQ(expected.size(), 20000u);
  EXPECT_EQ(lines_of(write_file(folder, "a.gz", gzip(text.substr(0, 100000)) + gzip("") + gzip(text.substr(100000)))),
            expected);
  EXPECT_EQ(lines_of(write_file(folder, "a.zst", zstd(text.substr(0, 100000)) + zstd("") + zstd(text.substr(100000)))),
            expected);
}

TEST(LineReader, FramesOfEveryKind) {
  TemporaryFolder folder;
  const std::string text = long_text();
  const std::vector<std::string> expected = lines_of(write_file(folder, "plain", text));
  for (const int log : {10, 22, 27}) {
    EXPECT_EQ(lines_of(write_file(folder, "a.zst", zstd_with_window(text, log))), expected) << log;
  }
  EXPECT_EQ(lines_of(write_file(folder, "b.zst", skippable + zstd(text))), expected);
  EXPECT_EQ(lines_of(write_file(
                folder, "b.jsonl",
                skippable + skippable + zstd(text.substr(0, 820)) + skippable + zstd(text.substr(820)) + skippable)),
            expected);
  EXPECT_THAT(message_of(ExitCode::data, [&] { lines_of(write_file(folder, "c.zst", skippable.substr(0, 10))); }),
              HasSubstr("ends too early"));
}

// 31 is what Pushshift's archives have. The window is asked for, not filled: the frame ends before.
TEST(LineReader, AWindowOfTwoGibibytes) {
  TemporaryFolder folder;
  std::string packed = zstd_with_window("one\ntwo\n", 27);
  ASSERT_EQ(packed[4] & 0x20, 0) << "the frame has a window";
  packed[5] = static_cast<char>((31 - 10) << 3);
  EXPECT_THAT(lines_of(write_file(folder, "a.zst", packed)), ElementsAre("one", "two"));
  packed[5] = static_cast<char>((32 - 10) << 3);
  EXPECT_THAT(message_of(ExitCode::data, [&] { lines_of(write_file(folder, "b.zst", packed)); }),
              HasSubstr("a window of more than 2 GiB"));
}

TEST(LineReader, ZerosBehindAGzipMemberArePadding) {
  TemporaryFolder folder;
  EXPECT_THAT(lines_of(write_file(folder, "a.gz", gzip("one\n") + gzip("two\n") + std::string(300000, '\0'))),
              ElementsAre("one", "two"));
  EXPECT_THAT(message_of(ExitCode::data,
                         [&] { lines_of(write_file(folder, "b.gz", gzip("one\n") + std::string(512, '\0') + "x")); }),
              HasSubstr("is damaged"));
}

TEST(LineReader, CutOffAndDamagedFiles) {
  TemporaryFolder folder;
  const std::string text = long_text();
  for (const auto& [name, packed] : {std::pair<std::string, std::string>{"a.gz", gzip(text)}, {"a.zst", zstd(text)}}) {
    for (const size_t size : {packed.size() - 1, packed.size() / 2, size_t{20}}) {
      EXPECT_THAT(message_of(ExitCode::data, [&] { lines_of(write_file(folder, name, packed.substr(0, size))); }),
                  HasSubstr(name + ", byte " + std::to_string(size) + ": the compressed file ends too early"))
          << name << " " << size;
    }
    std::string damaged = packed;
    for (size_t i = packed.size() / 2; i < packed.size() / 2 + 200; ++i)
      damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    EXPECT_THAT(message_of(ExitCode::data, [&] { lines_of(write_file(folder, name, damaged)); }),
                ContainsRegex(name + ", (near |between byte [0-9]+ and )?byte [0-9]+: the compressed file"));
    EXPECT_THAT(message_of(ExitCode::data, [&] { lines_of(write_file(folder, name, packed + "tail of something")); }),
                HasSubstr("is damaged (found something else than"));
  }
}

// zlib says where it stopped; of zstd it is known what it was given at once, 128 KiB of a file.
TEST(LineReader, WhereDamageIsNoticed) {
  TemporaryFolder folder;
  const auto message = [&](const std::string& name, const std::string& packed) {
    return message_of(ExitCode::data, [&] { lines_of(write_file(folder, name, packed)); });
  };
  const std::string text = long_text(), whole_gzip = gzip(text), whole_zstd = zstd(text);
  const auto at = [](size_t byte) { return "byte " + std::to_string(byte); };
  std::string damaged = whole_gzip;
  char& checksum = damaged[damaged.size() - 8];  // its first of four bytes
  checksum = static_cast<char>(checksum ^ 1);
  EXPECT_THAT(message("a.gz", damaged), HasSubstr("a.gz, near " + at(damaged.size() - 4) + ": "));
  EXPECT_THAT(message("b.gz", whole_gzip + "tail"), HasSubstr("b.gz, near " + at(whole_gzip.size() + 2) + ": "));
  damaged = whole_zstd;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  const size_t size = damaged.size(), begin = size / (128 << 10) * (128 << 10);
  EXPECT_THAT(message("a.zst", damaged), HasSubstr("a.zst, between " + at(begin) + " and " + at(size) + ": "));
}

TEST(LineReader, NoFile) {
  TemporaryFolder folder;
  EXPECT_THAT(message_of(ExitCode::data, [&] { LineReader((folder.path() / "none").string()); }),
              HasSubstr("No such file"));
  EXPECT_THAT(message_of(ExitCode::data, [&] { LineReader(folder.path().string()); }),
              HasSubstr("a folder where a data file is expected"));
  for (const char* device : {"/dev/zero", "/dev/urandom"})
    EXPECT_THAT(message_of(ExitCode::data, [&] { LineReader reader(device); }),
                HasSubstr("a device where a data file is expected"));
  LineReader empty("/dev/null");
  EXPECT_FALSE(empty.next());
}

TEST(LineReader, LimitOfALine) {
  TemporaryFolder folder;
  const std::string limit(max_line_bytes, 'x');
  const std::string path = write_file(
      folder, "a", limit + "\r\n" + limit + "y\nshort\n" + limit + limit + limit + "\n\n" + limit + "\n" + limit + "z");
  LineReader reader(path);
  std::vector<std::pair<size_t, bool>> lines;
  while (const auto line = reader.next()) lines.emplace_back(line->text.size(), line->too_long);
  const std::pair<size_t, bool> cut{64 << 10, true};
  EXPECT_THAT(lines, ElementsAre(std::pair{limit.size(), false}, cut, std::pair{size_t{5}, false}, cut,
                                 std::pair{size_t{0}, false}, std::pair{limit.size(), false}, cut));
}

TEST(LineReader, FirstCharacterAndRest) {
  TemporaryFolder folder;
  const std::string path = write_file(folder, "a", std::string(300000, ' ') + "\n\t[1,\n2]");
  LineReader reader(path);
  EXPECT_EQ(reader.first_character(), '[');
  const std::string rest = reader.rest(1 << 20);
  EXPECT_EQ(rest.size(), 300008u);
  EXPECT_FALSE(reader.next());
  EXPECT_THAT(message_of(ExitCode::data, [&] { LineReader(path).rest(1000); }),
              HasSubstr("write its elements one a line"));
  EXPECT_EQ(LineReader(write_file(folder, "b", " \n")).first_character(), 0);
}

TEST(LineReader, SaysHowMuchOfTheFileItHasReturned) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 40'000; ++i) text += "line number " + std::to_string(100'000 + i) + "\n";
  const std::string plain = write_file(folder, "a.jsonl", text), packed = (folder.path() / "a.jsonl.gz").string();
  const gzFile file = gzopen(packed.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
  gzclose(file);
  for (const std::string& path : {plain, packed}) {
    LineReader reader(path);
    EXPECT_EQ(reader.share_read(), 0.0);
    for (int i = 1; i <= 40'000; ++i) {
      ASSERT_TRUE(reader.next());
      if (i % 10'000 == 0) {
        EXPECT_NEAR(*reader.share_read(), i / 40'000.0, path == plain ? 1e-9 : 0.05) << path;
      }
    }
    EXPECT_FALSE(reader.next());
    EXPECT_NEAR(*reader.share_read(), 1, 1e-3);
  }
}

}  // namespace
}  // namespace steerlm
