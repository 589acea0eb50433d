// Folders without a steerlm.json: which template they get, who says so, and what a recipe or an option can change.
#include <cmath>

#include "end_to_end/program.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {
namespace {

class InstructModel : public Program {
 protected:
  static std::string chat_template(const std::string& name) {
    const Path path = Path(STEERLM_SOURCE_DIR) / "tests/fixtures/text/chat_templates.json";
    return parse_json(read_file(path, ExitCode::data, "fixture"), "fixture", ExitCode::data)
        .at("templates")
        .at(name)
        .at("template");
  }
  // A folder of another maker's: weights and a tokenizer with the markers of ChatML and Llama 3 as pieces.
  void make_instruct_model(const std::string& name, const std::string& text_template) {
    const std::string tokenizer = (Path(STEERLM_SOURCE_DIR) / "tests/fixtures/text/chat.model").string();
    const Result made =
        run("model init --output " + name + " --tokenizer '" + tokenizer +
            "' --hidden-size 32 --num-hidden-layers 1 --num-attention-heads 2 --max-position-embeddings "
            "512");
    ASSERT_EQ(made.code, 0) << made.errors;
    for (const char* own : {"steerlm.json", "README.md"}) std::filesystem::remove(path(Path(name) / own));
    const Path config = Path(name) / "tokenizer_config.json";
    Json json = parse_json(read(config), "config", ExitCode::model);
    json.erase("chat_template");
    if (!text_template.empty()) json["chat_template"] = chat_template(text_template);
    write(config, json.dump());
  }
  // A recipe of a stage that trains for one step.
  void write_recipe(const std::string& name, const std::string& stage, const std::string& more) {
    write(name, "stage: " + stage + "\nrun_dir: runs/" + name +
                    "\ndata: {train: [{path: train.jsonl}], max_tokens: 512}\n" + "train: {steps: 1, batch_size: 1}\n" +
                    more);
  }
  Json steerlm_json(const std::string& folder) const {
    return parse_json(read(folder + "/steerlm.json"), "steerlm.json", ExitCode::model);
  }
};

constexpr const char* said = "template chatml, which the chat template in ";
constexpr const char* own_system =
    "system prompt \"You are a helpful AI assistant named SmolLM, trained by Hugging Face\", its own";

TEST_F(InstructModel, EveryCommandSaysTheTemplateThatItFinds) {
  make_instruct_model("smol", "smollm2");
  write("train.jsonl", conversation("ask", "good way", "quality:4"));
  write_recipe("sft.yaml", "sft", "model: {path: smol}\nattributes: {names: [quality], min: 0, max: 4}\n");
  write_recipe("predictor.yaml", "train-predictor", "model: {path: smol}\nattributes: {names: [quality]}\n");
  write("evaluate.yaml",
        "stage: evaluate\nrun_dir: runs/evaluate\nmodel: {path: smol}\ndata: {validation: [{path: train.jsonl}]}\n");
  write("generate.yaml",
        "stage: generate\nrun_dir: runs/generate\nmodel: smol\nprompts: [{path: train.jsonl}]\noutput: answers.jsonl\n"
        "sampling: {max_new_tokens: 1}\n");
  for (const std::string command :
       {"generate --model smol --prompt ask --max-new-tokens 1", "chat --model smol --max-new-tokens 1 </dev/null",
        "score --model smol --input train.jsonl --output -", "data show-mask --model smol --input train.jsonl",
        "model info --model smol", "sft sft.yaml --dry-run", "train-predictor predictor.yaml --dry-run",
        "evaluate evaluate.yaml", "run generate.yaml", "data check predictor.yaml"}) {
    const Result result = run(command);
    expect_says(result, said);
    expect_says(result, own_system);
    EXPECT_EQ(lines_of(result.errors).front().find("warning"), std::string::npos) << result.errors;
  }
}

TEST_F(InstructModel, PromptsAreThoseOfItsChatTemplate) {
  make_instruct_model("smol", "smollm2");
  write("train.jsonl", conversation("ask", "good"));
  const Json shown = json_lines(run("data show-mask --model smol --input train.jsonl --json").output).at(0);
  const auto ids = shown.at("token_ids").get<std::vector<std::int64_t>>();
  std::string text;
  for (const Json& piece : shown.at("pieces")) text += piece.get<std::string>();
  EXPECT_NE(text.find("<|im_start|>system<0x0A>You"), std::string::npos) << text;
  EXPECT_EQ(shown.at("trained_text"), "good<|im_end|>");
  const Json info = parse_json(run("model info --model smol").output, "info", ExitCode::data).at("template");
  EXPECT_EQ(info.at("name"), "chatml");
  EXPECT_EQ(info.at("why"), "the chat template writes it");
  EXPECT_EQ(info.at("end"), "<|im_end|>");
  EXPECT_EQ(info.at("system"), "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
  EXPECT_EQ(info.at("chat_template").at("writes"), "chatml");
}

// The template may be the base's, and lie in any of its places.
TEST_F(InstructModel, AMergedAdapterKeepsTheTemplateThatItHad) {
  make_instruct_model("smol", "smollm2");
  write("train.jsonl", conversation("ask", "good way"));
  write_recipe("sft.yaml", "sft", "model: {path: smol}\nlora: {rank: 2, alpha: 4}\n");
  ASSERT_EQ(run("sft sft.yaml").code, 0) << read("err.txt");
  const std::string adapter = "runs/sft.yaml/model", config = read("smol/tokenizer_config.json");
  for (const char* own : {"steerlm.json", "README.md"}) std::filesystem::remove(path(Path(adapter) / own));
  Json bare = Json::parse(config);
  bare.erase("chat_template");
  write(adapter + "/tokenizer_config.json", bare.dump());
  for (const std::string place :
       {"tokenizer_config.json", "chat_template.jinja", "additional_chat_templates/default.jinja"}) {
    const bool in_config = place == "tokenizer_config.json";
    write("smol/tokenizer_config.json", in_config ? config : bare.dump());
    std::filesystem::create_directories(path("smol/" + place).parent_path());
    if (!in_config) write("smol/" + place, chat_template("smollm2"));
    for (const bool with_tokenizer : {true, false}) {
      if (!with_tokenizer) {
        std::filesystem::copy(path(adapter), path("without"));
        for (const auto& file : std::filesystem::directory_iterator(path("without"))) {
          if (!file.path().filename().string().starts_with("adapter")) std::filesystem::remove(file.path());
        }
      }
      const std::string model = with_tokenizer ? adapter : "without";
      expect_says(run("generate --prompt ask --max-new-tokens 1 --model " + model), said);
      ASSERT_EQ(run("model merge --output merged --model " + model).code, 0) << read("err.txt");
      expect_says(run("generate --prompt ask --max-new-tokens 1 --model merged"), said + ("merged/" + place));
      for (const char* made : {"merged", "without"}) std::filesystem::remove_all(path(made));
    }
    if (!in_config) std::filesystem::remove(path("smol/" + place));
  }
}

TEST_F(InstructModel, WhatTheBytesDifferInIsSaid) {
  make_instruct_model("llama", "llama3.2");
  const Result result = run("generate --model llama --prompt ask --max-new-tokens 1");
  expect_says(result, "template llama3, which the chat template in ");
  expect_says(result, "may name the day's date");
  expect_says(result, "takes spaces off the ends of texts");
}

TEST_F(InstructModel, ASystemPromptThatIsGivenWinsAndIsSaid) {
  make_instruct_model("smol", "smollm2");
  expect_says(run("generate --model smol --prompt ask --max-new-tokens 1 --system 'Be kind.'"),
              "system prompt \"Be kind.\" (--system); its own is \"You are a helpful");
  expect_says(run("generate --model smol --prompt ask --max-new-tokens 1 --system ''"), "no system prompt (--system)");
  write("train.jsonl", conversation("ask", "good way", "quality:4"));
  write_recipe("sft.yaml", "sft",
               "model: {path: smol}\ntemplate: {system: Be kind.}\nattributes: {names: [quality]}\n");
  expect_says(run("sft sft.yaml"), "system prompt \"Be kind.\" (template.system); its own is \"You are a helpful");
  const Json text_template = steerlm_json("runs/sft.yaml/model").at("template");
  EXPECT_EQ(text_template.at("name"), "chatml");
  EXPECT_EQ(text_template.at("system"), "Be kind.");
}

TEST_F(InstructModel, WhatCannotBeReadIsSaidWithWhatToDo) {
  make_instruct_model("macro", "macro");
  const std::string generate = "generate --model macro --prompt ask --max-new-tokens 1";
  const Result result = run(generate);
  expect_says(result, "template chatml, whose markers the chat template in ");
  expect_says(result, "warning: the chat template in ");
  expect_says(result, "a call of 'turn'");
  expect_says(result, "its turns may differ");
  expect_says(result, "steerlm data show-mask");
  expect_says(result, "--template chatml");
  expect_says(result, "--system TEXT");
  const Result with_system = run(generate + " --system 'Be kind.'");
  expect_says(with_system, "its turns may differ");
  EXPECT_EQ(with_system.errors.find("--system TEXT"), std::string::npos) << with_system.errors;
  const Result with_template = run(generate + " --template chatml");
  expect_says(with_template, "--system TEXT");
  EXPECT_EQ(with_template.errors.find("may differ"), std::string::npos) << with_template.errors;
  EXPECT_EQ(run(generate + " --template chatml --system 'Be kind.'").errors.find("warning"), std::string::npos);
}

TEST_F(InstructModel, AnEmptySystemBlockIsADifference) {
  make_instruct_model("empty", "chatml");
  Json config = parse_json(read("empty/tokenizer_config.json"), "config", ExitCode::model);
  config["chat_template"] =
      "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n<|im_end|>\n' }}{% endif %}" +
      chat_template("chatml");
  write("empty/tokenizer_config.json", config.dump());
  const Result result = run("generate --model empty --prompt ask --max-new-tokens 1");
  EXPECT_TRUE(lines_of(result.errors)
                  .front()
                  .ends_with("; no system prompt, as it has none; the chat template, and not this program, writes an "
                             "empty system block where "
                             "no system prompt is given"))
      << result.errors;
}

TEST_F(InstructModel, WithoutATemplateNothingIsSaidOfIt) {
  for (const std::string name : {"smollm2", "macro", "mistral"}) {
    make_instruct_model(name, name);
    const Result result = run("generate --raw --prompt ask --max-new-tokens 1 --model " + name);
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.errors, "") << name;
  }
}

TEST_F(InstructModel, AnotherKindIsNamedAndNeedsAChoice) {
  write("train.jsonl", conversation("ask", "good way", "quality:4"));
  for (const auto& [name, marker] : std::vector<std::pair<std::string, std::string>>{
           {"mistral", "[INST]"}, {"gemma", "<start_of_turn>"}, {"zephyr", "<|user|>"}}) {
    make_instruct_model(name, name);
    for (const std::string command :
         {"generate --prompt ask --max-new-tokens 1 --model ", "chat --max-new-tokens 1 </dev/null --model ",
          "score --input train.jsonl --output - --model ", "data show-mask --input train.jsonl --model "}) {
      expect_refused(run(command + name), 2, marker);
      expect_refused(run(command + name), 2, "--template NAME");
      EXPECT_EQ(run(command + name + " --template chatml").code, 0);
    }
    EXPECT_EQ(run("generate --raw --prompt ask --max-new-tokens 1 --model " + name).code, 0);
    const Result info = run("model info --model " + name);
    ASSERT_EQ(info.code, 0) << info.errors;
    EXPECT_TRUE(parse_json(info.output, "info", ExitCode::data).at("template").at("name").is_null());
    write_recipe("sft.yaml", "sft", "model: {path: " + name + "}\nattributes: {names: [quality]}\n");
    expect_refused(run("sft sft.yaml"), 2, "template.name: NAME");
    EXPECT_FALSE(exists("runs/sft.yaml"));
    EXPECT_EQ(run("sft sft.yaml template.name=steerlm --dry-run").code, 0);
  }
}

TEST_F(InstructModel, WithoutAChatTemplateItIsTheDefault) {
  make_instruct_model("base", "");
  const Result result = run("generate --model base --prompt ask --max-new-tokens 1");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.errors, "");
  const Json info = parse_json(run("model info --model base").output, "info", ExitCode::data).at("template");
  EXPECT_EQ(info.at("name"), "steerlm");
  EXPECT_NE(info.at("why").get<std::string>().find("the default"), std::string::npos);
  EXPECT_EQ(parse_json(run("model info --model base --template llama3").output, "info", ExitCode::data)
                .at("template")
                .at("why"),
            "--template");
}

TEST_F(InstructModel, AMisspeltNameGetsASuggestion) {
  make_instruct_model("smol", "smollm2");
  for (const std::string command :
       {"generate --prompt ask", "chat", "score --input x --output -", "model info", "data show-mask --input x"}) {
    expect_refused(run(command + " --model smol --template chatlm"), 2, "did you mean 'chatml'?");
  }
}

TEST_F(InstructModel, ATrainedFolderKeepsItsTemplate) {
  make_instruct_model("smol", "smollm2");
  write("train.jsonl", conversation("ask", "good way", "quality:4"));
  write_recipe("sft.yaml", "sft", "model: {path: smol}\nattributes: {names: [quality]}\n");
  ASSERT_EQ(run("sft sft.yaml").code, 0) << read("err.txt");
  const Result generated = run("generate --model runs/sft.yaml/model --prompt ask --max-new-tokens 1");
  EXPECT_EQ(generated.code, 0);
  EXPECT_EQ(generated.errors, "");  // steerlm.json says it
  expect_refused(run("generate --model runs/sft.yaml/model --prompt ask --template llama3"), 2, "--template");
  EXPECT_EQ(run("generate --model runs/sft.yaml/model --prompt ask --max-new-tokens 1 --template chatml").code, 0);
  write("evaluate.yaml",
        "stage: evaluate\nrun_dir: runs/evaluate\nmodel: {path: runs/sft.yaml/model}\ndata: {validation: [{path: "
        "train.jsonl}]}\n");
  expect_refused(run("evaluate evaluate.yaml template.name=plain"), 2, "template.name");
  // The recipe that it wrote is the same run.
  const std::string recipe = read("runs/sft.yaml/recipe.yaml");
  EXPECT_NE(recipe.find("name: chatml"), std::string::npos) << recipe;
  std::filesystem::copy(path("runs/sft.yaml/recipe.yaml"), path("again.yaml"));
  ASSERT_EQ(run("sft again.yaml run_dir=runs/again").code, 0) << read("err.txt");
  EXPECT_EQ(read("runs/again/model/model.safetensors"), read("runs/sft.yaml/model/model.safetensors"));
}

// ---- which token of ChatML a head reads: its end marker, or, trained elsewhere, the last of the text ----

class InstructReward : public InstructModel {
 protected:
  // A LoRA predictor on a base that pads with `pad`.
  void train(const std::string& pad) {
    make_instruct_model("smol", "smollm2");
    const Tokenizer tokenizer = Tokenizer::load(path("smol"));
    std::vector<std::int32_t> ids;
    if (pad == "\n") tokenizer.append_continuation(pad, ids);
    pad_ = ids.empty() ? tokenizer.piece_id(pad).value() : ids.back();
    Json config = json("smol/config.json");
    config["pad_token_id"] = pad_;
    write("smol/config.json", config.dump());
    std::string lines;
    for (int i = 0; i < 12; ++i)
      lines += conversation("ask " + std::to_string(i), std::string(static_cast<size_t>(1 + i % 5), 'a'),
                            "quality:" + std::to_string(i % 5) + ",humor:" + std::to_string(4 - i % 5));
    write("train.jsonl", lines);
    write("predictor.yaml",
          "stage: train-predictor\nrun_dir: run\nmodel: {path: smol}\nattributes: {names: [quality, humor], min: 0, "
          "max: 4}\nhead: {kind: regression, bias: false}\nlora: {rank: 2}\noptimizer: {learning_rate: 1e-2}\n"
          "data: {train: [{path: train.jsonl}], validation_fraction: 0.4, max_tokens: 512}\n"
          "train: {steps: 4, batch_size: 4}\n");
    const Result trained = run("train-predictor predictor.yaml");
    ASSERT_EQ(trained.code, 0) << trained.errors;
  }
  Json json(const std::string& name) const { return parse_json(read(name), name, ExitCode::data); }
  // Of the first attribute or label.
  std::vector<double> scores(const std::string& folder) const {
    const Result result = run("score --input train.jsonl --output - --model " + folder);
    std::vector<double> values;
    for (const Json& line : json_lines(result.output))
      values.push_back(line.at("scores").contains("quality") ? line.at("scores").at("quality").get<double>()
                                                             : line.at("scores").at("LABEL_0").get<double>());
    EXPECT_EQ(values.size(), 12u) << result.errors;
    return values;
  }

  std::int64_t pad_ = -1;
};

// Validation during training reads what the trained folder reads.
TEST_F(InstructReward, ATrainedHeadReadsTheEndMarkerAlsoWhereTheBasePadsWithIt) {
  train("<|im_end|>");
  EXPECT_NE(read("run/model/README.md").find("num_labels=2, pad_token_id=None"), std::string::npos);
  const std::vector<Json> held_out = json_lines(read("run/validation.jsonl"));
  ASSERT_GT(held_out.size(), 2u);
  double error = 0;
  for (const Json& line : held_out)
    error += std::abs(line.at("scores").at("quality").get<double>() - line.at("labels").at("quality").get<double>());
  const Json last = json_lines(read("run/metrics.jsonl")).back();
  EXPECT_NEAR(last.at("validation/mae/quality").get<double>(), error / static_cast<double>(held_out.size()), 1e-5);
  const std::vector<double> adapter = scores("run/model");
  ASSERT_EQ(run("model merge --model run/model --output merged").code, 0);
  EXPECT_FALSE(json("merged/config.json").contains("pad_token_id"));
  const std::vector<double> merged = scores("merged");
  for (size_t i = 0; i < adapter.size(); ++i) EXPECT_NEAR(merged[i], adapter[i], 1e-5) << i;
}

TEST_F(InstructReward, AHeadOfAnotherMakersKeepsItsScoresMergedAndNamed) {
  train("\n");
  const std::vector<double> own = scores("run/model");
  std::filesystem::remove(path("run/model/steerlm.json"));
  std::filesystem::copy(path("smol/tokenizer_config.json"), path("run/model/tokenizer_config.json"),
                        std::filesystem::copy_options::overwrite_existing);
  const std::vector<double> foreign = scores("run/model");
  Json config = json("smol/config.json");
  config.erase("pad_token_id");
  write("smol/config.json", config.dump());
  const std::vector<double> behind = scores("run/model");  // at the line end behind the marker
  config["pad_token_id"] = pad_;
  write("smol/config.json", config.dump());
  ASSERT_EQ(run("model merge --model run/model --output merged").code, 0);
  EXPECT_EQ(json("merged/config.json").at("pad_token_id"), pad_);
  write("run/model/steerlm.json", R"({"attributes": {"names": ["quality", "humor"], "min": 0, "max": 4}})");
  const std::vector<double> named = scores("run/model"), merged = scores("merged");
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_NEAR(foreign[i], own[i], 1e-5) << "the line end is padding: " << i;
    EXPECT_NE(behind[i], own[i]) << i;
    EXPECT_NEAR(named[i], foreign[i], 1e-5) << i;
    EXPECT_NEAR(merged[i], foreign[i], 1e-5) << i;
  }
  config.erase("pad_token_id");
  write("smol/config.json", config.dump());
  ASSERT_EQ(run("model merge --model run/model --output whole").code, 0);
  const std::vector<double> whole = scores("whole"), again = scores("run/model");
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_NEAR(again[i], behind[i], 1e-5) << i;
    EXPECT_NEAR(whole[i], behind[i], 1e-5) << i;
  }
}

TEST_F(InstructModel, AStepOfAPipelineFindsItToo) {
  make_instruct_model("smol", "smollm2");
  write("train.jsonl", conversation("ask", "good way"));
  write("pipeline.yaml",
        "stage: pipeline\nrun_dir: all\nsteps:\n  - {name: sft, stage: sft, model: {path: smol}, data: {train: [{path: "
        "train.jsonl}], max_tokens: 512}, train: {steps: 1, batch_size: 1}}\n");
  const Result result = run("pipeline pipeline.yaml");
  expect_says(result, said);
  const Json json = steerlm_json("all/sft/model");
  EXPECT_EQ(json.at("template").at("name"), "chatml");
  EXPECT_EQ(json.at("attributes").at("names"), Json::array());
  expect_says(run("pipeline pipeline.yaml"), "done already");
}

// ---- dials are for data that has labels ----

class Dials : public InstructModel {
 protected:
  void SetUp() override { make_instruct_model("base", ""); }
  void expect_no_dials(const std::string& folder) {
    EXPECT_EQ(steerlm_json(folder).at("attributes").at("names"), Json::array());
    const std::string card = read(folder + "/README.md");
    EXPECT_NE(card.find("# Chat model"), std::string::npos) << card;
    EXPECT_EQ(card.find("## Attributes"), std::string::npos) << card;
    EXPECT_EQ(card.find("--set"), std::string::npos) << card;
    const Json config = parse_json(read(folder + "/tokenizer_config.json"), "config", ExitCode::model);
    EXPECT_EQ(config.at("chat_template").get<std::string>().find("steerlm_dial"), std::string::npos);
  }
};

TEST_F(Dials, DataWithoutALabelGivesNone) {
  write("train.jsonl", conversation("ask", "good way") + conversation("more", "of it"));
  write_recipe("sft.yaml", "sft", "model: {path: base}\n");
  expect_says(run("sft sft.yaml"), "no training record has a label: the model gets no attributes and no dials");
  expect_no_dials("runs/sft.yaml/model");
  EXPECT_NE(read("runs/sft.yaml/recipe.yaml").find("names: []"), std::string::npos);
  expect_says(run("sft sft.yaml"), "finished already");
  expect_refused(run("generate --model runs/sft.yaml/model --prompt ask --set quality=4"), 2, "no dials");
}

TEST_F(Dials, LabelsThatAreDroppedAreNone) {
  write("train.jsonl", conversation("ask", "good way", "quality:4"));
  write_recipe("sft.yaml", "sft", "model: {path: base}\n");
  expect_says(run("sft sft.yaml data.train[0].labels=drop"), "no training record has a label");
  expect_no_dials("runs/sft.yaml/model");
}

TEST_F(Dials, StandardInputGivesNoneToo) {
  write("train.jsonl", conversation("ask", "good way"));
  write_recipe("sft.yaml", "sft", "model: {path: base}\n");
  expect_says(run("sft sft.yaml data.train[0].path=- <train.jsonl"), "no training record has a label");
  expect_no_dials("runs/sft.yaml/model");
}

TEST_F(Dials, AnEmptyListAsksForNone) {
  write("train.jsonl", conversation("ask", "good way"));
  write_recipe("sft.yaml", "sft", "model: {path: base}\nattributes: {names: []}\n");
  ASSERT_EQ(run("sft sft.yaml").code, 0) << read("err.txt");
  expect_no_dials("runs/sft.yaml/model");
  write("train.jsonl", conversation("ask", "good way", "quality:4"));
  expect_says(run("sft sft.yaml run_dir=labelled"), "warning: 1 answers have labels, but attributes.names is empty");
  // Nor does the template plain write them, whatever names are given.
  const std::string plain = "sft sft.yaml run_dir=plain template.name=plain attributes.names=[quality] --dry-run ";
  expect_says(run(plain), "warning: 1 answers have labels, but template.name is plain, which writes none");
  EXPECT_EQ(run(plain + "data.train[0].labels=drop").errors.find("have labels"), std::string::npos);
  for (const std::string stage : {"train-predictor", "bootstrap"}) {
    write_recipe("other.yaml", stage, "model: {path: base}\nattributes: {names: []}\n");
    expect_refused(run(stage + " other.yaml"), 2, "at least one attribute");
  }
  write("evaluate.yaml",
        "stage: evaluate\nrun_dir: e\nmodel: {path: base}\npredictor: base\ndata: {validation: [{path: train.jsonl}]}\n"
        "dials: {prompts: [{path: train.jsonl}]}\nattributes: {names: []}\n");
  expect_refused(run("evaluate evaluate.yaml"), 2, "at least one attribute");
}

TEST_F(Dials, NamesWithoutALabelAreAnErrorAndTheAdviceHelps) {
  write("train.jsonl", conversation("ask", "good way"));
  write_recipe("sft.yaml", "sft", "model: {path: base}\nattributes: {names: [quality]}\n");
  expect_refused(run("sft sft.yaml"), 3, "no training record has a label");
  expect_refused(run("sft sft.yaml"), 3, "attributes: {names: []}");
  EXPECT_EQ(run("sft sft.yaml attributes.names=[] --fresh").code, 0) << read("err.txt");
  // Dropping what is there is done on purpose: a control that has the dials and never saw a label.
  write("train.jsonl", conversation("ask", "good way", "quality:4"));
  expect_says(run("sft sft.yaml data.train[0].labels=drop run_dir=control"), "nothing teaches it these dials");
  EXPECT_EQ(steerlm_json("control/model").at("attributes").at("names"), Json({"quality"}));
}

TEST_F(Dials, ThoseOfTheBaseFolderNeedLabelsTooOrAreGivenUp) {
  write("train.jsonl", conversation("ask", "good way", "quality:4"));
  write_recipe("first.yaml", "sft", "model: {path: base}\nattributes: {names: [quality], min: 0, max: 4}\n");
  ASSERT_EQ(run("sft first.yaml").code, 0) << read("err.txt");
  write("train.jsonl", conversation("ask", "good way"));
  write_recipe("sft.yaml", "sft", "model: {path: runs/first.yaml/model}\n");
  expect_refused(run("sft sft.yaml"), 3, "no training record has a label");
  ASSERT_EQ(run("sft sft.yaml attributes.names=[] --fresh").code, 0) << read("err.txt");
  expect_no_dials("runs/sft.yaml/model");
}

}  // namespace
}  // namespace steerlm
