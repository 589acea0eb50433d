// Jobs that are stopped by a signal or a time limit end at once, lose nothing, and go on to the same bytes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <numeric>

#include "end_to_end/program.h"

namespace steerlm {
namespace {

using testing::HasSubstr;

class Stopping : public Program {
 protected:
  void SetUp() override {
    make_model("classifier", "predictor", R"("quality", "humor", "length")");
    make_model("untied", "writer", R"("quality", "humor", "length")");
    make_model("untied", "model", R"("quality", "humor")");
    write("annotate.yaml", "stage: annotate\npredictor: predictor\ninput: in.jsonl\noutput: out.jsonl\nrun_dir: run\n");
    write("generate.yaml",
          "stage: generate\nmodel: model\nprompts: prompts.jsonl\noutput: out.jsonl\nrun_dir: run\n"
          "sampling: {temperature: 1, max_new_tokens: 60}\n");
  }

  static std::string many(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      lines += i % 50 == 31
                   ? "{\"bad\": " + std::to_string(i) + "}\n"
                   : conversation("question " + std::to_string(i), std::string(static_cast<size_t>(i % 97), 'a'));
    }
    return lines;
  }
  static std::string prompts(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) lines += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
    return lines;
  }

  // The numbers of records in the blocks of a ledger.
  std::vector<std::int64_t> ledger_records(const std::string& ledger) const {
    std::vector<std::int64_t> records;
    if (!exists(ledger)) return records;
    std::string text = read(ledger);
    text.erase(text.rfind('\n') + 1);  // a line that is being written
    for (const Json& line : json_lines(text)) {
      if (line.contains("block")) records.push_back(line.at("records").get<std::int64_t>());
    }
    return records;
  }

  // Gives the command again until it is done; each run must have stopped with 75.
  int stops_of(const std::string& command, const std::string& reason, const std::string& before = "") {
    for (int stops = 0;; ++stops) {
      const Result result = run(command, before);
      if (result.code == 0 || stops == 100) return stops;
      EXPECT_EQ(result.code, 75) << result.errors;
      EXPECT_THAT(result.errors, HasSubstr("stopped by " + reason));
      if (result.code != 75) return -1;
    }
  }
};

TEST_F(Stopping, ATimeLimitEndsAnnotationBlockByBlock) {
  write("in.jsonl", many(200));
  ASSERT_EQ(run("annotate annotate.yaml block_records=16").code, 0);
  EXPECT_EQ(
      stops_of("annotate annotate.yaml block_records=16 max_minutes=1e-9 run_dir=s output=s.jsonl", "max_minutes"), 13);
  EXPECT_EQ(read("s.jsonl"), read("out.jsonl"));
  EXPECT_EQ(read("s.jsonl.quarantine.jsonl"), read("out.jsonl.quarantine.jsonl"));
  EXPECT_EQ(stops_of("annotate annotate.yaml block_records=64 run_dir=t output=t.jsonl", "SLURM_JOB_END_TIME",
                     "SLURM_JOB_END_TIME=$(($(date +%s) + 20))"),
            4);
  EXPECT_EQ(read("t.jsonl"), read("out.jsonl")) << "whatever the block";
}

// Each step gets somewhere before it obeys the limit, however short it is; a signal would stop it while it reads.
TEST_F(Stopping, ATimeLimitOfAPipelineIsNoEndlessLoop) {
  copy_model("untied", "base");
  write("train.jsonl", many(30));
  write("pipeline.yaml", R"(stage: pipeline
run_dir: run
steps:
  - name: sft
    stage: sft
    model: {path: base}
    data: {train: [{path: train.jsonl}], max_tokens: 256}
    train: {steps: 3, batch_size: 4}
  - {name: labels, stage: annotate, predictor: predictor, input: train.jsonl, output: "@self/out.jsonl", block_records: 8}
)");
  expect_says(run("pipeline pipeline.yaml"), "pipeline done");
  const int stops = stops_of("pipeline pipeline.yaml run_dir=s max_minutes=1e-9", "max_minutes");
  EXPECT_EQ(stops, 7) << "three steps of training and four blocks of labels, one at a time";
  EXPECT_EQ(read("s/sft/model/model.safetensors"), read("run/sft/model/model.safetensors"));
  EXPECT_EQ(read("s/labels/out.jsonl"), read("run/labels/out.jsonl"));
}

// The limit of a pipeline is one of the whole command, and what is left of it is the next seed's.
TEST_F(Stopping, ATimeLimitIsOfAllSeedsTogether) {
  write("in.jsonl", many(30));
  write("pipeline.yaml",
        "stage: pipeline\nrun_dir: run\nsteps:\n  - {name: labels, stage: annotate, predictor: predictor, input: "
        "in.jsonl, output: \"@self/out.jsonl\", block_records: 16}\n");
  ASSERT_EQ(run("pipeline pipeline.yaml").code, 0);
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(run("pipeline pipeline.yaml run_dir=one --seeds 1").code, 0);
  const std::chrono::duration<double, std::ratio<60>> minutes = std::chrono::steady_clock::now() - begin;
  const std::string limited = "pipeline pipeline.yaml run_dir=all --seeds 1,2,3,4,5,6 max_minutes=";
  const Result stopped = run(limited + std::to_string(1.5 * minutes.count()));
  EXPECT_EQ(stopped.code, 75) << stopped.errors;
  EXPECT_THAT(stopped.errors, HasSubstr("stopped by max_minutes"));
  EXPECT_FALSE(exists("all/seed-6"));
  // However short it is, each command gets somewhere.
  int code = 75, commands = 0;
  for (; code == 75 && commands < 40; ++commands) code = run(limited + "1e-9").code;
  EXPECT_EQ(code, 0);
  for (const char* seed : {"all/seed-1", "all/seed-6"})
    EXPECT_EQ(read(Path(seed) / "labels/out.jsonl"), read("run/labels/out.jsonl"));
}

// One block of many records: what was scored before the signal is kept, and the rest is scored in the same batches.
TEST_F(Stopping, ASignalEndsAnnotationInsideABlock) {
  write("in.jsonl", many(8000));
  const std::string command = "annotate annotate.yaml predictor=writer block_records=100000 ";
  ASSERT_EQ(run(command).code, 0);
  const std::string again = command + "run_dir=s output=s.jsonl";
  for (const int signal : {SIGUSR1, SIGTERM, SIGHUP}) {
    const size_t before = ledger_records("s/ledger.jsonl").size();
    const auto begin = std::chrono::steady_clock::now();
    auto sent = begin;
    const Result stopped = run_until(again, signal, [&] {
      if (ledger_records("s/ledger.jsonl").size() == before) return false;
      sent = std::chrono::steady_clock::now();
      return true;
    });
    ASSERT_EQ(stopped.code, 75) << stopped.errors;
    EXPECT_LT(std::chrono::steady_clock::now() - sent, std::chrono::seconds(10));
    EXPECT_THAT(stopped.errors, HasSubstr("stopped on request; everything is saved"));
  }
  const std::vector<std::int64_t> kept = ledger_records("s/ledger.jsonl");
  EXPECT_GE(kept.size(), 3u);
  EXPECT_LT(std::accumulate(kept.begin(), kept.end(), std::int64_t{0}), 8000);
  expect_says(run(again), "goes on after");
  EXPECT_EQ(read("s.jsonl"), read("out.jsonl"));
  EXPECT_EQ(read("s.jsonl.quarantine.jsonl"), read("out.jsonl.quarantine.jsonl"));
}

// A quarter of a second goes by while the tensor half of the program is loaded.
TEST_F(Stopping, ASignalWhileTheProgramIsLoadedIsAStop) {
  write("in.jsonl", conversation("question", "answer"));
  write("stop.sh", std::string("for signal in TERM USR1 HUP; do\n  ") + STEERLM_PROGRAM +
                       " score --model predictor --input in.jsonl --output s.jsonl &\n"
                       "  until grep -q libtorch_cpu /proc/$!/maps; do :; done\n"
                       "  kill -$signal $!\n  wait $!\n  [ $? = 75 ] || exit 1\ndone\n");
  expect_says(run("--version && bash stop.sh"), "stopped on request before anything was begun");
  EXPECT_FALSE(exists("s.jsonl") || exists("s.jsonl.part"));
}

// Before the first record was read: that the input has none is not known then.
TEST_F(Stopping, ASignalBeforeTheFirstRecordIsAStop) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const int pipe = ::open(path("pipe").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::write(pipe, "\n", 1), 1);  // a blank line is no record
  int asked = 0;
  const Result result = run_until(
      "annotate annotate.yaml input=- <pipe", SIGTERM,
      [&] {
        int unread = 1;
        if (asked == 0 && ::ioctl(pipe, FIONREAD, &unread) == 0 && unread > 0) return false;
        if (++asked == 1) return true;
        if (asked == 2) ::close(pipe);  // the input ends
        return false;
      },
      2);
  EXPECT_EQ(result.code, 75) << result.errors;
}

// Whoever writes into standard input, or reads from a named pipe, may take his time; a stop does not wait for him.
TEST_F(Stopping, ASignalWhileAnotherProgramIsWaitedForIsAStop) {
  write("in.jsonl", many(20));
  ASSERT_EQ(::mkfifo(path("input").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo(path("output").c_str(), 0600), 0);
  const int writer = ::open(path("input").c_str(), O_RDWR | O_CLOEXEC);  // it stays open, and writes nothing
  for (const char* files : {"--input - --output out.jsonl <input", "--input in.jsonl --output output"}) {
    const auto begin = std::chrono::steady_clock::now();
    const Result result = run_until(std::string("score --model predictor ") + files, SIGTERM,
                                    [&] { return std::chrono::steady_clock::now() - begin > std::chrono::seconds(4); });
    EXPECT_EQ(result.code, 75) << result.errors;
    EXPECT_THAT(result.errors, HasSubstr("while waiting for")) << files;
  }
  ::close(writer);
  EXPECT_FALSE(exists("out.jsonl"));
}

// open(2) of a pipe that nobody writes into would wait for a writer without hearing a signal.
TEST_F(Stopping, ASignalWhileAPipeHasNoWriterIsAStop) {
  ASSERT_EQ(::mkfifo(path("nobody").c_str(), 0600), 0);
  for (const char* command : {"generate --model model --input nobody --output out.jsonl", "annotate nobody"}) {
    const auto begin = std::chrono::steady_clock::now();
    const Result result =
        run_until(command, SIGTERM, [&] { return std::chrono::steady_clock::now() - begin > std::chrono::seconds(2); });
    EXPECT_EQ(result.code, 75) << command << "\n" << result.errors;
  }
  // A shard that is none is no pipe to be waited for either.
  write("in.jsonl", many(20));
  ASSERT_EQ(run("score --model predictor --input in.jsonl --output s.jsonl --shard 0/2").code, 0);
  std::filesystem::remove(path("s.jsonl"));
  ASSERT_EQ(::mkfifo(path("s.jsonl").c_str(), 0600), 0);
  expect_refused(run("score --merge whole.jsonl s.jsonl"), 3, "the shard is no file");
  EXPECT_FALSE(exists("whole.jsonl"));
}

TEST_F(Stopping, SettingsThatChangeNoResultMayChange) {
  write("in.jsonl", many(100));
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  const std::string again = "annotate annotate.yaml block_records=16 run_dir=s output=s.jsonl ";
  ASSERT_EQ(run(again + "max_minutes=1e-9 on_bad_record=stop").code, 75);
  const Result stopped = run(again + "on_bad_record=stop batch_tokens=100");
  EXPECT_EQ(stopped.code, 3);
  EXPECT_THAT(stopped.errors, HasSubstr("in.jsonl:32"));
  EXPECT_THAT(stopped.errors, HasSubstr("on_bad_record=quarantine, which goes on"));
  const Result many_bad = run(again + "on_bad_record=quarantine batch_tokens=1000 max_bad_share=0.01");
  EXPECT_EQ(many_bad.code, 3);
  EXPECT_THAT(many_bad.errors, HasSubstr("a larger max_bad_share takes them"));
  ASSERT_EQ(run(again + "max_bad_share=0.1", "OMP_NUM_THREADS=1").code, 0);
  EXPECT_EQ(read("s.jsonl"), read("out.jsonl"));
  for (const Json& bad : json_lines(read("s.jsonl.quarantine.jsonl")))
    EXPECT_EQ(bad.at("record"), "{\"bad\": " + std::to_string(bad.at("line").get<int>() - 1) + "}");
  EXPECT_EQ(run(again + "human_labels=keep").code, 2) << "that one changes the result";
}

// As a kill leaves it that falls after the output has got its name, and before the ledger says so.
TEST_F(Stopping, AnOutputThatHasItsNameBeforeItsLedgerEndsIsGoneOnWith) {
  std::string lines;
  for (int i = 0; i < 1100; ++i) lines += conversation("q" + std::to_string(i), std::string(i % 61 + 1, 'b'));
  write("in.jsonl", lines);
  write("prompts.jsonl", prompts(300));
  for (const std::string command : {"score --model predictor --input in.jsonl",
                                    "generate --model model --input prompts.jsonl --max-new-tokens 4"}) {
    ASSERT_EQ(run(command + " --output whole.jsonl").code, 0);
    ASSERT_EQ(run(command + " --output s.jsonl --max-minutes 1e-9").code, 75);
    std::filesystem::rename(path("s.jsonl.part"), path("s.jsonl"));
    const Result again = run(command + " --output s.jsonl");
    ASSERT_EQ(again.code, 0) << again.errors;
    EXPECT_EQ(read("s.jsonl"), read("whole.jsonl"));
    for (const char* name : {"s.jsonl", "whole.jsonl"}) std::filesystem::remove(path(name));
    // The same file without its ledger is anybody's.
    ASSERT_EQ(run(command + " --output s.jsonl --max-minutes 1e-9").code, 75);
    std::filesystem::rename(path("s.jsonl.part"), path("s.jsonl"));
    std::filesystem::remove(path("s.jsonl.part.ledger"));
    expect_refused(run(command + " --output s.jsonl"), 5, "the file exists already");
    for (const char* name : {"s.jsonl", "s.jsonl.quarantine.jsonl.part", "s.jsonl.part.lock"})
      std::filesystem::remove(path(name));
  }
}

// The ledger is the last to go: a kill after that leaves the output alone.
TEST_F(Stopping, NothingIsLeftBesideAnOutputThatWasWholeWhenItsProcessWasKilled) {
  write("in.jsonl", conversation("question", "answer"));
  for (int i = 0; i < 5; ++i) {
    bool begun = false;
    run_until("score --model predictor --input in.jsonl --output s.jsonl", SIGKILL, [&] {
      begun = begun || exists("s.jsonl.part.ledger");
      return begun && !exists("s.jsonl.part.ledger");
    });
    EXPECT_TRUE(exists("s.jsonl"));
    for (const char* left : {"s.jsonl.part", "s.jsonl.part.ledger", "s.jsonl.part.lock"})
      EXPECT_FALSE(exists(left)) << left;
    std::filesystem::remove(path("s.jsonl"));
    std::filesystem::remove(path("s.jsonl.part.lock"));
  }
}

TEST_F(Stopping, ScoreGoesOnWithItsPartFile) {
  std::string lines;
  for (int i = 0; i < 2600; ++i) lines += conversation("q" + std::to_string(i), std::string(i % 61 + 1, 'b'));
  write("in.jsonl", lines);
  for (const std::string model : {"predictor", "model"}) {
    const std::string command = "score --model " + model + " --input in.jsonl --output ";
    ASSERT_EQ(run(command + model + ".jsonl").code, 0);
    EXPECT_GE(stops_of(command + "s.jsonl --max-minutes 1e-9", "--max-minutes"), 2);
    EXPECT_EQ(read("s.jsonl"), read(model + ".jsonl"));
    for (const char* left : {"s.jsonl.part", "s.jsonl.part.ledger"}) EXPECT_FALSE(exists(left)) << left;
    std::filesystem::remove(path("s.jsonl"));
  }
  // Another command does not go on there.
  const std::string command = "score --model predictor --input in.jsonl --output s.jsonl ";
  ASSERT_EQ(run(command + "--max-minutes 1e-9").code, 75);
  expect_refused(run("score --model model --input in.jsonl --output s.jsonl"), 2, "start over with --fresh");
  ASSERT_EQ(run("score --model model --input in.jsonl --output s.jsonl --fresh").code, 0);
  EXPECT_EQ(read("s.jsonl"), read("model.jsonl"));
}

TEST_F(Stopping, GenerationGoesOnInsideABlock) {
  write("prompts.jsonl", prompts(300));
  const std::string command = "generate generate.yaml ";
  ASSERT_EQ(run("run " + command.substr(9) + "samples_per_prompt=12").code, 0);
  const std::string again = "run generate.yaml samples_per_prompt=12 run_dir=s output=s.jsonl";
  int stops = 0;
  for (; stops < 3; ++stops) {
    const size_t before = ledger_records("s/ledger.jsonl").size();
    const Result stopped = run_until(again, SIGTERM, [&] { return ledger_records("s/ledger.jsonl").size() > before; });
    if (stopped.code == 0) break;
    ASSERT_EQ(stopped.code, 75) << stopped.errors;
  }
  EXPECT_GE(stops, 1);
  ASSERT_EQ(run(again).code, 0);
  EXPECT_EQ(read("s.jsonl"), read("out.jsonl"));
  EXPECT_EQ(lines_of(read("s.jsonl")).size(), 3600u);

  ASSERT_EQ(run("generate --model model --input prompts.jsonl --max-new-tokens 9 --output whole.jsonl").code, 0);
  EXPECT_GE(
      stops_of("generate --model model --input prompts.jsonl --max-new-tokens 9 --output c.jsonl --max-minutes 1e-9",
               "--max-minutes"),
      2);
  EXPECT_EQ(read("c.jsonl"), read("whole.jsonl"));
  // What is said is the command's own word on what is kept.
  const Result stopped =
      run("generate --model model --input prompts.jsonl --max-new-tokens 9 --output d.jsonl --max-minutes 1e-9");
  EXPECT_EQ(stopped.code, 75);
  EXPECT_THAT(stopped.errors, HasSubstr("what is done is in d.jsonl.part, and the same command goes on"));
  EXPECT_THAT(stopped.errors, testing::Not(HasSubstr("everything is saved")));
}

TEST_F(Stopping, ABadPromptIsPutAside) {
  write("prompts.jsonl", prompts(30) + "{\"prompt\":\"" + std::string(1200, 'x') + "\"}\n{\"no\":1}\n" + prompts(20));
  const std::string command = "run generate.yaml sampling.max_new_tokens=4 ";
  expect_says(run(command), "50 prompts answered into out.jsonl, 2 put aside in");
  const std::vector<Json> bad = json_lines(read("out.jsonl.quarantine.jsonl"));
  ASSERT_EQ(bad.size(), 2u);
  EXPECT_EQ(bad[0].at("line"), 31);
  EXPECT_THAT(bad[0].at("reason").get<std::string>(), HasSubstr("the prompt is longer than the model's context"));
  EXPECT_EQ(bad[0].at("record"), "{\"prompt\":\"" + std::string(1200, 'x') + "\"}");
  EXPECT_EQ(bad[1].at("line"), 32);
  EXPECT_EQ(bad[1].at("record"), "{\"no\":1}");
  EXPECT_EQ(lines_of(read("out.jsonl")).size(), 50u);
  expect_refused(run(command + "on_bad_record=stop run_dir=s output=s.jsonl"), 3, "prompts.jsonl:32");
  expect_refused(run(command + "max_bad_share=0.01 run_dir=t output=t.jsonl"), 3, "too many bad records");
}

TEST_F(Stopping, EvaluationKeepsWhatItHasMeasured) {
  std::string labelled;
  for (int i = 0; i < 40; ++i)
    labelled += conversation("q" + std::to_string(i), "answer", "quality:" + std::to_string(i % 5) + ",humor:1");
  write("labelled.jsonl", labelled);
  write("prompts.jsonl", prompts(60));
  make_model("classifier", "judge", R"("quality", "humor", "length")");
  write("evaluate.yaml",
        "stage: evaluate\nrun_dir: run\nmodel: {path: model}\npredictor: judge\n"
        "data: {validation: [{path: labelled.jsonl}], max_tokens: 256}\n"
        "dials: {prompts: [{path: prompts.jsonl}], judge: predictor, sampling: {max_new_tokens: 5}}\n");
  const Result whole = run("evaluate evaluate.yaml");
  ASSERT_EQ(whole.code, 0) << whole.errors;
  EXPECT_GE(stops_of("evaluate evaluate.yaml run_dir=s max_minutes=1e-9", "max_minutes"), 4);
  for (const char* file : {"evaluation.json", "evaluation.txt", "answers.jsonl"})
    EXPECT_EQ(read(Path("s") / file), read(Path("run") / file)) << file;
  for (const char* left : {"sweep.jsonl", "ledger.jsonl", "predictor.part.json", "perplexity.part.json"})
    EXPECT_FALSE(exists(Path("s") / left)) << left;
  const auto before = contents();
  EXPECT_EQ(run("evaluate evaluate.yaml run_dir=s").code, 0);
  EXPECT_EQ(changes_since(before), "");
}

TEST_F(Stopping, PackedOutputIsTheSameThroughKillsAndShards) {
  write("in.jsonl", many(120));
  const std::string command = "annotate annotate.yaml block_records=16 ";
  ASSERT_EQ(run(command).code, 0);
  for (const std::string ending : {".gz", ".zst"}) {
    const std::string name = "out.jsonl" + ending;
    ASSERT_EQ(run(command + "run_dir=p" + ending + " output=" + name).code, 0);
    EXPECT_EQ(stops_of(command + "max_minutes=1e-9 run_dir=s" + ending + " output=s" + name, "max_minutes"), 8);
    EXPECT_EQ(read("s" + name), read(name));
    for (const std::string i : {"0", "1"})
      ASSERT_EQ(run(command + "shard=" + i + "/2 run_dir=h" + i + ending + " output=h" + i + name).code, 0);
    ASSERT_EQ(run("annotate --merge m" + name + " h0" + name + " h1" + name).code, 0);
    EXPECT_EQ(read("m" + name), read(name));
    EXPECT_FALSE(exists(name + ".part"));
    // It is read as it is written.
    ASSERT_EQ(run("score --model predictor --input " + name + " --output u" + ending + ".jsonl").code, 0);
    EXPECT_EQ(lines_of(read("u" + ending + ".jsonl")).size(), lines_of(read("out.jsonl")).size());
  }
  ASSERT_EQ(std::system(("gzip -dc " + path("out.jsonl.gz").string() + " > " + path("plain.jsonl").string()).c_str()),
            0);
  EXPECT_EQ(read("plain.jsonl"), read("out.jsonl"));
}

TEST_F(Stopping, AJobEndsWithItsSpeedAndStandardOutputHasNothingElse) {
  write("in.jsonl", conversation("q", "a") + conversation("q", "b"));
  const Result scored = run("score --model predictor --input in.jsonl --output -");
  ASSERT_EQ(scored.code, 0);
  EXPECT_EQ(json_lines(scored.output).size(), 2u);
  EXPECT_THAT(scored.errors, testing::ContainsRegex("[0-9] conversations/s, .* tokens/s, .* machine-days per billion"));
  EXPECT_THAT(scored.errors, HasSubstr("2 records (2 assistant turns) scored into -"));
  EXPECT_EQ(run("score --model predictor --input in.jsonl --output - --quiet").errors, "");
  ASSERT_EQ(run("annotate annotate.yaml").code, 0);
  EXPECT_THAT(read("run/log.txt"), HasSubstr("machine-days per billion tokens"));
}

}  // namespace
}  // namespace steerlm
