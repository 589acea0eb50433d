// The commands of README.md are run as they stand there.
#include "end_to_end/program.h"

namespace steerlm {
namespace {

class Readme : public Program {
 protected:
  // The fenced blocks of a section, one after another.
  static std::string commands_of(const std::string& section) {
    const std::string page = read_file(Path(STEERLM_SOURCE_DIR) / "README.md", ExitCode::data, "README");
    const size_t begin = page.find("\n## " + section + "\n");
    EXPECT_NE(begin, std::string::npos) << section;
    std::istringstream lines(page.substr(begin + 1, page.find("\n## ", begin + 1) - begin));
    std::string commands;
    bool fenced = false;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("```"))
        fenced = !fenced;
      else if (fenced)
        commands += line + "\n";
    }
    return commands;
  }
};

TEST_F(Readme, TheRecipeForOnesOwnDataRunsAsItStands) {
  ASSERT_EQ(run("model init --output runs/toy/base/model --tokenizer " + fixture("untied").string() +
                " --hidden-size 16 --num-hidden-layers 1 --num-attention-heads 2")
                .code,
            0);
  std::filesystem::create_directories(path("build/release"));
  std::filesystem::create_symlink(STEERLM_PROGRAM, path("build/release/steerlm"));
  const std::string commands = commands_of("Train on your own data");
  ASSERT_NE(commands.find("steerlm sft mine/sft.yaml"), std::string::npos);
  write("commands.sh", "set -e\n" + commands);
  const Result result = run("--version && sh commands.sh </dev/null");
  ASSERT_EQ(result.code, 0) << result.errors;
  // What the page says of the run directory.
  for (const char* name : {"recipe.yaml", "environment.json", "metrics.jsonl", "log.txt", "checkpoints", "done.json",
                           "model/config.json", "model/README.md"}) {
    EXPECT_TRUE(exists(Path("mine/run") / name)) << name;
  }
  const std::vector<Json> metrics = json_lines(read("mine/run/metrics.jsonl"));
  EXPECT_EQ(metrics.size(), 60u);
  EXPECT_LT(metrics.back().at("train/loss").get<double>(), metrics.front().at("train/loss").get<double>() - 0.5);
}

}  // namespace
}  // namespace steerlm
