// Several sequences in one batch, their pages scattered over the cache.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/subject.h"

namespace quarot::backend_test {

// `n_new` tokens of a sequence that has `n_past` in the cache already.
struct Piece {
    int64_t n_past = 0;
    int64_t n_new = 0;
    int64_t seat = -1;  // -1: its place among the sequences
};

// Page p of sequence s is always the same page of the store, so batches that continue each other
// find what was stored: sequence s owns pages of max_pages each, counted backwards.
class TestBatch {
  public:
    // n_padding tokens that belong to no sequence follow the others.
    TestBatch(Bench& bench, const std::vector<Piece>& runs, int64_t page_tokens, int64_t max_pages,
              int64_t n_padding = 0);
    const kernels::BatchView& view() const { return view_; }
    static int64_t page_of(int64_t sequence, int64_t index, int64_t max_pages) {
        return sequence * max_pages + (max_pages - 1 - index);
    }

  private:
    kernels::BatchView view_;
};

// Every vector of one kind of a layer, in order of position then head, for one sequence.
std::vector<kernels::KvStore::Entry> entries_of(const kernels::KvStore& store, kernels::KvKind kind,
                                                int64_t layer, int64_t sequence,
                                                int64_t n_positions, int64_t max_pages);

}  // namespace quarot::backend_test
