#include "steerlm/data/packer.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace steerlm {
namespace {

// The leftmost bin with enough room in O(log bins): a tree of maxima over the bins' room, bins not opened yet having
// all of it.
class RoomTree {
 public:
  RoomTree(size_t bins, std::int64_t room)
      : leaves_(std::bit_ceil(std::max<size_t>(bins, 1))), room_(2 * leaves_, room) {}

  size_t take(std::int64_t length) {
    size_t node = 1;
    while (node < leaves_) node = 2 * node + (room_[2 * node] >= length ? 0 : 1);
    const size_t bin = node - leaves_;
    room_[node] -= length;
    for (node /= 2; node > 0; node /= 2) room_[node] = std::max(room_[2 * node], room_[2 * node + 1]);
    return bin;
  }

 private:
  size_t leaves_;
  std::vector<std::int64_t> room_;
};

std::vector<size_t> longest_first(std::span<const std::int64_t> lengths) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
  return order;
}

}  // namespace

std::vector<std::vector<size_t>> pack(std::span<const std::int64_t> lengths, std::int64_t budget) {
  const std::vector<size_t> order = longest_first(lengths);
  std::vector<std::vector<size_t>> bins;
  size_t over = 0;  // longer than the budget: the first of the order
  for (; over < order.size() && lengths[order[over]] > budget; ++over) bins.push_back({order[over]});
  RoomTree rooms(order.size() - over, budget);  // one bin each always suffices
  for (size_t i = over; i < order.size(); ++i) {
    const size_t bin = over + rooms.take(lengths[order[i]]);
    if (bin == bins.size()) bins.emplace_back();
    bins[bin].push_back(order[i]);
  }
  return bins;
}

std::vector<std::vector<size_t>> spread(std::span<const std::int64_t> lengths, size_t parts) {
  std::vector<std::vector<size_t>> bins(parts);
  std::vector<std::int64_t> sums(parts, 0);
  for (const size_t i : longest_first(lengths)) {
    const auto least = static_cast<size_t>(std::ranges::min_element(sums) - sums.begin());
    bins[least].push_back(i);
    sums[least] += lengths[i];
  }
  return bins;
}

}  // namespace steerlm
