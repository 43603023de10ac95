// The formats that activations and the KV cache are quantized to.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/dtype.h"

namespace quarot::kernels {

// Of asymmetric activations: an integer code that stands for 0, or the real value of code 0.
enum class ZeroPoint { Integer, Real };

// Of groups of activations: a float each, or a whole number of 8 bits that counts in the row's
// unit, zero points too.
enum class ActivationScales { Group, TwoLevel };

// Bits of the first positions of a sequence, unless their rows have more anyway: attention sinks
// stand there, whose values are the hardest to quantize and the few that all other tokens read.
inline constexpr int kFirstPositionBits = 8;

// How activations are quantized; bits = 16: not at all.
struct ActivationFormat {
    int bits = 16;
    int64_t group_size = 0;  // along the row; 0: one group a row
    bool symmetric = true;
    float clip = 1.0f;
    ZeroPoint zero = ZeroPoint::Integer;
    ActivationScales scales = ActivationScales::Group;  // TwoLevel: symmetric or with bases
    int64_t first_positions = 0;  // of a sequence, in kFirstPositionBits and not clipped

    // The same for rows of so many columns, which a group as wide as they are leaves whole.
    ActivationFormat of_rows(int64_t cols) const {
        ActivationFormat format = *this;
        if (group_size == cols) format.group_size = 0;
        return format;
    }
    // The same for the token at a position of its sequence.
    ActivationFormat at(int64_t position) const {
        ActivationFormat format = *this;
        if (position < 0 || position >= first_positions) return format;
        format.bits = widest_bits();
        format.clip = 1.0f;
        return format;
    }
    // Of any row.
    int widest_bits() const {
        return first_positions > 0 ? std::max(bits, kFirstPositionBits) : bits;
    }
    bool has_offsets() const { return !symmetric && zero == ZeroPoint::Integer; }
    // Otherwise ranges of groups are their plain minimum and maximum.
    bool range_includes_zero() const {
        return group_size == 0 || scales == ActivationScales::TwoLevel;
    }
    // Groups for whose zero points sums of codes correct products; 0: whole rows, or none have any.
    int64_t corrected_group() const { return symmetric ? 0 : group_size; }
    bool has_bases() const { return !symmetric && zero == ZeroPoint::Real; }
    bool operator==(const ActivationFormat&) const = default;
};

// What the memory of a quantized matrix depends on, wherever its codes are.
struct CodesForm {
    int64_t rows = 0, cols = 0;
    int bits = 0;
    int64_t group_size = 0;  // 0: whole rows
    bool symmetric = true;
    int64_t activation_group = 0;  // of LinearWeights
};

enum class KvAxis {
    Token,   // one scale per token, head and group
    Channel  // one scale and offset per channel of a head and block of positions; K alone
};

// How K or V is kept. Asymmetric: value = scale * (q - zero), q in [0, 2^b - 1]; by channel
// value = scale * q + offset, both F16.
struct KvFormat {
    int bits = 16;  // 2..8; 16: fp32 on reference and cpu
    KvAxis axis = KvAxis::Token;
    int64_t block = 64;      // by channel: positions that share a scale, a divisor of a page's
    int64_t group_size = 0;  // along head_dim; 0: the whole head
    float clip = 1.0f;
    int64_t exempt_positions = 0;  // first positions of a sequence that stay unquantized
    // K's range always includes 0, V's does not (docs/quarot.md).
    bool range_includes_zero = true;
    DType scales = DType::F32;  // by token: F32 or F16

    bool by_channel() const { return bits < 16 && axis == KvAxis::Channel; }
    bool operator==(const KvFormat&) const = default;
};

}  // namespace quarot::kernels
