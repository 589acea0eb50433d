// The file is read, and imported as a folder, which is then opened.
#include "fuzz/tokenizer.h"
#include "steerlm/hf/gguf_import.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/store/gguf.h"
#include "support/small_gguf.h"

namespace steerlm {
namespace {

const Path& folder() {
  static const TemporaryFolder folder;
  return folder.path();
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  GgufWriter values;  // every kind of value, and blocks
  values.text("general.architecture", "llama").integer("general.alignment", 32).number("f", 0.5F).flag("yes", true);
  values.texts("tokens", {"a", "bc", ""}).integers("types", {1, 2, 3}).numbers("scores", {0, -1});
  values.set("bytes", 9, GgufWriter::array_bytes<std::uint8_t>(0, {1, 2, 3}));
  values.tensor("a", {3, 2}, 1.5F);
  values.tensors.push_back({"b.weight", {256}, 14, std::string(210, 'q')});
  values.tensors.push_back({"c.weight", {32, 2}, 6, std::string(44, 'z')});
  std::vector<std::string> seeds{values.bytes(), small_spm_gguf().bytes(), fixture_bytes("gguf/blocks.gguf")};
  for (const char* architecture : {"llama", "qwen2", "qwen3"}) seeds.push_back(small_gguf(architecture).bytes());
  return seeds;
}

std::vector<std::string> fuzz_words() {
  std::vector<std::string> words{"GGUF",
                                 "general.alignment",
                                 "general.architecture",
                                 "llama.rope.scaling.type",
                                 "yarn",
                                 "linear",
                                 "llama.rope.scaling.factor",
                                 "tokenizer.ggml.pre",
                                 "tokenizer.chat_template",
                                 "tokenizer.ggml.add_bos_token",
                                 "rope_freqs.weight",
                                 "blk.0.attn_q.weight",
                                 "{{ x }}"};
  for (std::uint32_t type = 0; type < 32; ++type) words.push_back(GgufWriter::raw(type));  // of values and of tensors
  for (const std::uint64_t count : {1ull, 2ull, 16ull, 1ull << 32, 1ull << 61, ~0ull})
    words.push_back(GgufWriter::raw(count));
  return words;
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  const Path path = folder() / "model.gguf", output = folder() / "model";
  put_file(path, text_of(data, size));
  std::filesystem::remove_all(output);
  read_or_refuse([&] {
    const GgufFile file = GgufFile::open(path);
    for (const GgufTensor& tensor : file.tensors()) {
      require(tensor.bytes <= size, "a tensor that is larger than its file");
      file.read(tensor);
    }
    import_gguf(file, output, "fp32", default_max_shard_bytes);
    const ModelFolder imported = open_model_folder(output);
    check_weights(imported, own_weights(imported));
    use_tokenizer(output);
  });
  return 0;
}
