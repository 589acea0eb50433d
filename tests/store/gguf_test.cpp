// The rules of a GGUF file, one by one, and the numbers of its blocks against the `gguf` package
// (tools/make_gguf_fixtures.py).
#include "steerlm/store/gguf.h"

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>

#include <limits>

#include "steerlm/store/safetensors.h"
#include "store/ggml_blocks.h"
#include "support/gguf_writer.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Path fixtures = Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "gguf";

class Gguf : public ::testing::Test {
 protected:
  Gguf() {
    good_.text("general.architecture", "llama").integer("a.number", 7);
    good_.tensor("first", {2, 3}, {1, 2, 3, 4, 5, 6});
    good_.tensor("second", {4}, 0.5F);
  }

  GgufFile open() const { return open(good_.bytes()); }
  GgufFile open(const std::string& bytes) const {
    std::filesystem::remove(path_);
    std::ofstream(path_, std::ios::binary) << bytes;
    return GgufFile::open(path_);
  }
  // The message of the refusal, which names the file; "" where it is opened.
  std::string refusal() const { return refusal(good_.bytes()); }
  std::string refusal(const std::string& bytes) const {
    std::string message = message_of(ExitCode::model, [&] { open(bytes); });
    if (!message.empty()) {
      EXPECT_THAT(message, HasSubstr(path_.string()));
    }
    return message;
  }

  TemporaryFolder folder_;
  const Path path_ = folder_.path() / "model.gguf";
  GgufWriter good_;
};

TEST_F(Gguf, ValuesOfEveryType) {
  good_.set("u8", 0, "\xFF").set("i8", 1, "\xFF").set("u16", 2, "\xFF\xFF").set("i16", 3, "\xFE\xFF");
  good_.set("u32", 4, GgufWriter::raw(4'000'000'000U)).set("i32", 5, GgufWriter::raw(-5));
  good_.set("u64", 10, GgufWriter::raw(std::numeric_limits<std::uint64_t>::max()));
  good_.set("i64", 11, GgufWriter::raw(std::numeric_limits<std::int64_t>::min()))
      .set("f64", 12, GgufWriter::raw(1e300));
  good_.number("f32", 0.1F).flag("yes", true).text("text", "grüß").text("empty", "");
  good_.texts("texts", {"a", "", "ü"}).integers("integers", {-1, 2}).numbers("numbers", {0.5F});
  good_.set("bytes", 9, GgufWriter::array_bytes<std::uint8_t>(0, {1, 2, 3}));
  const GgufFile file = open();
  const auto is = [&](const char* key, const GgufValue& wanted) {
    const GgufValue* value = file.find_value(key);
    return value != nullptr && *value == wanted;
  };
  EXPECT_TRUE(is("u8", std::uint64_t{255}));
  EXPECT_TRUE(is("i8", std::int64_t{-1}));
  EXPECT_TRUE(is("u16", std::uint64_t{65535}));
  EXPECT_TRUE(is("i16", std::int64_t{-2}));
  EXPECT_TRUE(is("u32", std::uint64_t{4'000'000'000}));
  EXPECT_TRUE(is("i32", std::int64_t{-5}));
  EXPECT_TRUE(is("u64", std::numeric_limits<std::uint64_t>::max()));
  EXPECT_TRUE(is("i64", std::numeric_limits<std::int64_t>::min()));
  EXPECT_TRUE(is("f64", 1e300));
  EXPECT_TRUE(is("f32", 0.1F));
  EXPECT_TRUE(is("yes", true));
  EXPECT_TRUE(is("text", std::string("grüß")));
  EXPECT_TRUE(is("empty", std::string()));
  EXPECT_TRUE(is("texts", std::vector<std::string>{"a", "", "ü"}));
  EXPECT_TRUE(is("integers", std::vector<std::int32_t>{-1, 2}));
  EXPECT_TRUE(is("numbers", std::vector<float>{0.5F}));
  ASSERT_NE(file.find_value("bytes"), nullptr);
  EXPECT_EQ(std::get<GgufSkippedArray>(*file.find_value("bytes")).count, 3u);
  EXPECT_EQ(file.find_value("no such key"), nullptr);
  EXPECT_EQ(file.values().front().first, "general.architecture");
  EXPECT_EQ(file.values().size(), 19u);
}

TEST_F(Gguf, TensorsHaveTheirDimensionsTurnedRound) {
  for (const std::uint32_t version : {2U, 3U}) {
    good_.version = version;
    const GgufFile file = open();
    ASSERT_NE(file.find_tensor("first"), nullptr);
    const at::Tensor first = file.read(*file.find_tensor("first"));
    EXPECT_EQ(first.sizes(), (std::vector<std::int64_t>{3, 2}));
    EXPECT_EQ(first[2][0].item<float>(), 5);
    EXPECT_EQ(file.read(*file.find_tensor("second")).sum().item<float>(), 2);
    EXPECT_EQ(file.find_tensor("third"), nullptr);
  }
}

TEST_F(Gguf, TensorsMayLieInAnyOrder) {
  std::swap(good_.tensors[0], good_.tensors[1]);
  good_.tensors[0].shift = 32;   // second, behind
  good_.tensors[1].shift = -32;  // first, in front
  std::swap(good_.tensors[0].bytes, good_.tensors[1].bytes);
  const std::string bytes = good_.bytes();
  const GgufFile file = open(bytes);
  EXPECT_EQ(file.read(*file.find_tensor("first")).sum().item<float>(), 21);
  EXPECT_EQ(file.read(*file.find_tensor("second")).sum().item<float>(), 2);
}

TEST_F(Gguf, AnotherAlignment) {
  good_.alignment = 4096;
  good_.integer("general.alignment", 4096);
  EXPECT_EQ(open().read(*open().find_tensor("second")).sum().item<float>(), 2);
  for (const std::uint32_t wrong : {0U, 4U, 24U, 1U << 17}) {
    good_.integer("general.alignment", wrong);
    EXPECT_THAT(refusal(), AllOf(HasSubstr("general.alignment"), HasSubstr(std::to_string(wrong))));
  }
  good_.text("general.alignment", "32");
  EXPECT_THAT(refusal(), HasSubstr("general.alignment"));
}

TEST_F(Gguf, TheStart) {
  EXPECT_EQ(refusal(), "");
  EXPECT_THAT(refusal(""), HasSubstr("too short"));
  EXPECT_THAT(refusal(good_.bytes().substr(0, 23)), HasSubstr("too short"));
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), HasSubstr("git lfs pull"));
  good_.magic = "GGML";
  EXPECT_THAT(refusal(), HasSubstr("not a GGUF file"));
  good_.magic = "GGUF";
  for (const auto& [version, message] :
       std::vector<std::pair<std::uint32_t, const char*>>{{1, "newer llama.cpp"},
                                                          {4, "this version"},
                                                          {0, "this version"},
                                                          {0x03000000, "big-endian"},
                                                          {0x02000000, "big-endian"}}) {
    good_.version = version;
    EXPECT_THAT(refusal(), HasSubstr(message)) << version;
  }
}

TEST_F(Gguf, NoFileOrFolder) {
  EXPECT_THROW(GgufFile::open(folder_.path() / "none.gguf"), Error);
  EXPECT_THROW(GgufFile::open(folder_.path()), Error);
}

TEST_F(Gguf, CountsAreHeldAgainstTheFile) {
  for (const std::int64_t more :
       {std::int64_t{1} << 20, std::int64_t{1} << 62, std::numeric_limits<std::int64_t>::max() - 10}) {
    good_.more_tensors = more;
    EXPECT_THAT(refusal(), HasSubstr("the number of tensors reaches over the end of the file"));
    good_.more_tensors = 0;
    good_.more_keys = more;
    EXPECT_THAT(refusal(), HasSubstr("the number of keys reaches over the end of the file"));
    good_.more_keys = 0;
  }
  good_.more_keys = 1;  // the first tensor's name is taken for a key
  EXPECT_NE(refusal(), "");
}

TEST_F(Gguf, KeysAreTexts) {
  good_.add("a.number", 4, GgufWriter::raw(std::uint32_t{8}));
  EXPECT_THAT(refusal(), HasSubstr("the key 'a.number' is there twice"));
  good_.remove("a.number");
  for (const std::string& key : {std::string(), std::string("a\0b", 3), std::string("\xFF"), std::string(70000, 'k')}) {
    GgufWriter bad = good_;
    bad.add(key, 4, GgufWriter::raw(std::uint32_t{8}));
    EXPECT_NE(refusal(bad.bytes()), "") << key.substr(0, 10);
  }
}

TEST_F(Gguf, ValuesThatAreWrong) {
  const auto with = [&](std::uint32_t type, const std::string& bytes) {
    GgufWriter bad = good_;
    bad.set("bad", type, bytes);
    return refusal(bad.bytes());
  };
  EXPECT_THAT(with(13, "x"), HasSubstr("a type that does not exist"));
  EXPECT_THAT(with(7, "\x02"), HasSubstr("neither true nor false"));
  EXPECT_THAT(with(8, GgufWriter::text_bytes("\xC3")), HasSubstr("not UTF-8"));
  const std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t length : {std::uint64_t{1} << 20, std::uint64_t{1} << 40, huge, huge - 7}) {
    EXPECT_THAT(with(8, GgufWriter::raw(length)), HasSubstr("reaches over the end of the file")) << length;
    for (const std::uint32_t element : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 10U, 11U, 12U}) {
      EXPECT_THAT(with(9, GgufWriter::raw(element) + GgufWriter::raw(length)),
                  HasSubstr("reaches over the end of the file"))
          << element << ", " << length;
    }
  }
  EXPECT_THAT(with(9, GgufWriter::raw(std::uint32_t{9}) + GgufWriter::raw(std::uint64_t{1})),
              HasSubstr("array of arrays"));
  EXPECT_THAT(with(9, GgufWriter::raw(std::uint32_t{99}) + GgufWriter::raw(std::uint64_t{1})),
              HasSubstr("does not exist"));
  EXPECT_THAT(
      with(9, GgufWriter::raw(std::uint32_t{8}) + GgufWriter::raw(std::uint64_t{1}) + GgufWriter::text_bytes("\xFE")),
      HasSubstr("not UTF-8"));
}

TEST_F(Gguf, AHeaderHasABound) {
  good_.text("long", std::string(max_gguf_header_bytes, 'x'));
  EXPECT_THAT(refusal(), HasSubstr("makes the header too large"));
}

TEST_F(Gguf, NamesAndShapes) {
  const auto with = [&](const GgufWriter::Tensor& tensor) {
    GgufWriter bad = good_;
    bad.tensors.push_back(tensor);
    return refusal(bad.bytes());
  };
  const std::string four(4, '\0');
  EXPECT_EQ(with({std::string(64, 'n'), {1}, 0, four}), "");
  EXPECT_EQ(with({"third", {1, 1, 1, 1}, 0, four}), "");
  EXPECT_THAT(with({std::string(65, 'n'), {1}, 0, four}), HasSubstr("too long"));
  EXPECT_THAT(with({"", {1}, 0, four}), HasSubstr("is empty"));
  EXPECT_THAT(with({"\xFF", {1}, 0, four}), HasSubstr("not UTF-8"));
  EXPECT_THAT(with({"first", {1}, 0, four}), HasSubstr("the tensor 'first' is there twice"));
  EXPECT_THAT(with({"third", {}, 0, four}), AllOf(HasSubstr("'third'"), HasSubstr("number of dimensions")));
  EXPECT_THAT(with({"third", {1, 1, 1, 1, 1}, 0, four}), HasSubstr("number of dimensions"));
  EXPECT_THAT(with({"third", {0}, 0, ""}), HasSubstr("a dimension is 0"));
  EXPECT_THAT(with({"third", {1, 0}, 0, ""}), HasSubstr("a dimension is 0"));
  // CVE-2026-33298: a product that wraps around to a small number.
  EXPECT_THAT(with({"third", {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, ""}), HasSubstr("overflows"));
  EXPECT_THAT(with({"third", {std::uint64_t{1} << 63}, 0, ""}), HasSubstr("overflows"));
  EXPECT_THAT(with({"third", {std::uint64_t{1} << 62}, 0, ""}), HasSubstr("its size overflows"));
  EXPECT_THAT(with({"third", {std::uint64_t{1} << 40}, 0, four}), HasSubstr("it is cut off"));
}

TEST_F(Gguf, TypesThatAreNotReadAreNamed) {
  const auto with = [&](std::uint32_t type) {
    GgufWriter bad = good_;
    bad.tensors.push_back({"third", {256}, type, std::string(2048, '\0')});
    return refusal(bad.bytes());
  };
  EXPECT_THAT(with(10), AllOf(HasSubstr("'third'"), HasSubstr("Q2_K"), HasSubstr("Q4_K, Q5_K, Q6_K")));
  EXPECT_THAT(with(20), HasSubstr("IQ4_NL"));
  EXPECT_THAT(with(24), HasSubstr("I8"));
  EXPECT_THAT(with(4), HasSubstr("type 4"));
  EXPECT_THAT(with(12345), HasSubstr("type 12345"));
}

TEST_F(Gguf, RowsAreWholeBlocks) {
  for (const auto& [type, block, bytes] :
       std::vector<std::tuple<std::uint32_t, std::uint64_t, size_t>>{{8, 32, 34},
                                                                     {2, 32, 18},
                                                                     {3, 32, 20},
                                                                     {6, 32, 22},
                                                                     {7, 32, 24},
                                                                     {12, 256, 144},
                                                                     {13, 256, 176},
                                                                     {14, 256, 210}}) {
    GgufWriter sound = good_;
    sound.tensors.push_back({"third", {block, 2}, type, std::string(2 * bytes, '\0')});
    EXPECT_EQ(refusal(sound.bytes()), "") << type;
    GgufWriter bad = good_;  // as many numbers, and no whole block in a row
    bad.tensors.push_back({"third", {block / 2, 4}, type, std::string(2 * bytes, '\0')});
    EXPECT_THAT(refusal(bad.bytes()), HasSubstr("no whole number of blocks")) << type;
  }
}

TEST_F(Gguf, PlacesOfTensors) {
  good_.tensors[1].shift = 16;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'second'"), HasSubstr("multiple of the alignment")));
  good_.tensors[1].shift = -32;
  EXPECT_THAT(refusal(), HasSubstr("overlaps"));
  good_.tensors[1].shift = 32;
  good_.behind = std::string(32, '\0');
  EXPECT_THAT(refusal(), HasSubstr("a hole lies before it"));
  good_.tensors[0].shift = 32;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'first'"), HasSubstr("a hole")));
  good_.tensors[0].shift = 0;
  good_.tensors[1].shift = std::numeric_limits<std::int64_t>::min();
  EXPECT_THAT(refusal(), HasSubstr("a hole"));
}

TEST_F(Gguf, TheEndOfTheFile) {
  const std::string bytes = good_.bytes();
  EXPECT_THAT(refusal(bytes.substr(0, bytes.size() - 1)), AllOf(HasSubstr("'second'"), HasSubstr("it is cut off")));
  EXPECT_EQ(refusal(bytes + std::string(16, '\0')), "") << "the last tensor may be padded to the alignment";
  EXPECT_THAT(refusal(bytes + std::string(17, '\0')), HasSubstr("bytes behind the last tensor"));
  for (size_t size = 0; size < bytes.size(); size += 3) EXPECT_NE(refusal(bytes.substr(0, size)), "") << size;
}

TEST_F(Gguf, AFileThatBecomesShorterIsAnError) {
  const GgufFile file = open();
  std::filesystem::resize_file(path_, 100);
  try {
    file.read(*file.find_tensor("second"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("tensor 'second'"), HasSubstr("shorter")));
  }
}

TEST(GgmlBlocks, NumbersOfThePackageToTheBit) {
  const GgufFile file = GgufFile::open(fixtures / "blocks.gguf");
  const SafetensorsFile expected = SafetensorsFile::open(fixtures / "blocks.safetensors");
  ASSERT_EQ(file.tensors().size(), 11u) << read_ggml_types();
  for (const GgufTensor& tensor : file.tensors()) {
    EXPECT_EQ(ggml_type_name(static_cast<std::uint32_t>(tensor.type)), tensor.name);
    const at::Tensor wanted = expected.read(tensor.name);
    EXPECT_TRUE(at::equal(file.read(tensor).view(at::kInt), wanted.view(at::kInt))) << tensor.name;
    EXPECT_GT(wanted.std().item<double>(), 0.01) << tensor.name << " of the fixture is flat";
  }
}

// A tensor that is read in more than one piece.
TEST_F(Gguf, LargeTensors) {
  constexpr std::uint64_t blocks = 100'000;
  GgufWriter::Tensor large{"large", {32, blocks}, 8, ""};  // Q8_0
  for (std::uint64_t i = 0; i < blocks; ++i)
    large.bytes += std::string("\x00\x3C", 2) + std::string(32, static_cast<char>(i % 100));
  good_.tensors.push_back(large);
  const GgufFile file = open();
  const at::Tensor read = file.read(*file.find_tensor("large"));
  ASSERT_EQ(read.sizes(), (std::vector<std::int64_t>{blocks, 32}));
  const float* values = read.const_data_ptr<float>();
  for (std::uint64_t i = 0; i < blocks; ++i) {
    ASSERT_EQ(values[32 * i], static_cast<float>(i % 100)) << i;
    ASSERT_EQ(values[32 * i + 31], static_cast<float>(i % 100)) << i;
  }
}

}  // namespace
}  // namespace steerlm
