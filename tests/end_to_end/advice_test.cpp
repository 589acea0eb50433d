// What a message about a model folder, a text, a record or an output advises is done word by word, and then it works.
#include "end_to_end/program.h"

namespace steerlm {
namespace {

struct Advice {
  const char* name;
  std::string make;      // shell text that makes the situation
  std::string command;   // is refused
  std::string advice;    // is in the message
  std::string followed;  // shell text that does what the message says, and then the work
};

void PrintTo(const Advice& advice, std::ostream* out) { *out << advice.name; }

class FollowedAdvice : public Program, public testing::WithParamInterface<Advice> {
 protected:
  void SetUp() override {
    make_model("classifier", "predictor", R"("quality", "humor", "length")");
    copy_model("untied", "base");
    copy_model("tied", "shards");
    std::string lines;
    for (int i = 0; i < 6; ++i)
      lines += conversation("question " + std::to_string(i), "answer", "quality:" + std::to_string(i % 5) + ",humor:1");
    write("train.jsonl", lines);
    write("long.jsonl", conversation("question", std::string(100, 'x'), "quality:1"));
    write("good.jsonl", conversation("question", "answer"));
    const std::string recipe =
        "model: {path: base}\nattributes: {names: [quality, humor], min: 0, max: 4}\n"
        "data: {train: [{path: train.jsonl}], max_tokens: 250}\nrun_dir: run\ntrain: {steps: 1, batch_size: 4}\n";
    write("sft.yaml", "stage: sft\ntemplate: {system: Be good.}\n" + recipe);
    write("lora.yaml", "stage: sft\nlora: {rank: 4}\n" + recipe);
    write("predictor.yaml", "stage: train-predictor\nhead: {kind: language_model}\n" + recipe);
    write("annotate.yaml",
          "stage: annotate\npredictor: predictor\ninput: good.jsonl\noutput: out.jsonl\nrun_dir: annotated\n");
    // What fetches something fetches it from the folder `remote` here.
    std::filesystem::create_directory(path("bin"));
    std::filesystem::create_symlink(STEERLM_PROGRAM, path("bin/steerlm"));
    write("bin/git", "#!/bin/sh\n[ \"$*\" = 'lfs pull' ] && cp ../remote/* .\n");
    write("bin/hf",
          "#!/bin/sh\n[ \"$1 $2 $3\" = 'download owner/name --local-dir' ] && mkdir -p \"$4\" && "
          "cp remote/* \"$4\"\n");
    for (const char* program : {"bin/git", "bin/hf"})
      std::filesystem::permissions(path(program), std::filesystem::perms::owner_all);
  }

  // `text` finds the programs above, and the program under test as steerlm.
  void shell(const std::string& text) const {
    const std::string line = "cd '" + path("").string() + "' && export PATH=\"$PWD/bin:$PATH\" && { " +
                             (text.empty() ? "true" : text) + "\n} >shell.txt 2>&1";
    ASSERT_EQ(std::system(line.c_str()), 0) << text << "\n" << read("shell.txt");
  }
};

TEST_P(FollowedAdvice, Works) {
  const Advice& test = GetParam();
  if (test.followed.find("jq -c") != std::string::npos && std::system("command -v jq >/dev/null") != 0)
    GTEST_SKIP() << "no jq here";
  ASSERT_NO_FATAL_FAILURE(shell(test.make));
  const Result refused = run(test.command);
  EXPECT_NE(refused.code, 0);
  EXPECT_NE((refused.output + refused.errors).find(test.advice), std::string::npos)
      << "expected: " << test.advice << "\nfound: " << refused.output << refused.errors;
  shell(test.followed);
}

std::string generate(const std::string& model) {
  return "generate --model " + model + " --prompt hi --max-new-tokens 2";
}
std::string unknown_key(const std::string& file) { return "sed -i '0,/{/s//{\"frobnicate\": 3,/' " + file; }
std::string without_key(const std::string& file) { return "sed -i 's/\"frobnicate\": 3,//' " + file + " && steerlm "; }
std::string lines(const std::string& file, const std::string& text) { return "echo '" + text + "' > " + file; }
std::string turns(const std::string& user, const std::string& assistant, const std::string& more = "") {
  return R"({"conversations":[{"from":"User",)" + user + R"(},{"from":"Assistant",)" + assistant + "}]" + more + "}";
}

const std::string lfs_pointer = "cp -r base remote && echo 'version https://git-lfs.github.com/spec/v1' > base/";
const std::string adapter = "steerlm sft lora.yaml";
const std::string model = "steerlm sft sft.yaml";
const std::string other_base =
    adapter + " && cp -r run/model second && sed -i 's#\"base\"#\"BASE\"#' second/adapter_config.json";

INSTANTIATE_TEST_SUITE_P(
    ModelFolders, FollowedAdvice,
    testing::Values(
        Advice{"unknown_key", unknown_key("base/config.json"), generate("base"),
               "if it does not, take it out of the file", without_key("base/config.json") + generate("base")},
        Advice{"unknown_key_of_a_tokenizer", unknown_key("base/tokenizer_config.json"), generate("base"),
               "if it does not, take it out of the file", without_key("base/tokenizer_config.json") + generate("base")},
        Advice{"unknown_key_of_an_adapter", adapter + " && " + unknown_key("run/model/adapter_config.json"),
               generate("run/model"), "if it does not, take it out of the file",
               without_key("run/model/adapter_config.json") + generate("run/model")},
        Advice{"bare_trunk", "sed -i s/LlamaForCausalLM/LlamaModel/ shards/config.json", generate("shards"),
               "expected LlamaForCausalLM); where the embedding is the output layer ('tie_word_embeddings'), set "
               "'architectures' to it",
               "sed -i s/LlamaModel/LlamaForCausalLM/ shards/config.json && steerlm " + generate("shards")},
        Advice{"missing_shard", "mkdir remote && mv shards/model-00002* remote", generate("shards"),
               "the folder is incomplete; fetch it again", "mv remote/* shards && steerlm " + generate("shards")},
        Advice{"file_of_a_folder", "", generate("base/model.safetensors"), "name the folder that it is in",
               "steerlm " + generate("base")},
        Advice{"name_on_the_hub", "cp -r base remote", generate("owner/name"),
               "fetch it first: hf download owner/name --local-dir owner/name",
               "hf download owner/name --local-dir owner/name && steerlm " + generate("owner/name")},
        Advice{"base_on_the_hub",
               other_base + " && cp -r base remote && sed -i s#BASE#owner/name# second/adapter_config.json",
               generate("second"), "fetch it first: hf download owner/name --local-dir owner/name",
               "hf download owner/name --local-dir owner/name && steerlm " + generate("second")},
        Advice{"weights_in_git_lfs", lfs_pointer + "model.safetensors", generate("base"),
               "run 'git lfs pull' in the folder that it was cloned into",
               "(cd base && git lfs pull) && steerlm " + generate("base")},
        Advice{"config_in_git_lfs", lfs_pointer + "config.json", generate("base"),
               "run 'git lfs pull' in the folder that it was cloned into",
               "(cd base && git lfs pull) && steerlm " + generate("base")},
        Advice{"tokenizer_in_git_lfs", lfs_pointer + "tokenizer.model", generate("base"),
               "fetch the file with 'git lfs pull'", "(cd base && git lfs pull) && steerlm " + generate("base")},
        Advice{"export_of_an_adapter", adapter, "model export --model run/model --output out --dtype bf16",
               "merge it first: steerlm model merge --model 'run/model' --output DIR",
               "steerlm model merge --model 'run/model' --output DIR && "
               "steerlm model export --model DIR --output out --dtype bf16"},
        Advice{"run_directory", model, generate("run"), "name the model in it: run/model",
               "steerlm " + generate("run/model")},
        Advice{"quoted_adapter", adapter + R"( && mv run/model "it's one")",
               R"(model export --model "it's one" --output out --dtype bf16)",
               R"(merge it first: steerlm model merge --model 'it'\''s one' --output DIR)",
               R"(steerlm model merge --model 'it'\''s one' --output DIR && )"
               "steerlm model export --model DIR --output out --dtype bf16"},
        Advice{"another_adapter", adapter, "sft lora.yaml model.path=run/model run_dir=more lora.rank=2",
               "merge it first: steerlm model merge --model 'run/model' --output DIR",
               "steerlm model merge --model 'run/model' --output DIR && "
               "steerlm sft lora.yaml model.path=DIR run_dir=more lora.rank=2"},
        Advice{"adapter_of_an_adapter", other_base + " && sed -i s#BASE#run/model# second/adapter_config.json",
               generate("second"),
               "merge that one first: steerlm model merge --model 'run/model' --output DIR; then this one: steerlm "
               "model merge --model 'second' --base DIR --output MERGED",
               "steerlm model merge --model 'run/model' --output DIR && "
               "steerlm model merge --model 'second' --base DIR --output MERGED && steerlm " +
                   generate("MERGED")},
        Advice{"base_of_another_place", adapter + " && mkdir there && mv base there", generate("run/model"),
               "run where this path leads to it", "cd there && steerlm " + generate("../run/model")},
        Advice{"base_of_another_name", adapter + " && mv base DIR", generate("run/model"),
               "or name its folder: steerlm model merge --model 'run/model' --base DIR --output MERGED",
               "steerlm model merge --model 'run/model' --base DIR --output MERGED && steerlm " + generate("MERGED")},
        Advice{"beyond_fp16",
               "truncate -s -4 base/model.safetensors && printf '\\000\\044\\164\\111' >> base/model.safetensors",
               "model export --model base --output out --dtype fp16",
               "write it in a dtype of a wider range, bf16 or fp32",
               "steerlm model export --model base --output out --dtype bf16"}),
    [](const auto& test) { return test.param.name; });

const std::string unknown_template = "echo '{{ messages[0].content | frobnicate }}' > base/chat_template.jinja";

INSTANTIATE_TEST_SUITE_P(
    Templates, FollowedAdvice,
    testing::Values(
        Advice{"option", model, generate("run/model") + " --template plain",
               "leave the option out: the model was trained with the folder's", "steerlm " + generate("run/model")},
        Advice{"key", model, "sft sft.yaml model.path=run/model run_dir=more template.system=Other",
               "leave the key out, or start from another model",
               "steerlm sft sft.yaml model.path=run/model run_dir=more"},
        Advice{"other_model", model, "sft sft.yaml model.path=run/model run_dir=more template.system=Other",
               "leave the key out, or start from another model",
               "steerlm sft sft.yaml model.path=base run_dir=more template.system=Other"},
        Advice{"unknown", unknown_template, generate("base"),
               "choose with --template NAME one of steerlm, plain, chatml, llama3",
               "for name in steerlm plain; do steerlm " + generate("base") + " --template $name || exit 1; done"},
        Advice{"none", unknown_template, generate("base"), "`steerlm generate --raw` writes no template at all",
               "steerlm " + generate("base") + " --raw"},
        Advice{"unknown_in_a_recipe", unknown_template, "sft sft.yaml",
               "choose with template.name: NAME one of steerlm", "steerlm sft sft.yaml template.name=steerlm"},
        Advice{"markers_of_another_family", "", generate("base") + " --template chatml",
               "or use template.name: steerlm, on the command line --template steerlm",
               "steerlm " + generate("base") + " --template steerlm"},
        Advice{"markers_of_another_family_in_a_recipe", "", "sft sft.yaml template.name=llama3",
               "or use template.name: steerlm", "steerlm sft sft.yaml template.name=steerlm"},
        Advice{"no_markers", "", "sft sft.yaml template.special_tokens=added",
               "add the markers with 'steerlm model add-tokens --model MODEL --output DIR'",
               "steerlm model add-tokens --model base --output DIR && "
               "steerlm sft sft.yaml template.special_tokens=added model.path=DIR"},
        Advice{"markers_as_text", "", "sft sft.yaml template.special_tokens=added",
               "or use template.special_tokens: text", "steerlm sft sft.yaml template.special_tokens=text"},
        Advice{"changed", model + " && sed -i 's/Be good/Be bad/' run/model/steerlm.json", generate("run/model"),
               "restore 'template' in steerlm.json",
               "sed -i 's/Be bad/Be good/' run/model/steerlm.json && steerlm " + generate("run/model")},
        Advice{"changed_on_purpose", model + " && sed -i 's/Be good/Be bad/' run/model/steerlm.json",
               generate("run/model"), "without 'sha256' it is taken as it is",
               "sed -i -e '/\"sha256\"/d' -e 's/\"text\",$/\"text\"/' run/model/steerlm.json && steerlm " +
                   generate("run/model")},
        Advice{"predictor_of_plain_text", "", "train-predictor predictor.yaml template.name=plain",
               "use template.name: steerlm", "steerlm train-predictor predictor.yaml template.name=steerlm"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Inference, FollowedAdvice,
    testing::Values(
        Advice{"empty_prompt",
               "sed -i 's/\"add_bos_token\": true/\"add_bos_token\": false/' base/tokenizer_config.json",
               "generate --model base --raw --max-new-tokens 2 --prompt ''", "give the model a text to go on from",
               "steerlm generate --model base --raw --max-new-tokens 2 --prompt text"},
        Advice{"output_in_no_folder", "", generate("base") + R"( --output "it's new/out.jsonl")",
               R"(make it first: mkdir -p 'it'\''s new')",
               R"(mkdir -p 'it'\''s new' && steerlm )" + generate("base") + R"( --output "it's new/out.jsonl")"},
        Advice{"values_of_one_digit", "", "train-predictor predictor.yaml attributes.max=12 --dry-run",
               "or on labels of one digit (attributes.min: 0 or more, attributes.max: 9 or less)",
               "steerlm train-predictor predictor.yaml attributes.max=9 && "
               "steerlm annotate annotate.yaml predictor=run/model"},
        Advice{"values_without_a_sign", "", "train-predictor predictor.yaml attributes.min=-2",
               "or on labels of one digit (attributes.min: 0 or more, attributes.max: 9 or less)",
               "steerlm train-predictor predictor.yaml attributes.min=0 && "
               "steerlm annotate annotate.yaml predictor=run/model"},
        Advice{"values_of_a_score", "", "train-predictor predictor.yaml attributes.min=-2 attributes.max=12",
               "train the predictor with head.kind: regression",
               "steerlm train-predictor predictor.yaml attributes.min=-2 attributes.max=12 head.kind=regression && "
               "steerlm annotate annotate.yaml predictor=run/model"},
        Advice{"values_of_a_folder",
               "steerlm train-predictor predictor.yaml && sed -i 's/\"max\": 4/\"max\": 12/' run/model/steerlm.json",
               "annotate annotate.yaml predictor=run/model --dry-run", "or on labels of one digit",
               "steerlm train-predictor predictor.yaml attributes.max=9 run_dir=new && "
               "steerlm annotate annotate.yaml predictor=new/model"}),
    [](const auto& test) { return test.param.name; });

const std::string too_long =
    "sft sft.yaml data.train='[train.jsonl, long.jsonl]' data.over_length=error data.max_tokens=110";
const std::string some_context =
    R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":0},)"
    R"({"role":"user","content":"q"},{"role":"assistant","content":"a"}]})";

INSTANTIATE_TEST_SUITE_P(
    Records, FollowedAdvice,
    testing::Values(
        Advice{
            "longer_than_allowed", "", too_long, "raise data.max_tokens",
            "steerlm sft sft.yaml data.train='[train.jsonl, long.jsonl]' data.over_length=error data.max_tokens=250"},
        Advice{"dropped", "", too_long, "or set data.over_length to drop or truncate",
               "steerlm " + too_long + " data.over_length=drop"},
        Advice{"cut_off", "", too_long, "or set data.over_length to drop or truncate",
               "steerlm " + too_long + " data.over_length=truncate"},
        Advice{"context_in_plain", lines("some.jsonl", some_context),
               "sft sft.yaml template.name=plain data.train=some.jsonl", "use another template, or take the record out",
               "steerlm sft sft.yaml data.train=some.jsonl template.name=steerlm attributes.names=[]"},
        Advice{"no_target",
               lines("some.jsonl",
                     turns(R"("value":"q")", R"("value":"a","label":"quality:1")", R"(,"mask":"Assistant")")),
               "sft sft.yaml data.train=some.jsonl", "or correct its 'mask'",
               "sed -i 's/\"mask\":\"Assistant\"/\"mask\":\"User\"/' some.jsonl && steerlm sft sft.yaml "
               "data.train=some.jsonl"},
        Advice{"every_bad_record", lines("some.jsonl", "{}"), "sft sft.yaml data.train=some.jsonl",
               "`steerlm data check` with this recipe lists every bad record",
               "steerlm data check sft.yaml data.train=some.jsonl | grep -q '^some.jsonl:1: '"},
        Advice{"every_bad_label", lines("some.jsonl", turns(R"("value":"q")", R"("value":"a","label":"quality:9")")),
               "sft sft.yaml data.train=some.jsonl", "`steerlm data check` with this recipe lists every bad record",
               "steerlm data check sft.yaml data.train=some.jsonl | grep -q '^some.jsonl:1: turn 2: the label'"},
        Advice{"every_bad_record_of_a_file",
               lines("some.jsonl", turns(R"("value":"q")", R"("value":"a","label":"humour:1")")),
               "data convert --input some.jsonl --output -",
               "`steerlm data check --input 'some.jsonl' --method steerlm` lists every bad record",
               "steerlm data check --input 'some.jsonl' --method steerlm | grep -q '^some.jsonl:1: turn 2: the label'"},
        Advice{"every_bad_record_of_a_model",
               lines("some.jsonl", turns(R"("value":"q")", R"("value":"a","label":"quality:9")")),
               "data show-mask --model predictor --input some.jsonl",
               "of a file with --input FILE and the --attributes, --min and --max of the model",
               "steerlm data check --input some.jsonl --attributes quality,humor,length --min 0 --max 4 | "
               "grep -q '^some.jsonl:1: turn 2: the label'"},
        Advice{
            "misspelt_role",
            lines("some.jsonl", R"({"conversations":[{"from":"Usr","value":"q"},{"from":"Assistant","value":"a"}]})"),
            "data check --input some.jsonl", "did you mean 'User'?",
            "sed -i s/Usr/User/ some.jsonl && steerlm data check --input some.jsonl"},
        Advice{"misspelt_type",
               lines("some.jsonl", turns(R"("value":"q")", R"("value":"a")", R"(,"type":"VALUE_TO_TXT")")),
               "data check --input some.jsonl", "did you mean 'VALUE_TO_TEXT'?",
               "sed -i s/VALUE_TO_TXT/VALUE_TO_TEXT/ some.jsonl && steerlm data check --input some.jsonl"},
        Advice{"misspelt_key", "sed s/conversations/conversatons/ good.jsonl > some.jsonl",
               "data check --input some.jsonl", "did you mean 'conversations'?",
               "sed -i s/conversatons/conversations/ some.jsonl && steerlm data check --input some.jsonl"},
        Advice{"labels_of_something_else", lines("some.jsonl", turns(R"("value":"q")", R"("value":"a","label":3)")),
               "sft sft.yaml data.train='[{path: some.jsonl}, {path: train.jsonl}]'",
               "labels of something else are left out with labels: drop on a recipe's source",
               "steerlm sft sft.yaml data.train='[{path: some.jsonl, labels: drop}, {path: train.jsonl}]'"},
        Advice{"labels_taken_out", lines("FILE", turns(R"("value":"q")", R"("value":"a","label":3)")),
               "score --model base --input FILE --output -", "with jq -c 'del(.. | .label?)' FILE > NEW.jsonl",
               "jq -c 'del(.. | .label?)' FILE > NEW.jsonl && steerlm score --model base --input NEW.jsonl --output -"},
        Advice{"rating_as_text", lines("some.jsonl", R"({"prompt":"a","response":"b","helpfulness":"3"})"),
               "data check --input some.jsonl", "write it without quotes",
               "sed -i 's/\"3\"/3/' some.jsonl && steerlm data check --input some.jsonl"},
        Advice{"records_inside", "echo \"{\\\"data\\\": [$(cat good.jsonl)]}\" > FILE.json",
               "data check --input FILE.json", "take them out: jq -c '.[\"data\"][]' FILE > NEW.jsonl",
               "jq -c '.[\"data\"][]' FILE.json > NEW.jsonl && steerlm data check --input NEW.jsonl"}),
    [](const auto& test) { return test.param.name; });

// Of a file with this content the message names this command, which writes what can be read.
Advice command(const char* name, const std::string& content, const std::string& said, bool packed = false) {
  return {name,
          "cat > FILE <<'END'\n" + content + "\nEND\n" + (packed ? "gzip -c FILE > packed && mv packed FILE" : ""),
          "data check --input FILE", said, said + " && steerlm data check --input NEW.jsonl"};
}

std::string alpaca(const std::string& each) {
  return "jq -c '" + each +
         R"(. + {messages: [(.history // [] | .[] | {role: "user", content: .[0]}, )"
         R"({role: "assistant", content: .[1]}), )"
         R"({role: "user", content: ([.instruction, .input] | map(select(. != null and . != "")) | join("\n\n"))}, )"
         R"({role: "assistant", content: .output}]} | del(.instruction, .input, .output, .history)')";
}
const std::string with_history = R"({"instruction":"i","input":"","output":"o","system":"S","history":[["q","a"]]})";
const std::string turns_as_python =
    R"({"messages":"[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]"})";
std::string as_lists(const std::string& rows) {
  return "python3 -c \"import ast, json, sys; [print(json.dumps({**r, 'messages': ast.literal_eval(r['messages'] or "
         "'[]')})) for r in " +
         rows + "]\"";
}
const std::string answered = R"({"prompt":"q","response":"a"})";
const std::string without_nan = "python3 -c \"import json, sys; [print(json.dumps(r)) for r in ";

INSTANTIATE_TEST_SUITE_P(
    Commands, FollowedAdvice,
    testing::Values(
        command("of_lines", with_history, alpaca("") + " FILE > NEW.jsonl"),
        command("of_an_array", "[" + with_history + "]", alpaca(".[] | ") + " FILE > NEW.jsonl"),
        command("of_packed_lines", with_history, "gzip -dc FILE | " + alpaca("") + " > NEW.jsonl", true),
        command("of_a_packed_array", "[" + with_history + "]", "gzip -dc FILE | " + alpaca(".[] | ") + " > NEW.jsonl",
                true),
        command("of_lists_of_python", turns_as_python, as_lists("map(json.loads, sys.stdin)") + " < FILE > NEW.jsonl"),
        command("of_lists_of_python_in_an_array", "[" + turns_as_python + "]",
                as_lists("json.load(sys.stdin)") + " < FILE > NEW.jsonl"),
        command("of_packed_lists_of_python", turns_as_python,
                "gzip -dc FILE | " + as_lists("map(json.loads, sys.stdin)") + " > NEW.jsonl", true),
        command("of_lists_in_texts",
                R"({"messages":"[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]"})",
                "jq -c '(.messages | strings) |= fromjson' FILE > NEW.jsonl"),
        command("of_turns_that_are_texts", R"({"conversations":["q","a"]})",
                "jq -c '.conversations |= [to_entries[] | {from: (if .key % 2 == 0 then \"user\" else \"assistant\" "
                "end), value: .value}]' FILE > NEW.jsonl"),
        command("of_one_conversation", R"([{"role":"user","content":"q"},{"role":"assistant","content":"a"}])",
                "jq -c -n '{messages: input}' FILE > NEW.jsonl"),
        command("of_one_conversation_in_lines",
                "{\"role\":\"user\",\"content\":\"q\"}\n{\"role\":\"assistant\",\"content\":\"a\"}",
                "jq -c -n '{messages: [inputs]}' FILE > NEW.jsonl"),
        command("of_ratings_from_1", R"({"prompt":"q","response":"a","helpfulness":5,"verbosity":1})",
                "jq -c '(.helpfulness, .correctness, .coherence, .complexity, .verbosity | numbers) -= 1' FILE > "
                "NEW.jsonl"),
        command("of_labels_with_spaces", turns(R"("value":"q")", R"("value":"a","label":"quality: 3")"),
                "jq -c '(.. | objects | .label | strings) |= gsub(\" \"; \"\")' FILE > NEW.jsonl"),
        command("of_labels_with_decimals", turns(R"("value":"q")", R"("value":"a","label":"quality:3.0,humor:1")"),
                "jq -c '(.. | objects | .label | strings) |= (split(\",\") | map(split(\":\") | "
                "\"\\(.[0]):\\(.[1] | tonumber | round)\") | join(\",\"))' FILE > NEW.jsonl"),
        command("of_objects_without_lines", answered + answered, "jq -c . FILE > NEW.jsonl"),
        command("of_lines_with_commas", answered + ",\n" + answered, "sed 's/,[[:space:]]*$//' FILE > NEW.jsonl"),
        command(
            "of_no_numbers", R"({"prompt":"q","response":"a","score":NaN,"low":-Infinity})",
            without_nan +
                "(json.loads(l, parse_constant=lambda c: None) for l in sys.stdin if l.strip())]\" < FILE > NEW.jsonl"),
        command("of_no_numbers_in_an_array", R"([{"prompt":"q","response":"a","score":NaN}])",
                without_nan + "json.load(sys.stdin, parse_constant=lambda c: None)]\" < FILE > NEW.jsonl"),
        command("of_separators", "\x1e" + answered, "tr -d '\\036' < FILE > NEW.jsonl"),
        Advice{"of_a_longer_range", lines("FILE", turns(R"("value":"q")", R"("value":"a","label":"quality:10")")),
               "data convert --input FILE --output out.jsonl", "--max 10 to `steerlm data`",
               "steerlm data convert --input FILE --output out.jsonl --max 10"},
        Advice{"of_a_range_from_below_0", lines("FILE", turns(R"("value":"q")", R"("value":"a","label":"quality:-2")")),
               "data convert --input FILE --output out.jsonl", "--min -2 to `steerlm data`",
               "steerlm data convert --input FILE --output out.jsonl --min -2"},
        Advice{"of_a_longer_range_in_a_recipe",
               lines("some.jsonl", turns(R"("value":"q")", R"("value":"a","label":"quality:7")")),
               "sft sft.yaml data.train=some.jsonl", "say so with attributes.max: 7 in a recipe",
               "steerlm sft sft.yaml data.train=some.jsonl attributes.max=7"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Files, FollowedAdvice,
    testing::Values(
        Advice{"standard_input_twice", "", "sft sft.yaml data.train='[{path: \"-\", repeat: 2}]' <train.jsonl",
               "write it to a file first",
               "cat <train.jsonl >file.jsonl && steerlm sft sft.yaml data.train='[{path: file.jsonl, repeat: 2}]'"},
        Advice{"texts", lines("some", "One text."), "data check --input some",
               "if each line is a text, give the file a name that ends in .txt",
               "mv some some.txt && steerlm data check --input some.txt"},
        Advice{"texts_by_option", lines("some", "One text."), "data check --input some",
               "--format text to `steerlm data`", "steerlm data check --input some --format text"},
        Advice{"texts_in_a_recipe", lines("some", "One text."), "sft sft.yaml data.train=some template.name=plain",
               "or say format: text in a recipe",
               "steerlm sft sft.yaml data.train='[{path: some, format: text}]' template.name=plain"},
        Advice{"not_packed", "cp good.jsonl some.gz", "data check --input some.gz", "rename it if it holds plain lines",
               "mv some.gz some.jsonl && steerlm data check --input some.jsonl"},
        Advice{"packed_utf16", "iconv -f UTF-8 -t UTF-16 good.jsonl | gzip > some.gz", "data check --input some.gz",
               "unpack it (gzip -dc some.gz > UNPACKED), then iconv -f UTF-16 -t UTF-8 UNPACKED > NEW.jsonl",
               "gzip -dc some.gz > UNPACKED && iconv -f UTF-16 -t UTF-8 UNPACKED > NEW.jsonl && "
               "steerlm data check --input NEW.jsonl"},
        Advice{"packed_archive", "tar -czf some.tar.gz good.jsonl && rm good.jsonl", "data check --input some.tar.gz",
               "unpack it (gzip -dc some.tar.gz > UNPACKED), then unpack it: tar -xf UNPACKED",
               "gzip -dc some.tar.gz > UNPACKED && tar -xf UNPACKED && steerlm data check --input good.jsonl"},
        Advice{"cut_off_download", "gzip -c good.jsonl > some.gz && cp some.gz remote && truncate -s 40 some.gz",
               "data check --input some.gz", "the copy or download was cut off; get it again",
               "cp remote some.gz && steerlm data check --input some.gz"},
        Advice{"output_in_the_way", "touch out.jsonl", "annotate annotate.yaml", "choose another output",
               "steerlm annotate annotate.yaml output=other.jsonl"},
        Advice{"output_replaced", "touch out.jsonl", "annotate annotate.yaml", "or have the file replaced: --overwrite",
               "steerlm annotate annotate.yaml --overwrite"},
        Advice{"part_left_behind", "touch out.jsonl.part", "annotate annotate.yaml",
               "another run writes it, or has left it behind: choose another output, or remove the file",
               "rm out.jsonl.part && steerlm annotate annotate.yaml"},
        Advice{"part_of_another_run", "touch out.jsonl.part", "annotate annotate.yaml",
               "another run writes it, or has left it behind: choose another output",
               "steerlm annotate annotate.yaml output=other.jsonl"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace steerlm
