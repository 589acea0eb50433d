#include "steerlm/nn/cards.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

TEST(GpuCards, PeakIsFoundByTheDriversName) {
  EXPECT_EQ(printed_peak_flops("NVIDIA H100 80GB HBM3 (cuda:0)"), 989e12);
  EXPECT_EQ(printed_peak_flops("NVIDIA H100 PCIe"), 756e12);
  EXPECT_EQ(printed_peak_flops("NVIDIA GB200"), 2500e12) << "not that of a B200";
  EXPECT_EQ(printed_peak_flops("NVIDIA GH200 480GB"), 989e12);
  EXPECT_EQ(printed_peak_flops("NVIDIA A100-SXM4-80GB"), 312e12);
  EXPECT_EQ(printed_peak_flops("NVIDIA Unheard 1"), 0);
}

TEST(GpuCards, NoDriversNameHidesALaterOne) {
  for (size_t i = 0; i < gpu_cards().size(); ++i) {
    for (size_t j = i + 1; j < gpu_cards().size(); ++j)
      EXPECT_EQ(gpu_cards()[j].driver_name.find(gpu_cards()[i].driver_name), std::string::npos)
          << gpu_cards()[j].driver_name;
  }
}

TEST(GpuCards, MachinesAreReadByName) {
  EXPECT_EQ(parse_machine("h100").card.memory_bytes, 80'000'000'000);
  EXPECT_EQ(parse_machine("h100").cards, 1);
  EXPECT_EQ(parse_machine("8xh200").cards, 8);
  EXPECT_EQ(parse_machine("8xh200").card.name, "h200");
  EXPECT_EQ(parse_machine("rtx4090").card.name, "rtx4090") << "the x is its own";
  EXPECT_EQ(parse_machine("2xrtx4090").card.name, "rtx4090");
  for (const char* wrong : {"", "h10", "0xh100", "-1xh100", "xh100", "8x", "8xh100x", "8 xh100", "H100"}) {
    try {
      parse_machine(wrong);
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::recipe) << wrong;
      EXPECT_NE(std::string(error.what()).find("h100-pcie"), std::string::npos) << error.what();
    }
  }
}

// The page and the program have one table.
TEST(GpuCards, AreThoseOfTheDocumentation) {
  std::stringstream page;
  page << std::ifstream(STEERLM_SOURCE_DIR "/docs/gpu.md").rdbuf();
  for (const GpuCard& card : gpu_cards()) {
    if (card.name.empty()) continue;
    const std::string row = fmt::format("| `{}` | {:g} TFLOP/s | {} GB | {} | {} |", card.name, card.bf16_flops / 1e12,
                                        card.memory_bytes / 1'000'000'000, card.multiprocessors, card.source);
    EXPECT_NE(page.str().find(row), std::string::npos) << row;
  }
}

}  // namespace
}  // namespace steerlm
