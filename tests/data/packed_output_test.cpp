// An output that is packed when it is whole: a failure at any place of the run, also between its names, is gone on
// from.
#include <cerrno>

#include "data/block_job_runs.h"
#include "data/decoder.h"

namespace steerlm::testing {
namespace {

class PackedOutput : public BlockJobTest {
 protected:
  std::string packed(const std::string& folder) const { return (folder_.path() / folder / "o.jsonl.gz").string(); }

  void run_packed(const std::string& folder) {
    const std::string ledger = (folder_.path() / folder / "ledger.jsonl").string();
    std::filesystem::create_directories(folder_.path() / folder);
    BlockOutput::check(packed(folder), ledger, {});  // as a stage does at its start: it may not refuse more
    BlockOutput out(packed(folder), ledger, Json{{"name", "run"}}, {});
    for (std::int64_t b = out.completed_blocks(); b < 3 && !out.finished(); ++b)
      out.append(3, lines(b), bad_lines(b), Json{{"number", b}});
    EXPECT_TRUE(out.finish());
  }
};

TEST_F(PackedOutput, EveryFailureIsResumed) {
  run_packed("whole");
  std::string unpacked;
  Decoder decoder(packed("whole"));
  while (decoder.read(unpacked)) {
  }
  EXPECT_EQ(unpacked, lines(0) + lines(1) + lines(2));
  int named = 0;  // failures behind which the packed output has its name and the run is not finished
  for (int failing = 0;; ++failing) {
    int operations = 0;
    std::filesystem::remove_all(folder_.path() / "out");
    set_fs_fault([&](std::string_view, const Path&) { return operations++ == failing ? EIO : 0; });
    const std::string message = message_of(ExitCode::resources, [&] { run_packed("out"); });
    set_fs_fault({});
    if (operations <= failing) {
      EXPECT_EQ(message, "");
      break;
    }
    named += std::filesystem::exists(packed("out")) ? 1 : 0;
    run_packed("out");
    EXPECT_EQ(read_all(packed("out")), read_all(packed("whole"))) << failing;
    EXPECT_EQ(read_all(packed("out") + ".quarantine.jsonl"), bad_lines(1));
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "out"))
      files += entry.exists() ? 1 : 0;
    EXPECT_EQ(files, 3) << failing << ": output, bad records and ledger, no part file and no temporary";
  }
  EXPECT_GE(named, 1);
}

// As a kill leaves it between the two: the part file was removed already, or was not.
TEST_F(PackedOutput, ThatHasItsNameAlreadyIsPackedAgain) {
  for (const bool part_is_there : {true, false}) {
    std::filesystem::remove_all(folder_.path() / "out");
    run_packed("out");
    const std::string whole = read_all(packed("out")), ledger = (folder_.path() / "out" / "ledger.jsonl").string();
    const std::string text = read_all(ledger);
    std::ofstream(ledger, std::ios::binary) << text.substr(0, text.find("{\"finished\""));
    if (part_is_there) std::ofstream(packed("out") + ".part", std::ios::binary) << lines(0) + lines(1) + lines(2);
    run_packed("out");
    EXPECT_EQ(read_all(packed("out")), whole);
    EXPECT_FALSE(std::filesystem::exists(packed("out") + ".part"));
    EXPECT_THAT(read_all(ledger), ::testing::HasSubstr("{\"finished\""));
  }
}

}  // namespace
}  // namespace steerlm::testing
