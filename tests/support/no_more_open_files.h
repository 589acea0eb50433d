#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace steerlm {

// The limit of open files is reached as long as the object is there.
class NoMoreOpenFiles {
 public:
  NoMoreOpenFiles() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoMoreOpenFiles() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoMoreOpenFiles(const NoMoreOpenFiles&) = delete;
  NoMoreOpenFiles& operator=(const NoMoreOpenFiles&) = delete;

 private:
  rlimit before_{};
};

}  // namespace steerlm
