// Pages of the KV cache, and how many hold each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quarot::runtime {

using PageId = int32_t;

// Counts alone: the bytes of a page are the backend's. Used by one thread.
class PagePool {
  public:
    explicit PagePool(int64_t n_pages);

    // A free page with one holder, of those used before first, so that what was never needed stays
    // untouched. There must be one.
    PageId take();
    void share(PageId page);    // one holder more
    void release(PageId page);  // one fewer; without any it is free

    int64_t size() const { return static_cast<int64_t>(holders_.size()); }
    int64_t free() const { return static_cast<int64_t>(free_.size()); }
    int64_t holders(PageId page) const { return holders_.at(static_cast<size_t>(page)); }

  private:
    std::vector<int32_t> holders_;  // by page
    std::vector<PageId> free_;      // the next one last
};

}  // namespace quarot::runtime
