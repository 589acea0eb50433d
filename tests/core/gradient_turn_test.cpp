#include "steerlm/core/gradient_turn.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace steerlm {
namespace {

using namespace std::chrono_literals;

// Every third micro-batch is slow, some leave a stage out; whatever the threads do, each stage sees them in their
// order.
TEST(GradientOrder, EachStageIsPassedInTheOrderOfTheMicroBatches) {
  constexpr std::int64_t count = 12;
  constexpr std::int32_t stages = 4;
  GradientOrder order(count);
  std::vector<std::vector<std::int64_t>> seen(stages);
  std::atomic<std::int64_t> next = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::int64_t i = next++; i < count; i = next++) {
        const GradientTurn turn{&order, i};
        for (std::int32_t stage = 0; stage < stages; ++stage) {
          if (i % 3 == 0) std::this_thread::sleep_for(1ms);
          if (stage == 2 && i % 5 == 0) continue;
          turn.wait(stage);
          seen[static_cast<size_t>(stage)].push_back(i);
          turn.pass(stage);
        }
        turn.pass(last_stage);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::int64_t> all{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, some{1, 2, 3, 4, 6, 7, 8, 9, 11};
  EXPECT_EQ(seen[0], all);
  EXPECT_EQ(seen[1], all);
  EXPECT_EQ(seen[2], some);
  EXPECT_EQ(seen[3], all);
}

TEST(GradientOrder, WhoWaitsForOneThatHasFailedIsLetGo) {
  GradientOrder order(3);
  std::atomic<int> let_go = 0;
  std::vector<std::thread> threads;
  for (const std::int64_t i : {1, 2}) {
    threads.emplace_back([&, i] {
      try {
        order.wait(i, 0);
        order.pass(i, 0);
      } catch (const GradientOrder::Abandoned&) {
        ++let_go;
      }
    });
  }
  std::this_thread::sleep_for(10ms);
  EXPECT_EQ(let_go, 0);
  order.abandon();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(let_go, 2);
  EXPECT_THROW(order.wait(1, 5), GradientOrder::Abandoned) << "also who comes later";
}

}  // namespace
}  // namespace steerlm
