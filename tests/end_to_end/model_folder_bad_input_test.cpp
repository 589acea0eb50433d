// Hostile and damaged model folders: exit 4 with the file and the tensor named, and nothing allocated, run or evaluated
// before the check.
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

const std::string lfs_pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 166624\n";
const std::string generate_command = "generate --model model --prompt hi --temperature 0 --max-new-tokens 4";
const std::string index_name = "model/model.safetensors.index.json";

class BadModelFolder : public Program {
 protected:
  void use(const std::string& fixture_name) {
    std::filesystem::remove_all(path("model"));
    copy_model(fixture_name, "model");
  }
  void edit(const Path& name, const std::function<void(Json&)>& change) {
    Json json = parse_json(read(name), name.string(), ExitCode::model);
    change(json);
    write(name, json.dump());
  }
  void refused(const std::string& message, const std::string& command = generate_command) {
    expect_refused(run(command), 4, message);
  }

  // Of every child so far, the largest.
  static long peak_kilobytes() {
    rusage usage{};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    return usage.ru_maxrss;
  }
};

TEST_F(BadModelFolder, PointersOfGitLfsAreSaid) {
  use("untied");
  for (const auto& [file, message] : std::vector<std::pair<std::string, std::string>>{
           {"model.safetensors", "model.safetensors: a Git LFS pointer instead of the weights"},
           {"tokenizer.model", "tokenizer.model: a Git LFS pointer"},
           {"config.json", "config.json: a Git LFS pointer instead of the model config"},
           {"generation_config.json", "generation_config.json: a Git LFS pointer instead of the generation config"}}) {
    const std::string whole = read("model/" + file);
    write("model/" + file, lfs_pointer);
    refused(message);
    refused("git lfs pull");
    write("model/" + file, whole);
  }
  use("tied");
  write(index_name, lfs_pointer);
  refused("model.safetensors.index.json: a Git LFS pointer instead of the weight index");
}

TEST_F(BadModelFolder, PickleFilesAreNamedAndNeverRead) {
  use("untied");
  std::filesystem::remove(path("model/model.safetensors"));
  for (const char* name : {"pytorch_model.bin", "weights.pt", "consolidated.00.pth"}) {
    ASSERT_EQ(::mkfifo(path(Path("model") / name).c_str(), 0600), 0) << "to open it would hang";
    refused(std::string("found ") + name);
    refused("save_pretrained(folder), which writes safetensors");
    std::filesystem::remove(path(Path("model") / name));
  }
}

TEST_F(BadModelFolder, CodeIsNeverRunAndTheUserIsTold) {
  use("untied");
  const Result before = run(generate_command);
  write("model/modeling_evil.py", "open('evil', 'w')\n");
  edit("model/config.json", [](Json& json) { json["auto_map"] = {{"AutoModelForCausalLM", "modeling_evil.Evil"}}; });
  const Result after = run(generate_command);
  expect_says(after, "warning: model/config.json: 'auto_map' names Python code of the model's own, which is never run");
  EXPECT_EQ(after.output, before.output);
  write("train.jsonl", conversation("question", "answer"));
  write("sft.yaml",
        "stage: sft\nmodel: {path: model}\ndata: {train: [{path: train.jsonl}], max_tokens: 256}\nrun_dir: run\ntrain: "
        "{steps: 1}\n");
  const std::string warning = "warning: model/config.json: 'auto_map' names Python code";
  expect_says(run("sft sft.yaml --dry-run"), warning);
  write("prompts.jsonl", R"({"prompt": "hi"})");
  write("generate.yaml",
        "stage: generate\nmodel: model\nprompts: [{path: prompts.jsonl}]\noutput: answers.jsonl\nrun_dir: answers\n");
  write("evaluate.yaml",
        "stage: evaluate\nmodel: {path: model}\ndata: {validation: [{path: train.jsonl}], max_tokens: 256}\nrun_dir: "
        "measures\n");
  for (const char* command :
       {"run generate.yaml --dry-run", "evaluate evaluate.yaml --dry-run", "model info --model model",
        "score --model model --input train.jsonl --output -", "data show-mask --model model --input train.jsonl"})
    expect_says(run(command), warning);
  ASSERT_EQ(run("model export --model model --output copy --dtype bf16").code, 0);
  EXPECT_FALSE(exists("copy/modeling_evil.py"));
  EXPECT_EQ(read("copy/config.json").find("auto_map"), std::string::npos);
  EXPECT_FALSE(exists("evil"));
  edit("model/config.json", [](Json& json) { json["model_type"] = "evil"; });
  refused("the model type is not implemented (found \"evil\"");
}

TEST_F(BadModelFolder, AChatTemplateIsNeverEvaluated) {
  use("untied");
  const Result before = run(generate_command);
  const std::string hostile =
      "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for i in range(10**12) %}{% endfor %}{% unclosed";
  edit("model/tokenizer_config.json", [&](Json& json) { json["chat_template"] = hostile; });
  write("model/chat_template.jinja", hostile);
  expect_refused(run(generate_command), 2, "none of this program's templates");
  const Result after = run(generate_command + std::string(" --template steerlm"));
  EXPECT_EQ(after.code, 0) << after.errors;
  EXPECT_EQ(after.output, before.output);
}

TEST_F(BadModelFolder, ConfigAndWeightsMustAgree) {
  use("untied");
  const std::string embedding =
      "tensor 'model.embed_tokens.weight' has not the shape that config.json gives it (found [400, 32], expected ";
  for (const auto& [key, value, message] : std::vector<std::tuple<std::string, Json, std::string>>{
           {"vocab_size", 401, embedding + "[401, 32])"},
           {"hidden_size", 64, embedding + "[400, 64])"},
           {"num_hidden_layers", 1, "extra tensor 'model.layers.1."},
           {"num_hidden_layers", 3, "missing tensor 'model.layers.2."},
           {"intermediate_size", 49, "mlp.down_proj.weight' has not the shape"},
           {"num_key_value_heads", 4, "self_attn.k_proj.weight' has not the shape"},
           {"tie_word_embeddings", true, "'tie_word_embeddings' is true, but lm_head.weight differs"}}) {
    const std::string whole = read("model/config.json");
    edit("model/config.json", [&](Json& json) { json[key] = value; });
    refused(message);
    write("model/config.json", whole);
  }
  use("tied");
  edit("model/config.json", [](Json& json) { json["tie_word_embeddings"] = false; });
  refused("missing tensor 'lm_head.weight'");
}

TEST_F(BadModelFolder, LabelsAttributesAndHeadMustAgree) {
  use("classifier");  // score.weight has three rows
  const std::string info = "model info --model model";
  write("model/steerlm.json", R"({"attributes": {"names": ["a", "b"]}})");
  refused("steerlm.json: as many attributes as config.json has labels are needed (found 2, expected 3)", info);
  edit("model/config.json", [](Json& json) { json["id2label"] = {{"0", "a"}, {"1", "b"}}; });
  refused("tensor 'score.weight' has not the shape that config.json gives it (found [3, 32], expected [2, 32])", info);
  edit("model/config.json", [](Json& json) { json["num_labels"] = 3; });
  refused("'num_labels' and 'id2label' do not agree", info);
}

TEST_F(BadModelFolder, ShardNamesCannotLeaveTheFolder) {
  use("tied");
  for (const std::string& name : {std::string("../model/model-00001-of-00002.safetensors"),
                                  path("model/model-00001-of-00002.safetensors").string(),
                                  std::string("a\\b.safetensors"), std::string("a\0.safetensors", 14),
                                  std::string("model-00001-of-00002"), std::string("/dev/zero"), std::string("")}) {
    edit(index_name, [&](Json& json) { json["weight_map"]["model.norm.weight"] = name; });
    refused("model.safetensors.index.json: tensor 'model.norm.weight': the shard is not a file of this folder");
  }
}

TEST_F(BadModelFolder, AnIndexMustFitItsShards) {
  use("tied");
  const std::string whole = read(index_name), second = "model/model-00002-of-00002.safetensors";
  edit(index_name, [](Json& json) { json["weight_map"]["model.ghost.weight"] = "model-00001-of-00002.safetensors"; });
  refused("tensor 'model.ghost.weight' is not in the shard that the index names");
  write(index_name, whole);
  const std::string bytes = read(second);
  std::filesystem::copy_file(path("model/model-00001-of-00002.safetensors"), path(second),
                             std::filesystem::copy_options::overwrite_existing);
  refused("model.embed_tokens.weight' is in two shards");
  std::filesystem::remove(path(second));
  refused("the shard 'model-00002-of-00002.safetensors' is missing");
  std::filesystem::create_symlink("nowhere", path(second));
  refused("model-00002-of-00002.safetensors: a link that leads nowhere (found nothing at nowhere)");
  std::filesystem::remove(path(second));
  std::filesystem::create_directory(path(second));
  refused("model-00002-of-00002.safetensors: not a file");
  std::filesystem::remove(path(second));
  write("model/blob", bytes);
  std::filesystem::create_symlink("blob", path(second));
  EXPECT_EQ(run(generate_command).code, 0) << "a hub cache is made of symbolic links";
}

TEST_F(BadModelFolder, ConfigsThatAreNoConfigs) {
  use("untied");
  const std::string whole = read("model/config.json");
  for (const auto& [bytes, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "not valid JSON"},
           {"[]", "not a JSON object"},
           {"null", "not a JSON object"},
           {std::string(100'000, '['), "nested deeper than 64 levels"},
           {whole.substr(0, 100), "not valid JSON"},
           {"{\"model_type\": \"ll\xff\"}", "not valid UTF-8"},
           {"{\"model_type\": \"llama\", \"model_type\": \"llama\"}", "the key 'model_type' occurs twice"},
           {whole + std::string(17 << 20, ' '), "too large for a model config"}}) {
    write("model/config.json", bytes);
    refused("config.json: " + message);
  }
  std::filesystem::remove(path("model/config.json"));
  std::filesystem::create_symlink("/dev/zero", path("model/config.json"));
  refused("config.json: not a file");
  std::filesystem::remove(path("model/config.json"));
  ASSERT_EQ(::mkfifo(path("model/config.json").c_str(), 0600), 0);
  refused("config.json: not a file");
}

// A published reward model: config.json and weights, and nothing of ours.
class RewardModel : public BadModelFolder {
 protected:
  RewardModel() {
    use("classifier");
    edit("model/config.json", [](Json& json) {
      json["id2label"] = {{"0", "helpful"}, {"1", "harmless"}, {"2", "short"}};
      json.erase("label2id");
    });
    write("records.jsonl", conversation("question", "answer", "quality:2,humor:1,creativity:0") +
                               conversation("another", "word", "quality:4,humor:0,creativity:3"));
    write("annotate.yaml",
          "stage: annotate\npredictor: model\ninput: records.jsonl\noutput: out.jsonl\nrun_dir: annotated\n");
    write("evaluate.yaml",
          "stage: evaluate\npredictor: model\ndata: {validation: [{path: records.jsonl}]}\nrun_dir: evaluated\n");
  }
  static std::string predictor(const std::string& names, const std::string& more = "") {
    return "stage: train-predictor\nhead: {kind: regression}\nmodel: {path: model}\nattributes: {names: [" + names +
           "], min: 0, max: 4}\ntemplate: {name: steerlm, system: x}\ndata: {train: [{path: records.jsonl}], "
           "max_tokens: "
           "256}\nrun_dir: run\ntrain: {steps: 1}\n" +
           more;
  }
};

TEST_F(RewardModel, ScoresUnderTheNamesOfItsLabels) {
  const Result result = run("score --model model --input records.jsonl --output -");
  ASSERT_EQ(result.code, 0) << result.errors;
  const std::vector<Json> lines = json_lines(result.output);
  ASSERT_EQ(lines.size(), 2u);
  const Json& scores = lines[0].at("scores");
  ASSERT_EQ(scores.size(), 3u) << scores;
  for (const char* name : {"helpful", "harmless", "short"}) EXPECT_TRUE(scores.at(name).is_number()) << scores;
  const Json info = parse_json(run("model info --model model").output, "info", ExitCode::data);
  EXPECT_EQ(info.at("labels"), (Json{"helpful", "harmless", "short"}));
  EXPECT_TRUE(info.at("attributes").is_null());

  // The same numbers as with attributes, under their names.
  write("model/steerlm.json", R"({"attributes": {"names": ["quality", "humor", "creativity"], "min": 0, "max": 4}})");
  const std::vector<Json> named = json_lines(run("score --model model --input records.jsonl --output -").output);
  EXPECT_EQ(named.at(0).at("scores").at("humor"), scores.at("harmless"));
}

TEST_F(RewardModel, WritesNoLabelsUntilItSaysWhichAttributes) {
  for (const char* command : {"annotate annotate.yaml", "annotate annotate.yaml --dry-run", "evaluate evaluate.yaml"})
    refused(
        "scores, but does not say which attributes, so that it can write no labels (found helpful, harmless, short)",
        command);
  make_model("untied", "policy", R"("quality", "humor", "creativity")");
  write("prompts.jsonl", "{\"prompt\":\"hi\"}\n");
  write("bootstrap.yaml",
        "stage: bootstrap\npolicy: policy\npredictor: model\nprompts: [prompts.jsonl]\nlabels_from: records.jsonl\n"
        "data: {max_tokens: 256}\nrun_dir: boot\ntrain: {steps: 1}\n");
  for (const char* command : {"bootstrap bootstrap.yaml --dry-run", "bootstrap bootstrap.yaml"})
    refused("scores, but does not say which attributes", command);
  const std::string advice = run("annotate annotate.yaml --dry-run").errors;
  const std::string example = advice.substr(advice.find("such as ") + 8);
  write("model/steerlm.json", example.substr(0, example.find(", or start")));
  write("records.jsonl", conversation("question", "answer"));
  const Result followed = run("annotate annotate.yaml --fresh");
  EXPECT_EQ(followed.code, 0) << followed.errors << read("model/steerlm.json");
  EXPECT_NE(read("out.jsonl").find("\"label\":\"quality:"), std::string::npos);
}

TEST_F(RewardModel, APredictorOfOtherAttributesStartsItsScoreAfresh) {
  write("three.yaml", predictor("quality, humor, creativity"));
  const Result three = run("train-predictor three.yaml");
  ASSERT_EQ(three.code, 0) << three.errors;
  EXPECT_EQ(three.errors.find("starts afresh"), std::string::npos) << three.errors;
  write("two.yaml", predictor("quality, humor"));
  write("records.jsonl", conversation("question", "answer", "quality:2,humor:1"));
  expect_says(
      run("train-predictor two.yaml run_dir=two"),
      "its score has 3 rows for helpful, harmless, short, the recipe has 2 attributes: the score starts afresh");
  const Result scored = run("score --model two/model --input records.jsonl --output -");
  EXPECT_EQ(json_lines(scored.output).at(0).at("scores").size(), 2u) << scored.errors;
  write("lora.yaml", predictor("quality, humor", "lora: {rank: 2}\n"));
  expect_says(run("train-predictor lora.yaml run_dir=lora"), "the score starts afresh");
  EXPECT_EQ(run("score --model lora/model --input records.jsonl --output -").code, 0);
  // Its adapter, too, may go on with other attributes, merged.
  std::filesystem::remove(path("lora/model/steerlm.json"));
  write("one.yaml", predictor("quality"));
  write("records.jsonl", conversation("question", "answer", "quality:2"));
  expect_says(run("train-predictor one.yaml run_dir=one model.path=lora/model"), "the score starts afresh");
  write("one_lora.yaml", predictor("quality", "lora: {rank: 2}\n"));
  expect_refused(run("train-predictor one_lora.yaml run_dir=more model.path=lora/model"), 2,
                 "the recipe's lora is another adapter");
}

TEST_F(BadModelFolder, AnEmptyPromptWithoutBosIsRefused) {
  use("untied");
  edit("model/tokenizer_config.json", [](Json& json) { json["add_bos_token"] = false; });
  write("prompts.jsonl", "{\"prompt\":\"Hi\"}\n{\"prompt\":\"\"}\n");
  const std::string words = "the prompt is empty, and the tokenizer has no BOS that a text would start with";
  expect_refused(run("generate --model model --raw --max-new-tokens 2 --prompt ''"), 3, "--prompt: " + words);
  expect_refused(run("generate --model model --raw --max-new-tokens 2 --input prompts.jsonl"), 3,
                 "prompts.jsonl:2: " + words);
  use("untied");
  EXPECT_EQ(run("generate --model model --raw --max-new-tokens 2 --prompt ''").code, 0);
}

// A pad token in the tokenizer alone, as `tokenizer.add_tokens` without resize_token_embeddings leaves it.
TEST_F(BadModelFolder, APadTokenWithoutARowIsCuredAsAdvised) {
  use("untied");
  edit("model/tokenizer_config.json", [](Json& json) {
    json["added_tokens_decoder"]["400"] = {{"content", "[PAD]"}, {"special", true}};
    json["pad_token"] = "[PAD]";
  });
  const Result before = run(generate_command);
  expect_refused(before, 4,
                 "the embedding has fewer rows than the tokenizer has pieces: the first without a row is '[PAD]'");
  const size_t command = before.errors.find("steerlm model add-tokens");
  ASSERT_NE(command, std::string::npos) << before.errors;
  std::string advised = before.errors.substr(command + std::string("steerlm ").size());
  advised = advised.substr(0, advised.find('\n'));
  const Result cured = run(advised);
  EXPECT_EQ(cured.code, 0) << advised << "\n" << cured.errors;
  EXPECT_NE(cured.errors.find("the embedding has 401 rows, 400 before"), std::string::npos) << cured.errors;
  EXPECT_EQ(run("generate --model DIR --prompt hi --temperature 0 --max-new-tokens 4").code, 0);
}

TEST_F(BadModelFolder, PathsThatAreNoUtf8AreNoMistakeOfOurs) {
  copy_model("untied", "m\xe9");
  const Result info = run("model info --model m$(printf '\\351')");
  EXPECT_EQ(info.code, 0) << info.errors;
  EXPECT_EQ(parse_json(info.output, "info", ExitCode::data).at("vocabulary_rows"), 400);
  write("notes", "");
  expect_refused(run("model info --model " + std::string(300, 'x')), 4, "File name too long");
  expect_refused(run("tokenizer encode --model " + std::string(300, 'x')), 4, "File name too long");
}

// 2 PB in fp32, by a config of 700 bytes: refused before anything of that size is asked for.
TEST_F(BadModelFolder, AnAbsurdModelIsRefusedAtOnce) {
  use("untied");
  edit("model/config.json", [](Json& json) {
    json["vocab_size"] = 1 << 24;
    json["hidden_size"] = 1 << 17;
    json["intermediate_size"] = 1 << 20;
    json["num_hidden_layers"] = 1024;
    json["num_attention_heads"] = 1024;
    json["num_key_value_heads"] = 1024;
    json["head_dim"] = 128;
  });
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& command : {generate_command, std::string("model info --model model"),
                                     std::string("model export --model model --output copy --dtype bf16")}) {
    refused("tensor 'model.embed_tokens.weight' has not the shape that config.json gives it", command);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_LT(peak_kilobytes(), 2'000'000);
  EXPECT_FALSE(exists("copy"));
  for (const auto& [key, value] : std::vector<std::pair<std::string, Json>>{{"vocab_size", 9223372036854775807},
                                                                            {"hidden_size", -1},
                                                                            {"num_hidden_layers", 1e300},
                                                                            {"intermediate_size", "9"},
                                                                            {"head_dim", 0}}) {
    use("untied");
    edit("model/config.json", [&](Json& json) { json[key] = value; });
    refused("config.json: '" + key + "'");
  }
}

// A header that promises more than the file holds is refused by its numbers alone.
TEST_F(BadModelFolder, AHugeTensorInASmallFileIsRefusedAtOnce) {
  use("untied");
  const std::string header =
      R"({"model.embed_tokens.weight":{"dtype":"F32","shape":[16777216,131072],"data_offsets":[0,8796093022208]}})";
  write("model/model.safetensors", std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header);
  refused("model.safetensors: tensor 'model.embed_tokens.weight': lies behind the end of the file");
  write("model/model.safetensors", std::string(8, '\xff'));
  refused("model.safetensors: header too large");
}

TEST_F(BadModelFolder, AWeightThatFp16CannotHoldIsNamed) {
  use("untied");
  std::string weights = read("model/model.safetensors");
  write("model/model.safetensors", weights.replace(weights.size() - 4, 4, std::string("\0\0\x80\x47", 4)));  // 65536
  const Result result = run("model export --model model --output copy --dtype fp16");
  expect_refused(result, 4, "holds a number that is infinite in F16; write it in a dtype of a wider range");
  EXPECT_NE(result.errors.find("tensor 'model.norm.weight'"), std::string::npos) << result.errors;
  EXPECT_FALSE(exists("copy"));
  EXPECT_TRUE(temporaries_of(path("copy")).empty());
  EXPECT_EQ(run("model export --model model --output copy --dtype bf16").code, 0);
}

}  // namespace
}  // namespace steerlm
