// A head that is solved on the frozen model, and cross-validation (contracts.md sections 3 and 4).
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

using testing::HasSubstr;

class RidgeProgram : public TrainingProgram {
 protected:
  void SetUp() override {
    TrainingProgram::SetUp();
    std::string lines;
    for (int i = 0; i < 40; ++i) {
      const std::string answer(static_cast<size_t>(1 + i % 5), static_cast<char>('a' + i % 7));
      const std::string humor = i % 3 == 0 ? "" : ",humor:" + std::to_string(i % 2 * 4);
      lines += conversation("question " + std::to_string(i), answer, "quality:" + std::to_string(i % 5) + humor);
    }
    write("rated.jsonl", lines);
    write("ridge.yaml", "stage: train-predictor\nmodel: {path: " + model_ +
                            "}\nattributes: {names: [quality, humor], min: 0, max: 4}\nhead: {kind: ridge}\n"
                            "data: {train: rated.jsonl, max_tokens: 256}\nrun_dir: run\n");
  }

  Json json(const Path& name) const { return parse_json(read(name), name.string(), ExitCode::data); }
};

TEST_F(RidgeProgram, TheResultIsAnOrdinaryRegressionFolder) {
  const Result trained = run("train-predictor ridge.yaml data.validation_fraction=0.3");
  ASSERT_EQ(trained.code, 0) << trained.errors;
  EXPECT_THAT(trained.errors, HasSubstr("validation of the predictor"));
  const Json folder = json("run/model/steerlm.json");
  EXPECT_EQ(folder["head"], parse_json(R"({"kind": "regression", "bias": true})", "", ExitCode::data));
  EXPECT_EQ(json("run/model/config.json")["architectures"][0], "LlamaForSequenceClassification");
  EXPECT_THAT(read("run/model/README.md"), HasSubstr("Ridge regression of the head"));

  // The frozen trunk is the base model's, to the bit.
  const auto base = weights(Path(model_) / "model.safetensors"), written = weights("run/model/model.safetensors");
  size_t trunk = 0;
  for (const auto& [name, values] : written) {
    if (name.starts_with("score.")) continue;
    ++trunk;
    ASSERT_TRUE(base.contains(name)) << name;
    EXPECT_EQ(values, base.at(name)) << name;
  }
  EXPECT_GT(trunk, 10u);
  EXPECT_TRUE(written.contains("score.bias"));

  // What validation.jsonl says of the held-out answers is what the folder says of them.
  const std::vector<Json> held_out = json_lines(read("run/validation.jsonl"));
  ASSERT_GT(held_out.size(), 3u);
  const Result scored = run("score --model run/model --input rated.jsonl --output scores.jsonl");
  ASSERT_EQ(scored.code, 0) << scored.errors;
  const std::vector<Json> scores = json_lines(read("scores.jsonl"));
  std::set<double> different;
  for (const Json& line : held_out) {
    const Json& again = scores.at(line["line"].get<size_t>() - 1)["scores"];
    for (const char* name : {"quality", "humor"})
      EXPECT_NEAR(line["scores"][name].get<double>(), again[name].get<double>(), 1e-5) << line;
    different.insert(line["scores"]["quality"].get<double>());
    EXPECT_EQ(line["labels"]["quality"], (line["line"].get<int>() - 1) % 5);
    EXPECT_EQ(line["dialogue"], "question " + std::to_string(line["line"].get<int>() - 1));
  }
  EXPECT_GT(different.size(), 1u);

  // And it is the start of a full fine-tuning, head and all: 0 steps away nothing would have changed.
  const Result tuned =
      run("train-predictor ridge.yaml head.kind=regression model.path=run/model run_dir=tuned train.steps=1 "
          "optimizer.learning_rate=0 optimizer.weight_decay=0");
  ASSERT_EQ(tuned.code, 0) << tuned.errors;
  const auto started = weights("tuned/model/model.safetensors");
  EXPECT_EQ(started.at("score.weight"), written.at("score.weight"));
  EXPECT_EQ(started.at("score.bias"), written.at("score.bias"));
}

TEST_F(RidgeProgram, FeaturesAreComputedOnce) {
  const Result first = run("train-predictor ridge.yaml");
  ASSERT_EQ(first.code, 0) << first.errors;
  EXPECT_THAT(first.errors, HasSubstr("features: 0 of 40 sequences are in run/features"));
  const auto before = contents();
  EXPECT_EQ(run("train-predictor ridge.yaml").code, 0);
  EXPECT_EQ(changes_since(before), "") << "a finished run";

  // Another grid is another run; the features stay.
  const Result refused = run("train-predictor ridge.yaml head.penalties='[5]'");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.errors, HasSubstr("head.penalties"));
  const Result again = run("train-predictor ridge.yaml head.penalties='[5]' --fresh");
  ASSERT_EQ(again.code, 0) << again.errors;
  EXPECT_THAT(again.errors, HasSubstr("features: 40 of 40 sequences are in run/features"));
  EXPECT_EQ(json("run/ridge.json")["attributes"]["quality"]["penalty"], 5);

  // More data: what is there is taken, the rest computed. Another folder of features gives the same bits.
  append("rated.jsonl", conversation("one more", "answer", "quality:1,humor:3"));
  const Result more = run("train-predictor ridge.yaml run_dir=more head.features=run/features");
  ASSERT_EQ(more.code, 0) << more.errors;
  EXPECT_THAT(more.errors, HasSubstr("features: 40 of 41 sequences are in run/features"));
  EXPECT_FALSE(exists("more/features"));
  const Result apart = run("train-predictor ridge.yaml run_dir=apart");
  ASSERT_EQ(apart.code, 0) << apart.errors;
  EXPECT_EQ(read("apart/model/model.safetensors"), read("more/model/model.safetensors"));

  // Another model does not take them.
  const Result other =
      run("train-predictor ridge.yaml run_dir=other head.features=run/features model.path=" + fixture("tied").string());
  ASSERT_EQ(other.code, 0) << other.errors;
  EXPECT_THAT(other.errors, HasSubstr("features: 0 of 41 sequences are in run/features"));
  // Weights of its own make another model, also under the same config.
  for (const char* seed : {"1", "2"}) {
    const std::string name = std::string("fresh-") + seed;
    ASSERT_EQ(run("model init --output " + name + " --seed " + seed +
                  " --hidden-size 16 --num-hidden-layers 1 --tokenizer " + fixture("untied").string())
                  .code,
              0);
    const Result fresh =
        run("train-predictor ridge.yaml run_dir=of-" + name + " head.features=run/features model.path=" + name);
    ASSERT_EQ(fresh.code, 0) << fresh.errors;
    EXPECT_THAT(fresh.errors, HasSubstr("features: 0 of 41 sequences are in run/features"));
  }
}

TEST_F(RidgeProgram, ADamagedBlockOfFeaturesIsComputedAgain) {
  ASSERT_EQ(run("train-predictor ridge.yaml").code, 0);
  const std::string whole = read("run/model/model.safetensors");
  std::string block;
  for (const auto& [name, bytes] : contents()) {
    if (name.ends_with("features.safetensors")) block = name;
  }
  std::string bytes = read(block);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write(block, bytes);
  const Result again = run("train-predictor ridge.yaml --fresh");
  ASSERT_EQ(again.code, 0) << again.errors;
  EXPECT_THAT(again.errors, HasSubstr("is not as it was written: its features are computed again"));
  EXPECT_THAT(again.errors, HasSubstr("features: 0 of 40"));
  EXPECT_EQ(read("run/model/model.safetensors"), whole);
  const Result third = run("train-predictor ridge.yaml --fresh");
  EXPECT_THAT(third.errors, HasSubstr("features: 40 of 40"));
}

TEST_F(RidgeProgram, AStoppedRunGoesOnBehindItsLastBlock) {
  std::string lines;
  for (int i = 0; i < 100; ++i)
    lines += conversation("question " + std::to_string(i), "answer", "quality:" + std::to_string(i % 5) + ",humor:1");
  write("rated.jsonl", lines);
  const Result stopped = run("train-predictor ridge.yaml train.max_minutes=1e-9");
  EXPECT_EQ(stopped.code, 75);
  EXPECT_THAT(stopped.errors, HasSubstr("stopped by train.max_minutes after the features of 64 of 100 sequences"));
  EXPECT_FALSE(exists("run/model"));
  const Result on = run("train-predictor ridge.yaml");
  ASSERT_EQ(on.code, 0) << on.errors;
  EXPECT_THAT(on.errors, HasSubstr("features: 64 of 100 sequences are in run/features"));
  ASSERT_EQ(run("train-predictor ridge.yaml run_dir=whole").code, 0);
  EXPECT_EQ(read("run/model/model.safetensors"), read("whole/model/model.safetensors"));
}

TEST_F(RidgeProgram, AFolderOfAStageHoldsNoFeatures) {
  ASSERT_EQ(run("train-predictor ridge.yaml").code, 0);
  const Result result = run("train-predictor ridge.yaml run_dir=other head.features=run");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.errors, HasSubstr("run: the folder holds a run of another stage (found train-predictor"));
  const std::string done = read("run/done.json");
  std::filesystem::create_directory(path("mine"));
  write("mine/notes.txt", "");
  for (const char* how : {" --fresh", " --fresh --dry-run"}) {
    expect_refused(run(std::string("train-predictor ridge.yaml head.features=mine") + how), 5, "mine");
    EXPECT_EQ(read("run/done.json"), done) << how;
  }
  std::filesystem::remove_all(path("mine"));
  copy_model("untied", "model");
  const auto before = contents();
  expect_refused(run("train-predictor ridge.yaml model.path=model run_dir=new head.features=model/features"), 2,
                 "the folder of features lies in a folder that the run reads");
  expect_refused(run("train-predictor ridge.yaml model.path=model run_dir=new head.features=."), 5, "");
  for (const auto& [name, bytes] : contents()) {
    if (name.starts_with("new")) continue;
    EXPECT_TRUE(before.contains(name) && before.at(name) == bytes) << name;
  }
}

TEST_F(RidgeProgram, AttributesThatNobodyRatedAreNamed) {
  const Result result = run("train-predictor ridge.yaml attributes.names='[quality, humor, wit, grace]'");
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.errors, HasSubstr("no label of the training part has a value of wit, grace"));
  // One rating leaves no choice of a penalty.
  append("rated.jsonl", conversation("rare", "answer", "wit:3"));
  const Result rare = run("train-predictor ridge.yaml attributes.names='[quality, humor, wit]'");
  ASSERT_EQ(rare.code, 0) << rare.errors;
  EXPECT_THAT(rare.errors, HasSubstr("warning: wit: its labels are all in one part of the dialogues"));
  const auto written = weights("run/model/model.safetensors");
  EXPECT_EQ(written.at("score.bias").at(2), 3.0f);
  EXPECT_TRUE(json("run/ridge.json")["attributes"]["wit"]["penalty"].is_null());
}

TEST_F(RidgeProgram, KeysWithoutEffectAreAWarning) {
  const Result result = run("train-predictor ridge.yaml optimizer.learning_rate=1e-3 train.steps=9 --dry-run");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("without effect are optimizer, train.steps"));
  EXPECT_THAT(result.errors, HasSubstr("forecast: hidden states of 40 answers"));
  EXPECT_FALSE(exists("run"));
  // Of the keys that decide nothing none can tell two runs apart.
  ASSERT_EQ(run("train-predictor ridge.yaml train.steps=9").code, 0);
  EXPECT_THAT(run("train-predictor ridge.yaml train.steps=3").errors, HasSubstr("finished already"));
  EXPECT_THAT(read("run/recipe.yaml"), testing::Not(HasSubstr("optimizer")));
}

TEST_F(RidgeProgram, CrossvalidationHoldsOutEachDialogueOnce) {
  const Result result = run("crossvalidate ridge.yaml --folds 4");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(result.output, read("run/crossvalidation.txt"));
  EXPECT_THAT(result.output, HasSubstr("held-out answers of 4 folds"));
  std::multiset<int> seen;
  std::vector<double> scores, labels, errors;
  std::map<int, double> fold_means;
  const Json tables = json("run/crossvalidation.json");
  double of_the_mean = 0;
  for (int fold = 1; fold <= 4; ++fold) {
    const Path run_dir = Path("run") / ("fold-" + std::to_string(fold));
    const double mean = json(run_dir / "done.json")["training_means"]["quality"].get<double>();
    double sum = 0, total = 0, count = 0;
    for (const Json& line : json_lines(read(run_dir / "validation.jsonl"))) {
      seen.insert(line["line"].get<int>());
      const double label = line["labels"]["quality"].get<double>(), score = line["scores"]["quality"].get<double>();
      errors.push_back(std::abs(score - label));
      sum += errors.back();
      of_the_mean += std::abs(mean - label);
      total += label;
      ++count;
    }
    EXPECT_NEAR(mean, (80 - total) / (40 - count), 1e-9) << "the mean of the other folds";
    EXPECT_NEAR(tables["attributes"]["quality"]["each_fold"][fold - 1]["mae"].get<double>(), sum / count, 1e-9);
    fold_means[fold] = sum / count;
    EXPECT_FALSE(exists(run_dir / "features"));
  }
  EXPECT_EQ(seen.size(), 40u);
  EXPECT_EQ(std::set<int>(seen.begin(), seen.end()).size(), 40u);
  const Json& quality = tables["attributes"]["quality"];
  double pooled = 0, mean = 0, squares = 0;
  for (const double error : errors) pooled += error / 40;
  for (const auto& [fold, value] : fold_means) mean += value / 4;
  for (const auto& [fold, value] : fold_means) squares += (value - mean) * (value - mean) / 3;
  EXPECT_NEAR(quality["pooled"]["mae"].get<double>(), pooled, 1e-9);
  EXPECT_NEAR(quality["pooled"]["mean_mae"].get<double>(), of_the_mean / 40, 1e-9);
  EXPECT_NEAR(quality["mean"]["mae"].get<double>(), mean, 1e-9);
  EXPECT_NEAR(quality["standard_deviation"]["mae"].get<double>(), std::sqrt(squares), 1e-9);
  EXPECT_LT(json("run/crossvalidation.json")["attributes"]["humor"]["pooled"]["count"], 40);

  // Features are computed once for all folds; the command again runs nothing again.
  EXPECT_THAT(read("run/fold-4/log.txt"), HasSubstr("sequences are in run/features"));
  const auto before = contents();
  const std::string log = read("run/log.txt"), manifest = read("run/.steerlm-run/files.jsonl");
  const auto written = std::filesystem::last_write_time(path("run/crossvalidation.txt"));
  const Result again = run("crossvalidate ridge.yaml --folds 4");
  EXPECT_EQ(again.code, 0) << again.errors;
  EXPECT_EQ(again.output, result.output);
  EXPECT_THAT(again.errors, HasSubstr("finished already"));
  EXPECT_EQ(changes_since(before), "");
  EXPECT_EQ(read("run/log.txt"), log) << "a finished run may be read-only";
  EXPECT_EQ(read("run/.steerlm-run/files.jsonl"), manifest);
  EXPECT_EQ(std::filesystem::last_write_time(path("run/crossvalidation.txt")), written);

  // What somebody has written into a table is not lost.
  const std::string table = read("run/crossvalidation.txt");
  write("run/crossvalidation.txt", "mine");
  const Result kept = run("crossvalidate ridge.yaml --folds 4");
  EXPECT_EQ(kept.code, 0) << kept.errors;
  EXPECT_THAT(kept.errors, HasSubstr("it is kept as"));
  EXPECT_EQ(read("run/crossvalidation.txt.previous"), "mine");
  EXPECT_EQ(read("run/crossvalidation.txt"), table);

  ASSERT_EQ(run("report run --out page.html").code, 0);
  EXPECT_THAT(read("page.html"), HasSubstr("4 of 4 runs in it finished"));
  EXPECT_THAT(read("page.html"), testing::Not(HasSubstr("missing or damaged")));

  // Fewer folds are other trainings.
  EXPECT_EQ(run("crossvalidate ridge.yaml --folds 3 --dry-run").code, 2);
  EXPECT_EQ(run("crossvalidate ridge.yaml --folds 3").code, 2);
  const Result fewer = run("crossvalidate ridge.yaml --folds 3 --fresh");
  EXPECT_EQ(fewer.code, 0) << fewer.errors;
  EXPECT_FALSE(exists("run/fold-4"));
}

TEST_F(RidgeProgram, CrossvalidationOfATraining) {
  const Result result = run("crossvalidate ridge.yaml head.kind=regression train.steps=2 train.batch_size=4 --folds 2");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(json("run/crossvalidation.json")["folds"], 2);
  EXPECT_TRUE(exists("run/fold-2/checkpoints"));
}

// Whatever the head, the baseline is the mean label of the folds that were trained on.
TEST_F(RidgeProgram, CrossvalidationOfALanguageModelHasTheBaselineOfTheTrainingPart) {
  const Result result = run(
      "crossvalidate ridge.yaml head.kind=language_model template.system='Be good.' train.steps=1 train.batch_size=4 "
      "--folds 2");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("always predicts the mean label of the training part")) << "each fold's table";
  const Json quality = json("run/crossvalidation.json").at("attributes").at("quality");
  double all = 0;
  for (int fold = 1; fold <= 2; ++fold) {
    const Path run_dir = Path("run") / ("fold-" + std::to_string(fold));
    std::vector<double> labels;
    double total = 0, errors = 0;
    for (const Json& line : json_lines(read(run_dir / "validation.jsonl"))) {
      labels.push_back(line["labels"]["quality"].get<double>());
      total += labels.back();
    }
    const double count = static_cast<double>(labels.size()), mean = (80 - total) / (40 - count);
    EXPECT_NE(mean, total / count) << "both parts have one mean: the test would see nothing";
    for (const double label : labels) errors += std::abs(label - mean);
    EXPECT_NEAR(json(run_dir / "done.json")["training_means"]["quality"].get<double>(), mean, 1e-9);
    EXPECT_NEAR(quality["each_fold"][fold - 1]["mean_mae"].get<double>(), errors / count, 1e-9);
    all += errors;
  }
  EXPECT_NEAR(quality["pooled"]["mean_mae"].get<double>(), all / 40, 1e-9);

  // A fold that does not say its baseline gets no other one.
  Json done = json("run/fold-1/done.json");
  done.erase("training_means");
  write("run/fold-1/done.json", done.dump());
  expect_refused(run("crossvalidate ridge.yaml head.kind=language_model template.system='Be good.' train.steps=1 "
                     "train.batch_size=4 --folds 2"),
                 5, "the fold's run does not say the mean labels of its training part");
}

TEST_F(RidgeProgram, CrossvalidationRefusesADataSplitOfTheRecipe) {
  const Result result = run("crossvalidate ridge.yaml data.validation_fraction=0.1");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.errors, HasSubstr("data.validation_fraction=0"));
  EXPECT_EQ(run("crossvalidate ridge.yaml data.validation_fraction=0.1 data.validation_fraction=0 --dry-run").code, 0)
      << "the advice works";
  EXPECT_EQ(run("crossvalidate ridge.yaml data.validation=rated.jsonl").code, 2);
  EXPECT_EQ(run("crossvalidate ridge.yaml data.fold=1/3").code, 2);
  EXPECT_EQ(run("crossvalidate ridge.yaml --folds 1").code, 2);
  EXPECT_FALSE(exists("run"));
  EXPECT_EQ(run("crossvalidate sft.yaml").code, 2);
}

TEST_F(RidgeProgram, AFoldWithoutRatingsIsAnError) {
  for (const char* more : {"", " --dry-run"}) {
    const Result result = run(std::string("crossvalidate ridge.yaml --folds 400") + more);
    EXPECT_EQ(result.code, 3);
    EXPECT_THAT(result.errors, HasSubstr("of 400 holds out no answer with a label"));
    EXPECT_FALSE(exists("run")) << "nothing was trained";
  }
}

}  // namespace
}  // namespace steerlm
