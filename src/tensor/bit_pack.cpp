#include "tensor/bit_pack.h"

#include <algorithm>

#include "core/check.h"
#include "core/checked_math.h"

namespace quarot {

int64_t packed_words(int64_t n, int bits) {
    return ceil_div(n * bits, 32);
}

void pack_bits(std::span<const uint8_t> values, int bits, std::span<uint32_t> words) {
    const auto n = static_cast<int64_t>(values.size());
    QUAROT_CHECK(bits >= 2 && bits <= 8, "{}", bits);
    QUAROT_CHECK(static_cast<int64_t>(words.size()) == packed_words(n, bits));
    uint64_t buffer = 0;
    int filled = 0;
    size_t word = 0;
    for (const uint8_t value : values) {
        buffer |= static_cast<uint64_t>(value) << filled;
        filled += bits;
        if (filled >= 32) {
            words[word++] = static_cast<uint32_t>(buffer);
            buffer >>= 32;
            filled -= 32;
        }
    }
    if (filled > 0) words[word] = static_cast<uint32_t>(buffer);
}

void unpack_bits(std::span<const uint32_t> words, int bits, std::span<uint8_t> values) {
    const auto n = static_cast<int64_t>(values.size());
    QUAROT_CHECK(bits >= 2 && bits <= 8, "{}", bits);
    QUAROT_CHECK(static_cast<int64_t>(words.size()) == packed_words(n, bits));
    const uint32_t mask = (1u << bits) - 1u;
    uint64_t buffer = 0;
    int filled = 0;
    size_t word = 0;
    for (uint8_t& value : values) {
        if (filled < bits) {
            buffer |= static_cast<uint64_t>(words[word++]) << filled;
            filled += 32;
        }
        value = static_cast<uint8_t>(buffer & mask);
        buffer >>= bits;
        filled -= bits;
    }
}

}  // namespace quarot
