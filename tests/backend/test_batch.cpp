#include "backend/test_batch.h"

#include "core/checked_math.h"

namespace quarot::backend_test {

using namespace kernels;

TestBatch::TestBatch(Bench& bench, const std::vector<Piece>& runs, int64_t page_tokens,
                     int64_t max_pages, int64_t n_padding) {
    std::vector<int32_t> ids, positions, sequences, lengths, pages, first{0}, first_page{0}, seats;
    for (size_t s = 0; s < runs.size(); ++s) {
        const int64_t length = runs[s].n_past + runs[s].n_new;
        for (int64_t p = runs[s].n_past; p < length; ++p) {
            ids.push_back(static_cast<int32_t>(p % 5));
            positions.push_back(static_cast<int32_t>(p));
            sequences.push_back(static_cast<int32_t>(s));
        }
        first.push_back(static_cast<int32_t>(positions.size()));
        lengths.push_back(static_cast<int32_t>(length));
        seats.push_back(
            static_cast<int32_t>(runs[s].seat < 0 ? static_cast<int64_t>(s) : runs[s].seat));
        for (int64_t i = 0; i < ceil_div(length, page_tokens); ++i) {
            pages.push_back(static_cast<int32_t>(page_of(static_cast<int64_t>(s), i, max_pages)));
        }
        first_page.push_back(static_cast<int32_t>(pages.size()));
    }
    for (int64_t i = 0; i < n_padding; ++i) {
        ids.push_back(0);
        positions.push_back(-1);
        sequences.push_back(0);
    }
    view_.n_tokens = static_cast<int64_t>(positions.size());
    view_.token_ids = bench.upload(ids);
    view_.positions = bench.upload(positions);
    view_.sequence_of_token = bench.upload(sequences);
    view_.n_sequences = static_cast<int64_t>(runs.size());
    view_.first_token = bench.upload(first);
    view_.context_lengths = bench.upload(lengths);
    view_.pages = bench.upload(pages);
    view_.first_page = bench.upload(first_page);
    view_.seats = bench.upload(seats);
    view_.bad_sites = bench.note(0, view_.n_tokens).lowest;
}

std::vector<KvStore::Entry> entries_of(const KvStore& store, KvKind kind, int64_t layer,
                                       int64_t sequence, int64_t n_positions, int64_t max_pages) {
    const KvDescriptor& d = store.descriptor();
    std::vector<KvStore::Entry> entries;
    for (int64_t p = 0; p < n_positions; ++p) {
        const int64_t page = TestBatch::page_of(sequence, p / d.page_tokens, max_pages);
        for (int64_t h = 0; h < d.n_kv_heads; ++h) {
            entries.push_back(store.read(kind, layer, page, p % d.page_tokens, h));
        }
    }
    return entries;
}

}  // namespace quarot::backend_test
