#include "steerlm/data/dataset_file.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <cmath>
#include <cstring>

#include "data/helpers.h"
#include "steerlm/core/hash.h"
#include "steerlm/data/batch.h"
#include "steerlm/data/preference.h"
#include "steerlm/data/response_group.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using namespace steerlm::testing;

constexpr size_t foot_bytes = 128;
// {"line":7,"reason":"no record","record":"{\"a\": \"ü\"}"}
constexpr size_t bad_bytes = 58;

class DatasetFile : public ::testing::Test {
 protected:
  static DataOptions data() { return {.train = {source("a.jsonl"), source("b.jsonl")}, .validation = {source("c")}}; }
  // Four training examples, of which two are a group, one held out, and a record of the second file that is put aside.
  static bool encode(DatasetBuilder& builder) {
    builder.puts_aside = true;
    for (std::int32_t i = 0; i < 5; ++i) {
      Example example{.ids = {i, i + 1, 28, i}, .target = {0, 1, 0, 1}, .labels = {static_cast<float>(i), NAN}};
      example.group = i < 2 ? -1 : i / 2;
      builder.add(i == 4 ? builder.validation : builder.train, example);
      if (i == 2) builder.refuse_or_put_aside({"b.jsonl", 7, "no record", "{\"a\": \"ü\"}"}, data());
    }
    builder.train.counts.examples = 4;
    builder.train.counts.unobeyed = {{"'tools'", 2}};
    builder.validation.counts.effective_responses = 1.0 / 3;
    return builder.record_read();
  }

  std::string write(const std::string& name, const Json& key = {{"a", 1}}) {
    const std::string path = (folder_.path() / name).string();
    OutputFile file(path, OutputFile::Mode::create);
    EXPECT_TRUE(write_dataset_file(file, key, encode));
    return path;
  }
  std::string changed(const std::string& bytes) { return write_file(folder_, "changed", bytes); }
  static OpenedDataset open(const std::string& path, const Json& key = {{"a", 1}}, std::int64_t vocab_size = 29) {
    return open_dataset_file(path, key, vocab_size, path);
  }
  // With a number of the foot, or of the index, replaced and all sums made right again.
  std::string patched(std::string bytes, size_t offset, std::uint64_t value, size_t size) {
    std::memcpy(bytes.data() + offset, &value, size);
    std::uint64_t example_bytes = 0;
    const size_t foot = bytes.size() - foot_bytes;
    std::memcpy(&example_bytes, original_.data() + original_.size() - foot_bytes + 16, 8);
    const size_t index = 8 + example_bytes;
    const std::string hash = sha256_hex(std::string_view(bytes).substr(index, foot - index));
    for (size_t i = 0; i < 32; ++i)
      bytes[foot + 56 + i] = static_cast<char>(std::stoi(hash.substr(2 * i, 2), nullptr, 16));
    const auto crc = static_cast<std::uint32_t>(
        ::crc32(0, reinterpret_cast<const unsigned char*>(bytes.data() + foot), foot_bytes - 8));
    std::memcpy(bytes.data() + foot + foot_bytes - 8, &crc, 4);
    return bytes;
  }

  TemporaryFolder folder_;
  std::string original_ = read_all(write("file"));
};

TEST_F(DatasetFile, HasWhatWasAdded) {
  DatasetBuilder builder;
  encode(builder);
  const Dataset wanted = builder.finish();
  const OpenedDataset opened = open(write("f"));
  ASSERT_TRUE(opened.dataset) << opened.fault;
  const Dataset& found = *opened.dataset;
  ASSERT_EQ(found.train.size(), 4u);
  ASSERT_EQ(found.validation.size(), 1u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(found.train[i].ids, wanted.train[i].ids);
    EXPECT_EQ(found.train[i].target, wanted.train[i].target);
    EXPECT_EQ(found.train[i].labels[0], static_cast<float>(i));
    EXPECT_EQ(found.train[i].group, wanted.train[i].group);
  }
  EXPECT_EQ(found.validation[0].ids[0], 4);
  EXPECT_EQ(ExampleGroups(found.train).size(), 3u);
  EXPECT_EQ(found.train_counts.examples, 4);
  EXPECT_EQ(found.train_counts.label_sums, (std::vector<double>{6, 0}));
  EXPECT_EQ(found.train_counts.label_values, (std::vector<std::int64_t>{4, 0}));
  EXPECT_EQ(found.train_counts.unobeyed.at("'tools'"), 2);
  EXPECT_EQ(found.validation_counts.effective_responses, 1.0 / 3);
  for (const Dataset* dataset : {&found, &wanted}) {
    ASSERT_EQ(dataset->bad.size(), 1u);
    const BadRecord bad = dataset->bad.read(0, data());
    EXPECT_EQ(bad.file, "b.jsonl");
    EXPECT_EQ(bad.line, 7);
    EXPECT_EQ(bad.reason, "no record");
    EXPECT_EQ(bad.text, "{\"a\": \"ü\"}");
  }
  DataOptions moved = data();
  moved.train[1].path = "elsewhere/b.jsonl";
  EXPECT_EQ(found.bad.read(0, moved).file, "elsewhere/b.jsonl") << "as the run that reads it calls the file";
  EXPECT_EQ(read_all(write("again")), original_) << "no time, path or chance is in it";
}

TEST_F(DatasetFile, IsOfOneKeyAndFormat) {
  const std::string path = write("f");
  EXPECT_FALSE(open(path, {{"a", 2}}).dataset);
  EXPECT_EQ(open(path, {{"a", 2}}).fault, "") << "nothing is wrong with it";
  const OpenedDataset none = open((folder_.path() / "none").string());
  EXPECT_FALSE(none.dataset);
  EXPECT_EQ(none.fault, "");
  const std::string other = patched(original_, original_.size() - foot_bytes + 8, dataset_file_format + 1, 4);
  EXPECT_FALSE(open(changed(other)).dataset);
}

// Whatever byte is another one: it is not opened, or the example that the byte is of is refused.
TEST_F(DatasetFile, EveryChangedByteIsNoticed) {
  size_t refused = 0;
  for (size_t i = 0; i < original_.size(); ++i) {
    std::string bytes = original_;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
    const std::string path = changed(bytes);
    const OpenedDataset opened = open(path);
    if (!opened.dataset) continue;
    const std::string message = message_of(ExitCode::resources, [&] {
      opened.dataset->train.read_all();
      opened.dataset->validation.read_all();
      opened.dataset->bad.read(0, data());
    });
    EXPECT_THAT(message, HasSubstr("is damaged and was removed")) << "byte " << i;
    EXPECT_FALSE(std::filesystem::exists(path));
    ++refused;
  }
  EXPECT_EQ(refused, 5 * (16 + 1 + 8 + 48u) + bad_bytes) << "all bytes before the index, and no others";
}

TEST_F(DatasetFile, EveryCutIsNoticed) {
  for (size_t size = 0; size < original_.size(); ++size) {
    const OpenedDataset opened = open(changed(original_.substr(0, size)));
    EXPECT_FALSE(opened.dataset) << size;
    EXPECT_THAT(opened.fault, HasSubstr("it was cut")) << size;
    EXPECT_FALSE(opened.foreign);
  }
  EXPECT_FALSE(open(changed(original_ + "x")).dataset);
}

TEST_F(DatasetFile, AFileThatIsCutWhileItIsReadIsNoSignal) {
  const std::string path = write("f");
  const OpenedDataset opened = open(path);
  std::filesystem::resize_file(path, 100);
  EXPECT_THAT(message_of(ExitCode::resources, [&] { opened.dataset->validation[0]; }),
              HasSubstr("the file has become shorter"));
}

TEST_F(DatasetFile, WhatWasMadeAgainMeanwhileIsNotRemoved) {
  std::string bytes = original_;
  bytes[9] = 5;
  const std::string path = changed(bytes);
  const OpenedDataset opened = open(path);
  std::filesystem::rename(write("new"), path);
  EXPECT_THAT(message_of(ExitCode::resources, [&] { opened.dataset->train[0]; }), HasSubstr("is damaged"));
  EXPECT_EQ(read_all(path), original_);
}

// Numbers that somebody has put there with right sums: no memory is taken for them, nothing outside of the file is
// read.
TEST_F(DatasetFile, SizesThatDoNotFitAreRefused) {
  const size_t foot = original_.size() - foot_bytes;
  std::uint64_t example_bytes = 0;
  std::memcpy(&example_bytes, original_.data() + foot + 16, 8);
  ASSERT_EQ(example_bytes, 5 * 73u + bad_bytes);
  ASSERT_TRUE(open(changed(patched(original_, foot + 24, 4, 8))).dataset) << "what is patched with itself";
  for (const size_t number : {16u, 24u, 32u, 40u, 48u}) {
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1} << 20, std::uint64_t{1} << 59,
                                      std::uint64_t{1} << 60, std::uint64_t{1} << 61, ~std::uint64_t{0}}) {
      const OpenedDataset opened = open(changed(patched(original_, foot + number, value, 8)));
      EXPECT_FALSE(opened.dataset) << number << " " << value;
      EXPECT_NE(opened.fault, "");
    }
  }
  // 24 times this is 3 * 2^64 more than it was.
  EXPECT_FALSE(open(changed(patched(original_, foot + 24, 4 + (std::uint64_t{1} << 61), 8))).dataset);
  const size_t index = 8 + example_bytes;
  const auto entry = [&](size_t offset, std::uint64_t value, size_t size) {
    return open(changed(patched(original_, index + offset, value, size)));
  };
  EXPECT_FALSE(entry(0, example_bytes - 1, 8).dataset) << "beyond the last example";
  EXPECT_FALSE(entry(0, ~std::uint64_t{0}, 8).dataset);
  EXPECT_FALSE(entry(8, 0, 4).dataset) << "no token";
  EXPECT_FALSE(entry(8, 3, 4).dataset) << "bytes that are nobody's";
  EXPECT_FALSE(entry(8, ~0u, 4).dataset);
  EXPECT_FALSE(entry(12, 5, 4).dataset) << "more targets than tokens";
  EXPECT_FALSE(entry(20, 3, 2).dataset) << "labels of another number of attributes";
  EXPECT_FALSE(entry(22, 3, 2).dataset) << "the first example continues no group";
  EXPECT_FALSE(entry(22, 5, 2).dataset) << "an unknown flag";
  constexpr size_t bad = 5 * 24;  // behind the entries of the examples
  EXPECT_TRUE(entry(bad + 8, bad_bytes, 4).dataset) << "what is patched with itself";
  EXPECT_FALSE(entry(bad, example_bytes - 1, 8).dataset);
  EXPECT_FALSE(entry(bad + 8, bad_bytes - 1, 4).dataset) << "bytes that are nobody's";
  EXPECT_FALSE(entry(bad + 8, ~0u, 4).dataset);
  EXPECT_FALSE(entry(bad + 20, 1, 4).dataset);
  EXPECT_THAT(message_of(ExitCode::resources, [&] { entry(bad + 16, 3, 4).dataset->bad.read(0, data()); }),
              HasSubstr("is damaged"))
      << "of a fourth file";
}

TEST_F(DatasetFile, WhatTheIndexSaysOfAnExampleIsHeldAgainstIt) {
  std::uint64_t example_bytes = 0;
  std::memcpy(&example_bytes, original_.data() + original_.size() - foot_bytes + 16, 8);
  const OpenedDataset opened = open(changed(patched(original_, 8 + example_bytes + 12, 1, 4)));
  ASSERT_TRUE(opened.dataset) << opened.fault;
  EXPECT_EQ(opened.dataset->train.target_count(0), 1);
  EXPECT_THAT(message_of(ExitCode::resources, [&] { opened.dataset->train[0]; }),
              HasSubstr("another number of targets than the index has"));
}

TEST_F(DatasetFile, IdsAreOfTheVocabulary) {
  const OpenedDataset opened = open(write("f"), {{"a", 1}}, 28);
  ASSERT_TRUE(opened.dataset);
  EXPECT_THAT(message_of(ExitCode::resources, [&] { opened.dataset->train[0]; }),
              HasSubstr("an id that the tokenizer does not have"));
}

TEST_F(DatasetFile, OtherFilesAreToldFromIt) {
  EXPECT_TRUE(open(changed("{\"conversations\": []}\n")).foreign);
  EXPECT_TRUE(open(folder_.path().string()).foreign);
  EXPECT_FALSE(open(changed("")).foreign) << "a crash of the machine leaves an empty file";
}

TEST_F(DatasetFile, AReadingThatIsStoppedMakesNone) {
  OutputFile file((folder_.path() / "f").string(), OutputFile::Mode::create);
  EXPECT_FALSE(write_dataset_file(file, {}, [](DatasetBuilder& builder) {
    builder.on_record = [](std::int64_t) { return false; };
    return encode(builder);
  }));
}

// What is encoded is kept for later programs. Where this hash changes, other examples are made of the same data, or
// their bytes are others: raise dataset_file_format, so that no old file is taken for a new one.
TEST_F(DatasetFile, TheSameDataGivesTheSameBytes) {
  const std::string records = write_file(
      folder_, "records.jsonl",
      R"({"system":"S","conversations":[{"from":"User","value":"Hi"},{"from":"Assistant","value":"Hello","label":"quality:4,humor:1"}],"mask":"User","type":"VALUE_TO_TEXT"})"
      "\n"
      R"({"system":"","conversations":[{"from":"User","value":"Why?"},{"from":"Assistant","value":"Because.","label":"quality:2"}],"mask":"User","type":"VALUE_TO_TEXT"})"
      "\n");
  // A file each: of a file one format is read.
  std::vector<SourceOptions> others;
  for (
      const std::string line :
      {R"({"prompt":"Why?","response":"Because.","helpfulness":3,"correctness":4,"coherence":4,"complexity":1,"verbosity":0})",
       R"({"turns":["One?","Two.","Three?"],"response":"Four.","quality":3})",
       R"({"prompt":"Why?","response":"So.","token_ids":[5,6],"logprob":-1.5,"finish":"stop"})",
       R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello","weight":0},{"role":"user","content":"And?"},{"role":"assistant","content":"Bye"}]})",
       R"({"messages":[{"role":"user","content":"Hi"}],"response":"Hello"})",
       R"({"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello"},{"from":"human","value":""}]})",
       R"({"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: a\n\nAssistant: c"})"})
    others.push_back(source(write_file(folder_, "other-" + std::to_string(others.size()) + ".jsonl", line)));
  const std::string pairs = write_file(
      folder_, "pairs.jsonl", R"({"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: a\n\nAssistant: c"})");
  const Tokenizer tokenizer = Tokenizer::load(STEERLM_SOURCE_DIR "/tests/fixtures/text/unigram.model");
  const ConversationTemplate conversation_template({.system = "S"}, tokenizer);
  const Attributes attributes = make_test_attributes();
  std::string hashes;
  const auto add = [&](const std::function<bool(DatasetBuilder&)>& each) {
    const std::string path = (folder_.path() / "all").string();
    {
      OutputFile file(path, OutputFile::Mode::create);
      ASSERT_TRUE(write_dataset_file(file, {}, each));
    }
    hashes += sha256_hex(read_all(path));
  };
  for (const Objective objective : {Objective::response, Objective::label, Objective::regression}) {
    add([&](DatasetBuilder& builder) {
      return encode_conversations({.train = {source(records)}}, attributes, conversation_template, objective, builder);
    });
  }
  add([&](DatasetBuilder& builder) {
    return encode_conversations({.train = others}, attributes, conversation_template, Objective::response, builder);
  });
  add([&](DatasetBuilder& builder) {
    return encode_preferences({.train = {source(pairs)}}, conversation_template, builder);
  });
  EXPECT_EQ(sha256_hex(hashes) + " of format " + std::to_string(dataset_file_format),
            "a65207e4654cf66e502aae8fa34e7d15f06352b0a45cb7260895ab1cebc346d6 of format 6");
}

}  // namespace
}  // namespace steerlm
