#include "steerlm/nn/cards.h"

#include <array>
#include <charconv>
#include <vector>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

constexpr std::int64_t gb = 1'000'000'000;

// A driver's name that holds another's comes before it. Data sheets print peaks with sparsity, which are twice these.
constexpr std::array<GpuCard, 16> cards{{
    {"", "GB200", 2500e12, 0, 0, "GB200 NVL72 data sheet"},
    {"b200", "B200", 2250e12, 180 * gb, 148, "DGX B200 data sheet, an eighth"},
    {"", "B100", 1750e12, 0, 0, "HGX B100 data sheet"},
    {"", "GH200", 989e12, 0, 0, "GH200 data sheet"},
    {"h200", "H200", 989e12, 141 * gb, 132, "H200 data sheet, SXM"},
    {"h100-pcie", "H100 PCIe", 756e12, 80 * gb, 114, "H100 data sheet, PCIe"},
    {"h100-nvl", "H100 NVL", 835e12, 94 * gb, 132, "H100 data sheet, NVL"},
    {"h100", "H100", 989e12, 80 * gb, 132, "H100 data sheet, SXM"},
    {"", "H800", 989e12, 0, 0, "as the H100"},
    {"a100-40gb", "A100-SXM4-40GB", 312e12, 40 * gb, 108, "A100 data sheet, 40 GB"},
    {"a100", "A100", 312e12, 80 * gb, 108, "A100 data sheet, 80 GB"},
    {"", "A800", 312e12, 0, 0, "as the A100"},
    {"l40s", "L40S", 362e12, 48 * gb, 142, "L40S data sheet"},
    {"rtx4090", "RTX 4090", 165e12, 24 * gb, 128, "Ada GPU architecture white paper"},
    {"rtx3090", "RTX 3090", 71e12, 24 * gb, 82, "GA102 GPU architecture white paper"},
    {"a10g", "A10G", 70e12, 24 * gb, 80, "A10G data sheet"},
}};

}  // namespace

std::span<const GpuCard> gpu_cards() { return cards; }

Machine parse_machine(const std::string& text) {
  Machine machine;
  std::string name = text;
  if (const size_t x = text.find('x'); x != std::string::npos && x > 0) {
    const auto [rest, error] = std::from_chars(text.data(), text.data() + x, machine.cards);
    if (error == std::errc{} && rest == text.data() + x && machine.cards >= 1)
      name = text.substr(x + 1);
    else
      machine.cards = 1;
  }
  std::vector<std::string> names;
  for (const GpuCard& card : cards) {
    if (card.name.empty()) continue;
    if (card.name == name) {
      machine.card = card;
      return machine;
    }
    names.emplace_back(card.name);
  }
  fail(ExitCode::recipe, {.what = "no machine of this name is known",
                          .where = "--machine",
                          .found = "'" + text + "'",
                          .expected = "one of " + join(names) + ", or several of one, such as 8xh100",
                          .advice = suggest(name, names)});
}

double printed_peak_flops(const std::string& driver_name) {
  for (const GpuCard& card : cards) {
    if (driver_name.find(card.driver_name) != std::string::npos) return card.bf16_flops;
  }
  return 0;
}

}  // namespace steerlm
