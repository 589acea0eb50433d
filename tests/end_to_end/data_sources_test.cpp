// Data that is no data, and data that carries more than turns, through the stages.
#include "end_to_end/program.h"

namespace steerlm {
namespace {

class DataSources : public Program {
 protected:
  void SetUp() override {
    copy_model("untied", "model");
    write("sft.yaml",
          "stage: sft\nmodel: {path: model}\ndata: {train: [{path: train.jsonl}], max_tokens: 256}\nrun_dir: run\n"
          "train: {steps: 1, batch_size: 4}\n");
  }
};

const std::string csv = "prompt,response\nHi,Hello\n";

TEST_F(DataSources, ATableIsNeverTrainedOnAsText) {
  write("table.csv", csv);
  expect_refused(run("sft sft.yaml data.train[0].path=table.csv template.name=plain"), 3,
                 "table.csv: this is a CSV table");
  expect_refused(run("sft sft.yaml data.train[0].path=table.csv"), 3, "table.csv: this is a CSV table");
  EXPECT_FALSE(exists("run/model"));
  expect_refused(run("data check --input -", "cat table.csv |"), 3, "standard input: this is a CSV table");
  expect_refused(run("data check --input -", "echo some text |"), 3, "standard input: neither JSON lines nor");
  expect_refused(run("tokenizer train --input table.csv --output t.model --vocab-size 300"), 3, "this is a CSV table");
  // The advice works: the lines of a file that is called text, or said to be, are texts.
  EXPECT_EQ(run("data check --input - --format text", "cat table.csv |").code, 0);
  write("table.txt", csv);
  EXPECT_EQ(run("data check --input table.txt").code, 0);
}

// The way out of a table that the message names, followed word by word where the tools are there.
TEST_F(DataSources, TheWaysOutWork) {
  const std::string line = R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})";
  struct Way {
    const char* name;
    const char* make;  // shell text that makes the file from good.jsonl
    const char* needs;
  };
  write("good.jsonl", line + "\n");
  write("pretty.json", "{\n  \"messages\": [\n    {\"role\": \"user\", \"content\": \"a\"}\n  ]\n}\n");
  for (const Way& way :
       {Way{"a.xz", "xz -c good.jsonl > a.xz", "xz"}, Way{"a.bz2", "bzip2 -c good.jsonl > a.bz2", "bzip2"},
        Way{"a.lz4", "lz4 -c good.jsonl > a.lz4", "lz4"},
        Way{"a.jsonl", "iconv -f UTF-8 -t UTF-16 good.jsonl > a.jsonl", "iconv"}, Way{"pretty.json", "true", "jq"}}) {
    if (std::system(("command -v " + std::string(way.needs) + " >/dev/null").c_str()) != 0) continue;
    const Result refused = run("data check --input " + std::string(way.name), std::string(way.make) + " &&");
    expect_refused(refused, 3, std::string(way.name) + ": this is ");
    const size_t command = refused.errors.rfind("; ") + 2;
    std::string advice = refused.errors.substr(command, refused.errors.find('\n', command) - command);
    if (const size_t colon = advice.find(": "); colon != std::string::npos) advice.erase(0, colon + 2);
    EXPECT_EQ(run("data check --input NEW.jsonl", advice + " &&").code, 0) << advice;
  }
}

TEST_F(DataSources, ATurnOfWeightZeroIsNotTrained) {
  const std::string head = R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"wrong answer")";
  const std::string tail = R"(},{"role":"user","content":"b"},{"role":"assistant","content":"good"}],"tools":[{}]})"
                           "\n";
  const auto targets = [&](const std::string& key, const std::string& run_dir) {
    write("train.jsonl", head + key + tail);
    const Result result = run("sft sft.yaml run_dir=" + run_dir);
    EXPECT_EQ(result.code, 0) << result.errors;
    EXPECT_NE(result.errors.find("this one does not: 'tools' (1 line)"), std::string::npos) << result.errors;
    return json_lines(read(run_dir + "/metrics.jsonl")).at(0).at("train/target_tokens").get<int>();
  };
  const int all = targets("", "all"), one = targets(R"(,"weight":0)", "weight");
  EXPECT_LT(one, all);
  EXPECT_GT(one, 0);
  EXPECT_EQ(targets(R"(,"train":false)", "train"), one);
  EXPECT_EQ(targets(R"(,"weight":1)", "one"), all);
  write("train.jsonl", head + R"(,"weight":0.5)" + tail);
  expect_refused(run("sft sft.yaml run_dir=half"), 3, "train.jsonl:1: turn 2: 'weight' is neither 0 nor 1");
  write("train.jsonl", head + R"(,"weight":0)" + tail);
  expect_refused(run("sft sft.yaml run_dir=plain template.name=plain"), 3, "under template: plain, which trains all");
}

TEST_F(DataSources, HelpSteerBringsItsOwnAttributes) {
  write("train.jsonl",
        R"({"prompt":"a","response":"b","helpfulness":3,"correctness":4,"coherence":4,"complexity":1,"verbosity":2})"
        "\n");
  const Result result = run("train-predictor sft.yaml stage=train-predictor run_dir=predictor head.kind=regression");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_NE(result.errors.find("attributes: helpfulness, correctness, coherence, complexity, verbosity, 0 to 4"),
            std::string::npos)
      << result.errors;
  const Json folder = parse_json(read("predictor/model/steerlm.json"), "steerlm.json", ExitCode::data);
  EXPECT_EQ(folder.at("attributes").at("names").size(), 5u);
  EXPECT_EQ(folder.at("attributes").at("max"), 4);
  ASSERT_EQ(run("sft sft.yaml run_dir=sft").code, 0);
  EXPECT_EQ(parse_json(read("sft/model/steerlm.json"), "s", ExitCode::data).at("attributes").at("names").size(), 5u);
  // Chosen otherwise, what is left out of the labels is said.
  const Result chosen = run("sft sft.yaml run_dir=chosen attributes.names=[helpfulness] attributes.max=4");
  EXPECT_NE(chosen.errors.find("the rating 'correctness', which is not among the attributes (1 line)"),
            std::string::npos)
      << chosen.errors;
  write("train.jsonl", R"({"prompt":"a","response":"b","helpfulness":"3"})"
                       "\n");
  expect_refused(run("sft sft.yaml run_dir=text"), 3,
                 "the rating of 'helpfulness' cannot be used (found the text \"3\"");
}

TEST_F(DataSources, DroppedLabelsAreNotRead) {
  write("train.jsonl",
        conversation("a", "b", "what:1") +
            R"({"conversations":[{"from":"User","value":"x"},{"from":"Assistant","value":"y","label":3}]})"
            "\n");
  expect_refused(run("sft sft.yaml"), 3, "labels: drop");
  EXPECT_EQ(run("sft sft.yaml run_dir=drop data.train[0].labels=drop").code, 0);
}

}  // namespace
}  // namespace steerlm
