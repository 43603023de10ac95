// Symbols form a linked list over which a queue of candidate merges works. Where text goes on
// behind the list, a front tells how far its symbols are known to be those of the whole text:
//
//     t h e _ q u i c k _ b r o w n|. . .      the last symbol may yet merge with what follows
//                          front ^
//
// The front moves left by one symbol when the highest rank so far passes that of any merge with the
// symbol on its left, or if such a merge can come late (merge_order.h). At the end no merge can
// have crossed the front's right side: what is left of it is as if the text ended there. Merges of
// one rank go from left to right, so those that end the front's time come after those before it.
#include "tokenizer/merger.h"

#include <algorithm>

namespace quarot::tokenizer {
class Merger::Window {
  public:
    Window(const Merger& merger, Workspace& work) : merger_(merger), work_(work) {}

    // Merges the symbols; returns how many of them are known to have become what was appended.
    size_t merge(std::span<const int32_t> symbols, bool piece_goes_on, std::vector<int32_t>& ids);

  private:
    using Symbol = Workspace::Symbol;
    Symbol& symbol(int32_t position) { return work_.symbols[static_cast<size_t>(position)]; }

    void fill(std::span<const int32_t> symbols);
    void consider(int32_t left);
    void merge_candidates();
    void join(int32_t position, int32_t id);
    void set_front(int32_t position, int32_t rank);
    void draw_front_back();

    const Merger& merger_;
    Workspace& work_;
    int32_t highest_ = -1;  // rank so far
    bool has_front_ = false;
    int32_t front_ = -1;       // position of the last symbol that is known, -1: none is
    int32_t front_limit_ = 0;  // when the highest rank is above this one, it is known no more
};

size_t Merger::Window::merge(std::span<const int32_t> symbols, bool piece_goes_on,
                             std::vector<int32_t>& ids) {
    fill(symbols);
    has_front_ = piece_goes_on;
    if (has_front_) set_front(static_cast<int32_t>(symbols.size()) - 1, 0);
    merge_candidates();
    if (has_front_) {
        highest_ = MergeOrder::kNever - 1;  // all that can ever come
        draw_front_back();
    }
    size_t known = symbols.size();
    if (has_front_) {
        known = front_ < 0 ? 0 : static_cast<size_t>(symbol(front_).next);
    }
    for (size_t at = 0; at < known; ++at) {
        if (work_.symbols[at].id != Workspace::kMerged) ids.push_back(work_.symbols[at].id);
    }
    return known;
}

void Merger::Window::fill(std::span<const int32_t> symbols) {
    work_.symbols.clear();
    work_.symbols.reserve(symbols.size());
    for (size_t at = 0; at < symbols.size(); ++at) {
        const auto position = static_cast<int32_t>(at);
        work_.symbols.push_back(
            {.id = symbols[at], .previous = position - 1, .next = position + 1});
    }
    work_.queue.clear(symbols.size());
    for (size_t at = 0; at + 1 < symbols.size(); ++at) consider(static_cast<int32_t>(at));
}

void Merger::Window::consider(int32_t left) {
    const int32_t right = symbol(left).next;
    if (right == static_cast<int32_t>(work_.symbols.size())) return;
    const Merge* merge = merger_.merges_.find(symbol(left).id, symbol(right).id);
    if (merge == nullptr) return;
    work_.queue.push({.rank = merge->rank, .position = left, .id = merge->id});
    ++work_.candidates;
}

void Merger::Window::merge_candidates() {
    while (!work_.queue.empty()) {
        const MergeCandidate top = work_.queue.pop();
        const Symbol& left = symbol(top.position);
        const bool is_last = left.next == static_cast<int32_t>(work_.symbols.size());
        if (left.id == Workspace::kMerged || is_last) continue;
        const Merge* merge = merger_.merges_.find(left.id, symbol(left.next).id);
        if (merge == nullptr || merge->id != top.id) continue;  // a neighbour has changed since
        highest_ = std::max(highest_, top.rank);
        if (has_front_) {
            draw_front_back();
            if (top.position >= front_) continue;  // reaches beyond what is known
        }
        join(top.position, top.id);
    }
}

void Merger::Window::join(int32_t position, int32_t id) {
    Symbol& left = symbol(position);
    const int32_t right = left.next;
    left.id = id;
    left.next = symbol(right).next;
    symbol(right).id = Workspace::kMerged;
    if (left.next < static_cast<int32_t>(work_.symbols.size())) {
        symbol(left.next).previous = position;
    }
    if (has_front_ && right == front_) set_front(position, highest_ + 1);
    for (int32_t changed : {left.previous, position}) {
        if (changed >= 0) consider(changed);
    }
}

// The symbol at `position` is the last known one from the time on when ranks below `rank` are done.
void Merger::Window::set_front(int32_t position, int32_t rank) {
    const MergeOrder& order = merger_.order_;
    while (position >= 0 && order.late_from(symbol(position).id) <= highest_) {
        position = symbol(position).previous;
    }
    front_ = position;
    if (position < 0) return;
    const int32_t id = symbol(position).id;
    front_limit_ = std::min(order.next_rank(id, rank), order.late_from(id));
}

void Merger::Window::draw_front_back() {
    while (front_ >= 0 && front_limit_ < highest_) {
        set_front(symbol(front_).previous, front_limit_ + 1);
    }
}

size_t Merger::merge(std::span<const int32_t> symbols, bool piece_goes_on, Workspace& work,
                     std::vector<int32_t>& ids) const {
    return Window(*this, work).merge(symbols, piece_goes_on, ids);
}

}  // namespace quarot::tokenizer
