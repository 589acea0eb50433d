#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "steerlm/core/fs.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

// Standard input is `descriptor` until the object goes.
class StandardInputIs {
 public:
  explicit StandardInputIs(int descriptor) : before_(::dup(STDIN_FILENO)) {
    ::dup2(descriptor, STDIN_FILENO);
    ::close(descriptor);
  }
  ~StandardInputIs() {
    ::dup2(before_, STDIN_FILENO);
    ::close(before_);
  }

 private:
  int before_;
};

TEST(StandardInput, IsReadToItsEnd) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "one\ntwo", 7), 7);
  ::close(ends[1]);
  const StandardInputIs pipe(ends[0]);
  std::string bytes = "zero\n";
  EXPECT_TRUE(read_standard_input(bytes, ExitCode::data));
  EXPECT_EQ(bytes, "zero\none\ntwo");
  EXPECT_FALSE(read_standard_input(bytes, ExitCode::data));
  EXPECT_EQ(bytes, "zero\none\ntwo");
}

TEST(StandardInput, AFailedReadIsNoEnd) {
  const TemporaryFolder folder;
  for (const auto& [flags, reason] :
       {std::pair{O_RDONLY, "Is a directory"}, std::pair{O_PATH, "Bad file descriptor"}}) {
    const StandardInputIs unreadable(::open(folder.path().c_str(), flags | O_DIRECTORY));
    std::string bytes;
    try {
      read_standard_input(bytes, ExitCode::recipe);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::recipe);
      EXPECT_EQ(error.what(), std::string("standard input: cannot read: ") + reason +
                                  "; redirect it from a file, or write into it through a pipe");
    }
  }
}

}  // namespace
}  // namespace steerlm
