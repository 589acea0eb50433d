#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace steerlm {

// First-fit decreasing: the longest first, each into the first bin with room; equal lengths in input order. At most
// 11/9 of the fewest bins + 1 (Dósa 2007: + 6/9). What is longer than `budget` gets a bin by itself. Bins hold indices
// in the order in which they were put in.
std::vector<std::vector<size_t>> pack(std::span<const std::int64_t> lengths, std::int64_t budget);

// `parts` bins of about the same sum: the longest first, each into the bin that holds least, the first of equals
// (Graham 1969: the largest sum is at most 4/3 of the smallest possible). Bins may stay empty where parts are more than
// lengths. Bins hold indices in the order in which they were put in.
std::vector<std::vector<size_t>> spread(std::span<const std::int64_t> lengths, size_t parts);

}  // namespace steerlm
