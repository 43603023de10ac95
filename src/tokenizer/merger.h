// Which ids do the symbols of one piece become when merges have been done?
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tokenizer/merge_order.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

// Again and again the pair of the lowest rank, the leftmost among equals, becomes one symbol. A
// long piece goes through in windows: of each, those symbols are taken that no symbols behind the
// window can change, and the next window begins behind them. So memory that is worked on stays in
// the cache, and the time for each byte does not grow with the piece.
class Merger {
  public:
    Merger(MergeTable merges, const Vocabulary& vocabulary)
        : merges_(std::move(merges)), order_(merges_, vocabulary) {}

    const MergeTable& merges() const { return merges_; }

    // What merge() keeps between pieces, and how much it has done.
    struct Workspace {
        struct Symbol {
            int32_t id;
            int32_t previous;  // -1 at the beginning
            int32_t next;      // -1 at the end
            bool merged_away;
        };
        struct Candidate {
            int32_t rank;
            int32_t position;
            int32_t id;
        };
        std::vector<Symbol> symbols;
        std::vector<Candidate> queue;  // heap, lowest rank then lowest position first
        int64_t candidates = 0;        // all that ever entered a queue
        size_t window = kWindow;       // of symbols; smaller ones make sense in tests only
    };
    static constexpr size_t kWindow = 4096;

    // Appends the ids of a piece of at most kMaxSymbols.
    static constexpr size_t kMaxSymbols = INT32_MAX / 8;
    void merge(std::span<const int32_t> symbols, Workspace& work, std::vector<int32_t>& ids) const;

  private:
    class Window;

    MergeTable merges_;
    MergeOrder order_;
};

}  // namespace quarot::tokenizer
