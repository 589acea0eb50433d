#include "steerlm/store/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "steerlm/core/hash.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;

class Safetensors : public ::testing::Test {
 protected:
  TemporaryFolder folder_;

  std::string open_message(const std::string& bytes) {
    const Path path = folder_.path() / "w.safetensors";
    std::ofstream(path, std::ios::binary) << bytes;
    std::string message = message_of(ExitCode::model, [&] { SafetensorsFile::open(path); });
    if (!message.empty()) {
      EXPECT_THAT(message, HasSubstr(path.string()));
    }
    return message;
  }
};

NamedTensors some_tensors() {
  return {{"half", at::arange(5, at::TensorOptions().dtype(at::kBFloat16))},
          {"scalar", at::full({}, 2.5, at::TensorOptions().dtype(at::kDouble))},
          {"steps", at::arange(3, at::TensorOptions().dtype(at::kLong))},
          {"empty", at::empty({0, 4}, at::TensorOptions().dtype(at::kFloat))},
          {"turned", at::arange(6, at::TensorOptions().dtype(at::kFloat)).view({2, 3}).t()},
          {"infinite", at::full({1}, -std::numeric_limits<double>::infinity(), at::TensorOptions().dtype(at::kHalf))}};
}

TEST_F(Safetensors, WrittenTensorsReadBackToTheBit) {
  const Path path = folder_.path() / "a.safetensors";
  const NamedTensors tensors = some_tensors();
  const WrittenFile written = write_safetensors(path, tensors, {{"format", "pt"}});
  EXPECT_EQ(written.size, static_cast<std::int64_t>(std::filesystem::file_size(path)));
  EXPECT_EQ(written.sha256, sha256_file(path, ExitCode::model));
  const SafetensorsFile file = SafetensorsFile::open(path);
  EXPECT_EQ(file.header().metadata.at("format"), "pt");
  EXPECT_THAT(file.names(), ::testing::UnorderedElementsAre("half", "scalar", "steps", "empty", "turned", "infinite"));
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor back = file.read(name);
    EXPECT_EQ(back.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(back.sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::equal(back, tensor)) << name;
    EXPECT_EQ((file.header().data_offset + file.info(name).begin) % tensor.element_size(), 0u) << name;
  }
}

TEST_F(Safetensors, EqualTensorsGiveEqualFiles) {
  const auto first = write_safetensors(folder_.path() / "a", some_tensors(), {});
  const auto second = write_safetensors(folder_.path() / "b", some_tensors(), {});
  EXPECT_EQ(first.sha256, second.sha256);
}

TEST_F(Safetensors, FloatingTensorsAreWrittenInTheGivenDtype) {
  TensorSource source = in_memory(some_tensors());
  source.set_floating_dtype(at::kBFloat16);
  write_safetensors(folder_.path() / "a", source, {});
  const SafetensorsFile file = SafetensorsFile::open(folder_.path() / "a");
  EXPECT_EQ(file.info("turned").dtype, "BF16");
  EXPECT_EQ(file.info("steps").dtype, "I64");
  EXPECT_TRUE(at::equal(file.read("turned").to(at::kFloat), some_tensors()[4].second));
}

// bf16 has 7 bits of fraction: 1 + 2^-8 lies between 1 and 1 + 2^-7, 1 + 3 * 2^-8 between 1 + 2^-7 and 1 + 2^-6.
TEST_F(Safetensors, RoundsToNearestEven) {
  const float tie = 1 / 256.0f;
  const NamedTensors tensors{{"a", at::tensor({1 + tie, 1 + 3 * tie, 1 + 1.01f * tie, -1 - tie, 3.3e38f})}};
  TensorSource source = in_memory(tensors);
  source.set_floating_dtype(at::kBFloat16);
  write_safetensors(folder_.path() / "a", source, {});
  const at::Tensor back = SafetensorsFile::open(folder_.path() / "a").read("a").to(at::kFloat);
  EXPECT_TRUE(at::equal(back.narrow(0, 0, 4), at::tensor({1.0f, 1 + 4 * tie, 1 + 2 * tie, -1.0f})));
}

TEST_F(Safetensors, AFiniteNumberNeverBecomesInfinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto write = [&](const at::Tensor& tensor, at::ScalarType dtype) {
    TensorSource source = in_memory({{"good", at::zeros({2})}, {"wide", tensor}});
    source.set_floating_dtype(dtype);
    return message_of(ExitCode::model, [&] { write_safetensors(folder_.path() / "a", source, {}); });
  };
  at::Tensor large = at::zeros({3'000'000});
  large[2'999'999] = 65520.0f;  // the first number that fp16 rounds to infinity
  EXPECT_THAT(write(large, at::kHalf), HasSubstr("tensor 'wide' holds a number that is infinite in F16"));
  large[2'999'999] = 65519.0f;
  EXPECT_EQ(write(large, at::kHalf), "");
  EXPECT_EQ(write(at::tensor({infinity, -infinity, NAN}), at::kHalf), "") << "what is infinite may stay so";
  EXPECT_THAT(write(at::tensor({infinity, -3.4e38f}), at::kBFloat16), HasSubstr("infinite in BF16"));
  EXPECT_THAT(write(at::full({1}, 1e39, at::kDouble), at::kFloat), HasSubstr("infinite in F32"));
}

TEST_F(Safetensors, NotANumberAndInfinityAreLegalAndKeepTheirBits) {
  const std::string json = R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";
  const std::string values("\x01\0\xc0\x7f\0\0\x80\x7f\0\0\x80\xff\0\0\0\x80", 16);  // NaN with payload, inf, -inf, -0
  std::string bytes(1, static_cast<char>(json.size()));
  EXPECT_EQ(open_message(bytes + std::string(7, '\0') + json + values), "");
  const at::Tensor read = SafetensorsFile::open(folder_.path() / "w.safetensors").read("a");
  EXPECT_EQ(std::string(static_cast<const char*>(read.data_ptr()), 16), values);
}

TEST_F(Safetensors, TensorsAreFetchedOneByOne) {
  int alive = 0, most = 0, fetched = 0;
  TensorSource source;
  for (const char* name : {"a", "b", "c"}) source.entries.push_back({name, {2}, at::kBFloat16});
  source.read = [&](const std::string&) {
    most = std::max(most, ++alive);
    ++fetched;
    auto* values = new float[2]{1, 2};
    return at::from_blob(values, {2}, [&, values](void*) {
      delete[] values;
      --alive;
    });
  };
  write_safetensors(folder_.path() / "a", source, {});
  EXPECT_EQ(fetched, 3);
  EXPECT_EQ(most, 1);
  EXPECT_EQ(alive, 0);
}

TEST_F(Safetensors, TensorsNeedNotBeAligned) {
  const std::string json =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  std::string bytes(1, static_cast<char>(json.size()));
  bytes += std::string(7, '\0') + json + "\x07" + std::string("\0\0\x80\x3f", 4);
  EXPECT_EQ(open_message(bytes), "");
  EXPECT_EQ(SafetensorsFile::open(folder_.path() / "w.safetensors").read("b").item<float>(), 1.0f);
}

TEST_F(Safetensors, RefusesWhatIsNoSafetensorsFile) {
  EXPECT_THAT(open_message(""), HasSubstr("too short"));
  EXPECT_THAT(open_message("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"),
              HasSubstr("Git LFS pointer"));
  EXPECT_THAT(open_message("PK\x03\x04 a zip archive, as torch.save writes it"), HasSubstr("header too large"));
  try {
    SafetensorsFile::open(folder_.path() / "nothing");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::model);
    EXPECT_THAT(error.what(), HasSubstr("cannot read the weights: No such file"));
  }
  EXPECT_THROW(SafetensorsFile::open(folder_.path()), Error);
}

TEST_F(Safetensors, EveryCutIsNoticed) {
  const Path path = folder_.path() / "a.safetensors";
  write_safetensors(path, some_tensors(), {});
  const std::string bytes = read_file(path, ExitCode::model, "weights");
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(open_message(bytes.substr(0, size)), "") << size;
  EXPECT_THAT(open_message(bytes + "x"), HasSubstr("bytes behind the last tensor"));
  EXPECT_EQ(open_message(bytes), "");
}

TEST_F(Safetensors, NamesTheTensorThatIsMissingOrUnsupported) {
  const std::string json = R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}} )";
  std::string bytes(1, static_cast<char>(json.size()));
  open_message(bytes + std::string(7, '\0') + json + "\x07");
  const SafetensorsFile file = SafetensorsFile::open(folder_.path() / "w.safetensors");
  try {
    file.read("a");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("tensor 'a': dtype F8_E4M3 is not supported"));
  }
  try {
    file.read("b");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no tensor 'b'"));
  }
}

TEST_F(Safetensors, AFileThatIsCutWhileOpenIsAnError) {
  const Path path = folder_.path() / "a.safetensors";
  write_safetensors(path, some_tensors(), {});
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::filesystem::resize_file(path, file.header().data_offset + 1);
  try {
    file.read("turned");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot read tensor 'turned': the file has become shorter"));
  }
}

TEST_F(Safetensors, ReadTensorsOutliveTheFile) {
  const Path path = folder_.path() / "a.safetensors";
  write_safetensors(path, some_tensors(), {});
  const at::Tensor before = SafetensorsFile::open(path).read("turned");
  write_safetensors(path, {{"turned", at::full({3, 2}, 7.0)}}, {});
  EXPECT_TRUE(at::equal(before, some_tensors()[4].second));
}

TEST_F(Safetensors, ReadsWhatTheReferenceImplementationWrote) {
  const SafetensorsFile file =
      SafetensorsFile::open(Path(STEERLM_SOURCE_DIR) / "tests/fixtures/models/untied/model.safetensors");
  EXPECT_EQ(file.names().size(), 21u);
  EXPECT_EQ(file.info("model.layers.1.self_attn.k_proj.weight").shape, (std::vector<std::int64_t>{16, 32}));
  EXPECT_EQ(file.header().metadata.at("format"), "pt");
}

}  // namespace
}  // namespace steerlm
