// Training data that is encoded once: contracts.md sections 4 and 8.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "end_to_end/training_program.h"

namespace steerlm {
namespace {

class DataCache : public TrainingProgram {
 protected:
  static constexpr const char* kept = "is encoded already, in ";
  static constexpr const char* again = "the training data is encoded again";

  std::string model_of(const std::string& run_name) const { return read(run_name + "/model/model.safetensors"); }
  bool says(const Result& result, const std::string& text) const {
    return result.errors.find(text) != std::string::npos;
  }

  // A run that is stopped after its first step, and what goes on with it.
  Result go_on(const std::string& run_name) { return run("sft sft.yaml run_dir=" + run_name); }
  void begin(const std::string& run_name) {
    ASSERT_EQ(run("sft sft.yaml train.max_minutes=1e-9 run_dir=" + run_name).code, 75);
    ASSERT_TRUE(exists(run_name + "/data/examples.bin"));
  }
  std::vector<std::string> files_in(const std::string& folder) const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(path(folder), error))
      names.push_back(entry.path().filename().string());
    return names;
  }
  std::int64_t temporaries_in(const std::string& folder) const {
    return std::ranges::count_if(files_in(folder), [](const std::string& name) { return name.ends_with(".part"); });
  }
};

TEST_F(DataCache, ASecondStartTakesItAndGivesTheSameBits) {
  const Result whole = run("sft sft.yaml");
  ASSERT_EQ(whole.code, 0) << whole.errors;
  EXPECT_FALSE(says(whole, kept));
  begin("parts");
  const Result second = go_on("parts");
  EXPECT_EQ(second.code, 0) << second.errors;
  EXPECT_TRUE(says(second, kept)) << second.errors;
  EXPECT_EQ(model_of("parts"), model_of("run"));
  const std::string said = "training data: 12 conversations, 12 examples";
  EXPECT_TRUE(says(whole, said));
  EXPECT_TRUE(says(second, said)) << second.errors;
}

TEST_F(DataCache, IsSharedByRunsOfTheSameData) {
  const std::string shared = "sft sft.yaml data.cache_dir=cache ";
  const Result first = run(shared);
  ASSERT_EQ(first.code, 0) << first.errors;
  EXPECT_FALSE(exists("run/data"));
  std::filesystem::copy_file(path("train.jsonl"), path("same.jsonl"));
  const Result second =
      run(shared + "run_dir=second seed=7 optimizer.learning_rate=2e-3 data.train[0].path=same.jsonl");
  EXPECT_EQ(second.code, 0) << second.errors;
  EXPECT_TRUE(says(second, kept)) << second.errors;
  ASSERT_EQ(files_in("cache").size(), 1u);

  // What makes other examples gets a file of its own.
  int number = 0;
  for (const char* change : {"data.max_tokens=200", "data.validation_fraction=0.3", "data.train[0].repeat=2",
                             "data.train[0].labels=shuffle", "attributes.max=9", "template.system=S",
                             "data.over_length=truncate", "data.train[0].limit=11", "data.fold=1/3"}) {
    const Result other = run(shared + "'" + change + "' run_dir=other" + std::to_string(number++));
    EXPECT_EQ(other.code, 0) << change << other.errors;
    EXPECT_FALSE(says(other, kept)) << change;
  }
  EXPECT_EQ(files_in("cache").size(), 10u);
  EXPECT_TRUE(says(run(shared + "run_dir=last"), kept));
  expect_says(run(shared + "--fresh"), kept);
}

TEST_F(DataCache, AnEditedFileIsNoticed) {
  // Of more than 1 MiB, so that it is not read at each start.
  std::string lines;
  for (int i = 0; i < 12000; ++i) lines += conversation("question " + std::to_string(i), "answer a", "quality:3");
  write("train.jsonl", lines);
  ::usleep(2'100'000);
  const std::string command = "sft sft.yaml data.cache_dir=cache train.steps=1 ";
  ASSERT_EQ(run(command).code, 0);
  ASSERT_EQ(files_in("cache").size(), 2u) << "examples and inputs.json";
  EXPECT_TRUE(says(run(command + "run_dir=second"), kept));

  struct stat before {};
  ASSERT_EQ(::stat(path("train.jsonl").c_str(), &before), 0);
  lines[lines.rfind("answer a") + 7] = 'b';
  write("train.jsonl", lines);
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path("train.jsonl").c_str(), times, 0), 0);
  const Result third = run(command + "run_dir=third");
  EXPECT_EQ(third.code, 0) << third.errors;
  EXPECT_FALSE(says(third, kept));
  expect_refused(run(command + "train.steps=2"), 2, "the input train.jsonl has changed");
}

TEST_F(DataCache, AFileThatChangesWhileItIsReadIsRefused) {
  std::string lines;
  for (int i = 0; i < 12000; ++i) lines += conversation("question " + std::to_string(i), "answer", "quality:3");
  write("train.jsonl", lines);
  bool changed = false;
  const Result result = run_until("sft sft.yaml", 0, [&] {
    const auto is_encoded = [](const std::string& name) { return name.starts_with("examples."); };
    if (!changed && std::ranges::any_of(files_in("run/.steerlm-run"), is_encoded)) {
      append("train.jsonl", lines);
      changed = true;
    }
    return false;
  });
  ASSERT_TRUE(changed);
  expect_refused(result, 3, "train.jsonl: the file was changed while it was read");
  EXPECT_FALSE(exists("run/data"));
  EXPECT_EQ(temporaries_in("run/.steerlm-run"), 0);
}

TEST_F(DataCache, ADamagedOneIsMadeAgain) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  begin("cut");
  const std::string bytes = read("cut/data/examples.bin");
  std::filesystem::resize_file(path("cut/data/examples.bin"), bytes.size() / 2);
  const Result cut = go_on("cut");
  EXPECT_TRUE(says(cut, "it was cut or changed: " + std::string(again))) << cut.errors;
  EXPECT_EQ(model_of("cut"), model_of("run"));
  EXPECT_EQ(read("cut/data/examples.bin"), bytes);

  // Changed where an example is: noticed when that is read, and made again by the same command.
  begin("flipped");
  std::string flipped = bytes;
  for (size_t i = 60; i < bytes.size() / 2; i += 60) flipped[i] = static_cast<char>(flipped[i] ^ 4);
  write("flipped/data/examples.bin", flipped);
  expect_refused(go_on("flipped"), 5, "the cache of the encoded training data is damaged and was removed");
  expect_says(go_on("flipped"), "goes on after step 1");
  EXPECT_EQ(model_of("flipped"), model_of("run"));

  // Gone: to have the room back.
  begin("gone");
  std::filesystem::remove_all(path("gone/data"));
  expect_says(go_on("gone"), "goes on after step 1");
  EXPECT_EQ(model_of("gone"), model_of("run"));
  std::filesystem::remove_all(path("gone/data"));
  expect_says(go_on("gone"), "the run is finished already");
}

TEST_F(DataCache, FilesOfOthersStay) {
  begin("run");
  std::filesystem::remove_all(path("run/data"));
  write("run/data", "mine");
  expect_refused(run("sft sft.yaml"), 5, "a file that this run did not write is in the way");
  EXPECT_EQ(read("run/data"), "mine");
  std::filesystem::remove_all(path("run"));

  const std::string shared = "sft sft.yaml data.cache_dir=cache ";
  ASSERT_EQ(run(shared).code, 0);
  const std::string name = "cache/" + files_in("cache").front(), bytes = read(name);
  write(name, "mine");
  expect_refused(run(shared + "run_dir=second"), 5, "a file is where the encoded training data is to be kept");
  EXPECT_EQ(read(name), "mine");
  write(name, bytes.substr(0, 300));
  expect_says(run(shared + "run_dir=second --fresh"), again);
  EXPECT_EQ(read(name), bytes);

  // What remembers hashes is not written over another file of its name. Small files are read each time.
  std::string many;
  while (many.size() < (1 << 20)) many += read("train.jsonl");
  std::filesystem::create_directory(path("data"));
  write("data/train.jsonl", many);
  write("data/inputs.json", R"({"mine": 1})");
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
  const std::string beside = "sft sft.yaml data.train[0].path=data/train.jsonl data.cache_dir=data train.steps=1 ";
  expect_says(run(beside + "run_dir=beside"), "data/inputs.json is a file of somebody else, or damaged, and stays");
  EXPECT_EQ(read("data/inputs.json"), R"({"mine": 1})");
  std::filesystem::remove(path("data/inputs.json"));
  EXPECT_EQ(run(beside + "run_dir=next").code, 0);
  EXPECT_EQ(Json::parse(read("data/inputs.json")).at("files").size(), 1u);

  expect_refused(run("sft sft.yaml data.cache_dir=run/cache"), 2, "data.cache_dir lies in the run directory");
  expect_refused(run(shared + "run_dir=x data.cache_dir=run"), 2, "data.cache_dir is the run directory of a run");
  write("taken", "mine");
  expect_refused(run("sft sft.yaml run_dir=x data.cache_dir=taken"), 5, "taken");
}

TEST_F(DataCache, FreshKeepsItAndADryRunWritesNothing) {
  expect_says(run("sft sft.yaml --dry-run"), "forecast");
  EXPECT_FALSE(exists("run"));
  expect_says(run("sft sft.yaml --dry-run data.cache_dir=cache"), "forecast");
  EXPECT_FALSE(exists("cache"));
  begin("run");
  const auto before = contents();
  const Result dry = run("sft sft.yaml --dry-run");
  expect_says(dry, kept);
  EXPECT_EQ(changes_since(before), "");
  expect_says(run("sft sft.yaml --fresh"), kept);
  ASSERT_EQ(run("sft sft.yaml --fresh data.max_tokens=200").code, 0);
  EXPECT_NE(read("run/data/examples.bin"), before.at("run/data/examples.bin"));
  EXPECT_EQ(files_in("run/data").size(), 1u);
}

TEST_F(DataCache, TwoRunsMayMakeTheSameOne) {
  const auto train = [&](const std::string& name) {
    return std::system(("cd '" + path("").string() +
                        "' && " STEERLM_PROGRAM " sft sft.yaml data.cache_dir=cache run_dir=" + name + " >" + name +
                        ".txt 2>&1")
                           .c_str());
  };
  int codes[3];
  {
    std::thread one([&] { codes[0] = train("one"); }), two([&] { codes[1] = train("two"); });
    codes[2] = train("three");
    one.join();
    two.join();
  }
  for (const int code : codes) EXPECT_EQ(code, 0);
  EXPECT_EQ(files_in("cache").size(), 1u) << "and no temporary";
  EXPECT_EQ(model_of("one"), model_of("two"));
  EXPECT_EQ(model_of("one"), model_of("three"));
}

TEST_F(DataCache, StandardInputIsEncodedEachTime) {
  ASSERT_EQ(run("sft sft.yaml").code, 0);
  const std::string piped = "sft sft.yaml run_dir=piped data.train[0].path=- ";
  ASSERT_EQ(run(piped + "train.max_minutes=1e-9", "cat train.jsonl |").code, 75);
  EXPECT_FALSE(exists("piped/data/examples.bin"));
  EXPECT_EQ(temporaries_in("piped/.steerlm-run"), 0);
  ASSERT_EQ(run(piped, "cat train.jsonl |").code, 0);
  EXPECT_EQ(model_of("piped"), model_of("run"));
}

TEST_F(DataCache, AStoppedEncodingLeavesNothing) {
  // Endless input: the stop falls into the encoding.
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const std::string line = lines_of(read("train.jsonl")).front();
  write("line", line);
  const std::string endless = "cd '" + path("").string() + "' && yes \"$(cat line)\" > pipe";
  std::thread writer([&] { EXPECT_NE(std::system(endless.c_str()), 0) << "it ends with its reader"; });
  const Result stopped = run_until("sft sft.yaml data.train[0].path=- < pipe", SIGTERM,
                                   [&] { return temporaries_in("run/.steerlm-run") > 0; });
  writer.join();
  EXPECT_EQ(stopped.code, 75) << stopped.errors;
  EXPECT_NE(stopped.errors.find("stopped on request while the training data was encoded"), std::string::npos);
  EXPECT_EQ(temporaries_in("run/.steerlm-run"), 0);
  EXPECT_FALSE(exists("run/data"));
}

// Labels and preferences: each training goes on from its cache with the same bits and the same tables.
TEST_F(DataCache, PredictorsUseIt) {
  const std::string predictor = "stage: train-predictor\nmodel: {path: " + model_ +
                                "}\nattributes: {names: [quality, humor], min: 0, max: 4}\n"
                                "data: {train: [{path: train.jsonl}], validation_fraction: 0.3, max_tokens: 256}\n"
                                "train: {steps: 3, batch_size: 4}\nrun_dir: x\n";
  write("regression.yaml", predictor + "head: {kind: regression}\n");
  write("label.yaml", predictor + "head: {kind: language_model}\n");
  for (const std::string name : {"regression", "label"}) {
    const std::string command = "train-predictor " + name + ".yaml run_dir=" + name;
    const Result whole = run(command);
    ASSERT_EQ(whole.code, 0) << whole.errors;
    ASSERT_EQ(run(command + "2 train.max_minutes=1e-9").code, 75);
    expect_says(run(command + "2"), kept);
    EXPECT_EQ(model_of(name), model_of(name + "2"));
    EXPECT_EQ(read(name + "/validation.jsonl"), read(name + "2/validation.jsonl"));
    EXPECT_EQ(read(name + "/done.json"), read(name + "2/done.json"));
  }
  std::string pairs;
  for (int i = 0; i < 12; ++i) {
    pairs += R"({"chosen":"\n\nHuman: q)" + std::to_string(i) + R"(\n\nAssistant: yes","rejected":"\n\nHuman: q)" +
             std::to_string(i) + "\\n\\nAssistant: no\"}\n";
  }
  write("pairs.jsonl", pairs);
  const std::string command =
      "train-predictor regression.yaml data.train[0].path=pairs.jsonl head.loss=bradley_terry run_dir=pairs";
  ASSERT_EQ(run(command).code, 0);
  ASSERT_EQ(run(command + "2 train.max_minutes=1e-9").code, 75);
  expect_says(run(command + "2"), kept);
  EXPECT_EQ(model_of("pairs"), model_of("pairs2"));
}

}  // namespace
}  // namespace steerlm
