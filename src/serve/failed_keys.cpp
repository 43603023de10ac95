#include "serve/failed_keys.h"

#include "serve/limits.h"

namespace quarot::serve {

bool FailedKeys::is_guessing(const std::string& peer) {
    constexpr size_t kAddresses = 4096;
    const Clock::time_point now = Clock::now();
    if (by_address_.size() > kAddresses) by_address_.clear();
    Failures& failures = by_address_[peer];
    if (failures.n == 0 || now - failures.since > std::chrono::minutes(1)) failures = {now, 0};
    return ++failures.n > limits::kFailedKeysAMinute;
}

}  // namespace quarot::serve
