// Damaged inputs and full disks: each ends with its exit code and a message in the program's own words, and leaves
// nothing half-written.
#include "end_to_end/program.h"

namespace steerlm {
namespace {

class BadInput : public Program {
 protected:
  void SetUp() override {
    copy_model("untied", "model");
    write("train.jsonl", rated_conversations(12));
    write("sft.yaml",
          "stage: sft\nmodel: {path: model}\nattributes: {names: [quality, humor], min: 0, max: 4}\n"
          "data: {train: [{path: train.jsonl}], max_tokens: 256}\nrun_dir: run\noptimizer: {learning_rate: 1e-3}\n"
          "train: {steps: 3, batch_size: 4}\ncheckpoint: {every_steps: 1}\n");
  }

  void truncate(const Path& name, std::int64_t change) {
    std::filesystem::resize_file(
        path(name),
        static_cast<std::uintmax_t>(static_cast<std::int64_t>(std::filesystem::file_size(path(name))) + change));
  }
  void replace(const Path& name, const std::string& from, const std::string& to) {
    std::string text = read(name);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(name, text.replace(at, from.size(), to));
  }
};

struct BadLine {
  const char* name;
  std::string line;  // appended to train.jsonl
  const char* arguments;
  int code;
  const char* message;
};

void PrintTo(const BadLine& bad, std::ostream* out) { *out << bad.name; }

class BadLines : public BadInput, public testing::WithParamInterface<BadLine> {};

TEST_P(BadLines, AreRefusedWithMessageAndExitCode) {
  const BadLine& bad = GetParam();
  if (!bad.line.empty()) append("train.jsonl", bad.line);
  expect_refused(run(bad.arguments), bad.code, bad.message);
  EXPECT_FALSE(exists("run/model"));
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadLines,
    testing::Values(
        BadLine{"broken_json", "{\"conversations\": [\n", "sft sft.yaml", 3, "train.jsonl:13"},
        BadLine{"invalid_utf8", "{\"conversations\": \"\xff\"}\n", "sft sft.yaml", 3, "not valid UTF-8"},
        BadLine{"label_out_of_range", conversation("q", "a", "quality:7"), "sft sft.yaml", 3, "train.jsonl:13"},
        BadLine{"unknown_attribute", conversation("q", "a", "qualty:1"), "sft sft.yaml", 3, "did you mean 'quality'?"},
        BadLine{"unknown_role",
                R"({"conversations":[{"from":"Usr","value":"q"}]})"
                "\n",
                "sft sft.yaml", 3, "found 'Usr'"},
        BadLine{"no_target",
                R"({"conversations":[{"from":"User","value":"q"}]})"
                "\n",
                "sft sft.yaml", 3, "train.jsonl:13"},
        BadLine{"all_masked", "{\"mask\":\"User,Assistant\"," + conversation("q", "a").substr(1), "sft sft.yaml", 3,
                "train.jsonl:13"},
        BadLine{"too_long", "", "sft sft.yaml data.max_tokens=20 data.over_length=error", 3, "train.jsonl:1"},
        BadLine{"nothing_left", "", "sft sft.yaml data.max_tokens=20", 3, "training"},
        BadLine{"missing_data", "", "sft sft.yaml data.train[0].path=none.jsonl", 3, "none.jsonl"},
        BadLine{"folder_as_data", "", "sft sft.yaml data.train[0].path=model", 3, "folder where a data file"},
        BadLine{"missing_model", "", "sft sft.yaml model.path=none", 4, "none"},
        BadLine{"file_as_model", "", "sft sft.yaml model.path=train.jsonl", 4, "not a folder"},
        BadLine{"run_in_a_file", "", "sft sft.yaml run_dir=sft.yaml/x --dry-run", 5, "a part of the path is no folder"},
        BadLine{"cache_in_a_file", "", "sft sft.yaml data.cache_dir=sft.yaml --dry-run", 5,
                "a part of the path is no folder"},
        BadLine{"missing_recipe", "", "sft none.yaml", 2, "none.yaml"},
        BadLine{"folder_as_recipe", "", "sft model", 2, "model"},
        BadLine{"empty_recipe", "", "sft - </dev/null", 2, "empty"},
        BadLine{"data_as_recipe", "", "sft train.jsonl", 2, "train.jsonl"},
        BadLine{"misspelt_key", "", "sft sft.yaml optimizer.learning_rat=1e-3", 2,
                "did you mean 'optimizer.learning_rate'?"},
        BadLine{"malformed_override", "", "sft sft.yaml data.train[0.path=x", 2, "data.train[0.path=x"},
        BadLine{"wrong_stage", "", "annotate sft.yaml", 2, "'sft'"},
        BadLine{"unknown_command", "", "stf sft.yaml", 2, "did you mean 'sft'?"},
        BadLine{"unknown_option", "", "sft sft.yaml --frsh", 2, "did you mean '--fresh'?"},
        BadLine{"cuda", "", "sft sft.yaml device=cuda:99", 5, "a GPU that can be used"}),
    [](const auto& bad) { return bad.param.name; });

// A run that ended on a damaged input has computed nothing from it: mended, the same command goes on without --fresh.
TEST_F(BadInput, AMendedInputNeedsNoFreshStart) {
  const std::string weights = read("model/model.safetensors");
  truncate("model/model.safetensors", -100);
  expect_refused(run("sft sft.yaml"), 4, "model.safetensors");
  ASSERT_TRUE(exists("run/.steerlm-run")) << "the folder is a run directory, in which nothing was begun";
  write("model/model.safetensors", weights);
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  write("model/config.json", read("model/config.json") + " ");
  expect_refused(run("sft sft.yaml"), 2, "has changed");
}

// Nor does a mended recipe; but the metrics of a run that was killed before its first checkpoint are kept.
TEST_F(BadInput, AMendedRecipeNeedsNoFreshStart) {
  expect_refused(run("sft sft.yaml data.max_tokens=20 data.over_length=error"), 3, "raise data.max_tokens");
  ASSERT_TRUE(exists("run/.steerlm-run")) << "the folder is a run directory, in which nothing was begun";
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  expect_refused(run("sft sft.yaml seed=7"), 2, "another recipe: seed: 1234 -> 7");
  const std::string long_run = "sft sft.yaml run_dir=killed train.steps=100000 checkpoint.every_steps=100000";
  run_until(long_run, SIGKILL, [&] { return exists("killed/metrics.jsonl") && !read("killed/metrics.jsonl").empty(); });
  expect_refused(run(long_run + " seed=7"), 2, "another recipe: seed: 1234 -> 7");
}

// `data check` goes through the whole file and tells each bad line; training stops at the first.
TEST_F(BadInput, EveryBadLineIsToldWithItsNumber) {
  const std::string good = conversation("q", "a"), rest = good.substr(1);
  const std::vector<std::string> bad{std::string("{\"conversations\": \"\0\"}\n", 23),
                                     conversation("q", "\\ud800"),
                                     "{\"x\": NaN, " + rest,
                                     "{\"x\": 1, \"x\": 2, " + rest,
                                     "{}{}\n",
                                     "{\"conversations\": " + std::string(70, '[') + std::string(70, ']') + "}\n",
                                     conversation("q", std::string(size_t{17} << 20, 'x')),
                                     "{\"conversations\": \"\xff\"}\n",
                                     conversation("q", "a", "quality:1.5"),
                                     conversation("q", "a", "quality:1,quality:2"),
                                     conversation("q", "a", "quality=1"),
                                     "{\"conversations\": []}\n",
                                     "{\"conversations\": [{\"from\": \"User\"}]}\n",
                                     "{\"mask\": 1, " + rest};
  std::string lines;
  for (const std::string& line : bad) lines += good + line;
  write("bad.jsonl", lines);
  const Result result = run("data check --input bad.jsonl --format conversations");
  expect_refused(result, 3, std::to_string(bad.size()) + " bad records");
  EXPECT_EQ(result.output.find("json.exception"), std::string::npos);
  for (size_t i = 0; i < bad.size(); ++i) {
    const std::string place = "bad.jsonl:" + std::to_string(2 * i + 2);
    EXPECT_NE(result.output.find(place), std::string::npos) << place << "\n" << result.output.substr(0, 3000);
  }
  expect_refused(run("sft sft.yaml data.train[0].path=bad.jsonl"), 3, "bad.jsonl:2:");
}

// A predictor is trained on labelled turns only.
TEST_F(BadInput, APredictorNeedsALabelledTurn) {
  write("train.jsonl", conversation("q", "a"));
  write("predictor.yaml",
        "stage: train-predictor\nmethod: helpsteer\nmodel: {path: model}\ndata: {train: [{path: "
        "train.jsonl}]}\nrun_dir: run\n");
  expect_refused(run("train-predictor predictor.yaml"), 3, "label");
  EXPECT_FALSE(exists("run/model"));
}

TEST_F(BadInput, DamagedWeightsAreRefused) {
  const std::string weights = read("model/model.safetensors");
  for (const auto& [size, message] :
       std::vector<std::pair<size_t, std::string>>{{0, "too short"},
                                                   {1000, "cut off"},
                                                   {weights.size() - 4, "cut off"},
                                                   {weights.size() + 4, "bytes behind the last tensor"}}) {
    write("model/model.safetensors", (weights + "xxxx").substr(0, size));
    expect_refused(run("score --model model --input train.jsonl --output out.jsonl"), 4, message);
  }
  expect_refused(run("sft sft.yaml"), 4, "bytes behind the last tensor");
  EXPECT_FALSE(exists("out.jsonl"));
  std::filesystem::remove(path("model/model.safetensors"));
  expect_refused(run("score --model model --input train.jsonl --output out.jsonl"), 4, "holds no weights");
}

TEST_F(BadInput, AConfigThatDisagreesWithTheWeightsIsRefused) {
  replace("model/config.json", "\"hidden_size\": 32", "\"hidden_size\": 40");
  expect_refused(run("generate --model model --prompt hi"), 4,
                 "'model.embed_tokens.weight' has not the shape that config.json gives it");
  replace("model/config.json", "\"hidden_size\": 40", "\"hidden_size\": 32");
  replace("model/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
  expect_refused(run("generate --model model --prompt hi"), 4, "extra tensor 'model.layers.1.");
  replace("model/config.json", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 3");
  expect_refused(run("generate --model model --prompt hi"), 4, "missing tensor 'model.layers.2.");
  write("model/config.json", "{");
  expect_refused(run("generate --model model --prompt hi"), 4, "config.json: not valid JSON");
  std::filesystem::remove(path("model/config.json"));
  expect_refused(run("sft sft.yaml"), 4, "config.json");
}

TEST_F(BadInput, ADamagedTokenizerIsRefused) {
  const std::string tokenizer = read("model/tokenizer.model");
  for (const auto& [bytes, message] :
       std::vector<std::pair<std::string, std::string>>{{"", "empty"},
                                                        {tokenizer.substr(0, 2000), "damaged or cut off"},
                                                        {tokenizer + "and more of it", "damaged or cut off"}}) {
    write("model/tokenizer.model", bytes);
    expect_refused(run("generate --model model --prompt hi"), 4, message);
    expect_refused(run("tokenizer encode --model model/tokenizer.model", "echo hi |"), 4, message);
  }
  std::filesystem::remove(path("model/tokenizer.model"));
  expect_refused(run("sft sft.yaml"), 4, "no tokenizer.model");
}

TEST_F(BadInput, ATokenizerOfAnotherVocabularyIsRefused) {
  replace("model/config.json", "\"vocab_size\": 400", "\"vocab_size\": 300");
  expect_refused(run("sft sft.yaml"), 4, "fewer rows than the tokenizer has pieces");
}

TEST_F(BadInput, ABrokenSteerlmJsonIsRefused) {
  for (const auto& [json, message] : std::vector<std::pair<std::string, std::string>>{
           {"{", "not valid JSON"},
           {"[]", "not a JSON object"},
           {"{}", "'attributes' is missing"},
           {R"({"attributes": {"names": ["quality"], "max": 4}, "tempalte": {}})", "did you mean 'template'?"},
           {R"({"attributes": {"names": ["quality"], "min": 4, "max": 4}})", "steerlm.json"},
           {R"({"attributes": {"names": ["quality"], "max": 4}, "head": {"kind": "regression"}})",
            "the head is not the one"},
           {R"({"attributes": {"names": ["quality"], "max": 4, "defaults": {"quality": 5}}})", "steerlm.json"}}) {
    write("model/steerlm.json", json);
    expect_refused(run("generate --model model --prompt hi"), 4, message);
  }
  expect_refused(run("sft sft.yaml"), 4, "steerlm.json");
}

TEST_F(BadInput, AnExampleLongerThanTheModelsContextIsNeverTrainedOn) {
  write("train.jsonl", read("train.jsonl") + conversation("q", std::string(1200, 'x'), "quality:1"));
  expect_refused(run("sft sft.yaml data.max_tokens=5000 data.over_length=error"), 3, "expected at most 256");
  const Result dropped = run("sft sft.yaml run_dir=dropped data.max_tokens=5000");
  EXPECT_EQ(dropped.code, 0) << dropped.errors;
  EXPECT_NE(dropped.errors.find("conversations are limited to 256 tokens"), std::string::npos) << dropped.errors;
  EXPECT_NE(dropped.errors.find("1 dropped as too long"), std::string::npos) << dropped.errors;
}

TEST_F(BadInput, ATemplateThatWasChangedIsNoticed) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  replace("run/model/steerlm.json", "A chat between", "A talk between");
  write("in.jsonl", conversation("q", "a"));
  const std::string message = "the template's bytes are not those that the model was trained with";
  expect_refused(run("generate --model run/model --prompt hi"), 4, message);
  expect_refused(run("score --model run/model --input in.jsonl --output out.jsonl"), 4, message);
  expect_refused(run("data show-mask --model run/model --input in.jsonl"), 4, message);
  expect_refused(run("model info --model run/model"), 4, message);
  write("generate.yaml",
        "stage: generate\nmodel: run/model\nprompts: in.jsonl\noutput: out.jsonl\nrun_dir: generate\n");
  expect_refused(run("run generate.yaml"), 4, message);
  expect_refused(run("sft sft.yaml model.path=run/model run_dir=again"), 4, message);
  EXPECT_FALSE(exists("out.jsonl"));
  EXPECT_FALSE(exists("again/model"));
}

TEST_F(BadInput, ARecipeThatContradictsItsModelFolderIsRefused) {
  make_model("untied", "steered", R"("quality", "verbosity")");
  expect_refused(run("sft sft.yaml model.path=steered"), 2, "attributes.names");
}

TEST_F(BadInput, OutputsThatCannotBeWrittenEndWithResources) {
  expect_refused(run("sft sft.yaml run_dir=train.jsonl/run"), 5, "train.jsonl/run");
  expect_refused(run("sft sft.yaml run_dir=/proc/run"), 5, "/proc/run");
  expect_refused(run("generate --model model --prompt hi --output train.jsonl/x"), 5, "train.jsonl/x");
  expect_refused(run("score --model model --input train.jsonl --output none/x"), 5, "none/x");
  write("annotate.yaml",
        "stage: annotate\npredictor: predictor\ninput: train.jsonl\noutput: train.jsonl/out\nrun_dir: run\n");
  make_model("classifier", "predictor", R"("quality", "humor", "length")");
  expect_refused(run("annotate annotate.yaml"), 5, "train.jsonl");
}

TEST_F(BadInput, AFullStandardOutputIsNoSuccess) {
  const std::string full = R"(sh -c '"$0" "$@" >/dev/full')";
  expect_refused(run("generate --model model --prompt hi --max-new-tokens 2", full), 5, "standard output");
  expect_refused(run("score --model model --input train.jsonl --output -", full), 5, "standard output");
  expect_refused(run("data convert --input train.jsonl --output -", full), 5, "standard output");
  expect_refused(run("tokenizer encode --model model", "echo hi | " + full), 5, "standard output");
  expect_refused(run("model info --model model", full), 5, "standard output");
  expect_refused(run("recipe show sft.yaml", full), 5, "standard output");
  expect_refused(run("data stats --input train.jsonl", full), 5, "standard output");
}

TEST_F(BadInput, AnInputThatCannotBeReadIsNoEmptyOne) {
  for (const char* from : {" <model", " <&-"}) {
    const std::string reason = from == std::string(" <&-") ? "Bad file descriptor" : "Is a directory";
    const std::string message = "standard input: cannot read: " + reason + "; redirect it from a file";
    for (const char* command : {"tokenizer encode --model model", "tokenizer decode --model model"})
      expect_refused(run(std::string(command) + from), 3, message);
    for (const char* command : {"recipe check -", "recipe show -", "sft -", "run -"})
      expect_refused(run(std::string(command) + from), 2, message);
  }
  expect_says(run("recipe check /dev/stdin", "cat sft.yaml |"), "");
}

TEST_F(BadInput, ANameThatIsTooLongIsTold) {
  const std::string name(300, 'x');
  expect_refused(run("experiment " + name + " --out d"), 2, "no experiment of this name comes with the program");
  expect_refused(run("score --merge o " + name), 3, name + ": cannot look at the path: File name too long; a name has");
  const std::string beside(250, 'n');
  expect_refused(run("score --model model --input train.jsonl --output " + beside), 5,
                 "File name too long; choose a shorter name: this one has 262 bytes, and 255 are the most");
}

TEST_F(BadInput, AFolderThatWasRemovedIsWorkedInAsFarAsItGoes) {
  const std::string removed = R"(sh -c 'mkdir gone; cd gone; rmdir ../gone; exec "$0" "$@"')";
  for (const std::string& command :
       {std::string("--version"), "model info --model " + path("model").string(),
        "score --model " + path("model").string() + " --input " + path("train.jsonl").string() + " --output -"})
    expect_says(run(command, removed), "");
  expect_refused(run("data convert --input " + path("train.jsonl").string() + " --output x", removed), 5,
                 "No such file or directory; a folder of its path is gone");
}

// A limit on the size of a file stands for a full disk. One block of `ulimit -f` has 512 bytes in a plain sh.
TEST_F(BadInput, AFullDiskLeavesNothingHalfWrittenAndTheSameCommandGoesOn) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const std::string before = read("run/model/model.safetensors");
  const Result full = run("sft sft.yaml run_dir=full", "ulimit -f 100;");
  expect_refused(full, 5, "File too large");
  EXPECT_FALSE(exists("full/model"));
  EXPECT_FALSE(exists("full/checkpoints/LATEST"));
  expect_says(run("sft sft.yaml run_dir=full"), "the model is in full/model");
  EXPECT_EQ(read("full/model/model.safetensors"), before);

  write("old.jsonl", "old\n");
  const std::string generate =
      "generate --model model --input train.jsonl --max-new-tokens 100 --samples 20 --output old.jsonl --overwrite";
  expect_refused(run(generate, "ulimit -f 8;"), 5, "File too large");
  EXPECT_EQ(read("old.jsonl"), "old\n");
  EXPECT_TRUE(temporaries_of(path("old.jsonl")).empty());
}

// What batch systems set: each ends with a message, none by a signal.
TEST_F(BadInput, LimitsOfTheShellAreTold) {
  const Result small = run("sft sft.yaml", "ulimit -f 100;");
  expect_refused(small, 5, "ulimit -f");
  for (const char* printing : {"tokenizer encode --model model <train.jsonl", "model info --model model"})
    expect_refused(run(printing, "ulimit -f 1;"), 5,
                   "standard output: cannot write all of the output; it is closed, its");
  expect_refused(run("sft sft.yaml run_dir=files", R"(bash -c 'ulimit -n 5; exec "$0" "$@"')"), 5,
                 "Too many open files");
  expect_refused(run("sft sft.yaml run_dir=unloaded", "ulimit -v 300000;"), 5, "raise the limits: ulimit -v unlimited");
  // A limit on memory stands for one on threads, which root does not have.
  expect_refused(
      run("sft sft.yaml run_dir=threads", "OMP_NUM_THREADS=20000; export OMP_NUM_THREADS; ulimit -v 16000000;"), 5,
      "set OMP_NUM_THREADS to less");
  const Result memory = run("sft sft.yaml run_dir=memory data.max_tokens=200 train.batch_size=12", "ulimit -v 900000;");
  EXPECT_TRUE(memory.code == 0 || memory.code == 5) << memory.code << "\n" << memory.errors;
}

// `… | head`: the reader has what it wants.
TEST_F(BadInput, AClosedPipeEndsTheProgramQuietly) {
  write("many.jsonl", [] {
    std::string lines;
    for (int i = 0; i < 20000; ++i) lines += conversation("question", "answer");
    return lines;
  }());
  // The program's own exit code, which a pipe hides.
  const std::string piped = R"(sh -c '("$0" "$@" 2>told; echo $? >code) | head -n 1')";
  ASSERT_EQ(run("data convert --input many.jsonl --output -", piped).code, 0);
  EXPECT_EQ(read("code"), "5\n");
  EXPECT_EQ(read("told"), "");
}

TEST_F(BadInput, AnAnnotationOnAFullDiskGoesOnLater) {
  make_model("classifier", "predictor", R"("quality", "humor", "length")");
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += conversation("question " + std::to_string(i), "answer");
  write("in.jsonl", lines);
  write("annotate.yaml",
        "stage: annotate\npredictor: predictor\ninput: in.jsonl\noutput: out.jsonl\nblock_records: 8\nrun_dir: run\n");
  ASSERT_EQ(run("annotate annotate.yaml run_dir=whole output=whole.jsonl").code, 0);
  expect_refused(run("annotate annotate.yaml", "ulimit -f 16;"), 5, "File too large");
  EXPECT_FALSE(exists("out.jsonl"));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  EXPECT_EQ(read("out.jsonl"), read("whole.jsonl"));
}

TEST_F(BadInput, AFolderThatHoldsNoRunIsLeftAlone) {
  std::filesystem::create_directory(path("run"));
  write("run/notes.txt", "mine\n");
  for (const std::string options : {"", " --fresh"}) {
    expect_refused(run("sft sft.yaml" + options), 5, "the folder is not empty and no run has made it");
    EXPECT_EQ(read("run/notes.txt"), "mine\n");
    EXPECT_FALSE(exists("run/recipe.yaml"));
  }
  std::filesystem::remove(path("run/notes.txt"));
  EXPECT_EQ(run("sft sft.yaml").code, 0) << "an empty folder is as good as none";
}

TEST_F(BadInput, TextThatIsNoUtf8OnTheCommandLineIsRefused) {
  expect_refused(run("generate --model model --prompt $(printf '\\377')"), 2, "--prompt: not valid UTF-8");
  expect_refused(run("generate --model model --prompt hi --temperature nan"), 2, "--temperature");
}

}  // namespace
}  // namespace steerlm
