#include "runtime/token_ids.h"

#include "core/error.h"

namespace quarot::runtime {

void require_in_vocabulary(std::span<const int32_t> ids, int64_t vocab) {
    for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] >= 0 && ids[i] < vocab) continue;
        fail(ErrorCode::Usage, "token id {} at place {} is outside the vocabulary of {}", ids[i], i,
             vocab);
    }
}

}  // namespace quarot::runtime
