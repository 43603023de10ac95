// When can a symbol still merge with what stands on its right, whatever that is?
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/merge_table.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

// Merges happen in the order of their ranks, except that a new symbol can take part at once in a
// merge of a lower rank than the one just done. Call a merge late if one of its parts can be made
// by a merge of the same or a higher rank: it can happen whenever its right part can be there. All
// others happen exactly when the highest rank so far is their own: both parts are there before.
class MergeOrder {
  public:
    static constexpr int32_t kNever = INT32_MAX;

    // `symbols` are those of more than one character that a piece can begin with: unknown and byte
    // tokens. No merge has to make them.
    MergeOrder(const MergeTable& merges, const Vocabulary& vocabulary,
               std::span<const int32_t> symbols);

    // How high the highest rank so far must be for a late merge with the token on its left, or
    // kNever.
    int32_t late_from(int32_t left) const { return late_from_[static_cast<size_t>(left)]; }
    // The lowest rank >= `from` of a merge with the token on its left, or kNever.
    int32_t next_rank(int32_t left, int32_t from) const;

  private:
    std::vector<int32_t> late_from_;  // of each id
    std::vector<int32_t> ranks_;     // of the merges with the same left, ascending, left after left
    std::vector<int32_t> first_of_;  // [vocabulary size + 1], where a left token's ranks begin
};

}  // namespace quarot::tokenizer
