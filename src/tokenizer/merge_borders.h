// Where can a long text be cut without changing what its merges give?
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_set>

#include "tokenizer/merge_table.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

// Two neighbouring characters that are both tokens, and between which no merge ever reaches, belong
// to symbols that never meet: the parts on either side can be encoded one by one.
class MergeBorders {
  public:
    MergeBorders(const MergeTable& merges, const Vocabulary& vocabulary);

    // The end of the part that begins at `at` < text.size(); the text is valid UTF-8.
    size_t part_end(std::string_view text, size_t at) const;

  private:
    bool joins(char32_t left, char32_t right) const {
        return joined_.contains(uint64_t{left} << 32 | right);
    }

    std::unordered_set<uint64_t> joined_;  // last character of a merge's left, first of its right
    std::unordered_set<char32_t> known_;   // characters that are tokens
};

}  // namespace quarot::tokenizer
