#include "runtime/logit_changes.h"

#include <map>

#include "core/check.h"

namespace quarot::runtime {

void apply(const LogitChanges& changes, std::span<const int32_t> made, std::span<float> logits) {
    const auto at = [&](int32_t id) -> float& {
        QUAROT_CHECK(id >= 0 && id < std::ssize(logits), "token {}", id);
        return logits[static_cast<size_t>(id)];
    };
    for (const auto& [id, value] : changes.bias) at(id) += value;
    if (changes.presence_penalty == 0.0f && changes.frequency_penalty == 0.0f) return;
    std::map<int32_t, int64_t> counts;
    for (const int32_t id : made) ++counts[id];
    for (const auto& [id, count] : counts) {
        at(id) -= changes.presence_penalty + changes.frequency_penalty * static_cast<float>(count);
    }
}

}  // namespace quarot::runtime
