// Who owns which page of the KV cache: free pages and the page tables of sequences.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace quarot::runtime {

using SequenceId = int32_t;

// Host-side bookkeeping only; the bytes of a page are the backend's. Used by one thread.
class PageTables {
  public:
    PageTables(int64_t n_pages, int64_t page_tokens);

    SequenceId add_sequence();
    void remove_sequence(SequenceId id);  // its pages are free again

    // Makes room for n more tokens; Error{OutOfMemory} with both numbers if pages run out, and then
    // nothing has changed.
    void extend(SequenceId id, int64_t n_tokens);

    // Keeps the first n_tokens tokens and their pages.
    void truncate(SequenceId id, int64_t n_tokens);

    int64_t length(SequenceId id) const;  // tokens
    const std::vector<int32_t>& pages(SequenceId id) const;
    int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }

  private:
    struct Sequence {
        std::vector<int32_t> pages;
        int64_t length = 0;
    };
    int64_t page_tokens_;
    std::vector<int32_t> free_;
    std::map<SequenceId, Sequence> sequences_;
    SequenceId next_id_ = 0;
};

}  // namespace quarot::runtime
