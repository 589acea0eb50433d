// What a run computes, through the program: micro-batches, clipping, epochs, bf16, and a stopped run's traces.
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>

#include "end_to_end/training_program.h"
#include "steerlm/core/hash.h"

namespace steerlm {
namespace {

class TrainingNumbers : public TrainingProgram {
 protected:
  // Largest difference of any weight.
  double distance(const Path& a, const Path& b) const {
    const auto ours = weights(a), theirs = weights(b);
    double largest = 0;
    for (const auto& [name, values] : ours) {
      for (size_t i = 0; i < values.size(); ++i)
        largest = std::max(largest, static_cast<double>(std::abs(values[i] - theirs.at(name).at(i))));
    }
    return largest;
  }
  // metrics.jsonl without what a clock measured.
  std::string timeless_metrics(const Path& name) const {
    std::string lines;
    for (Json line : json_lines(read(name / "metrics.jsonl"))) {
      line.erase("time");
      line.erase("train/tokens_per_second");
      line.erase("train/flops_per_second");
      lines += line.dump() + "\n";
    }
    return lines;
  }
  // Every file of the newest checkpoint.
  std::map<std::string, std::string> newest_checkpoint(const Path& name) const {
    std::string latest = read(name / "checkpoints/LATEST");
    latest.erase(latest.find_last_not_of('\n') + 1);
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(path(name / "checkpoints" / latest)))
      files[entry.path().filename().string()] = read_file(entry.path(), ExitCode::data, "checkpoint");
    return files;
  }
};

TEST_F(TrainingNumbers, MicroBatchTokensChangeNothingThatIsOptimised) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const auto loss = metric("run", "train/loss"), norm = metric("run", "train/grad_norm");
  ASSERT_EQ(loss.size(), 6u);
  for (const std::string tokens : {"1", "300"}) {
    ASSERT_EQ(run("sft sft.yaml train.micro_batch_tokens=" + tokens + " run_dir=micro" + tokens).code, 0);
    const auto losses = metric("micro" + tokens, "train/loss"), norms = metric("micro" + tokens, "train/grad_norm");
    for (const auto& [step, value] : loss) {
      EXPECT_NEAR(losses.at(step), value, 1e-5 * value) << step;
      EXPECT_NEAR(norms.at(step), norm.at(step), 1e-4 * norm.at(step)) << step;
    }
    EXPECT_EQ(metric("micro" + tokens, "train/target_tokens"), metric("run", "train/target_tokens"));
    // Sums in another order: where a gradient is next to nothing, AdamW makes a part of a step of it, of 1e-3 at most.
    EXPECT_LE(distance("micro" + tokens + "/model/model.safetensors", "run/model/model.safetensors"), 1e-3);
  }
  EXPECT_GT(distance("run/model/model.safetensors", Path(model_) / "model.safetensors"), 4e-3);
}

TEST_F(TrainingNumbers, ClippingBoundsTheStepAndTheReportedNormIsTheOneBefore) {
  const std::string arguments = "sft sft.yaml train.steps=1 optimizer.weight_decay=0 ";
  ASSERT_EQ(run(arguments + "optimizer.clip_grad_norm=0 run_dir=free").code, 0);
  // Far below eps, AdamW's step is rate * gradient / eps: 1e-3 * 1e-10 / 1e-8 at most.
  ASSERT_EQ(run(arguments + "optimizer.clip_grad_norm=1e-10 run_dir=clipped").code, 0);
  EXPECT_EQ(metric("clipped", "train/grad_norm"), metric("free", "train/grad_norm"));
  EXPECT_EQ(metric("clipped", "train/loss"), metric("free", "train/loss"));
  const Path before = Path(model_) / "model.safetensors";
  EXPECT_NEAR(distance("free/model/model.safetensors", before), 1e-3, 1e-5);
  EXPECT_LE(distance("clipped/model/model.safetensors", before), 1.1e-5);
}

TEST_F(TrainingNumbers, AnEpochTakesEveryConversationOnce) {
  std::string recipe = read("sft.yaml");
  recipe.replace(recipe.find("steps: 6, batch_size: 4"), 23, "epochs: 2, batch_size: 5");
  write("epochs.yaml", recipe);
  ASSERT_EQ(run("sft epochs.yaml").code, 0);
  const auto targets = metric("run", "train/target_tokens");
  ASSERT_EQ(targets.size(), 6u);  // 5 + 5 + 2 of 12, twice
  EXPECT_EQ(targets.at(1) + targets.at(2) + targets.at(3), targets.at(4) + targets.at(5) + targets.at(6));
  EXPECT_LT(targets.at(3), targets.at(1));
  ASSERT_EQ(run("sft sft.yaml train.steps=1 train.batch_size=12 run_dir=whole").code, 0);
  EXPECT_EQ(metric("whole", "train/target_tokens").at(1), targets.at(1) + targets.at(2) + targets.at(3));
}

TEST_F(TrainingNumbers, AStoppedRunLeavesTheMetricsAndMomentsOfAnUndisturbedOne) {
  const std::string arguments = "sft sft.yaml data.validation='[{path: train.jsonl}]' evaluate.every_steps=2 ";
  ASSERT_EQ(run(arguments).code, 0);
  Result result{75, "", ""};
  for (int stops = 0; result.code == 75 && stops < 20; ++stops)
    result = run(arguments + "run_dir=stopped train.max_minutes=1e-9");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(timeless_metrics("stopped"), timeless_metrics("run"));
  EXPECT_EQ(newest_checkpoint("stopped"), newest_checkpoint("run"));
  const auto files = newest_checkpoint("run");
  EXPECT_TRUE(std::ranges::any_of(files, [](const auto& file) {
    return file.second.find("second_moment.model.norm.weight") != std::string::npos;
  })) << "the checkpoint holds no moments";
}

TEST_F(TrainingNumbers, AutoIsSettledOnceAndKept) {
  const std::string arguments = "sft sft.yaml train.micro_batch_tokens=auto data.validation='[{path: train.jsonl}]' ";
  const Result whole = run(arguments);
  ASSERT_EQ(whole.code, 0) << whole.errors;
  const auto state_of = [&](const Path& folder) {
    return parse_json(read(folder / "state.json"), "state", ExitCode::data);
  };
  Json state = state_of("run/checkpoints/step-6");
  const std::string tokens = state.at("micro_batch_tokens").dump();
  EXPECT_NE(whole.errors.find("train.micro_batch_tokens: auto takes " + tokens + "\n"), std::string::npos)
      << whole.errors;
  EXPECT_NE(run(arguments + "run_dir=dry --dry-run").errors.find("auto would take " + tokens), std::string::npos);
  EXPECT_NE(read("run/recipe.yaml").find("micro_batch_tokens: auto"), std::string::npos);
  // Killed after its first checkpoints, and gone on with.
  const std::string stopped = arguments + "run_dir=stopped ";
  run_until(stopped + "train.steps=6 ", SIGKILL, [&] { return exists("stopped/checkpoints/step-2"); });
  ASSERT_EQ(run(stopped).code, 0);
  EXPECT_EQ(timeless_metrics("stopped"), timeless_metrics("run"));
  EXPECT_EQ(newest_checkpoint("stopped"), newest_checkpoint("run"));

  // What the checkpoint says holds, whatever would be chosen now: halved micro-batches stay halved.
  EXPECT_EQ(run(arguments + "run_dir=halved train.max_minutes=1e-9").code, 75);
  const Path checkpoint = "halved/checkpoints/step-1";
  state = state_of(checkpoint);
  state["micro_batch_tokens"] = 31;
  Json manifest = parse_json(read(checkpoint / "manifest.json"), "manifest", ExitCode::data);
  write(checkpoint / "state.json", state.dump());
  manifest["files"]["state.json"] = {{"size", state.dump().size()}, {"sha256", sha256_hex(state.dump())}};
  write(checkpoint / "manifest.json", manifest.dump());
  const Result halved = run(arguments + "run_dir=halved");
  expect_says(halved, "train.micro_batch_tokens: auto takes 31");
  EXPECT_EQ(state_of("halved/checkpoints/step-6").at("micro_batch_tokens"), 31);
}

TEST_F(TrainingNumbers, InBf16TrainsStopsGoesOnAndScores) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const std::string arguments = "sft sft.yaml precision=bf16 ";
  ASSERT_EQ(run(arguments + "run_dir=bf16").code, 0);
  Result result{75, "", ""};
  for (int stops = 0; result.code == 75 && stops < 20; ++stops)
    result = run(arguments + "run_dir=stopped train.max_minutes=1e-9");
  ASSERT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(read("stopped/model/model.safetensors"), read("bf16/model/model.safetensors"));
  // bf16 keeps 8 bits: the losses are near those in fp32, and not the same.
  const auto exact = metric("run", "train/loss"), rounded = metric("bf16", "train/loss");
  for (const auto& [step, value] : exact) EXPECT_NEAR(rounded.at(step), value, 0.02 * value) << step;
  EXPECT_NE(rounded, exact);
  // Six steps of 1e-3, which bf16 weights of 0.5 could not take one by one: the masters are fp32.
  EXPECT_GT(distance("bf16/model/model.safetensors", Path(model_) / "model.safetensors"), 4e-3);
  for (const std::string precision : {"fp32", "bf16"}) {
    const Result score =
        run("score --model bf16/model --input train.jsonl --output " + precision + ".jsonl --precision " + precision);
    ASSERT_EQ(score.code, 0) << score.errors;
  }
  const auto wide = json_lines(read("fp32.jsonl")), narrow = json_lines(read("bf16.jsonl"));
  ASSERT_EQ(wide.size(), 12u);
  for (size_t i = 0; i < wide.size(); ++i) {
    const double logprob = wide[i].at("logprob").get<double>();
    EXPECT_NEAR(narrow.at(i).at("logprob").get<double>(), logprob, 0.05 * std::abs(logprob)) << i;
    EXPECT_NE(narrow[i].at("logprob"), wide[i].at("logprob"));
  }
}

// Of a small model most is the program itself.
TEST_F(TrainingNumbers, TheForecastIsWhatTheProcessTakes) {
  const std::string said = run("sft sft.yaml --dry-run").errors;
  const size_t at = said.find(" here, about ");
  ASSERT_NE(at, std::string::npos) << said;
  EXPECT_NE(said.find(" MB of memory"), std::string::npos) << said;
  const double forecast = std::stod(said.substr(at + 13)) * 1e6;
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string command =
        "cd '" + path("").string() + "' && exec " STEERLM_PROGRAM " sft sft.yaml >out.txt 2>err.txt";
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ASSERT_EQ(::wait4(child, &status, 0, &usage), child);
  ASSERT_EQ(status, 0) << read("err.txt");
  const double peak = 1024.0 * static_cast<double>(usage.ru_maxrss);
  EXPECT_NEAR(forecast / peak, 1, 0.2) << forecast << " and " << peak;
}

}  // namespace
}  // namespace steerlm
