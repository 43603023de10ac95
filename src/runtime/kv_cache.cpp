#include "runtime/kv_cache.h"

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"

namespace quarot::runtime {

PageTables::PageTables(int64_t n_pages, int64_t page_tokens) : page_tokens_(page_tokens) {
    QUAROT_CHECK(n_pages > 0 && page_tokens > 0);
    for (int64_t page = n_pages - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
}

SequenceId PageTables::add_sequence() {
    sequences_.emplace(next_id_, Sequence{});
    return next_id_++;
}

void PageTables::remove_sequence(SequenceId id) {
    const auto& pages = sequences_.at(id).pages;
    free_.insert(free_.end(), pages.rbegin(), pages.rend());
    sequences_.erase(id);
}

void PageTables::extend(SequenceId id, int64_t n_tokens) {
    Sequence& sequence = sequences_.at(id);
    const int64_t needed = ceil_div(sequence.length + n_tokens, page_tokens_) -
                           static_cast<int64_t>(sequence.pages.size());
    if (needed > free_pages()) {
        fail(ErrorCode::OutOfMemory,
             "the KV cache has {} free pages of {} tokens, {} more tokens need {}; use a larger "
             "--ctx",
             free_pages(), page_tokens_, n_tokens, needed);
    }
    for (int64_t i = 0; i < needed; ++i) {
        sequence.pages.push_back(free_.back());
        free_.pop_back();
    }
    sequence.length += n_tokens;
}

void PageTables::truncate(SequenceId id, int64_t n_tokens) {
    Sequence& sequence = sequences_.at(id);
    QUAROT_CHECK(n_tokens >= 0 && n_tokens <= sequence.length, "{} of {}", n_tokens,
                 sequence.length);
    sequence.length = n_tokens;
    while (std::ssize(sequence.pages) > ceil_div(n_tokens, page_tokens_)) {
        free_.push_back(sequence.pages.back());
        sequence.pages.pop_back();
    }
}

int64_t PageTables::length(SequenceId id) const {
    return sequences_.at(id).length;
}

const std::vector<int32_t>& PageTables::pages(SequenceId id) const {
    return sequences_.at(id).pages;
}

}  // namespace quarot::runtime
