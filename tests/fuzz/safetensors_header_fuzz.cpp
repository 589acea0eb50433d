#include "fuzz/fuzz.h"
#include "steerlm/store/safetensors_header.h"

namespace steerlm {

std::vector<std::string> fuzz_seeds() {
  SafetensorsHeader header;
  header.metadata["format"] = "pt";
  header.tensors = {{"model.embed_tokens.weight", {.dtype = "F32", .shape = {4, 3}, .begin = 0, .end = 48}},
                    {"a", {.dtype = "BF16", .shape = {5}, .begin = 48, .end = 58}},
                    {"scalar", {.dtype = "I64", .shape = {}, .begin = 58, .end = 66}},
                    {"none", {.dtype = "U8", .shape = {0, 7}, .begin = 66, .end = 66}},
                    {"small", {.dtype = "F4", .shape = {2, 2}, .begin = 66, .end = 68}}};
  const std::string whole = format_safetensors_header(header) + std::string(68, 'x');
  header.tensors.resize(1);
  header.metadata.clear();
  return {whole, format_safetensors_header(header) + std::string(48, '\0'), format_safetensors_header({})};
}

std::vector<std::string> fuzz_words() {
  return json_words({R"("dtype":"F32")", R"("dtype":"BOOL")", R"("dtype":"F6_E2M3")", R"("shape":[])",
                     R"("shape":[1,2])", R"("data_offsets":[0,0])", R"("data_offsets":[48,58])",
                     R"("__metadata__":{"a":"b"})", R"("b":{"dtype":"U8","shape":[1],"data_offsets":[68,69]})"});
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  read_or_refuse([&] {
    const std::string_view file = text_of(data, size);
    const std::uint64_t length = safetensors_header_length(file.substr(0, safetensors_length_bytes), size, "fuzz");
    const std::uint64_t data_size = size - safetensors_length_bytes - length;
    const SafetensorsHeader header =
        parse_safetensors_header(file.substr(safetensors_length_bytes, length), data_size, "fuzz");
    std::uint64_t end = 0;  // every byte belongs to one tensor
    for (const auto& [name, info] : header.tensors) {
      require(info.begin == end && info.end >= info.begin, "a hole before " + name);
      end = info.end;
    }
    require(end == data_size, "tensors that do not fill the file");
  });
  return 0;
}
