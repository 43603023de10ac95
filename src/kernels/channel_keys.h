// Keys by channel: what does a step find, bring and fill of one sequence, and which scale and
// offset has a channel of a block?
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/check.h"
#include "core/error.h"
#include "kernels/channel_run.h"
#include "kernels/ops.h"
#include "tensor/affine.h"

namespace quarot::kernels {

inline ChannelRun channel_run(const KvDescriptor& d, const BatchView& batch, int64_t sequence) {
    const int64_t token = batch.first_token[sequence];
    const int64_t n = batch.first_token[sequence + 1] - token;
    const auto block = static_cast<int>(d.k.block);
    if (n == 0) return {.block = block};
    QUAROT_CHECK(
        batch.seats != nullptr && batch.seats[sequence] >= 0 && batch.seats[sequence] < d.sequences,
        "sequence {} of {}", sequence, d.sequences);
    const int first = batch.positions[token];
    return {.block = block,
            .first = first,
            .end = first + static_cast<int>(n),
            .first_token = token,
            .seat = batch.seats[sequence]};
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
