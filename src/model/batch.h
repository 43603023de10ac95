// One step's work on the host: tokens of several sequences, as forward() takes it.
#pragma once

#include <cstdint>
#include <vector>

namespace quarot::model {

// Flat. Sequence s owns tokens [first_token[s], first_token[s + 1]); their positions are
// consecutive and end at context_lengths[s] - 1. Its pages, in order, are [first_page[s],
// first_page[s + 1]) of `pages`. Its seat (kernels::BatchView) is seats[s]; without any it is s.
struct Batch {
    std::vector<int32_t> token_ids;
    std::vector<int32_t> positions;
    std::vector<int32_t> first_token = {0};  // [n_sequences + 1]
    std::vector<int32_t> context_lengths;    // [n_sequences]
    std::vector<int32_t> pages;
    std::vector<int32_t> first_page = {0};  // [n_sequences + 1]
    std::vector<int32_t> seats;             // [n_sequences] or empty
    std::vector<int32_t> logit_rows;        // indices into the tokens

    int64_t n_tokens() const { return static_cast<int64_t>(token_ids.size()); }
    int64_t n_sequences() const { return static_cast<int64_t>(context_lengths.size()); }
};

}  // namespace quarot::model
