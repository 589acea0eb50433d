#include "fuzz/tokenizer.h"
#include "steerlm/core/json.h"

namespace steerlm {
namespace {

// The fixture with its first pieces alone, so that most edits meet its rules and not its vocabulary.
std::string cut_fixture(const std::string& name, std::size_t pieces) {
  Json json = parse_json(fixture_bytes(name), name, ExitCode::bug);
  Json& model = json["model"];
  Json vocab = Json::object(), merges = Json::array(), added = Json::array();
  for (const auto& [piece, id] : model["vocab"].items()) {
    if (vocab.size() < pieces) vocab[piece] = vocab.size();
  }
  for (const Json& merge : model["merges"]) {
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const std::string left = merge.is_string() ? text.substr(0, text.find(' ')) : merge[0].get<std::string>();
    const std::string right = merge.is_string() ? text.substr(text.find(' ') + 1) : merge[1].get<std::string>();
    if (vocab.contains(left) && vocab.contains(right) && vocab.contains(left + right)) merges.push_back(merge);
  }
  std::size_t next = vocab.size();
  for (Json token : json["added_tokens"]) {
    const std::string content = token["content"];
    token["id"] = vocab.contains(content) ? vocab[content] : Json(next++);
    added.push_back(token);
  }
  model["vocab"] = vocab;
  model["merges"] = merges;
  json["added_tokens"] = added;
  json["post_processor"] = nullptr;  // it has ids too
  return dump_json(json);
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const char* name : {"gpt2", "llama3", "qwen2", "llama2", "mistral", "metaspace", "lacking", "unknown"}) {
    const std::string file = std::string("tokenizers/") + name + "/tokenizer.json";
    seeds.push_back(fixture_bytes(file));
    seeds.push_back(cut_fixture(file, 300));
    for (const std::string& seed : {seeds.back(), seeds[seeds.size() - 2]}) {
      put_file(tokenizer_place("tokenizer.json"), seed);
      use_tokenizer(tokenizer_place("tokenizer.json"));  // throws where it is no seed
    }
  }
  return seeds;
}

std::vector<std::string> fuzz_words() {
  return json_words({R"("type":"BPE")",
                     R"("type":"Split")",
                     R"("type":"ByteLevel")",
                     R"("type":"Metaspace")",
                     R"("type":"Sequence")",
                     R"("type":"NFC")",
                     R"("type":"Prepend")",
                     R"("type":"Replace")",
                     R"("type":"TemplateProcessing")",
                     R"("type":"Strip")",
                     R"("type":"ByteFallback")",
                     R"j("pattern":{"Regex":"(a+)+b"})j",
                     R"j("pattern":{"Regex":"\\p{L}+|(?!\\S)"})j",
                     R"("pattern":{"String":""})",
                     R"("behavior":"Removed")",
                     R"("behavior":"MergedWithNext")",
                     R"("invert":true)",
                     R"("ignore_merges":true)",
                     R"("byte_fallback":true)",
                     R"("fuse_unk":true)",
                     R"("add_prefix_space":true)",
                     R"("prepend_scheme":"always")",
                     R"("special":true)",
                     R"("single_word":true)",
                     R"("lstrip":true)",
                     R"("rstrip":true)",
                     R"("normalized":true)",
                     R"("content":"")",
                     R"("content":"a")",
                     R"("prepend":"\u2581")",
                     R"("merges":[])",
                     R"("vocab":{})",
                     R"("unk_token":"a")",
                     "\xE2\x96\x81",
                     "\xC4\xA0",
                     "<0x0A>",
                     "(?i:",
                     "[^",
                     "*+",
                     "{1,3}",
                     "\\\\s"});
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  put_file(tokenizer_place("tokenizer.json"), text_of(data, size));
  read_or_refuse([] { use_tokenizer(tokenizer_place("tokenizer.json")); });
  return 0;
}
