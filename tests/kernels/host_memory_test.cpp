#include "steerlm/kernels/host_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "steerlm/core/rng.h"

namespace steerlm {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

TEST(HostMemoryTest, AFreedBlockIsTakenForOneOfAboutItsSize) {
  HostMemory memory;
  void* address = nullptr;
  {
    const c10::DataPtr block = memory.allocate(40 * mib);
    address = block.get();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(address) % (2 * mib), 0u) << "large pages begin at their multiples";
    EXPECT_EQ(memory.used(), 40 * mib);
  }
  EXPECT_EQ(memory.used(), 0u);
  EXPECT_EQ(memory.kept(), 40 * mib);
  EXPECT_EQ(memory.allocate(33 * mib).get(), address) << "of 34 MiB, which is 15 % less";
  EXPECT_NE(memory.allocate(20 * mib).get(), address) << "half of it would be lost";
}

TEST(HostMemoryTest, HoldsNoMoreThanAnEighthBeyondTheMostInUse) {
  HostMemory memory;
  std::vector<std::optional<c10::DataPtr>> blocks(12);
  std::size_t most = 0;
  for (std::uint64_t round = 0; round < 3000; ++round) {
    Rng rng(3, "host memory", round);
    std::optional<c10::DataPtr>& block = blocks[rng.below(blocks.size())];
    block.reset();
    if (rng.below(3) > 0) {
      const std::size_t bytes = mib + rng.below(20 * mib);
      block = memory.allocate(bytes);
      std::memset(block->get(), 1, 1);
      std::memset(static_cast<char*>(block->get()) + bytes - 1, 1, 1);
    }
    most = std::max(most, memory.used());
    EXPECT_LE(memory.used() + memory.kept(), most + most / 8);
  }
  EXPECT_GT(memory.kept(), 0u);
  blocks.clear();
  EXPECT_EQ(memory.used(), 0u);
}

TEST(HostMemoryTest, BlocksInUseDoNotOverlap) {
  HostMemory memory;
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::pair<c10::DataPtr, std::size_t>> held;
      for (std::uint64_t round = 0; round < 300; ++round) {
        Rng rng(t, "threads", round);
        const std::size_t bytes = mib / 2 + rng.below(6 * mib);
        held.emplace_back(memory.allocate(bytes), bytes);
        for (const std::size_t at : {std::size_t{0}, bytes / 2, bytes - 1})
          static_cast<char*>(held.back().first.get())[at] = static_cast<char>(t + 1);
        if (held.size() < 5) continue;
        const auto& [data, size] = held[rng.below(held.size())];
        for (const std::size_t at : {std::size_t{0}, size / 2, size - 1})
          wrong[t] += static_cast<const char*>(data.get())[at] != static_cast<char>(t + 1);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(rng.below(held.size())));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
  EXPECT_EQ(memory.used(), 0u);
}

TEST(HostMemoryTest, WorksByThePointerAlone) {
  HostMemory memory;
  void* const large = memory.raw_allocate(3 * mib);
  void* const small = memory.raw_allocate(100);
  EXPECT_EQ(memory.used(), 3 * mib);
  memory.raw_deallocate(small);
  memory.raw_deallocate(large);
  EXPECT_EQ(memory.used(), 0u);
  EXPECT_EQ(memory.allocate(0).get(), nullptr);
}

TEST(HostMemoryTest, GivesBackWhatItKeepsBeforeItFails) {
  HostMemory memory;
  { const c10::DataPtr block = memory.allocate(64 * mib); }
  EXPECT_EQ(memory.kept(), 64 * mib);
  EXPECT_THROW(memory.allocate(std::size_t{1} << 60), std::bad_alloc);
  EXPECT_EQ(memory.kept(), 0u);
  EXPECT_EQ(memory.used(), 0u);
  { const c10::DataPtr block = memory.allocate(64 * mib); }
  { const c10::DataPtr block = memory.allocate(16 * mib); }
  EXPECT_LE(memory.kept(), 72 * mib) << "what could not be had counts as used";
}

}  // namespace
}  // namespace steerlm
