// Which two neighbouring tokens become which token, and how early?
#pragma once

#include <cstdint>
#include <vector>

#include "io/json.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

struct Merge {
    int32_t rank;  // place in the file; lower goes first
    int32_t id;    // what the pair becomes
};

class MergeTable {
  public:
    // Reads model.merges, an array of "left right" or ["left", "right"]; Error{Corrupt} for a merge
    // whose parts or result are not in the vocabulary.
    static MergeTable parse(const io::Json& merges, const Vocabulary& vocabulary);

    // nullptr if the pair does not merge. `left` and `right` are ids of the vocabulary.
    const Merge* find(int32_t left, int32_t right) const;

    struct Entry {
        int32_t left;
        int32_t right;
        Merge merge;
    };
    const std::vector<Entry>& entries() const { return entries_; }

  private:
    void fill_slots();
    const Merge* find_sorted(int32_t left, int32_t right) const;

    std::vector<Entry> entries_;     // by left, then right
    std::vector<Entry> slots_;       // hashed by the pair; left is -1 where free
    int slot_shift_ = 0;             // a pair's place is the upper bits of its product
    std::vector<int32_t> first_of_;  // [vocabulary size + 1], where a left token's entries begin
};

}  // namespace quarot::tokenizer
