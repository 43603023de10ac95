#include "runtime/page_pool.h"

#include "core/check.h"

namespace quarot::runtime {

PagePool::PagePool(int64_t n_pages) : holders_(static_cast<size_t>(n_pages), 0) {
    QUAROT_CHECK(n_pages > 0, "{}", n_pages);
    for (int64_t page = n_pages - 1; page >= 0; --page) free_.push_back(static_cast<PageId>(page));
}

PageId PagePool::take() {
    QUAROT_CHECK(!free_.empty());
    const PageId page = free_.back();
    free_.pop_back();
    holders_[static_cast<size_t>(page)] = 1;
    return page;
}

void PagePool::share(PageId page) {
    QUAROT_CHECK(holders(page) > 0, "page {}", page);
    ++holders_[static_cast<size_t>(page)];
}

void PagePool::release(PageId page) {
    QUAROT_CHECK(holders(page) > 0, "page {}", page);
    if (--holders_[static_cast<size_t>(page)] == 0) free_.push_back(page);
}

}  // namespace quarot::runtime
