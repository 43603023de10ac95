// Dense packing of small unsigned numbers into 32-bit words.
//
// A row is one little-endian bit string: element i stands in bits [i*b, (i+1)*b). For b = 4 word w
// holds elements 8w .. 8w+7, the first in the lowest bits.
#pragma once

#include <cstdint>
#include <span>

namespace quarot {

// Words of a packed row of n elements of b bits.
int64_t packed_words(int64_t n, int bits);

// values[i] < 2^bits, bits 2..8; words.size() == packed_words(values.size(), bits).
void pack_bits(std::span<const uint8_t> values, int bits, std::span<uint32_t> words);

// Inverse of pack_bits.
void unpack_bits(std::span<const uint32_t> words, int bits, std::span<uint8_t> values);

}  // namespace quarot
