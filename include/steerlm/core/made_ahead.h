#pragma once

#include <functional>
#include <future>
#include <optional>
#include <utility>

namespace steerlm {

// The items of a loop that `make` gives one after the other, none at the end. `ahead`: the next one is made by another
// thread while the caller works on the last, for a caller that waits for a device; otherwise when it is asked for. What
// `make` throws is thrown by the next() that would have given the item. `make` is called by one thread at a time, and
// may be running until the destructor has returned.
template <class Item>
class MadeAhead {
 public:
  MadeAhead(bool ahead, std::function<std::optional<Item>()> make)
      : policy_(ahead ? std::launch::async : std::launch::deferred), make_(std::move(make)) {
    next_ = std::async(policy_, make_);
  }
  MadeAhead(const MadeAhead&) = delete;
  MadeAhead& operator=(const MadeAhead&) = delete;

  // Not to be called again after the end.
  std::optional<Item> next() {
    std::optional<Item> item = next_.get();
    if (item) next_ = std::async(policy_, make_);
    return item;
  }

 private:
  std::launch policy_;
  std::function<std::optional<Item>()> make_;
  std::future<std::optional<Item>> next_;  // last: its destructor waits for a thread that runs make_
};

}  // namespace steerlm
