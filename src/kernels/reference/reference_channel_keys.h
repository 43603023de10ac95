// Keys by channel in the reference backend: pages of codes, and beside them the newest block of
// every sequence as it came.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/channel_keys.h"
#include "kernels/reference/reference_kv_store.h"

namespace quarot::kernels {

class ChannelKeys {
  public:
    // Of a descriptor that check_channels lets pass.
    ChannelKeys(const KvDescriptor& descriptor, int64_t n_pages);

    // Appends a sequence's keys of one head: they join the newest block, and blocks that fill up
    // become codes. Heads of sequences may be appended by different threads.
    void append(const AppendKvArgs& args, int64_t sequence, int64_t head);

    // values[head_dim] of a position in a complete block, from its codes.
    void get(const KvPlace& place, std::span<float> values) const;
    // The key of a position from the run's first block on, as it came.
    const float* exact(const ChannelRun& run, const Rows& appended, int64_t layer, int64_t head,
                       int64_t position) const;
    KvStore::Entry entry(const KvPlace& place) const;
    int64_t bytes() const;

  private:
    bool quantize_block(const float* keys, const KvPlace& first);
    int64_t code_index(const KvPlace& place) const;
    int64_t scale_index(const KvPlace& place) const;
    int64_t newest_index(int64_t layer, int64_t seat, int64_t head) const;
    int64_t left_block(int64_t seat, int64_t head) const;

    KvDescriptor d_;
    int64_t n_pages_;
    ZeroArray<uint8_t> codes_;     // [layers, pages, page_tokens, heads, head_dim]
    ZeroArray<uint16_t> scales_;   // F16 [layers, pages, blocks of a page, heads, head_dim]
    ZeroArray<uint16_t> offsets_;  // the same
    // [layers + 1, seats, heads, block, head_dim]: the newest blocks; behind those of all layers
    // the block that the step of the layer that runs has left.
    ZeroArray<float> newest_;
};

// Of the keys of one head in one page.
int64_t channel_keys_page_bytes(const KvDescriptor& descriptor);

}  // namespace quarot::kernels
