// Whole pages of the cache found by all tokens up to their end, so that a sequence that begins as
// an earlier one did need not compute that beginning again.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "runtime/page_pool.h"

namespace quarot::runtime {

// A tree of pages: each is found by the page before it and its own tokens, which are compared in
// full. The index is one holder of each of its pages. Used by one thread; the pool must outlive it.
class PrefixIndex {
  public:
    PrefixIndex(PagePool& pool, int64_t page_tokens) : pool_(pool), page_tokens_(page_tokens) {}

    // Pages of the longest beginning of `tokens` that the index has, in order; the caller becomes
    // a holder of each.
    std::vector<PageId> longest(std::span<const int32_t> tokens);
    // `pages` hold K and V of `tokens`; whole ones that the index lacks become its own too. The
    // first n_gone are the caller's no more: where the index lacks one of them, it takes none.
    void publish(std::span<const int32_t> tokens, std::span<const PageId> pages,
                 int64_t n_gone = 0);

    // Pages that only the index holds.
    int64_t evictable() const;
    // Gives up the one of them that was unused the longest, and with it what follows it in the
    // tree. There must be one.
    void evict();

    int64_t n_pages() const { return static_cast<int64_t>(nodes_.size()); }

  private:
    using NodeId = int64_t;
    using Key = std::pair<NodeId, std::vector<int32_t>>;  // the node before, a page's tokens
    struct Node {
        NodeId id = 0;
        PageId page = 0;
        int64_t depth = 0;
        int64_t last_used = 0;
    };
    static constexpr NodeId kRoot = 0;

    Key key_of(NodeId before, std::span<const int32_t> tokens, int64_t page) const;
    void remove(std::map<Key, Node>::iterator node);

    PagePool& pool_;
    int64_t page_tokens_;
    std::map<Key, Node> nodes_;  // children of a node are neighbours
    NodeId next_id_ = kRoot + 1;
    int64_t now_ = 0;  // counts calls
};

}  // namespace quarot::runtime
