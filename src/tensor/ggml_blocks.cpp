// Every format has a function for one block; its layout stands above it. d and m are scales and
// minima in fp16, q the stored codes; all numbers are little-endian.
#include "tensor/ggml_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "tensor/float_convert.h"

namespace quarot {

namespace {

constexpr int64_t kSmall = 32;   // elements of a plain block
constexpr int64_t kSuper = 256;  // elements of a block whose scales are quantized, too

uint8_t byte_at(const std::byte* at, int64_t i) {
    return std::to_integer<uint8_t>(at[i]);
}

int signed_at(const std::byte* at, int64_t i) {
    return static_cast<int8_t>(byte_at(at, i));
}

float half_at(const std::byte* at) {
    return f16_to_f32(static_cast<uint16_t>(byte_at(at, 0) | byte_at(at, 1) << 8));
}

uint32_t word_at(const std::byte* at) {
    uint32_t word = 0;
    for (int i = 3; i >= 0; --i) word = word << 8 | byte_at(at, i);
    return word;
}

// Code i of 32 codes of 4 bits: the low halves of 16 bytes, then the high ones.
int nibble(const std::byte* codes, int64_t i) {
    const uint8_t pair = byte_at(codes, i % 16);
    return i < 16 ? pair & 0xf : pair >> 4;
}

// d, 16 bytes of nibbles: d * (q - 8)
void widen_q4_0(const std::byte* block, float* out) {
    const float d = half_at(block);
    for (int64_t i = 0; i < kSmall; ++i) {
        out[i] = d * static_cast<float>(nibble(block + 2, i) - 8);
    }
}

// d, m, 16 bytes of nibbles: d * q + m
void widen_q4_1(const std::byte* block, float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    for (int64_t i = 0; i < kSmall; ++i) {
        out[i] = d * static_cast<float>(nibble(block + 4, i)) + m;
    }
}

// The fifth bits of 32 codes stand in a word of their own, code 0 lowest.
int five_bits(const std::byte* codes, uint32_t fifth, int64_t i) {
    return nibble(codes, i) | static_cast<int>((fifth >> i & 1u) << 4);
}

// d, 4 bytes of fifth bits, 16 bytes of nibbles: d * (q - 16)
void widen_q5_0(const std::byte* block, float* out) {
    const float d = half_at(block);
    const uint32_t fifth = word_at(block + 2);
    for (int64_t i = 0; i < kSmall; ++i) {
        out[i] = d * static_cast<float>(five_bits(block + 6, fifth, i) - 16);
    }
}

// d, m, 4 bytes of fifth bits, 16 bytes of nibbles: d * q + m
void widen_q5_1(const std::byte* block, float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    const uint32_t fifth = word_at(block + 4);
    for (int64_t i = 0; i < kSmall; ++i) {
        out[i] = d * static_cast<float>(five_bits(block + 8, fifth, i)) + m;
    }
}

// d, 32 signed bytes: d * q
void widen_q8_0(const std::byte* block, float* out) {
    const float d = half_at(block);
    for (int64_t i = 0; i < kSmall; ++i) {
        out[i] = d * static_cast<float>(signed_at(block + 2, i));
    }
}

// Eight scales and eight minima of 6 bits in 12 bytes: the first four of each are the low bits of
// bytes 0 to 3 and 4 to 7; the others have their low nibbles in bytes 8 to 11, scale below minimum,
// and their two high bits on top of the first four.
struct ScaleAndMin {
    int scale;
    int min;
};
ScaleAndMin scale_and_min(const std::byte* packed, int64_t j) {
    if (j < 4) return {byte_at(packed, j) & 63, byte_at(packed, j + 4) & 63};
    const uint8_t low = byte_at(packed, j + 4);
    return {(low & 0xf) | (byte_at(packed, j - 4) >> 6) << 4, low >> 4 | (byte_at(packed, j) >> 6)
                                                                             << 4};
}

// d, m, 12 bytes of scales and minima, then 256 codes as four runs of 32 bytes: the low nibbles of
// a run are 32 elements, its high ones the next 32. Each 32 have one scale and one minimum: (d *
// scale) * q - m * min. `fifth` adds bit `group` of its byte i to code i, where there is one.
void widen_scaled_nibbles(const std::byte* block, const std::byte* fifth, const std::byte* codes,
                          float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    for (int64_t group = 0; group < kSuper / kSmall; ++group) {
        const auto [scale, min] = scale_and_min(block + 4, group);
        const float of_codes = d * static_cast<float>(scale), below = m * static_cast<float>(min);
        const std::byte* run = codes + group / 2 * 32;
        for (int64_t i = 0; i < kSmall; ++i) {
            const int pair = byte_at(run, i);
            int q = group % 2 == 0 ? pair & 0xf : pair >> 4;
            if (fifth != nullptr) q |= (byte_at(fifth, i) >> group & 1) << 4;
            out[group * kSmall + i] = of_codes * static_cast<float>(q) - below;
        }
    }
}

void widen_q4_k(const std::byte* block, float* out) {
    widen_scaled_nibbles(block, nullptr, block + 16, out);
}

void widen_q5_k(const std::byte* block, float* out) {
    widen_scaled_nibbles(block, block + 16, block + 48, out);
}

// 128 bytes of low nibbles, 64 bytes of two high bits, 16 signed scales of 16 elements, d:
// (d * scale) * (q - 32). A half of 128 elements takes 64 bytes and 32 bytes; its quarters are the
// low nibbles of the first and second 32 bytes, then their high ones; quarter k has bits 2k and
// 2k + 1 of the 32 bytes on top.
void widen_q6_k(const std::byte* block, float* out) {
    const std::byte* scales = block + 192;
    const float d = half_at(block + 208);
    for (int64_t i = 0; i < kSuper; ++i) {
        const int64_t half = i / 128, quarter = i % 128 / 32, at = i % 32;
        const int pair = byte_at(block, half * 64 + quarter % 2 * 32 + at);
        const int low = quarter < 2 ? pair & 0xf : pair >> 4;
        const int high = byte_at(block + 128, half * 32 + at) >> (2 * quarter) & 3;
        const float scale = d * static_cast<float>(signed_at(scales, i / 16));
        out[i] = scale * static_cast<float>((low | high << 4) - 32);
    }
}

template <void (*widen_one)(const std::byte*, float*), int64_t elements, int64_t bytes>
void widen_all(const std::byte* blocks, int64_t n_blocks, float* out) {
    for (int64_t b = 0; b < n_blocks; ++b) widen_one(blocks + b * bytes, out + b * elements);
}

template <void (*widen_one)(const std::byte*, float*), int64_t elements, int64_t bytes>
constexpr GgmlType block_type(uint32_t id, std::string_view name) {
    return {id, name, DType::F32, elements, bytes, widen_all<widen_one, elements, bytes>};
}

constexpr std::array kTypes = {
    GgmlType{0, "F32", DType::F32, 1, 4, nullptr},
    GgmlType{1, "F16", DType::F16, 1, 2, nullptr},
    GgmlType{30, "BF16", DType::BF16, 1, 2, nullptr},
    block_type<widen_q4_0, kSmall, 18>(2, "Q4_0"),
    block_type<widen_q4_1, kSmall, 20>(3, "Q4_1"),
    block_type<widen_q5_0, kSmall, 22>(6, "Q5_0"),
    block_type<widen_q5_1, kSmall, 24>(7, "Q5_1"),
    block_type<widen_q8_0, kSmall, 34>(8, "Q8_0"),
    block_type<widen_q4_k, kSuper, 144>(12, "Q4_K"),
    block_type<widen_q5_k, kSuper, 176>(13, "Q5_K"),
    block_type<widen_q6_k, kSuper, 210>(14, "Q6_K"),
};

// Those that the format defines and that are not read.
constexpr std::array<std::pair<uint32_t, std::string_view>, 22> kOthers = {
    {{9, "Q8_1"},     {10, "Q2_K"},  {11, "Q3_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
     {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"},
     {24, "I8"},      {25, "I16"},   {26, "I32"},    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},
     {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"},  {40, "NVFP4"}}};

}  // namespace

const GgmlType* find_ggml_type(uint32_t id) {
    const auto* found = std::find_if(kTypes.begin(), kTypes.end(),
                                     [id](const GgmlType& type) { return type.id == id; });
    return found == kTypes.end() ? nullptr : found;
}

std::string name_of_ggml_type(uint32_t id) {
    if (const GgmlType* known = find_ggml_type(id)) return std::string(known->name);
    for (const auto& [other, name] : kOthers) {
        if (other == id) return std::string(name);
    }
    return fmt::format("type {}", id);
}

std::string known_ggml_types() {
    std::string list;
    for (const GgmlType& type : kTypes) {
        list += fmt::format("{}{}", list.empty() ? "" : ", ", type.name);
    }
    return list;
}

}  // namespace quarot
