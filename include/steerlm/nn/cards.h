// GPUs by name: what their makers print, for forecasts on another machine and for the share of the peak that a run
// reaches. docs/gpu.md shows the same table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace steerlm {

struct GpuCard {
  std::string_view name;          // of --machine; "": only its peak is known
  std::string_view driver_name;   // what the driver's name of the card holds
  double bf16_flops = 0;          // peak a second of dense products in bf16: without sparsity, sums in fp32
  std::int64_t memory_bytes = 0;  // as printed, 1 GB = 10^9 bytes
  std::int64_t multiprocessors = 0;
  std::string_view source;
};
std::span<const GpuCard> gpu_cards();

// "h100", or "8xh100" for eight of them.
struct Machine {
  GpuCard card;
  std::int64_t cards = 1;
};
// Throws recipe, with the names that there are.
Machine parse_machine(const std::string& text);

// The dense bf16 peak of a card by its name as the driver tells it; 0: not known.
double printed_peak_flops(const std::string& driver_name);

}  // namespace steerlm
