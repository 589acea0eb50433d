#include <ATen/ops/full.h>

#include "fuzz/fuzz.h"
#include "steerlm/hf/adapter.h"
#include "steerlm/store/safetensors.h"

namespace steerlm {
namespace {

// Of a language model with one block of width 8, of which q_proj is adapted, and of a predictor on it: the weights.
const Path& folder(HeadKind head) {
  static const TemporaryFolder folder;
  static const Path paths[] = {folder.path() / "language_model", folder.path() / "predictor"};
  static const bool written = [] {
    const std::string layer = "base_model.model.model.layers.0.self_attn.q_proj.";
    NamedTensors tensors{{layer + "lora_A.weight", at::full({4, 8}, 0.5)},
                         {layer + "lora_B.weight", at::full({8, 4}, 0.5)}};
    for (const Path& path : paths) {
      make_directory(path);
      write_safetensors(path / "adapter_model.safetensors", tensors, {});
      tensors.emplace_back("base_model.model.score.weight", at::full({3, 8}, 0.5));
    }
    return true;
  }();
  require(written, "no weights");
  return paths[head == HeadKind::regression ? 1 : 0];
}

ModelConfig small_config() {
  ModelConfig config;
  config.hidden_size = config.head_dim = 8;
  config.num_hidden_layers = config.num_attention_heads = config.num_key_value_heads = 1;
  return config;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  Json config = parse_json(fixture_bytes("families/lora/adapter_config.json"), "fixture", ExitCode::bug);
  config["base_model_name_or_path"] = "base";
  config["target_modules"] = {"q_proj"};
  const std::string language_model = dump_json(config);
  config["task_type"] = "SEQ_CLS";
  config["modules_to_save"] = {"score"};
  return {language_model, dump_json(config),
          dump_json(dump_adapter_config({.base = "b", .lora = {.rank = 4, .alpha = 8, .targets = {"q_proj"}}}))};
}

std::vector<std::string> fuzz_words() {
  return json_words({R"("r":4,)", R"("lora_alpha":0,)", R"("use_rslora":true,)", R"("target_modules":["q_proj"],)",
                     R"("target_modules":"all-linear",)", R"("modules_to_save":["score"],)",
                     R"("task_type":"SEQ_CLS",)", R"("bias":"all",)", R"("init_lora_weights":"pissa",)",
                     R"("rank_pattern":{"a":1},)", "\"q_proj\""});
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  const Path& plain = folder(HeadKind::language_model);
  put_file(plain / "adapter_config.json", text_of(data, size));
  read_or_refuse([&] {
    require(is_adapter_folder(plain), "an adapter folder that is none");
    const Adapter adapter = read_adapter_config(plain);
    dump_json(dump_adapter_config(adapter));
    adapter_head(folder(adapter.head), adapter);
    check_adapter_tensors(folder(adapter.head), adapter, small_config());
  });
  return 0;
}
