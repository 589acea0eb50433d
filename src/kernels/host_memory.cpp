#include "steerlm/kernels/host_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <new>
#include <unordered_map>

namespace steerlm {
namespace {

constexpr std::size_t small_unit = std::size_t{64} << 10, large_page = std::size_t{2} << 20;

// Where each large block in use came from, so that a pointer alone is enough to free it.
struct Owners {
  struct Owner {
    HostMemory* memory;
    std::size_t size;
  };
  std::mutex mutex;
  std::unordered_map<void*, Owner> of;
};
Owners& owners() {
  static Owners* const all = new Owners;  // tensors with static lifetime may be freed after everything else
  return *all;
}

// A block of that many bytes: whole pages, and from two large pages on whole large ones.
std::size_t rounded(std::size_t bytes) {
  const std::size_t unit = bytes < 2 * large_page ? small_unit : large_page;
  return (bytes + unit - 1) / unit * unit;
}

void* map_pages(std::size_t size) {
  void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return mapped == MAP_FAILED ? nullptr : mapped;
}

// nullptr where the system has none.
void* map_block(std::size_t size) {
  if (size < 2 * large_page) return map_pages(size);
  const std::size_t more = size + large_page;
  void* const mapped = map_pages(more);
  if (mapped == nullptr) return nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(mapped);
  const std::uintptr_t begin = (address + large_page - 1) / large_page * large_page;
  char* const data = static_cast<char*>(mapped) + (begin - address);
  if (begin > address) ::munmap(mapped, begin - address);
  if (address + more > begin + size) ::munmap(data + size, address + more - begin - size);
  ::madvise(data, size, MADV_HUGEPAGE);  // where it is not obeyed the pages are small
  return data;
}

}  // namespace

HostMemory::~HostMemory() {
  while (!free_.empty()) release_oldest();
}

std::size_t HostMemory::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

std::size_t HostMemory::kept() const {
  const std::lock_guard lock(mutex_);
  return kept_;
}

void HostMemory::release_oldest() {
  const auto oldest = free_.begin();
  const auto [first, last] = by_size_.equal_range(oldest->size);
  by_size_.erase(std::find_if(first, last, [&](const auto& entry) { return entry.second == oldest; }));
  kept_ -= oldest->size;
  ::munmap(oldest->data, oldest->size);
  free_.erase(oldest);
}

HostMemory::Block HostMemory::take(std::size_t size) {
  const std::lock_guard lock(mutex_);
  Block block{nullptr, size};
  if (const auto fit = by_size_.lower_bound(size); fit != by_size_.end() && fit->first <= size + size / 4) {
    block = *fit->second;
    kept_ -= block.size;
    free_.erase(fit->second);
    by_size_.erase(fit);
  }
  const std::size_t most = std::max(most_used_, used_ + block.size);
  const auto too_much = [&] { return used_ + block.size + kept_ > most + most / 8; };
  while (!free_.empty() && too_much()) release_oldest();
  while (block.data == nullptr && (block.data = map_block(size)) == nullptr) {
    if (free_.empty()) throw std::bad_alloc();
    release_oldest();
  }
  used_ += block.size;
  most_used_ = most;
  return block;
}

void HostMemory::give(Block block) {
  const std::lock_guard lock(mutex_);
  used_ -= block.size;
  kept_ += block.size;
  free_.push_back(block);
  by_size_.emplace(block.size, std::prev(free_.end()));
}

void HostMemory::free_any(void* data) {
  Owners::Owner owner{nullptr, 0};
  {
    const std::lock_guard lock(owners().mutex);
    if (const auto found = owners().of.find(data); found != owners().of.end()) {
      owner = found->second;
      owners().of.erase(found);
    }
  }
  if (owner.memory == nullptr) return c10::free_cpu(data);
  owner.memory->give({data, owner.size});
}

c10::DataPtr HostMemory::allocate(std::size_t bytes) {
  const c10::Device cpu(c10::DeviceType::CPU);
  if (bytes < large) {
    void* const data = c10::alloc_cpu(bytes);
    return {data, data, &c10::free_cpu, cpu};
  }
  const Block block = take(rounded(bytes));
  const std::lock_guard lock(owners().mutex);
  owners().of[block.data] = {this, block.size};
  return {block.data, block.data, &free_any, cpu};
}

c10::DeleterFnPtr HostMemory::raw_deleter() const { return &free_any; }

void HostMemory::copy_data(void* to, const void* from, std::size_t bytes) const { default_copy_data(to, from, bytes); }

void use_host_memory() {
  // Never destroyed: tensors with static lifetime may outlive everything else.
  static HostMemory* const memory = new HostMemory;
  c10::SetCPUAllocator(memory, 1);
}

}  // namespace steerlm
