// Keys by channel: what does a step find, bring and fill of one sequence, and which scale and
// offset has a channel of a block?
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/check.h"
#include "core/error.h"
#include "kernels/ops.h"
#include "tensor/affine.h"

namespace quarot::kernels {

// A sequence's tokens of one step: positions [first, end), the first of them token `first_token`
// of the batch.
struct ChannelRun {
    int64_t block = 0;  // positions
    int64_t seat = 0;
    int64_t first_token = 0;
    int64_t first = 0, end = 0;

    bool empty() const { return end == first; }
    int64_t first_block() const { return first / block; }
    int64_t newest_block() const { return (end - 1) / block; }
    // Keys of the first block that are from earlier steps.
    int64_t n_found() const { return first % block; }
    // Whether the step leaves that block, so that its own queries need it elsewhere.
    bool leaves_block() const { return n_found() > 0 && newest_block() > first_block(); }
    int64_t token_of(int64_t position) const { return first_token + position - first; }
};

inline ChannelRun channel_run(const KvDescriptor& d, const BatchView& batch, int64_t sequence) {
    const int64_t token = batch.first_token[sequence];
    const int64_t n = batch.first_token[sequence + 1] - token;
    if (n == 0) return {.block = d.k.block};
    QUAROT_CHECK(
        batch.seats != nullptr && batch.seats[sequence] >= 0 && batch.seats[sequence] < d.sequences,
        "sequence {} of {}", sequence, d.sequences);
    const int64_t first = batch.positions[token];
    return {.block = d.k.block,
            .seat = batch.seats[sequence],
            .first_token = token,
            .first = first,
            .end = first + n};
}

// Error{Unsupported} for V by channel and for blocks of K that cross pages.
inline void check_channels(const KvDescriptor& d) {
    if (d.v.by_channel()) {
        fail(ErrorCode::Unsupported,
             "V is quantized by channel, expected by token; K alone can be");
    }
    if (!d.k.by_channel() || (d.k.block >= 1 && d.page_tokens % d.k.block == 0)) return;
    fail(ErrorCode::Unsupported,
         "K by channel has blocks of {} positions, expected a divisor of the {} of a page",
         d.k.block, d.page_tokens);
}

// Of the keys of one channel over a block, which reach from lo to hi. Not finite where F16 holds
// no such numbers, and for a NaN or Inf among the keys.
inline RealAffine channel_affine(float lo, float hi, const KvFormat& format) {
    const float middle = 0.5f * lo + 0.5f * hi;
    const float half = (0.5f * hi - 0.5f * lo) * format.clip;
    return half_affine(middle - half, middle + half, format.bits);
}

}  // namespace quarot::kernels
