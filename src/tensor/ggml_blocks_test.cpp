#include "tensor/ggml_blocks.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tensor/float_convert.h"

namespace quarot {

namespace {

// One block whose bytes the test sets; the rest is zero.
struct Block {
    explicit Block(uint32_t id)
        : type(find_ggml_type(id)), bytes(static_cast<size_t>(type->block_bytes)) {}

    void set(size_t at, int value) { bytes[at] = static_cast<std::byte>(value); }
    void set_half(size_t at, float value) {
        const uint16_t half = f32_to_f16(value);
        set(at, half & 0xff);
        set(at + 1, half >> 8);
    }
    std::vector<float> values() const {
        std::vector<float> out(static_cast<size_t>(type->block_elements));
        type->widen(bytes.data(), 1, out.data());
        return out;
    }

    const GgmlType* type;
    std::vector<std::byte> bytes;
};

TEST(GgmlBlocks, LowNibblesAreTheFirstHalf) {
    Block q4_0(2);
    q4_0.set_half(0, 0.5f);
    q4_0.set(2, 0x1f);
    std::vector<float> values = q4_0.values();
    EXPECT_EQ(values[0], 3.5f);    // (15 - 8) / 2
    EXPECT_EQ(values[16], -3.5f);  // (1 - 8) / 2
    EXPECT_EQ(values[1], -4.0f);

    Block q4_1(3);
    q4_1.set_half(0, 0.5f);
    q4_1.set_half(2, -1.0f);
    q4_1.set(4 + 15, 0x2e);
    values = q4_1.values();
    EXPECT_EQ(values[15], 6.0f);
    EXPECT_EQ(values[31], 0.0f);
    EXPECT_EQ(values[0], -1.0f);
}

TEST(GgmlBlocks, FifthBitsStandApart) {
    Block q5_0(6);
    q5_0.set_half(0, 2.0f);
    q5_0.set(2 + 2, 0x02);  // bit 17
    q5_0.set(6 + 1, 0x30);
    std::vector<float> values = q5_0.values();
    EXPECT_EQ(values[17], 2.0f * (3 + 16 - 16));
    EXPECT_EQ(values[1], -32.0f);

    Block q5_1(7);
    q5_1.set_half(0, 2.0f);
    q5_1.set_half(2, 1.0f);
    q5_1.set(4 + 3, 0x80);  // bit 31
    values = q5_1.values();
    EXPECT_EQ(values[31], 33.0f);
    EXPECT_EQ(values[0], 1.0f);
}

TEST(GgmlBlocks, BytesAreSigned) {
    Block q8_0(8);
    q8_0.set_half(0, 0.25f);
    q8_0.set(2, 0x80);
    q8_0.set(33, 0x7f);
    const std::vector<float> values = q8_0.values();
    EXPECT_EQ(values[0], -32.0f);
    EXPECT_EQ(values[31], 31.75f);
}

TEST(GgmlBlocks, ScalesOfSixBitsArePutTogether) {
    Block block(12);
    block.set_half(0, 1.0f);
    block.set_half(2, 0.5f);
    block.set(4 + 1, 0xc0 | 33);   // scale 1: 33; top bits of scale 5: 3
    block.set(4 + 5, 0x80 | 18);   // minimum 1: 18; top bits of minimum 5: 2
    block.set(4 + 9, 0x95);        // low bits of scale 5: 5, of minimum 5: 9
    block.set(16, 0x70);           // group 1, element 0: 7
    block.set(16 + 64 + 2, 0xa0);  // group 5, element 2: 10
    const std::vector<float> values = block.values();
    EXPECT_EQ(values[0], 0.0f);
    EXPECT_EQ(values[32], 33.0f * 7 - 0.5f * 18);
    EXPECT_EQ(values[33], -0.5f * 18);
    EXPECT_EQ(values[5 * 32 + 2], 53.0f * 10 - 0.5f * 41);
}

TEST(GgmlBlocks, Q5KTakesItsFifthBitsByGroup) {
    Block block(13);
    block.set_half(0, 1.0f);
    block.set(4 + 2, 2);      // scale 2
    block.set(16 + 3, 0x04);  // group 2, element 3
    block.set(48 + 32 + 3, 0x01);
    const std::vector<float> values = block.values();
    EXPECT_EQ(values[2 * 32 + 3], 2.0f * 17);
    EXPECT_EQ(values[2 * 32 + 2], 0.0f);
}

TEST(GgmlBlocks, Q6KHasQuartersOfHalves) {
    Block block(14);
    block.set_half(208, 1.0f);
    for (size_t i = 0; i < 16; ++i) block.set(192 + i, static_cast<int>(i) - 8);
    block.set(64 + 32 + 4, 0x50);   // half 1, quarter 3, element 4: low bits 5
    block.set(128 + 32 + 4, 0x80);  // and its high bits: 2
    const std::vector<float> values = block.values();
    EXPECT_EQ(values[128 + 96 + 4], 6.0f * (5 + 32 - 32));  // scale 14
    EXPECT_EQ(values[128 + 96 + 20], 7.0f * -32);
    EXPECT_EQ(values[0], -8.0f * -32);
    EXPECT_EQ(values[17], -7.0f * -32);
}

TEST(GgmlBlocks, TypesHaveNamesOfTheirOwn) {
    EXPECT_EQ(find_ggml_type(10), nullptr);
    EXPECT_EQ(name_of_ggml_type(10), "Q2_K");
    EXPECT_EQ(name_of_ggml_type(12), "Q4_K");
    EXPECT_EQ(name_of_ggml_type(99), "type 99");
    EXPECT_NE(known_ggml_types().find("BF16, Q4_0"), std::string::npos);
    std::set<std::string> names;
    for (uint32_t id = 0; id < 64; ++id) names.insert(name_of_ggml_type(id));
    EXPECT_EQ(names.size(), 64u);
}

}  // namespace

}  // namespace quarot
