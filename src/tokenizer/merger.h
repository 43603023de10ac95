// Which ids do the symbols of one piece become when merges have been done?
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tokenizer/candidate_queue.h"
#include "tokenizer/merge_order.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

// Again and again the pair of the lowest rank, the leftmost among equals, becomes one symbol.
class Merger {
  public:
    // `symbols` are those of more than one character that merge() may get.
    Merger(MergeTable merges, const Vocabulary& vocabulary, std::span<const int32_t> symbols)
        : merges_(std::move(merges)), order_(merges_, vocabulary, symbols) {}

    const MergeTable& merges() const { return merges_; }

    // What merge() keeps between pieces, and how much it has done.
    struct Workspace {
        static constexpr int32_t kMerged = -1;
        struct Symbol {
            int32_t id;        // kMerged if it has become a part of a symbol before it
            int32_t previous;  // -1 at the beginning
            int32_t next;      // the number of symbols at the end
        };
        std::vector<Symbol> symbols;
        CandidateQueue queue;
        int64_t candidates = 0;  // all that ever entered a queue
    };

    // Appends the ids of the symbols, at most kMaxSymbols. If the piece goes on behind them, it
    // appends only those that cannot change whatever follows, perhaps none. Returns how many of the
    // symbols have become what was appended; the rest is to be merged with what follows, as if a
    // piece began there.
    static constexpr size_t kMaxSymbols = INT32_MAX / 8;
    size_t merge(std::span<const int32_t> symbols, bool piece_goes_on, Workspace& work,
                 std::vector<int32_t>& ids) const;

  private:
    class Window;

    MergeTable merges_;
    MergeOrder order_;
};

}  // namespace quarot::tokenizer
