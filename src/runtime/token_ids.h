// Token ids that come from outside, checked before any of them runs.
#pragma once

#include <cstdint>
#include <span>

namespace quarot::runtime {

// Error{Usage} naming the first id that is not in [0, vocab) and its place in `ids`.
void require_in_vocabulary(std::span<const int32_t> ids, int64_t vocab);

}  // namespace quarot::runtime
