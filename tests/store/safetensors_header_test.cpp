#include "steerlm/store/safetensors_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "steerlm/core/error.h"
#include "steerlm/core/rng.h"
#include "support/message_of.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

std::string message(const std::string& json, std::uint64_t data_size) {
  std::string text =
      message_of(ExitCode::model, [&] { parse_safetensors_header(json, data_size, "weights.safetensors"); });
  if (!text.empty()) {
    EXPECT_THAT(text, HasSubstr("weights.safetensors"));
  }
  return text;
}

struct BadHeader {
  const char* name;
  std::string json;
  std::uint64_t data_size;
  const char* expected;
};

class BadSafetensorsHeader : public ::testing::TestWithParam<BadHeader> {};

TEST_P(BadSafetensorsHeader, IsRefusedWithItsReason) {
  EXPECT_THAT(message(GetParam().json, GetParam().data_size), HasSubstr(GetParam().expected));
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

INSTANTIATE_TEST_SUITE_P(
    All, BadSafetensorsHeader,
    ::testing::Values(
        BadHeader{"NotJson", "{\"a\":", 0, "not valid JSON"},
        BadHeader{"NotUtf8", "{\"a\xff\":1}", 0, "not valid UTF-8"},
        BadHeader{"NotAnObject", "[]", 0, "the header is not a JSON object"},
        BadHeader{"SecondValue", "{} {}", 0, "not valid JSON"}, BadHeader{"Empty", "  ", 0, "not valid JSON"},
        BadHeader{"ByteOrderMark", "\xEF\xBB\xBF{}", 0, "a byte-order mark"},
        BadHeader{"PaddedWithNul", std::string("{}\0\0", 4), 0, "a raw NUL"},
        BadHeader{"Comment", "{}//", 0, "not valid JSON"},
        BadHeader{"DuplicateMetadata", R"({"__metadata__":{"a":"1"},"__metadata__":{"a":"2"}})", 0,
                  "'__metadata__' occurs twice"},
        BadHeader{"DuplicateMetadataKey", R"({"__metadata__":{"a":"1","a":"2"}})", 0, "'a' occurs twice"},
        BadHeader{"MetadataNull", R"({"__metadata__":{"format":null}})", 0, "something else than strings, at 'format'"},
        BadHeader{"MetadataNested", R"({"__metadata__":{"format":{"a":"b"}}})", 0,
                  "something else than strings, at 'format'"},
        BadHeader{"DuplicateTensor",
                  "{\"a\":" + entry("F32", "[1]", "[0,4]") + ",\"a\":" + entry("F32", "[1]", "[0,4]") + "}", 4,
                  "'a' occurs twice"},
        BadHeader{"DuplicateKey", R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
                  "'dtype' occurs twice"},
        BadHeader{"DeepNesting", R"({"a":{"dtype":"F32","shape":[[[[1]]]],"data_offsets":[0,4]}})", 4,
                  "nested deeper than"},
        BadHeader{"MetadataNoObject", R"({"__metadata__":"x"})", 0, "'__metadata__' is not an object"},
        BadHeader{"MetadataNumber", R"({"__metadata__":{"format":1}})", 0, "something else than strings, at 'format'"},
        BadHeader{"TensorNoObject", R"({"a":[1]})", 0, "tensor 'a': not an object"},
        BadHeader{"NoDtype", R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "tensor 'a': no 'dtype'"},
        BadHeader{"NoShape", R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "tensor 'a': no 'shape'"},
        BadHeader{"NoOffsets", R"({"a":{"dtype":"F32","shape":[1]}})", 4, "tensor 'a': no 'data_offsets'"},
        BadHeader{"DtypeNumber", R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", 4, "'dtype' is not a string"},
        BadHeader{"LowerCaseDtype", "{\"a\":" + entry("f32", "[1]", "[0,4]") + "}", 4, "unknown dtype 'f32'"},
        BadHeader{"UnknownDtype", "{\"a\":" + entry("F33", "[1]", "[0,4]") + "}", 4, "unknown dtype 'F33'"},
        BadHeader{"ShapeNoArray", "{\"a\":" + entry("F32", "1", "[0,4]") + "}", 4, "'shape' is not an array"},
        BadHeader{"NegativeSize", "{\"a\":" + entry("F32", "[-1]", "[0,4]") + "}", 4, "a size in 'shape' (found -1"},
        BadHeader{"FractionSize", "{\"a\":" + entry("F32", "[1.5]", "[0,4]") + "}", 4, "a size in 'shape' (found 1.5"},
        BadHeader{"HugeSize", "{\"a\":" + entry("F32", "[9223372036854775808]", "[0,4]") + "}", 4,
                  "the shape overflows"},
        BadHeader{"ShapeProductOverflows", "{\"a\":" + entry("F32", "[4294967296,4294967296]", "[0,4]") + "}", 4,
                  "the shape overflows"},
        BadHeader{"ShapeWrapsToFour", "{\"a\":" + entry("F32", "[4611686018427387905]", "[0,4]") + "}", 4,
                  "the shape overflows"},
        BadHeader{"EmptyShapeOverflows", "{\"a\":" + entry("F32", "[4611686018427387904,4,0]", "[0,0]") + "}", 0,
                  "the shape overflows"},
        BadHeader{"HugeOffsets", "{\"a\":" + entry("F32", "[1]", "[18446744073709551612,18446744073709551616]") + "}",
                  4, "the end in 'data_offsets' (found 1.8446744073709552e+19"},
        BadHeader{"EndOfTheNumberLine",
                  "{\"a\":" + entry("F32", "[0]", "[18446744073709551615,18446744073709551615]") + "}", 4,
                  "lies behind the end of the file"},
        BadHeader{"OffsetsNoPair", "{\"a\":" + entry("F32", "[1]", "[0,4,8]") + "}", 4, "'data_offsets' is not a pair"},
        BadHeader{"NegativeOffset", "{\"a\":" + entry("F32", "[1]", "[-4,0]") + "}", 4,
                  "the begin in 'data_offsets' (found -4"},
        BadHeader{"FloatOffset", "{\"a\":" + entry("F32", "[1]", "[0,4.0]") + "}", 4,
                  "the end in 'data_offsets' (found 4.0"},
        BadHeader{"EndBeforeBegin", "{\"a\":" + entry("F32", "[1]", "[4,0]") + "}", 4, "end before they begin"},
        BadHeader{"ShapeAndOffsetsDisagree", "{\"a\":" + entry("F32", "[2]", "[0,4]") + "}", 4,
                  "do not agree (found 4 bytes, expected 8 bytes)"},
        BadHeader{"SubByte", "{\"a\":" + entry("F4", "[3]", "[0,2]") + "}", 2, "do not end on a byte"},
        BadHeader{"SubByteOfSix", "{\"a\":" + entry("F6_E2M3", "[3]", "[0,2]") + "}", 2, "do not end on a byte"},
        BadHeader{"CutOff", "{\"a\":" + entry("F32", "[4]", "[0,16]") + "}", 12,
                  "tensor 'a': lies behind the end of the file"},
        BadHeader{"Hole", "{\"a\":" + entry("F32", "[1]", "[4,8]") + "}", 8, "a hole lies before it"},
        BadHeader{"HoleInside",
                  "{\"a\":" + entry("F32", "[1]", "[0,4]") + ",\"b\":" + entry("F32", "[1]", "[8,12]") + "}", 12,
                  "tensor 'b': a hole"},
        BadHeader{"Overlap", "{\"a\":" + entry("F32", "[2]", "[0,8]") + ",\"b\":" + entry("F32", "[1]", "[4,8]") + "}",
                  8, "tensor 'b': overlaps"},
        BadHeader{"SameBytesTwice",
                  "{\"a\":" + entry("F32", "[1]", "[0,4]") + ",\"b\":" + entry("F32", "[1]", "[0,4]") + "}", 4,
                  "overlaps"},
        BadHeader{"BytesBehind", "{\"a\":" + entry("F32", "[1]", "[0,4]") + "}", 5, "bytes behind the last tensor"},
        BadHeader{"BytesWithoutTensors", "{}", 1, "bytes behind the last tensor"}),
    [](const auto& param) { return param.param.name; });

TEST(SafetensorsHeaderLength, ChecksEveryBound) {
  const auto length = [](const std::string& bytes, std::uint64_t file_size) -> std::string {
    try {
      return std::to_string(safetensors_header_length(bytes, file_size, "w"));
    } catch (const Error& error) {
      return error.what();
    }
  };
  const auto encoded = [](std::uint64_t value) {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i) & 255);
    return bytes;
  };
  EXPECT_THAT(length("", 0), HasSubstr("too short for a safetensors file (found 0 bytes"));
  EXPECT_THAT(length("1234567", 7), HasSubstr("too short"));
  EXPECT_THAT(length(encoded(0), 8), HasSubstr("header too small"));
  EXPECT_THAT(length(encoded(1), 9), HasSubstr("header too small"));
  EXPECT_THAT(length(encoded(100'000'001), 200'000'000), HasSubstr("header too large"));
  EXPECT_THAT(length(encoded(~std::uint64_t{0}), 100), HasSubstr("header too large"));
  EXPECT_THAT(length(encoded(93), 100), HasSubstr("the header is longer than the file"));
  EXPECT_EQ(length(encoded(92), 100), "92");
  EXPECT_EQ(length(encoded(100'000'000), 200'000'000), "100000000");
}

TEST(SafetensorsHeader, AcceptsWhatTheReferenceAccepts) {
  const auto empty = parse_safetensors_header("{}", 0, "w");
  EXPECT_TRUE(empty.tensors.empty());
  EXPECT_EQ(empty.data_offset, 10u);
  const std::string json = " \n{\"b\":" + entry("BF16", "[]", "[8,10]") +
                           ",\"empty\":" + entry("I64", "[3,0]", "[8,8]") +
                           ",\"__metadata__\":{\"format\":\"pt\"},\"a\":" + entry("F4", "[4,4]", "[0,8]") + "}   ";
  const auto header = parse_safetensors_header(json, 10, "w");
  ASSERT_EQ(header.tensors.size(), 3u);
  EXPECT_EQ(header.tensors[0].first, "a");
  EXPECT_EQ(header.tensors[1].first, "empty");
  EXPECT_EQ(header.tensors[2].first, "b");
  EXPECT_EQ(header.tensors[1].second.shape, (std::vector<std::int64_t>{3, 0}));
  EXPECT_TRUE(header.tensors[2].second.shape.empty());
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

// safetensors/src/tensor.rs, Dtype::bitsize.
TEST(SafetensorsHeader, EveryDtypeOfTheFormatHasItsWidth) {
  const std::vector<std::pair<std::string, std::uint64_t>> bits{
      {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},    {"F8_E5M2", 8},
      {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16}, {"BF16", 16}, {"I32", 32},
      {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},    {"I64", 64}, {"U64", 64}};
  for (const auto& [dtype, width] : bits) {
    EXPECT_EQ(safetensors_dtype_bits(dtype), width) << dtype;
    const std::string end = std::to_string(width);  // 8 elements: as many bytes as an element has bits
    EXPECT_EQ(message("{\"a\":" + entry(dtype, "[2,4]", "[0," + end + "]") + "}", width), "") << dtype;
  }
}

// Whatever is done to a header: accepted with sound offsets, or refused with our own error.
TEST(SafetensorsHeader, RandomDamageNeverGetsThrough) {
  const std::string whole = "{\"a\":" + entry("F32", "[2,3]", "[0,24]") + ",\"b\":" + entry("BF16", "[4]", "[24,32]") +
                            ",\"__metadata__\":{\"format\":\"pt\"}}";
  const std::string pieces = "{}[]\",:0123456789-+.eE\\u \x7f\xff";
  int accepted = 0;
  for (std::uint64_t round = 0; round < 20000; ++round) {
    Rng rng(7, "header damage", round);
    std::string json = whole;
    for (std::uint64_t edits = 1 + rng.below(3); edits > 0; --edits) {
      const size_t at = rng.below(json.size());
      if (rng.below(3) == 0) json.erase(at, 1 + rng.below(4));
      if (rng.below(3) == 0) json.insert(at, 1, pieces[rng.below(pieces.size())]);
      if (at < json.size()) json[at] = pieces[rng.below(pieces.size())];
    }
    try {
      const SafetensorsHeader header = parse_safetensors_header(json, 32, "w");
      std::uint64_t next = 0;
      for (const auto& [name, info] : header.tensors) {
        ASSERT_EQ(info.begin, next) << json;
        next = info.end;
      }
      ASSERT_EQ(next, 32u) << json;
      ++accepted;
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ExitCode::model);
    }
  }
  EXPECT_GT(accepted, 100);  // a changed name is no damage
  EXPECT_LT(accepted, 15000);
}

TEST(SafetensorsHeader, WrittenHeadersReadBackAndAreAligned) {
  SafetensorsHeader header;
  header.metadata = {{"format", "pt"}};
  header.tensors = {{"x \"é\"", {"F32", {2, 3}, 0, 24}}, {"y", {"F16", {}, 24, 26}}};
  const std::string bytes = format_safetensors_header(header);
  EXPECT_EQ(bytes.size() % 8, 0u);
  EXPECT_EQ(bytes[8], '{');
  const std::uint64_t length = safetensors_header_length(bytes.substr(0, 8), bytes.size() + 26, "w");
  EXPECT_EQ(length, bytes.size() - 8);
  const auto back = parse_safetensors_header(bytes.substr(8), 26, "w");
  EXPECT_EQ(back.metadata, header.metadata);
  ASSERT_EQ(back.tensors.size(), 2u);
  EXPECT_EQ(back.tensors[0].first, "x \"é\"");
  EXPECT_EQ(back.tensors[1].second.end, 26u);
  EXPECT_EQ(back.data_offset, bytes.size());
}

}  // namespace
}  // namespace steerlm
