// A generator of mistakes on the command line and in recipes. What a user types never ends in our own bug (70), a
// signal or the words of a library.
#include "cli/mistakes.h"
#include "steerlm/core/json.h"
#include "steerlm/recipe/reference.h"

namespace steerlm {
namespace {

// Paths at which something is wrong, or which are no paths.
class PathMistakes : public Mistakes {
 protected:
  void SetUp() override {
    Mistakes::SetUp();
    std::filesystem::create_directory(path("closed"));
    std::filesystem::copy(path("train.jsonl"), path("closed/train.jsonl"));
    std::filesystem::copy(path("model"), path("closed/model"));
    std::filesystem::copy(path("model"), path("closed_model"));
    std::filesystem::copy(path("model"), path("m\xE9"));
    std::filesystem::copy(path("train.jsonl"), path("t\xE9.jsonl"));
    std::filesystem::create_symlink("nowhere", path("dangling"));
    std::filesystem::create_symlink("circle", path("circle"));
    std::filesystem::create_symlink("model", path("link"));
    std::filesystem::create_directory(path("empty"));
    write("new\nline", "text\n");
    write("empty.jsonl", "");
    write("nul.bin", std::string("\0\0\0\0", 4));
    write("unreadable.jsonl", record("q", "quality:1"));
    for (const char* name : {"closed", "closed_model", "unreadable.jsonl"})
      std::filesystem::permissions(path(name), std::filesystem::perms::none);
    paths_ = {"",
              ".",
              "..",
              "/",
              "~",
              "~/x",
              "~nobody/x",
              "$HOME/x",
              "${NO_SUCH}/x",
              std::string(300, 'x'),
              std::string(255, 'x'),
              "runs/" + std::string(250, 'y'),
              std::string(5000, 'x'),
              std::string(2100, '/') + std::string(2100, 'x'),
              "nothing",
              "nothing/below",
              "train.jsonl/below",
              "train.jsonl/",
              "empty",
              "model",
              "predictor",
              "link",
              "closed",
              "closed/train.jsonl",
              "closed/model",
              "closed/new",
              "closed_model",
              "unreadable.jsonl",
              "dangling",
              "dangling/below",
              "circle",
              "circle/below",
              "m\xE9",
              "t\xE9.jsonl",
              "\xFF\xFE",
              "new\nline",
              " ",
              "\t",
              "-",
              "--",
              "-x",
              "/dev/null",
              "/dev/tty",
              "/proc/self/mem",
              "/proc/self/fd",
              "/proc/nothing",
              "/root/x",
              "/etc/shadow",
              "https://example.org/data.jsonl",
              "meta-llama/Llama-3.2-1B",
              "nvidia/HelpSteer2",
              "empty.jsonl",
              "nul.bin",
              "text.txt",
              "sft.yaml",
              "train.jsonl",
              "prompts.jsonl",
              "model/model.safetensors",
              "model/tokenizer.model",
              "model/config.json"};
  }
  std::vector<std::string> paths_;
};

// Every wrong path at every place of a path.
TEST_F(PathMistakes, NeverCrash) {
  for (const std::string& wrong : paths_) {
    const std::string key_value = wrong.find('\xE9') == wrong.npos ? wrong : "\"" + wrong + "\"";
    expect_no_crash({"generate", "--model", wrong, "--prompt", "Hi", "--max-new-tokens", "1"});
    expect_no_crash({"generate", "--model", "model", "--input", wrong, "--max-new-tokens", "1"});
    expect_no_crash({"generate", "--model", "model", "--prompt", "Hi", "--max-new-tokens", "1", "--output", wrong});
    expect_no_crash({"score", "--model", "predictor", "--input", wrong, "--output", fresh()});
    expect_no_crash({"model", "info", "--model", wrong});
    expect_no_crash({"data", "check", "--input", wrong});
    expect_no_crash({"data", "stats", wrong});
    expect_no_crash({"data", "convert", "--input", "train.jsonl", "--output", wrong});
    expect_no_crash({"data", "make-toy", "--count", "1", "--output", wrong});
    expect_no_crash({"tokenizer", "encode", "--model", wrong}, "text\n");
    expect_no_crash({"tokenizer", "train", "--input", wrong, "--output", fresh(), "--vocab-size", "300"});
    expect_no_crash({"model", "export", "--model", "model", "--dtype", "bf16", "--output", wrong});
    expect_no_crash({"model", "init", "--tokenizer", wrong, "--output", fresh(), "--hidden-size", "32"});
    expect_no_crash({"model", "import", "--gguf", wrong, "--output", fresh()});
    expect_no_crash({"model", "merge", "--model", "model", "--base", wrong, "--output", fresh()});
    expect_no_crash({"recipe", "check", wrong}, text_of(path("sft.yaml")));
    expect_no_crash({"recipe", "list", wrong.size() == 1 || wrong == ".." ? "empty" : wrong});
    expect_no_crash({"sft", "sft.yaml", "model.path=" + key_value, "run_dir=" + fresh()});
    expect_no_crash({"sft", "sft.yaml", "data.train[0].path=" + key_value, "run_dir=" + fresh()});
    expect_no_crash({"sft", "sft.yaml", "--dry-run", "run_dir=" + key_value});
    expect_no_crash({"annotate", "annotate.yaml", "predictor=" + key_value, "run_dir=" + fresh()});
    expect_no_crash({"annotate", "annotate.yaml", "output=" + key_value, "run_dir=" + fresh()});
    expect_no_crash({"tokenizer", "train", "--input", "text.txt", "--vocab-size", "300", "--output", wrong});
  }
  EXPECT_GT(runs(), 1000);
}

class OptionMistakes : public Mistakes {};

// Options with values that they cannot have, options twice, options of nobody, words too many and too few.
TEST_F(OptionMistakes, NeverCrash) {
  const std::vector<Words> commands{
      {"generate", "--model", "model",     "--prompt", "Hi",  "--max-new-tokens", "2", "--temperature",
       "0.5",      "--top-k", "3",         "--top-p",  "0.9", "--samples",        "2", "--seed",
       "1",        "--set",   "quality=3", "--system", "S"},
      {"score", "--model", "predictor", "--input", "train.jsonl", "--output", "-", "--device", "cpu", "--precision",
       "fp32"},
      {"data", "convert", "--input", "train.jsonl", "--output", "-", "--format", "conversations", "--min", "0", "--max",
       "4", "--attributes", "quality,humor"},
      {"data", "check", "--input", "train.jsonl", "--format", "auto", "--attributes", "quality"},
      {"data", "show-mask", "--model", "model", "--input", "train.jsonl", "--json"},
      {"data", "make-toy", "--output", "runs/toy", "--count", "2", "--seed", "3"},
      {"tokenizer", "train", "--input", "text.txt", "--output", "runs/t.model", "--vocab-size", "300", "--kind", "bpe",
       "--seed", "2"},
      {"tokenizer", "encode", "--model", "model"},
      {"tokenizer", "decode", "--model", "model"},
      {"model", "init", "--output", "runs/m", "--tokenizer", "model", "--hidden-size", "16", "--num-hidden-layers", "1",
       "--num-attention-heads", "2", "--rope-theta", "100", "--max-shard-size", "1MB"},
      {"model", "add-tokens", "--model", "model", "--output", "runs/a", "--tokens", "<a>,<b>"},
      {"model", "export", "--model", "model", "--output", "runs/e", "--dtype", "bf16"},
      {"model", "import", "--gguf", "small.gguf", "--output", "runs/i", "--dtype", "bf16", "--max-shard-size", "1MB"},
      {"model", "info", "--model", "model"},
      {"recipe", "show", "sft.yaml", "seed=1", "train.steps=2"},
      {"recipe", "schema", "--markdown"},
      {"pipeline", "sft.yaml", "--only", "a", "--from", "b", "--dry-run"},
      {"sft", "sft.yaml", "--dry-run", "--fresh", "--quiet"},
      {"chat", "--model", "model", "--max-new-tokens", "2"}};
  const std::vector<std::string> values{"",
                                        "-1",
                                        "0",
                                        "00",
                                        "-0",
                                        "1",
                                        "1.5",
                                        "nan",
                                        "-nan",
                                        "inf",
                                        "1e400",
                                        "1e-400",
                                        "2147483648",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "99999999999999999999999",
                                        "0x10",
                                        "1_000",
                                        "1,5",
                                        " 1",
                                        "abc",
                                        "--",
                                        "-",
                                        "quality=",
                                        "quality=99",
                                        "=1",
                                        "quality=1,quality=1",
                                        "gpu",
                                        "cuda:99",
                                        "mps",
                                        "fp64",
                                        "\xFF",
                                        "\xC3(",
                                        "{}",
                                        "[1",
                                        "'",
                                        "a\nb",
                                        std::string(100000, 'a')};
  Draws draw(20261126);
  const auto mutate = [&](Words& words) {
    const size_t at = draw.below(words.size());
    switch (draw.below(7)) {
      case 0:
        words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      case 1:
        words.insert(words.begin() + static_cast<std::ptrdiff_t>(at), draw.one_of(values));
        break;
      case 2:  // a stranger's option or command
        words.insert(
            words.begin() + static_cast<std::ptrdiff_t>(at),
            draw.one_of(std::vector<std::string>{"--config", "-c", "--lr", "--help", "-h", "--version", "---",
                                                 "--=", "--model=", "--seed=1", "--seed=", "-m", "doctor", "--mdoel"}));
        break;
      case 3:  // twice
        words.push_back(words[at]);
        if (at + 1 < words.size() - 1) words.push_back(words[at + 1]);
        break;
      default:
        words[at] = draw.one_of(values);
    }
  };
  for (int round = 0; round < 25; ++round) {
    for (Words words : commands) {
      for (size_t i = 0; i <= draw.below(2) && !words.empty(); ++i) mutate(words);
      expect_no_crash(words, "Hi\n/set quality=9\n[1, 2]\n");
    }
  }
  EXPECT_EQ(runs(), 25 * static_cast<int>(commands.size()));
}

// Dotted paths of every key in the schema of recipes.
void collect_keys(const Json& schema, const std::string& above, std::vector<std::string>& keys) {
  for (const char* inner : {"anyOf", "oneOf"}) {
    if (!schema.contains(inner)) continue;
    for (const Json& part : schema[inner]) collect_keys(part, above, keys);
  }
  if (schema.contains("items")) collect_keys(schema["items"], above + "[0]", keys);
  if (!schema.contains("properties")) return;
  for (const auto& [key, value] : schema["properties"].items()) {
    const std::string name = above.empty() || above.ends_with('.') ? above + key : above + "." + key;
    keys.push_back(name);
    collect_keys(value, name, keys);
  }
}

class RecipeMistakes : public Mistakes {
 protected:
  const std::vector<std::pair<std::string, std::string>> recipes_{
      {"sft", "sft.yaml"},           {"train-predictor", "predictor.yaml"},
      {"annotate", "annotate.yaml"}, {"bootstrap", "bootstrap.yaml"},
      {"run", "generate.yaml"},      {"evaluate", "evaluate.yaml"},
      {"run", "tokenizer.yaml"}};
};

// Any key with any value, given after the recipe.
TEST_F(RecipeMistakes, OverridesNeverCrash) {
  const Json schema = parse_json(recipe_schema(), "schema", ExitCode::bug);
  std::vector<std::string> keys;
  for (const auto& [name, stage] : schema["$defs"].items()) {
    if (!name.starts_with("step-")) collect_keys(stage, "", keys);
  }
  ASSERT_GT(keys.size(), 100u);
  const std::vector<std::string> values{"",
                                        "~",
                                        "null",
                                        "true",
                                        "-1",
                                        "0",
                                        "1",
                                        "3",
                                        "1.5",
                                        ".5",
                                        "1e-5",
                                        "1e30",
                                        "1e999",
                                        "-1e-300",
                                        "nan",
                                        ".inf",
                                        "9223372036854775807",
                                        "9999999999999999999999",
                                        "0x1F",
                                        "text",
                                        "a/b",
                                        "[]",
                                        "{}",
                                        "[1]",
                                        "[a, b]",
                                        "[[1], [2]]",
                                        "{a: 1}",
                                        "{path: train.jsonl}",
                                        "'quoted'",
                                        "\"\"",
                                        "\"",
                                        "[",
                                        "{a: {b: {c: {d: 1}}}}",
                                        "&a 1",
                                        "*a",
                                        "!!int 1",
                                        "auto",
                                        "cuda",
                                        "max",
                                        "all",
                                        "plain",
                                        "llama3",
                                        "0.999999999",
                                        "1000000000",
                                        "\xFF",
                                        std::string(3000, '7'),
                                        std::string(200000, 'n')};
  Draws draw(13);
  for (int i = 0; i < 600; ++i) {
    const auto& [command, file] = draw.one_of(recipes_);
    Words words{command, file, "run_dir=" + fresh()};
    for (size_t n = 0; n <= draw.below(2); ++n) words.push_back(draw.one_of(keys) + "=" + draw.one_of(values));
    if (draw.below(3) != 0) words.push_back("--dry-run");
    expect_no_crash(words);
  }
}

// The text of a recipe, damaged.
TEST_F(RecipeMistakes, DamagedTextNeverCrashes) {
  const std::vector<std::string> pieces{"\t",
                                        "\n",
                                        ":",
                                        ": ",
                                        " ",
                                        "  ",
                                        "- ",
                                        "[",
                                        "]",
                                        "{",
                                        "}",
                                        "&a ",
                                        "*a",
                                        "!!x ",
                                        "|\n",
                                        ">\n",
                                        "\"",
                                        "'",
                                        "#",
                                        "%",
                                        "@",
                                        "`",
                                        "?",
                                        "---\n",
                                        "...\n",
                                        "\xEF\xBB\xBF",
                                        "\xFF",
                                        "\r\n",
                                        std::string(1, '\0'),
                                        "<<: ",
                                        "~",
                                        "null",
                                        "[[[[[[[[[[[[[[[[[[",
                                        "999999999999999999999",
                                        "stage: sft\n",
                                        "seed: 1\nseed: 2\n"};
  Draws draw(7);
  for (int i = 0; i < 400; ++i) {
    const auto& [command, file] = draw.one_of(recipes_);
    std::string text = text_of(path(file));
    for (size_t n = 0; n <= draw.below(3); ++n) {
      const size_t at = draw.below(text.size() + 1);
      switch (draw.below(4)) {
        case 0:
          text.erase(at, 1 + draw.below(6));
          break;
        case 1:
          text.resize(at);
          break;
        default:
          text.insert(at, draw.one_of(pieces));
      }
    }
    expect_no_crash({command, "-", "--dry-run"}, text);
  }
}

}  // namespace
}  // namespace steerlm
