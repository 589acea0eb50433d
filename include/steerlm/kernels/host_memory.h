// The CPU's memory for tensors.
#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>

namespace steerlm {

// Every step of a training allocates and frees much the same large tensors, but not of quite the same sizes. malloc
// keeps what was freed in heaps that other sizes fit into badly, so that a run grows. Here a tensor of 1 MiB or more
// has pages of its own, from 4 MiB on large ones where the system gives them (madvise), and a block that was freed is
// kept for one of about its size (at most 25 % less). Kept and used blocks together are never more than 9/8 of the most
// that was used at the same time; what was freed longest ago is given back first. Smaller tensors are malloc's.
//
// Thread-safe. Throws std::bad_alloc where the system has no memory left, after everything kept was given back.
class HostMemory final : public c10::Allocator {
 public:
  static constexpr std::size_t large = std::size_t{1} << 20;

  HostMemory() = default;
  ~HostMemory() override;
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  c10::DataPtr allocate(std::size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* to, const void* from, std::size_t bytes) const override;

  std::size_t used() const;  // bytes of large blocks in use
  std::size_t kept() const;  // of those kept for later

 private:
  struct Block {
    void* data;
    std::size_t size;
  };
  static void free_any(void* data);
  Block take(std::size_t size);
  void give(Block block);
  void release_oldest();

  mutable std::mutex mutex_;
  std::size_t used_ = 0, kept_ = 0, most_used_ = 0;
  std::list<Block> free_;                                           // the oldest first
  std::multimap<std::size_t, std::list<Block>::iterator> by_size_;  // of the free ones
};

// From now on the memory of all CPU tensors of this process. Once, before the first tensor.
void use_host_memory();

}  // namespace steerlm
