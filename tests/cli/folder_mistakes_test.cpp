// A generator of damaged model folders and records: none ends in our own bug, a signal or the words of a library.
#include "cli/mistakes.h"
#include "steerlm/core/error.h"
#include "steerlm/core/json.h"

namespace steerlm {
namespace {

// Values that a key may have by mistake.
const std::vector<Json>& strange_values() {
  static const std::vector<Json> values{nullptr,
                                        true,
                                        false,
                                        0,
                                        -1,
                                        1,
                                        2,
                                        3,
                                        1.5,
                                        -0.5,
                                        1e30,
                                        1e-30,
                                        4294967296,
                                        9223372036854775807,
                                        1000000000,
                                        "",
                                        "text",
                                        "fp32",
                                        "silu",
                                        Json::array(),
                                        Json::object(),
                                        Json::array({1, 2}),
                                        Json::array({"a"}),
                                        Json{{"a", 1}},
                                        Json::array({Json::array()}),
                                        std::string(5000, 'x')};
  return values;
}

// One place of the value, anywhere in it, is taken away or gets another value.
void damage(Json& json, Draws& draw) {
  Json* place = &json;
  while ((place->is_object() || place->is_array()) && !place->empty()) {
    const size_t at = draw.below(place->size());
    auto member = place->begin();
    std::advance(member, at);
    if (draw.below(8) == 0) {
      place->erase(member);
      return;
    }
    place = &*member;
  }
  *place = draw.one_of(strange_values());
}

std::string damaged_bytes(std::string bytes, Draws& draw) {
  for (size_t n = 0; n <= draw.below(3) && !bytes.empty(); ++n) {
    const size_t at = draw.below(std::min<size_t>(bytes.size(), 4000));  // where headers are
    switch (draw.below(5)) {
      case 0:
        bytes.resize(at);
        break;
      case 1:
        bytes.erase(at, 1 + draw.below(8));
        break;
      case 2:
        bytes.insert(at, std::string(1 + draw.below(8), static_cast<char>(draw.below(256))));
        break;
      default:
        bytes[at] = static_cast<char>(draw.below(256));
    }
  }
  return bytes;
}

class FolderMistakes : public Mistakes {
 protected:
  // What reads a model folder; `name` is a language model's or a predictor's.
  void try_folder(const std::string& name, Draws& draw) {
    const std::vector<Words> commands{
        {"model", "info", "--model", name},
        {"generate", "--model", name, "--prompt", "Hi", "--max-new-tokens", "2"},
        {"score", "--model", name, "--input", "train.jsonl", "--output", "-"},
        {"data", "show-mask", "--model", name, "--input", "train.jsonl"},
        {"tokenizer", "encode", "--model", name},
        {"model", "export", "--model", name, "--dtype", "bf16", "--output", fresh()},
        {"model", "add-tokens", "--model", name, "--output", fresh()},
        {"sft", "sft.yaml", "model.path=" + name, "run_dir=" + fresh()},
        {"train-predictor", "predictor.yaml", "model.path=" + name, "run_dir=" + fresh()},
        {"annotate", "annotate.yaml", "predictor=" + name, "output=" + fresh(), "run_dir=" + fresh()}};
    expect_no_crash(draw.one_of(commands), "a line\n");
    expect_no_crash(draw.one_of(commands), "a line\n");
  }
};

TEST_F(FolderMistakes, DamagedJsonNeverCrashes) {
  const std::vector<std::pair<std::string, std::string>> files{
      {"model", "config.json"},  {"model", "generation_config.json"}, {"model", "tokenizer_config.json"},
      {"model", "steerlm.json"}, {"predictor", "config.json"},        {"predictor", "steerlm.json"}};
  Draws draw(5);
  for (int i = 0; i < 240; ++i) {
    const auto& [folder, file] = files[static_cast<size_t>(i) % files.size()];
    const std::string before = text_of(path(Path(folder) / file));
    Json json = parse_json(before, file, ExitCode::bug);
    for (size_t n = 0; n <= draw.below(2); ++n) damage(json, draw);
    write(Path(folder) / file, json.dump());
    try_folder(folder, draw);
    write(Path(folder) / file, before);
    if (HasFatalFailure()) return;
  }
}

TEST_F(FolderMistakes, DamagedBytesNeverCrash) {
  const std::vector<std::string> files{"config.json", "model.safetensors", "tokenizer.model", "tokenizer_config.json",
                                       "steerlm.json"};
  Draws draw(6);
  for (int i = 0; i < 150; ++i) {
    const std::string folder = draw.below(2) == 0 ? "model" : "predictor";
    const Path file = Path(folder) / draw.one_of(files);
    const std::string before = text_of(path(file));
    write(file, damaged_bytes(before, draw));
    try_folder(folder, draw);
    write(file, before);
  }
}

// A file of the folder that is missing, a folder, closed, empty, or a link that leads nowhere.
TEST_F(FolderMistakes, FilesOfAnotherKindNeverCrash) {
  Draws draw(8);
  for (const std::string folder : {"model", "predictor"}) {
    for (const std::string name :
         {"config.json", "model.safetensors", "tokenizer.model", "tokenizer_config.json", "steerlm.json",
          "tokenizer.json", "adapter_config.json", "model.safetensors.index.json", "generation_config.json",
          "added_tokens.json", "chat_template.jinja"}) {
      const Path file = path(Path(folder) / name), aside = path("aside");
      const bool there = std::filesystem::exists(file);
      if (there) std::filesystem::rename(file, aside);
      const auto attempt = [&] {
        try_folder(folder, draw);
        std::filesystem::remove_all(file);
      };
      attempt();
      write(Path(folder) / name, "");
      attempt();
      write(Path(folder) / name, "{}");
      attempt();
      write(Path(folder) / name, "[\"text\"]\n");
      std::filesystem::permissions(file, std::filesystem::perms::none);
      attempt();
      std::filesystem::create_directory(file);
      attempt();
      std::filesystem::create_symlink("nowhere", file);
      attempt();
      if (there) std::filesystem::rename(aside, file);
    }
  }
}

class RecordMistakes : public Mistakes {};

TEST_F(RecordMistakes, NeverCrash) {
  const std::vector<std::string> sources{
      R"({"system":"S","mask":"User","type":"VALUE_TO_TEXT","conversations":[{"from":"User","value":"q","label":null},{"from":"Assistant","value":"a","label":"quality:3,humor:1"}]})",
      R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"q"},{"role":"assistant","content":"a"}]})",
      R"({"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]})",
      R"({"prompt":"q","response":"a","helpfulness":3,"correctness":2,"coherence":4,"complexity":1,"verbosity":0})",
      R"({"chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: q\n\nAssistant: b"})",
      R"({"message_tree_id":"1","tree_state":"ready_for_export","prompt":{"message_id":"1","text":"q","role":"prompter","replies":[{"message_id":"2","text":"a","role":"assistant","labels":{"quality":{"value":0.5,"count":3}},"replies":[]}]}})",
      R"({"prompt":"q","response_1":"a","response_2":"b","preference_strength":-2})",
      R"({"context":[{"role":"user","content":"q"}],"response1":"a","response2":"b","overall_preference":1})",
      R"({"id":1,"prompt":"q","chosen":"a","rejected":"b","subset":"hep-go"})",
      R"({"id":"ref:1","prompt":"q","chosen":["a"],"rejected":["b","c"],"num_correct":1,"subset":"Ties"})",
      R"({"prompt":"q"})",
      R"({"turns":["q","r"]})"};
  const std::vector<std::string> formats{"auto",           "conversations", "oasst",      "hh-rlhf",
                                         "helpsteer",      "helpsteer2",    "helpsteer3", "reward-bench",
                                         "reward-bench-2", "sharegpt",      "messages",   "text"};
  Draws draw(9);
  for (int i = 0; i < 300; ++i) {
    std::string lines;
    for (size_t n = 0; n <= draw.below(3); ++n) {
      Json json = parse_json(draw.one_of(sources), "source", ExitCode::bug);
      for (size_t d = 0; d <= draw.below(2); ++d) damage(json, draw);
      const std::string line = json.dump();
      lines += (draw.below(4) == 0 ? damaged_bytes(line, draw) : line) + "\n";
    }
    write("records.jsonl", lines);
    const std::string format = draw.one_of(formats);
    const std::vector<Words> commands{
        {"data", "check", "--input", "records.jsonl", "--format", format},
        {"data", "stats", "--input", "records.jsonl", "--format", format},
        {"data", "convert", "--input", "records.jsonl", "--format", format, "--output", "-"},
        {"data", "show-mask", "--model", "model", "--input", "records.jsonl"},
        {"generate", "--model", "model", "--input", "records.jsonl", "--max-new-tokens", "1"},
        {"score", "--model", "predictor", "--input", "records.jsonl", "--output", "-"},
        {"score", "--model", "model", "--input", "-", "--output", "-"},
        {"annotate", "annotate.yaml", "input=records.jsonl", "output=" + fresh(), "run_dir=" + fresh()},
        {"sft", "sft.yaml", "data.train[0].path=records.jsonl", "data.train[0].format=" + format,
         "run_dir=" + fresh()}};
    expect_no_crash(draw.one_of(commands), lines);
    expect_no_crash(draw.one_of(commands), lines);
  }
}

}  // namespace
}  // namespace steerlm
